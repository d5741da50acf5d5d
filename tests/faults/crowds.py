"""Many clients at once: the same submissions from all of them, and reloads under their load."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.faults import engine
from tests.faults.processes import line, process
from tests.faults.stack import Answer, Stack, environment

PATIENCE = 60.0
_LOCATION = "/locations/diner.congress"


def order(marker: str) -> dict[str, object]:
    """A valid order; ``marker`` is the customer's phone number."""
    items = [{"item": {"provider_id": "cookie", "quantity": 1}}]
    return {"user": {"name": "Robin Example", "phone": marker}, "items": items}


@contextmanager
def service(directory: Path, ledger: str, *, threads: int) -> Iterator[Stack]:
    """Two worker processes before a sound engine, whose file is ``engine.db`` in ``directory``."""
    with process("tests.faults.engine", str(directory / "engine.db")) as kitchen:
        accounts = {"diner": f"http://127.0.0.1:{line(kitchen)}"}
        more = {"LEVELUP_OV_THREADS": str(threads)}
        settings = environment(directory, accounts, ledger, deadline=20, grace=20, more=more)
        with Stack(directory, settings) as stack:
            yield stack


def race(directory: Path, ledger: str, *, threads: int, keys: int) -> Counter[int]:
    """Submit every key from all threads at once; how many keys ended with how many orders.

    :raises AssertionError: a thread got another answer than the others, or no order.
    """
    reported: list[set[object]] = [set() for _ in range(keys)]
    with service(directory, ledger, threads=threads) as stack:

        def client(_: int) -> None:
            for number in range(keys):
                reported[number].add(_insist(stack, number).order_id)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(client, range(threads)))
    cooked = engine.orders(directory / "engine.db")
    assert all(len(each) == 1 for each in reported), f"got different orders: {reported}"
    assert {ticket for each in reported for ticket in each} == {each.ticket for each in cooked}
    per_key = Counter(each.marker for each in cooked)
    return Counter(per_key[f"+1555{number:07d}"] for number in range(keys))


def reloads(directory: Path, ledger: str, *, times: int, clients: int) -> tuple[Counter[str], int]:
    """Reload the service again and again under load; what clients were answered, and how many workers were replaced."""
    reported: Counter[str] = Counter()
    over = threading.Event()
    with service(directory, ledger, threads=16) as stack:

        def client(who: int) -> None:
            number = 0
            while not over.is_set():
                number += 1
                marker = f"+1{who:03d}{number:07d}"
                validated = stack.post(f"{_LOCATION}/order_validations", {"order_validation": order(marker)})
                reported[validated.code] += 1
                reported[_submit(stack, marker).code] += 1

        with ThreadPoolExecutor(clients) as pool:
            futures = [pool.submit(client, who) for who in range(clients)]
            replaced = 0
            try:
                for _ in range(times):
                    replaced += _reload(stack)
            finally:
                over.set()
            for future in futures:
                future.result()
    return reported, replaced


def _reload(stack: Stack) -> int:
    """Reload and wait until only new workers serve; how many are new."""
    before = set(stack.workers())
    stack.reload()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        now = set(stack.workers())
        if len(now) == len(before) and not now & before:
            return len(now)
        time.sleep(0.02)
    raise AssertionError(f"the workers {before} were not replaced")


def _submit(stack: Stack, marker: str) -> Answer:
    body = {"order_submission": order(marker)}
    return stack.post(f"{_LOCATION}/order_submissions", body, Idempotency_Key=marker, timeout=PATIENCE)


def _insist(stack: Stack, number: int) -> Answer:
    until = time.monotonic() + PATIENCE
    while (answer := _submit(stack, f"+1555{number:07d}")).code == "submission_in_progress":
        assert time.monotonic() < until, "in progress for ever"
        time.sleep(0.01)
    assert answer.status == 200, answer
    return answer
