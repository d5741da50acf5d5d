"""The Vendure shop's plugin: what it promises, asked of a real shop.

Through the service where the channel can see it; else as the adapter, the shop's storefront or its staff ask.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from adapters.vendure import VendureAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.location import Location
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, LevelUp
from levelup_ov.errors import Refused
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Session
from tests.channel import Channel, item
from tests.providers.vendure_service import (
    TRANSPORT,
    adapter,
    fence,
    find,
    only_the_first,
    order,
    service,
    session,
    submit,
    validate,
)
from tests.servers.vendure_server import PLUGIN, VendureServer, _operation, install

CONGRESS, CLUB = "boston.congress", "club.congress"
DECLINED = CreditCard(Secret("4000000000000002"), Secret("917"), "01", "2035", "02114", "Robin Example")


@pytest.fixture
def shop(vendure: VendureServer) -> VendureServer:
    return vendure


@pytest.fixture(scope="module")
def app(vendure: VendureServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with service(vendure, tmp_path_factory.mktemp("vendure")) as app:
        yield app


@pytest.fixture
def channel(app: Flask) -> Channel:
    return Channel(app)


@pytest.fixture
def user() -> dict[str, str]:
    """Somebody whom the shop has not seen before."""
    return {"name": "Robin Example", "phone": "617-555-0142", "email": f"robin.{uuid4().hex}@example.com"}


@pytest.fixture
def burger(shop: VendureServer) -> dict[str, Any]:
    return item(shop.items["Burger"], shop.options["Salad"], shop.options["Swiss"])


@pytest.fixture
def placed(shop: VendureServer) -> Callable[[], list[dict[str, Any]]]:
    """The orders that were placed since the test started, newest first."""
    before = shop.count_orders()

    def since() -> list[dict[str, Any]]:
        count = shop.count_orders() - before
        return shop.orders(newest=count) if count else []

    return since


def kept(answer: Any) -> dict[str, Any]:
    """The members that the channel keeps with the user (META-1)."""
    return {name: value for name, value in answer.order["metadata"].items() if name.startswith("user_")}


def test_the_plugins_own_tests() -> None:
    environ = {**os.environ, "NODE_PATH": str(install())}
    node = shutil.which("node")
    assert node
    done = subprocess.run(
        [node, "--test", "test/"], cwd=PLUGIN, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


PROMOTIONS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "a tenth off": (_operation("order_percentage_discount", discount="10"), None),
    "off above a threshold": (
        _operation("order_fixed_discount", discount="150"),
        _operation("minimum_order_amount", amount="1500", taxInclusive="false"),
    ),
    "off above a threshold with tax": (
        _operation("order_percentage_discount", discount="20"),
        _operation("minimum_order_amount", amount="1600", taxInclusive="true"),
    ),
    "all of it": (_operation("order_fixed_discount", discount="100000"), None),
}


@pytest.mark.rule("META-5", "MONEY-4", "MONEY-6")
@pytest.mark.parametrize(("action", "condition"), PROMOTIONS.values(), ids=PROMOTIONS)
def test_no_promotion_sees_the_tip(
    action: dict[str, Any],
    condition: dict[str, Any] | None,
    channel: Channel,
    shop: VendureServer,
    burger: dict[str, Any],
    user: dict[str, str],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    with shop.promotion(uuid4().hex, action, condition):
        priced = [channel.validate(CONGRESS, items=[burger], user=user, tip=tip).order for tip in (0, 200, 5000)]
        shown = priced[1]
        submission = {"items": [burger], "user": user, "tip": 731, "metadata": shown["metadata"]}
        submitted = channel.submit(CONGRESS, **submission)

    reported = [(each["total"], each["tax"], each["provider_funded_discount"]) for each in priced]
    assert reported == [reported[0]] * 3
    assert submitted.status == 200
    [final] = placed()
    assert final["totalWithTax"] == shown["total"] + shown["tax"] - shown["provider_funded_discount"] + 731


@pytest.mark.rule("META-3")
def test_what_visitors_left_is_in_no_cart(
    channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """A guest of the shop's storefront leaves a cart, under the address that a member's account is made for later."""
    fill = """mutation($id: ID!, $customer: CreateCustomerInput!) {
      addItemToOrder(productVariantId: $id, quantity: 7) { __typename }
      setCustomerForOrder(input: $customer) { __typename } }"""
    guest = {"firstName": "Robin", "lastName": "Example", "emailAddress": user["email"]}
    answer, _ = shop.ask_storefront(fill, id=shop.items["Tea"], customer=guest)
    assert answer["data"]["setCustomerForOrder"]["__typename"] == "Order"
    soda = {"items": [item(shop.items["Soda"])], "user": user}

    first = channel.validate(CLUB, **soda)
    channel.submit(CLUB, **soda, metadata=first.order["metadata"])
    again = channel.validate(CLUB, **soda, metadata=kept(first))

    assert first.order["total"] == again.order["total"] == 300
    assert [(each["productVariant"]["name"], each["quantity"]) for each in placed()[0]["lines"]] == [("Soda", 1)]


@pytest.mark.rule("META-6")
def test_no_account_is_left_by_a_validation_that_fails(
    channel: Channel, shop: VendureServer, user: dict[str, str]
) -> None:
    refused = channel.validate(CLUB, items=[item(shop.items["Cookie"])], user=user)
    too_much = channel.validate(CLUB, items=[item(shop.items["Soda"])], user=user, tip=2**31)

    assert refused.refusal[:2] == (422, "item_unavailable") and too_much.status == 422
    assert user["email"] not in [each["emailAddress"] for each in shop.customers()]
    account = channel.validate(CLUB, items=[item(shop.items["Soda"])], user=user)
    assert account.status == 200
    [customer] = [each for each in shop.customers() if each["emailAddress"] == user["email"]]
    assert customer["user"]["identifier"] == user["email"]


@pytest.mark.rule("META-3", "SUB-5")
def test_orders_of_one_member_at_once_are_all_placed(
    app: Flask, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    member = kept(Channel(app).validate(CLUB, items=[item(shop.items["Soda"])], user=user))

    def telephone(quantity: int) -> tuple[str, int]:
        channel = Channel(app)
        wanted = {"items": [item(shop.items["Soda"], quantity=quantity)], "user": user}
        metadata = {**member, **channel.validate(CLUB, **wanted, metadata=member).order["metadata"]}
        return channel.submit(CLUB, **wanted, metadata=metadata).order["order_id"], quantity

    with ThreadPoolExecutor(5) as phones:
        reported = list(phones.map(telephone, range(1, 21)))

    held = [(each["code"], each["lines"][0]["quantity"]) for each in placed()]
    assert sorted(held) == sorted(reported)
    assert {each["customer"]["user"]["identifier"] for each in placed()} == {user["email"]}


@pytest.mark.rule("EP-5", "SUB-1")
def test_guests_of_one_address_do_not_rename_one_another(
    channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    soda, people = [item(shop.items["Soda"])], (("Ada One", "617-555-0101"), ("Bob Two", "617-555-0102"))
    guests = [{**user, "name": name, "phone": phone} for name, phone in people]
    codes = [channel.submit(CONGRESS, items=soda, user=each).order["order_id"] for each in guests]

    second, first = placed()
    assert [first["code"], second["code"]] == codes
    assert first["guest"] == {"guestName": "Ada One", "guestPhone": "617-555-0101", "guestEmail": user["email"]}
    assert second["guest"] == {"guestName": "Bob Two", "guestPhone": "617-555-0102", "guestEmail": user["email"]}
    [customer] = [each for each in shop.customers() if each["emailAddress"] == user["email"]]
    assert (customer["firstName"], customer["phoneNumber"]) == ("Ada", "617-555-0101")


@pytest.mark.rule("META-1", "META-7")
@pytest.mark.parametrize(("phone", "runs_on_hers"), [("617-555-0199", False), ("617-555-0142", True)])
def test_a_customer_is_not_rewritten_by_anothers_order(
    phone: str,
    runs_on_hers: bool,
    channel: Channel,
    shop: VendureServer,
    user: dict[str, str],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    """Somebody's order comes with the account of another; one with her telephone may use it, and not rename her."""
    soda = [item(shop.items["Soda"])]
    hers = channel.validate(CLUB, items=soda, user=user)
    his = {"name": "Bob Other", "phone": phone, "email": f"bob.{uuid4().hex}@example.com"}

    channel.submit(CLUB, items=soda, user=his, metadata=kept(hers))

    [final] = placed()
    identifier = final["customer"]["user"]["identifier"]
    assert identifier == (user["email"] if runs_on_hers else his["email"])
    assert (final["guest"]["guestName"], final["guest"]["guestEmail"]) == ("Bob Other", his["email"])
    [ada] = [each for each in shop.customers() if each["emailAddress"] == user["email"]]
    assert (ada["firstName"], ada["phoneNumber"]) == ("Robin", "617-555-0142")


@pytest.mark.rule("SUB-5", "SUB-10")
def test_what_arrives_after_a_fence_is_refused(
    shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """The placing call of a lost submission comes late; the same submission is sent again afterwards."""
    vendure, wanted = adapter(shop), order(shop, user)
    late = replace(wanted, cart=validate(vendure, wanted).cart)

    fence(vendure, wanted)
    assert find(vendure, wanted) is None
    with session(vendure) as calls:
        calls.call = only_the_first(calls.call)  # type: ignore[method-assign]
        with pytest.raises(StopIteration):
            vendure.submit_order(late, LevelUp(), calls)
    assert placed() == []

    done = submit(vendure, late)
    found = find(vendure, wanted)
    assert [each["code"] for each in placed()] == [done.order_id]
    assert found is not None and (found.order_id, found.reference) == (done.order_id, wanted.reference)


@pytest.mark.rule("SUB-10")
def test_a_fence_leaves_an_order_that_is_there(shop: VendureServer, user: dict[str, str]) -> None:
    vendure, wanted = adapter(shop), order(shop, user)
    done = submit(vendure, wanted)

    fence(vendure, wanted)

    found = find(vendure, wanted)
    assert found is not None and (found.order_id, found.duplicates) == (done.order_id, ())


@pytest.mark.rule("SUB-2", "SUB-8")
def test_a_reference_is_placed_once(
    shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    vendure, wanted = adapter(shop), order(shop, user)

    with ThreadPoolExecutor(4) as attempts:
        reported = {each.order_id for each in attempts.map(partial(submit, vendure), [wanted] * 8)}

    assert [each["code"] for each in placed()] == [*reported]


STAFF = {
    "disables the item": "mutation($item: ID!) { updateProductVariants(input: [{id: $item, enabled: %s}]) { id } }",
    "disables its product": "mutation($product: ID!) { updateProduct(input: {id: $product, enabled: %s}) { id } }",
}


@pytest.mark.rule("ITEM-7", "SUB-2", "META-5")
@pytest.mark.parametrize("query", STAFF.values(), ids=STAFF)
def test_what_staff_takes_off_the_menu_is_not_placed(
    query: str,
    channel: Channel,
    shop: VendureServer,
    user: dict[str, str],
    placed: Callable[[], list[dict[str, Any]]],
) -> None:
    soda = {"items": [item(shop.items["Soda"])], "user": user}
    metadata = channel.validate(CONGRESS, **soda).order["metadata"]
    ids = {"item": shop.items["Soda"], "product": shop.items["Soda"]}

    shop.admin(query % "false", **ids)
    try:
        refusal = channel.submit(CONGRESS, **soda, metadata=metadata)
    finally:
        shop.admin(query % "true", **ids)

    assert refusal.refusal[:2] == (422, "item_unavailable")
    assert placed() == []
    assert channel.submit(CONGRESS, **soda, metadata=metadata).status == 200


@pytest.mark.rule("META-5", "MONEY-9")
def test_a_price_that_staff_changes_is_not_that_of_an_open_cart(
    channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    soda = {"items": [item(shop.items["Soda"])], "user": user}
    shown = channel.validate(CONGRESS, **soda).order

    shop.set_price("Soda", 900)
    try:
        submitted = channel.submit(CONGRESS, **soda, tip=50, metadata=shown["metadata"])
    finally:
        shop.set_price("Soda", 300)

    assert submitted.status == 200
    assert placed()[0]["totalWithTax"] == shown["total"] + shown["tax"] - shown["provider_funded_discount"] + 50


@pytest.mark.rule("MONEY-1", "MENU-6")
def test_an_item_without_a_price_in_the_currency_is_not_free(
    shop: VendureServer, channel: Channel, user: dict[str, str]
) -> None:
    item_id = shop.items["Soda"]

    def write(**more: bool) -> None:
        prices = [{"currencyCode": "USD", "price": price, **more}]
        shop._update_variant({"id": item_id, "prices": prices}, "congress")

    one = {"items": [item(item_id)], "user": user}
    price = channel.validate(CONGRESS, **one).order["total"]
    write(delete=True)
    try:
        refused = channel.validate(CONGRESS, **one)
        assert refused.refusal[:2] == (422, "unknown_item")
        assert "it has no price in USD" in refused.error["message"]
    finally:
        write()
    assert channel.validate(CONGRESS, **one).order["total"] == price


@pytest.mark.rule("PAY-1", "MONEY-5")
def test_the_storefront_can_give_itself_no_discount(shop: VendureServer) -> None:
    answer, token = shop.ask_storefront(
        "mutation($id: ID!) { addItemToOrder(productVariantId: $id, quantity: 1) { __typename } }", id=shop.items["Tea"]
    )
    assert answer["data"]["addItemToOrder"]["__typename"] == "Order"

    for field in ("merchantFundedDiscount: 300", 'levelupReference: "r"', 'guestName: "Ada"'):
        query = f"mutation {{ setOrderCustomFields(input: {{customFields: {{{field}}}}}) {{ __typename }} }}"
        assert "errors" in shop.ask_storefront(query, token)[0]


@pytest.mark.rule("PAY-1", "SUB-10")
def test_only_who_has_the_key_can_ask_the_plugin(shop: VendureServer, user: dict[str, str]) -> None:
    account = adapter(shop).account
    vendure = VendureAdapter(replace(account, settings={**account.settings, "tender_key": Secret("stranger")}))

    for ask in (validate, fence):
        with pytest.raises(Refused) as refusal:
            ask(vendure, order(shop, user))
        assert refusal.value.code == "provider_credentials_refused"


@pytest.mark.rule("EP-5")
def test_the_shops_own_orders_still_need_shipping(shop: VendureServer, user: dict[str, str]) -> None:
    customer = {"firstName": "Robin", "lastName": "Example", "emailAddress": user["email"]}
    answer, _ = shop.ask_storefront(
        """mutation($id: ID!, $customer: CreateCustomerInput!) {
          addItemToOrder(productVariantId: $id, quantity: 1) { __typename }
          setCustomerForOrder(input: $customer) { __typename }
          transitionOrderToState(state: "ArrangingPayment") { __typename
            ... on OrderStateTransitionError { transitionError } } }""",
        id=shop.items["Tea"],
        customer=customer,
    )

    assert "ShippingMethod" in answer["data"]["transitionOrderToState"]["transitionError"]


@pytest.mark.rule("META-3")
def test_our_carts_do_not_appear_in_the_storefront(shop: VendureServer, user: dict[str, str]) -> None:
    """A customer who logs in at the shop finds no cart that a validation, or a payment that was declined, left."""
    account = adapter(shop).account
    members = VendureAdapter(replace(account, settings={**account.settings, "checkout": "account"}))
    declined = replace(order(shop, user), tip=0)
    quote = validate(members, declined)
    with session(members) as calls, pytest.raises(Refused, match="the bank declines the card"):
        members.submit_order(
            replace(declined, customer_account=quote.customer_account, cart=quote.cart), DECLINED, calls
        )

    login = """mutation($email: String!, $password: String!) {
      login(username: $email, password: $password) { __typename } }"""
    credentials = {name: value.reveal() for name, value in quote.customer_account.items()}
    answer, token = shop.ask_storefront(login, **credentials)
    assert answer["data"]["login"]["__typename"] == "CurrentUser"
    seen, _ = shop.ask_storefront("{ activeOrder { code } activeCustomer { orders { totalItems } } }", token)
    assert seen["data"] == {"activeOrder": None, "activeCustomer": {"orders": {"totalItems": 0}}}


@pytest.mark.rule("ITEM-7", "META-5")
def test_an_option_that_staff_deletes_is_not_left_out_in_silence(
    channel: Channel, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    [facet] = [key.split(":")[0] for name, key in shop.options.items() if name == "Oat"]
    [value] = shop.admin(
        "mutation($input: [CreateFacetValueInput!]!) { createFacetValues(input: $input) { id } }",
        input=[{
            "facetId": facet, "code": "hemp", "customFields": {"price": 90},
            "translations": [{"languageCode": "en", "name": "Hemp"}],
        }],
    )  # fmt: skip
    for place in shop.channels().values():
        query = "mutation($input: AssignFacetsToChannelInput!) { assignFacetsToChannel(input: $input) { id } }"
        shop.admin(query, input={"facetIds": [facet], "channelId": place})
    tea = {"items": [item(shop.items["Tea"], f"{facet}:{value['id']}")], "user": user}
    validated = channel.validate(CONGRESS, **tea).order

    shop.admin("mutation($ids: [ID!]!) { deleteFacetValues(ids: $ids, force: true) { result } }", ids=[value["id"]])
    refusal = channel.submit(CONGRESS, **tea, metadata=validated["metadata"])

    assert validated["total"] == 423
    assert refusal.refusal[:2] == (422, "item_unavailable")
    assert placed() == []


NEAR = {
    "street_address": "21 Blue Street", "extended_address": "Floor 9", "locality": "Boston", "region": "MA",
    "postal_code": "02114", "delivery_instructions": "Ring the blue bell.",
}  # fmt: skip
BRING: dict[str, Any] = {"fulfillment_type": "delivery", "delivery_address": NEAR}


@pytest.mark.rule("EP-12", "DELIVERY-1", "DELIVERY-2", "DELIVERY-3", "MONEY-9")
def test_a_delivery_is_read_back_by_the_staff(app: Flask, shop: VendureServer) -> None:
    channel, soda = Channel(app), [item(shop.items["Soda"], quantity=3)]
    picked_up = channel.validate(CONGRESS, items=soda).order
    reported = channel.validate(CONGRESS, items=soda, tip=150, **BRING).order
    assert reported["total"] == picked_up["total"] + 300
    assert reported["metadata"]["order_fees"] == [{"name": "Delivery", "amount": 300}]
    placed = channel.submit(CONGRESS, items=soda, tip=150, metadata=reported["metadata"], **BRING).order
    (order,) = [each for each in shop.orders(5) if each["code"] == placed["order_id"]]
    assert order["shippingAddress"] == {
        "fullName": "Robin Example", "streetLine1": "21 Blue Street", "streetLine2": "Floor 9", "city": "Boston",
        "province": "MA", "postalCode": "02114", "countryCode": "US", "phoneNumber": "617-555-0142",
    }  # fmt: skip
    assert order["delivery"] == {"deliveryInstructions": "Ring the blue bell."}
    assert order["shippingLines"] == [{"price": 300, "shippingMethod": {"code": "delivery"}}]
    paid = reported["total"] + reported["tax"] + 150 - reported["provider_funded_discount"]
    assert [payment["amount"] for payment in order["payments"]] == [paid] == [order["totalWithTax"]]


@pytest.mark.rule("DELIVERY-1", "DELIVERY-3", "META-4")
def test_an_address_that_comes_late_is_priced_or_refused(app: Flask, shop: VendureServer) -> None:
    channel, burgers = Channel(app), [item(shop.items["Burger"], shop.options["Fries"], quantity=2)]
    open_yet = channel.validate(CONGRESS, items=burgers, fulfillment_type="delivery").order
    assert open_yet["metadata"]["order_address_decides"] == ["availability", "fee", "minimum", "tax"]
    assert open_yet["metadata"]["order_fees"] == [{"name": "Delivery", "amount": 300}]
    far = {**BRING, "delivery_address": {**NEAR, "postal_code": "02116"}}
    before = shop.count_orders()
    late = channel.submit(CONGRESS, items=burgers, metadata=open_yet["metadata"], **far)
    assert late.refusal == (422, "price_changed", "$.order_submission.delivery_address")
    assert shop.count_orders() == before
    assert channel.submit(CONGRESS, items=burgers, metadata=open_yet["metadata"], **BRING).status == 200
    assert channel.submit(CONGRESS, items=burgers, **far).status == 200
    fees = [line["price"] for order in shop.orders(2) for line in order["shippingLines"]]
    assert fees == [700, 300]


@pytest.mark.rule("DELIVERY-2", "DELIVERY-4", "EP-12")
def test_what_the_shop_does_not_deliver_is_refused(app: Flask, shop: VendureServer) -> None:
    channel, soda = Channel(app), [item(shop.items["Soda"], quantity=3)]

    def refused(items: Any = soda, place: str = CONGRESS, **parts: Any) -> tuple[int, str, str | None, str]:
        members = {**BRING, "delivery_address": {**NEAR, **parts}}
        answer = channel.validate(place, items=items, **members)
        path = (answer.error["path"] or "").removeprefix("$.order_validation")
        return answer.status, answer.error["code"], path, answer.error["message"]

    assert refused(postal_code="99999")[:3] == (422, "address_not_served", ".delivery_address")
    assert refused(postal_code="SW1A 1AA")[:3] == (422, "address_not_served", ".delivery_address")
    small = refused([item(shop.items["Soda"])])
    assert small[:3] == (422, "order_minimum_not_reached", ".items") and "5.00" in small[3]
    assert refused(postal_code="02115")[1] == "order_minimum_not_reached"
    assert refused(place="boston.harbor")[:3] == (422, "fulfillment_not_supported", ".fulfillment_type")


@pytest.mark.rule("STAT-2", "EP-12")
def test_a_delivery_is_delivered_not_picked_up(app: Flask, shop: VendureServer) -> None:
    channel = Channel(app)
    placed = channel.submit(CONGRESS, items=[item(shop.items["Soda"], quantity=3)], **BRING).order
    (order,) = [each for each in shop.orders(5) if each["code"] == placed["order_id"]]
    for state in ("Shipped", "Delivered"):
        shop.move(order["id"], state)
    reported = channel.get(f"/locations/{CONGRESS}/orders/{placed['order_id']}").json["order"]
    assert (reported["status"], reported["provider_status"]) == ("delivered", "Delivered, delivery")


@pytest.mark.rule("MENU-8")
def test_a_variant_without_stock_is_known_between_menus(shop: VendureServer) -> None:
    settings = {"base_url": shop.base_url, "channels": "congress", "tender_key": Secret(shop.tender_key)}
    adapter = VendureAdapter(Account("boston", "vendure", "Boston Burgers", {**settings, "checkout": "guest"}))
    session = Session(
        TRANSPORT, "boston", base_url=shop.base_url, headers={}, error_from=adapter.error_from, deadline=Deadline(10)
    )
    stock = adapter.show_stock(Location("congress", "Congress Street"), session)
    assert stock.items == {shop.items["Cookie"]} and len(session.calls) == 1
