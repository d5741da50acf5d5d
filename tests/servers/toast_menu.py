"""The menus of the Toast stand-in, as version 2 gives them: all entities, with where each may be shown."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

ONLINE = ["POS", "ORDERING_PARTNERS"]
HIDDEN = ["POS"]


def item(guid: str, name: str, price: float | None, *groups: int, **more: Any) -> dict[str, Any]:
    """A menu item."""
    return {
        "name": name, "guid": guid, "description": "", "image": None, "visibility": ONLINE, "price": price,
        "pricingStrategy": "BASE_PRICE", "pricingRules": None, "unitOfMeasure": "NONE", "portions": [],
        "modifierGroupReferences": list(groups), **more,
    }  # fmt: skip


def group(guid: str, name: str, reference: int, *options: int, **more: Any) -> dict[str, Any]:
    """A modifier group."""
    return {
        "name": name, "guid": guid, "referenceId": reference, "visibility": ONLINE, "pricingStrategy": "NONE",
        "pricingRules": None, "defaultOptionsChargePrice": "YES", "defaultOptionsSubstitutionPricing": "NO",
        "minSelections": 0, "maxSelections": None, "requiredMode": "OPTIONAL", "isMultiSelect": True,
        "preModifierGroupReference": 90, "modifierOptionReferences": list(options), **more,
    }  # fmt: skip


def option(guid: str, name: str, reference: int, price: float | None, *groups: int, **more: Any) -> dict[str, Any]:
    """A modifier option."""
    return {
        "name": name, "guid": guid, "referenceId": reference, "visibility": ONLINE, "price": price,
        "pricingStrategy": "BASE_PRICE", "pricingRules": None, "isDefault": False, "allowsDuplicates": False,
        "modifierGroupReferences": list(groups), **more,
    }  # fmt: skip


ONE = {"minSelections": 1, "maxSelections": 1, "requiredMode": "REQUIRED", "isMultiSelect": False}
GROUPS = (
    group("side", "Side", 1, 11, 12, **ONE),
    group("dip", "Dip", 2, 21, 22, maxSelections=2),
    group("heat", "Heat", 3, 31, 32, **ONE),
    group("toppings", "Toppings", 4, 41, 42, 43, 44, defaultOptionsChargePrice="NO"),
    group("size", "Size", 5, 51, 52, **ONE),
    # The same group as 2 under another reference: dearer at dinner.
    group("dip", "Dip", 6, 61, maxSelections=2),
    group("secret", "Staff only", 7, 41, visibility=HIDDEN),
)
OPTIONS = (
    option("fries", "Fries", 11, 0.0, 2), option("salad", "Salad", 12, 2.0),
    option("mayo", "Mayo", 21, 0.5, 3, allowsDuplicates=True), option("ketchup", "Ketchup", 22, 0.1),
    option("mild", "Mild", 31, 0), option("hot", "Hot", 32, 0.25),
    option("cheese", "Cheese", 41, 1.1), option("onion", "Onion", 42, 0.3, isDefault=True),
    option("bacon", "Bacon", 43, 2.55, allowsDuplicates=True), option("truffle", "Truffle", 44, 9.0, visibility=HIDDEN),
    option("small", "Small", 51, 8.0), option("large", "Large", 52, 1e1), option("mayo", "Mayo", 61, 0.75, 3),
)  # fmt: skip
SIZED = {"pricingStrategy": "SIZE_PRICE", "pricingRules": {"sizeSpecificPricingGuid": "size"}}


def menus() -> dict[str, Any]:
    """Lunch and dinner, which share a burger at two prices; a group within a group; what is not for partners."""
    burger = item("burger", "Burger", 10.1, 1, 4, 7, description="With a side")
    soda = item("soda", "Soda", 3, pricingStrategy="TIME_SPECIFIC_PRICE")
    dinner_burger = item("burger", "Burger", 12.5, 1, 4, pricingStrategy="MENU_SPECIFIC_PRICE")
    return copy.deepcopy({
        "restaurantGuid": "b0000000", "lastUpdated": "2026-11-01T08:00:00.000+0000",
        "restaurantTimeZone": "America/New_York",
        "menus": [
            menu("lunch", "Lunch", [
                menu_group("mains", "Mains", [burger, item("special", "Special", 9.0, visibility=HIDDEN)]),
                menu_group("drinks", "Drinks", [], [menu_group("cold", "Cold drinks", [soda])]),
            ]),
            menu("dinner", "Dinner", [
                menu_group("grill", "Grill", [dinner_burger, item("wings", "Wings", 11.0, 6)]),
                menu_group("pizza", "Pizza", [
                    item("pizza", "Pizza", None, 5, **SIZED), item("nachos", "Nachos", 7.0, 2),
                ]),
                menu_group("staff", "Staff", [item("meal", "Staff meal", 1.0)], visibility=HIDDEN),
            ]),
            menu("bar", "Bar", [menu_group("beer", "Beer", [item("pint", "Pint", 6.0)])], visibility=HIDDEN),
        ],
        "modifierGroupReferences": {str(each["referenceId"]): each for each in GROUPS},
        "modifierOptionReferences": {str(each["referenceId"]): each for each in OPTIONS},
        "preModifierGroupReferences": {"90": {"guid": "pre", "name": "Pre", "preModifiers": []}},
    })  # fmt: skip


def menu(guid: str, name: str, groups: Sequence[Any], **more: Any) -> dict[str, Any]:
    """A menu, always available."""
    availability = {"alwaysAvailable": True}
    return {
        "guid": guid, "name": name, "visibility": ONLINE, "availability": availability, "menuGroups": groups, **more,
    }  # fmt: skip


def menu_group(guid: str, name: str, items: Sequence[Any], groups: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A group of a menu."""
    return {"guid": guid, "name": name, "visibility": ONLINE, "menuItems": items, "menuGroups": list(groups), **more}


def visible_only(menus: dict[str, Any]) -> dict[str, Any]:
    """As version 3 gives them: only what the partner may show. References to the rest are gone too."""
    groups, options = (
        {key: each for key, each in menus[name].items() if "ORDERING_PARTNERS" in each["visibility"]}
        for name in ("modifierGroupReferences", "modifierOptionReferences")
    )

    def shown(entity: Any) -> Any:
        if isinstance(entity, list):
            return [shown(each) for each in entity if "ORDERING_PARTNERS" in each["visibility"]]
        kept = dict(entity)
        for name in ("menus", "menuGroups", "menuItems"):
            if name in kept:
                kept[name] = shown(kept[name])
        for name, known in (("modifierGroupReferences", groups), ("modifierOptionReferences", options)):
            if isinstance(kept.get(name), list):
                kept[name] = [reference for reference in kept[name] if str(reference) in known]
        return kept

    whole = shown(menus)
    whole["modifierGroupReferences"] = {key: shown(each) for key, each in groups.items()}
    whole["modifierOptionReferences"] = {key: shown(each) for key, each in options.items()}
    return whole
