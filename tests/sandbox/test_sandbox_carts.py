"""What the engine takes into a cart, what it refuses, and what a quote says."""

from __future__ import annotations

import pytest

from levelup_ov.standins.sandbox.dishes import NOTE_LIMIT


def picks(*chosen):
    return [{"group": group, "choice": choice, "count": count} for group, choice, count in chosen]


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-4", "MONEY-5", "MONEY-8")
def test_the_worked_example_of_the_contract(kitchen):
    quote = kitchen.cart("congress", gratuity=200, coupon=100)["quote"]
    assert quote["subtotal"] == 1000
    assert quote["tax"] == 70
    assert quote["gratuity"] == 200
    assert quote["discounts"] == {"coupon": 100, "house": 0}
    assert quote["grand_total"] == 1170


@pytest.mark.rule("MONEY-4")
def test_a_gratuity_not_taken_is_left_out_and_not_charged(kitchen):
    quote = kitchen.cart("notips", gratuity=200)["quote"]
    assert (quote["gratuity"], quote["grand_total"]) == (None, 1070)


@pytest.mark.rule("MONEY-6")
def test_tokyo_takes_a_tenth_off_and_taxes_the_whole_price(kitchen):
    quote = kitchen.cart("tokyo", lines=[{"dish": "bento"}])["quote"]
    assert (quote["subtotal"], quote["discounts"]["house"], quote["tax"], quote["grand_total"]) == (1000, 100, 80, 980)
    assert kitchen.cart("congress", lines=[{"dish": "bento"}])["quote"]["discounts"]["house"] == 0
    assert kitchen.cart("tokyo")["quote"]["discounts"]["house"] == 0


@pytest.mark.rule("ITEM-7")
def test_the_first_units_chosen_are_free_in_the_order_given(kitchen):
    cheap_first = picks(("toppings", "lettuce", 2), ("toppings", "cheese", 1))
    dear_first = picks(("toppings", "cheese", 1), ("toppings", "lettuce", 2))
    for chosen, subtotal in ((cheap_first, 1150), (dear_first, 1050)):
        assert kitchen.cart("congress", lines=[{"dish": "sandwich", "picks": chosen}])["quote"]["subtotal"] == subtotal


@pytest.mark.rule("ITEM-2", "ITEM-3")
def test_counts_multiply_downwards_to_the_third_level(kitchen):
    heat = picks(("heat", "hot", 1))
    dips = [{"group": "dips", "choice": "aioli", "count": 2, "picks": heat}]
    side = [{"group": "side", "choice": "fries", "count": 1, "picks": dips}]
    quote = kitchen.cart("congress", lines=[{"dish": "burger", "count": 3, "picks": side}])["quote"]
    # Each burger: 1250, fries 300, two aioli of which one is free 75, both hot 50.
    assert quote["subtotal"] == 3 * (1250 + 300 + 75 + 2 * 25)


SIDE = picks(("side", "slaw", 1))
REFUSED_LINES = {
    "dish_unknown": {"dish": "pizza"},
    "dish_sold_out": {"dish": "soup"},
    "line_too_large": {"dish": "cookie", "count": 100},
    "note_not_taken": {"dish": "lemonade", "note": "warm"},
    "note_too_long": {"dish": "sandwich", "note": "x" * (NOTE_LIMIT + 1)},
    "group_unknown": {"dish": "sandwich", "picks": picks(("side", "fries", 1))},
    "choice_unknown": {"dish": "sandwich", "picks": picks(("bread", "brioche", 1))},
    "choice_sold_out": {"dish": "sandwich", "picks": picks(("toppings", "avocado", 1))},
    "choice_too_often": {"dish": "sandwich", "picks": picks(("toppings", "lettuce", 3))},
    "too_few_choices": {"dish": "burger"},
    "too_many_choices": {"dish": "burger", "picks": picks(("side", "slaw", 1), ("side", "fries", 1))},
    "too_few_kinds": {"dish": "salad", "picks": picks(("greens", "kale", 2))},
    "too_many_kinds": {
        "dish": "salad",
        "picks": picks(*(("greens", leaf, 1) for leaf in ("romaine", "spinach", "kale", "rocket"))),
    },
}


@pytest.mark.rule("ITEM-7", "ITEM-8")
@pytest.mark.parametrize("code", REFUSED_LINES)
def test_the_engine_enforces_its_menu(kitchen, code):
    assert kitchen.refused("congress", lines=[{"dish": "cookie"}, REFUSED_LINES[code]]) == code


def test_a_dish_of_another_place_is_unknown(kitchen):
    assert kitchen.refused("day", lines=[{"dish": "bento"}]) == "dish_unknown"


def test_limits_of_a_choice_count_over_repeated_picks(kitchen):
    twice = picks(("toppings", "lettuce", 2), ("toppings", "lettuce", 1))
    assert kitchen.refused("congress", lines=[{"dish": "sandwich", "picks": twice}]) == "choice_too_often"


def test_rules_of_nested_groups_are_enforced_too(kitchen):
    heat = [{"group": "heat", "choice": "mild", "count": 1}, {"group": "heat", "choice": "hot", "count": 1}]
    dips = [{"group": "dips", "choice": "aioli", "count": 1, "picks": heat}]
    side = [{"group": "added-side", "choice": "fries", "count": 1, "picks": dips}]
    assert kitchen.refused("congress", lines=[{"dish": "sandwich", "picks": side}]) == "too_many_choices"


@pytest.mark.rule("ITEM-8")
def test_notes_up_to_the_limit_are_taken(kitchen):
    kitchen.cart("congress", note="x" * NOTE_LIMIT, lines=[{"dish": "sandwich", "note": "y" * NOTE_LIMIT}])
    assert kitchen.refused("congress", note="x" * (NOTE_LIMIT + 1)) == "note_too_long"
    kitchen.cart("congress", lines=[{"dish": "lemonade", "note": ""}])


def test_a_line_may_have_99(kitchen):
    assert kitchen.cart("congress", lines=[{"dish": "cookie", "count": 99}])["quote"]["subtotal"] == 99 * 199


@pytest.mark.rule("MONEY-5")
def test_a_discount_may_take_the_price_to_nothing_but_not_below(kitchen):
    assert kitchen.cart("congress", coupon=1270, gratuity=200)["quote"]["grand_total"] == 0
    assert kitchen.refused("congress", coupon=1271, gratuity=200) == "coupon_too_large"
    assert kitchen.refused("notips", coupon=1100, gratuity=200) == "coupon_too_large"


@pytest.mark.rule("MONEY-1")
def test_a_total_out_of_range_is_refused(kitchen):
    assert kitchen.refused("congress", gratuity=99_999_999) == "order_too_large"


@pytest.mark.parametrize(
    "customer",
    [{}, {"name": "Ada"}, {"phone": "1"}, {"name": " ", "email": "ada@example.com"}, {"name": "Ada", "phone": ""}],
)
def test_a_customer_has_a_name_and_a_way_to_be_reached(kitchen, customer):
    assert kitchen.refused("congress", customer=customer) == "customer_incomplete"


@pytest.mark.parametrize(
    "content",
    [
        {"lines": []},
        {"lines": {}},
        {"lines": ["sandwich"]},
        {"lines": [{"dish": ""}]},
        {"lines": [{"dish": "sandwich", "count": 0}]},
        {"lines": [{"dish": "sandwich", "count": True}]},
        {"lines": [{"dish": "sandwich", "quantity": 1}]},
        {"lines": [{"dish": "sandwich", "picks": [{"group": "bread"}]}]},
        {"customer": None},
        {"note": 5},
        {"gratuity": -1},
        {"gratuity": 1.0},
        {"coupon": None},
        {"wanted_at": "2026-11-21T12:00:00"},
        {"wanted_at": "noon"},
        {"handover": "delivery"},
    ],
)
def test_what_cannot_be_read_is_refused_as_malformed(kitchen, content):
    assert kitchen.refused("congress", **content) == "malformed"


def test_nesting_without_end_is_malformed(kitchen):
    nested: list[dict[str, object]] = []
    for _ in range(300):
        nested = [{"group": "dips", "choice": "aioli", "picks": nested}]
    assert kitchen.refused("congress", lines=[{"dish": "sandwich", "picks": nested}]) == "malformed"


def test_a_body_not_json_is_malformed_and_a_huge_one_too_large(kitchen):
    headers = {"X-Sandbox-Key": "sandbox"}
    path = "/v1/locations/congress/carts"
    for data, status in ((b"{", 400), (b"[" * 100_000, 400), (b'"' + b"x" * 1024 * 1024 + b'"', 413)):
        assert kitchen.client.post(path, data=data, headers=headers).status_code == status


@pytest.mark.rule("META-5")
def test_a_cart_is_filled_and_quoted_again(kitchen):
    cart = kitchen.cart("congress", gratuity=200)["cart"]["id"]
    content = {"lines": [{"dish": "cookie"}], "customer": {"name": "Ada", "phone": "+1 617 555-0199"}, "note": "ring"}
    again = kitchen.call("PUT", f"/v1/carts/{cart}", content, status=200)
    assert again["cart"]["id"] == cart
    assert again["quote"]["grand_total"] == 199 + 14
    order = kitchen.order(cart)
    assert kitchen.call("GET", f"/v1/orders/{order['id']}")["order"]["note"] == "ring"


def test_a_refused_filling_leaves_the_cart_as_it_was(kitchen):
    cart = kitchen.cart("congress")["cart"]["id"]
    content = {"lines": [{"dish": "soup"}], "customer": {"name": "Ada", "phone": "+16175550199"}}
    assert kitchen.call("PUT", f"/v1/carts/{cart}", content, status=422)["problem"]["where"] == "lines[0]"
    assert kitchen.order(cart)["charged"] == 1070


@pytest.mark.rule("META-3")
@pytest.mark.parametrize(
    ("opened", "filled", "taken"),
    [
        ({"email": "ada@example.com"}, {"email": " ADA@example.com"}, True),
        ({"email": "ada@example.com", "phone": "1"}, {"email": "ada@new.example", "phone": "1"}, True),
        ({"email": "ada@example.com", "phone": "1"}, {"email": "ada@example.com", "phone": "2"}, True),
        ({"email": "ada@example.com"}, {"email": "bob@example.com"}, False),
        ({"email": "ada@example.com"}, {"phone": "1"}, False),
        ({"phone": "1"}, {"phone": "2"}, False),
    ],
)
def test_a_cart_stays_with_who_opened_it(kitchen, opened, filled, taken):
    cart = kitchen.cart("congress", customer={"name": "Ada", **opened})["cart"]["id"]
    content = {"lines": [{"dish": "cookie"}], "customer": {"name": "Bob", **filled}}
    answer = kitchen.call("PUT", f"/v1/carts/{cart}", content, status=200 if taken else 404)
    assert taken or answer["problem"]["code"] == "cart_of_another"
    assert kitchen.order(cart)["charged"] == (199 + 14 if taken else 1070)


@pytest.mark.rule("META-3")
def test_each_request_opens_its_own_cart(kitchen):
    assert kitchen.cart("congress")["cart"]["id"] != kitchen.cart("congress")["cart"]["id"]


@pytest.mark.rule("META-4")
def test_a_cart_lasts_two_hours_and_one_order(kitchen):
    cart, other = kitchen.cart("congress")["cart"]["id"], kitchen.cart("congress")["cart"]["id"]
    kitchen.order(cart)
    assert kitchen.order_refused(cart, reference="ref-2") == "cart_ordered"
    kitchen.pass_time(hours=1, minutes=59)
    assert kitchen.call("PUT", f"/v1/carts/{other}", {}, status=400)["problem"]["code"] == "malformed"
    kitchen.pass_time(minutes=1)
    assert kitchen.order_refused(other) == "cart_unknown"
    assert kitchen.order_refused("none") == "cart_unknown"
