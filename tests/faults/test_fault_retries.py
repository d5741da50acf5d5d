"""A call is sent again only where that is proven to be safe; one that places an order is not (SUB-2, SUB-5)."""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.proxy import Call, Exchange
from tests.faults.replaying import REPLAYING, replaying_provider
from tests.faults.scripted import ScriptedService, scripted_service
from tests.stopwatch import within


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("fault", ["5xx, not forwarded", "reset after reading", "reset before reading", "429"])
def test_what_prices_or_reads_is_sent_again(fault: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("locations", fault)
        one.script.add("cart", fault)
        assert one.submit(key="a").status == 200
        counts = {kind: one.proxy.count(kind) for kind in ("locations", "cart", "order")}
        assert counts == {"locations": 2, "cart": 2, "order": 1}
        assert len(one.cooked()) == 1


@pytest.mark.rule("ERR-3")
def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    times: list[float] = []

    def choose(call: Call) -> str:
        if call.kind != "cart":
            return "none"
        times.append(monotonic())
        return "429, Retry-After" if len(times) == 1 else "none"

    with scripted_service(tmp_path, choose=choose) as one:
        assert one.validate().status == 200
    assert len(times) == 2
    assert 1.0 <= times[1] - times[0] < 1.5


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize(("said", "told"), [("60", "60"), ("999999999", "86400")])
def test_a_retry_after_beyond_the_deadline_is_passed_on(tmp_path: Path, said: str, told: str) -> None:
    """At most a day of it."""

    def limited(exchange: Exchange) -> bool:
        exchange.pass_on(429, b"{}", Retry_After=said)
        return True

    with scripted_service(tmp_path) as one:
        one.script.add("cart", limited)
        with within(1):
            answer = one.validate()
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "rate_limited", told)
        assert one.proxy.count("cart") == 1


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    "fault, exists",
    [
        ("reset before reading", False),
        ("reset after reading", False),
        ("5xx, not forwarded", False),
        ("302", False),
        ("307", False),
        ("answer lost", True),
        ("garbage", True),
        ("JSON cut short", True),
        ("5xx after forwarding", True),
    ],
)
def test_a_placing_call_is_sent_once_and_its_outcome_reconciled(fault: str, exists: bool, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", fault)
        first = one.submit(key="a")
        assert (first.status, first.code, first.retryable) == (504, "outcome_unknown", True)
        assert one.proxy.count("order") == 1
        assert one.proxy.trapped == 0
        _then_it_is_reconciled(one, exists=exists)


def _then_it_is_reconciled(one: ScriptedService, *, exists: bool) -> None:
    second = one.submit(key="a")
    if exists:
        assert (second.status, second.replayed) == (200, True)
        assert one.proxy.count("order") == 1
        assert [row.state for row in one.rows()] == ["placed"]
    else:
        # It may still be on its way: the engine is made to refuse it first (SUB-10).
        assert (second.status, second.replayed) == (200, False)
        assert sorted(str(row.ended) for row in one.rows()) == ["None", "fenced"]
        assert sorted(row.state for row in one.rows()) == ["not_placed", "placed"]
    assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-5", "SUB-8")
@pytest.mark.parametrize(
    ("other", "is_proof"), [(rb'"other"', False), (rb"\2", True)], ids=["another value", "the same"]
)
@pytest.mark.parametrize("member", ["id", "reference"])
def test_two_values_of_a_member_prove_nothing(member: str, other: bytes, is_proof: bool, tmp_path: Path) -> None:
    pattern = rb'("%b": ?)("[^"]*")' % member.encode()

    def repeats(exchange: Exchange) -> bool:
        status, body = exchange.forward()
        repeated, count = re.subn(pattern, rb"\1" + other + rb", \1\2", body)
        assert count
        exchange.pass_on(status, repeated)
        return True

    with scripted_service(tmp_path) as one:
        for kind in ("order", "lookup"):
            one.script.add(kind, repeats)
        for _ in range(1 if is_proof else 2):
            answer = one.submit(key="a")
            assert answer.code == ("" if is_proof else "outcome_unknown")
        assert one.submit(key="a").replayed and len(one.cooked()) == 1


@pytest.mark.rule("SUB-2")
def test_a_placing_call_refused_at_the_door_may_be_sent_again(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "429")
        assert one.submit(key="a").status == 200
        assert [call.kind for call in one.proxy.forwarded].count("order") == 1
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-2")
def test_a_placing_call_delivered_twice_is_one_order(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "twice, second answer")
        answer = one.submit(key="a")
        assert [each.ticket for each in one.cooked()] == [answer.order_id]
        assert [row.state for row in one.rows()] == ["placed"]


@pytest.mark.rule("SUB-2")
def test_a_cart_that_another_submission_ordered_is_refused(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        metadata = one.validate().body["order_validation"]["metadata"]
        cart = {name: value for name, value in metadata.items() if name != "order_validation_id"}
        assert one.submit(key="a", metadata=cart).status == 200
        answer = one.submit(key="b", metadata=cart)
        assert (answer.code, answer.retryable) == ("order_refused", False)
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-2", "SUB-5")
def test_with_a_provider_key_a_placing_call_is_sent_again(tmp_path: Path) -> None:
    with replaying_provider(tmp_path, lost=1) as (one, provider):
        answer = one.submit(key="a")
        assert (answer.status, answer.replayed) == (200, False)
        assert (provider.calls, len(provider.orders)) == (2, 1)


@pytest.mark.rule("SUB-2", "SUB-5")
def test_with_provider_keys_an_unknown_is_resolved_by_resending(tmp_path: Path) -> None:
    with replaying_provider(tmp_path, lost=3) as (one, provider):
        assert one.submit(key="a").code == "outcome_unknown"
        assert (provider.calls, len(provider.orders)) == (3, 1)
        again = one.submit(key="a")
        assert (again.status, again.replayed) == (200, True)
        assert (provider.calls, len(provider.orders)) == (4, 1)
        assert list(provider.orders) == [row.reference for row in one.rows()]
    assert REPLAYING.recovery == "replay"
