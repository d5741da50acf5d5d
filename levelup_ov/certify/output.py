"""The results of a run, for people, programs and CI.

The JSON document (``"format": 1``; members may be added, none changes its meaning)::

    {"format": 1, "service": "...", "strict": false, "submitted": false, "status": 0, "stopped": null,
     "locations": ["..."], "locations_left_out": 0, "requests": 0, "seconds": 0.0,
     "counts": {"pass": 0, "violation": 0, "deviation": 0, "not applicable": 0},
     "rule_counts": {"pass": 0, "violation": 0, "deviation": 0, "not applicable": 0},
     "not_judged": [{"rule": "...", "check": "...", "reason": "..."}],
     "orders": [{"location": "...", "order_id": "..."}],
     "rules": [{"id": "EP-1", "sources": ["..."], "text": "...", "result": "pass", "reason": null,
                "checks": [{"title": "...", "grade": "required", "result": "pass", "passes": 1,
                            "failures": [{"location": "...", "detail": "...", "request": "...", "answer": "..."}],
                            "reasons": [{"location": "...", "reason": "..."}]}]}]}

``counts`` counts checks, ``rule_counts`` rules; the result of a rule is the worst result of its checks.
``not_judged``: what could not be checked, rules without any check first. ``status`` is the exit status; ``result`` is
one of the names in ``counts``; ``grade`` is ``required`` or ``decision``; a location is null for the whole service.
The key, the card number and values of ``user_`` members never appear.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import TEST_CARD
from levelup_ov.certify.report import RESULTS, Check, Result
from levelup_ov.certify.run import Plan, RunResult

Style = Callable[[str, Result], str]

_LONGEST = 2000
_SHOWN_FAILURES = 3
_USER_VALUE = re.compile(r'("user_[^"]*"\s*:\s*)"[^"]*"')
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SYMBOLS: dict[Result, str] = {"pass": "✓", "violation": "✗", "deviation": "!", "not applicable": "·"}


@dataclass(frozen=True)
class Findings:
    """An outcome with its plan; ``seconds`` is how long the run took."""

    plan: Plan
    outcome: RunResult
    strict: bool
    seconds: float

    @property
    def status(self) -> int:
        """0: all passed. 1: violations, with ``strict`` also deviations. 2: the run stopped early."""
        counts = self.outcome.report.counts()
        if counts["violation"] or (self.strict and counts["deviation"]):
            return 1
        return 2 if self.outcome.stopped else 0

    def as_json(self) -> str:
        """The document that this module's docstring describes."""
        outcome, counts = self.outcome, self.outcome.report.counts()
        document = {
            "format": 1,
            "service": self.plan.url,
            "strict": self.strict,
            "submitted": self.plan.submit,
            "status": self.status,
            "stopped": outcome.stopped,
            "locations": list(outcome.places),
            "locations_left_out": outcome.left_out,
            "requests": outcome.requests,
            "seconds": round(self.seconds, 1),
            "counts": {result: counts[result] for result in RESULTS},
            "rule_counts": {result: outcome.report.rule_counts()[result] for result in RESULTS},
            "not_judged": [
                {"rule": rule, "check": check or None, "reason": self._clean(reason)}
                for rule, check, reason in outcome.report.not_judged()
            ],
            "orders": [
                {"location": location, "order_id": self._clean(id) if isinstance(id, str) else id}
                for location, id in outcome.report.orders
            ],
            "rules": [
                {
                    "id": rule.id,
                    "sources": list(rule.sources),
                    "text": rule.text,
                    "result": result,
                    "reason": reason,
                    "checks": [self._check(check) for check in checks],
                }
                for rule, result, checks, reason in outcome.report.by_rule()
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def as_junit(self) -> str:
        """JUnit XML: one case for each check, its class the rule. Deviations fail with ``strict`` only.

        Not junitparser: these are 35 lines.
        """
        report = self.outcome.report
        cases = [(rule, check) for rule, _, checks, _ in report.by_rule() for check in checks]
        failing = {"violation", "deviation"} if self.strict else {"violation"}
        passed_over = {"deviation", "not applicable"} - failing
        suite = ElementTree.Element(
            "testsuite",
            name="levelup-ov certify",
            tests=str(len(cases)),
            failures=str(sum(check.result in failing for _, check in cases)),
            skipped=str(sum(check.result in passed_over for _, check in cases)),
            errors="1" if self.outcome.stopped else "0",
            time=f"{self.seconds:.3f}",
        )
        for rule, check in cases:
            name = f"{check.title} (decision)" if check.decision else check.title
            case = ElementTree.SubElement(suite, "testcase", classname=rule.id, name=self._xml(name))
            if check.result in failing:
                failure = ElementTree.SubElement(
                    case, "failure", type=check.result, message=self._xml(check.failures[0].detail)
                )
                failure.text = self._xml("\n".join([rule.text, *self._failures(check)]))
            elif check.result in passed_over:
                words = check.failures[0].detail if check.failures else "; ".join(dict.fromkeys(check.reasons.values()))
                ElementTree.SubElement(case, "skipped", message=self._xml(f"{check.result}: {words}"))
        if self.outcome.stopped:
            case = ElementTree.SubElement(suite, "testcase", classname="run", name="the run completes")
            ElementTree.SubElement(case, "error", message=self.outcome.stopped)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)

    def lines(self, style: Style, width: int | None = None) -> Iterator[str]:
        """The table; failures with request, answer and the rule's text; and a summary."""
        width = width or shutil.get_terminal_size((100, 24)).columns
        for rule, result, checks, reason in self.outcome.report.by_rule():
            about = reason or self._about(checks, result) or rule.text
            head = f" {_SYMBOLS[result]} {rule.id:<9} {result:<15}"
            line = f"{head}{self._clean(about)}"
            yield style(line if len(line) <= width else f"{line[: width - 1]}…", result)
        for rule, result, checks, _ in self.outcome.report.by_rule():
            failed = [check for check in checks if check.failures]
            if not failed:
                continue
            yield ""
            yield style(f"{rule.id} {result}", result)
            yield f"  {rule.text}"
            for check in failed:
                yield style(f"  {_SYMBOLS[check.result]} {check.title}", check.result)
                for failure in self._failures(check):
                    yield from (f"    {line}" for line in failure.splitlines())
        yield ""
        yield from self._summary(style)

    def _summary(self, style: Style) -> Iterator[str]:
        outcome, counts = self.outcome, self.outcome.report.counts()
        if outcome.report.orders:
            yield f"{len(outcome.report.orders)} orders were placed:"
            for place in outcome.places:
                if ids := [str(id) for location, id in outcome.report.orders if location == place]:
                    yield self._clean(f"  {place}: {', '.join(ids)}")
        for location, words in outcome.report.refusals().items():
            yield self._clean(f"{location} accepted no order: {words}")
        if outcome.left_out:
            yield f"{outcome.left_out} locations were left out; name them with --location"
        if outcome.stopped:
            yield style(f"The run ended early: {outcome.stopped}.", "violation")
        unseen = list(outcome.report.not_judged())
        if unseen:
            yield "Not judged:"
            for rule, title, reason in unseen:
                yield self._clean(f"  {rule:<9} {title + ': ' if title else ''}{reason}")
        places = len(outcome.places)
        color: Result = "pass" if self.status == 0 else "violation"
        yield style(f"rules: {_counted(outcome.report.rule_counts())}", color)
        yield style(
            f"checks: {_counted(counts)}; {places} location{'s' * (places != 1)}, {outcome.requests} requests in "
            f"{self.seconds:.1f} s",
            color,
        )

    def _about(self, checks: Collection[Check], result: Result) -> str | None:
        worst = [check for check in checks if check.result == result]
        if result in ("violation", "deviation"):
            return "; ".join(check.title for check in worst)
        return None

    def _failures(self, check: Check) -> Iterator[str]:
        for failure in check.failures[:_SHOWN_FAILURES]:
            where = f"{failure.location}: " if failure.location else ""
            yield self._clean(f"{where}{failure.detail}")
            if failure.exchange is not None:
                yield f"> {self._request(failure.exchange)}\n< {self._answer(failure.exchange)}"
        if (more := len(check.failures) - _SHOWN_FAILURES) > 0:
            yield f"and {more} more"

    def _check(self, check: Check) -> dict[str, Any]:
        return {
            "title": check.title,
            "grade": "decision" if check.decision else "required",
            "result": check.result,
            "passes": check.passes,
            "failures": [
                {
                    "location": failure.location,
                    "detail": self._clean(failure.detail),
                    "request": self._request(failure.exchange) if failure.exchange else None,
                    "answer": self._answer(failure.exchange) if failure.exchange else None,
                }
                for failure in check.failures
            ],
            "reasons": [
                {"location": location, "reason": self._clean(reason)} for location, reason in check.reasons.items()
            ],
        }

    def _request(self, exchange: RoundTrip) -> str:
        names = ("Content-Type", "Content-Encoding", "Idempotency-Key", "If-None-Match")
        headers = "".join(f" {name}: {exchange.sent[name]}" for name in names if name in exchange.sent)
        return self._clean(f"{exchange.method} {exchange.path}{headers}{_body(exchange.body or b'')}")

    def _answer(self, exchange: RoundTrip) -> str:
        return self._clean(f"{exchange.failure or exchange.status}{_body(exchange.content)}")

    def _clean(self, text: str) -> str:
        """``text`` without secrets, even if the service sent one back."""
        for secret, name in ((self.plan.key, "[key]"), (TEST_CARD, "[test card]")):
            text = text.replace(secret.reveal(), name)
        return _USER_VALUE.sub(r'\1"[credential]"', text)

    def _xml(self, text: str) -> str:
        return _NOT_XML.sub("\ufffd", self._clean(text))


def _counted(counts: Counter[Result]) -> str:
    return ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])


def _body(content: bytes) -> str:
    if not content:
        return ""
    text = content[:_LONGEST].decode("utf-8", "backslashreplace")
    more = f"... ({len(content)} bytes)" if len(content) > _LONGEST else ""
    return f"\n  {text}{more}"
