"""Endpoints for the operator of the service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request

from levelup_ov.blueprints.http import json_response
from levelup_ov.domain.failure import Failure
from levelup_ov.ledger.records import Backlog
from levelup_ov.metrics import Metrics
from levelup_ov.metrics.tally import Key
from levelup_ov.redaction import shield

Check = Callable[[], Any]
InLedger = tuple[Sequence[Backlog], Sequence[Any]]
"""What is not settled, and what is not delivered (:class:`levelup_ov.ledger.event_deliveries.Waiting`)."""

PATIENCE = 0.25
"""How many seconds a caller waits for a check before the response says that it has not finished."""

log = logging.getLogger(__name__)


def blueprint(ledger: SharedCheck, document: Callable[[], dict[str, Any]], metrics: Metrics) -> Blueprint:
    """``ledger`` finds what is not done yet; ``document`` is the OpenAPI document."""
    status = Blueprint("status", __name__)

    @status.get("/health")
    def health() -> Response:
        return json_response({"status": "ok"})

    @status.get("/ready")
    def ready() -> Response:
        result = ledger.result()
        sound = result.error is None
        # What is wrong may name hosts and files: only for those with a key.
        shown = {"ledger": result.details if g.has_key else result.error or "ok"}
        return json_response({"status": "ok" if sound else "not ready", "checks": shown}, 200 if sound else 503)

    @status.get("/metrics")
    def show_metrics() -> Response:
        content, media_type = metrics.page(request.headers.get("Accept", ""), _of_ledger(ledger.result()))
        return Response(shield(content), content_type=media_type)

    @status.get("/openapi.json")
    def openapi() -> Response:
        return json_response(document())

    return status


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a check: ``error`` is the kind of fault, None if there is none; ``details`` says more.

    ``value`` is what the check gave, ``seconds`` how long it took.
    """

    error: str | None
    details: str
    seconds: float
    value: Any = None


def _of_ledger(result: Result) -> dict[Key, float]:
    """What a check of the ledger says, for Prometheus."""
    found: dict[Key, float] = {
        ("levelup_ov_ready",): result.error is None,
        ("levelup_ov_ledger_seconds",): result.seconds,
    }
    backlogs, outbox = result.value or ((), ())
    for backlog in backlogs:
        found["levelup_ov_submissions", backlog.account, backlog.state] = backlog.number
        age = backlog.age.total_seconds()
        found["levelup_ov_submissions_oldest_seconds", backlog.account, backlog.state] = age
    for waiting in outbox:
        found["levelup_ov_outbox", waiting.receiver, waiting.state] = waiting.count
        found["levelup_ov_outbox_oldest_seconds", waiting.receiver, waiting.state] = waiting.age.total_seconds()
    return found


class SharedCheck:
    """Runs a check once for all concurrent callers, in its own thread, so a slow database blocks no caller."""

    def __init__(self, name: str, check: Check) -> None:
        self._name = name
        self._check = check
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._last: str | None = None

    def result(self) -> Result:
        """What the check finds now."""
        with self._lock:
            run = self._run
            if run is None or run.done.is_set():
                run = self._run = _Run()
                threading.Thread(target=self._find, args=(run,), daemon=True, name=f"check {self._name}").start()
        run.done.wait(max(run.started + PATIENCE - time.monotonic(), 0))
        if run.result is None:
            seconds = time.monotonic() - run.started
            return Result("Timeout", f"no answer after {seconds:.1f} seconds", seconds)
        return run.result

    def _find(self, run: _Run) -> None:
        try:
            value = self._check()
            run.result = Result(None, "ok", time.monotonic() - run.started, value)
        except Exception as error:
            details = error.message if isinstance(error, Failure) else type(error).__name__
            run.result = Result(type(error).__name__, details, time.monotonic() - run.started)
        if run.result.error != self._last:
            # Log each change once: probes come every few seconds.
            log.log(
                logging.INFO if run.result.error is None else logging.ERROR,
                "readiness_changed",
                extra={"check": self._name, "error": run.result.error, "reason": run.result.details},
            )
            self._last = run.result.error
        run.done.set()


class _Run:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done = threading.Event()
        self.result: Result | None = None
