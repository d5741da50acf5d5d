"""In which order submissions are reconciled, and for how long: a provider that is down must not starve the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

from levelup_ov.ledger.ledger import Submission

SLOW = 5.0
"""Seconds after which a failed look-up shows that its provider is not to be asked again in this run."""
FAILURES = 3
"""Failed look-ups in a row that show the same."""


def in_turns(submissions: Iterable[Submission], limit: int) -> list[Submission]:
    """At most ``limit`` of them, one of each account in turn, the oldest of each first."""
    accounts: dict[str, list[Submission]] = {}
    for submission in submissions:
        accounts.setdefault(submission.account, []).append(submission)
    rows = zip_longest(*accounts.values())
    return [each for row in rows for each in row if each is not None][:limit]


def of_gone_accounts(submissions: Iterable[Submission]) -> list[str]:
    """What to do about unknown orders of accounts that the accounts file does not have any more."""
    return [
        f"{count} unknown submission(s) of {account}, which is not in the accounts file: put it back to reconcile "
        "them, or `submissions settle` each after asking the restaurant"
        for account, count in sorted(Counter(each.account for each in submissions).items())
    ]


class ReconciliationRun:
    """One run of reconciliation: at most ``seconds`` long, and done with an account whose provider does not answer."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds
        self._failures: dict[str, int] = {}
        self.skipped = 0

    def due(self, submissions: Iterable[Submission]) -> Iterator[Submission]:
        """Those whose turn it is; the others are counted as skipped."""
        for submission in submissions:
            if self._now() >= self._end or self._failures.get(submission.account, 0) >= FAILURES:
                self.skipped += 1
            else:
                yield submission

    def answered(self, account: str) -> None:
        """Its provider answered."""
        self._failures[account] = 0

    def failed(self, account: str, seconds: float) -> None:
        """Its provider did not, for so long."""
        self._failures[account] = FAILURES if seconds >= SLOW else self._failures.get(account, 0) + 1
