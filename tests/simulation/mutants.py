"""The product with one rule put back to the old way, each as a patch: to show that the simulation would notice."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

from adapters import fftp, sandbox
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.ledger import identity, matches, references, transitions
from levelup_ov.ledger.absences import Absences
from levelup_ov.ledger.matches import Matches
from levelup_ov.ledger.reading import SubmissionReader
from levelup_ov.ledger.records import Claimed, Submission, Superseded
from levelup_ov.ledger.restoring import Restorer
from levelup_ov.ledger.rows import Rows
from levelup_ov.ledger.sights import Sights
from levelup_ov.ledger.transitions import Transitions
from levelup_ov.ordering import metadata, reconciling, reported_orders
from levelup_ov.ordering.outcomes import OutcomeRecorder
from levelup_ov.ordering.reconciling import Fence, Reconciler
from levelup_ov.transport import connections, session
from levelup_ov.transport.connections import SendState
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.session import Session
from tests.simulation import network, world
from tests.simulation.network import Network
from tests.simulation.providers import Sandbox
from tests.simulation.repeating import ReplayingFftp
from tests.simulation.world import World

Mutant = Callable[[], AbstractContextManager[object]]

patch = mock.patch.object
_init, _settle = Session.__init__, SendState.settle
_exchange_init, _fail = SendState.__init__, Transitions.fail


@contextmanager
def _all(*patches: AbstractContextManager[object]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def _always_kept(self: SendState, *, keep: bool, understood: bool = False) -> None:
    self.surplus = False
    _settle(self, keep=self.is_answered, understood=True)


def _shared(self: Session, *arguments: Any, own: bool = False, **more: Any) -> None:
    _init(self, *arguments, own=False, **more)


def shared_connections() -> AbstractContextManager[object]:
    """Submissions use the account's connections, which take back whatever was answered."""
    return _all(patch(Session, "__init__", _shared), patch(SendState, "settle", _always_kept),
                patch(reported_orders, "check_reference", _nothing), _no_echo())  # fmt: skip


def shared_connections_alone() -> AbstractContextManager[object]:
    """As above, but what the provider says back is still compared."""
    return _all(patch(Session, "__init__", _shared), patch(SendState, "settle", _always_kept))


def _nothing(*_: object, **__: object) -> None:
    pass


def _no_echo() -> AbstractContextManager[object]:
    return _all(patch(fftp, "_check_echo", _nothing), patch(sandbox, "_check_echo", _nothing))


def answer_of_another() -> AbstractContextManager[object]:
    """Nobody compares the reference that the provider says back."""
    return _all(
        patch(reported_orders, "check_reference", _nothing), _no_echo(), patch(fftp.FftpAdapter, "_kept", _unkept)
    )


def _unkept(self: Any, order_id: str, reference: str, customer: str | None, session: Session) -> Any:
    try:
        path = f"/fftp/v1/orders/{order_id}/paid"
        return session.post(path, {"paid": True}, headers=self._admin(), repeatable=True).object()
    except Failure:
        return JSONObject({"paid": False, "payment_proof": fftp.PROOF + reference})


def order_not_kept() -> AbstractContextManager[object]:
    """A 404 for the order that was just made is ignored, and nothing is compared with it."""
    stack = ExitStack()
    stack.enter_context(patch(fftp.FftpAdapter, "_kept", _unkept))
    stack.enter_context(patch(fftp, "_check_lines", lambda *_: None))
    return stack


def _any_2xx(reply: Any, request: Any, also: Any) -> None:
    if not reply.ok:
        _check_status(reply, request, also)


_check_status = session._check_status


def any_2xx() -> AbstractContextManager[object]:
    """Every status of success proves what the call asks."""
    return patch(session, "_check_status", _any_2xx)


def _find_in_rows(self: Any, location: Any, reference: str, trace: Any, session: Session) -> Any:
    orders = JSONObject({"orders": session.get("/fftp/v1/orders", headers=self._admin()).json()}).each("orders")
    for order in orders:
        if order.text("payment_proof", "") == fftp.PROOF + reference:
            return self._finish(order, order.instant("created_at"), session, customer=None, discounted=None)
    return None


def rows_unread() -> AbstractContextManager[object]:
    """A row without the member that decides is not an order of ours."""
    return patch(fftp.FftpAdapter, "find_order", _find_in_rows)


def _look_at_once(self: SendState, *arguments: Any, **more: Any) -> None:
    _exchange_init(self, *arguments, **more)
    if self._last_look is not None:
        self._last_look()
        self._looked = True


def _unlimited_resolve(self: Network, host: str, port: int, seconds: float) -> Any:
    self.kernel.point("resolve")
    if self.slow_names:
        self.kernel.wait(self.slow_names.pop())
    return [host]


def _send_whatever_the_clock_says(self: Any, exchange: SendState) -> None:
    exchange.look()
    if World.current is not None:
        World.current.network.is_readable(self.sock)


def connects_after_the_mark() -> AbstractContextManager[object]:
    """Name look-up and connection come after the mark, and the look-up takes as long as it takes."""
    return _all(patch(SendState, "__init__", _look_at_once), patch(Network, "resolve", _unlimited_resolve),
                patch(connections._DeadlineMixin, "_look", _send_whatever_the_clock_says),
                patch(connections._DeadlineMixin, "_new_conn", _connect_patiently))  # fmt: skip


def _connect_patiently(self: Any) -> Any:
    network = World.current.network  # type: ignore[union-attr]
    sock = network.connect(network.resolve(self._dns_host, self.port, 0), 3.05)
    exchange = connections.current_exchange.get(None)
    if exchange is not None:
        exchange.connected = True
    return sock


def _look_without_clock(self: Session, trace: Any) -> None:
    self.placement.look(trace)
    self.placement.begin()


def no_clock_after_the_mark() -> AbstractContextManager[object]:
    """The deadline is checked before the mark only."""
    return _all(patch(Session, "_look", _look_without_clock),
                patch(connections._DeadlineMixin, "_look", _send_whatever_the_clock_says))  # fmt: skip


def _sleepless(self: Network) -> float:
    task = self.kernel.current
    return self.kernel.now - (task.process.slept if task is not None else 0.0)


def clock_stops_asleep() -> AbstractContextManager[object]:
    """The deadline's clock does not count the time for which a host was frozen."""
    return patch(Network, "now", _sleepless)


def _one_look(self: Reconciler, submission: Submission, *_: Any) -> None:
    not_before = (submission.sending_at or submission.claimed_at) + self._lease
    if submission.seen_at < not_before:
        raise reconciling._too_early(not_before - submission.seen_at)


def _absent_at_once(self: Absences, *_: object) -> timedelta:
    return timedelta(0)


def one_look() -> AbstractContextManager[object]:
    """One look after the lease is proof."""
    return _all(patch(Reconciler, "_look_twice", _one_look), patch(Absences, "_remaining", _absent_at_once))


def _two_looks(
    self: Reconciler, submission: Submission, find_order: Any, calls: Any, asked_at: int, deadline: Any
) -> None:
    self._check_absence(submission, asked_at)


def no_last_look() -> AbstractContextManager[object]:
    """Two looks a grace apart are proof, although the provider may have woken just before the second."""
    return patch(Reconciler, "_look_twice", _two_looks)


def absent_at_once() -> AbstractContextManager[object]:
    """What the provider does not have, it never gets."""
    return _all(patch(Absences, "_remaining", _absent_at_once), patch(Reconciler, "_look_twice", _nothing))


def wall_clock_leases() -> AbstractContextManager[object]:
    """Leases are measured by the hosts' wall clocks."""
    from levelup_ov.ledger.boot_clock import Observer

    wall = Observer("everybody's", lambda: int(world._wall() * 1000))
    return patch(World, "observer", lambda self, name: wall)


def fresh_references() -> AbstractContextManager[object]:
    """Every attempt has a reference of its own."""
    return patch(identity, "reference_of", lambda *_, **__: lambda generation: str(uuid.uuid4()))


def _all_marks(key: bytes, guest: Any) -> list[str]:
    return ["anybody"]


def carts_of_anybody() -> AbstractContextManager[object]:
    """What comes back sealed is bound to no guest, and the provider does not know either."""
    return _all(patch(metadata, "_marks", _all_marks), patch(sandbox, "_guest", lambda order: ["anybody"]),
                patch(Sandbox, "knows_owners", False))  # fmt: skip


def no_fence() -> AbstractContextManager[object]:
    """The provider's absence counts as if it had been fenced."""
    return patch(sandbox.SandboxAdapter, "fence_order", _nothing)


def _lost_is_failed(self: Transitions, id: str, **_: object) -> None:
    _fail(self, id)


def unknown_is_not_placed() -> AbstractContextManager[object]:
    """An outcome that is not proven counts as not placed."""
    return patch(Transitions, "lose", _lost_is_failed)


def _forgotten(*arguments: Any, **more: Any) -> tuple[identity.Identity, ...]:
    return tuple(replace(each, digests=(uuid.uuid4().hex,)) for each in _identities(*arguments, **more))


_identities = identity.identities


def forgetful_claims() -> AbstractContextManager[object]:
    """A claim forgets what it is recognized by."""
    return _all(patch(identity, "identities", _forgotten), patch(identity, "with_kept", lambda found, *_: found),
                fresh_references(), content_is_free())  # fmt: skip


def content_is_free() -> AbstractContextManager[object]:
    """The content of an order whose outcome is unknown can be sent under another identity."""
    return patch(identity, "content_digests", lambda *_: (uuid.uuid4().hex,))


def sockets_close() -> AbstractContextManager[object]:
    """What a host could not send yet is sent when it can be, however late."""
    return _all(patch(network.Socket, "reset", _nothing), patch(network.Socket, "limit_sending", _nothing))


def _not_recorded(self: OutcomeRecorder, id: str, settlement: Any, was: object = None) -> None:
    self._ledger.transitions.fail(id)


def _fail_whatever(self: Transitions, id: str, ended: Any = "unsent") -> None:
    try:
        _fail(self, id, ended)
    except Superseded:
        self.disprove(id)


def owners_know_all() -> AbstractContextManager[object]:
    """A slow owner that has sent nothing, or was refused, says so of what others have sent to find the order, too."""
    return patch(Transitions, "fail", _fail_whatever)


def placed_is_not_recorded() -> AbstractContextManager[object]:
    """What was placed is recorded as not placed."""
    return patch(OutcomeRecorder, "record", _not_recorded)


def _believed(self: Reconciler, submission: Submission, find_order: Any, calls: Any) -> Any:
    try:
        return find_order(submission)
    except Unanswered:
        return None


def silence_is_absence() -> AbstractContextManager[object]:
    """A look-up that fails says that there is no order."""
    return _all(patch(Reconciler, "_look", _believed))


def _unlimited(unlimited: float) -> float:
    return unlimited


def patient_ledger() -> AbstractContextManager[object]:
    """The ledger takes as long as it takes, whatever the deadline."""
    from levelup_ov.ledger import limits

    return patch(limits, "remaining", _unlimited)


def refusal_after_silence() -> AbstractContextManager[object]:
    """A refusal proves that there is no order, although an earlier try of the call had no answer."""
    return patch(Placement, "refused", lambda self, *, before, sent: True)


def sending_is_not_in_doubt() -> AbstractContextManager[object]:
    """Another identity is not compared with an order that is being sent, however long."""
    return _all(patch(Matches, "may_be_given_up", lambda *_: False), slow_is_not_in_doubt())


def slow_is_not_in_doubt() -> AbstractContextManager[object]:
    """Another identity is compared with an order that is being sent from the deadline after the mark on only."""
    return patch(matches, "SLOW", timedelta(days=1))


def absence_is_kept() -> AbstractContextManager[object]:
    """A look-up that fails or is slow does not start the wait again."""
    return patch(Absences, "distrust", _nothing)


def one_generation() -> AbstractContextManager[object]:
    """After a fence or a refusal the reference stays the same."""
    return patch(references, "_is_over", lambda *_: False)


def lost_rows_stay_lost() -> AbstractContextManager[object]:
    """The process that places an order does not write its row once more."""
    return patch(Restorer, "restore", _nothing)


def lost_marks_stay_lost() -> AbstractContextManager[object]:
    """The process that places an order does not mark its row once more."""
    return patch(Transitions, "begin_sending", _marked_once)


def _marked_once(self: Transitions, id: str, **how: Any) -> None:
    if (row := self._reader.show(id)) is not None and row.state == "claimed" and id in _MARKED:
        raise Superseded("begin_sending", row)
    _MARKED.add(id)
    _begin_sending(self, id, **how)


_MARKED: set[str] = set()


def expired_is_not_placed() -> AbstractContextManager[object]:
    """When the lease of an order that was being sent is over, it counts as not placed."""
    return patch(Rows, "resolve_expired", _expired)


_resolve_expired = Rows.resolve_expired


def _expired(self: Rows, cursor: Any, submission: Submission) -> Submission:
    found = _resolve_expired(self, cursor, submission)
    return replace(found, state="not_placed", ended="unsent") if found.state == "unknown" else found


def any_boots_clock() -> AbstractContextManager[object]:
    """Times of another boot are compared with one's own."""
    return patch(Sights, "is_mine", lambda *_: True)


def placing_is_repeated() -> AbstractContextManager[object]:
    """A placing call without an answer is sent again at once."""
    return patch(Session, "_exchange", _repeated)


_exchange = Session._exchange


def _repeated(self: Session, request: Any, repeatable: bool, *arguments: Any) -> Any:
    return _exchange(self, request, True, *arguments)


def fence_after_the_look() -> AbstractContextManager[object]:
    """The provider is asked first and fenced then."""
    return patch(Reconciler, "reconcile", _fenced_late)


_reconcile = Reconciler.reconcile


def _fenced_late(self: Reconciler, submission: Submission, find_order: Any, *, fence: Any = None, **how: Any) -> Any:
    found: list[Any] = []

    def look_first(asked: Submission) -> None:
        found.append(find_order(asked))
        fence.order(asked)

    look = (lambda asked: found.pop()) if fence else find_order
    return _reconcile(self, submission, look, fence=Fence(look_first) if fence else None, **how)


_begin_sending, _place, _lose = Transitions.begin_sending, Transitions.place, Transitions.lose


def _after(settle: Callable[..., None]) -> Callable[..., None]:
    def settle_marked(self: Transitions, id: str, **how: Any) -> None:
        with suppress(Superseded):
            _begin_sending(self, id, lease=timedelta(seconds=world.DEADLINE + world.GRACE))
        settle(self, id, **how)

    return settle_marked


def mark_after_send() -> AbstractContextManager[object]:
    """An order is marked as being sent when its call has ended."""
    return _all(patch(Transitions, "begin_sending", _nothing), patch(Transitions, "check_sending", _nothing),
                patch(Transitions, "place", _after(_place)), patch(Transitions, "lose", _after(_lose)))  # fmt: skip


_fence_order = sandbox.SandboxAdapter.fence_order


def fence_of_nothing() -> AbstractContextManager[object]:
    """The provider is made to refuse another reference than the one that was sent."""
    return patch(sandbox.SandboxAdapter, "fence_order", lambda self, location, reference, trace, session:
                 _fence_order(self, location, str(uuid.uuid4()), trace, session))  # fmt: skip


def _is_held(self: Matches, cursor: Any, match: references.Match) -> bool:
    found = match.submission
    if found.state != "placed" or found.settled_at is None:
        return found.state != "not_placed"
    return found.seen_at < found.settled_at + matches.WINDOWS[match.kind]


def windows_by_the_wall_clock() -> AbstractContextManager[object]:
    """The wall clock says when an equal order is another one."""
    return patch(Matches, "is_held", _is_held)


def _any_order(self: Any, location: Any, reference: str, trace: Any, session: Session) -> Any:
    rows = JSONObject({"orders": session.get("/fftp/v1/orders", headers=self._admin()).json()}).each("orders")
    found = next((row for row in rows if not row.boolean("paid")), None)
    return found and self._finish(found, found.instant("created_at"), session, customer=None, discounted=None)


def foreign_reference() -> AbstractContextManager[object]:
    """The newest order that is not paid is the one that is looked for, whatever its reference."""
    return _all(patch(fftp.FftpAdapter, "find_order", _any_order), patch(reported_orders, "check_reference", _nothing))


def no_later_looks() -> AbstractContextManager[object]:
    """What was ruled out is not looked up again."""
    return patch(Reconciler, "look_again", lambda self, submission, _: self._ledger.findings.looked_again(submission))


def _fail_for_good(self: Transitions, id: str, ended: Any = "unsent") -> None:
    with patch(transitions, "FIRST_PAUSE", None):
        _fail(self, id, ended)


def no_looks_after_a_refusal() -> AbstractContextManager[object]:
    """What was refused is not looked up again."""
    return patch(Transitions, "fail", _fail_for_good)


def no_look_before_a_retry() -> AbstractContextManager[object]:
    """What is sent again after a refusal is placed, whatever became of a copy of the refused call."""
    return patch(SubmissionReader, "refused_before", _nothing)


def each_attempt_its_reference() -> AbstractContextManager[object]:
    """What is sent again after it was ruled out has another reference."""
    return patch(references, "_is_over", lambda *_: True)


_restore = Restorer.restore


def _restore_alone(self: Restorer, claim: Claimed, **row: Any) -> None:
    kinds = identity.kinds_of(row["identities"])
    found = self._database.run(lambda cursor, _: self._matches.of(cursor, kinds))
    if any(other.submission.id != claim.id and other.submission.state == "claimed" for other in found):
        raise Superseded("restore", None)
    _restore(self, claim, **row)


def unsent_attempts_stay() -> AbstractContextManager[object]:
    """Who has lost its row writes it again only if nobody has claimed the submission since."""
    return patch(Restorer, "restore", _restore_alone)


def found_means_found_late() -> AbstractContextManager[object]:
    """An order of what was ruled out is a finding, even if a later attempt has placed it."""
    return patch(OutcomeRecorder, "finding", lambda *_: "order_exists_but_ruled_out")


def _refused_for_good(self: ReplayingFftp, *order: Any) -> Any:
    try:
        return _submit_order(self, *order)
    except Refused:
        order[-1].placement.begin()
        raise


_submit_order = ReplayingFftp.submit_order


def every_refusal_rules_out() -> AbstractContextManager[object]:
    """Any call that is refused when an order is sent again to find it shows that there is none."""
    return patch(ReplayingFftp, "submit_order", _refused_for_good)


def called_off_is_placed() -> AbstractContextManager[object]:
    """The content of an order stays taken although nobody makes it any more."""
    return patch(Matches, "is_called_off", _never)


def canceling_is_placed() -> AbstractContextManager[object]:
    """An order counts as placed while it may have been canceled."""
    return patch(Matches, "may_be_called_off", _never)


def _never(*_: object) -> bool:
    return False


MUTANTS: Mapping[str, Mutant] = {
    each.__name__: each
    for each in (
        shared_connections, shared_connections_alone, answer_of_another, order_not_kept, any_2xx, rows_unread,
        connects_after_the_mark, no_clock_after_the_mark, clock_stops_asleep, one_look, no_last_look, absent_at_once,
        wall_clock_leases, fresh_references, carts_of_anybody, no_fence, content_is_free,
        sockets_close, patient_ledger, unknown_is_not_placed, forgetful_claims, placed_is_not_recorded,
        silence_is_absence, owners_know_all,
        refusal_after_silence, sending_is_not_in_doubt, slow_is_not_in_doubt, absence_is_kept, one_generation,
        lost_rows_stay_lost, lost_marks_stay_lost, expired_is_not_placed, any_boots_clock, placing_is_repeated,
        fence_after_the_look,
        mark_after_send, fence_of_nothing, windows_by_the_wall_clock, foreign_reference, no_later_looks,
        no_looks_after_a_refusal, no_look_before_a_retry,
        called_off_is_placed, canceling_is_placed,
        each_attempt_its_reference, unsent_attempts_stay, found_means_found_late, every_refusal_rules_out,
    )
}  # fmt: skip
COVERED: Mapping[str, str] = {
    "check_sending before each further try": "before the deadline nobody else settles a submission that is being sent, "
    "and after it the clock of the last look stops the try: clock_stops_asleep shows that one",
}
"""Rules that no trial can show, because another one hides what they prevent, and which."""
QUICK = (
    "shared_connections", "answer_of_another", "order_not_kept", "absent_at_once", "unknown_is_not_placed",
    "forgetful_claims", "placed_is_not_recorded", "one_look",
)  # fmt: skip
"""Those that are found within a few hundred trials."""
