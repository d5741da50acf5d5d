"""Endpoints for the operator of the service; they need no key."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, g

from levelup_ov.blueprints.http import json_response
from levelup_ov.domain.failure import Failure

Check = Callable[[], None]

PATIENCE = 0.25
"""How many seconds a caller waits for a check before the response says that it has not finished."""

log = logging.getLogger(__name__)


def blueprint(checks: Mapping[str, Check], document: Callable[[], dict[str, Any]]) -> Blueprint:
    """``checks`` raise what is wrong; ``document`` is the OpenAPI document."""
    status = Blueprint("status", __name__)
    running = {name: SharedCheck(name, check) for name, check in checks.items()}

    @status.get("/health")
    def health() -> Response:
        return json_response({"status": "ok"})

    @status.get("/ready")
    def ready() -> Response:
        results = {name: check.result() for name, check in running.items()}
        sound = all(result.error is None for result in results.values())
        # The details may name hosts and files, so only callers with a key get them.
        shown = {name: result.told if g.has_key else result.error or "ok" for name, result in results.items()}
        return json_response({"status": "ok" if sound else "not ready", "checks": shown}, 200 if sound else 503)

    @status.get("/openapi.json")
    def openapi() -> Response:
        return json_response(document())

    return status


class Result:
    """The result of a check: ``error`` is the kind of fault, None if there is none; ``told`` has the details."""

    def __init__(self, error: str | None, told: str) -> None:
        self.error = error
        self.told = told


class SharedCheck:
    """Runs a check once for all concurrent callers, in its own thread, so a slow database blocks nobody."""

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
            return Result("Timeout", f"no answer after {seconds:.1f} seconds")
        return run.result

    def _find(self, run: _Run) -> None:
        try:
            self._check()
            run.result = Result(None, "ok")
        except Exception as error:
            told = error.message if isinstance(error, Failure) else type(error).__name__
            run.result = Result(type(error).__name__, told)
        if run.result.error != self._last:
            # Log each change once: probes come every few seconds.
            log.log(
                logging.INFO if run.result.error is None else logging.ERROR,
                "readiness_changed",
                extra={"check": self._name, "error": run.result.error, "reason": run.result.told},
            )
            self._last = run.result.error
        run.done.set()


class _Run:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done = threading.Event()
        self.result: Result | None = None
