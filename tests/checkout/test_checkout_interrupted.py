"""A cancellation that is interrupted, and that nobody asks for again, is finished by a command (STAT-7)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from requests.models import PreparedRequest
from urllib3.response import HTTPResponse

from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Unanswered
from levelup_ov.ordering.placed_orders import PlacedOrders
from levelup_ov.transport.in_process import InProcessAdapter
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PLACE, Site, meal
from tests.checkout.test_checkout_cancellations import cancel, uuid
from tests.checkout.test_checkout_money import refusal
from tests.checkout.test_checkout_submissions import Killed, Killer

__all__ = ["interrupted", "uuid"]

LATER = "2030-06-03T16:02Z"
"""When no request of noon can be under way any more, and nothing is ready yet."""
ADAPTER = "adapters.sandbox.SandboxAdapter"
NOTHING = (0, "0 finished, 0 still unfinished\n")


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Killer]:
    killer = Killer(monkeypatch)
    yield killer
    killer.arm(None)


@pytest.fixture
def interrupted(site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> str:
    """An order that its provider has canceled for a request that was killed then."""
    kill_after_cancel(site, uuid, monkeypatch)
    clock.set(LATER)
    return uuid


def kill_after_cancel(site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("levelup_ov.ordering.placed_orders.check_canceled", _kill)
        with pytest.raises(Killed):
            cancel(site, uuid)


def _kill(*_: object) -> None:
    raise Killed


def state(site: Site, uuid: str) -> str:
    return str(site.get(f"/orders/{uuid}")["order"]["state"])


def stage(site: Site, uuid: str) -> str:
    number = site.get(f"/orders/{uuid}")["order"]["order_submission"]["order_id"]
    return str(site.channel.get(f"/locations/{PLACE}/orders/{number}").order["status"])


@pytest.mark.rule("STAT-7", "WEB-5")
def test_killed_at_any_step_and_never_asked_again(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock
) -> None:
    reached = set()
    for step in range(100):
        clock.set("2030-06-03T16:00Z")
        uuid = site.charged(meal(merchant, user))["uuid"]
        killer.arm(step)
        try:
            cancel(site, uuid)
        except Killed:
            pass
        dead = killer.dead
        killer.arm(None)
        clock.set(LATER)
        assert site.reconcile()[0] == 0
        found = (stage(site, uuid), state(site, uuid), uuid in site.refunded())
        assert found in [("cancelled", "refunded", True), ("preparing", "submitted", False)], (step, found)
        assert site.reconcile() == NOTHING
        reached.add(found)
        if not dead:
            break
    assert step >= 8 and len(reached) == 2
    assert site.line.count("/refund") == len(site.refunded())


@pytest.mark.rule("STAT-7")
def test_a_command_refunds_what_was_canceled(site: Site, interrupted: str, caplog: pytest.LogCaptureFixture) -> None:
    status, said = site.reconcile()
    assert status == 0 and "refunded" in said
    assert (site.unrefunded(), site.refunded(), site.line.count("/refund")) == ([], [interrupted], 1)
    assert "interrupted_cancellation_refunded" in caplog.messages and "order_status_changed" in caplog.messages
    # The site asked under this key: it may still learn what became of it.
    again = cancel(site, interrupted)
    assert again.json["order"]["state"] == "refunded" and again.headers["Idempotency-Replayed"] == "true"
    assert cancel(site, interrupted, "D").refusal == (422, "already_refunded", None)
    assert site.reconcile() == NOTHING and site.line.count("/refund") == 1


@pytest.mark.rule("STAT-7")
def test_nobody_disturbs_a_request_that_may_still_go_on(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    kill_after_cancel(site, uuid, monkeypatch)
    assert site.reconcile() == NOTHING
    assert site.line.count("/refund") == 0
    # The site itself need not wait.
    assert cancel(site, uuid).json["order"]["state"] == "refunded"
    clock.set(LATER)
    assert site.reconcile() == NOTHING and site.line.count("/refund") == 1


@pytest.mark.rule("STAT-7")
def test_what_the_provider_never_got_is_refunded_to_nobody(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def lose(*_: object) -> None:
        raise Unanswered("provider_timeout", "no answer", sent=True)

    with monkeypatch.context() as patch:
        patch.setattr(f"{ADAPTER}.cancel_order", lose)
        assert cancel(site, uuid).refusal[1] == "cancellation_unknown"
    clock.set(LATER)
    status, said = site.reconcile()
    assert status == 0 and "submitted" in said
    assert (state(site, uuid), site.line.count("/refund")) == ("submitted", 0)
    assert site.reconcile() == NOTHING
    assert cancel(site, uuid).json["order"]["state"] == "refunded"


@pytest.mark.rule("STAT-6", "STAT-7")
@pytest.mark.parametrize("is_repeated", [True, False], ids=["repeated", "only attempt"])
def test_a_cancellation_that_arrives_after_a_refusal(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, is_repeated: bool
) -> None:
    whole = InProcessAdapter._call
    attempts: list[Callable[[], HTTPResponse]] = []

    def call(adapter: InProcessAdapter, request: PreparedRequest) -> HTTPResponse:
        if not str(request.url).endswith("/cancellation"):
            return whole(adapter, request)
        attempts.append(lambda: whole(adapter, request))
        if is_repeated and len(attempts) == 1:
            raise ConnectionAbortedError
        body = b'{"problem": {"code": "too_late", "text": "another request is being processed"}}'
        return HTTPResponse(io.BytesIO(body), status=409, preload_content=False)

    with monkeypatch.context() as patch:
        patch.setattr(InProcessAdapter, "_call", call)
        answer = cancel(site, uuid)
    if not is_repeated:
        assert (answer.refusal, len(attempts)) == ((422, "cancellation_refused", None), 1)
        clock.set(LATER)
        assert site.reconcile() == NOTHING
        return
    assert (answer.refusal, len(attempts)) == ((504, "cancellation_unknown", None), 2)
    assert stage(site, uuid) == "placed" and answer.error["retryable"]
    assert attempts[0]().status == 200
    clock.set(LATER)
    assert site.reconcile()[0] == 0
    assert (stage(site, uuid), state(site, uuid), site.refunded()) == ("cancelled", "refunded", [uuid])


@pytest.mark.rule("STAT-7", "STAT-2")
@pytest.mark.parametrize("fault", [
    lambda reference: OrderStatus("in orbit", reference=reference),
    lambda reference: OrderStatus("called-off", reference="another"),
    Unanswered("provider_timeout", "no answer", sent=True),
], ids=["word", "another order", "no answer"])  # fmt: skip
def test_what_is_not_known_stays_to_be_found_out(
    site: Site, interrupted: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show_status(_adapter: object, _location: object, _id: str, reference: str, _session: object) -> OrderStatus:
        if isinstance(fault, Exception):
            raise fault
        return fault(reference)

    with monkeypatch.context() as patch:
        patch.setattr(f"{ADAPTER}.show_status", show_status)
        for _ in range(2):
            status, said = site.reconcile()
            assert status == 1 and "still being canceled: " in said and "1 still unfinished" in said
    assert site.line.count("/refund") == 0
    assert site.reconcile()[0] == 0
    assert site.refunded() == [interrupted]


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("beside", [
    lambda site, uuid: site.reconcile() == NOTHING,
    lambda site, uuid: cancel(site, uuid).status == 200,
    lambda site, uuid: site.refund(uuid).status == 200,
], ids=["command", "cancellation", "refund"])  # fmt: skip
def test_two_at_once_refund_once(
    make_site: MakeSite, interrupted: str, monkeypatch: pytest.MonkeyPatch, beside: Callable[[Site, str], bool]
) -> None:
    one, two = make_site(), make_site()
    whole = PlacedOrders.show
    asked: list[bool] = []

    def order_status(placed: PlacedOrders, *rest: Any, **named: Any) -> Any:
        found = whole(placed, *rest, **named)
        if not asked:
            asked.append(False)
            asked[0] = beside(two, interrupted)
        return found

    monkeypatch.setattr(PlacedOrders, "show", order_status)
    one.reconcile()
    assert asked == [True]
    assert (one.refunded(), one.line.count("/refund")) == ([interrupted], 1)
    assert one.reconcile() == NOTHING


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("answer", ["lost", "unreached"])
def test_a_refund_that_fails_is_tried_at_the_next_run(site: Site, interrupted: str, clock: Clock, answer: str) -> None:
    site.line.faults["/refund"] = [answer] * 9
    assert site.reconcile()[0] == 1
    site.line.faults.clear()
    clock.set("2030-06-03T16:04Z")
    assert site.reconcile()[0] == 0
    assert site.refunded() == [interrupted] and site.reconcile() == NOTHING


@pytest.mark.rule("STAT-7", "EVT-8")
def test_a_charge_that_stays_without_a_meal_is_a_persons(site: Site, interrupted: str) -> None:
    site.line.faults["/refund"] = [refusal(422, "order", "base")]
    assert site.reconcile()[0] == 1
    status, said = site.command("cases")
    assert status == 1 and interrupted in said
    assert state(site, interrupted) == "stuck"
    assert cancel(site, interrupted).refusal == (502, "refund_impossible", None)


@pytest.mark.rule("STAT-7")
@pytest.mark.parametrize("answer", [
    refusal(422, "refund", "manager_confirmation"), (401, {}),
], ids=["manager", "credentials"])  # fmt: skip
def test_what_levelup_refuses_for_a_day_is_a_persons(site: Site, interrupted: str, clock: Clock, answer: Any) -> None:
    site.line.faults["/refund"] = [answer] * 3
    assert site.reconcile()[0] == 1 and site.command("cases")[0] == 0
    for hour in (1, 2):
        clock.set(f"2030-06-04T16:0{hour}Z")
        assert site.reconcile()[0] == 1
        status, said = site.command("cases")
        assert status == 1 and interrupted in said and "has to go back" in said
    # The next run finds it allowed.
    assert site.reconcile()[0] == 0 and site.refunded() == [interrupted]
    assert site.command("cases")[0] == 0


@pytest.mark.rule("STAT-7")
def test_a_clock_set_back_hides_no_refused_refund(site: Site, merchant: str, user: str, clock: Clock) -> None:
    clock.set("2031-06-03T16:00Z")
    uuid = site.charged(meal(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["unreached"]
    assert cancel(site, uuid).error["code"] == "refund_pending"
    site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")] * 2
    for day, cases in ((3, 0), (4, 1)):
        clock.set(f"2030-06-0{day}T16:02Z")
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases


@pytest.mark.rule("STAT-7")
def test_a_person_settles_though_the_command_still_tries(site: Site, interrupted: str, clock: Clock) -> None:
    """LevelUp answers each attempt, so none of them may still arrive."""
    site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")] * 2
    for day in (3, 4):
        clock.set(f"2030-06-0{day}T16:03Z")
        assert site.reconcile()[0] == 1
    assert site.command("settle", interrupted, "--by", "Olive", "--why", "paid back by transfer")[0] == 0


@pytest.mark.rule("STAT-7")
def test_a_manager_confirms_when_the_site_asks_again(site: Site, interrupted: str) -> None:
    site.line.faults["/refund"] = [refusal(422, "refund", "manager_confirmation")]
    status, said = site.reconcile()
    assert status == 1 and "still being canceled" in said
    asked = site.call(
        "POST", f"/orders/{interrupted}/cancellation", {"refund": {"manager_confirmation": "1"}}, Idempotency_Key="D"
    )
    assert asked.json["order"]["state"] == "refunded"


def refund_pending(site: Site, uuid: str) -> None:
    """The site has asked for a refund before, and LevelUp has not answered."""
    site.line.faults["/refund"] = ["unreached"] * 9
    assert site.refund(uuid, "R").error["code"] == "refund_pending"
    site.line.faults.clear()


def finished(site: Site, clock: Clock) -> None:
    """Runs of the command, until it is done or needs a person."""
    for minute in (2, 4, 6):
        clock.set(f"2030-06-03T16:0{minute}Z")
        site.reconcile()


@pytest.mark.rule("STAT-7", "WEB-3")
@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "made"])
@pytest.mark.parametrize("answer", ["refused", "refunded"])
def test_a_refund_was_under_way_before(
    site: Site, uuid: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, canceled: bool, answer: str
) -> None:
    refund_pending(site, uuid)
    with monkeypatch.context() as patch:
        if not canceled:
            patch.setattr(f"{ADAPTER}.cancel_order", lambda *_: None)
        kill_after_cancel(site, uuid, monkeypatch)
    if answer == "refused":
        site.line.faults["/refund"] = [refusal(422, "order", "base")] * 9
    finished(site, clock)
    if answer == "refunded":
        assert site.refunded() == [uuid] and site.reconcile() == NOTHING
        # Each of them asked for this refund.
        for key in ("R", "C"):
            assert site.refund(uuid, key).headers["Idempotency-Replayed"] == "true"
    elif canceled:
        assert state(site, uuid) == "stuck" and uuid in site.command("cases")[1]
    else:
        assert state(site, uuid) == "submitted" and site.reconcile() == NOTHING


@pytest.mark.rule("STAT-7", "WEB-5")
def test_killed_at_any_step_during_a_refund_that_levelup_refuses(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock
) -> None:
    ends = set()
    for step in range(100):
        clock.set("2030-06-03T16:00Z")
        uuid = site.charged(meal(merchant, user))["uuid"]
        refund_pending(site, uuid)
        clock.set("2030-06-03T16:01Z")
        site.line.faults["/refund"] = [refusal(422, "order", "base")] * 9
        killer.arm(step)
        try:
            cancel(site, uuid)
        except Killed:
            pass
        dead = killer.dead
        killer.arm(None)
        finished(site, clock)
        end = (stage(site, uuid), state(site, uuid))
        assert end in [("cancelled", "stuck"), ("preparing", "submitted")], step
        ends.add(end)
        if not dead:
            break
    assert step >= 8 and len(ends) == 2 and site.refunded() == []


@pytest.mark.rule("STAT-7", "WEB-5")
def test_killed_at_any_step_after_somebody_else_canceled(
    site: Site, merchant: str, user: str, killer: Killer, clock: Clock
) -> None:
    ends = []
    for step in range(100):
        clock.set("2030-06-03T16:00Z")
        uuid = site.charged(meal(merchant, user))["uuid"]
        site.call_off(clock())
        killer.arm(step)
        try:
            cancel(site, uuid)
        except Killed:
            pass
        dead = killer.dead
        killer.arm(None)
        clock.set(LATER)
        assert site.reconcile()[0] == 0 and site.reconcile() == NOTHING
        ends.append(state(site, uuid))
        if not dead:
            break
    # Before the first step nothing is known of the request.
    assert ends == ["submitted"] + ["refunded"] * step and step >= 6
