"""Placing orders: payment, price, references, magic values, what the kitchen sees."""

from __future__ import annotations

import json
import uuid

import pytest

from levelup_ov.standins.sandbox import magic
from levelup_ov.standins.sandbox.payments import passes_luhn

GOOD_CARD = {"number": "4111111111111111", "code": "123", "month": "01", "year": "2030", "postcode": "02114"}


def card(**changes):
    return {"card": {**GOOD_CARD, **changes}}


@pytest.mark.rule("SUB-1", "PAY-1")
def test_an_order_gets_a_ticket_of_its_place(kitchen):
    first, second, other = kitchen.ordered("congress"), kitchen.ordered("congress"), kitchen.ordered("tokyo")
    assert [order["ticket"] for order in (first, second, other)] == [1, 2, 1]
    assert str(uuid.UUID(first["id"])) == first["id"]
    assert (first["charged"], first["reference"]) == (1070, "ref-1")
    assert first["ready"] == {"at": "2026-11-20T12:10:00-05:00", "words": None}


@pytest.mark.rule("ITEM-8", "MONEY-4", "PAY-1")
def test_the_kitchen_sees_all_of_it(kitchen):
    line = {
        "dish": "burger",
        "count": 2,
        "note": "rare",
        "label": "Ben",
        "picks": [{"group": "side", "choice": "fries", "count": 1, "picks": [{"group": "dips", "choice": "ketchup"}]}],
    }
    receipt = kitchen.ordered("congress", lines=[line], note="back door", gratuity=300, coupon=50)
    seen = kitchen.call("GET", f"/v1/orders/{receipt['id']}", status=200)["order"]
    assert seen["lines"] == [line]
    assert (seen["note"], seen["gratuity"], seen["discounts"]) == ("back door", 300, {"coupon": 50, "house": 0})
    assert (seen["subtotal"], seen["tax"], seen["charged"]) == (3100, 217, 3567)
    assert seen["customer"] == {"name": "Ada Eater", "phone": "+16175550199"}
    assert seen["payment"] == {"kind": "external", "source": "LevelUp"}
    assert seen["ready"]["at"] == "2026-11-20T12:10:00-05:00"
    assert seen["placed_at"] == "2026-11-20T12:00:00-05:00"


@pytest.mark.rule("SUB-5", "SUB-8")
def test_a_reference_belongs_to_one_order_of_a_place(kitchen):
    first, second = kitchen.ordered("congress"), kitchen.ordered("congress")
    assert kitchen.placed("congress", "ref-1") == [first]
    assert kitchen.placed("congress", "ref-2") == [second]
    assert kitchen.placed("tokyo", "ref-1") == []
    cart = kitchen.cart("congress")["cart"]["id"]
    assert kitchen.order_refused(cart, reference="ref-1") == "reference_taken"
    assert kitchen.order(kitchen.cart("tokyo")["cart"]["id"], reference="ref-1")["ticket"] == 1
    assert kitchen.order(cart, reference="ref-3")["ticket"] == 3


@pytest.mark.rule("SUB-10")
def test_a_voided_reference_refuses_what_comes_late(kitchen):
    late, other = kitchen.cart("congress")["cart"]["id"], kitchen.cart("tokyo")["cart"]["id"]
    for _ in range(2):
        assert kitchen.void("congress", "ref-1") == {"location": "congress", "reference": "ref-1"}
    assert kitchen.order_refused(late) == "reference_voided"
    assert kitchen.placed("congress") == []
    assert kitchen.order(other, reference="ref-1")["ticket"] == 1
    assert kitchen.order_refused(kitchen.cart("congress")["cart"]["id"]) == "reference_voided"
    assert kitchen.order(late, reference="another")["ticket"] == 1
    # Whoever has lost the record of the void then finds the order under the next reference (SUB-11).
    assert kitchen.order_refused(late) == "reference_voided"
    assert kitchen.order_refused(late, reference="another") == "reference_taken"
    assert kitchen.order_refused(late, reference="a third") == "cart_ordered"


@pytest.mark.rule("SUB-10")
def test_voiding_a_reference_leaves_its_order(kitchen):
    order = kitchen.ordered("congress")
    kitchen.void("congress", "ref-1")
    assert kitchen.placed("congress") == [order]


@pytest.mark.rule("SUB-10")
def test_a_void_outlives_the_carts_that_it_is_about(kitchen):
    late = kitchen.cart("congress")["cart"]["id"]
    kitchen.void("congress", "ref-1")
    kitchen.pass_time(hours=1, minutes=59)
    kitchen.cart("congress")
    assert kitchen.order_refused(late) == "reference_voided"
    kitchen.pass_time(minutes=1)
    new = kitchen.cart("congress")["cart"]["id"]
    assert kitchen.order_refused(late) == "cart_unknown"
    assert kitchen.order_refused(new) == "reference_voided"


@pytest.mark.parametrize("body", [{}, {"reference": ""}, {"reference": 5}, {"reference": "r", "cart": "c"}])
def test_a_void_names_a_reference(kitchen, body):
    answer = kitchen.call("POST", "/v1/locations/congress/voids", body, status=400)
    assert answer["problem"]["code"] == "malformed"


@pytest.mark.rule("PAY-4")
def test_an_expected_total_that_is_not_the_price_places_nothing(kitchen):
    cart = kitchen.cart("congress")["cart"]["id"]
    assert kitchen.order_refused(cart, expected_total=1069) == "price_changed"
    assert kitchen.order_refused(cart, expected_total="1070") == "malformed"
    assert kitchen.placed("congress") == []
    assert kitchen.order(cart, expected_total=1070)["charged"] == 1070


@pytest.mark.rule("PAY-2", "ERR-4")
def test_a_card_is_charged_and_nothing_of_it_is_kept(kitchen, tmp_path):
    order = kitchen.ordered("card", payment=card(number="4242424242424242", code="9876"))
    kitchen.ordered("card", payment=card(number="4242424242424242", code="9876"))
    assert kitchen.call("GET", f"/v1/orders/{order['id']}")["order"]["payment"] == {"kind": "card", "source": None}
    with kitchen.app.extensions["sandbox"].store.reading():
        files = list(tmp_path.iterdir())
        assert len(files) > 1
        for file in files:
            assert b"4242424242424242" not in file.read_bytes()


@pytest.mark.rule("PAY-3")
def test_a_place_takes_the_payments_that_it_says_it_takes(kitchen):
    cart = kitchen.cart("card")["cart"]["id"]
    assert kitchen.order_refused(cart) == "payment_not_taken"
    cart = kitchen.cart("congress")["cart"]["id"]
    assert kitchen.order_refused(cart, payment={"external": "Barter"}) == "payment_not_taken"
    assert kitchen.order(cart, payment=card())["ticket"] == 1


@pytest.mark.rule("PAY-2")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"number": "4111111111111112"}, "card_invalid"),
        ({"number": "4111 1111 1111 1111"}, "card_invalid"),
        ({"number": "0000"}, "card_invalid"),
        ({"number": None}, "card_invalid"),
        ({"code": "12"}, "card_invalid"),
        ({"month": "13"}, "card_invalid"),
        ({"month": "1"}, "card_invalid"),
        ({"year": "30"}, "card_invalid"),
        ({"month": "10", "year": "2026"}, "card_expired"),
        ({"number": magic.EXPIRED_CARD}, "card_expired"),
        ({"number": magic.DECLINED_CARD}, "card_declined"),
        ({"number": 4111111111111111}, "malformed"),
        ({"cvv": "123"}, "malformed"),
    ],
)
def test_an_unusable_card_is_refused_and_nothing_is_placed(kitchen, changes, code):
    cart = kitchen.cart("card")["cart"]["id"]
    assert kitchen.order_refused(cart, payment=card(**changes)) == code
    assert kitchen.placed("card") == []
    assert kitchen.order(cart, payment=card(month="11", year="2026"))["ticket"] == 1


@pytest.mark.parametrize("payment", [None, {}, [], {"external": "LevelUp", **card()}, {"cash": 1}, {"card": "4111"}])
def test_exactly_one_payment_is_given(kitchen, payment):
    cart = kitchen.cart("congress")["cart"]["id"]
    assert kitchen.order_refused(cart, payment=payment) == "malformed"


@pytest.mark.parametrize("reference", [5, "x" * 256])
def test_a_reference_is_a_text_of_bounded_length(kitchen, reference):
    assert kitchen.order_refused(kitchen.cart("congress")["cart"]["id"], reference=reference) == "malformed"


def quoted(kitchen, note):
    return kitchen.cart("congress", note=note)["cart"]["id"]


def test_sold_out_shows_at_the_order_only(kitchen):
    assert kitchen.order_refused(quoted(kitchen, "sandbox:sold-out")) == "dish_sold_out"
    assert kitchen.placed("congress") == []


@pytest.mark.rule("PAY-4")
def test_a_changed_price_is_refused_where_a_total_was_expected(kitchen):
    cart = quoted(kitchen, "please sandbox:price-change\nthanks")
    assert kitchen.order_refused(cart, expected_total=1070) == "price_changed"
    order = kitchen.order(cart)
    seen = kitchen.call("GET", f"/v1/orders/{order['id']}")["order"]
    assert (order["charged"], seen["subtotal"], seen["note"]) == (1120, 1050, "please sandbox:price-change\nthanks")


@pytest.mark.rule("PAY-4")
def test_an_overcharge_is_placed_and_reported(kitchen):
    assert kitchen.order(quoted(kitchen, "sandbox:overcharge"), expected_total=1070)["charged"] == 1120


@pytest.mark.parametrize(
    ("payment", "code"), [({"external": "LevelUp"}, "payment_declined"), (card(), "card_declined")]
)
def test_a_declined_payment_places_nothing(kitchen, payment, code):
    assert kitchen.order_refused(quoted(kitchen, "sandbox:decline"), payment=payment) == code
    assert kitchen.placed("congress") == []


@pytest.mark.parametrize(("token", "seconds"), [("slow", 20), ("slow=3", 3), ("slow=0", 0), ("slow=999", 60)])
def test_slow_holds_the_answers_back_but_not_the_order(kitchen, token, seconds):
    cart = quoted(kitchen, f"sandbox:{token}")
    assert kitchen.slept == [seconds]
    seen = []
    kitchen.app.extensions["sandbox"].sleep = lambda wait: seen.append((wait, len(kitchen.placed("congress"))))
    kitchen.order(cart)
    assert seen == [(seconds, 1)]


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize(
    ("note", "payment"),
    [("sandbox:lost-answer", {"external": "LevelUp"}), (None, card(number=magic.LOST_ANSWER_CARD))],
)
def test_a_lost_answer_belongs_to_an_order_that_exists(kitchen, note, payment):
    cart = quoted(kitchen, note)
    with pytest.raises(ConnectionAbortedError):
        kitchen.order(cart, payment=payment)
    assert [order["ticket"] for order in kitchen.placed("congress")] == [1]


@pytest.mark.parametrize(
    "note", ["sandbox:declined", "xsandbox:decline", "sandbox:decline!", "SANDBOX:DECLINE", "decline"]
)
def test_only_the_exact_token_is_magic(kitchen, note):
    assert kitchen.order(quoted(kitchen, note))["ticket"] == 1


def test_tokens_on_a_line_are_not_magic(kitchen):
    assert kitchen.ordered("congress", lines=[{"dish": "sandwich", "note": "sandbox:decline"}])["ticket"] == 1


def test_the_table_of_magic_values_is_complete_and_true():
    for token in magic.TOKENS:
        assert magic.magic_in(token.replace("SECONDS", "7").replace("MINUTES", "7")) != magic.Magic(), token
    assert all(passes_luhn(number) for number in magic.CARDS)
    assert not {"4111111111111111", "4242424242424242"} & set(magic.CARDS)
    assert json.dumps({**magic.TOKENS, **magic.CARDS})


def state(kitchen, order):
    return kitchen.call("GET", f"/v1/orders/{order['id']}/state", status=200)["state"]


@pytest.mark.parametrize(
    ("minutes", "word"), [(0, "taken"), (1, "cooking"), (9, "cooking"), (10, "waiting"), (20, "collected")]
)
def test_the_kitchen_works_by_the_clock(kitchen, minutes, word):
    order = kitchen.ordered("congress")
    kitchen.pass_time(minutes=minutes)
    reported = state(kitchen, order)
    assert reported["word"] == word
    assert {name: reported[name] for name in ("id", "location", "reference", "ready")} == {
        name: order[name] for name in ("id", "location", "reference", "ready")
    }
    assert "customer" not in reported


def test_an_order_for_later_is_cooked_in_time(kitchen):
    order = kitchen.ordered("congress", wanted_at="2026-11-20T20:00:00+00:00")
    words = []
    for minutes in (1, 168, 1, 10, 10):
        kitchen.pass_time(minutes=minutes)
        words.append(state(kitchen, order)["word"])
    assert words == ["confirmed", "confirmed", "cooking", "waiting", "collected"]


def test_a_place_without_times_has_its_lead(kitchen):
    order = kitchen.ordered("notips")
    kitchen.pass_time(minutes=10)
    assert state(kitchen, order)["word"] == "waiting"


@pytest.mark.parametrize(
    ("note", "words"),
    [("sandbox:turned-down", ["taken", "turned-down", "turned-down"]),
     ("sandbox:called-off", ["taken", "called-off", "called-off"]),
     ("sandbox:stage=on-fire", ["on-fire", "on-fire", "on-fire"])],
)  # fmt: skip
def test_magic_ends_of_an_order(kitchen, note, words):
    order = kitchen.ordered("congress", note=note)
    seen = []
    for minutes in (0, 2, 60):
        kitchen.pass_time(minutes=minutes)
        seen.append(state(kitchen, order)["word"])
    assert seen == words


def test_an_unknown_order_has_no_state(kitchen):
    assert kitchen.call("GET", "/v1/orders/none/state", status=404)["problem"]["code"] == "order_unknown"
