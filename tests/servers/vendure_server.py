"""A real Vendure server on the loopback interface, with a small restaurant's menu in two channels."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.servers.process import CACHE, Server, SystemMissing, npm_modules

CONFIGURATION = Path(__file__).with_name("vendure")
PLUGIN = Path(__file__).parents[2] / "plugins" / "vendure"
CONGRESS, HARBOR = "congress", "harbor"
"""The tokens of the two channels."""
TAX_PERCENT = 7
HAPPY_HOUR = "Happy hour"
"""The shop's own promotion: a tenth off the soda."""
DRINKS_TAX_PERCENT = 19
"""Where prices include tax."""
MERCHANT_DISCOUNT = "LevelUp merchant-funded discount"

GROUPS: Mapping[str, tuple[int, int | None, Mapping[str, int]]] = {
    "Side": (1, 1, {"Fries": 0, "Salad": 200}),
    "Extra": (0, None, {"Swiss": 150, "Bacon": 250}),
    "Milk": (0, 2, {"Oat": 60, "Cow": 0, "Soy": 75}),
}
"""Option groups: at least, at most, and the price of each option in cents."""
MENU: Mapping[str, tuple[str, int, Sequence[str], Sequence[str]]] = {
    "Burger": ("Mains", 1000, ("Side", "Extra"), (CONGRESS, HARBOR)),
    "Tea": ("Drinks", 333, ("Milk",), (CONGRESS,)),
    "Soda": ("Drinks", 300, (), (CONGRESS, HARBOR)),
    "Cookie": ("", 250, (), (CONGRESS,)),
    "Oysters": ("Mains", 2400, (), (HARBOR,)),
}
"""Items: category, price in cents, option groups, channels. The cookie is sold out."""
DELIVERIES: Mapping[str, tuple[int, int, Sequence[str]]] = {
    "delivery": (300, 500, ("02108", "02114")),
    "delivery-far": (700, 2000, ("0211*",)),
}
"""Shipping methods: fee and minimum in cents, postal codes."""
PLACES: Mapping[str, Mapping[str, Any]] = {
    CONGRESS: {
        "locationName": "Congress Street", "street": "1 Congress St", "city": "Boston", "region": "MA",
        "postalCode": "02114", "phone": "+16175550100", "timeZone": "America/New_York", "acceptsTips": True,
    },
    HARBOR: {"locationName": "The Harbor", "timeZone": "America/Chicago", "acceptsTips": False},
}  # fmt: skip


def install(cache: Path = CACHE / "vendure") -> Path:
    """The directory with Vendure's modules; installed if it is not yet.

    :raises SystemMissing: it cannot be installed.
    """
    return npm_modules(CONFIGURATION, cache)


class VendureServer(Server):
    """A shop whose database ends with the process. The methods are what its staff does.

    ``tender_key`` is what the payment method ``levelup`` asks for. ``items`` and ``options`` give the ids
    of what the menu calls by name; those of options as ``group:option``. ``page``: rows of a list at most.
    ``database``: the address of an empty one of PostgreSQL, which the shop has instead of its own.

    :raises SystemMissing: it does not start.
    """

    name = "vendure"
    ready_path = "/health"
    starting_time = 60.0

    def __init__(self, modules: Path, page: int = 100, database: str = "") -> None:
        super().__init__()
        self._page = page
        self._database = database
        self.items: dict[str, str] = {}
        self.options: dict[str, str] = {}
        self.tender_key = secrets.token_urlsafe(16)
        self._modules = modules
        self._password = secrets.token_urlsafe(16)
        self._staff = requests.Session()
        self._staff.trust_env = False
        # Node closes a connection that rests for five seconds, perhaps just when it is used again.
        self._staff.headers["Connection"] = "close"

    def command(self, directory: Path) -> Sequence[str | Path]:
        return ["node", CONFIGURATION / "index.js"]

    def environment(self) -> dict[str, str]:
        return {
            "NODE_PATH": str(self._modules),
            "PORT": str(self.port),
            "ADMIN_PASSWORD": self._password,
            "PAGE": str(self._page),
            "DATABASE": self._database,
            "VENDURE_DISABLE_TELEMETRY": "true",
        }

    def __enter__(self) -> VendureServer:
        super().__enter__()
        try:
            self._log_in()
            _Seed(self).sow()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._staff.close()
        super().__exit__()

    def admin(self, query: str, channel: str = "", **variables: Any) -> Any:
        """Ask the admin API; the one root member of the answer.

        :raises RuntimeError: it reports an error.
        """
        return self._ask("admin-api", query, channel, variables)

    def count_orders(self) -> int:
        """How many orders were placed."""
        query = "{ orders(options: {filter: {orderPlacedAt: {isNull: false}}, take: 1}) { totalItems } }"
        return int(self.admin(query)["totalItems"])

    def orders(self, newest: int = 100) -> list[dict[str, Any]]:
        """The newest orders that were placed, newest first, with everything that was asked for in them."""
        orders: list[dict[str, Any]] = self.admin(
            """query($take: Int!) {
            orders(options: {filter: {orderPlacedAt: {isNull: false}}, sort: {id: DESC}, take: $take}) { items {
              id code state orderPlacedAt total totalWithTax channels { token }
              customFields { pickupAt instructions merchantFundedDiscount levelupReference }
              guest: customFields { guestName guestPhone guestEmail }
              customer { firstName lastName emailAddress phoneNumber user { identifier } }
              lines { productVariant { id name } quantity linePrice
                customFields { instructions recipient modifiers { id name } } }
              surcharges { sku price priceWithTax }
              discounts { description amount }
              shippingAddress { fullName streetLine1 streetLine2 city province postalCode countryCode phoneNumber }
              shippingLines { price shippingMethod { code } } delivery: customFields { deliveryInstructions }
              taxSummary { taxRate taxTotal }
              payments { method amount state transactionId errorMessage metadata }
            } } }""",
            take=newest,
        )["items"]
        return orders

    def move(self, order_id: str, state: str) -> None:
        """Move a placed order on: ``Shipped`` is made ready, ``Delivered`` is fetched, ``Cancelled`` is called off."""
        if state == "Cancelled":
            query = "mutation($id: ID!) { cancelOrder(input: {orderId: $id}) { __typename ... on Order { id } } }"
            moved = self.admin(query, id=order_id)
        else:
            if state == "Shipped":
                self._fulfil(order_id)
            found = self.admin("query($id: ID!) { order(id: $id) { fulfillments { id } } }", id=order_id)
            query = """mutation($id: ID!, $state: String!) {
              transitionFulfillmentToState(id: $id, state: $state) { __typename ... on Fulfillment { id } } }"""
            moved = self.admin(query, id=found["fulfillments"][0]["id"], state=state)
        if "id" not in moved:
            raise RuntimeError(f"the order was not moved: {moved}")

    def _fulfil(self, order_id: str) -> None:
        lines = self.admin("query($id: ID!) { order(id: $id) { lines { id quantity } } }", id=order_id)["lines"]
        handler = _operation("manual-fulfillment", method="counter", trackingCode="")
        query = """mutation($input: FulfillOrderInput!) {
          addFulfillmentToOrder(input: $input) { __typename ... on Fulfillment { id } } }"""
        wanted = [{"orderLineId": line["id"], "quantity": line["quantity"]} for line in lines]
        fulfilled = self.admin(query, input={"lines": wanted, "handler": handler})
        if "id" not in fulfilled:
            raise RuntimeError(f"the order was not fulfilled: {fulfilled}")

    def customers(self) -> list[dict[str, Any]]:
        """All customers: name, telephone and address, and the login if they have an account."""
        query = """{ customers(options: {sort: {id: ASC}}) { items {
          firstName phoneNumber emailAddress user { id identifier } } } }"""
        customers: list[dict[str, Any]] = self.admin(query)["items"]
        return customers

    def set_price(self, item: str, cents: int) -> None:
        """Change the price of an item in all channels."""
        for channel in MENU[item][3]:
            self._update_variant({"id": self.items[item], "price": cents}, channel)

    def create_account(self, email: str) -> None:
        """A customer who has an account already, with a password that nobody knows."""
        query = (
            "mutation($input: CreateCustomerInput!, $password: String) {"
            " createCustomer(input: $input, password: $password) { __typename } }"
        )
        customer = {"firstName": "Some", "lastName": "Body", "emailAddress": email}
        self.admin(query, input=customer, password=secrets.token_urlsafe(16))

    def change_password(self, email: str, old: str, new: str) -> None:
        """Change a customer's password, as they do themselves."""
        with requests.Session() as customer:
            customer.trust_env = False
            url, headers = f"{self.base_url}/shop-api", {"vendure-token": CONGRESS}
            query = """mutation($email: String!, $old: String!, $new: String!) {
              login(username: $email, password: $old) { __typename }
              updateCustomerPassword(currentPassword: $old, newPassword: $new) { __typename } }"""
            variables = {"email": email, "old": old, "new": new}
            body = {"query": query, "variables": variables}
            data = customer.post(url, json=body, headers=headers, timeout=60).json()["data"]
            if data["updateCustomerPassword"]["__typename"] != "Success":
                raise RuntimeError(f"the password was not changed: {data}")

    @contextmanager
    def sold_out(self, item: str) -> Iterator[None]:
        """An item is sold out for the time of the block."""
        self._update_variant({"id": self.items[item], "stockOnHand": 0})
        try:
            yield
        finally:
            self._update_variant({"id": self.items[item], "stockOnHand": 1000})

    @contextmanager
    def promotion(
        self, name: str, action: Mapping[str, Any], condition: Mapping[str, Any] | None = None
    ) -> Iterator[None]:
        """A promotion of the shop's own runs in all channels for the time of the block."""
        promotion = self.admin(
            "mutation($input: CreatePromotionInput!) { createPromotion(input: $input) { ... on Promotion { id } } }",
            input={"enabled": True, "conditions": [condition or _always()], "actions": [action], **_names(name)},
        )["id"]
        query = "mutation($input: AssignPromotionsToChannelInput!) { assignPromotionsToChannel(input: $input) { id } }"
        for channel in self.channels().values():
            self.admin(query, input={"promotionIds": [promotion], "channelId": channel})
        try:
            yield
        finally:
            self.admin("mutation($id: ID!) { deletePromotion(id: $id) { result } }", id=promotion)

    @contextmanager
    def renamed(self, token: str) -> Iterator[None]:
        """A channel has another token for the time of the block: what is asked of it under this one is refused."""
        query = "mutation($input: UpdateChannelInput!) { updateChannel(input: $input) { __typename } }"
        channel = self.channels()[token]
        self.admin(query, input={"id": channel, "token": f"{token}-moved"})
        try:
            yield
        finally:
            self.admin(query, input={"id": channel, "token": token})

    @contextmanager
    def offering(self, item: str, minimum: int, options: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """An item more, for which so many of the options must be chosen; gives what deletes an option."""
        seed = _Seed(self)
        seed.know_channels(self.channels())
        group = seed.add_group(f"{item} with", minimum, None, dict.fromkeys(options, 0))
        tax = self.admin("{ taxCategories { items { id } } }")["items"][0]["id"]
        product = seed.add_item(item, 700, tax, [group], (CONGRESS,))

        def delete(option: str) -> None:
            query = "mutation($ids: [ID!]!) { deleteFacetValues(ids: $ids, force: true) { result } }"
            self.admin(query, ids=[self.options[option].partition(":")[2]])

        try:
            yield delete
        finally:
            self.admin("mutation($id: ID!) { deleteProduct(id: $id) { result } }", id=product)

    def channels(self) -> dict[str, str]:
        """Token and id of each channel that is a location."""
        found = self.admin("{ channels { items { id token } } }")["items"]
        return {each["token"]: each["id"] for each in found if each["token"] in PLACES}

    def include_tax(self) -> None:
        """From now on the prices of all channels include tax, and drinks have a rate of their own."""
        zone = self.admin("{ zones { items { id } } }")["items"][0]["id"]
        category = self.admin(
            "mutation($input: CreateTaxCategoryInput!) { createTaxCategory(input: $input) { id } }",
            input={"name": "Drinks"},
        )["id"]
        rate = {"name": "Drinks", "enabled": True, "value": DRINKS_TAX_PERCENT, "categoryId": category, "zoneId": zone}
        self.admin("mutation($input: CreateTaxRateInput!) { createTaxRate(input: $input) { id } }", input=rate)
        for drink in ("Tea", "Soda"):
            self._update_variant({"id": self.items[drink], "taxCategoryId": category})
        query = "mutation($input: UpdateChannelInput!) { updateChannel(input: $input) { __typename } }"
        for channel in self.channels().values():
            self.admin(query, input={"id": channel, "pricesIncludeTax": True})

    def add_items(self, count: int) -> None:
        """So many items more, each with a product of its own, in the first channel."""
        tax = self.admin("{ taxCategories { items { id } } }")["items"][0]["id"]
        seed = _Seed(self)
        seed.know_channels(self.channels())
        for number in range(count):
            seed.add_item(f"Special {number}", 500 + number, tax, (), (CONGRESS,))

    def ask_storefront(self, query: str, token: str = "", **variables: Any) -> tuple[dict[str, Any], str]:
        """What the shop's own storefront asks in the first channel: the whole answer, and the session's token."""
        headers = {"vendure-token": CONGRESS, **({"Authorization": f"Bearer {token}"} if token else {})}
        with requests.Session() as visitor:
            visitor.trust_env = False
            body = {"query": query, "variables": variables}
            answer = visitor.post(f"{self.base_url}/shop-api", json=body, headers=headers, timeout=60)
        return answer.json(), answer.headers.get("vendure-auth-token", token)

    def _update_variant(self, changes: Mapping[str, Any], channel: str = "") -> None:
        query = "mutation($input: [UpdateProductVariantInput!]!) { updateProductVariants(input: $input) { id } }"
        self.admin(query, channel, input=[changes])

    def _log_in(self) -> None:
        query = """mutation($name: String!, $password: String!) { login(username: $name, password: $password) {
          __typename } }"""
        self.admin(query, name="superadmin", password=self._password)

    def _ask(self, api: str, query: str, channel: str, variables: Mapping[str, Any]) -> Any:
        headers = {"vendure-token": channel} if channel else {}
        body = {"query": query, "variables": variables}
        answer = self._staff.post(f"{self.base_url}/{api}", json=body, headers=headers, timeout=60)
        content = answer.json()
        if content.get("errors"):
            raise RuntimeError(content["errors"][0]["message"])
        if token := answer.headers.get("vendure-auth-token"):
            self._staff.headers["Authorization"] = f"Bearer {token}"
        [result] = content["data"].values()
        return result


class _Seed:
    """Fills an empty shop."""

    def __init__(self, shop: VendureServer) -> None:
        self._shop = shop
        self._channels: dict[str, str] = {}

    def know_channels(self, channels: Mapping[str, str]) -> None:
        """The channels of a shop that was filled before."""
        self._channels.update(channels)

    def sow(self) -> None:
        """Everything, in the order in which it depends on one another."""
        tax_category = self._add_tax_and_channels()
        groups = self._add_groups()
        for name, (_, price, group_names, channels) in MENU.items():
            self.add_item(name, price, tax_category, [groups[group] for group in group_names], channels)
        self._shop.admin(
            "mutation($input: [UpdateProductVariantInput!]!) { updateProductVariants(input: $input) { id } }",
            input=[{"id": self._shop.items["Cookie"], "stockOnHand": 0}],
        )
        for category in ("Mains", "Drinks"):
            self._add_category(category)
        self._add_promotion(MERCHANT_DISCOUNT, _operation("levelup_merchant_funded_discount"))
        soda = {"productVariantIds": f'["{self._shop.items["Soda"]}"]', "discount": "10"}
        self._add_promotion(HAPPY_HOUR, _operation("products_percentage_discount", **soda))
        for code in ("levelup", "card"):
            arguments = {"key": self._shop.tender_key} if code == "levelup" else {}
            handler = _operation(code, **arguments)
            method = self._create("PaymentMethod", code=code, enabled=True, handler=handler, **_names(code))
            self._assign("PaymentMethods", {"paymentMethodIds": [method]}, tuple(PLACES))
        self._add_deliveries()
        self._await_categories()

    def _add_deliveries(self) -> None:
        """The first channel delivers near and, for more, far."""
        self._create("Country", code="US", enabled=True, **_names("United States"))
        handler = {"fulfillmentHandler": "manual-fulfillment"}
        for code, (fee, minimum, postal_codes) in DELIVERIES.items():
            area = {"postalCodes": json.dumps(postal_codes), "orderMinimum": str(minimum)}
            price = {"rate": str(fee), "taxRate": "0", "includesTax": "exclude"}
            method = self._create(
                "ShippingMethod", code=code, checker=_operation("levelup-delivery-area", **area),
                calculator=_operation("default-shipping-calculator", **price), **handler, **_names("Delivery"),
            )  # fmt: skip
            self._assign("ShippingMethods", {"shippingMethodIds": [method]}, (CONGRESS,))

    def _add_tax_and_channels(self) -> str:
        zone = self._create("Zone", name="Anywhere")
        category = self._create("TaxCategory", name="Food", isDefault=True)
        self._create("TaxRate", name="Sales tax", enabled=True, value=TAX_PERCENT, categoryId=category, zoneId=zone)
        stock = self._shop.admin("{ stockLocations { items { id } } }")["items"][0]["id"]
        sellers = self._shop.admin("{ sellers { items { id } } }")["items"]
        for token, fields in PLACES.items():
            self._channels[token] = self._create(
                "Channel", code=token, token=token, defaultLanguageCode="en", pricesIncludeTax=False,
                defaultCurrencyCode="USD", defaultTaxZoneId=zone, defaultShippingZoneId=zone,
                sellerId=sellers[0]["id"], customFields=fields,
            )  # fmt: skip
        # Items are made in the default channel, which needs a tax zone for that.
        default = self._shop.admin("{ activeChannel { id } }")["id"]
        query = "mutation($input: UpdateChannelInput!) { updateChannel(input: $input) { __typename } }"
        zones = {"defaultTaxZoneId": zone, "defaultShippingZoneId": zone, "defaultCurrencyCode": "USD"}
        self._shop.admin(query, input={"id": default, "availableCurrencyCodes": ["USD"], **zones})
        self._assign("StockLocations", {"stockLocationIds": [stock]}, tuple(PLACES))
        return category

    def _add_groups(self) -> dict[str, str]:
        groups = {}
        for name, (minimum, maximum, options) in GROUPS.items():
            groups[name] = self.add_group(name, minimum, maximum, options)
        return groups

    def add_group(self, name: str, minimum: int, maximum: int | None, options: Mapping[str, int]) -> str:
        """An option group with the prices of its options; its id."""
        fields = {"minimum": minimum, "maximum": maximum}
        group = self._create("Facet", code=name, isPrivate=False, customFields=fields, **_names(name))
        for option, price in options.items():
            query = "mutation($input: [CreateFacetValueInput!]!) { createFacetValues(input: $input) { id } }"
            value = {"facetId": group, "code": option, "customFields": {"price": price}, **_names(option)}
            [created] = self._shop.admin(query, input=[value])
            self._shop.options[option] = f"{group}:{created['id']}"
        self._assign("Facets", {"facetIds": [group]}, tuple(PLACES))
        return group

    def add_item(self, name: str, price: int, tax: str, groups: Sequence[str], channels: Sequence[str]) -> str:
        """One product with one variant; the product's id."""
        about = f"<p>{name} &amp; napkin,</p><p>as you like it</p>"
        names = _names(name, slug=name.lower().replace(" ", "-"), description=about)
        product = self._create("Product", enabled=True, customFields={"modifierGroupsIds": groups}, **names)
        query = "mutation($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id } }"
        stock = {"stockOnHand": 1000, "trackInventory": "TRUE"}
        variant = {"productId": product, "sku": name.upper(), "price": price, "taxCategoryId": tax, **stock}
        [created] = self._shop.admin(query, input=[{**variant, **_names(name)}])
        self._shop.items[name] = created["id"]
        self._assign("Products", {"productIds": [product], "priceFactor": 1}, channels)
        return product

    def _add_category(self, name: str) -> None:
        ids = [self._shop.items[item] for item, (category, *_) in MENU.items() if category == name]
        contents = _operation("variant-id-filter", variantIds=json.dumps(ids), combineWithAnd="true")
        names = _names(name, slug=name.lower(), description="")
        collection = self._create("Collection", filters=[contents], **names)
        self._assign("Collections", {"collectionIds": [collection]}, tuple(PLACES))

    def _await_categories(self) -> None:
        """A worker fills them in its own time."""
        query = "{ collections { items { productVariants { totalItems } } } }"
        until = time.monotonic() + 60
        while not all(each["productVariants"]["totalItems"] for each in self._shop.admin(query)["items"]):
            if time.monotonic() > until:
                raise SystemMissing("vendure did not fill its collections")
            time.sleep(0.05)

    def _add_promotion(self, name: str, action: Mapping[str, Any]) -> None:
        promotion = self._create("Promotion", enabled=True, conditions=[_always()], actions=[action], **_names(name))
        self._assign("Promotions", {"promotionIds": [promotion]}, tuple(PLACES))

    def _create(self, kind: str, **members: Any) -> str:
        """Make one thing; its id."""
        fragment = f"... on {kind} {{ id }}"
        query = f"mutation($input: Create{kind}Input!) {{ create{kind}(input: $input) {{ __typename {fragment} }} }}"
        return str(self._shop.admin(query, input=members)["id"])

    def _assign(self, kind: str, members: Mapping[str, Any], tokens: Sequence[str]) -> None:
        query = f"mutation($input: Assign{kind}ToChannelInput!) {{ assign{kind}ToChannel(input: $input) {{ id }} }}"
        for token in tokens:
            self._shop.admin(query, input={**members, "channelId": self._channels[token]})


def _operation(code: str, **arguments: str) -> dict[str, Any]:
    return {"code": code, "arguments": [{"name": name, "value": value} for name, value in arguments.items()]}


def _always() -> dict[str, Any]:
    return _operation("minimum_order_amount", amount="0", taxInclusive="false")


def _names(name: str, **more: str) -> dict[str, Any]:
    return {"translations": [{"languageCode": "en", "name": name, **more}]}
