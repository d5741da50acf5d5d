"""The order and time limits of reconciliation and watching: a provider that is down must not starve the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Protocol, TypeVar

from levelup_ov.domain.words import counted
from levelup_ov.ledger.records import Submission

SLOW = 5.0
"""A look-up that fails after this many seconds ends the run for its provider."""
FAILURES = 3
"""So does this many failed look-ups in a row."""


class OfAccount(Protocol):
    """What belongs to an account."""

    @property
    def account(self) -> str:
        """Its name."""


T = TypeVar("T", bound=OfAccount)


def in_turns(things: Iterable[T], limit: int) -> list[T]:
    """At most ``limit`` of them, one of each account in turn, those of one account in their order."""
    accounts: dict[str, list[T]] = {}
    for thing in things:
        accounts.setdefault(thing.account, []).append(thing)
    rows = zip_longest(*accounts.values())
    return [each for row in rows for each in row if each is not None][:limit]


def of_gone_accounts(submissions: Iterable[Submission]) -> list[str]:
    """What to do about unknown orders of accounts that are no longer in the accounts file."""
    return [
        f"{counted(count, 'unknown submission')} of {account}, which is not in the accounts file: "
        "put it back to reconcile them, or `submissions settle` each after asking the restaurant"
        for account, count in sorted(Counter(each.account for each in submissions).items())
    ]


class BoundedRun:
    """One run of a command: at most ``seconds`` long, it skips an account whose provider does not answer."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds
        self._failures: dict[str, int] = {}
        self.skipped = 0

    def due(self, things: Iterable[T]) -> Iterator[T]:
        """Those to process; the others are counted as skipped."""
        for thing in things:
            if self._now() >= self._end or self._failures.get(thing.account, 0) >= FAILURES:
                self.skipped += 1
            else:
                yield thing

    def answered(self, account: str) -> None:
        """Its provider answered."""
        self._failures[account] = 0

    def failed(self, account: str, seconds: float, *, answered: bool = False) -> None:
        """Its provider gave nothing of use within ``seconds``; ``answered``: it did answer."""
        if seconds >= SLOW:
            self._failures[account] = FAILURES
        elif not answered:
            self._failures[account] = self._failures.get(account, 0) + 1
