"""What the numbers of all workers say about each account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from levelup_ov.metrics import LastHour
from levelup_ov.metrics.families import FAMILIES
from levelup_ov.metrics.tally import SUM, Key

_CALLS, _SECONDS = "levelup_ov_provider_calls_total", "levelup_ov_provider_call_seconds"
_BOUNDS = FAMILIES[_SECONDS].buckets


@dataclass(frozen=True, slots=True)
class AccountNumbers:
    """An account within the last hour, and now.

    ``refused``: calls that the provider answered with 4xx, the refusals of orders among them; ``failed``: with 5xx, or
    not at all. ``p50`` and ``p95`` are seconds, None without calls, infinite above the last bucket.
    """

    calls: int
    refused: int
    failed: int
    p50: float | None
    p95: float | None
    open_breakers: int
    in_progress: int

    @property
    def failed_percent(self) -> float:
        """The share of calls that failed."""
        return 100 * self.failed / self.calls if self.calls else 0.0


def of_account(account: str, hour: LastHour) -> AccountNumbers:
    """The numbers of one account."""
    calls = {key[2]: value for key, value in hour.counts.items() if key[0] == _CALLS and key[1] == account}
    seconds = [hour.counts.get((_SECONDS, account, str(bucket)), 0.0) for bucket in range(len(_BOUNDS) + 1)]
    answered = sum(value for outcome, value in calls.items() if outcome in ("1xx", "2xx", "3xx"))
    refused, total = calls.get("4xx", 0.0), sum(calls.values())
    return AccountNumbers(
        calls=round(total),
        refused=round(refused),
        failed=round(total - answered - refused),
        p50=quantile(0.5, seconds, _BOUNDS),
        p95=quantile(0.95, seconds, _BOUNDS),
        open_breakers=round(hour.in_use.get(("levelup_ov_breakers_open", account), 0)),
        in_progress=round(hour.in_use.get(("levelup_ov_requests_in_progress", account), 0)),
    )


def quantile(share: float, counts: Sequence[float], bounds: Sequence[float]) -> float | None:
    """The value below which this ``share`` is, from the ``counts`` of a histogram's buckets; None if it is empty.

    As Prometheus' ``histogram_quantile``: evenly spread within a bucket. The last bucket has no bound.
    """
    wanted, below = share * sum(counts), 0.0
    if not wanted:
        return None
    for count, low, high in zip(counts, (0.0, *bounds), bounds):
        if below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return float("inf")


def totals(name: str, place: int, numbers: Mapping[Key, float], values: Iterable[str]) -> dict[tuple[str, str], int]:
    """The counts of a metric whose label at ``place`` is one of ``values``: by that and the last label."""
    known = frozenset(values)
    return {
        (key[place], key[-1]): round(number)
        for key, number in numbers.items()
        if key[0] == name and key[place] in known and SUM not in key and round(number) > 0
    }
