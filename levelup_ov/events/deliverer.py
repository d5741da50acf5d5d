"""Delivers what is in the outbox, beside the requests of a worker, or for a command.

A thread asks the ledger for what is due and hands it to others, each with one event at a time. A receiver that fails
gets one event at a time, after pauses that grow, until it accepts one. So it slows neither another receiver nor an
order: no thread of a request delivers anything. Claims end by themselves, so hosts and workers need not know of one
another.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from levelup_ov.events.receivers import CHANNEL, OPERATOR, Receiver, Receivers
from levelup_ov.events.sending import PATIENCE, Send, SendFailed
from levelup_ov.ledger.deliveries import Deliveries, Delivery
from levelup_ov.ledger.engine import LedgerUnavailable

POLL = 0.25
"""Seconds between two looks while nothing is due."""
PAUSE = 0.02
"""Seconds between two looks at least, so that each finds several events in busy times."""
LANES = {CHANNEL: 6, OPERATOR: 2}
"""Events that a process delivers at once, by group."""
TERM = timedelta(seconds=3 * PATIENCE)
"""For how long an event is claimed."""
LONGEST_BACKOFF = 600.0
"""Seconds between two attempts at an event, at most."""
LONGEST_CLOSED = 60.0
"""Seconds until a receiver that failed is tried again, at most."""
TIDY_EVERY = 600.0
"""Seconds between two deletions of what was accepted long ago."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gate:
    """What this process knows of a receiver: failures in a row, until when it is left alone, events under way."""

    failures: int = 0
    closed_until: float = 0.0
    under_way: int = 0

    def room(self, now: float) -> int:
        """How many more events it may get now."""
        most = 1 if self.failures else max(LANES.values())
        return 0 if now < self.closed_until else most - self.under_way

    def ended(self, failed: SendFailed | None, now: float) -> None:
        """A delivery has ended. Those that were under way beside one that failed do not count again."""
        self.under_way -= 1
        if failed is None or not failed.is_down:
            self.failures, self.closed_until = 0, 0.0
        elif now >= self.closed_until:
            self.failures += 1
            self.closed_until = now + max(_backoff(self.failures, LONGEST_CLOSED), failed.wait)


class Deliverer:
    """Delivers for one process. ``now`` measures pauses, in seconds."""

    def __init__(
        self, deliveries: Deliveries, receivers: Receivers, send: Send, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How many events came to which end: accepted, waiting (they are tried again) or parked."""
        self._deliveries = deliveries
        self._receivers = receivers
        self._send = send
        self._now = now
        self._gates: dict[str, _Gate] = {}
        self._lanes = dict(LANES)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(sum(LANES.values()), thread_name_prefix="events")
        self._tidy_at = now() + TIDY_EVERY

    def start(self) -> None:
        """Deliver in the background from now on."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def stop(self) -> None:
        """Begin no further delivery; those under way end by themselves."""
        self._stopped.set()
        self._wake.set()
        self._pool.shutdown(wait=False)

    def drain(self, seconds: float) -> None:
        """Deliver what is due, for at most ``seconds`` and the time of one attempt.

        :raises LedgerUnavailable: the ledger cannot be read or written.
        """
        end = self._now() + seconds
        while not self._stopped.is_set():
            self._wake.clear()
            began = self._begin() if self._now() < end else 0
            if not began and not self._under_way():
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
        """Begin to deliver what is due; returns how many events."""
        began = 0
        for name in self._deliveries.receivers():
            receiver = self._receivers.get(name)
            if receiver is None:
                continue
            with self._lock:
                gate = self._gates.setdefault(name, _Gate())
                room = min(gate.room(self._now()), self._lanes[receiver.group])
            if room <= 0:
                continue
            claimed = self._deliveries.claim(name, limit=room, term=TERM)
            with self._lock:
                gate.under_way += len(claimed)
                self._lanes[receiver.group] -= len(claimed)
            for delivery in claimed:
                self._pool.submit(self._deliver, receiver, gate, delivery)
            began += len(claimed)
        return began

    def _deliver(self, receiver: Receiver, gate: _Gate, delivery: Delivery) -> None:
        failed: SendFailed | None = None
        try:
            try:
                self._send(receiver, delivery)
            except SendFailed as failure:
                failed = failure
            self._record(delivery, failed)
        except LedgerUnavailable:
            log.warning("event_not_recorded", extra={"event": delivery.id, "receiver": delivery.receiver})
        except Exception as error:
            # One event must not stop the others.
            failed = SendFailed("internal", is_down=True)
            log.error("event_not_delivered", extra={"event": delivery.id}, exc_info=error)
        finally:
            with self._lock:
                gate.ended(failed, self._now())
                self._lanes[receiver.group] += 1
            self._wake.set()

    def _record(self, delivery: Delivery, failed: SendFailed | None) -> None:
        if failed is None:
            self._deliveries.accept(delivery)
            self.counts["accepted"] += 1
            return
        wait = max(_backoff(delivery.attempts, LONGEST_BACKOFF), failed.wait)
        state = self._deliveries.fail(delivery, failed.problem, wait=timedelta(seconds=wait))
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
        remedy = "see what the receiver answers, then `levelup-ov events replay`"
        log.error("events_parked", extra={**facts, "more": more, "remedy": remedy})

    def _tidy(self) -> None:
        if self._now() >= self._tidy_at:
            self._tidy_at = self._now() + TIDY_EVERY
            self._deliveries.purge()

    def _under_way(self) -> int:
        with self._lock:
            return sum(gate.under_way for gate in self._gates.values())


def _backoff(attempts: int, longest: float) -> float:
    """Seconds until the next attempt: they double, and a random part keeps receivers from being hit all at once."""
    return random.uniform(0.75, 1) * min(2.0**attempts, longest)
