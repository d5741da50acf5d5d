"""The numbers of one process, and those of all as Prometheus reads them."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from levelup_ov.metrics.families import FAMILIES, Family

Key = tuple[str, ...]
"""The name of a metric and the values of its labels; of a histogram's, one more: the bucket, or :data:`SUM`."""
Numbers = dict[Key, float]

SUM = "sum"

_BUCKETS = {
    name: (family.buckets, tuple(str(number) for number in range(len(family.buckets) + 1)))
    for name, family in FAMILIES.items()
    if family.kind == "histogram"
}


def count(numbers: Numbers, key: Key, amount: float = 1) -> None:
    """Count something that happened."""
    numbers[key] = numbers.get(key, 0) + amount


def observe(numbers: Numbers, key: Key, value: float) -> None:
    """Count a value in its bucket of the histogram ``key``."""
    bounds, names = _BUCKETS[key[0]]
    count(numbers, (*key, names[bisect_left(bounds, value)]))
    count(numbers, (*key, SUM), value)


def pack(counts: Numbers, gauges: Numbers) -> bytes:
    """Both as bytes."""
    rows = [[[*key, value] for key, value in numbers.items()] for numbers in (counts, gauges)]
    return zlib.compress(orjson.dumps(rows), 1)


def unpack(content: bytes) -> tuple[Numbers, Numbers]:
    """What :func:`pack` was given; nothing for no bytes."""
    rows = orjson.loads(zlib.decompress(content)) if content else ([], [])
    counts, gauges = ({tuple(key): value for *key, value in each} for each in rows)
    return counts, gauges


def merge(into: Numbers, numbers: Mapping[Key, float]) -> None:
    """Add the numbers of another process."""
    for key, value in numbers.items():
        before = into.get(key)
        if before is None:
            into[key] = value
        else:
            into[key] = max(before, value) if FAMILIES[key[0]].most else before + value


class Families(Collector):
    """``numbers`` as prometheus_client writes them."""

    def __init__(self, numbers: Mapping[Key, float]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Each metric that has a number."""
        found: dict[str, list[tuple[Key, float]]] = {}
        for (name, *labels), value in self._numbers.items():
            found.setdefault(name, []).append((tuple(labels), value))
        for name, family in FAMILIES.items():
            if name in found:
                yield _KINDS[family.kind](name, family, found[name])


def _counter(name: str, family: Family, numbers: Iterable[tuple[Key, float]]) -> Metric:
    metric = CounterMetricFamily(name, family.meaning, labels=family.labels)
    for labels, value in numbers:
        metric.add_metric(labels, value)
    return metric


def _gauge(name: str, family: Family, numbers: Iterable[tuple[Key, float]]) -> Metric:
    metric = GaugeMetricFamily(name, family.meaning, labels=family.labels)
    for labels, value in numbers:
        metric.add_metric(labels, value)
    return metric


def _histogram(name: str, family: Family, numbers: Iterable[tuple[Key, float]]) -> Metric:
    parts: dict[Key, dict[str, float]] = {}
    for (*labels, part), value in numbers:
        parts.setdefault(tuple(labels), {})[part] = value
    metric = HistogramMetricFamily(name, family.meaning, labels=family.labels)
    for key, values in parts.items():
        buckets, total = [], 0.0
        for position, bound in enumerate([*map(float, family.buckets), "+Inf"]):
            total += values.get(str(position), 0)
            buckets.append((str(bound), total))
        metric.add_metric(key, buckets, values.get(SUM, 0))
    return metric


_KINDS: Mapping[str, Callable[[str, Family, Any], Metric]] = {
    "counter": _counter,
    "gauge": _gauge,
    "histogram": _histogram,
}
