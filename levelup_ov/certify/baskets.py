"""Orders that must not be mixed up: two lines of one item, several items, simultaneous users (ITEM-11, META-11)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import fresh, members
from levelup_ov.certify.sample_orders import OrderLine, order
from levelup_ov.certify.shapes import is_integer
from levelup_ov.certify.validations import ValidationChecks, food

_ROOT = "order_validation"
_TRIES = 12
_ROUNDS = 3
"""How often two users order at the same time: one attempt may not overlap."""
_COUNT = 3
"""How many more items the second user orders."""


class Baskets:
    """Baskets at one location."""

    def __init__(self, validations: ValidationChecks) -> None:
        self.validations = validations
        self.report = validations.report

    def check(self) -> None:
        """Run all checks."""
        self._check_twice()
        self._check_parts()
        self._check_at_once()

    def _check_twice(self) -> None:
        """The same item twice, with different options."""
        title = "the same item twice with different options costs what both cost"
        for first, second in islice(self._pairs(), _TRIES):
            alone = self.validations.send(first.wire()), self.validations.send(second.wire())
            # If both cost the same, a price does not show which one was counted twice.
            if all(exchange.ok for exchange in alone) and food(alone[0]) != food(alone[1]):
                self._expect_sum(title, (first, second), alone)
                self._expect_sum(title, (second, first), (alone[1], alone[0]))
                return
        self.report.not_applicable("ITEM-11", title, "no accepted item has two prices")

    def _check_parts(self) -> None:
        """Two different items."""
        title = "an order costs the sum of its items"
        first = self.validations.line
        others = (line for line in self.validations.kitchen.lines() if line.item is not first.item)
        second, alone = self._first(others)
        if second is None or alone is None:
            self.report.not_applicable("ITEM-11", title, "only one item of the menu was accepted")
            return
        self._expect_sum(title, (first, second), (self.validations.answer, alone))

    def _check_at_once(self) -> None:
        """Two users, at the same time, with orders of different prices."""
        title = "two simultaneous users each get their own price"
        line, talk = self.validations.line, self.validations.talk
        one = food(self.validations.answer)
        more = self.validations.send(line.wire(quantity=_COUNT))
        several = food(more) if more.ok else None
        if one is None or several is None or one == several:
            self.report.not_applicable("META-11", title, "no two accepted orders have different prices")
            return
        for _ in range(_ROUNDS):
            users = [{**talk.user, "email": f"{fresh('certify')}@example.com"} for _ in range(2)]
            orders = [order(line.wire(quantity=count), user=user) for count, user in zip((1, _COUNT), users)]
            answers = talk.at_once(self.validations.place.id, _ROOT, orders)
            for answer, expected, alone in zip(answers, (one, several), (self.validations.answer, more)):
                if not answer.ok:
                    self.report.not_applicable("META-11", title, answer.words)
                    continue
                same = food(answer) == expected and members(answer).get("tax") == members(alone).get("tax")
                words = f"food costs {food(answer)} next to another order, {expected} alone"
                self.report.expect("META-11", title, same, answer, words)

    def _expect_sum(self, title: str, lines: tuple[OrderLine, OrderLine], alone: tuple[RoundTrip, RoundTrip]) -> None:
        both = self.validations.send(*(line.wire() for line in lines))
        if not both.ok:
            self.report.not_applicable("ITEM-11", title, both.words)
            return
        parts = [food(exchange) for exchange in alone]
        met = all(is_integer(part) for part in parts) and food(both) == sum(part or 0 for part in parts)
        words = f"{food(both)} for both, {parts[0]} and {parts[1]} alone"
        self.report.expect("ITEM-11", title, met, both, words)

    def _pairs(self) -> Iterator[tuple[OrderLine, OrderLine]]:
        """Items in two ways: with their minimum of options, and with one option more or a different one."""
        kitchen = self.validations.kitchen
        for item, _, option in kitchen.options():
            least, other = kitchen.line(item), kitchen.line(item, option.provider_id)
            if least is not None and other is not None and _chosen(least) != _chosen(other):
                yield least, other

    def _first(self, lines: Iterator[OrderLine]) -> tuple[OrderLine | None, RoundTrip | None]:
        """The first line that is accepted, and its price."""
        for line in islice(lines, _TRIES):
            exchange = self.validations.send(line.wire())
            if exchange.ok:
                return line, exchange
        return None, None


def _chosen(line: OrderLine) -> dict[str, int]:
    return {pick.option.provider_id: pick.quantity for pick in line.picks}
