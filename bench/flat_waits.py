"""How long a writer waits beside a purge of a large ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from multiprocessing import Event, Process, Queue
from statistics import median
from typing import Any

from bench.rows import LONG_AGO, fill
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.records import Claimed

PURGED = 5_000
"""Rows of one purge."""
PURGES = 5


def measure(url: str, purges: int = PURGES) -> dict[str, Any]:
    """The longest wait of a writer beside a purge, and in as many seconds alone: medians in milliseconds."""
    alone, beside, took = [], [], []
    with closing(open_ledger(url)) as ledger:
        for number in range(purges):
            fill(url, PURGED, start=50_000_000 + number * PURGED, ago_ms=LONG_AGO, identities=True)
            with _writing(url) as waits:
                began = time.monotonic()
                assert ledger.purge() == PURGED
                took.append(time.monotonic() - began)
            beside.append(max(waits))
            with _writing(url) as waits:
                time.sleep(took[-1])
            alone.append(max(waits))
    return {
        "purged": PURGED,
        "seconds": round(median(took), 2),
        "longest_wait_ms": round(median(beside) * 1000),
        "longest_wait_alone_ms": round(median(alone) * 1000),
    }


@contextmanager
def _writing(url: str) -> Iterator[list[float]]:
    """A process that writes; the list has the seconds of its writes at the end."""
    waits: list[float] = []
    started, stopped, found = Event(), Event(), Queue()  # type: ignore[var-annotated]
    process = Process(target=_write, args=(url, started, stopped, found))
    process.start()
    started.wait()
    try:
        yield waits
    finally:
        stopped.set()
        waits += found.get()
        process.join()


def _write(url: str, started: Any, stopped: Any, found: Any) -> None:
    waits = []
    with closing(open_ledger(url)) as ledger:
        while not stopped.is_set():
            began = time.perf_counter()
            digest = os.urandom(32).hex()
            identity = Identity("order_number", (digest,))
            claim = ledger.claims.claim(
                account="a0", location="a0.main", identities=(identity,), content=(digest,), lease=timedelta(seconds=30)
            )
            assert isinstance(claim, Claimed)
            claimed = time.perf_counter()
            ledger.transitions.fail(claim.id)
            waits += [claimed - began, time.perf_counter() - claimed]
            started.set()
            time.sleep(0.002)
    found.put(waits)
