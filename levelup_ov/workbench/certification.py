"""Runs of the certification against this service, in a thread each; any worker shows how far one is."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from levelup_ov.certify import CannotRun, Plan, RunResult, run
from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.output import Findings
from levelup_ov.certify.report import Report
from levelup_ov.workbench.shared_memory import Shelf

PLACES, ROOM = 8, 1024 * 1024
EVERY = 0.25
"""Seconds between two times that a run says how far it is."""
SHOWN_FAILURES = 3
"""Failures of a check that are shown, as on the command line."""


class Certifications:
    """All runs, the latest of them readable."""

    def __init__(self) -> None:
        self._shelf = Shelf(PLACES, ROOM)

    def start(self, plan: Plan) -> str:
        """Start a run; returns its id."""
        id = str(uuid.uuid4())
        self._shelf.put(id, {"state": "running", "step": "merchants and locations"})
        threading.Thread(target=self._run, args=(id, plan), name="certification", daemon=True).start()
        return id

    def show(self, id: str) -> Any:
        """The state of a run and its results so far; None if it is not kept any more."""
        return self._shelf.get(id)

    def _run(self, id: str, plan: Plan) -> None:
        began, step = time.monotonic(), ""

        def publish(state: str, outcome: RunResult, **more: Any) -> None:
            findings = _short(Findings(plan, outcome, False, time.monotonic() - began))
            self._shelf.put(id, {"state": state, "step": step, **findings, **more})

        def so_far() -> None:
            publish("running", RunResult(report, plan.locations, 0, 0, None))

        def progress(words: str) -> None:
            nonlocal step
            step = words
            so_far()

        report = _Watched(so_far)
        try:
            publish("finished", run(plan, progress, report=report))
        except (CannotRun, ValueError) as error:
            publish("failed", RunResult(report, plan.locations, 0, 0, None), reason=str(error))


class _Watched(Report):
    """Calls ``report`` now and then when a check was recorded."""

    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__()
        self._report = report
        self._next = time.monotonic() + EVERY

    def expect(
        self,
        rule: str,
        title: str,
        met: bool,
        exchange: RoundTrip | None = None,
        detail: str = "",
        *,
        decision: bool = False,
    ) -> bool:
        result = super().expect(rule, title, met, exchange, detail, decision=decision)
        if time.monotonic() >= self._next:
            self._report()
            self._next = time.monotonic() + EVERY
        return result


def _short(findings: Findings) -> dict[str, Any]:
    """The document of the command line, without what the page knows."""
    document = json.loads(findings.as_json())
    for rule in document["rules"]:
        del rule["text"], rule["sources"]
        for check in rule["checks"]:
            check["left_out"] = max(len(check["failures"]) - SHOWN_FAILURES, 0)
            del check["failures"][SHOWN_FAILURES:]
    return {name: document[name] for name in ("rules", "rule_counts", "orders", "requests", "seconds", "stopped")}
