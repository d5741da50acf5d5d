"""The database goes back after a charged order was answered: what it does not know proves nothing about the meal."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.errors import Unanswered
from tests.channel import Clock
from tests.checkout.site import PAYMENT, Site, meal, order
from tests.checkout.test_checkout_lost_rows import cases, later, lose
from tests.checkout.test_checkout_money import ledger_of
from tests.checkout.test_checkout_submissions import REFUSED, Killed

NOTHING = (0, "0 finished, 0 still unfinished\n")
POINTS = ("while LevelUp charges", "before the meal is placed", "without the meal's row")
PLACES = SandboxAdapter.submit_order


def copy(source: Any, target: Any) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


@pytest.fixture
def go_back(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], None]]:
    """Copies the ledger at a point of the next order; what it returns restores the copy."""

    def at(point: str, place: Callable[..., Any] = PLACES) -> Callable[[], None]:
        kept = tmp_path / "copy.db"

        def keep() -> None:
            if not kept.exists():
                copy(ledger_of(site), kept)

        def submit_order(*arguments: Any) -> Any:
            if point != POINTS[0]:
                keep()
            return place(*arguments)

        if point == POINTS[0]:
            site.line.meanwhile["/completed_orders"] = [keep]
        monkeypatch.setattr(SandboxAdapter, "submit_order", submit_order)

        def restore() -> None:
            copy(kept, ledger_of(site))
            if point == POINTS[2]:
                with closing(sqlite3.connect(ledger_of(site))) as ledger, ledger:
                    ledger.execute("DELETE FROM identities WHERE submission IN (SELECT id FROM submissions "
                                   "WHERE account = 'sandbox')")  # fmt: skip
                    ledger.execute("DELETE FROM submissions WHERE account = 'sandbox'")

        return restore

    return at


@pytest.mark.rule("WEB-5", "SUB-11")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fences", [True, False])
@pytest.mark.parametrize("number", [None, "17"])
def test_a_meal_that_was_made_is_not_given_back(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: str,
    fences: bool, number: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(SandboxAdapter, "fences", fences)
    restore, body = go_back(point), meal(merchant, user, number=number)
    done = site.charged(body, "K")
    restore()
    later(clock)
    assert site.reconcile()[0] == 0
    found = site.get(f"/orders/{done['uuid']}")["order"]
    assert (found["state"], found["order_submission"]["order_id"]) == (
        "submitted", done["order_submission"]["order_id"]
    )  # fmt: skip
    assert (site.unrefunded(), site.meals(), site.reconcile()) == ([done["uuid"]], 1, NOTHING)
    assert site.charged(body, "K")["order_submission"] == found["order_submission"]


@pytest.mark.rule("WEB-5", "SUB-11")
@pytest.mark.parametrize("ended", ["refused", "unsent"])
def test_a_meal_that_followed_another_attempt_is_found(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """Its reference comes from an earlier order of the same number."""
    if ended == "refused":
        assert site.charge(meal(merchant, user, number="17", note=REFUSED), "J").status == 422
    else:
        with monkeypatch.context() as patch:
            patch.setattr(SandboxAdapter, "submit_order", _fail)
            assert site.charge(meal(merchant, user, number="17"), "J").status == 422
    restore = go_back(POINTS[0])
    done = site.charged(meal(merchant, user, number="17"), "K")
    restore()
    later(clock)
    assert site.reconcile()[0] == 0
    assert site.get(f"/orders/{done['uuid']}")["order"]["order_submission"] == done["order_submission"]
    assert (site.unrefunded(), site.meals()) == ([done["uuid"]], 1)


def _die(*_: object) -> None:
    raise Killed


def _fail(*_: object) -> None:
    raise Unanswered("provider_unavailable", "no connection", sent=False)


@pytest.mark.rule("WEB-5", "SUB-10")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fences", [True, False])
def test_a_meal_that_was_not_made_is_given_back_with_proof(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: str,
    fences: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(SandboxAdapter, "fences", fences)
    restore = go_back(point, _die)
    with pytest.raises(Killed):
        site.charge(meal(merchant, user), "K")
    restore()
    later(clock)
    if fences:
        assert site.reconcile()[0] == 0
    else:
        assert site.reconcile_twice(clock)[0] == 0
    assert (site.unrefunded(), site.meals(), site.reconcile()) == ([], 0, NOTHING)


@pytest.mark.rule("WEB-5", "EVT-8")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("ends", ["by itself", "by a person"])
def test_nothing_is_given_back_while_nobody_can_be_asked(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: str,
    ends: str,
) -> None:  # fmt: skip
    restore = go_back(point)
    done = site.charged(meal(merchant, user), "K")
    restore()
    with monkeypatch.context() as patch:
        for call in ("fence_order", "find_order"):
            patch.setattr(SandboxAdapter, call, _fail)
        for _ in range(2):
            later(clock)
            assert site.reconcile()[0] == 1 and cases(site) == []
        clock.now += timedelta(days=1)
        assert site.reconcile()[0] == 1
        assert [each.case_kind for each in cases(site)] == ["meal_unproven"]
        assert site.unrefunded() == [done["uuid"]]
        if ends == "by a person":
            assert site.command("settle", done["id"], "--by", "O", "--why", "it was made")[0] == 0
            assert "whether this order was placed" in site.charge(meal(merchant, user), "K").error["message"]
            assert (site.unrefunded(), cases(site)) == ([done["uuid"]], [])
            return
    assert site.reconcile()[0] == 0
    found = site.get(f"/orders/{done['uuid']}")["order"]
    assert (found["state"], found["order_submission"]) == ("submitted", done["order_submission"])
    assert (cases(site), site.unrefunded()) == ([], [done["uuid"]])


@pytest.mark.rule("WEB-5", "SUB-10", "SUB-11")
def test_a_meal_that_may_be_on_its_way_is_fenced_first(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, asked = list[str](), list[str]()
    fence, find = SandboxAdapter.fence_order, SandboxAdapter.find_order

    def die(*arguments: Any) -> Any:
        sent.append(arguments[1].reference)
        _die()

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (asked.append(f"{call.__name__} {arguments[2]}"), call(*arguments))[1]

    monkeypatch.setattr(SandboxAdapter, "fence_order", watched(fence))
    monkeypatch.setattr(SandboxAdapter, "find_order", watched(find))
    restore = go_back(POINTS[2], die)
    with pytest.raises(Killed):
        site.charge(meal(merchant, user), "K")
    restore()
    later(clock)
    assert site.reconcile()[0] == 0
    assert asked == [f"fence_order {sent[0]}", f"find_order {sent[0]}"]


@pytest.mark.rule("WEB-5")
@pytest.mark.parametrize("point", POINTS)
def test_a_repeated_request_gives_no_meal_back(
    site: Site, merchant: str, go_back: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """It fails before the provider sees it, which says nothing about an earlier one."""
    body = meal(merchant, site.connect_user(permissions=PAYMENT))
    restore = go_back(point)
    done = site.charged(body, "K")
    restore()
    later(clock)
    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "submit_order", _fail)
        assert site.charged(body, "K")["order_submission"] == done["order_submission"]
    assert (site.unrefunded(), site.meals()) == ([done["uuid"]], 1)


@pytest.mark.rule("WEB-5")
def test_a_meal_without_its_charge_in_the_ledger(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock
) -> None:
    restore = go_back(POINTS[1])
    done = site.charged(meal(merchant, user), "K")
    restore()
    lose(site, ("identities", "submissions"))()
    later(clock)
    assert site.reconcile()[0] == 0
    assert site.get(f"/orders/{done['uuid']}")["order"]["order_submission"] == done["order_submission"]


@pytest.mark.rule("WEB-1", "WEB-4")
@pytest.mark.parametrize("when", ["before the command", "after it"])
def test_a_charge_without_a_meal_stays_if_the_site_asks(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock, when: str
) -> None:
    """The database goes back to the moment in which LevelUp charges, after the site was told of the charge."""
    restore, body = go_back(POINTS[0]), order(merchant, user)
    done = site.charged(body, "K")
    restore()
    later(clock)
    if when == "before the command":
        # To read an order whose charge is not known keeps nothing.
        assert site.get(f"/orders/{done['id']}")["order"]["state"] == "charging"
        assert site.charged(body, "K")["uuid"] == done["uuid"]
    else:
        assert site.reconcile()[0] == 0
        assert site.get(f"/orders/{done['id']}")["order"]["state"] == "charged"
    clock.now += timedelta(minutes=11)
    assert site.reconcile() == NOTHING
    assert (site.unrefunded(), site.charged(body, "K")["uuid"]) == ([done["uuid"]], done["uuid"])


@pytest.mark.rule("WEB-4")
def test_a_charge_without_a_meal_goes_back_if_no_site_asks(
    site: Site, merchant: str, user: str, go_back: Any, clock: Clock
) -> None:
    restore = go_back(POINTS[0])
    done = site.charged(order(merchant, user), "K")
    restore()
    later(clock)
    assert site.reconcile()[0] == 0
    clock.now += timedelta(minutes=11)
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), site.refunded(), cases(site)) == ([], [done["uuid"]], [])
