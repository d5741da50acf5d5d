"""The till's adapter with one mistake each, as people make them in a hurry; see ``broken.py`` for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from levelup_ov.adapter import Account
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Item, Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.tender import Tender
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.cookies import cookie_of
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.session import Reply, Session
from tests.testing_kit.mistake import Mistake
from tests.testing_kit.till import TillAdapter, line_of


class _Reading(TillAdapter):
    """For mistakes that are made with answers: ``read`` changes them before the adapter reads them."""

    def read(self, path: str, answer: Any) -> Any:
        return answer

    def validate_order(self, order: Order, session: Session) -> Quote:
        return super().validate_order(order, _Other(session, self.read))

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(order, tender, _Other(session, self.read))

    def show_menu(self, location: Location, session: Session) -> Menu:
        return super().show_menu(location, _Other(session, self.read))

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        return super().find_order(location, reference, trace, _Other(session, self.read))


class _Other(Session):
    """A session whose answers or calls are changed on the way."""

    def __init__(self, session: Session, read: Any, **changes: Any) -> None:
        vars(self).update(vars(session))
        self._real, self._read, self._changes = session, read, changes

    def call(self, method: str, path: str, **how: Any) -> Reply:
        reply = self._real.call(method, path, **how, **(self._changes if path == "/basket/lines" else {}))
        return _Read(reply.status, reply.headers, reply.body, path, self._read)


class _Read(Reply):
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, path: str, read: Any) -> None:
        super().__init__(status, headers, body)
        object.__setattr__(self, "_how", (path, read))

    def json(self) -> Any:
        path, read = self._how  # type: ignore[attr-defined]
        return read(path, Reply(self.status, self.headers, self.body).json())


def _amounts(value: Any, read: Any) -> Any:
    """All amounts of an answer, read otherwise; text again, so that the adapter takes it."""
    if isinstance(value, dict):
        return {name: read(member) if name in ("total", "price") else _amounts(member, read)
                for name, member in value.items()}  # fmt: skip
    return [_amounts(each, read) for each in value] if isinstance(value, list) else value


class OneBasket(TillAdapter):
    """One basket for the login: its cookie is kept on the adapter and used while it lasts."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._basket = ""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        answer = JSONObject({})
        for item in order.items:
            headers = {"Cookie": f"basket={self._basket}"} if self._basket else {}
            reply = self._login.call(session, "POST", "/basket/lines", body=line_of(item), headers=headers)
            self._basket, answer = cookie_of(reply, "basket"), reply.object()
        return self._basket, answer.amount("total")

    def validate_order(self, order: Order, session: Session) -> Quote:
        try:
            return super().validate_order(order, session)
        finally:
            self._basket = ""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        finally:
            self._basket = ""


class OrderOnSelf(TillAdapter):
    """The order that is being placed is an attribute, read again when it is placed."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        self._order = order
        basket, total = self._fill(order, session)
        return self._place(self._order, basket, total, session)

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        placed = super()._place(self._order, basket, total, session)
        return placed


class PriceByDish(TillAdapter):
    """A module-level memory of prices, by the first dish and its count: options make no difference."""

    prices: dict[str, int] = {}

    def validate_order(self, order: Order, session: Session) -> Quote:
        quote = super().validate_order(order, session)
        total = self.prices.setdefault(order.items[0].provider_id, quote.food)
        return replace(quote, food=total, charged=quote.charged and total)


class LastTotal(TillAdapter):
    """The total of the last basket that was filled, by whomever, is what is sent."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        basket, self._total = super()._fill(order, session)
        return basket, self._total

    def validate_order(self, order: Order, session: Session) -> Quote:
        return replace(super().validate_order(order, session), cart={})

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        basket, _ = self._fill(order, session)
        self._login.call(session, "GET", "/shops")
        return self._place(order, basket, self._total, session)


class MergedLines(TillAdapter):
    """Lines by their dish: the second one's options are those of the first."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        lines: dict[str, Item] = {}
        for item in order.items:
            known = lines.get(item.provider_id)
            lines[item.provider_id] = replace(known, quantity=known.quantity + item.quantity) if known else item
        return super()._fill(replace(order, items=tuple(lines.values())), session)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(order, tender, session)


class MergedTwins(TillAdapter):
    """Lines with the same dish and extras are one; the words of the second are lost."""

    def validate_order(self, order: Order, session: Session) -> Quote:
        return super().validate_order(_merged(order), session)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(_merged(order), tender, session)


def _merged(order: Order) -> Order:
    lines: dict[Any, Item] = {}
    for item in order.items:
        dish = line_of(item)["dish"], tuple(line_of(item)["extras"])
        known = lines.get(dish)
        lines[dish] = replace(known, quantity=known.quantity + item.quantity) if known else item
    return replace(order, items=tuple(lines.values()))


class LastValidated(TillAdapter):
    """What was validated last, by whomever, is what is placed; a price that differs is refused."""

    def validate_order(self, order: Order, session: Session) -> Quote:
        self._order = order
        return super().validate_order(order, session)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        last = getattr(self, "_order", order)
        return super().submit_order(replace(order, items=last.items, cart={}), tender, session)


class LostLine(TillAdapter):
    """A dictionary by dish: the last line wins."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        lines = {item.provider_id: item for item in order.items}
        return super()._fill(replace(order, items=tuple(lines.values())), session)


class RepeatedLines(TillAdapter):
    """Adding a line is said to be repeatable; nobody looks at the basket."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        basket, answer = "", JSONObject({})
        for item in order.items:
            headers = {"Cookie": f"basket={basket}"} if basket else {}
            reply = self._login.call(
                session, "POST", "/basket/lines", body=line_of(item), headers=headers, repeatable=True
            )
            basket, answer = basket or cookie_of(reply, "basket"), reply.object()
        return session.add_secret(basket), answer.amount("total")

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        return _unchecked(self, order, basket, total, session)


class PriceForgotten(TillAdapter):
    """The price of the validation is not kept: whatever it costs now is paid."""

    def validate_order(self, order: Order, session: Session) -> Quote:
        return replace(super().validate_order(order, session), cart={})


class AnyPrice(TillAdapter):
    """The price of the validation comes back, and is not compared with anything."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(replace(order, cart={}), tender, session)


class NoRecipient(TillAdapter):
    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        items = tuple(replace(item, recipient_name=None) for item in order.items)
        return super()._fill(replace(order, items=items), session)


class FirstNoteOnly(TillAdapter):
    """Instructions of the first item are sent, those of the others are not."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        first, *others = order.items
        items = (first, *(replace(item, special_instructions=None) for item in others))
        return super()._fill(replace(order, items=items), session)


class NoOrderNote(TillAdapter):
    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        return super()._place(replace(order, special_instructions=None), basket, total, session)


class FirstOfEach(TillAdapter):
    """Options by their group: of two options of a group, one is sent."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        items = tuple(
            replace(item, options=tuple({option.provider_id.rpartition(":")[0]: option for option in item.options}
                                        .values())) for item in order.items)  # fmt: skip
        return super()._fill(replace(order, items=items), session)


class Positive(_Reading):
    """A minus is taken away."""

    def read(self, path: str, answer: Any) -> Any:
        return _amounts(answer, lambda text: text.lstrip("-") if isinstance(text, str) else text)


class CommaIsNothing(_Reading):
    """Everything but digits and points is taken away: 1150,50 becomes 115050."""

    def read(self, path: str, answer: Any) -> Any:
        return _amounts(answer, lambda text: text.replace(",", "") if isinstance(text, str) else text)


class CommaIsAPoint(_Reading):
    """1,150.50 becomes 1.15."""

    def read(self, path: str, answer: Any) -> Any:
        def read(text: Any) -> Any:
            if not isinstance(text, str) or "," not in text:
                return text
            whole, _, rest = text.partition(",")
            return f"{whole}.{rest[:2]}"

        return _amounts(answer, read)


class RoundedCents(_Reading):
    def read(self, path: str, answer: Any) -> Any:
        def read(text: Any) -> Any:
            try:
                return str(Decimal(text).quantize(Decimal("0.01"), ROUND_HALF_UP))
            except (ArithmeticError, TypeError, ValueError):
                return text

        return _amounts(answer, read)


class CutCents(_Reading):
    def read(self, path: str, answer: Any) -> Any:
        def read(text: Any) -> Any:
            whole, _, places = str(text).partition(".")
            return f"{whole}.{places[:2]}" if places else text

        return _amounts(answer, read)


class AnyBasket(TillAdapter):
    """What the basket holds is not compared with the order."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        basket, answer = "", JSONObject({})
        for item in order.items:
            headers = {"Cookie": f"basket={basket}"} if basket else {}
            reply = self._login.call(session, "POST", "/basket/lines", body=line_of(item), headers=headers)
            basket, answer = basket or session.add_secret(cookie_of(reply, "basket")), reply.object()
        return basket, answer.amount("total")


class AnyLines(TillAdapter):
    """What the placed order holds is not compared with the order."""

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        return _unchecked(self, order, basket, total, session)


class RefusedTooLate(TillAdapter):
    """A placed order that holds something else is reported as refused: there is one, and nobody looks for it."""

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        try:
            return super()._place(order, basket, total, session)
        except Unanswered:
            session.placement.may_exist = False
            raise


class FirstFound(TillAdapter):
    """A look-up takes the first order that it is shown, and says our own reference."""

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        found = self._login.call(session, "GET", "/orders", params={"reference": reference})
        rows: Sequence[JSONObject] = found.objects()
        return Placed(rows[0].integer("no"), rows[0].identifier("no"), reference=reference) if rows else None


class NoListNoOrder(TillAdapter):
    """An answer that is not a list counts as an empty one."""

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        rows = self._login.call(session, "GET", "/orders", params={"reference": reference}).json()
        found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return super().find_order(location, reference, trace, session) if found else None


class SharedLines(TillAdapter):
    """The lines are kept on the adapter, between filling the basket and placing it."""

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        self._items = order.items
        return super()._fill(order, session)

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        return super()._place(replace(order, items=self._items), basket, total, session)


class ClaimedCharge(TillAdapter):
    """With a discount that the till did not get, its own total is reported as what was charged."""

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        return super()._place(replace(order, merchant_funded_discount=0), basket, total, session)


class MadeUpAddress(TillAdapter):
    """An address of the house for a guest who gave none."""

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        note = order.user.email or "orders@example.com"
        return super()._place(replace(order, special_instructions=note), basket, total, session)


class NeedsAPhone(TillAdapter):
    """A guest without a telephone is refused, without a reason."""

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        if order.user.phone is None:
            raise Refused("order_refused", "the till needs a telephone number")
        return super()._place(order, basket, total, session)


def _unchecked(adapter: TillAdapter, order: Order, basket: str, total: int, session: Session) -> Placed:
    body = {"reference": order.reference, "name": order.user.name, "note": order.special_instructions,
            "total": str(Decimal(total) / 100)}  # fmt: skip
    headers = {"Cookie": f"basket={basket}"}
    placed = adapter._login.call(session, "POST", "/basket/orders", body=body, headers=headers, places_order=True)
    answer = placed.object()
    return Placed(answer.integer("no"), answer.identifier("no"), reference=answer.text("reference"))


_APART = "test_two_orders_at_once_have_nothing_in_common"
_TWICE = "test_the_same_item_twice_is_two_lines"
_WRITTEN = "test_an_amount_that_is_written_otherwise_is_not_misread"
_MENU = "test_a_price_of_the_menu_is_not_misread"
_CHANGED = "test_a_price_that_changed_since_the_validation_is_refused"
_BASKET = "test_a_basket_that_holds_something_else_is_refused"
_NOTES = "test_instructions_and_the_user_are_sent"
_LACKING = "test_a_user_who_lacks_something_is_refused_or_served"

TILL_MISTAKES = (
    Mistake(OneBasket, _APART, "META-11"),
    Mistake(OrderOnSelf, _APART, "META-11"),
    Mistake(LastTotal, _APART, "META-11"),
    Mistake(SharedLines, _APART, "META-11"),
    Mistake(PriceByDish, _APART, "META-11"),
    Mistake(LastValidated, _APART, "META-11"),
    Mistake(MergedTwins, "test_two_equal_lines_keep_their_words", "ITEM-8"),
    Mistake(MergedLines, _TWICE, "ITEM-11"),
    Mistake(LostLine, _TWICE, "ITEM-11"),
    Mistake(RepeatedLines, "test_a_call_that_may_be_repeated_adds_nothing", "ITEM-11"),
    Mistake(PriceForgotten, _CHANGED, "MONEY-10"),
    Mistake(AnyPrice, _CHANGED, "MONEY-10"),
    Mistake(NoRecipient, "test_for_whom_an_item_is_reaches_the_provider", "EP-11"),
    Mistake(FirstNoteOnly, _NOTES, "ITEM-8"),
    Mistake(NoOrderNote, _NOTES, "ITEM-8"),
    Mistake(FirstOfEach, "test_every_item_and_option_is_sent", "ITEM-1"),
    Mistake(Positive, _WRITTEN, "MONEY-9"),
    Mistake(CommaIsNothing, _WRITTEN, "MONEY-9"),
    Mistake(CommaIsAPoint, _WRITTEN, "MONEY-9"),
    Mistake(RoundedCents, _WRITTEN, "MONEY-9"),
    Mistake(CutCents, _WRITTEN, "MONEY-9"),
    Mistake(CommaIsNothing, _MENU, "MONEY-1"),
    Mistake(AnyBasket, _BASKET, "ITEM-11"),
    Mistake(AnyLines, _BASKET, "ITEM-11"),
    Mistake(RefusedTooLate, _BASKET, "SUB-5"),
    Mistake(ClaimedCharge, "test_nothing_is_charged_by_guess_with_a_discount", "MONEY-11"),
    Mistake(MadeUpAddress, _LACKING, "EP-14"),
    Mistake(NeedsAPhone, _LACKING, "EP-14"),
    Mistake(FirstFound, "test_a_look_up_believes_only_what_proves", "SUB-8"),
    Mistake(NoListNoOrder, "test_a_look_up_believes_only_what_proves", "SUB-5"),
)
