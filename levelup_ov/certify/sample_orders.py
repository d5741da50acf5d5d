"""Orders made from a menu: items with their minimum of options, and with chosen options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from levelup_ov.domain.menu import Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.money import is_cents

_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class OptionPick:
    """``quantity`` of an option of a group; ``parent`` is the id of the option above it, if any."""

    group: OptionGroup
    option: MenuOption
    quantity: int = 1
    parent: str | None = None

    def wire(self) -> dict[str, Any]:
        """The option as an order contains it."""
        return {"option": {"provider_id": self.option.provider_id, "quantity": self.quantity}}


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An item of a menu with picks, parents before children."""

    item: MenuItem
    picks: tuple[OptionPick, ...] = ()

    def wire(self, **members: Any) -> dict[str, Any]:
        """The item as an order contains it; ``members`` are further members of the item."""
        options = [pick.wire() for pick in self.picks]
        return {"item": {"provider_id": self.item.provider_id, "quantity": 1, "options": options, **members}}

    @property
    def price(self) -> int | None:
        """Cents at the menu's prices; None if free choices leave the price to the provider."""
        amounts = [(self.item.price, 1), *((pick.option.price, pick.quantity) for pick in self.picks)]
        known = [(price, quantity) for price, quantity in amounts if price is not None and is_cents(price)]
        if any(pick.group.free_choices for pick in self.picks) or len(known) < len(amounts):
            return None
        return sum(price * quantity for price, quantity in known)


def order(*items: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """The members of an order for items in JSON form."""
    return {"fulfillment_type": "pickup", "metadata": {}, "items": list(items), **members}


class Kitchen:
    """What can be ordered from one menu."""

    def __init__(self, menu: Menu) -> None:
        self.menu = menu
        self._groups = {group.provider_id: group for group in menu.option_groups}

    def lines(self) -> Iterator[OrderLine]:
        """Every item with its minimum of options: those without any first, free items last."""
        items = [item for category in self.menu.categories for item in category.items if item.provider_id]
        lines = [line for item in items if (line := self.line(item)) is not None]
        return iter(sorted(lines, key=lambda line: (not line.item.price, len(line.picks))))

    def line(self, item: MenuItem, *wanted: str) -> OrderLine | None:
        """``item`` with the options ``wanted`` and otherwise its minimum; None if that is impossible."""
        picks = self._fill(item.option_groups, frozenset(wanted), None, 0)
        if picks is None or not set(wanted) <= {pick.option.provider_id for pick in picks}:
            return None
        return OrderLine(item, tuple(picks))

    def nested(self) -> Iterator[OrderLine]:
        """Items with a nested option, which is the last pick except for its own required options."""
        for item, _, option in self.options():
            for below in self._known(option.option_groups):
                for child in below.options:
                    line = self.line(item, option.provider_id, child.provider_id)
                    if line is not None:
                        yield line

    def options(self) -> Iterator[tuple[MenuItem, OptionGroup, MenuOption]]:
        """The options directly below an item."""
        for category in self.menu.categories:
            for item in category.items:
                for group in self._known(item.option_groups):
                    for option in group.options:
                        yield item, group, option

    def needing(self) -> Iterator[OrderLine]:
        """Items that require at least one option."""
        for line in self.lines():
            if any(group.minimum_choices > 0 for group in self._known(line.item.option_groups)):
                yield line

    def too_many(self) -> Iterator[OrderLine]:
        """Items with more of an option than the menu allows."""
        for item, group, option in self.options():
            bounds = [bound for bound in (group.maximum_choices, option.maximum_quantity) if bound is not None]
            line = self.line(item, option.provider_id) if bounds else None
            if line is not None:
                yield OrderLine(
                    item,
                    tuple(
                        OptionPick(pick.group, pick.option, max(bounds) + 1, pick.parent)
                        if pick.option is option
                        else pick
                        for pick in line.picks
                    ),
                )

    def _known(self, ids: tuple[str, ...]) -> list[OptionGroup]:
        return [self._groups[id] for id in ids if id in self._groups]

    def _fill(
        self, groups: tuple[str, ...], wanted: frozenset[str], parent: str | None, depth: int
    ) -> list[OptionPick] | None:
        if depth > _DEEPEST:
            return None
        picks: list[OptionPick] = []
        for group in self._known(groups):
            chosen = self._choose(group, wanted)
            if chosen is None:
                return None
            for option, quantity in chosen.items():
                option_found = next(found for found in group.options if found.provider_id == option)
                below = self._fill(option_found.option_groups, wanted, option, depth + 1)
                if below is None:
                    return None
                picks += [OptionPick(group, option_found, quantity, parent), *below]
        return picks

    def _choose(self, group: OptionGroup, wanted: frozenset[str]) -> dict[str, int] | None:
        """Quantities by id that meet the group's limits with the fewest options; None if impossible."""
        ordered = sorted(group.options, key=lambda option: (option.provider_id not in wanted, option.option_groups))
        forced = [option for option in ordered if option.provider_id in wanted]
        kinds = max(group.minimum_unique_options or 0, len(forced), 1 if group.minimum_choices > 0 else 0)
        chosen = {option.provider_id: 1 for option in ordered[:kinds]}
        for option in ordered:
            missing = group.minimum_choices - sum(chosen.values())
            if missing <= 0:
                break
            most = missing if option.maximum_quantity is None else option.maximum_quantity
            have = chosen.get(option.provider_id, 0)
            if most > have:
                chosen[option.provider_id] = min(most, have + missing)
        total, most_kinds = sum(chosen.values()), group.maximum_unique_options
        if total < group.minimum_choices or len(chosen) < kinds:
            return None
        if group.maximum_choices is not None and total > group.maximum_choices:
            return None
        return None if most_kinds is not None and len(chosen) > most_kinds else chosen
