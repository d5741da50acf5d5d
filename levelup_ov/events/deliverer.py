"""Delivers what is in the outbox, beside the requests of a worker, or for a command.

A thread asks the ledger for what is due and hands it to others, each with one event at a time. A receiver that fails
gets one event at a time, after pauses that grow, until it accepts one. Those that have not yet accepted anything, or
failed last, have threads of their own. So they slow neither another receiver nor an order: no thread of a request
delivers anything. Claims end by themselves, so hosts and workers need not know of one another.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from levelup_ov.events.receivers import AGENT, CHANNEL, OPERATOR, Receiver, Receivers, is_agent
from levelup_ov.events.sending import LONGEST_WAIT, PATIENCE, Send, SendFailed
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.event_deliveries import AT_ONCE, EventDeliveries, EventDelivery

POLL = 0.25
"""Seconds between two looks while nothing is due."""
PAUSE = 0.02
"""Seconds between two looks at least, so that each finds several events in busy times."""
LANES = {CHANNEL: 6, OPERATOR: 2, AGENT: 4}
"""Events that a process sends at once to a receiver, by group."""
CLAIMED = {CHANNEL: 32, OPERATOR: 4, AGENT: 16}
"""Events that it has claimed at once for it: with more than lanes, none of these waits for the ledger."""
MOST_LANES = {True: 64, False: 256}
"""Events that it sends at once to receivers that accepted the last one, and to all others, each of which has one."""
TERM = timedelta(seconds=3 * PATIENCE)
"""For how long an event is claimed."""
LONGEST_BACKOFF = 600.0
"""Seconds between two attempts at an event, at most."""
LONGEST_CLOSED = 60.0
"""Seconds until a receiver that failed is tried again, at most."""
TIDY_EVERY = 600.0
"""Seconds between two deletions of what was accepted long ago, and two looks for what waits too long."""
TIDY_ON = 1.0
"""The same while there is more."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gate:
    """What this process knows of a receiver.

    ``is_sound``: it has accepted the last event. ``failures``: in a row. ``closed_until``: until when it is left alone.
    ``under_way``: events that are claimed; ``claimed`` are those that no lane has yet, each with the time until which
    an attempt may start. ``lanes``: how many send.
    """

    receiver: Receiver
    is_sound: bool = False
    failures: int = 0
    closed_until: float = 0.0
    looked_at: float = 0.0
    under_way: int = 0
    lanes: int = 0
    claimed: deque[tuple[EventDelivery, float]] = field(default_factory=deque)

    def room(self, now: float) -> int:
        """How many more events it may get now."""
        most = CLAIMED[self.receiver.group] if self.is_sound else 1
        return 0 if now < self.closed_until else most - self.under_way

    def ended(self, failed: SendFailed | None, now: float) -> None:
        """A delivery has ended. Others that were under way when one failed do not count again."""
        self.is_sound = failed is None or not failed.is_down
        if self.is_sound:
            self.failures, self.closed_until = 0, 0.0
        elif failed is not None and now >= self.closed_until:
            self.failures += 1
            self.closed_until = now + max(_backoff(self.failures, LONGEST_CLOSED), failed.wait)


class Deliverer:
    """Delivers for one process. ``now`` measures pauses, in seconds."""

    def __init__(
        self, deliveries: EventDeliveries, receivers: Receivers, send: Send, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How many events came to which end: accepted, waiting (they are tried again) or parked."""
        self._deliveries = deliveries
        self._receivers = receivers
        self._send = send
        self._now = now
        self._gates: dict[str, _Gate] = {}
        self._doubtful = 0
        self._nobody: set[str] = set()
        self._accepted: list[EventDelivery] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        # By whether the receiver has accepted its last event.
        self._pools = {is_sound: ThreadPoolExecutor(most, "events") for is_sound, most in MOST_LANES.items()}
        self._tidy_at = now() + TIDY_EVERY

    def start(self) -> None:
        """Deliver in the background from now on."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def stop(self) -> None:
        """Claim no further event; what was claimed is delivered while the process ends."""
        self._stopped.set()
        self._wake.set()
        for pool in self._pools.values():
            pool.shutdown(wait=False)

    def drain(self, seconds: float) -> None:
        """Deliver what is due, for at most ``seconds`` and the time of one attempt.

        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        end = self._now() + seconds
        self._recall()
        while not self._stopped.is_set():
            self._wake.clear()
            if is_late := self._now() >= end:
                self._record_accepted()
            began = 0 if is_late else self._begin()
            if not began and self._is_idle():
                return
            self._wake.wait(POLL)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                began = self._begin()
                self._tidy()
            except LedgerUnavailable:
                # It is logged where it is noticed.
                began = 0
            except Exception as error:
                if self._stopped.is_set():
                    return
                log.error("events_not_delivered", exc_info=error)
                began = 0
            self._stopped.wait(PAUSE) if began else self._wake.wait(POLL)

    def _begin(self) -> int:
        """Record what was accepted, and start to deliver what is due; returns how many events."""
        began = 0
        self._record_accepted()
        for gate in self._waiting():
            with self._lock:
                room, is_sound = gate.room(self._now()), gate.is_sound
                if not is_sound:
                    room = min(room, MOST_LANES[False] - self._doubtful)
            if room <= 0:
                continue
            gate.looked_at = self._now()
            until = gate.looked_at + TERM.total_seconds() - PATIENCE
            claimed = self._deliveries.claim(gate.receiver.name, limit=room, term=TERM)
            with self._lock:
                gate.under_way += len(claimed)
                gate.claimed.extend((delivery, until) for delivery in claimed)
                more = max(min(len(gate.claimed), LANES[gate.receiver.group] - gate.lanes), 0)
                gate.lanes += more
                self._doubtful += 0 if is_sound else more
            for _ in range(more):
                self._pools[is_sound].submit(self._run_lane, gate, is_sound)
            began += len(claimed)
        return began

    def _waiting(self) -> list[_Gate]:
        """The receivers for whom something is waiting; if there are more than lanes, they take turns."""
        gates = []
        for name in self._deliveries.receivers():
            if (receiver := self._receivers.get(name)) is not None:
                gates.append(self._gates.setdefault(name, _Gate(receiver)))
            else:
                self._nobody.add(name)
        return sorted(gates, key=lambda gate: gate.looked_at)

    def _run_lane(self, gate: _Gate, is_sound: bool) -> None:
        """Deliver what is claimed for a receiver, one event at a time, until nothing is left."""
        while True:
            with self._lock:
                if not gate.claimed:
                    gate.lanes -= 1
                    self._doubtful -= 0 if is_sound else 1
                    break
                delivery, until = gate.claimed.popleft()
            self._deliver(gate, delivery, until)
        self._wake.set()

    def _deliver(self, gate: _Gate, delivery: EventDelivery, until: float) -> None:
        """``until``: an attempt that starts later may end after the claim."""
        failed: SendFailed | None = None
        is_sent = gate.closed_until <= self._now() < until
        try:
            if not is_sent:
                # The receiver has failed since it was claimed, or is slow.
                self._deliveries.give_back(delivery)
                return
            try:
                self._attempt(gate.receiver, delivery)
                with self._lock:
                    self._accepted.append(delivery)
                if self._stopped.is_set():
                    self._record_accepted()
            except SendFailed as failure:
                failed = failure
                self._record_failure(delivery, failure)
        except LedgerUnavailable:
            log.warning("event_not_recorded", extra={"event": delivery.id, "receiver": delivery.receiver})
        except Exception as error:
            log.error("event_not_recorded", extra={"event": delivery.id}, exc_info=error)
        finally:
            with self._lock:
                gate.under_way -= 1
                if is_sent:
                    gate.ended(failed, self._now())
            self._wake.set()

    def _attempt(self, receiver: Receiver, delivery: EventDelivery) -> None:
        """:raises SendFailed: the receiver has not accepted it."""
        try:
            self._send(receiver, delivery)
        except SendFailed:
            raise
        except Exception as error:
            # One event must not stop the others.
            log.error("event_not_delivered", extra={"event": delivery.id}, exc_info=error)
            raise SendFailed("internal", is_down=False) from None

    def _record_accepted(self) -> None:
        """Record all that was accepted since, at once."""
        with self._lock:
            accepted, self._accepted = self._accepted, []
        if not accepted:
            return
        try:
            self._deliveries.accept(*accepted)
        except LedgerUnavailable:
            with self._lock:
                self._accepted += accepted
            raise
        self.counts["accepted"] += len(accepted)

    def _record_failure(self, delivery: EventDelivery, failed: SendFailed) -> None:
        wait = timedelta(seconds=max(_backoff(delivery.attempts, LONGEST_BACKOFF), failed.wait))
        state = self._deliveries.fail(delivery, failed.problem, wait=wait, is_final=failed.is_final)
        facts = {
            "event": delivery.id,
            "receiver": delivery.receiver,
            "attempts": delivery.attempts,
            "problem": failed.problem,
        }
        self.counts[state] += 1
        if state == "waiting":
            log.warning("event_not_accepted", extra=facts)
            return
        more = self._deliveries.park(delivery.receiver) if failed.is_down else 0
        self.counts[state] += more
        facts["more"] = more
        if is_agent(delivery.receiver) and not failed.is_final:
            log.warning("agent_events_parked", extra=facts)
            return
        remedy = "see what the receiver answers, then `levelup-ov events replay`"
        if failed.is_final:
            remedy = "if a key was removed from LEVELUP_OV_SECRET_KEYS, put it back, then `levelup-ov events replay`"
        log.error("events_parked", extra={**facts, "remedy": remedy})

    def _tidy(self) -> None:
        if self._now() >= self._tidy_at:
            for name in self._nobody:
                if parked := self._deliveries.park(name):
                    remedy = "configure the receiver again, then `levelup-ov events replay --parked`"
                    facts = {"receiver": name, "problem": "not_configured", "more": parked, "remedy": remedy}
                    log.error("events_parked", extra=facts)
            deleted = max(self._deliveries.purge(), self._deliveries.purge_parked(AGENT))
            is_done = max(deleted, self._recall()) < AT_ONCE
            self._tidy_at = self._now() + (TIDY_EVERY if is_done else TIDY_ON)

    def _recall(self) -> int:
        return self._deliveries.recall(timedelta(seconds=max(LONGEST_BACKOFF, LONGEST_WAIT)))

    def _is_idle(self) -> bool:
        with self._lock:
            return not self._accepted and not any(gate.under_way for gate in self._gates.values())


def _backoff(attempts: int, longest: float) -> float:
    """Seconds until the next attempt: they double, and a random part keeps receivers from being hit all at once."""
    return random.uniform(0.75, 1) * min(2.0 ** min(attempts, 16), longest)
