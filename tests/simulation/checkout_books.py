"""At the end of a trial of web checkout: LevelUp, the provider, the ledger and the answers must agree.

For each diner what was charged and not given back is what was eaten, or handed out by the site. What only a person can
put right is put right by one, who knows no more than the cases that are listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from levelup_ov.checkout.connections import Tokens
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from tests.simulation.books import LATE
from tests.simulation.checkout import CheckoutWorld, Diner, SiteAnswer
from tests.simulation.levelup import PERSON, MadeCharge
from tests.simulation.world import EXPECTED, NOT_CONCLUSIVE

MONEY, UNTRUE, LEFT, NEEDLESS, OTHER = "money", "untrue", "left open", "a needless case", "other"
OF_CHECKOUT = EXPECTED | {
    "card_declined", "user_token_refused", "merchant_token_refused", "not_connected", "charge_refunded",
    "refund_pending", "refund_impossible", "refund_refused", "already_refunded", "levelup_refused", "order_not_found",
    "cancellation_refused", "cancellation_unknown",
}  # fmt: skip
"""The codes that the site may get."""
GIVEN_BACK = "the charge was refunded"


def faults_of_checkout(world: CheckoutWorld) -> Iterator[tuple[str, str]]:
    """What does not agree: its kind, and a sentence."""
    orders = world.orders()
    by_proposal = {order.proposed_uuid: order for order in orders}
    for made in world.levelup.charges:
        yield from _charge(world, made, by_proposal.get(made.proposal or ""))
    for order in orders:
        yield from _row(world, order)
    for diner in world.diners:
        yield from _connections(world, diner)
        for answer in diner.answers:
            yield from _truth(world, diner, answer)
        yield from _balance(world, diner, orders)
    for row in world.rows:
        if row.account == LEDGER_ACCOUNT and row.state in ("sending", "unknown"):
            yield LEFT, f"a charge is {row.state} in the ledger for good"
    for id in world.cases_in_vain:
        yield NEEDLESS, f"{id} waits for somebody who is connected again"
    for words in world.late:
        yield LATE, words
    if world.cases and not PERSON & set(world.met):
        yield NEEDLESS, f"a person had to settle {', '.join(world.cases)}"


def _charge(world: CheckoutWorld, made: MadeCharge, order: StoredOrder | None) -> Iterator[tuple[str, str]]:
    if not made.unrefunded:
        return
    if order is not None and order.state == "settled" and world.is_made(order):
        return  # a person let the charge stay
    if order is None and world.is_forgotten(made.uuid):
        return  # outside of what is promised: what was acknowledged stays
    if order is None:
        yield MONEY, f"{made.uuid} of {made.guest} is not refunded, and the service has no such order"
    elif order.uuid != made.uuid or order.state not in ("charged", "submitted"):
        yield MONEY, f"{made.uuid} of {made.guest} is not refunded, and the service says {order.state} {order.uuid}"


def _row(world: CheckoutWorld, order: StoredOrder) -> Iterator[tuple[str, str]]:
    made = world.levelup.charged(order.uuid or "")
    if order.state in ("charging", "submitting", "refunding", "stuck") or order.open_cases or order.cancellation:
        yield LEFT, f"{order.id} is {order.state} for good: {order.open_cases}, {order.cancellation}"
    elif order.is_untold and made is not None and not made.unrefunded:
        return  # refunded by LevelUp's support, which is read when somebody asks, or at its age
    elif order.state in ("charged", "submitted") and (made is None or made.unrefunded != order.gross):
        yield UNTRUE, f"{order.id} is {order.state} with {order.gross}, LevelUp has {made and made.unrefunded}"
    elif order.state == "charged" and order.look_at is None and order.id not in world.answered:
        yield MONEY, f"{order.id} is charged for good, and no request was answered with it"
    elif order.state == "refunded" and (made is None or made.unrefunded):
        yield UNTRUE, f"{order.id} is refunded, at LevelUp {made and made.unrefunded} cents are not"
    if made is not None and made.proposal != order.proposed_uuid:
        yield UNTRUE, f"{order.id} holds {made.uuid}, which is {made.guest}'s other order"


def _connections(world: CheckoutWorld, diner: Diner) -> Iterator[tuple[str, str]]:
    tokens = Tokens(CheckoutStore(world.things.databases["A"]), world.things.settings.secret_keys)
    for id in diner.connections:
        if id in world.refused and world.is_dead(id):
            yield UNTRUE, f"{id} of {diner.name} is said to be connected, and LevelUp takes its token no more"
    for each in world.connected():
        if each.id in diner.connections and (token := tokens.open(each)) is not None:
            if f"-{diner.name}-" not in token.reveal():
                yield UNTRUE, f"{each.id} of {diner.name} holds {token.reveal()}"
            if each.levelup_id not in (None, diner.number):
                yield UNTRUE, f"{each.id} of {diner.name} is said to be {each.levelup_id}'s"


def _truth(world: CheckoutWorld, diner: Diner, answer: SiteAnswer) -> Iterator[tuple[str, str]]:
    if answer.code and answer.code not in OF_CHECKOUT | NOT_CONCLUSIVE:
        yield OTHER, f"{diner.name} was answered {answer.code}: {answer.words}"
    if GIVEN_BACK in answer.words:
        found = [made for made in world.levelup.charges if made.guest == diner.name]
        if not any(made.refunded_at is not None for made in found):
            yield UNTRUE, f"{diner.name} was answered {answer.words!r}"
    if answer.order is None:
        return
    made = world.levelup.charged(answer.order.uuid or "")
    if made is None or made.guest != diner.name:
        yield UNTRUE, f"{diner.name} was answered {answer.order.uuid}, which is {made and made.guest}'s"
        return
    if answer.order.gross != made.spend:
        yield UNTRUE, f"{diner.name} was answered {answer.order.gross} cents of {made.spend}"
    if answer.order.state == "refunded" and made.unrefunded:
        yield UNTRUE, f"{diner.name} was answered refunded, and {made.unrefunded} cents are not"
    if answer.asked == "cancel" and world.is_made(answer.order):
        yield UNTRUE, f"{diner.name} was answered canceled, and the meal is made"
    if (submitted := answer.order.submitted) is not None:
        meals = [str(each.ticket) for each in world.provider.kept if each.guest == diner.user.name]
        if not any(f'"{ticket}"' in submitted or f": {ticket}," in submitted for ticket in meals):
            yield UNTRUE, f"{diner.name} was answered {submitted}, the provider has {meals}"


def _balance(world: CheckoutWorld, diner: Diner, orders: list[StoredOrder]) -> Iterator[tuple[str, str]]:
    """Charged minus refunded is what was eaten, or handed out: what the site was answered last."""
    charged = [made for made in world.levelup.charges if made.guest == diner.name]
    if any(world.is_forgotten(made.uuid) for made in charged):
        return
    paid = sum(made.unrefunded for made in charged)
    charges = [each for each in diner.answers if each.asked == "charge"]
    by_key = {each.key: each for each in charges}
    given_back = {each.order.id for each in diner.answers if each.asked == "refund" and not each.code and each.order}
    if diner.wants == "meal":
        meals = sum(each.guest == diner.user.name and world.provider.is_made(each) for each in world.provider.kept)
        # What the site itself has refunded was eaten all the same.
        treated = sum(_is_treat(world, order) for order in orders if ("refund", order.id) in diner.taken_back)
        if paid != (meals - treated) * diner.price:
            yield MONEY, f"{diner.name} has paid {paid} for {meals} meals of {diner.price}, {treated} of them treated"
        # A request without an answer may have waited in front of a host, and is carried out when it comes in.
        waiting = {each.key for each in charges if each.code == "connection broken"}
        expected = {key for key, last in by_key.items() if not last.is_final or not last.code} | waiting
        # A person let the charge stay: the restaurant made the meal after all, of which the service does not know.
        kept = sum(order.state == "settled" and world.is_made(order) for order in _orders_of(world, diner, orders))
        if meals > len(expected) + kept:
            yield MONEY, f"{diner.name} has {meals} meals, and was answered {[each.code for each in by_key.values()]}"
        return
    handed = {each.order.id for each in by_key.values() if not each.code and each.order} - given_back
    open_ended = any(not each.is_final for each in by_key.values()) or _refunds(diner)
    if paid != len(handed) * diner.price and not (open_ended and paid in (0, diner.price)):
        yield MONEY, f"{diner.name} has paid {paid} for {len(handed)} orders of {diner.price}"


def _orders_of(world: CheckoutWorld, diner: Diner, orders: list[StoredOrder]) -> list[StoredOrder]:
    """The charged orders of a diner."""
    charges = [(order, world.levelup.charged(order.uuid or "")) for order in orders]
    return [order for order, made in charges if made is not None and made.guest == diner.name]


def _is_treat(world: CheckoutWorld, order: StoredOrder) -> bool:
    """Whether a meal is made whose charge went back."""
    made = world.levelup.charged(order.uuid or "")
    return world.is_made(order) and made is not None and not made.unrefunded


def _refunds(diner: Diner) -> bool:
    return any(each.asked == "refund" for each in diner.answers)
