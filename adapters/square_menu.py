"""Square's locations and catalog in the contract's terms (LOC-1, LOC-2, MENU-1 to MENU-5).

An item's variation is one of our items: an order names it, and it has the price. The menu leaves out what the contract
cannot express: prices set at the sale, quantities that are not counts, items that need the customer's words, and
things that are not food. What is sold out or not present at the location is not part of its menu; references to it,
or to deleted objects, are dropped.

Minimum and maximum of a modifier list: 0 is none, -1 is not set; if an item has -1 for both, the list's own apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from levelup_ov.adapter import (
    WEEKDAYS,
    Category,
    CategoryGroup,
    Cents,
    Hours,
    JSONObject,
    Location,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    Stock,
    Weekday,
    broken_protocol,
    encode_path,
    opening_hours,
    unknown_hours,
)

KINDS = ("ITEM", "MODIFIER_LIST", "CATEGORY", "IMAGE")
"""The objects of a catalog that a menu is made of."""
PRODUCTS = ("REGULAR", "FOOD_AND_BEV")
"""The kinds of item that are prepared and picked up; the others are gift cards, bookings, donations."""
NOTE_LIMIT = 500
"""Characters of a pickup's note. A line's may have 2,000, but a menu states one limit."""

_DAYS: Mapping[str, Weekday] = {day[:3].upper(): day for day in WEEKDAYS}
_NOTHING = JSONObject({})
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?")


def cents(answer: JSONObject, name: str, currency: str, *default: Cents) -> Cents:
    """An amount of money.

    :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``: not an amount, or in another currency.
    """
    if default and not answer.has(name):
        return default[0]
    money = answer.member(name)
    if money.text("currency") != currency:
        raise broken_protocol(f"the provider's amount at {money.path} is not in {currency}, the account's currency")
    return money.cents("amount")


def read_location(answer: JSONObject, currency: str) -> Location:
    """A location of the seller (LOC-1). Square does not say whether it takes tips.

    One with prices in another currency than the account's is not active: nothing is converted.
    """
    location_id, address, point = answer.identifier("id"), _inner(answer, "address"), _inner(answer, "coordinates")
    further = (address.text(f"address_line_{line}", "") for line in (2, 3))
    return Location(
        location_id, answer.text("name", "") or answer.text("business_name", "") or location_id,
        active=answer.text("status") == "ACTIVE" and answer.text("currency", currency) == currency,
        street_address=address.text("address_line_1", None), extended_address=", ".join(filter(None, further)) or None,
        locality=address.text("locality", None), region=address.text("administrative_district_level_1", None),
        postal_code=address.text("postal_code", None), phone=answer.text("phone_number", None),
        latitude=point.decimal("latitude", None), longitude=point.decimal("longitude", None),
        time_zone=answer.text("timezone", None), hours=_hours(_inner(answer, "business_hours").each("periods", [])),
        currency=currency,
    )  # fmt: skip


class SquareCatalog:
    """A seller's catalog, read for one location at one moment; what is not present there is not seen."""

    def __init__(self, objects: Sequence[JSONObject], location: Location, currency: str, now: datetime) -> None:
        self._location, self._currency, self._now = location, currency, now
        self._left_out: dict[str, None] = {}
        self._things: dict[str, dict[str, JSONObject]] = {kind: {} for kind in KINDS}
        for each in objects:
            if (kind := each.text("type")) in KINDS and self._has(each):
                self._things[kind][each.identifier("id")] = each.member(f"{kind.lower()}_data")

    def menu(self) -> Menu:
        """Everything that can be ordered here and that the contract can express, each id once (MENU-3)."""
        headings = {
            key: Category(
                key, data.text("name", ""), (), category_group=_inner(data, "parent_category").text("id", None)
            )
            for key, data in self._things["CATEGORY"].items()
            if data.text("category_type", "") != "KITCHEN_CATEGORY"
        }
        nowhere = Category("menu", "Menu", ())
        groups: dict[str, OptionGroup] = {}
        shelves: dict[str, list[MenuItem]] = {key: [] for key in headings}
        for item, own in self._listed():
            groups |= own
            named = [each.text("id", "") for each in item.each("categories", [])] + [item.text("category_id", "")]
            first = next((key for key in named if key in headings), "")
            shelves.setdefault(first, []).extend(self._items(item, tuple(own)))
        filled = [replace(headings.get(key, nowhere), items=tuple(items)) for key, items in shelves.items() if items]
        parents = {each.category_group: None for each in filled if each.category_group in headings}
        return Menu(
            self._location.provider_id, self._location.name,
            tuple(each if each.category_group in parents else replace(each, category_group=None) for each in filled),
            tuple(groups.values()), tuple(CategoryGroup(key, headings[key].name) for key in parents if key),
            special_instructions_character_limit=NOTE_LIMIT, left_out=tuple(self._left_out),
        )  # fmt: skip

    def stock(self) -> Stock:
        """The variations and modifiers that are sold out at the location."""
        found = {
            kind: frozenset(
                each.identifier("id")
                for data in self._things[kind].values()
                for each in data.each(within, [])
                if self._is_sold_out(each.member(inner))
            )
            for kind, within, inner in (
                ("ITEM", "variations", "item_variation_data"),
                ("MODIFIER_LIST", "modifiers", "modifier_data"),
            )
        }
        return Stock(found["ITEM"], found["MODIFIER_LIST"], by_last_part=True)

    def counted(self) -> frozenset[str]:
        """The variations on the menu whose stock is counted at the location, each as its own."""
        return frozenset(
            each.identifier("id")
            for item, _ in self._listed()
            for each, _ in self._priced(item)
            if self._is_counted(each.member("item_variation_data"))
        )

    def _is_counted(self, data: JSONObject) -> bool:
        # What is sold in other units than it is stocked in has no count of its own.
        if not data.boolean("stockable", True):
            return False
        tracked = (each.boolean("track_inventory") for each in self._layers(data) if each.has("track_inventory"))
        return next(tracked, False)

    def _is_sold_out(self, data: JSONObject) -> bool:
        return any(map(self._lacks, self._layers(data)))

    def _layers(self, data: JSONObject) -> list[JSONObject]:
        """What is said of a variation or modifier for the location, and then for all locations."""
        overrides = data.each("location_overrides", [])
        return [*(each for each in overrides if each.text("location_id", "") == self._location.provider_id), data]

    def _lacks(self, layer: JSONObject) -> bool:
        return layer.boolean("sold_out", False) and layer.instant("sold_out_valid_until", self._now) >= self._now

    def _listed(self) -> Iterator[tuple[JSONObject, dict[str, OptionGroup]]]:
        """The items that may be on the menu, with their groups."""
        for item_id, item in self._things["ITEM"].items():
            if item.boolean("is_archived", False) or item.text("product_type", PRODUCTS[0]) not in PRODUCTS:
                continue
            if (groups := self._groups(item_id, item)) is not None:
                yield item, groups

    def _priced(self, item: JSONObject) -> Iterator[tuple[JSONObject, int]]:
        """The item's variations that are sold by the piece at a fixed price and not marked as sold out, with it."""
        for each in filter(self._has, item.each("variations", [])):
            data = each.member("item_variation_data")
            price = self._price(data, f"item_provider_id={each.identifier('id')}")
            if price is not None and not data.has("measurement_unit_id") and data.boolean("sellable", True):
                yield each, price

    def _items(self, item: JSONObject, groups: tuple[str, ...]) -> list[MenuItem]:
        """The item's variations, as items of the menu."""
        found, is_only, name = [], len(item.each("variations", [])) == 1, item.text("name", "")
        about = item.text("description_plaintext", "") or item.text("description", "") or None
        images = self._things["IMAGE"]
        for each, price in self._priced(item):
            data = each.member("item_variation_data")
            pictures = [*data.texts("image_ids", []), *item.texts("image_ids", [])]
            title = name if is_only else f"{name} ({data.text('name', '')})"
            image = next((images[key].text("url", None) for key in pictures if key in images), None)
            found.append(MenuItem(each.identifier("id"), title, price, about, image, option_groups=groups))
        return found

    def _groups(self, item_id: str, item: JSONObject) -> dict[str, OptionGroup] | None:
        """The item's modifier lists; None where it needs words of the customer.

        A list that the item changes is a group of its own (MENU-5).
        """
        groups: dict[str, OptionGroup] = {}
        for info in sorted(item.each("modifier_list_info", []), key=_ordinal):
            list_id = info.identifier("modifier_list_id")
            data = self._things["MODIFIER_LIST"].get(list_id)
            if data is None or not info.boolean("enabled", True):
                continue
            if data.text("modifier_type", "LIST") == "TEXT":
                if data.boolean("text_required", False):
                    return None
                continue
            limits, listed = _limits(info), _limits(data)
            overrides = {each.identifier("modifier_id"): each for each in info.each("modifier_overrides", [])}
            if listed[1] <= 0 and data.text("selection_type", "") == "SINGLE":
                listed = (listed[0], 1)
            changed = overrides or limits != (-1, -1) or info.text("allow_quantities", "NOT_SET") != "NOT_SET"
            key = encode_path(item_id, list_id) if changed else list_id
            least, most = listed if limits == (-1, -1) else limits
            several = _switch(info, "allow_quantities", data.boolean("allow_quantities", False))
            options = self._options(key, data, overrides, several)
            if options or least > 0:
                groups[encode_path(key)] = OptionGroup(
                    encode_path(key), data.text("name", ""), options, max(least, 0), most if most > 0 else None,
                    defaults=tuple(option.provider_id for option in options if option.default_quantity),
                )  # fmt: skip
        return groups

    def _options(
        self, key: str, data: JSONObject, overrides: Mapping[str, JSONObject], several: bool
    ) -> tuple[MenuOption, ...]:
        found = []
        for each in filter(self._has, data.each("modifiers", [])):
            modifier, change = each.member("modifier_data"), overrides.get(each.identifier("id"), _NOTHING)
            preset = change.boolean("on_by_default", modifier.boolean("on_by_default", False))
            price = self._price(modifier, f"option_provider_id={encode_path(key, each.identifier('id'))}", 0)
            if price is None or _switch(change, "hidden_online_override", modifier.boolean("hidden_online", False)):
                continue
            option = MenuOption(
                encode_path(key, each.identifier("id")), modifier.text("name", ""), price, None if several else 1,
                int(_switch(change, "on_by_default_override", preset)), display_order=_ordinal(modifier),
            )  # fmt: skip
            found.append(option)
        return tuple(sorted(found, key=lambda option: option.display_order or 0))

    def _has(self, thing: JSONObject) -> bool:
        """Whether an object of the catalog is present at the location."""
        if thing.boolean("is_deleted", False):
            return False
        if thing.boolean("present_at_all_locations", True):
            return self._location.provider_id not in thing.texts("absent_at_location_ids", [])
        return self._location.provider_id in thing.texts("present_at_location_ids", [])

    def _price(self, data: JSONObject, place: str, *default: int) -> int | None:
        """The price at the location, in cents; None if sold out, priced at the sale, or not in cents."""
        for layer in self._layers(data):
            if self._lacks(layer):
                return None
            if layer.text("pricing_type", "") == "VARIABLE_PRICING":
                return None
            if layer.has("price_money"):
                money = layer.member("price_money")
                price = money.price("amount") if money.text("currency") == self._currency else None
                if price is None:
                    self._left_out[f"price isn't an amount in cents of {self._currency} {place}"] = None
                return price
        return default[0] if default else None


def _limits(answer: JSONObject) -> tuple[int, int]:
    """Minimum and maximum of choices as Square states them; -1 if not set."""
    return _whole(answer, "min_selected_modifiers", -1), _whole(answer, "max_selected_modifiers", -1)


def _ordinal(answer: JSONObject) -> int:
    return _whole(answer, "ordinal", 0)


def _whole(answer: JSONObject, name: str, default: int) -> int:
    """A count; all negative values mean the same."""
    value = answer.value.get(name)
    return default if type(value) is int and value < 0 else answer.integer(name, default)


def _switch(answer: JSONObject, name: str, otherwise: bool) -> bool:
    return {"YES": True, "NO": False}.get(answer.text(name, ""), otherwise)


def _hours(periods: Sequence[JSONObject]) -> Hours:
    """The business hours; missing or unreadable hours are unknown (LOC-2)."""
    spans = []
    for period in periods:
        day = _DAYS.get(period.text("day_of_week", ""))
        opens, closes = (_TIME.fullmatch(period.text(f"{end}_local_time", "")) for end in ("start", "end"))
        if day is None or opens is None or closes is None:
            return unknown_hours()
        spans.append((day, _minutes(opens), _minutes(closes)))
    return opening_hours(spans) if spans else unknown_hours()


def _minutes(time: re.Match[str]) -> int:
    return int(time[1]) * 60 + int(time[2])


def _inner(answer: JSONObject, name: str) -> JSONObject:
    return answer.member(name) if answer.has(name) else JSONObject({}, f"{answer.path}.{name}")
