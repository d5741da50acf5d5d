"""How an unknown outcome is reconciled, and what is not forgotten (SUB-8 to SUB-12)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import ReferenceFenced, Refused, Unanswered
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.ledger.identity import content_digests, identities, reference_of
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.reading import MOST_REFUSED
from levelup_ov.ledger.records import Submission, TooEarly
from levelup_ov.ordering.attempts import Attempt, SubmissionKey
from levelup_ov.ordering.outcomes import Settlement
from levelup_ov.ordering.reconciling import CONFIRMED_AFTER, Fence
from levelup_ov.ordering.submissions import MOST_FENCED, Submissions
from levelup_ov.transport import net
from tests.ledger.helpers import KEYS, LOCATION, Clock

DEADLINE, GRACE = 25.0, 30.0


@dataclass
class World:
    """A channel and a provider: ``orders`` are what the provider holds, by reference.

    ``looks`` are how long its answers to look-ups take, in turn, then none; an exception is raised.
    """

    ledger: Ledger
    submissions: Submissions
    wall: Clock
    up: list[int]
    orders: dict[str, str] = field(default_factory=dict)
    looks: list[float | Exception] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    while_asleep: Callable[[], None] = lambda: None
    fenced: set[str] = field(default_factory=set)
    sent: list[Attempt] = field(default_factory=list)
    fences: bool = False
    find_refused: Callable[[Submission], Settlement | None] | None = None
    voids_cards: bool = False

    def pass_by(self, seconds: float) -> None:
        self.up[0] += int(seconds * 1000)
        self.wall.advance(timedelta(seconds=seconds))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)
        self.while_asleep()

    def submit(self, key: str = "k", content: bytes = b"a burger", answer: Any = "placed", card: bool = False) -> Any:
        """The number of the order, or the code of the failure. ``answer``: what becomes of a placing call."""

        def place_order(attempt: Attempt) -> Settlement:
            attempt.placement.begin()
            attempt.last_look(None)
            self.sent.append(attempt)
            if isinstance(answer, Exception):
                raise answer
            if attempt.reference in self.fenced:
                raise ReferenceFenced
            if answer == "lost":
                raise Unanswered("provider_timeout", "no answer", sent=True)
            self.orders.setdefault(attempt.reference, f"p-{len(self.orders) + 1}")
            return self._settlement(attempt.reference)

        found = self.key(key, content, card)
        try:
            fence = Fence(self._fence, self.voids_cards) if self.fences else None
            settlement = self.submissions.submit(
                found, place_order, self.find_order, fence=fence, find_refused=self.find_refused
            )
            return settlement.answer["order_id"]
        except Failure as failure:
            return failure.code

    def key(self, key: str, content: bytes = b"a burger", card: bool = False) -> SubmissionKey:
        names = {"idempotency_key": key}
        return SubmissionKey(
            "deli", LOCATION, identities(LOCATION, content=content, keys=KEYS, **names),  # type: ignore[arg-type]
            content_digests(LOCATION, content, KEYS), "req-1",
            reference_of(LOCATION, key=lambda: KEYS[0], **names), card, self.wall.now,
        )  # fmt: skip

    def find_order(self, submission: Submission) -> Settlement | None:
        look = self.looks.pop(0) if self.looks else 0.0
        if isinstance(look, Exception):
            raise look
        self.pass_by(look)
        return self._settlement(submission.reference) if submission.reference in self.orders else None

    def look_again(self) -> list[str | None]:
        due = self.ledger.reader.due_again()
        return [self.submissions.reconciler.look_again(each, self.find_order) for each in due]

    def states(self) -> list[tuple[str, str | None]]:
        return [(row.state, row.ended) for row in sorted(self.ledger.reader.find(), key=lambda row: row.id)]

    def _fence(self, submission: Submission) -> None:
        if submission.reference not in self.orders:
            self.fenced.add(submission.reference)

    def _settlement(self, reference: str) -> Settlement:
        number = self.orders[reference]
        return Settlement(Placed(number, number, reference=reference), {"order_id": number})


@pytest.fixture
def world(url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    up = [10_000]
    with closing(open_ledger(url, clock=clock, observer=Observer("A", lambda: up[0]))) as ledger:
        submissions = Submissions(ledger, deadline=DEADLINE, grace=GRACE)
        one = World(ledger, submissions, clock, up)
        monkeypatch.setattr(net, "sleep", one.sleep)
        yield one


@pytest.mark.rule("SUB-10", "SUB-2")
def test_absence_needs_two_looks_a_grace_apart_and_a_last_one(world: World) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    world.pass_by(3600)
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE - 0.002)
    assert world.submit() == "outcome_unknown"
    assert world.slept == []
    world.pass_by(0.002)
    assert world.submit() == "p-1"
    assert world.slept == [CONFIRMED_AFTER]
    assert world.states() == [("not_placed", "absent"), ("placed", None)]


@pytest.mark.rule("SUB-10", "SUB-2")
def test_an_order_that_appears_during_the_looks_is_the_order(world: World) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE)
    reference = world.sent[0].reference
    world.while_asleep = lambda: world.orders.update({reference: "p-late"})
    assert world.submit() == "p-late"
    assert world.states() == [("placed", None)]


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("look", [GRACE / 10 + 0.1, Unanswered("provider_timeout", "no answer", sent=True)])
def test_a_look_that_fails_or_is_slow_restarts_the_wait(world: World, look: Any) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE)
    world.looks.append(look)
    assert world.submit() == "outcome_unknown"
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE - 1)
    assert world.submit() == "outcome_unknown"
    world.pass_by(1)
    # The last look may be the slow one as well.
    world.looks += [0.0, look]
    assert world.submit() == "outcome_unknown"
    assert len(world.sent) == 1


@pytest.fixture
def repeated(world: World) -> Submission:
    """An unknown submission, which is sent again to learn its outcome: it is always refused, for the first time now."""

    def refuse(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        raise Refused("item_unavailable", "sold out")

    world.find_order = lambda submission: world.submissions.reconciler.repeat(submission, refuse)  # type: ignore[method-assign]
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "outcome_unknown"
    (row,) = world.ledger.reader.find()
    return row


@pytest.mark.rule("SUB-9", "SUB-2")
@pytest.mark.parametrize("tries", [0, 1])
def test_a_repetition_that_was_overtaken_is_not_sent(world: World, repeated: Submission, tries: int) -> None:
    """It takes its time before the call; meanwhile the submission is ruled out, and sent with another meal."""
    sent = []

    def place(attempt: Attempt) -> Settlement:
        for _ in range(tries):
            attempt.placement.begin()
            attempt.last_look(None)
        world.pass_by(GRACE)
        assert world.submit(content=b"two burgers") == "idempotency_key_reused"
        assert world.submit(answer=Refused("item_unavailable", "sold out")) == "item_unavailable"
        assert world.submit(content=b"two burgers") == "p-1"
        attempt.placement.begin()
        attempt.last_look(None)
        sent.append(attempt)
        return world._settlement(attempt.reference)

    with pytest.raises(Failure) as raised:
        world.submissions.reconciler.repeat(repeated, place)
    assert (raised.value.code, sent) == ("submission_in_progress", [])
    assert [state for state, _ in world.states()] == ["not_placed", "not_placed", "placed"]


@pytest.mark.rule("SUB-10", "SUB-2")
@pytest.mark.parametrize("two_hosts", [False, True])
def test_refusals_wait_for_a_repetition_without_an_answer(
    world: World, repeated: Submission, url: str, two_hosts: bool
) -> None:
    other, up = None, [77_000]
    if two_hosts:
        other = open_ledger(url, clock=world.wall, observer=Observer("B", lambda: up[0]))
        assert other.absences.remaining(repeated, grace=timedelta(seconds=GRACE)) > timedelta(0)

    def hang(attempt: Attempt) -> Settlement:
        world.pass_by(GRACE)
        attempt.placement.begin()
        attempt.last_look(None)
        for _ in range(3):
            world.pass_by(GRACE / 4)
            assert world.submit() == "outcome_unknown"
        raise Unanswered("provider_timeout", "no answer", sent=True)

    with pytest.raises(Unanswered):
        world.submissions.reconciler.repeat(repeated, hang)
    if other is not None:
        # It was without the order for long enough, but has only now read of the repetition.
        up[0] += int(GRACE * 2000)
        with closing(other), pytest.raises(TooEarly):
            other.absences.rule_out(repeated, grace=timedelta(seconds=GRACE))
    assert world.states() == [("unknown", None)]
    world.pass_by(GRACE / 4 + 1)
    assert world.submit() == "p-1"
    assert world.states() == [("not_placed", "absent"), ("placed", None)]


@pytest.mark.rule("SUB-10", "SUB-11")
def test_behind_a_fence_it_is_placed_under_a_new_reference(world: World) -> None:
    world.fences = True
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "p-1"
    first, second = world.sent
    assert world.fenced == {first.reference} and second.reference not in world.fenced
    assert world.states() == [("not_placed", "fenced"), ("placed", None)]


@pytest.mark.rule("SUB-10", "SUB-11")
def test_a_fence_that_the_ledger_lost_is_known_to_the_provider(world: World) -> None:
    world.fences = True
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "p-1"
    _lose_rows(world.ledger)
    assert world.submit() == "p-1"
    fenced, placed, *again = [attempt.reference for attempt in world.sent]
    assert again == [fenced, placed]
    assert world.states() == [("not_placed", "fenced"), ("placed", None)]


@pytest.mark.rule("SUB-2", "SUB-10")
def test_a_fenced_off_host_learns_the_orders_outcome(world: World) -> None:
    """It was ruled out while it was on its way, and the submission was placed by somebody else."""
    reported: list[Any] = []

    def place_order(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        world.pass_by(DEADLINE + GRACE)
        reported.append(world.submit())
        raise ReferenceFenced

    world.fences = True
    assert world.submissions.submit(world.key("k"), place_order, world.find_order).answer == {"order_id": "p-1"}
    assert reported == ["p-1"] and len(world.orders) == 1


@pytest.mark.rule("SUB-10", "ERR-3")
def test_a_provider_that_fences_everything_is_asked_a_few_times(world: World) -> None:
    for round in (1, 2):
        assert world.submit(answer=ReferenceFenced()) == "submission_in_progress"
        assert len({attempt.reference for attempt in world.sent}) == round * MOST_FENCED
    assert set(world.states()) == {("not_placed", "fenced")}


@pytest.mark.rule("SUB-10")
def test_a_fence_that_fails_proves_nothing(world: World) -> None:
    world.fences = True
    assert world.submit(answer="lost") == "outcome_unknown"

    def fails(submission: Submission) -> None:
        raise Unanswered("provider_timeout", "no answer", sent=True)

    world._fence = fails  # type: ignore[method-assign]
    assert world.submit() == "outcome_unknown"
    assert world.states() == [("unknown", None)]


@pytest.mark.rule("SUB-11")
def test_what_was_ruled_out_goes_again_as_it_went_first(world: World) -> None:
    first_at = world.wall.now
    assert world.submit(answer="lost") == "outcome_unknown"
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE)
    assert world.submit() == "p-1"
    first, second = world.sent
    assert (second.reference, second.received_at) == (first.reference, first_at)
    # So a provider that knows keys takes the late one for the same.
    assert first.id != second.id


@pytest.mark.rule("SUB-11", "SUB-13", "TIME-1")
@pytest.mark.parametrize("later", [10 * 60 + 1, 3 * 3600, -3 * 3600])
def test_what_goes_again_much_later_sends_its_own_time(world: World, later: int) -> None:
    """The first one would be wrong for the guest. The reference stays: the clock may be wrong, the first one late."""
    assert world.submit(answer="lost") == "outcome_unknown"
    (row,) = world.ledger.reader.find()
    world.ledger.absences.rule_out(row, grace=timedelta(0))
    world.wall.advance(timedelta(seconds=later))
    assert world.submit(answer="lost") == "outcome_unknown"
    sent_at = world.wall.now
    first, late = world.sent
    assert first.reference == late.reference and late.received_at == sent_at
    # It then goes again as it went last.
    world.pass_by(60)
    assert world.submit() == "outcome_unknown"
    world.pass_by(GRACE)
    assert world.submit() == "p-1"
    assert (world.sent[-1].reference, world.sent[-1].received_at) == (first.reference, sent_at)


@pytest.mark.rule("SUB-11")
def test_after_a_refusal_it_goes_as_a_new_one(world: World) -> None:
    assert world.submit(answer=Refused("card_declined", "no")) == "card_declined"
    world.pass_by(5)
    assert world.submit() == "p-1"
    first, second = world.sent
    assert first.reference != second.reference and second.received_at == world.wall.now
    assert world.states() == [("not_placed", "refused"), ("placed", None)]


@pytest.mark.rule("SUB-9")
def test_each_try_has_a_last_look(world: World) -> None:
    looked: list[str] = []

    def place_order(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        looked.append("first")
        attempt.last_look(None)
        looked.append("second")
        row = world.ledger.reader.show(attempt.id)
        assert row is not None and row.state == "sending"
        world.pass_by(DEADLINE + GRACE)
        world.ledger.reader.open_submissions()
        attempt.last_look(None)
        raise AssertionError("sent")

    key = SubmissionKey(
        "deli", LOCATION, identities(LOCATION, content=b"c", keys=KEYS, idempotency_key="k"),
        content_digests(LOCATION, b"c", KEYS), None,
    )  # fmt: skip
    with pytest.raises(Failure) as failed:
        world.submissions.submit(key, place_order, world.find_order)
    assert looked == ["first", "second"]
    # An earlier try was sent: what became of it is not known.
    assert failed.value.code == "outcome_unknown"
    assert world.states() == [("unknown", None)]


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    "error",
    [Unanswered("provider_timeout", "late", sent=False), Refused("item_unavailable", "no")],
    ids=["unsent", "refused"],
)
def test_a_host_that_wakes_does_not_know_what_others_sent(world: World, error: Failure) -> None:
    """It was frozen at the mark. To find the order, another one sent it again, as a provider with keys allows."""

    def place_order(attempt: Attempt) -> Settlement:
        attempt.last_look(None)
        world.pass_by(DEADLINE + GRACE)
        world.looks = [Unanswered("provider_timeout", "no answer", sent=True)]
        assert world.submit() == "outcome_unknown"
        world.orders[attempt.reference] = "p-replayed"
        raise error

    with pytest.raises(Failure) as failed:
        world.submissions.submit(world.key("k"), place_order, world.find_order)
    assert failed.value.code == "outcome_unknown"
    assert world.states() == [("unknown", None)]
    assert world.submit() == "p-replayed"


@pytest.mark.rule("SUB-8", "SUB-5")
def test_the_order_of_another_is_not_reported(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.submit("ada") == "p-1"

    def mixed_up(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        return Settlement(Placed("p-1", "p-1", reference=None), {"order_id": "p-1"})

    key = SubmissionKey(
        "deli", LOCATION, identities(LOCATION, content=b"c", keys=KEYS, idempotency_key="bob"),
        content_digests(LOCATION, b"c", KEYS), None,
    )  # fmt: skip
    with pytest.raises(Failure) as failed:
        world.submissions.submit(key, mixed_up, world.find_order)
    assert failed.value.code == "outcome_unknown"
    assert world.states() == [("placed", None), ("unknown", None)]
    assert "order_of_another_submission" in caplog.text


@pytest.mark.rule("SUB-8")
def test_a_person_settles_an_order_whose_id_was_given_out(world: World) -> None:
    """The provider's ids have started again: each order has a reference of its own."""
    assert world.submit("ada") == "p-1"
    world.orders.clear()
    assert [world.submit("bob", b"soup"), world.submit("bob", b"soup")] == ["outcome_unknown"] * 2
    (bob,) = world.ledger.reader.open_submissions()
    with pytest.raises(Failure, match="nothing was changed"):
        world.submissions.reconciler.settle(bob, "p-1", "Sam")
    world.submissions.reconciler.settle(bob, "p-1 (Tuesday)", "Sam")
    assert [world.submit("bob", b"soup"), world.submit("ada")] == ["p-1 (Tuesday)", "p-1"]
    assert len(world.sent) == 2


@pytest.mark.rule("SUB-3", "SUB-2")
def test_a_new_key_for_an_unknown_order_finds_it_out(world: World) -> None:
    assert world.submit("a", answer="lost") == "outcome_unknown"
    assert world.submit("b") == "outcome_unknown"
    world.orders[world.sent[0].reference] = "p-late"
    assert [world.submit("b"), world.submit("b"), world.submit("a")] == ["p-late"] * 3
    assert len(world.sent) == 1
    assert world.submit("c") == "p-2"


@pytest.mark.rule("SUB-4", "SUB-5")
def test_what_another_host_has_found_meanwhile_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    world.orders[world.sent[0].reference] = "p-late"
    finds = world.find_order

    def hang(submission: Submission) -> Settlement | None:
        monkeypatch.setattr(world, "find_order", finds)
        assert world.submit() == "p-late"
        raise Unanswered("provider_timeout", "no answer", sent=True)

    monkeypatch.setattr(world, "find_order", hang)
    assert world.submit() == "p-late"


SOLD_OUT = Refused("item_unavailable", "sold out")


def come_late(world: World) -> None:
    """An order is refused, and a copy of its call is accepted later."""
    assert world.submit(answer=SOLD_OUT) == "item_unavailable"
    world.orders[world.sent[0].reference] = "p-late"
    world.find_refused = world.find_order


@pytest.mark.rule("SUB-8", "SUB-12")
def test_a_retry_gets_the_order_that_was_refused(world: World) -> None:
    come_late(world)
    assert world.submit() == world.submit() == "p-late"
    assert len(world.sent) == 1
    assert {row.reference for row in world.ledger.reader.find()} == {world.sent[0].reference}
    world.pass_by(61)
    assert world.look_again() == [None]


@pytest.mark.rule("SUB-8", "SUB-11")
@pytest.mark.parametrize("lost", ["UPDATE submissions SET state = 'claimed'", "DELETE FROM submissions"])
def test_what_a_retry_has_found_is_written_again(world: World, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    come_late(world)
    place = world.ledger.transitions.place

    def lose(id: str, **answer: Any) -> None:
        monkeypatch.undo()
        with world.ledger.database.connection() as connection:
            connection.execute(text(f"{lost} WHERE id = :id"), {"id": id})
        place(id, **answer)

    monkeypatch.setattr(world.ledger.transitions, "place", lose)
    assert world.submit() == world.submit() == "p-late"
    assert len(world.sent) == 1
    assert {row.reference for row in world.ledger.reader.find()} == {world.sent[0].reference}


@pytest.mark.rule("SUB-5", "SUB-8")
def test_what_a_retry_has_found_is_found_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host ended before it could record the order."""
    come_late(world)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.ledger.transitions, "place", die)
    with pytest.raises(KeyboardInterrupt):
        world.submit()
    monkeypatch.undo()
    world.pass_by(DEADLINE + GRACE + 1)
    assert world.submit() == "p-late" and len(world.sent) == 1


@pytest.mark.rule("SUB-8")
def test_a_guest_who_returns_to_the_refused_order_gets_it(world: World) -> None:
    come_late(world)
    assert world.submit(content=b"a salad", answer=SOLD_OUT) == "item_unavailable"
    assert world.submit(content=b"a salad", answer=SOLD_OUT) == "item_unavailable"
    assert world.submit() == "p-late" and len(world.sent) == 3


@pytest.mark.rule("SUB-2", "SUB-8")
def test_nothing_is_sent_behind_too_many_refusals(world: World) -> None:
    come_late(world)
    for number in range(MOST_REFUSED - 1):
        assert world.submit(content=b"%d salads" % number, answer=SOLD_OUT) == "item_unavailable"
    assert world.submit(content=b"soup") == "ledger_unavailable"
    world.looks = [Unanswered("provider_timeout", "no answer", sent=True)]
    assert world.submit() == "provider_timeout" and len(world.sent) == MOST_REFUSED
    world.pass_by(timedelta(days=8).total_seconds())
    assert world.submit(content=b"soup") == "p-2"


@pytest.mark.rule("SUB-12")
def test_a_finding_about_an_order_that_was_told_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command has found it a moment before the retry."""
    come_late(world)
    looked_again = world.ledger.findings.looked_again

    def late(*found: Any) -> None:
        monkeypatch.undo()
        assert world.submit() == "p-late"
        looked_again(*found)

    monkeypatch.setattr(world.ledger.findings, "looked_again", late)
    world.pass_by(61)
    assert world.look_again() == ["order_exists_but_ruled_out"]
    world.pass_by(600)
    assert world.look_again() == [None]
    assert not any(row.open_finding for row in world.ledger.reader.find())


@pytest.mark.rule("SUB-8")
def test_two_refusals_are_both_looked_for_in_turn(world: World) -> None:
    assert world.submit(answer=SOLD_OUT) == "item_unavailable"
    looked: list[str] = []

    def find_refused(refused: Submission) -> Settlement | None:
        looked.append(refused.reference)
        return world.find_order(refused)

    world.find_refused = find_refused
    world.looks = [Unanswered("provider_timeout", "no answer", sent=True)]
    assert world.submit() == "provider_timeout"
    assert world.submit(answer=SOLD_OUT) == "item_unavailable"
    assert world.submit() == "p-1"
    assert looked == [world.sent[0].reference, world.sent[0].reference, world.sent[1].reference]


@pytest.mark.rule("SUB-12")
def test_a_late_order_that_was_ruled_out_is_reported_to_a_person(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    (row,) = world.ledger.reader.find()
    assert world.submit(content=b"other") == "idempotency_key_reused"
    world.ledger.absences.rule_out(row, grace=timedelta(0))
    world.pass_by(60)
    assert world.look_again() == [None]
    world.orders[row.reference] = "p-late"
    world.pass_by(540)
    assert world.look_again() == ["order_exists_but_ruled_out"]
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR and "ruled" in record.msg]
    assert "cancel the order" in error.__dict__["remedy"] and error.__dict__["provider_order_id"] == "p-late"
    assert [found.id for found in world.ledger.reader.find(findings=True)] == [row.id]
    world.pass_by(3000)
    assert world.look_again() == ["order_exists_but_ruled_out"]


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("merged", [True, False])
def test_two_orders_of_one_submission_are_reported_to_a_person(world: World, merged: bool) -> None:
    world.fences = not merged
    assert world.submit(answer="lost") == "outcome_unknown"
    first = world.sent[0].reference
    assert world.submit() == ("outcome_unknown" if merged else "p-1")
    world.pass_by(GRACE)
    assert world.submit() == "p-1"
    # With one reference the look-up finds the order that was reported; behind a fence that failed it finds a second.
    world.orders.setdefault(first, "p-late")
    world.pass_by(60)
    assert world.look_again() == [None if merged else "two_orders_for_one_submission"]


@pytest.mark.rule("SUB-12")
def test_a_reference_held_twice_is_reported_to_a_person(world: World, caplog: pytest.LogCaptureFixture) -> None:
    settle = world._settlement
    world._settlement = lambda reference: replace(  # type: ignore[method-assign]
        settle(reference), placed=replace(settle(reference).placed, duplicates=("p-9",))
    )
    assert world.submit() == "p-1"
    assert "two_orders_for_one_submission" in caplog.text
    assert [row.finding for row in world.ledger.reader.find(findings=True)] == ["two_orders_for_one_submission"]


@pytest.mark.rule("SUB-12")
def test_an_order_sent_again_during_the_looks_is_no_finding(world: World) -> None:
    assert [world.submit(answer="lost"), world.submit()] == ["outcome_unknown"] * 2
    world.pass_by(GRACE)

    def send_again() -> None:
        world.while_asleep = lambda: None
        assert world.submit() == "p-1"

    world.while_asleep = send_again
    # Another process has ruled it out and sent it again under its reference: the order is that attempt's.
    assert world.submit() == "p-1"
    assert [len(world.sent), world.ledger.reader.find(findings=True)] == [2, ()]


@pytest.mark.rule("SUB-12", "PAY-2")
@pytest.mark.parametrize(("fences", "voids_cards"), [(True, True), (True, False), (False, False)])
def test_a_card_maybe_charged_without_order_is_reported(
    world: World, caplog: pytest.LogCaptureFixture, fences: bool, voids_cards: bool
) -> None:
    """A shop may charge a card, and then lose the order: that it takes no such order any more proves nothing of it."""
    world.fences, world.voids_cards = fences, voids_cards
    assert world.submit(answer="lost", card=True) == "outcome_unknown"
    world.submit(card=True)
    world.pass_by(GRACE)
    assert world.submit(card=True) == "p-1"
    found = [(row.finding, row.state) for row in world.ledger.reader.find(findings=True)]
    assert found == ([] if voids_cards else [("card_may_be_charged", "not_placed")])
    assert ("card_may_be_charged" in caplog.text) is not voids_cards


@pytest.mark.rule("SUB-12")
def test_a_look_again_waits_for_an_attempt_that_is_under_way(world: World) -> None:
    assert world.submit(answer="lost") == "outcome_unknown"
    (row,) = world.ledger.reader.find()
    world.ledger.absences.rule_out(row, grace=timedelta(0))
    assert world.submit(answer="lost") == "outcome_unknown"
    world.orders[row.reference] = "p-late"
    world.pass_by(60)
    with pytest.raises(Failure, match="in progress"):
        world.look_again()
    assert world.submit() == "p-late"
    assert world.look_again() == [None]


@pytest.mark.rule("SUB-2", "SUB-11")
@pytest.mark.parametrize("outcome", ["placed", "lost"])
def test_a_ledger_that_lost_the_submission_gets_it_back(world: World, outcome: str) -> None:
    def place_order(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        world.sent.append(attempt)
        _lose_rows(world.ledger)
        if outcome == "lost":
            raise Unanswered("provider_timeout", "no answer", sent=True)
        world.orders[attempt.reference] = "p-1"
        return world._settlement(attempt.reference)

    key = world.key("k")
    if outcome == "placed":
        assert world.submissions.submit(key, place_order, world.find_order).answer == {"order_id": "p-1"}
        assert world.submit() == "p-1"
    else:
        with pytest.raises(Failure):
            world.submissions.submit(key, place_order, world.find_order)
        assert world.submit() == "outcome_unknown"
    assert len(world.sent) == 1
    (row,) = world.ledger.reader.find()
    assert (row.id, row.reference, row.received_at) == (world.sent[0].id, world.sent[0].reference, world.wall.now)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("outcome", ["placed", "lost", "refused", "dies"])
def test_a_ledger_that_lost_the_mark_gets_it_back(world: World, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    """A copy takes over that knows the claim, and not that the order is being sent."""

    class Dies(BaseException):
        pass

    def place_order(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look({"cart": "c-1"})
        world.sent.append(attempt)
        _lose_mark(world.ledger)
        if outcome == "refused":
            raise Refused("item_unavailable", "no")
        world.orders[attempt.reference] = "p-1"
        if outcome == "placed":
            return world._settlement(attempt.reference)
        if outcome == "dies":
            monkeypatch.setattr(world.ledger.transitions, "lose", lose_once)
        raise Unanswered("provider_timeout", "no answer", sent=True)

    def lose_once(id: str, **kept: Any) -> None:
        # The second time, after the mark was set again, the process ends.
        if tries:
            raise Dies
        tries.append(id)
        lose(id, **kept)

    lose, tries = world.ledger.transitions.lose, list[str]()
    try:
        told = world.submissions.submit(world.key("k"), place_order, world.find_order).answer["order_id"]
    except Failure as failure:
        told = failure.code
    except Dies:
        told = "dies"
    expected = {"placed": "p-1", "lost": "outcome_unknown", "refused": "item_unavailable", "dies": "dies"}
    assert told == expected[outcome]
    (row,) = world.ledger.reader.find()
    state = {"placed": "placed", "lost": "unknown", "refused": "not_placed", "dies": "sending"}[outcome]
    assert (row.state, row.id) == (state, world.sent[0].id)
    if outcome != "refused":
        assert (row.trace, row.received_at) == ({"cart": "c-1"}, world.sent[0].received_at)
    world.pass_by(DEADLINE + GRACE + 1)
    # Neither a lease that ends nor another request places it again.
    assert world.submit() == "p-1"
    assert len(world.sent) == (2 if outcome == "refused" else 1)


def _found_late(world: World, lose: Callable[[Ledger], None]) -> Callable[[Submission], Settlement | None]:
    """A look-up that finds an order whose answer was lost; ``lose`` is done to the ledger while it looks."""
    assert world.submit(answer="lost") == "outcome_unknown"
    (attempt,) = world.sent
    world.orders[attempt.reference] = "p-1"
    find_order = world.find_order

    def lose_and_find(submission: Submission) -> Settlement | None:
        lose(world.ledger)
        return find_order(submission)

    return lose_and_find


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("by", ["channel", "command"])
def test_a_ledger_that_lost_the_mark_of_what_is_found(world: World, by: str) -> None:
    lose_and_find = _found_late(world, _lose_mark)
    if by == "channel":
        world.find_order = lose_and_find  # type: ignore[method-assign]
        assert world.submit() == "p-1"
    else:
        (unknown,) = world.ledger.reader.open_submissions()
        world.submissions.reconciler.reconcile(unknown, lose_and_find)
    world.pass_by(DEADLINE + GRACE + 1)
    assert world.submit() == "p-1"
    assert (world.states(), len(world.sent)) == ([("placed", None)], 1)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("loses", ["row", "mark"])
def test_a_ledger_that_lost_what_is_not_found_gets_it_back(world: World, loses: str) -> None:
    """To learn the outcome, it may have been sent again."""
    lose_and_find = _found_late(world, _lose_rows if loses == "row" else _lose_mark)

    def lose_and_hang(submission: Submission) -> Settlement | None:
        lose_and_find(submission)
        raise Unanswered("provider_timeout", "no answer", sent=True)

    world.find_order, finds = lose_and_hang, world.find_order  # type: ignore[method-assign]
    assert world.submit() == "outcome_unknown"
    assert world.states() == [("unknown", None)]
    world.find_order = finds  # type: ignore[method-assign]
    assert (world.submit(), len(world.sent)) == ("p-1", 1)


@pytest.mark.rule("SUB-5", "SUB-11")
def test_a_row_that_is_written_again_has_its_trace(world: World) -> None:
    def place_order(attempt: Attempt) -> Settlement:
        attempt.last_look({"cart": "c-1"})
        attempt.placement.begin()
        _lose_rows(world.ledger)
        raise Unanswered("provider_timeout", "no answer", sent=True)

    with pytest.raises(Failure, match="send the same submission again"):
        world.submissions.submit(world.key("k"), place_order, world.find_order)
    (row,) = world.ledger.reader.open_submissions()
    assert (row.state, row.trace) == ("unknown", {"cart": "c-1"})


@pytest.mark.rule("SUB-2", "SUB-11")
@pytest.mark.parametrize("times", [1, 2])
def test_a_ledger_that_lost_what_is_found_gets_it_back(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    lose_and_find = _found_late(world, _lose_rows)
    (attempt,) = world.sent
    restore = world.ledger.restorer.restore

    def with_another(*arguments: Any, **more: Any) -> None:
        # Two that found it at once: each writes the row.
        for _ in range(times):
            restore(*arguments, **more)

    monkeypatch.setattr(world.ledger.restorer, "restore", with_another)
    world.find_order = lose_and_find  # type: ignore[method-assign]
    assert world.submit() == "p-1"
    assert world.submit() == "p-1"
    assert len(world.sent) == 1
    (row,) = world.ledger.reader.find()
    assert (row.id, row.reference, row.state) == (attempt.id, attempt.reference, "placed")


@pytest.mark.rule("SUB-2", "SUB-11", "SUB-12")
def test_who_took_the_place_of_a_lost_submission_keeps_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def place_order(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        _lose_rows(world.ledger)
        assert world.submit() == "p-1"
        assert world.sent[-1].reference == attempt.reference
        return Settlement(Placed("p-9", "p-9", reference=attempt.reference), {"order_id": "p-9"})

    world.submissions.submit(world.key("k"), place_order, world.find_order)
    assert "two_orders_for_one_submission" in caplog.text
    assert world.submit() == "p-1"


@pytest.mark.rule("SUB-2", "SUB-11")
@pytest.mark.parametrize(
    ("outcome", "sends", "before"),
    [("placed", True, None), ("placed", False, None), ("lost", True, None), ("lost", False, None),
     ("placed", True, Refused("card_declined", "no"))],
    ids=["placed", "placed, unsent", "lost", "lost, unsent", "placed under another reference"],
)  # fmt: skip
def test_an_unsent_attempt_gives_way_to_a_lost_one(world: World, outcome: str, sends: bool, before: Any) -> None:
    if before is not None:
        # It goes on under the next reference; the ledger loses that, too.
        assert world.submit(answer=before) == before.code
        world.sent.clear()
    key, is_lost, is_claimed = world.key("k"), threading.Event(), threading.Event()

    def place_lost(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        world.sent.append(attempt)
        _lose_rows(world.ledger)
        is_lost.set()
        assert is_claimed.wait(30)
        if outcome == "lost":
            raise Unanswered("provider_timeout", "no answer", sent=True)
        world.orders[attempt.reference] = "p-1"
        return world._settlement(attempt.reference)

    def place_again(attempt: Attempt) -> Settlement:
        is_claimed.set()
        futures.wait([earlier])
        if sends:
            attempt.last_look(None)
            world.sent.append(attempt)
        raise Failure("provider_timeout", "no connection")

    with futures.ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(world.submissions.submit, key, place_lost, world.find_order)
        assert is_lost.wait(30)
        with pytest.raises(Failure) as later:
            world.submissions.submit(key, place_again, world.find_order)
    assert later.value.code == "outcome_unknown"
    (row,), (attempt,) = world.ledger.reader.find(), world.sent
    assert (row.id, row.state) == (attempt.id, "unknown" if outcome == "lost" else "placed")
    world.orders[attempt.reference] = "p-1"
    assert world.submit() == "p-1"


@pytest.mark.rule("SUB-2", "SUB-11", "SUB-12")
@pytest.mark.parametrize("by", ["placing", "looking"])
@pytest.mark.parametrize("ends", ["refused", "unsent", "placed"])
def test_a_found_order_settles_who_took_its_place(
    world: World, caplog: pytest.LogCaptureFixture, by: str, ends: str
) -> None:
    is_lost, is_sending = threading.Event(), threading.Event()

    def lose(reference: str) -> Settlement:
        _lose_rows(world.ledger)
        is_lost.set()
        assert is_sending.wait(30)
        world.orders[reference] = "p-1"
        return world._settlement(reference)

    def place_lost(attempt: Attempt) -> Settlement:
        attempt.placement.begin()
        attempt.last_look(None)
        return lose(attempt.reference)

    def place_again(attempt: Attempt) -> Settlement:
        attempt.last_look(None)
        is_sending.set()
        futures.wait([earlier])
        if ends == "placed":
            return world._settlement(attempt.reference)
        raise Refused("item_unavailable", "no") if ends == "refused" else Failure("provider_timeout", "no connection")

    if by == "looking":
        assert world.submit(answer="lost") == "outcome_unknown"
    find_lost = (lambda submission: lose(submission.reference)) if by == "looking" else world.find_order
    answers = []
    with futures.ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(world.submissions.submit, world.key("k"), place_lost, find_lost)
        assert is_lost.wait(30)
        try:
            later = world.submissions.submit(world.key("k"), place_again, world.find_order)
            answers.append(later.answer["order_id"])
        except Failure as failure:
            answers.append(failure.code)
    assert earlier.result().answer == {"order_id": "p-1"}
    assert answers == ["p-1" if ends == "placed" else "outcome_unknown"]
    assert [(row.state, row.provider_order_id, row.finding) for row in world.ledger.reader.find()] == [
        ("placed", "p-1", None)
    ]
    assert "order_exists_but_ruled_out" not in caplog.text
    assert world.submit() == "p-1"


def _lose_rows(ledger: Ledger) -> None:
    with ledger.database.connection() as connection:
        connection.execute(text("DELETE FROM submissions"))


def _lose_mark(ledger: Ledger) -> None:
    claimed = "state = 'claimed', sending_at = NULL, trace = NULL, received_at = NULL"
    with ledger.database.connection() as connection:
        connection.execute(text(f"UPDATE submissions SET {claimed}"))
