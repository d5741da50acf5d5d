"""The results of a run: checks by rule, each passed, failed or not applicable, with the failed round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.contract import Rule, rules

Result = Literal["pass", "violation", "deviation", "not applicable"]
RESULTS: tuple[Result, ...] = ("violation", "deviation", "pass", "not applicable")
"""The worst first."""

PRICED = "an order made from the menu is priced"
"""The check of EP-4 at each location."""
UNSEEN: Mapping[str, str] = {
    "EP-4": "no order could be made from a menu",
    "LOC-3": "a location that cannot be read needs a provider that fails",
    "DELIVERY-4": "what is kept of an address is visible only to the operator",
    "EP-14": "only the provider knows what it needs from a user",
    "MENU-7": "only the provider knows what is sold out; the adapter's contract suite has a refusal for it",
    "MENU-9": "watching menus is a command of the operator",
    "MENU-8": "nothing was refused as sold out, with its path",
    "MONEY-10": "this needs a provider that changes its price; the adapter's contract suite has one",
    "MONEY-11": "discounts are visible only at the provider",
    "MONEY-12": "no answer to the channel has the food of each item",
    "MENU-6": "what a menu leaves out is visible only at the provider",
    "META-3": "carts are visible only at the provider",
    "META-6": "the service returned no account",
    "META-7": "the service returned no account",
    "PAY-4": "charges are visible only at the provider",
    "EP-13": "caching is visible only at the provider",
    "META-10": "only the service sees whose values it opens",
    "SUB-7": "connections are visible only at the provider",
    "SUB-8": "only the provider shows whose order an answer is about; the adapter's contract suite has cases",
    "SUB-9": "late requests are visible only at the provider",
    "SUB-10": "this needs a provider that fails; the adapter's contract suite has one",
    "SUB-11": "this needs more than one host",
    "SUB-12": "late findings are visible only at the provider",
    "SUB-13": "the ledger is visible only to its operator",
    "STAT-3": "only the provider shows whose status an answer is; the adapter's contract suite has cases",
    "STAT-4": "only the provider knows when a status changed",
    "STAT-5": "watching orders is a command of the operator",
    "STAT-6": "the provider of no location reports order status",
    "STAT-7": "interrupting the service is left to its operator",
    **{f"WEB-{number}": "web checkout is not part of the channel's interface" for number in range(1, 8)},
    **{
        f"EVT-{number}": "events go to receivers, which the channel's interface does not show"
        for number in range(1, 10)
    },
    **{f"UCP-{number}": "agents have an interface of their own" for number in range(1, 17)},
    "SUB-5": "an unknown outcome needs a provider that fails; the adapter's contract suite has one",
}
"""Why the channel cannot check a rule, or could not this time."""
_NO_OCCASION = "no location allowed this check"
_NEEDS_SUBMIT = "orders are placed only with --submit"
_OF_SUBMISSIONS = frozenset(
    {
        "EP-5", "META-2", "META-4", "META-5", "PAY-1", "PAY-2", "PAY-3", "STAT-1", "STAT-2", "SUB-1", "SUB-2", "SUB-3",
        "STAT-6", "SUB-4", "TIME-11",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """One failure of a check. ``location`` is None if it concerns the whole service."""

    location: str | None
    detail: str
    exchange: RoundTrip | None


@dataclass(slots=True)
class Check:
    """One requirement of a rule, over all locations.

    ``decision``: this project chose the form; another would not harm channel or user.
    ``reasons``: why it did not apply, by location.
    """

    rule: str
    title: str
    decision: bool
    passes: int = 0
    failures: list[CheckFailure] = field(default_factory=list)
    reasons: dict[str | None, str] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """Over all locations."""
        if self.failures:
            return "deviation" if self.decision else "violation"
        return "pass" if self.passes else "not applicable"


class Report:
    """Collects the results of a run. ``location`` is the one being checked, None for the whole service."""

    def __init__(self) -> None:
        self.location: str | None = None
        self.checks: dict[tuple[str, str, bool], Check] = {}
        self.orders: list[tuple[str, Any]] = []
        self.submits = False

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
        """Record ``met`` as the result of a check; returns it."""
        check = self._check(rule, title, decision)
        if met:
            check.passes += 1
        else:
            words = detail or (exchange.words if exchange else "")
            check.failures.append(CheckFailure(self.location, words, exchange))
        return met

    def not_applicable(self, rule: str, title: str, reason: str, *, decision: bool = False) -> None:
        """Record why a check does not apply here."""
        self._check(rule, title, decision).reasons[self.location] = reason

    def by_rule(self) -> Iterator[tuple[Rule, Result, list[Check], str | None]]:
        """Every rule with its result, its checks and, if there is none, the reason."""
        for id, rule in rules().items():
            checks = [check for check in self.checks.values() if check.rule == id]
            result = min((check.result for check in checks), key=RESULTS.index, default=RESULTS[-1])
            yield rule, result, checks, None if checks else self._reason(id)

    def refusals(self) -> dict[str | None, str]:
        """The locations that accepted no order at all, with their last refusal."""
        check = self.checks.get(("EP-4", PRICED, False))
        return dict(check.reasons) if check else {}

    def broken(self) -> set[str]:
        """The broken rules."""
        return {check.rule for check in self.checks.values() if check.failures}

    def counts(self) -> Counter[Result]:
        """How many checks had which result."""
        return Counter(check.result for check in self.checks.values())

    def rule_counts(self) -> Counter[Result]:
        """How many rules had which result."""
        return Counter(result for _, result, _, _ in self.by_rule())

    def not_judged(self) -> Iterator[tuple[str, str, str]]:
        """Rule, check and reason of everything that could not be checked, rules without a check first."""
        for rule, _, checks, reason in self.by_rule():
            if not checks:
                yield rule.id, "", reason or ""
        for check in self.checks.values():
            if check.result == "not applicable":
                yield check.rule, check.title, "; ".join(dict.fromkeys(check.reasons.values()))

    def _check(self, rule: str, title: str, decision: bool) -> Check:
        key = (rule, title, decision)
        if key not in self.checks:
            self.checks[key] = Check(*key)
        return self.checks[key]

    def _reason(self, rule: str) -> str:
        if not self.submits and rule in _OF_SUBMISSIONS:
            return _NEEDS_SUBMIT
        return UNSEEN.get(rule, _NO_OCCASION)
