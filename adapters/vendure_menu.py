"""A Vendure shop's channels and products in the contract's terms (LOC-1, MENU-1 to MENU-5).

A variant of a product is an item, a facet an option group, its values are the options. The channel's custom
fields tell what Vendure has no members for. An item stands in the first of its product's collections.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping

from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Category, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.options import encode_path
from levelup_ov.domain.tender import TenderKind
from levelup_ov.transport.answer import Answer

METHODS: Mapping[str, TenderKind] = {"levelup": "levelup", "card": "credit_card"}
"""Codes of the shop's payment methods."""
LOCATION = """query Location {
  activeChannel { customFields {
    locationName street city region postalCode phone timeZone acceptsTips } }
  activePaymentMethods { code }
}"""
MENU = """query Menu($skip: Int!) {
  products(options: {take: 100, skip: $skip}) { totalItems items {
    description collections { id name } variants { id name price }
    customFields { modifierGroups { id name customFields { minimum maximum }
      values { id name customFields { price } } } } } }
}"""


def read_location(token: str, data: Answer) -> Location:
    place = data.member("activeChannel").member("customFields")
    codes = [method.text("code") for method in data.each("activePaymentMethods")]
    return Location(
        token, place.text("locationName"),
        street_address=place.text("street", None), locality=place.text("city", None), region=place.text("region", None),
        postal_code=place.text("postalCode", None), phone=place.text("phone", None),
        time_zone=place.text("timeZone", None), accepts_tips_on_pickup=place.boolean("acceptsTips", None),
        tenders=frozenset(kind for code, kind in METHODS.items() if code in codes),
    )  # fmt: skip


def read_menu(location: Location, products: Iterable[Answer]) -> Menu:
    categories: dict[tuple[str, str], list[MenuItem]] = {}
    groups: dict[str, OptionGroup] = {}
    for product in products:
        published = [_group(group) for group in product.member("customFields").each("modifierGroups")]
        groups.update((group.provider_id, group) for group in published)
        collections = [(each.identifier("id"), each.text("name")) for each in product.each("collections")]
        items = categories.setdefault(next(iter(collections), ("menu", "Menu")), [])
        about, ids = _plain(product.text("description")), tuple(group.provider_id for group in published)
        for variant in product.each("variants"):
            name, price = variant.text("name"), variant.cents("price")
            items.append(MenuItem(variant.identifier("id"), name, price, about or None, option_groups=ids))
    found = tuple(Category(key, name, tuple(items)) for (key, name), items in categories.items())
    return Menu(location.provider_id, location.name, found, tuple(groups.values()))


def _plain(text: str) -> str:
    """2026-11: descriptions are written with a rich text editor, and kept as HTML."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


def _group(group: Answer) -> OptionGroup:
    group_id, limits = group.identifier("id"), group.member("customFields")
    options = tuple(
        MenuOption(
            encode_path(group_id, value.identifier("id")), value.text("name"),
            value.member("customFields").cents("price"), maximum_quantity=1,
        )
        for value in group.each("values")
    )  # fmt: skip
    minimum, maximum = limits.integer("minimum"), limits.integer("maximum", None)
    return OptionGroup(encode_path(group_id), group.text("name"), options, minimum, maximum)
