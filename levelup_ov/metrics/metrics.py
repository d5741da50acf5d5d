"""What the service counts, and the page that shows it.

A request costs a few entries of a dictionary, under one lock. A thread of each worker publishes them every second, in
memory that all workers read; so the page is right whichever worker makes it, and what a killed worker had counted is
lost for its last second only.
"""

from __future__ import annotations

import logging
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

import levelup_ov
from levelup_ov.config import Settings
from levelup_ov.metrics.families import WATCHED
from levelup_ov.metrics.history import History, reduced
from levelup_ov.metrics.shared import SharedParts
from levelup_ov.metrics.tally import Families, Key, Numbers, count, merge, observe, pack, unpack
from levelup_ov.transport.session import Call

METRICS = "levelup_ov.metrics"
"""The extension of the application for the server."""
EVERY = 1.0
"""Seconds between two times that a worker publishes."""
SELDOM = 10.0
"""Seconds between them where there is much to publish."""
FRESH = 30.0
"""Seconds after which what a worker uses is not counted any more: it is dead."""
PARTS = 4
"""Places for each worker: while they are renewed, old and new ones run beside one another."""

_ROOM, _ROOM_OF_ACCOUNT = 32 * 1024, 2 * 1024
_MOST_EVENTS = 100
_EVENT = re.compile(r"[a-z][a-z_]{1,60}")
_EFFORT = 100
"""Publishing may take a hundredth of a worker's time, however many accounts there are."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastHour:
    """``counts`` have the labels of :func:`levelup_ov.metrics.history.reduced`; ``in_use`` is of the present.

    ``seconds``: how long it was; 0: since the start of the process.
    """

    counts: Numbers
    in_use: Numbers
    seconds: float


class Metrics:
    """The numbers of this process, beside those of the others.

    ``sample`` gives what is in use at present, ``totals`` what others have counted since the start of the process.
    """

    def __init__(
        self, settings: Settings, sample: Callable[[], Numbers], totals: Callable[[], Mapping[Key, float]]
    ) -> None:
        self._parts = SharedParts(PARTS * settings.workers, _ROOM + _ROOM_OF_ACCOUNT * len(settings.accounts))
        self._history = History(self._parts.number, len(settings.accounts))
        self._sample = sample
        self._totals = totals
        self._seen: Mapping[Key, float] = {}
        self._part: int | None = None
        self._counts: Numbers = {("levelup_ov_events_total", event): 0 for event in WATCHED}
        self._events = 0
        self._is_reported = False
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._stopped = threading.Event()
        self._constant: Numbers = {
            ("levelup_ov_build_info", levelup_ov.__version__, platform.python_version()): 1,
            ("levelup_ov_deadline_seconds", "validate_order"): settings.validation_deadline,
            ("levelup_ov_deadline_seconds", "submit_order"): settings.submission_deadline,
            ("levelup_ov_deadline_seconds", "show_menu"): settings.reading_deadline,
            ("levelup_ov_deadline_seconds", "list_locations"): settings.reading_deadline,
        }

    def request(self, operation: str, outcome: str, account: str | None, seconds: float, calls: Iterable[Call]) -> None:
        """Count a request that was answered, and its calls to providers."""
        account = account or ""
        with self._lock:
            counts = self._counts
            count(counts, ("levelup_ov_requests_total", operation, outcome, account))
            observe(counts, ("levelup_ov_request_seconds", operation), seconds)
            for call in calls:
                reply = call.failure or f"{(call.status or 0) // 100}xx"
                count(counts, ("levelup_ov_provider_calls_total", account, operation, reply))
                observe(counts, ("levelup_ov_provider_call_seconds", account, operation), call.milliseconds / 1000)

    def event(self, name: str) -> None:
        """Count a line of the log; of lines that say something else each time, none."""
        key = ("levelup_ov_events_total", name)
        with self._lock:
            if key not in self._counts:
                self._events += 1
                if self._events > _MOST_EVENTS or not _EVENT.fullmatch(name):
                    return
            count(self._counts, key)

    def page(self, accept: str, more: Mapping[Key, float]) -> tuple[bytes, str]:
        """The numbers of all workers and ``more``, in a form that ``accept`` names, and its media type."""
        registry = CollectorRegistry()
        registry.register(Families({**self._all(), **more}))
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type

    def last_hour(self) -> LastHour:
        """What all workers that run now have counted within about an hour, and what they use."""
        in_use = self._publish()
        with self._lock:
            mine = dict(self._counts)
        counts: Numbers = {}
        if self._part is None:
            # Outside of the server there is one process, and nothing is kept.
            return LastHour(reduced(mine), in_use, 0.0)
        longest = 0.0
        for part in range(self._parts.number):
            content, age = self._parts.read(part)
            if content and age < FRESH:
                now, gauges = unpack(content) if part != self._part else (mine, {})
                before, since = self._history.hour_ago(part)
                for key, value in reduced(now).items():
                    count(counts, key, value - before.get(key, 0))
                merge(in_use, gauges)
                longest = max(longest, since)
        return LastHour(counts, in_use, longest)

    def join(self, part: int, in_use: Callable[[], Numbers]) -> None:
        """Be the worker with this number: go on counting where the one before has ended, and publish.

        ``in_use``: what the worker itself has to say.
        """
        sample = self._sample
        self._sample = lambda: {**sample(), **in_use()}
        logging.getLogger().addHandler(_EventHandler(self))
        if part >= self._parts.number:
            log.warning("metrics_without_a_place")
            return
        before, _ = unpack(self._parts.read(part)[0])
        with self._lock:
            merge(self._counts, before)
        self._part = part
        threading.Thread(target=self._publish_on, name="metrics", daemon=True).start()

    def leave(self) -> None:
        """Publish for the last time."""
        self._stopped.set()
        self._publish()

    def _publish_on(self) -> None:
        pause = EVERY
        while not self._stopped.wait(pause):
            began = time.thread_time()
            try:
                self._publish()
            except Exception:
                log.exception("metrics_not_published")
            pause = min(max(EVERY, _EFFORT * (time.thread_time() - began)), SELDOM)

    def _publish(self) -> Numbers:
        """Publish the numbers of this process; gives what it uses."""
        gauges = {("levelup_ov_workers",): 1.0, **self._constant, **self._sample()}
        with self._publishing:
            totals = self._totals()
            with self._lock:
                for key, total in totals.items():
                    count(self._counts, key, total - self._seen.get(key, 0))
                counts = dict(self._counts)
            self._seen = totals
            if self._part is not None:
                self._history.keep(self._part, counts)
            if self._part is None or self._parts.publish(self._part, pack(counts, gauges)) or self._is_reported:
                return gauges
        self._is_reported = True
        log.warning("metrics_too_many")
        return gauges

    def _all(self) -> Numbers:
        # Published before it is shown: what another worker shows next is never less.
        found = self._publish()
        with self._lock:
            found.update(self._counts)
        for part in range(self._parts.number):
            if part != self._part:
                content, age = self._parts.read(part)
                counts, gauges = unpack(content)
                merge(found, counts)
                if age < FRESH:
                    merge(found, gauges)
        return found


class _EventHandler(logging.Handler):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__(logging.WARNING)
        self._metrics = metrics

    def emit(self, record: logging.LogRecord) -> None:
        self._metrics.event(record.msg if isinstance(record.msg, str) else "")
