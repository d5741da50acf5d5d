"""Proposing, completing, charging and refunding over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from levelup_ov.standins.levelup import create_levelup
from levelup_ov.standins.levelup.cards import made_card
from tests.standin.visitors import (
    ADA,
    BEACON,
    BEN,
    CLEO,
    DORA,
    EVE,
    HARBOR,
    OTHER,
    Browser,
    LevelUp,
    completion,
    items,
    proposal,
)

COMPLETED = "/v15/completed_orders"
PROPOSED = "/v15/proposed_orders"


def test_an_order_is_proposed_and_completed_with_its_discount(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    proposed = levelup.propose(auth)
    assert proposed["discount_amount"] == 200
    order = levelup.complete(auth, proposed["uuid"], applied_discount_amount=200)
    assert order == {
        "uuid": order["uuid"],
        "spend_amount": 1000,
        "tip_amount": 0,
        "total_amount": 1000,
        "gift_card_total_amount": 0,
        "gift_card_tip_amount": 0,
    }
    assert levelup.discount() == 0


def test_the_tip_is_part_of_the_total(levelup: LevelUp) -> None:
    order = levelup.ordered(levelup.tokens(), tip_amount=150)
    assert (order["spend_amount"], order["tip_amount"], order["total_amount"]) == (1000, 150, 1150)


@pytest.mark.parametrize(
    "members, offered",
    [
        ({"spend_amount": 1000, "tax_amount": 900}, 100),
        ({"spend_amount": 1000, "tax_amount": 0, "exemption_amount": 950}, 50),
        ({"spend_amount": 1000, "tax_amount": 1000}, 0),
    ],
)
def test_credit_pays_neither_tax_nor_what_is_exempt(levelup: LevelUp, members: Any, offered: int) -> None:
    assert levelup.propose(levelup.tokens(), **members)["discount_amount"] == offered


def test_a_proposal_charges_nothing(levelup: LevelUp) -> None:
    levelup.propose(levelup.tokens())
    assert levelup.discount() == 200
    assert levelup.call("GET", "/v15/users/orders", auth=levelup.user_auth(), status=204) is None


def test_credit_is_applied_unasked_where_no_discount_is_named(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    levelup.complete(auth, levelup.propose(auth)["uuid"], applied_discount_amount=None)
    assert levelup.discount() == 0


def test_a_discount_that_is_not_wanted_leaves_the_credit(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    levelup.complete(auth, levelup.propose(auth)["uuid"], applied_discount_amount=0)
    assert levelup.discount() == 200


def test_more_discount_than_credit_is_refused_uncharged(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    refusal = levelup.refused("POST", COMPLETED, completion(uuid, applied_discount_amount=201), auth=auth)
    assert refusal == ["order/applied_discount_amount/too_large"]
    assert levelup.discount() == 200
    assert levelup.complete(auth, uuid, applied_discount_amount=200)["uuid"]


def test_credit_that_another_order_took_is_not_there(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    first, second = levelup.propose(auth)["uuid"], levelup.propose(auth)["uuid"]
    levelup.complete(auth, first, applied_discount_amount=200)
    refusal = levelup.refused("POST", COMPLETED, completion(second, applied_discount_amount=200), auth=auth)
    assert refusal == ["order/applied_discount_amount/too_large"]


def test_completing_again_with_the_same_body_is_the_same_order(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    first = levelup.complete(auth, uuid, applied_discount_amount=200)
    again = levelup.complete(auth, uuid, applied_discount_amount=200)
    # An absent amount is 0, so this body says the same.
    shorter = completion(uuid, applied_discount_amount=200)
    del shorter["completed_order"]["tip_amount"]
    assert levelup.call("POST", COMPLETED, shorter, auth=auth)["order"] == first == again
    assert levelup.loyalty()["orders_count"] == 1


def test_completing_again_with_another_body_is_refused(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    levelup.complete(auth, uuid, applied_discount_amount=200)
    refusal = levelup.refused("POST", COMPLETED, completion(uuid, applied_discount_amount=100), auth=auth)
    assert refusal == ["order/proposed_order_uuid/completed"]


def test_two_completions_at_once_make_one_order(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]

    def complete(_: int) -> Any:
        answer = levelup.app.test_client().post(
            COMPLETED, json=completion(uuid, applied_discount_amount=200), headers={"Authorization": auth}
        )
        assert answer.status_code == 200, answer.text
        return answer.get_json()["order"]["uuid"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(complete, range(8)))) == 1
    assert levelup.loyalty()["orders_count"] == 1


def test_credit_is_spent_once_by_orders_at_once(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuids = [levelup.propose(auth)["uuid"] for _ in range(6)]

    def complete(uuid: str) -> int:
        body = completion(uuid, applied_discount_amount=200)
        return levelup.app.test_client().post(COMPLETED, json=body, headers={"Authorization": auth}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(complete, uuids)) == [200, 422, 422, 422, 422, 422]
    assert levelup.discount() == 0


@pytest.mark.parametrize(
    "members, property",
    [
        ({"tip_amount": 5}, "tip_amount"),
        ({"exemption_amount": 5}, "exemption_amount"),
        ({"identifier_from_merchant": "A-2"}, "identifier_from_merchant"),
        ({"location_id": 12}, "location_id"),
        ({"partial_authorization_allowed": True}, "partial_authorization_allowed"),
        ({"discount_only": True}, "discount_only"),
        ({"cashier": "Carl"}, "cashier"),
        ({"register": "2"}, "register"),
        ({"receipt_message_html": "Hello"}, "receipt_message_html"),
        ({"items": [{"item": {"name": "Soup", "charged_price_amount": 900}}]}, "items"),
    ],
)
def test_a_completion_unlike_its_proposal_is_refused(levelup: LevelUp, members: Any, property: str) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    assert levelup.refused("POST", COMPLETED, completion(uuid, **members), auth=auth) == [f"order/{property}/differs"]


def test_spend_and_tax_may_differ_from_the_proposal(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    order = levelup.complete(auth, uuid, spend_amount=990, tax_amount=90, applied_discount_amount=200)
    assert order["spend_amount"] == 990


@pytest.mark.parametrize(
    "members, errors",
    [
        ({"spend_amount": None}, ["proposed_order/spend_amount/blank"]),
        ({"spend_amount": 10.5}, ["proposed_order/spend_amount/invalid"]),
        ({"spend_amount": "1000"}, ["proposed_order/spend_amount/invalid"]),
        ({"spend_amount": True}, ["proposed_order/spend_amount/invalid"]),
        ({"spend_amount": 0, "tax_amount": 0}, ["proposed_order/spend_amount/invalid"]),
        ({"tax_amount": -1}, ["proposed_order/tax_amount/invalid"]),
        ({"tip_amount": 2**31}, ["proposed_order/tip_amount/invalid"]),
        ({"tax_amount": 1001}, ["proposed_order/spend_amount/invalid"]),
        ({"tax_amount": 600, "exemption_amount": 401}, ["proposed_order/spend_amount/invalid"]),
        ({"identifier_from_merchant": "x" * 21}, ["proposed_order/identifier_from_merchant/too_long"]),
        ({"partial_authorization_allowed": 1}, ["proposed_order/partial_authorization_allowed/invalid"]),
        ({"items": [{"item": {}}]}, ["item/name/blank", "item/charged_price_amount/blank"]),
        (
            {"items": [{"item": {"name": "A", "charged_price_amount": 1, "quantity": 0}}]},
            ["item/quantity/invalid"],
        ),
        ({"location_id": "11"}, ["proposed_order/location_id/invalid"]),
        (
            {"tax_amount": -1, "tip_amount": "x"},
            ["proposed_order/tax_amount/invalid", "proposed_order/tip_amount/invalid"],
        ),
    ],
)
def test_a_proposal_that_is_wrong_names_every_member(levelup: LevelUp, members: Any, errors: list[str]) -> None:
    assert levelup.refused("POST", PROPOSED, proposal(**members), auth=levelup.tokens()) == errors


def test_an_identifier_of_ten_characters_is_taken(levelup: LevelUp) -> None:
    levelup.propose(levelup.tokens(), identifier_from_merchant="1234567890")


def test_items_nest_five_deep_and_no_deeper(levelup: LevelUp) -> None:
    def nested(depth: int) -> Any:
        children = nested(depth - 1) if depth > 1 else []
        return [{"item": {"name": "Box", "charged_price_amount": 1, "children": children}}]

    levelup.propose(levelup.tokens(), items=nested(5))
    refusal = levelup.refused("POST", PROPOSED, proposal(items=nested(6)), auth=levelup.tokens())
    assert refusal == ["item/children/invalid"]


@pytest.mark.parametrize("path, body", [(PROPOSED, {}), (COMPLETED, proposal()), ("/v15/orders", [])])
def test_a_body_without_its_root_member_is_refused(levelup: LevelUp, path: str, body: Any) -> None:
    assert levelup.open("POST", path, body, auth=levelup.tokens()).status_code in (400, 422)


def test_a_declined_card_charges_nothing_and_stays_open(levelup: LevelUp) -> None:
    auth = levelup.tokens(user=BEN)
    uuid = levelup.propose(auth)["uuid"]
    refusal = levelup.refused("POST", COMPLETED, completion(uuid, applied_discount_amount=150), auth=auth)
    assert refusal == ["order/base/not_charged"]
    assert levelup.discount(BEN) == 150
    assert levelup.loyalty(BEN)["orders_count"] == 0


def test_without_a_card_nothing_can_be_charged(levelup: LevelUp) -> None:
    auth = levelup.tokens(user=CLEO)
    uuid = levelup.propose(auth)["uuid"]
    answer = levelup.call("POST", COMPLETED, completion(uuid), auth=auth, status=422)
    assert "no card" in answer[0]["error"]["message"]


def test_credit_that_covers_all_of_an_order_needs_no_card(levelup: LevelUp) -> None:
    order = levelup.ordered(levelup.tokens(user=BEN), spend_amount=150, tax_amount=0)
    assert order["total_amount"] == 150


def test_with_partial_authorization_credit_pays_what_it_can(levelup: LevelUp) -> None:
    order = levelup.ordered(levelup.tokens(user=BEN), tip_amount=100, partial_authorization_allowed=True)
    assert (order["spend_amount"], order["tip_amount"], order["total_amount"]) == (150, 0, 150)


def test_an_order_for_the_discount_only_takes_nothing_else(levelup: LevelUp) -> None:
    order = levelup.ordered(levelup.tokens(user=BEN), tip_amount=100, discount_only=True)
    assert (order["spend_amount"], order["tip_amount"], order["total_amount"]) == (150, 0, 150)
    auth = levelup.tokens(user=CLEO)
    body = completion(levelup.propose(auth, discount_only=True)["uuid"], discount_only=True)
    assert levelup.refused("POST", COMPLETED, body, auth=auth) == ["order/base/not_charged"]


@pytest.mark.parametrize(
    "spend, tip, gift_card, of_the_tip",
    [(600, 0, 600, 0), (600, 300, 900, 300), (900, 300, 1000, 100), (1500, 300, 1000, 0)],
)
def test_a_gift_card_pays_spend_first_and_then_the_tip(
    levelup: LevelUp, spend: int, tip: int, gift_card: int, of_the_tip: int
) -> None:
    order = levelup.ordered(levelup.tokens(user=DORA), spend_amount=spend, tax_amount=0, tip_amount=tip)
    assert (order["gift_card_total_amount"], order["gift_card_tip_amount"]) == (gift_card, of_the_tip)
    assert levelup.credit(DORA) == 1000 - gift_card


def test_global_credit_pays_at_any_merchant_and_only_once(levelup: LevelUp) -> None:
    assert levelup.credit(location=21) == 100
    levelup.ordered(levelup.tokens(merchant=HARBOR), location_id=21)
    assert levelup.credit(location=21) == 0
    assert levelup.credit(location=11) == 200


def test_the_older_call_charges_in_one_step(levelup: LevelUp) -> None:
    body = {"order": proposal(tip_amount=50, items=items("charged_price", "standard_price"))["proposed_order"]}
    auth = levelup.tokens()
    order = levelup.call("POST", "/v15/orders", body, auth=auth)["order"]
    assert order == {"uuid": order["uuid"], "spend_amount": 1000, "tip_amount": 50, "total_amount": 1050}
    assert levelup.discount() == 0
    # Nothing distinguishes two of them.
    assert levelup.call("POST", "/v15/orders", body, auth=auth)["order"]["uuid"] != order["uuid"]


def test_the_older_call_refuses_as_documented(levelup: LevelUp) -> None:
    def body(**members: Any) -> Any:
        return {"order": proposal(items=items("charged_price", "standard_price"), **members)["proposed_order"]}

    auth = levelup.tokens(user=BEN)
    assert levelup.refused("POST", "/v15/orders", body(), auth=auth) == ["order/base/not_charged"]
    assert levelup.refused("POST", "/v15/orders", body(location_id=99), auth=auth, status=404) == [
        "order/location_id/not_found"
    ]
    named = {"items": items("price", "standard_price")}
    assert levelup.refused("POST", "/v15/orders", {"order": {**body()["order"], **named}}, auth=auth) == [
        "item/charged_price_amount/blank",
        "item/charged_price_amount/blank",
    ]


Tokens = Callable[[LevelUp], str]


@pytest.mark.parametrize("path", [PROPOSED, COMPLETED, "/v15/orders"])
@pytest.mark.parametrize(
    "auth, property",
    [
        (lambda levelup: "", "merchant_token"),
        (lambda levelup: levelup.app_auth(), "merchant_token"),
        (lambda levelup: levelup.user_auth(), "merchant_token"),
        (lambda levelup: levelup.merchant_auth(), "user_token"),
        (lambda levelup: levelup.merchant_auth() + ', user="nonsense"', "user_token"),
        (lambda levelup: levelup.merchant_auth() + "," + levelup.user_auth(ADA, "read_user_orders")[6:], "user_token"),
        (lambda levelup: levelup.merchant_auth() + "," + levelup.user_auth(ADA, app=OTHER)[6:], "user_token"),
        (lambda levelup: levelup.tokens(merchant=HARBOR), "merchant_token"),
    ],
    ids=["none", "app", "user only", "merchant only", "unknown user", "no permission", "another app's", "another's"],
)
def test_an_order_needs_both_tokens(levelup: LevelUp, path: str, auth: Tokens, property: str) -> None:
    members = proposal()["proposed_order"]
    body = {
        PROPOSED: {"proposed_order": members},
        COMPLETED: completion("0" * 32),
        "/v15/orders": {"order": {**members, "items": items("charged_price", "standard_price")}},
    }[path]
    assert levelup.refused("POST", path, body, auth=auth(levelup), status=401) == [f"order/{property}/not_authorized"]


def test_a_token_revoked_before_completion_charges_nothing(levelup: LevelUp) -> None:
    merchant, user = levelup.token(merchant=BEACON), levelup.token(user=ADA)
    auth = f"token merchant={merchant},user={user}"
    uuid = levelup.propose(auth)["uuid"]
    levelup.call("DELETE", "/v15/access_tokens", auth=f'token user="{user}"', status=204)
    levelup.refused("POST", COMPLETED, completion(uuid), auth=auth, status=401)
    assert levelup.loyalty()["orders_count"] == 0


@pytest.mark.parametrize("who", [{"user": BEN}, {"app": OTHER}])
def test_a_proposal_of_somebody_else_is_unknown(levelup: LevelUp, who: Any) -> None:
    uuid = levelup.propose(levelup.tokens())["uuid"]
    refusal = levelup.refused("POST", COMPLETED, completion(uuid), auth=levelup.tokens(**who), status=404)
    assert refusal == ["order/proposed_order_uuid/not_found"]


def test_a_lost_answer_is_found_by_completing_again(levelup: LevelUp) -> None:
    auth = levelup.tokens(user=EVE)
    uuid = levelup.propose(auth)["uuid"]
    with pytest.raises(ConnectionAbortedError):
        levelup.complete(auth, uuid)
    found = levelup.complete(auth, uuid)
    assert found["total_amount"] == 1000
    assert levelup.loyalty(EVE)["orders_count"] == 1


# Refunds.


def refund(levelup: LevelUp, uuid: str, body: Any = None, *, status: int = 200, **who: Any) -> Any:
    return levelup.call("POST", f"/v15/orders/{uuid}/refund", body, auth=levelup.merchant_auth(**who), status=status)


def test_a_refund_gives_everything_back(levelup: LevelUp) -> None:
    order = levelup.ordered(levelup.tokens(), tip_amount=50)
    refunded = refund(levelup, order["uuid"])["order"]
    assert refunded == {
        "created_at": "2026-11-20T17:00:00Z",
        "location_id": 11,
        "loyalty_id": refunded["loyalty_id"],
        "refunded_at": "2026-11-20T17:00:00Z",
        "user_display_name": "Ada E.",
        "uuid": order["uuid"],
        "earn_amount": 0,
        "merchant_funded_credit_amount": 200,
        "spend_amount": 1000,
        "tip_amount": 50,
        "total_amount": 1050,
    }
    assert levelup.credit() == 300
    assert levelup.loyalty()["orders_count"] == 0


def test_an_order_is_refunded_once(levelup: LevelUp) -> None:
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    refund(levelup, uuid)
    auth = levelup.merchant_auth()
    assert levelup.refused("POST", f"/v15/orders/{uuid}/refund", auth=auth) == ["order/base/refunded"]
    assert levelup.credit() == 300


def test_refunds_at_once_refund_once(levelup: LevelUp) -> None:
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    headers = {"Authorization": levelup.merchant_auth()}

    def send(_: int) -> int:
        return levelup.app.test_client().post(f"/v15/orders/{uuid}/refund", headers=headers).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [200, 422, 422, 422]


@pytest.mark.parametrize("who", [{"app": OTHER}, {"merchant": HARBOR}])
def test_an_order_of_another_app_or_merchant_is_unknown(levelup: LevelUp, who: Any) -> None:
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    assert refund(levelup, uuid, status=404, **who) is None


def test_an_unknown_order_is_answered_without_a_body(levelup: LevelUp) -> None:
    assert refund(levelup, "0" * 32, status=404) is None


def test_a_refund_needs_the_merchants_token(levelup: LevelUp) -> None:
    uuid = levelup.ordered(levelup.tokens())["uuid"]
    for auth in ("", levelup.user_auth(), levelup.app_auth()):
        levelup.refused("POST", f"/v15/orders/{uuid}/refund", auth=auth, status=401)


@pytest.mark.parametrize("body", [None, {}, {"refund": {}}, {"refund": {"manager_confirmation": "1"}}])
def test_a_merchant_may_ask_for_a_managers_confirmation(levelup: LevelUp, body: Any) -> None:
    uuid = levelup.ordered(levelup.tokens(merchant=HARBOR), location_id=21)["uuid"]
    auth = levelup.merchant_auth(HARBOR)
    refusal = levelup.refused("POST", f"/v15/orders/{uuid}/refund", body, auth=auth)
    assert refusal == ["refund/manager_confirmation/required"]
    confirmed = refund(levelup, uuid, {"refund": {"manager_confirmation": "4321"}}, merchant=HARBOR)
    assert confirmed["order"]["refunded_at"]


# Loyalty.


def test_what_is_spent_earns_credit(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    assert levelup.loyalty()["spend_remaining_amount"] == 5000
    # Of 4100, 100 are tax and 200 come from credit.
    first = levelup.ordered(auth, spend_amount=4100)
    assert levelup.loyalty() == {
        "merchant_id": BEACON,
        "user_id": ADA,
        "merchant_loyalty_enabled": True,
        "orders_count": 1,
        "total_volume_amount": 4100,
        "savings_amount": 200,
        "merchant_earn_amount": 500,
        "potential_credit_amount": 0,
        "spend_remaining_amount": 1200,
        "merchant_spend_amount": 5000,
        "progress_percentage": 76.0,
    }
    levelup.ordered(auth, spend_amount=1300)
    assert levelup.discount() == 500
    assert levelup.loyalty()["spend_remaining_amount"] == 5000
    refund(levelup, first["uuid"])
    # The reward is gone, the 200 are back.
    assert levelup.discount() == 200
    assert levelup.loyalty()["spend_remaining_amount"] == 3800


def test_earned_credit_that_a_refund_takes_back_too_late_is_owed(levelup: LevelUp) -> None:
    auth = levelup.tokens(user=CLEO)
    with levelup.store.writing() as transaction:
        transaction.add_card(CLEO, made_card("4111111111111111", 12, 2099))
    earning = levelup.ordered(auth, spend_amount=5000, tax_amount=0)
    spending = levelup.ordered(auth, spend_amount=1000, tax_amount=0)
    assert levelup.discount(CLEO) == 0
    refund(levelup, earning["uuid"])
    assert levelup.discount(CLEO) == 0
    levelup.ordered(auth, spend_amount=5000, tax_amount=0)
    assert levelup.discount(CLEO) == 0
    refund(levelup, spending["uuid"])
    assert levelup.discount(CLEO) == 500


def test_visits_earn_credit(levelup: LevelUp) -> None:
    auth = levelup.tokens(merchant=HARBOR)
    for visit in range(1, 5):
        levelup.ordered(auth, location_id=21)
        found = levelup.loyalty(merchant=HARBOR)
        assert (found["progress_percentage"], found["spend_remaining_amount"]) == (20 * visit, 0)
    assert levelup.discount(location=21) == 0
    last = levelup.ordered(auth, location_id=21)
    shown = levelup.call("GET", f"/v15/orders/{last['uuid']}", auth=levelup.merchant_auth(HARBOR))["order"]
    assert shown["earn_amount"] == 300
    assert levelup.discount(location=21) == 300


# History.


def test_the_history_is_paged_until_it_ends(levelup: LevelUp) -> None:
    auth = levelup.tokens()
    uuids = [levelup.ordered(auth)["uuid"] for _ in range(12)]
    reader = levelup.user_auth(ADA, "read_user_orders")
    found, path = [], "/v15/users/orders"
    while (answer := levelup.open("GET", path, auth=reader)).status_code == 200:
        found += [entry["order"]["uuid"] for entry in answer.get_json()]
        path, _, rest = answer.headers["Link"].removeprefix("<").partition(">")
        assert rest == '; rel="next"'
        assert path.startswith("http://localhost/v15/users/orders?page=")
    assert answer.status_code == 204 and not answer.data
    assert found == uuids[::-1]


def test_an_order_in_the_history(levelup: LevelUp) -> None:
    levelup.ordered(levelup.tokens())
    (entry,) = levelup.call("GET", "/v15/users/orders", auth=levelup.user_auth())
    expected = {
        "merchant_name": "Beacon Sandwiches",
        "identifier_from_merchant": "A-1",
        "credit_applied_amount": 300,
        "balance_amount": 700,
        "refunded_at": None,
    }
    assert {name: entry["order"][name] for name in expected} == expected


def test_the_platform_survives_a_restart(levelup: LevelUp, tmp_path: Any) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    first = levelup.complete(auth, uuid)
    again = create_levelup(tmp_path / "levelup.db", clock=lambda: levelup.now)
    answer = again.test_client().post(COMPLETED, json=completion(uuid), headers={"Authorization": auth})
    assert answer.get_json()["order"] == first
    again.extensions["levelup"].store.close()


def test_orders_are_shown_on_the_account_page(levelup: LevelUp, browser: Browser) -> None:
    uuid = levelup.ordered(levelup.tokens(), tip_amount=34)["uuid"]
    refund(levelup, uuid)
    page = browser.open("/account").sign_in("ada@example.com").page.text
    assert "$10.34" in page and "refunded" in page
