"""What identifies a submission, for how long, and how a repetition is answered (SUB-3, SUB-4)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.proxy import Exchange
from tests.faults.scripted import CARD, ScriptedService, scripted_service
from tests.faults.stack import SECRET_KEY

OTHER_KEY = "b3RoZXIga2V5IG9mIGFub3RoZXIgc2VydmljZS4uLi4="
OTHER_CARD = {**CARD, "number": "4111111111111111"}
DECLINED_CARD = {**CARD, "number": "4000000000000002"}
WEEK = 7 * 24 * 3600
DAY = 24 * 3600
ALONE: dict[str, dict[str, Any]] = {
    "idempotency key": {"key": "k-1"},
    "order number": {"order_number": "n-1"},
    "grubhub order number": {"grubhub_order_number": "g-1"},
    "validation id": {"metadata": "validated"},
    "card": {"credit_card": CARD},
    "content": {},
}
WINDOWS = {**dict.fromkeys(ALONE, WEEK), "card": DAY, "content": 90}


def _named(one: ScriptedService, name: str) -> dict[str, Any]:
    """The members of a submission that is recognized by this alone."""
    members = dict(ALONE[name])
    return {"metadata": one.validation_id()} if "metadata" in members else members


@pytest.mark.rule("SUB-3", "SUB-4", "META-8")
@pytest.mark.parametrize("name", ALONE)
def test_each_identity_gives_the_answer_until_its_window_ends(name: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        members = _named(one, name)
        first = one.submit(**members)
        assert (first.status, first.replayed) == (200, False)
        one.clock.advance(seconds=WINDOWS[name] - 1)
        again = one.submit(**members)
        assert (again.status, again.replayed, again.body) == (200, True, first.body)
        assert len(one.cooked()) == 1
        one.clock.advance(seconds=2)
        later = one.submit(**members)
        if name == "validation id":
            assert (later.code, len(one.cooked())) == ("order_validation_expired", 1)
        else:
            assert (later.status, later.replayed, len(one.cooked())) == (200, False, 2)


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("name", ["content", "card"])
def test_a_window_starts_when_the_outcome_is_settled(name: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        # Unknown for longer than the window, then reconciled.
        one.script.add("order", "answer lost")
        assert one.submit(**ALONE[name]).code == "outcome_unknown"
        one.clock.advance(seconds=WINDOWS[name] + 3600)
        assert one.submit(**ALONE[name]).replayed
        one.clock.advance(seconds=WINDOWS[name] - 1)
        assert one.submit(**ALONE[name]).replayed
        one.clock.advance(seconds=2)
        assert not one.submit(**ALONE[name]).replayed
        assert len(one.cooked()) == 2


@pytest.mark.rule("SUB-3", "SUB-5")
@pytest.mark.parametrize("name", ALONE)
def test_an_unknown_outcome_never_expires(name: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        members = _named(one, name)
        one.script.add("order", "answer lost")
        assert one.submit(**members).code == "outcome_unknown"
        one.clock.advance(days=60)
        again = one.submit(**members)
        assert (again.status, again.replayed) == (200, True)
        assert [each.ticket for each in one.cooked()] == [again.order_id]


@pytest.mark.rule("SUB-2", "SUB-11")
@pytest.mark.parametrize("loses_rows", [False, True])
@pytest.mark.parametrize("keys", [f"{OTHER_KEY},{SECRET_KEY}", OTHER_KEY], ids=["both", "new"])
def test_changed_secret_keys_change_no_reference(keys: str, loses_rows: bool, tmp_path: Path) -> None:
    """Also where the ledger has lost the attempt, as in a failover: the provider knows the reference."""
    with scripted_service(tmp_path) as before:
        before.script.add("order", "answer lost")
        assert before.submit(key="k-1").code == "outcome_unknown"
        (sent,) = before.rows()
        if loses_rows:
            with before.ledger.database.connection() as connection:
                connection.execute(text("DELETE FROM submissions"))
    with scripted_service(tmp_path, more={"LEVELUP_OV_SECRET_KEYS": keys}) as after:
        assert after.submit(key="k-1").status == 200
        assert (after.rows()[-1].reference, len(after.cooked())) == (sent.reference, 1)


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("name", sorted(ALONE.keys() - {"card"}))
def test_an_identity_is_of_one_location(name: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        members = _named(one, name)
        for location in ("diner.congress", "diner.notips"):
            assert not one.submit(location, **members).replayed
        assert [each.place for each in one.cooked()] == ["congress", "notips"]


@pytest.mark.rule("SUB-3")
def test_a_match_on_any_identity_decides_and_adds_the_others(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        first = one.submit(key="k", order_number="n", metadata=one.validation_id())
        # Known by the number alone; the new Grubhub number is known from then on too.
        for members in (
            {"order_number": "n", "grubhub_order_number": "g"},
            {"grubhub_order_number": "g"},
            {"key": "k", "order_number": "never seen"},
            {"order_number": "never seen"},
        ):
            again = one.submit(**members)
            assert (again.replayed, again.body) == (True, first.body), members
        assert len(one.cooked()) == 1
        assert one.submit(key="another").status == 200
        assert len(one.cooked()) == 2


@pytest.mark.rule("SUB-3")
def test_one_identity_kind_is_not_taken_for_another(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        for members in ({"key": "same"}, {"order_number": "same"}, {"grubhub_order_number": "same"}):
            assert not one.submit(**members).replayed
        assert len(one.cooked()) == 3


@pytest.mark.rule("SUB-3")
def test_card_and_content_count_only_where_nothing_else_is_named(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        for key in ("a", "b"):
            assert not one.submit(key=key, credit_card=CARD).replayed
        assert not one.submit(credit_card=CARD).replayed
        assert len(one.cooked()) == 3


@pytest.mark.rule("SUB-3")
def test_a_card_is_recognized_by_its_number_with_the_order_only(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(credit_card=CARD).status == 200
        assert one.submit(credit_card={**CARD, "cvv": "1234", "zip": "10001", "name": "R. Example"}).replayed
        assert not one.submit(credit_card=OTHER_CARD).replayed
        assert not one.submit(credit_card=CARD, tip=100).replayed
        assert len(one.cooked()) == 3


CHANGES: dict[str, dict[str, Any]] = {
    "tip": {"tip": 300},
    "discount": {"merchant_funded_discount": 100},
    "instructions": {"special_instructions": "no onions"},
    "time": {"desired_ready_time": "2026-11-10T15:00"},
    "items": {"items": [{"item": {"provider_id": "sandwich", "quantity": 2}}]},
    "tender": {"credit_card": CARD},
    "user": {"user": {"name": "Robin Example", "phone": "+16175550199"}},
}


@pytest.mark.rule("SUB-3", "SUB-4")
@pytest.mark.parametrize("change", CHANGES)
def test_a_placed_identity_is_refused_to_a_different_order(change: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(key="k").status == 200
        calls = len(one.proxy.calls)
        answer = one.submit(key="k", **CHANGES[change])
        assert (answer.status, answer.code, answer.retryable) == (422, "idempotency_key_reused", False)
        assert len(one.proxy.calls) == calls


@pytest.mark.rule("SUB-3")
def test_names_prices_and_metadata_do_not_make_another_order(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        first = one.submit(key="k")
        item = {"provider_id": "sandwich", "quantity": 1, "name": "Club", "price": 1, "metadata": {"x": 1}}
        user = {"first_name": "R", "last_name": "E", "phone": "+16175550142", "email": "robin@example.com"}
        again = one.submit(key="k", items=[{"item": item}], user=user, metadata={"y": 2}, unheard_of=3)
        assert (again.replayed, again.body) == (True, first.body)


@pytest.mark.rule("SUB-4")
def test_an_order_in_flight_waits_and_refuses_another_order(tmp_path: Path) -> None:
    release = threading.Event()
    arrived = threading.Event()

    def hold(exchange: Exchange) -> bool:
        arrived.set()
        release.wait(10)
        exchange.pass_on(*exchange.forward())
        return True

    with scripted_service(tmp_path) as one, ThreadPoolExecutor(1) as pool:
        one.script.add("order", hold)
        first = pool.submit(one.submit, key="k")
        assert arrived.wait(5)
        calls = len(one.proxy.calls)
        waiting = one.submit(key="k")
        assert (waiting.status, waiting.code, waiting.retryable) == (409, "submission_in_progress", True)
        assert int(waiting.headers["Retry-After"]) >= 1
        other = one.submit(key="k", tip=300)
        assert (other.status, other.code) == (422, "idempotency_key_reused")
        assert len(one.proxy.calls) == calls
        release.set()
        assert (first.result().status, first.result().replayed) == (200, False)
        assert one.submit(key="k").replayed
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-4", "SUB-5")
def test_an_unknown_is_looked_up_and_refuses_another_order(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        one.script.add("order", "answer lost")
        assert one.submit(key="k").code == "outcome_unknown"
        other = one.submit(key="k", tip=300)
        assert (other.status, other.code) == (422, "idempotency_key_reused")
        one.script.add("lookup", *["5xx, not forwarded"] * 3)
        assert one.submit(key="k").code == "outcome_unknown"
        assert one.submit(key="k").replayed
        assert one.proxy.count("order") == 1


@pytest.mark.rule("SUB-4", "PAY-2")
def test_not_placed_frees_identities_for_a_new_card_tip_or_time(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        named: dict[str, Any] = {"key": "k", "order_number": "n", "metadata": one.validation_id()}
        declined = one.submit(**named, credit_card=DECLINED_CARD)
        assert (declined.status, declined.code, declined.retryable) == (422, "card_declined", False)
        placed = one.submit(**named, credit_card=OTHER_CARD, tip=300, desired_ready_time="2026-11-10T15:00")
        assert (placed.status, placed.replayed) == (200, False)
        assert sorted(row.state for row in one.rows()) == ["not_placed", "placed"]
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-4", "TIME-10")
def test_a_replay_comes_before_every_check_of_time_and_stock(tmp_path: Path) -> None:
    soon = {"desired_ready_time": "2026-11-10T13:00"}
    with scripted_service(tmp_path) as one:
        first = one.submit(key="k", **soon)
        one.clock.advance(hours=2)
        again = one.submit(key="k", **soon)
        assert (again.status, again.replayed, again.body) == (200, True, first.body)
        assert one.submit(key="new", **soon).code == "ready_time_in_past"
        assert len(one.cooked()) == 1


@pytest.mark.rule("SUB-3", "EP-11")
@pytest.mark.parametrize("key", ["", "  ", "x" * 256, "tab\there", "caf\u00e9"])
def test_an_invalid_key_is_refused_before_any_claim_or_call(key: str, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        answer = one.submit(key=key)
        assert (answer.status, answer.code, answer.retryable) == (400, "invalid_idempotency_key", False)
        assert not one.proxy.calls and not one.rows()


@pytest.mark.rule("SUB-3")
def test_the_longest_key_is_one(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(key="x" * 255).status == 200
        assert one.submit(key="x" * 255).replayed
