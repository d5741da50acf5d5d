"""At the end of a trial: the provider's orders, the ledger and what the guests were answered must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.simulation.providers import Order
from tests.simulation.world import EXPECTED, LATEST, NOT_CONCLUSIVE, Story, World

SECOND, LOST, ANOTHERS, NOT_HELD, OTHER = "second order", "lost", "another's number", "not held", "other"
LATE, NEEDLESS = "answered late", "a needless finding"


def faults_of(world: World) -> Iterator[tuple[str, str]]:
    """What does not agree: its kind, and a sentence."""
    kept = world.provider.kept
    # What a host sends late that was frozen after its last look is admitted if it is reported. So is what a network
    # delivers once more after it was refused, and after that its next try has another reference.
    late_of = {order.reference for order in world.provider.orders if order.guest in world.frozen_at_send}
    reported = {row.reference for row in world.rows if row.finding and row.reference in late_of | world.late_copies}
    # A provider that knows references makes no second order, however late a call comes.
    admitted = reported if world.keyless else reported & world.late_copies
    if world.ledger_lost is None:
        # The next try looks for what was refused before it.
        admitted = admitted - world.early_copies
    made = [order for order in kept if world.provider.is_made(order)]
    counted = [order.guest for order in made if order.reference not in admitted]
    for guest, count in Counter(counted).items():
        if count > 1:
            yield SECOND, f"{guest} has {count} orders"
    by_ticket = {order.ticket: order for order in kept}
    # Where that it was refused could not be recorded, it was looked up before it was settled.
    found = {row.reference for row in world.rows if row.state == "placed"} & world.late_copies
    for story in world.stories:
        yield from _answers(world, story, by_ticket, reported | found)
    for words in world.late:
        yield LATE, words
    for words in world.stuck:
        yield LOST, words
    by_id = {order.id: order for order in kept}
    placed = [row for row in world.rows if row.state == "placed"]
    for row in world.rows:
        # A guest whose row is lost is told what a try of an older state ends with, and does not ask again.
        was_kept_out = world.ledger_lost is not None or "ledger hangs" in world.met
        is_left = world.is_replaying and row.state == "unknown" and was_kept_out
        if row.state not in ("placed", "not_placed") and not is_left:
            yield LOST, f"a submission is {row.state} for good"
    for row in placed:
        if row.provider_order_id not in by_id:
            yield NOT_HELD, f"the ledger says placed, the provider holds no {row.provider_order_id}"
    for id, count in Counter(row.provider_order_id for row in placed).items():
        if count > 1:
            yield ANOTHERS, f"{count} rows of the ledger hold {id}"
    known = {row.provider_order_id for row in placed}
    unknown = {row.reference for row in world.rows if row.state == "unknown"}
    for row in world.rows:
        late = [order for order in kept if order.reference == row.reference and order.id not in known]
        if row.finding and not late:
            yield NEEDLESS, f"{row.finding}, and the provider has no order of {row.reference} that nobody knows"
    for order in kept:
        if order.id not in known and order.reference not in world.lost | unknown | reported:
            yield LOST, f"the provider holds {order.id} of {order.guest}, the ledger does not know"


def _answers(
    world: World, story: Story, by_ticket: dict[object, Order], reported: set[str | None]
) -> Iterator[tuple[str, str]]:
    who = story.guest
    made = filter(world.provider.is_made, world.provider.kept)
    held = [order for order in made if order.guest == who and order.reference not in reported]
    numbers = {given for code, given in story.answers if not code}
    for number in numbers:
        if number not in by_ticket:
            yield NOT_HELD, f"{who} was answered {number}, which the provider does not hold"
        elif by_ticket[number].guest != who:
            yield ANOTHERS, f"{who} was answered {number}, which is {by_ticket[number].guest}'s"
        elif number not in story.called_off and not world.provider.is_made(by_ticket[number]):
            yield NOT_HELD, f"{who} was answered {number}, which nobody makes"
    if len(numbers) > 1:
        yield ANOTHERS, f"{who} was answered {sorted(map(str, numbers))}"
    for order in held:
        if order.account not in (None, who):
            yield ANOTHERS, f"the order of {who} runs on the account of {order.account}"
    finals = [code for code in story.finals if code and code not in NOT_CONCLUSIVE]
    # Where the row is lost, what ends before the reference is looked at again is believed: no gateway can know. A host
    # that is placing the order knows, and writes the row again, unless it is frozen or killed, or its ledger hangs.
    looked = max(world.ledger_lost or 0.0, world.kept_from_writing.get(who, 0.0))
    is_lost = all(order.reference in world.lost for order in held) and (
        world.provider.refuses_first or world.placing_calls.get(who, 0.0) <= looked
    )
    if world.lost_in_flight and not {"killed", "frozen host", "ledger hangs"} & set(world.met):
        # The process that waits for the provider writes the row again, by its deadline.
        is_lost = story.ended_at <= (world.ledger_lost or 0.0) + LATEST
    # A request that waited in front of the service all the time is carried out when it comes in.
    if held and finals and len(finals) == len(story.finals) and not (story.was_waiting or is_lost):
        yield LOST, f"{who} was answered {finals[-1]} at last, and has an order"
    for code, _ in story.answers:
        if code and code not in EXPECTED:
            yield OTHER, f"{who} was answered {code}"
