"""Creating, reading, replacing and canceling sessions, and completing them undisturbed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from levelup_ov.sessions.model import Buyer, Line
from tests.channel import Clock
from tests.sessions.conftest import ROBIN, Front, MakeFront, basket, codes, refusal


def test_a_basket_is_priced_in_lines(front: Front) -> None:
    lines = Line("sandwich", 2, reference="a"), Line("lemonade", 1, reference="b")
    made = front.create(basket(*lines, tip=150))
    assert made.price is not None and made.state == "ready_for_complete"
    totals = made.price.totals
    assert [line.reference for line in made.price.lines] == ["a", "b"]
    assert made.price.lines[0].name == "Club sandwich" and made.price.lines[0].unit_price == 1000
    assert totals.subtotal == sum(line.subtotal for line in made.price.lines)
    assert totals.total == totals.subtotal + totals.tax + 150
    assert (made.currency, made.time_zone, made.location_name) == ("USD", "America/New_York", "Congress Street")


def test_a_session_is_read_as_it_was_made(front: Front) -> None:
    made = front.create(basket(note="no onions, please", tip=1, extra={"front": {"kept": [1, None]}}))
    assert front.read(made) == made


def test_a_session_belongs_to_its_caller(front: Front) -> None:
    made, other = front.create(), front.of("another")
    for call in (other.read, other.complete, other.cancel):
        assert refusal(call, made) == "session_not_found"
    assert refusal(other.replace, made, basket()) == "session_not_found"
    assert front.read(made) == made


def test_an_unknown_location_makes_no_session(front: Front) -> None:
    assert refusal(front.create, basket(location_id="sandbox.nowhere")) == "location_not_found"


@pytest.mark.parametrize(
    ("lines", "code", "path"),
    [
        ((Line("sandwich", 1), Line("nothing", 1)), "unknown_item", "lines[1]"),
        ((), "invalid_member", "lines"),
    ],
    ids=["unknown", "empty"],
)
def test_what_cannot_be_ordered_is_a_problem(front: Front, lines: tuple[Line, ...], code: str, path: str) -> None:
    made = front.create(structs.replace(basket(), lines=lines))
    assert (made.state, made.price) == ("incomplete", None)
    assert codes(made) == [(code, path)]
    assert front.complete(made) == made
    assert front.replace(made, basket()).state == "ready_for_complete"


@pytest.mark.rule("UCP-14")
@pytest.mark.parametrize(
    ("buyer", "path"),
    [
        (None, "buyer.first_name"),
        (Buyer(last_name="Example", phone="617-555-0142"), "buyer.first_name"),
        (Buyer("Robin", " ", "617-555-0142"), "buyer.last_name"),
        (Buyer("Robin", "Example"), "buyer.phone"),
    ],
    ids=["nobody", "first", "last", "phone"],
)
def test_a_basket_is_priced_before_its_buyer_is_known(front: Front, buyer: Buyer | None, path: str) -> None:
    made = front.create(basket(buyer=buyer))
    assert made.state == "incomplete" and made.price is not None
    assert ("buyer_incomplete", path) in codes(made)
    assert front.complete(made).state == "incomplete"
    ready = front.replace(made, basket())
    assert ready.state == "ready_for_complete" and not ready.problems


def test_a_replaced_basket_has_its_own_price(front: Front) -> None:
    made = front.create()
    twice = front.replace(made, basket(Line("sandwich", 2)))
    assert twice.price and made.price and twice.price.totals.subtotal == 2 * made.price.totals.subtotal
    assert (twice.version, twice.changed) == (made.version + 1, False)
    assert front.read(made) == twice


@pytest.mark.rule("UCP-14")
def test_the_same_order_is_not_priced_again(front: Front, clock: Clock) -> None:
    made = front.create(basket(Line("sandwich", 1, reference="a")))
    clock.set("2030-06-03T16:05Z")
    named = front.replace(made, basket(Line("sandwich", 1, reference="b"), extra={"seen": True}))
    assert named.price and made.price and named.price.at == made.price.at
    assert named.price.lines[0].reference == "b" and named.basket.extra == {"seen": True}
    clock.set("2030-06-03T16:15Z")
    later = front.replace(made, named.basket)
    assert later.price and later.price.at > made.price.at
    other = front.replace(made, basket(buyer=structs.replace(ROBIN, phone="617-555-0143")))
    assert other.price and other.price.at == later.price.at


def test_a_canceled_session_stays_canceled(front: Front) -> None:
    made = front.create()
    assert front.cancel(made).state == "canceled"
    assert front.read(made).state == "canceled"
    assert refusal(front.complete, made) == refusal(front.cancel, made) == "session_closed"
    assert refusal(front.replace, made, basket()) == "session_closed"


@pytest.mark.rule("UCP-14")
def test_a_session_expires(front: Front, clock: Clock) -> None:
    made = front.create()
    clock.set("2030-06-04T16:01Z")
    assert refusal(front.read, made) == refusal(front.complete, made) == "session_not_found"


def test_an_account_has_a_currency(make_front: MakeFront, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text('[accounts.berlin]\nprovider = "sandbox"\nname = "Imbiss"\ncurrency = "EUR"\n')
    made = make_front(LEVELUP_OV_ACCOUNTS=str(file)).create(basket(location_id="berlin.congress"))
    assert (made.state, made.currency) == ("ready_for_complete", "EUR")


def test_a_completed_session_has_its_order(front: Front) -> None:
    made = front.create()
    done = front.complete(made)
    assert done.state == "completed" and done.order and done.order.number
    assert done.order.ready_at == made.price.soonest
    assert front.read(made) == done
    assert front.sessions.track(front.caller, made.id, front.context()).order_id == int(done.order.number)
