"""Validations of orders made from the menu: money, options, instructions, metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import Conversation, fresh, members
from levelup_ov.certify.endpoints import LocationUnderTest, refused_as
from levelup_ov.certify.report import PRICED
from levelup_ov.certify.sample_orders import Kitchen, OptionPick, OrderLine, order
from levelup_ov.certify.shapes import is_integer

_ROOT = "order_validation"
_TRIES = 6
"""How many items are tried until one is accepted: a menu does not say what is sold out."""
_TIP, _DISCOUNT = 200, 100


class ValidationChecks:
    """Validations at one location; ``line`` is an item that it accepted, ``answer`` its answer."""

    def __init__(
        self, talk: Conversation, place: LocationUnderTest, kitchen: Kitchen, line: OrderLine, answer: RoundTrip
    ) -> None:
        self.talk = talk
        self.report = talk.report
        self.place = place
        self.kitchen = kitchen
        self.line = line
        self.answer = answer

    @classmethod
    def begin(cls, talk: Conversation, place: LocationUnderTest) -> ValidationChecks | None:
        """The smallest possible order; None if the location accepts none, which is reported."""
        if place.menu is None:
            talk.report.not_applicable("EP-4", PRICED, "the location has no menu")
            return None
        kitchen = Kitchen(place.menu)
        exchange: RoundTrip | None = None
        for line in islice(kitchen.lines(), _TRIES):
            exchange = talk.order(place.id, _ROOT, order(line.wire(), user=talk.user))
            if exchange.ok:
                talk.report.expect("EP-4", PRICED, True, exchange)
                return cls(talk, place, kitchen, line, exchange)
            if exchange.status != 422 and not exchange.error.get("retryable"):
                talk.report.expect("EP-4", PRICED, False, exchange)
                return None
        reason = exchange.words if exchange else "nothing on the menu can be ordered"
        talk.report.not_applicable("EP-4", PRICED, reason)
        return None

    def send(self, *items: dict[str, Any], **further: Any) -> RoundTrip:
        """Validate an order for ``items``, or for the accepted line."""
        members_given = {"user": self.talk.user, **further}
        return self.talk.order(self.place.id, _ROOT, order(*(items or (self.line.wire(),)), **members_given))

    def check(self) -> None:
        """Everything about this location except times."""
        self.check_money()
        self.check_options()
        self.check_instructions()
        self.check_refusals()
        self.check_metadata()

    def check_money(self) -> None:
        """MONEY-3 to MONEY-6, MONEY-8."""
        report, bare = self.report, self.answer
        total = food(bare)
        if self.line.price is None:
            report.not_applicable("MONEY-3", "total is the food at the menu's prices", "some choices are free")
        else:
            words = f"total without fees is {total}, the menu's prices add up to {self.line.price}"
            met = total == self.line.price
            report.expect("MONEY-3", "total is the food at the menu's prices", met, bare, words)
        self._expect_tip(bare, 0, "a missing tip")
        tipped = self.send(tip=_TIP)
        if report.expect("MONEY-4", "an order with a tip is priced, accepted or not", tipped.ok, tipped):
            words = f"{food(tipped)} with a tip, {total} without"
            report.expect("MONEY-3", "total excludes the tip", food(tipped) == total, tipped, words)
            self._expect_tip(tipped, _TIP, "a tip")
        reduced = self.send(merchant_funded_discount=_DISCOUNT)
        title = "merchant_funded_discount is echoed"
        if not reduced.ok:
            report.not_applicable("MONEY-5", title, reduced.words)
        else:
            echoed = members(reduced).get("merchant_funded_discount")
            report.expect("MONEY-5", title, echoed == _DISCOUNT, reduced, f"it is {echoed!r}", decision=True)
            words = f"{food(reduced)} with a discount, {total} without"
            title = "total is not lowered by merchant_funded_discount"
            report.expect("MONEY-3", title, food(reduced) == total, reduced, words)
            none = members(bare).get("merchant_funded_discount")
            title = "without a merchant-funded discount it is 0"
            report.expect("MONEY-5", title, none == 0, bare, f"it is {none!r}", decision=True)
        pfd = members(bare).get("provider_funded_discount")
        if self.line.price is not None and pfd:
            met = total == self.line.price
            report.expect("MONEY-6", "total is not lowered by provider_funded_discount", met, bare)
        self._worked_example()
        nulls = self.send(tip=None, merchant_funded_discount=None, special_instructions=None,
                          desired_ready_time=None, fulfillment_type=None, metadata=None)  # fmt: skip
        title = "null means the same as absent"
        met = nulls.ok and food(nulls) == total
        report.expect("EP-11", title, met, nulls)
        double = self.send(self.line.wire(quantity=2))
        if double.ok and total is not None:
            words = f"{food(double)} for two, {total} for one"
            report.expect("ITEM-6", "two cost twice as much as one", food(double) == 2 * total, double, words)

    def _expect_tip(self, exchange: RoundTrip, sent: int, what: str) -> None:
        tip, taken = members(exchange).get("tip", ""), self.place.tips
        if taken is None:
            self.report.not_applicable("MONEY-4", f"{what} is echoed", "it is unknown whether tips are accepted here")
        elif taken:
            self.report.expect("MONEY-4", f"{what} is echoed where tips are accepted", tip == sent and tip is not None,
                               exchange, f"tip is {tip!r}, not {sent}", decision=not sent)  # fmt: skip
        else:
            self.report.expect("MONEY-4", f"{what} is null where tips are not accepted", tip is None, exchange,
                               f"tip is {tip!r}, not null", decision=not sent)  # fmt: skip

    def _worked_example(self) -> None:
        title = "the worked example"
        line = next((line for line in self.kitchen.lines() if line.price == 1000), None)
        if line is None or not self.place.tips:
            self.report.not_applicable("MONEY-8", title, "no item for 1000 cents, or no tips")
            return
        exchange = self.send(line.wire(), tip=_TIP, merchant_funded_discount=_DISCOUNT)
        if not exchange.ok:
            self.report.not_applicable("MONEY-8", title, exchange.words)
            return
        answer = members(exchange)
        given = (food(exchange), answer.get("tip"), answer.get("merchant_funded_discount"))
        words = f"food, tip and discount are {given}"
        self.report.expect("MONEY-8", title, given == (1000, _TIP, _DISCOUNT), exchange, words)

    def check_options(self) -> None:
        """ITEM-2, ITEM-5 to ITEM-7, with options as deep as the menu has them."""
        report = self.report
        nested, exchange = self._first(self.kitchen.nested())
        flat, flat_exchange = (nested, exchange) if nested else self._first(self._with_options())
        if nested is not None and exchange is not None:
            report.expect("ITEM-2", "flattened nested options are accepted", True, exchange)
            self._orphan(nested)
        else:
            reason = exchange.words if exchange else "the menu has no nested options"
            report.not_applicable("ITEM-2", "flattened nested options are accepted", reason)
            report.not_applicable("ITEM-5", "an option without its parent is refused", reason)
        if flat is None or flat_exchange is None:
            reason = flat_exchange.words if flat_exchange else "the menu has no options"
            report.not_applicable("ITEM-1", "chosen options are priced", reason)
        else:
            self._chosen(flat, flat_exchange)
        for line in islice(self.kitchen.needing(), 1):
            bare = self.send(replace(line, picks=()).wire())
            title = "too few choices are refused"
            report.expect("ITEM-7", title, bare.refused, bare)
            refused_as(self.talk, "ITEM-7", title, bare, 422, "invalid_choices")
        for line in islice(self.kitchen.too_many(), 1):
            over = self.send(line.wire())
            report.expect("ITEM-7", "more of an option than the menu allows is refused", over.refused, over)

    def _chosen(self, line: OrderLine, exchange: RoundTrip) -> None:
        report, total = self.report, food(exchange)
        if line.price is not None:
            words = f"total without fees is {total}, the menu's prices add up to {line.price}"
            report.expect("ITEM-1", "chosen options are priced", total == line.price, exchange, words)
        backwards = self.send(replace(line, picks=line.picks[::-1]).wire())
        met = backwards.ok and food(backwards) == total
        report.expect("ITEM-2", "the order of options is free", met, backwards)
        wire = line.wire()
        for wrapper in wire["item"]["options"]:
            if wrapper["option"]["quantity"] == 1:
                del wrapper["option"]["quantity"]
        absent = self.send(wire)
        met = absent.ok and food(absent) == total
        report.expect("ITEM-6", "an option's quantity is 1 if absent", met, absent)
        wrong = line.wire()
        wrong["item"]["options"][0]["option"]["quantity"] = 0
        none = self.send(wrong)
        report.expect("ITEM-6", "an option's quantity of 0 is refused", none.refused, none)
        self._twice(line)

    def _twice(self, line: OrderLine) -> None:
        """An option listed twice counts with the sum of its quantities."""
        title = "an option listed twice counts with the sum"
        last = line.picks[-1]
        once = self.send(_with_last(line, replace(last, quantity=2)).wire())
        if not once.ok:
            self.report.not_applicable("ITEM-2", title, once.words, decision=True)
            return
        twice = self.send(replace(line, picks=(*line.picks, last)).wire())
        met = twice.ok and food(twice) == food(once)
        self.report.expect("ITEM-2", title, met, twice, decision=True)

    def _orphan(self, line: OrderLine) -> None:
        child = next(pick for pick in line.picks if pick.parent is not None)
        kept = tuple(pick for pick in line.picks if pick.option.provider_id != child.parent)
        exchange = self.send(replace(line, picks=kept).wire())
        title = "an option without its parent is refused"
        self.report.expect("ITEM-5", title, exchange.refused, exchange)
        refused_as(self.talk, "ITEM-5", title, exchange, 422, "orphan_option")

    def _with_options(self) -> Iterator[OrderLine]:
        for item, _, option in self.kitchen.options():
            if (line := self.kitchen.line(item, option.provider_id)) is not None:
                yield line

    def _first(self, lines: Iterator[OrderLine]) -> tuple[OrderLine | None, RoundTrip | None]:
        """The first accepted line, with its answer; otherwise the last refusal."""
        exchange = None
        for line in islice(lines, _TRIES):
            exchange = self.send(line.wire())
            if exchange.ok:
                return line, exchange
        return None, exchange

    def check_instructions(self) -> None:
        """ITEM-8."""
        menu, report = self.kitchen.menu, self.report
        limit = menu.special_instructions_character_limit
        if not menu.allows_special_instructions:
            exchange = self.send(special_instructions="Please.")
            title = "instructions are refused if the menu allows none"
            report.expect("ITEM-8", title, exchange.refused, exchange)
            refused_as(self.talk, "ITEM-8", title, exchange, 422, "special_instructions_not_allowed")
            return
        fitting = self.send(special_instructions="x" * min(limit if limit is not None else 40, 2000))
        report.expect("ITEM-8", "instructions within the limit are accepted", fitting.ok, fitting)
        if limit is not None and limit < 100_000:
            long = self.send(special_instructions="x" * (limit + 1))
            title = "instructions over the limit are refused"
            report.expect("ITEM-8", title, long.refused, long)
            refused_as(self.talk, "ITEM-8", title, long, 422, "special_instructions_too_long")
        exchange = self.send(self.line.wire(special_instructions=None))
        report.expect("ITEM-8", "instructions may be null", exchange.ok, exchange)

    def check_refusals(self) -> None:
        """ITEM-1, ITEM-4, EP-7, EP-12."""
        report = self.report
        unknown = self.send({"item": {"provider_id": fresh("unknown"), "quantity": 1, "options": []}})
        title = "an unknown item is refused"
        report.expect("ITEM-1", title, unknown.refused, unknown)
        refused_as(self.talk, "ITEM-1", title, unknown, 422, "unknown_item")
        for title, id in (
            ("an unknown option is refused", f"{fresh('group')}:unknown"),
            ("an unpublished id is refused", "unknown"),
        ):
            wire = self.line.wire()
            wire["item"]["options"].append({"option": {"provider_id": id, "quantity": 1}})
            exchange = self.send(wire)
            report.expect("ITEM-1", title, exchange.refused, exchange)
            refused_as(self.talk, "ITEM-4", title, exchange, 422, "unknown_option")
        ways = ["certify-teleport"]
        if self.place.wire.get("fulfills_deliveries") is False:
            ways.append("delivery")
        for way in ways:
            exchange = self.send(fulfillment_type=way)
            title = "a fulfillment_type that is not supported is refused"
            report.expect("EP-12", title, exchange.refused, exchange)
            refused_as(self.talk, "EP-12", title, exchange, 422, "fulfillment_not_supported")

    def check_metadata(self) -> None:
        """ITEM-9, META-2, META-8."""
        report, metadata = self.report, members(self.answer).get("metadata")
        if not isinstance(metadata, dict):
            return
        again = self.send()
        ids = [(members(answer).get("metadata") or {}).get("order_validation_id") for answer in (self.answer, again)]
        title = "every answer has a new order_validation_id"
        met = all(isinstance(id, str) and id for id in ids) and ids[0] != ids[1]
        report.expect("META-8", title, met, again, "it has none, or an old one", decision=True)
        kept = {name: value for name, value in metadata.items() if name.startswith("user_")}
        if kept:
            exchange = self.send(metadata=kept)
            report.expect("META-1", "returned user_ members are accepted", exchange.ok, exchange)
            strange = self.send(metadata=dict.fromkeys(kept, "sealed.1.Zm9yZ2Vk"))
            title = "credentials that do not open count as absent"
            report.expect("META-7", title, strange.ok, strange, decision=True)
        item = self.line.item.metadata
        given = {"integration_certify": "1", **item}
        exchange = self.send(self.line.wire(metadata=given))
        met = exchange.ok and food(exchange) == food(self.answer)
        report.expect("ITEM-9", "an item's metadata is accepted in the order", met, exchange)


def food(exchange: RoundTrip) -> int | None:
    """``total`` without the fees itemized next to it (MONEY-9). MONEY-1 checks that 10.0 is not an amount."""
    answer = members(exchange)
    total, metadata = answer.get("total"), answer.get("metadata")
    if isinstance(total, float) and total.is_integer():
        total = int(total)
    fees = metadata.get("order_fees") if isinstance(metadata, dict) else None
    amounts = [fee.get("amount") for fee in fees if isinstance(fee, dict)] if isinstance(fees, list) else []
    return total - sum(amount for amount in amounts if is_integer(amount)) if is_integer(total) else None


def _with_last(line: OrderLine, pick: OptionPick) -> OrderLine:
    return replace(line, picks=(*line.picks[:-1], pick))
