"""The price of a cart, and whether the kitchen can make it. Pure.

Counts multiply downwards: two portions, each with two aioli, each of them with one hot, are four hot. Limits and free
choices apply per portion of what the group belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelup_ov.domain.money import MAX_CENTS, percentage
from levelup_ov.standins.sandbox.content import CartContent, CartLine, Pick
from levelup_ov.standins.sandbox.delivery import check_minimum, zone_of
from levelup_ov.standins.sandbox.dishes import LINE_LIMIT, NOTE_LIMIT, Dish, DishChoice, Group, dish_at
from levelup_ov.standins.sandbox.magic import magic_in
from levelup_ov.standins.sandbox.places import Place
from levelup_ov.standins.sandbox.problems import EngineError


@dataclass(frozen=True, slots=True)
class Prices:
    """Amounts in cents. ``gratuity`` None: the place takes none. ``house``: its own discount.

    ``fee``: what the delivery costs. ``lines``: what each line costs, which add up to the subtotal.
    """

    subtotal: int
    tax: int
    gratuity: int | None
    coupon: int
    house: int
    fee: int = 0
    lines: tuple[int, ...] = ()

    @property
    def grand_total(self) -> int:
        """What the customer pays."""
        return self.subtotal + self.tax + (self.gratuity or 0) + self.fee - self.coupon - self.house


def price(place: Place, content: CartContent) -> Prices:
    """The price of a cart that the kitchen can make.

    The tax is on the food before discounts, half a cent up; a delivery is not taxed.

    :raises EngineError: what the kitchen refuses.
    """
    check_note(content.note, "note", allowed=True)
    house, lines = 0, list[int]()
    for position, line in enumerate(content.lines):
        dish = check_line(place, line, f"lines[{position}]")
        cost = line.count * (dish.cents + picks_cost(dish.groups, line.picks))
        lines.append(cost)
        if place.reduced is not None and place.reduced[0] == dish.id:
            house += percentage(cost, place.reduced[1])
    fee, subtotal = 0, sum(lines)
    if content.delivery is not None:
        zone = zone_of(place.zones, content.delivery)
        check_minimum(zone, subtotal)
        fee = zone.fee if not magic_in(content.note).negative_fee else -zone.fee
    tip = content.gratuity if place.tips else None
    prices = Prices(subtotal, percentage(subtotal, place.tax), tip, content.coupon, house, fee, tuple(lines))
    if prices.grand_total < 0:
        raise EngineError("coupon_too_large", "The discount is more than the whole order costs.", "coupon")
    if prices.grand_total > MAX_CENTS:
        raise EngineError("order_too_large", "Please call us about an order of this size.")
    return prices


def picks_cost(groups: Sequence[Group], picks: Sequence[Pick]) -> int:
    """What the picks add to one portion, in cents; they must have been checked."""
    return sum(_group_cost(group, [pick for pick in picks if pick.group == group.id]) for group in groups)


def check_line(place: Place, line: CartLine, where: str) -> Dish:
    """The dish of a line that the kitchen can make.

    :raises EngineError: what the kitchen refuses.
    """
    dish = dish_at(place, line.dish)
    if dish is None:
        raise EngineError("dish_unknown", f"We have no dish {line.dish!r} here.", where)
    if dish.sold_out:
        raise EngineError("dish_sold_out", f"{dish.title} is sold out.", where)
    if line.count > LINE_LIMIT:
        raise EngineError("line_too_large", f"At most {LINE_LIMIT} of {dish.title} on one line.", where)
    check_note(line.note, f"{where}.note", allowed=dish.takes_note)
    _check_picks(dish.title, dish.groups, line.picks, where)
    return dish


def check_note(note: str | None, where: str, *, allowed: bool) -> None:
    """:raises EngineError: ``note_not_taken`` or ``note_too_long``."""
    if note is None:
        return
    if not allowed:
        raise EngineError("note_not_taken", "We can't change anything about this one, so it takes no note.", where)
    if len(note) > NOTE_LIMIT:
        raise EngineError("note_too_long", f"Please keep your note to {NOTE_LIMIT} characters.", where)


def _group_cost(group: Group, picks: Sequence[Pick]) -> int:
    cost, free = 0, group.free
    for pick in picks:
        choice = _choice(group, pick)
        assert choice is not None
        given = min(free, pick.count)
        free -= given
        cost += (pick.count - given) * choice.cents + pick.count * picks_cost(choice.groups, pick.picks)
    return cost


def _check_picks(owner: str, groups: Sequence[Group], picks: Sequence[Pick], where: str) -> None:
    known = {group.id for group in groups}
    for position, pick in enumerate(picks):
        if pick.group not in known:
            raise EngineError("group_unknown", f"{owner} comes without {pick.group!r}.", f"{where}.picks[{position}]")
    for group in groups:
        _check_group(owner, group, [(n, pick) for n, pick in enumerate(picks) if pick.group == group.id], where)


def _check_group(owner: str, group: Group, picks: Sequence[tuple[int, Pick]], where: str) -> None:
    units: dict[str, int] = {}
    for position, pick in picks:
        inner = f"{where}.picks[{position}]"
        choice = _choice(group, pick)
        if choice is None:
            raise EngineError("choice_unknown", f"{group.title} has no choice {pick.choice!r}.", inner)
        if choice.sold_out:
            raise EngineError("choice_sold_out", f"{choice.title} is sold out.", inner)
        units[choice.id] = units.get(choice.id, 0) + pick.count
        if units[choice.id] > choice.most:
            raise EngineError("choice_too_often", f"At most {choice.most} of {choice.title}, please.", inner)
        _check_picks(choice.title, choice.groups, pick.picks, inner)
    total, kinds = sum(units.values()), len(units)
    named = f"{owner}, {group.title}"
    if total < group.least:
        raise EngineError("too_few_choices", f"{named}: please choose at least {group.least}.", where)
    if group.most is not None and total > group.most:
        raise EngineError("too_many_choices", f"{named}: please choose at most {group.most}.", where)
    if kinds < group.least_kinds:
        raise EngineError(
            "too_few_kinds", f"{named}: please choose at least {group.least_kinds} different ones.", where
        )
    if group.most_kinds is not None and kinds > group.most_kinds:
        raise EngineError("too_many_kinds", f"{named}: please choose at most {group.most_kinds} different ones.", where)


def _choice(group: Group, pick: Pick) -> DishChoice | None:
    return next((choice for choice in group.choices if choice.id == pick.choice), None)
