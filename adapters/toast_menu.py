"""Toast's menus, versions 2 and 3, in the contract's terms (MENU-1 to MENU-5).

A menu lists groups and options once, by ``referenceId``; items and options refer to them. A group may be listed more
than once, with different prices: different references, the same GUID. Its id here then is the GUID, ``@`` and the
reference. Premodifiers (EXTRA, ON THE SIDE) and portions (halves) are not published, because no order needs them.
Whatever has a price that is not one amount in cents is left out (MENU-6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from levelup_ov.adapter import (
    MAX_DEPTH,
    Category,
    CategoryGroup,
    Cents,
    JSONObject,
    Location,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    Unanswered,
    decode_path,
    encode_path,
)

MOST_GROUPS = 5000
"""How many groups a menu may have, each counted once per path to it."""

_GROUPS, _OPTIONS = "modifierGroupReferences", "modifierOptionReferences"
_ONE_PRICE = ("BASE_PRICE", "MENU_SPECIFIC_PRICE", "TIME_SPECIFIC_PRICE", "GROUP_PRICE")
"""Strategies with an amount in ``price``. A time-of-day price is the one outside that time; ``/prices`` is exact."""


def group_guid(group_id: str) -> str:
    """The GUID of a modifier group, from its part of an option id."""
    return group_id.partition("@")[0]


class MenuReader:
    """A menu, its groups published once per path (MENU-5), and what it cannot express (MENU-3)."""

    def __init__(self, menus: JSONObject, *, only_visible: bool) -> None:
        self._menus, self._only_visible = menus, only_visible
        self._groups: dict[str, OptionGroup] = {}
        groups = menus.member(_GROUPS) if menus.has(_GROUPS) else JSONObject({})
        self._entries = Counter(groups.member(key).identifier("guid") for key in groups.value)
        self._problems: dict[str, None] = {}
        self._left_out: dict[str, None] = {}

    def menu(self, location: Location, takes_notes: bool) -> Menu:
        """:raises Unanswered: ``menu_invalid``, with the faults and their places."""
        menus = [menu for menu in self._menus.each("menus") if self._visible(menu)]
        categories = tuple(category for menu in menus for category in self._categories(menu))
        if problems := list(self._problems):
            more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
            raise Unanswered("menu_invalid", "; ".join(problems[:3]) + more, sent=True)
        return Menu(
            location.provider_id, location.name, categories, tuple(self._groups.values()),
            tuple(CategoryGroup(menu.identifier("guid"), menu.text("name")) for menu in menus),
            allows_special_instructions=takes_notes, updated_at=self._menus.instant("lastUpdated", None),
            left_out=tuple(self._left_out),
        )  # fmt: skip

    def _categories(self, menu: JSONObject) -> Iterator[Category]:
        menu_guid = menu.identifier("guid")
        waiting = menu.each("menuGroups", [])[::-1]
        while waiting:
            group = waiting.pop()
            if not self._visible(group):
                continue
            waiting += group.each("menuGroups", [])[::-1]
            ids = (menu_guid, group.identifier("guid"))
            items = [item for item in group.each("menuItems", []) if self._visible(item)]
            if items:
                yield Category(
                    encode_path(*ids), group.text("name"), tuple(self._item(item, ids) for item in items),
                    group.text("description", None) or None, menu_guid,
                )  # fmt: skip

    def _item(self, item: JSONObject, above: tuple[str, str]) -> MenuItem:
        """The id also names menu and group: an order needs the group, and the menu makes the id unique."""
        item_id = encode_path(*above, item.identifier("guid"))
        place = f"item_provider_id={item_id}"
        groups, price = self._publish(item, (), (), place), None
        if item.text("unitOfMeasure", "NONE") != "NONE":
            self._left_out[f"item is sold by weight or measure {place}"] = None
        else:
            price = self._price(item, groups, place)
        return MenuItem(
            item_id, item.text("name"), price, item.text("description", None) or None,
            item.text("image", None) or None, option_groups=groups,
        )  # fmt: skip

    def _price(self, thing: JSONObject, groups: Sequence[str], place: str) -> Cents | None:
        strategy = thing.text("pricingStrategy", "BASE_PRICE")
        if strategy in _ONE_PRICE:
            return thing.price_in_dollars("price")
        if strategy == "SIZE_PRICE":
            # The sizes are a modifier group that has the whole price.
            rules = thing.member("pricingRules") if thing.has("pricingRules") else JSONObject({})
            size = rules.identifier("sizeSpecificPricingGuid", None)
            if any(group_guid(decode_path(group)[-1]) == size for group in groups):
                return 0
        self._left_out[f"price by the strategy {strategy} can't be represented {place}"] = None
        return None

    def _publish(
        self, owner: JSONObject, above: tuple[str, ...], references: tuple[str, ...], place: str
    ) -> tuple[str, ...]:
        """Add the groups of an item or option to the menu; returns their paths."""
        paths: dict[str, None] = {}
        for reference in owner.identifiers(_GROUPS, []):
            group = self._referred(_GROUPS, reference, place)
            if group is None or not self._visible(group):
                continue
            if reference in references or len(references) >= MAX_DEPTH or len(self._groups) >= MOST_GROUPS:
                self._problems[f"modifier group is part of a cycle or nested too deep referenceId={reference}"] = None
                continue
            guid = group.identifier("guid")
            ids = (*above, guid if self._entries[guid] == 1 else f"{guid}@{reference}")
            paths[path := encode_path(*ids)] = None
            if path not in self._groups:
                self._groups[path] = self._group(group, ids, (*references, reference))
        return tuple(paths)

    def _group(self, group: JSONObject, ids: tuple[str, ...], references: tuple[str, ...]) -> OptionGroup:
        path = encode_path(*ids)
        place = f"option_group_provider_id={path}"
        if (strategy := group.text("pricingStrategy", "NONE")) != "NONE":
            self._left_out[f"prices by the strategy {strategy} can't be represented {place}"] = None
        if (substitutes := group.text("defaultOptionsSubstitutionPricing", "NO")) != "NO":
            self._left_out[f"prices that depend on what was left out can't be represented {place}"] = None
        options = tuple(self._options(group, ids, references, place))
        if strategy != "NONE" or substitutes != "NO":
            options = tuple(replace(option, price=None) for option in options)
        least = group.integer("minSelections", 0)
        return OptionGroup(
            path, group.text("name"), options,
            minimum_choices=max(least, 1) if group.text("requiredMode", "") == "REQUIRED" else least,
            maximum_choices=group.integer("maxSelections", None if group.boolean("isMultiSelect", True) else 1),
            defaults=tuple(option.provider_id for option in options if option.default_quantity),
        )  # fmt: skip

    def _options(
        self, group: JSONObject, above: tuple[str, ...], references: tuple[str, ...], place: str
    ) -> Iterator[MenuOption]:
        if (charge := group.text("defaultOptionsChargePrice", "YES")) not in ("YES", "NO"):
            self._left_out[f"prices of defaults by {charge} can't be represented {place}"] = None
        # If the group has its own prices, its options have none.
        priced = group.text("pricingStrategy", "NONE") == "NONE"
        for reference in group.identifiers(_OPTIONS, []):
            option = self._referred(_OPTIONS, reference, place)
            if option is None or not self._visible(option):
                continue
            ids = (*above, option.identifier("guid"))
            inner = f"option_provider_id={encode_path(*ids)}"
            groups, default = self._publish(option, ids, references, inner), option.boolean("isDefault", False)
            if priced and not (default and charge == "NO"):
                price = None if default and charge != "YES" else self._price(option, groups, inner)
            else:
                price = 0
            yield MenuOption(
                encode_path(*ids), option.text("name"), price,
                maximum_quantity=None if option.boolean("allowsDuplicates", False) else 1,
                default_quantity=int(default), option_groups=groups,
            )  # fmt: skip

    def _referred(self, map_name: str, reference: str, place: str) -> JSONObject | None:
        found = self._menus.member(map_name)
        if found.has(reference):
            return found.member(reference)
        self._problems[f"{map_name} has no {reference} {place}"] = None
        return None

    def _visible(self, entity: JSONObject) -> bool:
        """Version 3 contains only what the client may show; version 2 says for each entity where it may be shown."""
        return not self._only_visible or "ORDERING_PARTNERS" in entity.texts("visibility")
