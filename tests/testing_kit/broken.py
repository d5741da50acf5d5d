"""Adapters with one mistake each, as people make them; the rest of each is the sandbox adapter."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timezone
from typing import Any

from adapters.sandbox import Cart, SandboxAdapter, _content, _place_order
from levelup_ov.adapter import Setting
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Fee, Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import OrderStatus
from levelup_ov.domain.stock import Stock
from levelup_ov.domain.tender import CreditCard, Tender
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.session import Reply, Session
from tests.testing_kit.mistake import Mistake

log = logging.getLogger(__name__)


class Translating(SandboxAdapter):
    """For mistakes that are made with every order on its way to the provider, and with its price on the way back."""

    def wrong(self, order: Order) -> Order:
        return order

    def misread(self, order: Order, quote: Quote) -> Quote:
        return quote

    def validate_order(self, order: Order, session: Session) -> Quote:
        return self.misread(order, super().validate_order(self.wrong(order), session))

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(self.wrong(order), tender, session)


class DroppedOption(Translating):
    def wrong(self, order: Order) -> Order:
        return replace(order, items=tuple(replace(item, options=item.options[:1]) for item in order.items))


class DroppedQuantity(Translating):
    def wrong(self, order: Order) -> Order:
        return replace(order, items=tuple(replace(item, quantity=1) for item in order.items))


class DroppedOptionQuantity(Translating):
    def wrong(self, order: Order) -> Order:
        return replace(order, items=tuple(
            replace(item, options=tuple(replace(option, quantity=1) for option in item.options)) for item in order.items
        ))  # fmt: skip


class DroppedInstructions(Translating):
    def wrong(self, order: Order) -> Order:
        return replace(order, items=tuple(replace(item, special_instructions=None) for item in order.items))


class WrongZone(Translating):
    def wrong(self, order: Order) -> Order:
        wanted = order.desired_ready_time
        return replace(order, desired_ready_time=wanted and wanted.replace(tzinfo=timezone.utc))


class Hasty(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, ready=replace(quote.ready, soonest=order.received_at))


class CountedAtEachLocation(SandboxAdapter):
    """As a till that counts 1, 2, 3 in each restaurant."""

    placed = Counter[str]()

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        placed = super().submit_order(order, tender, session)
        self.placed[order.location.provider_id] += 1
        return replace(placed, provider_order_id=str(self.placed[order.location.provider_id]))


class LostAddress(Translating):
    def wrong(self, order: Order) -> Order:
        address = order.delivery_address
        return replace(order, delivery_address=address and replace(address, extended_address=None))


class HopefulStock(SandboxAdapter):
    def show_stock(self, location: Location, session: Session) -> Stock:
        try:
            return super().show_stock(location, session)
        except Unanswered:
            return Stock()


class SoldOutForGood(SandboxAdapter):
    def show_stock(self, location: Location, session: Session) -> Stock:
        return Stock(options=frozenset({"side:fries"}))


class FeeInFood(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, food=quote.total, fees=())


class SilentAboutFees(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        nowhere = order.delivery_address is None
        return replace(quote, address_decides=frozenset(), **({"fees": (), "charged": None} if nowhere else {}))


class TracedAddress(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        address = order.delivery_address
        return replace(quote, fees=tuple(Fee(f"To {address and address.street_address}", 1) for _ in quote.fees))


class IgnoredTime(Translating):
    schedules = False

    def wrong(self, order: Order) -> Order:
        return replace(order, desired_ready_time=None)


class TipInDollars(Translating):
    def wrong(self, order: Order) -> Order:
        return replace(order, tip=int(order.tip / 100))


class FloatCents(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, food=quote.food / 100 * 100)  # type: ignore[arg-type]


class NaiveTime(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        soonest = quote.ready.soonest
        return replace(quote, ready=replace(quote.ready, soonest=soonest and soonest.replace(tzinfo=None)))


class TipInTotal(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, food=quote.food + (quote.tip or 0), tip=None)


class DiscountInTotal(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, food=quote.food - quote.merchant_funded_discount, charged=None)


class ForgottenTax(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, tax=0)


class OpenCart(Translating):
    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, cart={name: value.reveal() for name, value in quote.cart.items()})  # type: ignore[misc]


class StaleCart(SandboxAdapter):
    validated: dict[str, Order] = {}

    def validate_order(self, order: Order, session: Session) -> Quote:
        quote = super().validate_order(order, session)
        self.validated[quote.cart["cart"].reveal()] = order
        return quote

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        before = self.validated.get(order.cart["cart"].reveal()) if order.cart else None
        if before is not None:
            order = replace(before, cart=order.cart, customer_account=order.customer_account, reference=order.reference)
        return super().submit_order(order, tender, session)


class AnyTime(Translating):
    """Places an order whenever it will be ready."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(replace(order, shown=None), tender, session)


class PlacedTwice(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Unanswered:
            return super().submit_order(order, tender, session)


class RefusesTheLost(SandboxAdapter):
    """Takes an order without an answer for one that was refused."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Unanswered:
            raise Refused("order_refused", "the kitchen does not answer") from None


class NothingPlaces(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(order, tender, _Changed(session, places_order=False))


class _Changed(Session):
    """A session whose placing call says something else."""

    def __init__(self, session: Session, **changes: Any) -> None:
        vars(self).update(vars(session))
        self._real, self._changes = session, changes

    def call(self, method: str, path: str, **how: Any) -> Reply:
        return self._real.call(method, path, **(how | self._changes if how.get("places_order") else how))


class Bypass(SandboxAdapter):
    """Calls the provider itself, past the session."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return Placed("17", "made-elsewhere", reference=order.reference)


class PlacedAllTheSame(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        plain, quote = replace(order, cart={}), self.validate_order(order, session)
        cart_id, *_ = quote.cart["cart"].reveal().strip("[]").split(",")
        body = {"payment": {"external": "LevelUp"}, "reference": plain.reference}
        answer = session.post(f"/v1/carts/{cart_id.strip(chr(34))}/orders", body, places_order=True).json()
        placed = answer.get("order", {})
        return Placed(placed.get("ticket", 0), placed.get("id", "unknown"), reference=plain.reference)


class Trusting(SandboxAdapter):
    """Takes the first order that it is answered for its own."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        quote = self.validate_order(order, session)
        cart_id, *_ = json.loads(quote.cart["cart"].reveal())
        body = {"payment": {"external": "LevelUp"}, "reference": order.reference}
        answer = session.post(f"/v1/carts/{cart_id}/orders", body, places_order=True).object().member("order")
        return self.reported(
            Placed(answer.integer("ticket"), answer.identifier("id"), reference=order.reference), session
        )

    def reported(self, placed: Placed, session: Session) -> Placed:
        return placed

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        path = f"/v1/locations/{location.provider_id}/orders"
        found = session.get(path, params={"reference": reference}).object().each("orders")
        return Placed(found[0].integer("ticket"), found[0].identifier("id"), reference=reference) if found else None


class Unconfirmed(Trusting):
    """Looks at the order that it made, and goes on whatever it sees."""

    def reported(self, placed: Placed, session: Session) -> Placed:
        try:
            session.get(f"/v1/orders/{placed.provider_order_id}")
        except Failure:
            log.info("the order could not be shown")
        return placed


class Silent(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return replace(super().submit_order(order, tender, session), reference=None)


class AbsentByFault(SandboxAdapter):
    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        try:
            return super().find_order(location, reference, trace, session)
        except Unanswered:
            return None


class AbsentByDefault(SandboxAdapter):
    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        answer = session.get(f"/v1/locations/{location.provider_id}/orders", params={"reference": reference}).object()
        return super().find_order(location, reference, trace, session) if answer.each("orders", []) else None


class AnyRefusal(SandboxAdapter):
    def error_from(self, reply: Reply) -> Refused | None:
        refused = 400 <= reply.status < 500 and reply.status not in (401, 403, 408, 429)
        return super().error_from(reply) or (Refused("order_refused", "no") if refused else None)


class _Nameless(_Changed):
    """A session whose calls do not say whose order it is."""

    def call(self, method: str, path: str, **how: Any) -> Reply:
        if isinstance(how.get("body"), dict):
            how["body"] = {name: value for name, value in how["body"].items() if name != "customer"}
        return super().call(method, path, **how)


class AnyCart(SandboxAdapter):
    """Orders the cart that comes with the order, even if another guest opened it."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        if not order.cart:
            return super().submit_order(order, tender, session)
        cart = Cart(*json.loads(order.cart["cart"].reveal()))
        return _place_order(cart, cart.total, order, tender, _Nameless(session))


class LostForAbsent(SandboxAdapter):
    """Whatever is refused is not there, it thinks."""

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        try:
            return super().find_order(location, reference, trace, session)
        except Refused:
            return None


class _NamelessOrder(_Changed):
    """A session whose placing call does not say whose order it is."""

    def call(self, method: str, path: str, **how: Any) -> Reply:
        if how.get("places_order"):
            how["body"] = {name: value for name, value in how["body"].items() if name != "customer"}
        return self._real.call(method, path, **how)


class AnyAnswer(SandboxAdapter):
    """Orders the cart that an answer names, even if another guest opened it."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        return super().submit_order(replace(order, cart={}), tender, _NamelessOrder(session))


class ExpectsWhatComes(SandboxAdapter):
    """Takes what was charged for what it asked for."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        placed = super().submit_order(order, tender, session)
        return replace(placed, expected_charge=placed.charged)


class NoFence(SandboxAdapter):
    def fence_order(self, *_: Any) -> None:
        """Fences nothing."""


class NeverFound(SandboxAdapter):
    def find_order(self, *_: Any) -> None:
        return None


class AlwaysFound(SandboxAdapter):
    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        found = session.get(f"/v1/locations/{location.provider_id}/orders", params={"reference": reference}).json()
        return Placed(1, found["orders"][0]["id"] if found["orders"] else "1", reference=reference)


class RefusedByFault(SandboxAdapter):
    def error_from(self, reply: Reply) -> Refused | None:
        return None if reply.ok or reply.status in (401, 429) else Refused("order_refused", f"status {reply.status}")


class WrongCode(SandboxAdapter):
    def error_from(self, reply: Reply) -> Refused | None:
        refusal = super().error_from(reply)
        return refusal and Refused("order_refused", refusal.message)


class Unreadable(SandboxAdapter):
    def validate_order(self, order: Order, session: Session) -> Quote:
        path = f"/v1/locations/{order.location.provider_id}/carts"
        quote = session.post(path, _content(order), repeatable=True).json()["quote"]
        return Quote(quote["subtotal"], quote["tax"], None, quote["grand_total"])


class Guessed(SandboxAdapter):
    def validate_order(self, order: Order, session: Session) -> Quote:
        try:
            return super().validate_order(order, session)
        except Unanswered:
            return Quote(food=1000, tax=0, tip=None, charged=None)


class Strict(SandboxAdapter):
    def error_from(self, reply: Reply) -> Refused | None:
        if "member_of_a_later_version" in reply.body.decode():
            raise Unanswered("provider_protocol_error", "unexpected member", sent=True)
        return super().error_from(reply)


class Patient(SandboxAdapter):
    def validate_order(self, order: Order, session: Session) -> Quote:
        try:
            return super().validate_order(order, session)
        except Unanswered:
            time.sleep(1)
            raise


class LoggedCard(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        if isinstance(tender, CreditCard):
            log.debug("paying with %s", tender.number.reveal())
        return super().submit_order(order, tender, session)


class SecretInError(SandboxAdapter):
    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Unanswered as failure:
            message = f"{failure.message} (key {self.account.setting('api_key')})"
            raise failure.replace(message=message) from failure


class SaidBack(SandboxAdapter):
    def headers(self) -> Mapping[str, str]:
        return {**super().headers(), "Authorization": f"Bearer fetched-{id(self)}"}


class TakenOver(SandboxAdapter):
    known: dict[str | None, Mapping[str, Secret]] = {}

    def validate_order(self, order: Order, session: Session) -> Quote:
        quote = super().validate_order(
            replace(order, customer_account=self.known.get(order.user.email, order.customer_account)), session
        )
        self.known[order.user.email] = quote.customer_account
        return quote


class TwiceInTheMenu(SandboxAdapter):
    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = super().show_menu(location, session)
        return replace(menu, categories=(*menu.categories, menu.categories[0]))


class FlatIds(SandboxAdapter):
    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = super().show_menu(location, session)
        groups = [replace(group, options=tuple(
            replace(option, provider_id=option.provider_id.rpartition(":")[2] + group.provider_id)
            for option in group.options), defaults=()) for group in menu.option_groups]  # fmt: skip
        return replace(menu, option_groups=tuple(groups))


class OneMenu(SandboxAdapter):
    """The menu that was shown first is kept, whatever location is asked about."""

    shown: Menu | None = None

    def show_menu(self, location: Location, session: Session) -> Menu:
        self.shown = self.shown or super().show_menu(location, session)
        return self.shown


class OneLocation(Translating):
    """Every order goes to the location that was there when the adapter was written."""

    def wrong(self, order: Order) -> Order:
        return replace(order, location=replace(order.location, provider_id="congress"))


class LineTimesQuantity(Translating):
    """The price of a line, taken for the price of one; no total to compare it with."""

    def misread(self, order: Order, quote: Quote) -> Quote:
        return replace(quote, food=quote.food * order.items[0].quantity, charged=None)


class CutNote(Translating):
    """As many characters as the column of somebody's table has."""

    def wrong(self, order: Order) -> Order:
        return replace(order, items=tuple(
            replace(item, special_instructions=item.special_instructions and item.special_instructions[:64])
            for item in order.items))  # fmt: skip


class PlainLetters(Translating):
    def wrong(self, order: Order) -> Order:
        first, last = (
            name.encode("ascii", "ignore").decode() for name in (order.user.first_name, order.user.last_name)
        )
        return replace(order, user=replace(order.user, first_name=first, last_name=last))


class TrustingStatus(SandboxAdapter):
    """The reference of a status is the one that was asked about."""

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        state = session.get(f"/v1/orders/{provider_order_id}/state").object().member("state")
        return OrderStatus(state.text("word"), reference=reference)


class IdleCancellation(SandboxAdapter):
    """Nothing is canceled."""

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        session.get(f"/v1/orders/{provider_order_id}/state")


class OnceMore(SandboxAdapter):
    """A refused order is sent again, as another order."""

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        try:
            return super().submit_order(order, tender, session)
        except Refused:
            session.nothing_placed()
            return super().submit_order(replace(order, reference=f"{order.reference}-2", cart={}), tender, session)


class OwnNames(SandboxAdapter):
    """Orders get a name from a setting that does not say so."""

    settings = {**SandboxAdapter.settings, "prefix": Setting("the first part of our references", default="ov")}

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        named = replace(order, reference=self._named(order.reference or ""))
        return replace(super().submit_order(named, tender, session), reference=order.reference)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        placed = super().find_order(location, self._named(reference), trace, session)
        return placed and replace(placed, reference=reference)

    def _named(self, reference: str) -> str:
        return f"{self.account.setting('prefix')}-{reference}"


class GuessedStatus(SandboxAdapter):
    """A word that is not in the table is taken for the first of it."""

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        reported = super().show_status(location, provider_order_id, reference, session)
        return reported if reported.word in self.order_status else replace(reported, word="confirmed")


MISTAKES = (
    Mistake(DroppedOption, "test_every_item_and_option_is_sent", "ITEM-1"),
    Mistake(DroppedQuantity, "test_the_quantity_of_every_item_is_sent", "ITEM-6"),
    Mistake(DroppedOptionQuantity, "test_the_quantity_of_every_option_is_sent", "ITEM-6"),
    Mistake(DroppedInstructions, "test_instructions_and_the_user_are_sent", "ITEM-8"),
    Mistake(WrongZone, "test_times_around_both_clock_changes_arrive_as_meant", "TIME-9"),
    Mistake(Hasty, "test_times_around_both_clock_changes_arrive_as_meant", "TIME-5"),
    Mistake(LostAddress, "test_a_delivery_goes_to_its_address", "EP-11"),
    Mistake(HopefulStock, "test_a_stock_that_cannot_be_read_is_not_an_empty_one", "MENU-8"),
    Mistake(SoldOutForGood, "test_the_stock_has_what_can_be_ordered", "MENU-8"),
    Mistake(FeeInFood, "test_the_fee_of_a_delivery_is_a_fee", "DELIVERY-3"),
    Mistake(SilentAboutFees, "test_the_fee_of_a_delivery_is_a_fee", "DELIVERY-1"),
    Mistake(TracedAddress, "test_an_address_stays_out_of_results_and_traces", "DELIVERY-4"),
    Mistake(IgnoredTime, "test_a_time_that_cannot_be_kept_is_refused", "TIME-10"),
    Mistake(TipInDollars, "test_the_tip_is_sent_to_the_cent_and_is_no_part_of_the_food", "MONEY-4"),
    Mistake(FloatCents, "test_a_validation_gives_a_price_that_adds_up", "MONEY-1"),
    Mistake(NaiveTime, "test_a_validation_gives_a_price_that_adds_up", "TIME-1"),
    Mistake(TipInTotal, "test_the_tip_is_sent_to_the_cent_and_is_no_part_of_the_food", "MONEY-3"),
    Mistake(DiscountInTotal, "test_a_merchant_funded_discount_lowers_no_food", "MONEY-3"),
    Mistake(ForgottenTax, "test_a_validation_gives_a_price_that_adds_up", "MONEY-9"),
    Mistake(OpenCart, "test_what_comes_back_to_the_adapter_is_a_secret", "META-7"),
    Mistake(StaleCart, "test_the_final_values_of_a_validated_order_count", "META-5"),
    Mistake(AnyTime, "test_an_order_is_placed_for_the_time_that_was_shown", "TIME-11"),
    Mistake(PlacedTwice, "test_an_order_whose_answer_is_lost_is_placed_once_and_found", "SUB-2"),
    Mistake(RefusesTheLost, "test_an_order_whose_answer_is_lost_is_placed_once_and_found", "SUB-5"),
    Mistake(NothingPlaces, "test_an_order_is_accepted", "SUB-2"),
    Mistake(Bypass, "test_an_order_is_accepted", "SUB-6"),
    Mistake(PlacedAllTheSame, "test_a_submission_meets_faults", "SUB-5"),
    Mistake(Silent, "test_an_order_says_its_reference_back", "SUB-8"),
    Mistake(Trusting, "test_an_answer_with_another_reference_is_not_ours", "SUB-8"),
    Mistake(Trusting, "test_the_answer_of_another_order_is_not_ours", "SUB-8"),
    Mistake(Trusting, "test_a_look_up_believes_only_what_proves", "SUB-8"),
    Mistake(Unconfirmed, "test_an_order_that_the_provider_does_not_keep", "SUB-8"),
    Mistake(AbsentByFault, "test_a_look_up_believes_only_what_proves", "SUB-5"),
    Mistake(AbsentByDefault, "test_a_look_up_believes_only_what_proves", "SUB-5"),
    Mistake(AnyRefusal, "test_a_refusal_in_a_form_that_nobody_documents", "SUB-5"),
    Mistake(AnyCart, "test_a_cart_stays_with_its_guest", "META-3"),
    Mistake(AnyCart, "test_the_answer_to_another_guests_validation", "SUB-8"),
    Mistake(AnyAnswer, "test_the_cart_of_another_guest_is_not_ordered", "SUB-8"),
    Mistake(ExpectsWhatComes, "test_another_charge_than_was_asked_for_is_reported", "PAY-4"),
    Mistake(LostForAbsent, "test_a_refusal_of_something_else_proves_no_absence", "SUB-5"),
    Mistake(NoFence, "test_a_fence_refuses_what_comes_late", "SUB-10"),
    Mistake(OwnNames, "test_a_setting_that_hides_orders_says_so", "SUB-10"),
    Mistake(OnceMore, "test_a_call_that_is_delivered_twice_is_one_order", "SUB-2"),
    Mistake(NeverFound, "test_an_order_whose_answer_is_lost_is_placed_once_and_found", "SUB-5"),
    Mistake(AlwaysFound, "test_an_order_that_never_went_out_is_not_placed", "SUB-5"),
    Mistake(RefusedByFault, "test_an_order_that_is_placed_and_answered_with_503_is_found", "SUB-5"),
    Mistake(RefusedByFault, "test_a_submission_meets_faults", "SUB-5"),
    Mistake(WrongCode, "test_a_refusal_has_its_code_and_leaves_nothing", "ERR-2"),
    Mistake(Unreadable, "test_a_validation_meets_answers_that_are_not_quite_right", "ERR-3"),
    Mistake(Guessed, "test_a_validation_meets_faults", "MONEY-9"),
    Mistake(Strict, "test_members_of_a_later_version_change_nothing", "EP-8"),
    Mistake(Patient, "test_nothing_goes_on_past_the_deadline", "SUB-6"),
    Mistake(LoggedCard, "test_secrets_stay_out_of_results_errors_and_logs", "ERR-4"),
    Mistake(SecretInError, "test_secrets_stay_out_of_results_errors_and_logs", "ERR-4"),
    Mistake(SaidBack, "test_a_provider_that_echoes_secrets_puts_none_into_errors", "ERR-4"),
    Mistake(TakenOver, "test_no_account_is_taken_over_by_its_address", "META-6"),
    Mistake(TwiceInTheMenu, "test_menu", "MENU-3"),
    Mistake(FlatIds, "test_menu", "ITEM-3"),
    Mistake(CountedAtEachLocation, "test_each_order_has_an_id_of_its_own", "SUB-8"),
    Mistake(OneMenu, "test_each_location_has_its_own_menu", "MENU-1"),
    Mistake(OneLocation, "test_an_order_goes_to_its_location", "LOC-1"),
    Mistake(LineTimesQuantity, "test_the_quantity_of_every_item_is_sent", "ITEM-6"),
    Mistake(CutNote, "test_long_and_foreign_words_arrive_whole", "ITEM-8"),
    Mistake(PlainLetters, "test_long_and_foreign_words_arrive_whole", "EP-11"),
    Mistake(TrustingStatus, "test_the_status_of_another_order_is_not_ours", "STAT-3"),
    Mistake(IdleCancellation, "test_a_canceled_order_is_shown_as_such", "STAT-6"),
    Mistake(GuessedStatus, "test_a_word_that_nobody_knows_is_kept", "STAT-2"),
)
