"""A charge that a command finds, and a meal of which the ledger has no record, at each kind of provider."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import JSONObject
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.errors import Unanswered
from levelup_ov.ordering.service import Service
from tests.channel import USER, Clock, item
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal, order
from tests.checkout.test_checkout_lost_rows import cases, later
from tests.checkout.test_checkout_money import ledger_of
from tests.checkout.test_checkout_restored import NOTHING
from tests.checkout.test_checkout_submissions import LOST
from tests.servers import square, toast

SQUARE = """
[accounts.one]
provider = "square"
name = "Ada's"
settings = {{access_token = "env:PROVIDER_TOKEN", base_url = "{url}"}}
"""
TOAST = """
[accounts.one]
provider = "toast"
name = "Boston Grill"
[accounts.one.settings]
client_secret = "env:PROVIDER_TOKEN"
"""
BURGERS = {
    "square": (f"one.{square.BOSTON}", item("VBURGER", "MSIDE:OFRIES")),
    "toast": (f"one.{toast.BOSTON}", item(
        "lunch:mains:burger", "side:fries", "side:fries:dip@2:mayo", "side:fries:dip@2:mayo:heat:hot"
    )),
}  # fmt: skip


def burger(merchant: str, user: str, provider: str = "square", **members: Any) -> Any:
    """A burger for 1070 cents at Square, and for 1161 at Toast."""
    place, line = BURGERS[provider]
    submission = {"user": USER, "items": [line]}
    sums = {"outstanding_amount": 1070, "tax_amount": 70} if provider == "square" else {
        "outstanding_amount": 1161, "tax_amount": 76,
    }  # fmt: skip
    body = order(merchant, user, **{"discount_amount": 0, **sums, **members})
    return {**body, "provider_location_id": place, "order_submission": submission}


@pytest.fixture
def at_square() -> Iterator[square.Square]:
    server = square.Square()
    yield server
    assert server.violations == []


@pytest.fixture
def shop(at_square: square.Square, make_site: MakeSite, tmp_path: Path) -> Iterator[Site]:
    """A site whose meals are made by a restaurant with Square."""
    with square.serving(at_square) as url:
        (tmp_path / "square.toml").write_text(SQUARE.format(url=url))
        yield make_site(LEVELUP_OV_ACCOUNTS=str(tmp_path / "square.toml"), PROVIDER_TOKEN=square.TOKEN)


@pytest.fixture
def grill(make_site: MakeSite, tmp_path: Path) -> Iterator[tuple[Site, toast.ToastServer]]:
    """A site whose meals are made by a restaurant with Toast."""
    with toast.ToastServer() as server:
        lines = "".join(f'{name} = "{value}"\n' for name, value in server.settings().items())
        (tmp_path / "toast.toml").write_text(TOAST + lines)
        yield make_site(LEVELUP_OV_ACCOUNTS=str(tmp_path / "toast.toml"), PROVIDER_TOKEN=toast.CLIENT_SECRET), server


def charged_unheard(site: Site, body: Any, key: str = "K") -> None:
    """LevelUp charges, and none of its answers arrives."""
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, key).refusal == (504, "outcome_unknown", None)
    site.line.faults.clear()


def forget_meals(site: Site) -> None:
    """The database loses every meal's row."""
    with closing(sqlite3.connect(ledger_of(site))) as ledger, ledger:
        meals = "SELECT id FROM submissions WHERE account IN ('one', 'sandbox')"
        ledger.execute(f"DELETE FROM identities WHERE submission IN ({meals})")
        ledger.execute(f"DELETE FROM submissions WHERE id IN ({meals})")
        ledger.execute("UPDATE checkout_orders SET state = 'submitting', submitted = NULL")


def replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner's adapter whose provider answers the same request again, and looks nothing up."""
    monkeypatch.setattr(SandboxAdapter, "recovery", "replay")
    monkeypatch.setattr(SandboxAdapter, "fences", False)


def reads_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that looks orders up by what it recorded, and does not say so."""
    find = SandboxAdapter.find_order
    monkeypatch.setattr(SandboxAdapter, "fences", False)
    monkeypatch.setattr(
        SandboxAdapter, "find_order", lambda *some: JSONObject(some[3]).cents("expected_total") and find(*some)
    )


def indexes_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    find = SandboxAdapter.find_order
    monkeypatch.setattr(SandboxAdapter, "fences", False)
    monkeypatch.setattr(SandboxAdapter, "find_order", lambda *some: some[3]["expected_total"] and find(*some))


def looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SandboxAdapter, "fences", False)


KINDS: list[Callable[[pytest.MonkeyPatch], None]] = [replays, reads_trace, indexes_trace, looks_up, lambda _: None]


@pytest.mark.rule("WEB-5", "SUB-5")
@pytest.mark.parametrize("kind", KINDS)
def test_a_charge_that_nobody_had_heard_of_is_refunded_at_once(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    kind(monkeypatch)
    charged_unheard(site, meal(merchant, user))
    later(clock)
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), len(site.refunded()), site.meals(), cases(site)) == ([], 1, 0, [])
    assert site.reconcile() == NOTHING
    assert site.charge(meal(merchant, user), "K").refusal == (422, "charge_refunded", None)
    assert site.charged(meal(merchant, user), "L")["state"] == "submitted"


@pytest.mark.rule("WEB-5", "SUB-5")
def test_a_charge_without_a_meal_is_refunded_at_square(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock
) -> None:
    charged_unheard(shop, burger(merchant, user))
    later(clock)
    assert shop.reconcile()[0] == 0
    assert (shop.unrefunded(), len(shop.refunded()), at_square.kitchen, cases(shop)) == ([], 1, [], [])
    assert shop.charge(burger(merchant, user), "K").refusal == (422, "charge_refunded", None)
    assert shop.charged(burger(merchant, user), "L")["state"] == "submitted"
    assert (len(shop.unrefunded()), len(at_square.kitchen)) == (1, 1)


@pytest.mark.rule("WEB-5", "SUB-5")
@pytest.mark.parametrize("asked_by", ["the command", "the site"])
def test_a_charge_without_a_meal_waits_until_square_answers(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock, asked_by: str
) -> None:
    body = burger(merchant, user)
    if asked_by == "the site":
        body["order_submission"]["items"] = [item("VGONE")]
    charged_unheard(shop, body)
    later(clock)

    def ask() -> None:
        if asked_by == "the command":
            assert shop.reconcile()[0] == 1
        else:
            assert shop.charge(body, "K").refusal == (504, "outcome_unknown", None)

    for _ in range(2):
        at_square.faults.append(square.Fault("/v2/orders/search", status=200, body={"orders": "?"}))
        ask()
        assert (len(shop.unrefunded()), cases(shop)) == (1, [])
        later(clock)
    if asked_by == "the command":
        assert shop.reconcile()[0] == 0
    else:
        assert shop.charge(body, "K").refusal == (422, "unknown_item", None)
    assert (shop.unrefunded(), at_square.kitchen, shop.reconcile()) == ([], [], NOTHING)


@pytest.mark.rule("WEB-5", "SUB-4")
def test_a_charge_that_is_found_still_gets_its_meal_at_square(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock
) -> None:
    charged_unheard(shop, burger(merchant, user))
    later(clock)
    done = shop.charged(burger(merchant, user), "K")
    assert (done["state"], shop.unrefunded(), len(at_square.kitchen)) == ("submitted", [done["uuid"]], 1)
    assert shop.reconcile() == NOTHING


@pytest.mark.rule("WEB-5", "ERR-1")
@pytest.mark.parametrize("kind", KINDS)
def test_a_found_charge_whose_meal_is_refused_unsent(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """It never reached the provider, and the site learns at once why."""
    kind(monkeypatch)
    charged_unheard(site, meal(merchant, user))
    later(clock)

    def fail(*_: object) -> None:
        raise Unanswered("provider_unavailable", "no connection", sent=False)

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "submit_order", fail)
        told = site.charge(meal(merchant, user), "K")
    assert told.refusal == (422, "charge_refunded", None) and "no connection" in told.error["message"]
    assert (site.unrefunded(), site.meals()) == ([], 0)


@pytest.mark.rule("WEB-5", "ERR-1")
def test_a_found_charge_whose_meal_square_refuses(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock
) -> None:
    body = burger(merchant, user)
    body["order_submission"]["items"] = [item("VGONE")]
    charged_unheard(shop, body)
    later(clock)
    told = shop.charge(body, "K")
    assert told.refusal == (422, "unknown_item", None)
    assert (shop.unrefunded(), at_square.kitchen) == ([], [])


@pytest.mark.rule("WEB-5", "SUB-5")
def test_a_meal_that_square_shows_is_not_given_back(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock
) -> None:
    """Its row is lost, so only its reference leads to it, which is on another page."""
    done = shop.charged(burger(merchant, user), "K")
    other = burger(merchant, user)
    # An equal one would wait until the outcome of this one is known.
    other["order_submission"]["special_instructions"] = "No salt."
    shop.charged(other, "L")
    forget_meals(shop)
    later(clock)
    assert shop.reconcile()[0] == 0
    found = shop.get(f"/orders/{done['uuid']}")["order"]
    assert (found["state"], found["order_submission"]["order_id"]) == (
        "submitted", done["order_submission"]["order_id"]
    )  # fmt: skip
    assert (len(shop.unrefunded()), len(at_square.kitchen), cases(shop)) == (2, 2, [])


@pytest.mark.rule("WEB-5", "EVT-8")
@pytest.mark.parametrize("made", [True, False])
def test_what_square_does_not_show_is_a_case_at_once(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock, made: bool
) -> None:
    """Nothing says that its search shows each order, so the charge stays until somebody knows."""
    done = shop.charged(burger(merchant, user), "K")
    forget_meals(shop)
    at_square.shows_orders = False
    if not made:
        at_square.forget()
    later(clock)
    for _ in range(2):
        assert shop.reconcile()[0] == 1
        assert [each.case_kind for each in cases(shop)] == ["meal_unproven"]
    assert shop.unrefunded() == [done["uuid"]]
    told = shop.refund(done["uuid"])
    assert told.refusal == (409, "submission_in_progress", None) and "provider has this order" in told.error["message"]
    assert shop.charged(burger(merchant, user), "K")["state"] == "submitted"
    assert (shop.unrefunded(), len(at_square.kitchen), cases(shop)) == ([done["uuid"]], 1, [])


@pytest.mark.rule("WEB-5", "EVT-8")
def test_a_case_of_a_lost_meal_is_settled_by_a_person(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock
) -> None:
    done = shop.charged(burger(merchant, user), "K")
    forget_meals(shop)
    at_square.shows_orders = False
    later(clock)
    assert shop.reconcile()[0] == 1
    assert shop.command("settle", done["id"], "--by", "O", "--why", "it was made")[0] == 0
    assert (cases(shop), shop.reconcile(), shop.unrefunded()) == ([], NOTHING, [done["uuid"]])
    # The guest may order the same again.
    assert shop.charged(burger(merchant, user), "L")["state"] == "submitted"


@pytest.mark.rule("WEB-5", "SUB-5")
def test_a_lost_meal_whose_provider_replays_is_sent_again(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays(monkeypatch)
    done = site.charged(meal(merchant, user), "K")
    forget_meals(site)
    later(clock)
    assert site.reconcile()[0] == 1
    assert [each.case_kind for each in cases(site)] == ["meal_unproven"]
    again = site.charged(meal(merchant, user), "K")
    assert again["order_submission"] == done["order_submission"]
    assert (site.unrefunded(), site.meals(), cases(site)) == ([done["uuid"]], 1, [])


@pytest.mark.rule("WEB-5")
@pytest.mark.parametrize("nobody_heard", [True, False])
def test_an_account_that_is_gone_proves_nothing(
    site: Site, make_site: MakeSite, merchant: str, user: str, clock: Clock, tmp_path: Path, nobody_heard: bool
) -> None:
    if nobody_heard:
        charged_unheard(site, meal(merchant, user))
    else:
        site.charged(meal(merchant, user), "K")
        forget_meals(site)
    later(clock)
    (tmp_path / "others.toml").write_text('[accounts.other]\nprovider = "sandbox"\nname = "Other"\n')
    site = make_site(LEVELUP_OV_ACCOUNTS=str(tmp_path / "others.toml"))
    assert site.reconcile()[0] == (0 if nobody_heard else 1)
    assert [each.case_kind for each in cases(site)] == ([] if nobody_heard else ["meal_unproven"])
    assert len(site.unrefunded()) == (0 if nobody_heard else 1)


@pytest.mark.rule("WEB-5", "SUB-11")
def test_a_meal_of_another_period_has_an_unknown_reference(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.charged(meal(merchant, user), "K")
    forget_meals(site)
    clock.now += timedelta(days=40)
    assert site.reconcile()[0] == 1
    assert ([each.case_kind for each in cases(site)], len(site.unrefunded())) == (["meal_unproven"], 1)


@pytest.mark.rule("WEB-5")
def test_a_database_that_loses_what_a_repeated_request_has_done(
    site: Site, merchant: str, user: str, clock: Clock, tmp_path: Path
) -> None:
    """Its charge was not known yet in the copy, but the provider is asked before it is given back."""
    charged_unheard(site, meal(merchant, user))
    with closing(sqlite3.connect(ledger_of(site))) as ledger, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        ledger.backup(copy)
    later(clock)
    done = site.charged(meal(merchant, user), "K")
    with closing(sqlite3.connect(ledger_of(site))) as ledger, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        copy.backup(ledger)
    assert site.reconcile()[0] == 0
    assert site.get(f"/orders/{done['uuid']}")["order"]["order_submission"] == done["order_submission"]
    assert site.unrefunded() == [done["uuid"]]


@pytest.mark.rule("WEB-5")
def test_a_command_leaves_an_order_to_the_request_that_has_it(
    site: Site, make_site: MakeSite, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has found its charge; a repeated request is about to submit it, and is slow."""
    charged_unheard(site, meal(merchant, user))
    later(clock)
    other, told, is_there, may_go_on = make_site(), list[Any](), Event(), Event()
    request = Thread(target=lambda: told.append(other.charged(meal(merchant, user), "K")))
    read, submit = Orders.show, Service.submit_order

    def repeat_first(orders: Orders, id: str) -> StoredOrder:
        monkeypatch.setattr(Orders, "show", read)
        request.start()
        assert is_there.wait(20)
        return read(orders, id)

    def submit_slowly(*arguments: Any, **named: Any) -> Any:
        is_there.set()
        assert may_go_on.wait(20)
        return submit(*arguments, **named)

    monkeypatch.setattr(Orders, "show", repeat_first)
    monkeypatch.setattr(Service, "submit_order", submit_slowly)
    status, _ = site.reconcile()
    may_go_on.set()
    request.join(20)
    assert (status, [each["state"] for each in told]) == (1, ["submitted"])
    assert (site.unrefunded(), site.meals(), site.reconcile()) == ([told[0]["uuid"]], 1, NOTHING)


# A location whose id is escaped.


def colon(server: toast.ToastServer, make_site: MakeSite, tmp_path: Path, *ids: str) -> Site:
    """A site whose restaurants' ids have a colon, or a percent sign."""
    for id in ids:
        server.restaurants[id] = server.restaurants[toast.BOSTON]
    settings = server.settings(restaurants=", ".join(ids))
    lines = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
    (tmp_path / "toast.toml").write_text(TOAST + lines)
    return make_site(LEVELUP_OV_ACCOUNTS=str(tmp_path / "toast.toml"), PROVIDER_TOKEN=toast.CLIENT_SECRET)


@pytest.fixture
def server() -> Iterator[toast.ToastServer]:
    with toast.ToastServer() as server:
        yield server


@pytest.mark.rule("EP-7", "WEB-5", "SUB-5")
@pytest.mark.parametrize("place", ["one.R:1", "one.R%3A1", "one.R%253A1"])
@pytest.mark.parametrize("first", ["reconcile", "submissions"])
def test_a_meal_is_found_however_its_location_was_spelled(
    server: toast.ToastServer, make_site: MakeSite, merchant: str, user: str, clock: Clock, tmp_path: Path, place: str,
    first: str,
) -> None:  # fmt: skip
    site = colon(server, make_site, tmp_path, "R:1")
    body = burger(merchant, user, "toast") | {"provider_location_id": place}
    server.fault("/orders/v2/orders", "lost")
    server.fault("/orders/v2/orders/<key>", *["lost"] * 4)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    server.faults.clear()
    later(clock)
    # As a process that has not read the list yet.
    cold = colon(server, make_site, tmp_path, "R:1")
    if first == "submissions":
        reconcile_meals(cold)
    assert cold.reconcile()[0] == 0
    done = cold.charged(body, "K")
    assert (done["state"], done["provider_location_id"]) == ("submitted", "one.R%3A1")
    assert (cold.unrefunded(), len(server.orders), cases(cold)) == ([done["uuid"]], 1, [])
    # However the site spells it.
    for other in ("one.R:1", "one.R%3A1", "one.R%253A1"):
        assert cold.charged(body | {"provider_location_id": other}, "K") == done


@pytest.mark.rule("EP-7", "SUB-4")
def test_a_spelling_that_may_be_two_locations_needs_the_list(
    server: toast.ToastServer, make_site: MakeSite, merchant: str, user: str, clock: Clock, tmp_path: Path
) -> None:
    site = colon(server, make_site, tmp_path, "R:1", "R%3A1")
    bodies = {
        id: burger(merchant, user, "toast") | {"provider_location_id": f"one.{id}"} for id in ("R%253A1", "R%3A1")
    }
    done = {id: site.charged(body, id) for id, body in bodies.items()}
    assert [each["provider_location_id"] for each in done.values()] == ["one.R%253A1", "one.R%3A1"]
    later(clock)
    (tmp_path / "data" / "cache.db").unlink(missing_ok=True)
    cold = colon(server, make_site, tmp_path, "R:1", "R%3A1")
    server.overrides["/authentication/v1/authentication/login"] = toast.Refusal(500, "down")
    for id, body in bodies.items():
        assert cold.charged(body, id)["uuid"] == done[id]["uuid"]
    assert cold.charge(bodies["R%253A1"], "L").status in (502, 503, 504)
    assert len(cold.unrefunded()) == 2


# PAY-4: what was charged, and what the meal costs.


def reconcile_meals(site: Site) -> None:
    assert site.app.test_cli_runner().invoke(args=["submissions", "reconcile"]).exit_code == 0


def mismatches(site: Site) -> list[tuple[Any, Any]]:
    found = site.app.extensions["levelup_ov"].submissions.ledger.reader.find(charge_mismatch=True)
    return [(each.expected_charge, each.charged) for each in found]


WAYS = ("the command", "the command for meals", "the site")


def found_by(way: str, site: Site, body: Any, clock: Clock) -> None:
    """A meal whose answer was lost is found."""
    later(clock)
    if way == "the command":
        assert site.reconcile()[0] == 0
    if way == "the command for meals":
        reconcile_meals(site)
    assert site.charged(body, "K")["state"] == "submitted"
    assert site.charged(body, "K")["state"] == "submitted"


@pytest.mark.rule("PAY-4", "SUB-5")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("charged", [1070, 1080])
def test_another_price_of_a_meal_that_is_found(
    site: Site, merchant: str, user: str, clock: Clock, caplog: pytest.LogCaptureFixture, way: str, charged: int
) -> None:
    body = meal(merchant, user, note=LOST, outstanding_amount=charged)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    found_by(way, site, body, clock)
    told = [record.levelname for record in caplog.records if record.message == "charge_mismatch"]
    assert (told, mismatches(site)) == ((["ERROR"], [(870, 880)]) if charged == 1080 else ([], []))


@pytest.mark.rule("PAY-4", "SUB-5")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("charged", [1161, 1171])
def test_another_price_of_a_meal_that_toast_has(
    grill: tuple[Site, toast.ToastServer], merchant: str, user: str, clock: Clock, caplog: pytest.LogCaptureFixture,
    way: str, charged: int,
) -> None:  # fmt: skip
    """Its look-up says what the order costs, and not what it was asked to charge."""
    site, server = grill
    body = burger(merchant, user, "toast", outstanding_amount=charged)
    server.fault("/orders/v2/orders", "lost")
    server.fault("/orders/v2/orders/<key>", *["lost"] * 4)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    server.faults.clear()
    found_by(way, site, body, clock)
    told = [record.levelname for record in caplog.records if record.message == "charge_mismatch"]
    assert (told, mismatches(site)) == ((["ERROR"], [(1161, 1171)]) if charged == 1171 else ([], []))


@pytest.mark.rule("PAY-4", "SUB-5")
@pytest.mark.parametrize("way", WAYS)
def test_another_price_of_a_meal_that_square_has(
    shop: Site, at_square: square.Square, merchant: str, user: str, clock: Clock, caplog: pytest.LogCaptureFixture,
    way: str,
) -> None:  # fmt: skip
    body = burger(merchant, user, outstanding_amount=1080)
    at_square.faults.extend(square.Fault("/v2/payments", "after") for _ in range(3))
    at_square.faults.extend(square.Fault("/v2/orders/order-1", "before") for _ in range(6))
    assert shop.charge(body, "K").refusal == (504, "outcome_unknown", None)
    at_square.faults.clear()
    found_by(way, shop, body, clock)
    assert (mismatches(shop), caplog.messages.count("charge_mismatch")) == ([(1070, 1080)], 1)


@pytest.mark.rule("MONEY-4", "WEB-5")
def test_a_tip_that_a_location_does_not_take_is_not_charged(shop: Site, merchant: str, user: str) -> None:
    told = shop.charge(burger(merchant, user, tip_amount=200))
    assert told.refusal == (422, "amounts_do_not_add_up", "$.order.tip_amount")
    assert not shop.line.count("orders")
