"""A Vendure shop's channels and products in the contract's terms (LOC-1, MENU-1 to MENU-5).

A variant of a product is an item, a facet is an option group, and its values are the options. The channel's custom
fields contain what Vendure has no members for. An item is listed in the first collection of its product.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from levelup_ov.adapter import (
    Category,
    JSONObject,
    Location,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    TenderKind,
    broken_protocol,
    encode_path,
)

METHODS: Mapping[str, TenderKind] = {"levelup": "levelup", "card": "credit_card"}
"""Codes of the shop's payment methods."""
PLUGIN = "2."
"""The prefix of the plugin versions that the adapter supports."""
DELIVERS = 3
"""The plugin's minor version since which it delivers."""
LOCATION = """query Location {
  levelUp { version }
  activeChannel { defaultCurrencyCode customFields {
    locationName street city region postalCode phone timeZone acceptsTips } }
  activePaymentMethods { code } activeShippingMethods { code }
}"""
MENU = """query Menu($skip: Int!) {
  activeChannel { pricesIncludeTax }
  products(options: {skip: $skip, sort: {id: ASC}}) { totalItems items {
    id description collections { id name } variants { id name price priceWithTax }
    customFields { modifierGroups { id name customFields { minimum maximum }
      values { id name customFields { price } } } } } }
}"""
"""One page: as many products as the shop returns at most."""


def read_location(token: str, data: JSONObject) -> Location:
    """A channel as a location.

    :raises Unanswered: the shop has a different version of the plugin.
    """
    if not (version := data.member("levelUp").text("version")).startswith(PLUGIN):
        raise broken_protocol(f"the shop's plugin has version {version}; this adapter needs version {PLUGIN}x")
    channel = data.member("activeChannel")
    place = channel.member("customFields")
    ways = [method.text("code") for method in data.each("activeShippingMethods", [])]
    delivers = _minor(version) >= DELIVERS and any(re.fullmatch("delivery(-.*)?", code) for code in ways)
    codes = [method.text("code") for method in data.each("activePaymentMethods")]
    return Location(
        token, place.text("locationName"),
        street_address=place.text("street", None), locality=place.text("city", None), region=place.text("region", None),
        postal_code=place.text("postalCode", None), phone=place.text("phone", None),
        time_zone=place.text("timeZone", None), accepts_tips_on_pickup=place.boolean("acceptsTips", None),
        accepts_tips_on_delivery=place.boolean("acceptsTips", None) if delivers else None, fulfills_deliveries=delivers,
        tenders=frozenset(kind for code, kind in METHODS.items() if code in codes),
        currency=channel.text("defaultCurrencyCode"),
    )  # fmt: skip


def _minor(version: str) -> int:
    found = re.match(r"2\.(\d+)", version)
    return int(found[1]) if found else 0


class Page(NamedTuple):
    """A page of the menu; ``total``: the number of products on all pages."""

    products: Sequence[JSONObject]
    total: int
    price: str
    """The name of the price member of a variant: with tax if the channel's prices include it."""


def read_page(data: JSONObject) -> Page:
    products = data.member("products")
    taxed = data.member("activeChannel").boolean("pricesIncludeTax")
    return Page(products.each("items"), products.integer("totalItems"), "priceWithTax" if taxed else "price")


def read_menu(location: Location, pages: Iterable[Page]) -> Menu:
    categories: dict[tuple[str, str], list[MenuItem]] = {}
    groups: dict[str, OptionGroup] = {}
    products = {product.identifier("id"): (product, page.price) for page in pages for product in page.products}
    for product, price in products.values():
        published = [_group(group) for group in product.member("customFields").each("modifierGroups")]
        groups.update((group.provider_id, group) for group in published)
        collections = [(each.identifier("id"), each.text("name")) for each in product.each("collections")]
        items = categories.setdefault(next(iter(collections), ("menu", "Menu")), [])
        about, ids = _plain(product.text("description")), tuple(group.provider_id for group in published)
        for variant in product.each("variants"):
            item_id, name = variant.identifier("id"), variant.text("name")
            items.append(MenuItem(item_id, name, variant.price(price), about or None, option_groups=ids))
    found = tuple(Category(key, name, tuple(items)) for (key, name), items in categories.items())
    return Menu(location.provider_id, location.name, found, tuple(groups.values()))


def _plain(text: str) -> str:
    """2026-11: descriptions are written with a rich text editor and stored as HTML."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


def _group(group: JSONObject) -> OptionGroup:
    group_id, limits = group.identifier("id"), group.member("customFields")
    options = tuple(
        MenuOption(
            encode_path(group_id, value.identifier("id")), value.text("name"),
            value.member("customFields").price("price"), maximum_quantity=1,
        )
        for value in group.each("values")
    )  # fmt: skip
    minimum, maximum = limits.integer("minimum", 0), limits.integer("maximum", None)
    return OptionGroup(encode_path(group_id), group.text("name"), options, minimum, maximum)
