"""What the tests of the ledger share: a clock to turn, submissions to claim, and processes to race and kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from levelup_ov.ledger.identity import Identity, content_digests, identities
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claim, Claimed, Submission, Unknown

LOCATION = "deli.42"
KEYS = (b"the one key of these tests......",)
LEASE = timedelta(seconds=30)
GRACE = timedelta(seconds=40)
ANSWER = '{"order_submission": {"order_id": "A-17"}}'


class Clock:
    """The time, moved by hand."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


def claim(
    ledger: Ledger,
    content: bytes = b"a burger",
    *,
    keys: tuple[bytes, ...] = KEYS,
    request_id: str = "req-1",
    is_paid: bool = False,
    account: str = "deli",
    **names: Any,
) -> Claim:
    """Claim a submission of ``content``; without ``names`` under the idempotency key ``key-1``."""
    found: tuple[Identity, ...] = identities(
        LOCATION, content=content, keys=keys, **(names or {"idempotency_key": "key-1"})
    )
    digests = content_digests(LOCATION, content, keys)
    return ledger.claims.claim(
        account=account, location=LOCATION, identities=found, content=digests, lease=LEASE, request_id=request_id,
        is_paid=is_paid,
    )  # fmt: skip


def claimed(claim: Claim) -> str:
    """The id of a claim that was granted."""
    assert isinstance(claim, Claimed), claim
    return claim.id


def begin(ledger: Ledger, id: str) -> None:
    ledger.transitions.begin_sending(id, lease=LEASE, trace={"cart": "c-1"})


def place(
    ledger: Ledger,
    id: str,
    *,
    provider_order_id: str | None = None,
    proven: bool = True,
    ready: datetime | None = None,
) -> None:
    """Settle as placed, under a provider's order id of its own unless one is given."""
    own = provider_order_id or f"p-{id}"
    ledger.transitions.place(id, answer=ANSWER, order_id="A-17", provider_order_id=own, proven=proven, ready=ready)


def shown(ledger: Ledger, id: str) -> Submission:
    found = ledger.reader.show(id)
    assert found is not None
    return found


class Provider:
    """Counts what reaches it; it refuses the first try of every submission and loses the answer of the second."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def order(self, key: str) -> str:
        """``refused``, ``silent`` (the order exists) or ``placed``; each call is one byte of the key's file."""
        with open(self._path / key, "a") as file:
            file.write(".")
        return {1: "refused", 2: "silent"}.get(self.calls(key), "placed")

    def calls(self, key: str) -> int:
        return len((self._path / key).read_bytes())


def submit(ledger: Ledger, provider: Provider, key: str) -> str:
    """Submit as the service does, over and over until there is an answer; which kind of claim gave it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        got = claim(ledger, idempotency_key=key, order_number=f"number of {key}")
        if isinstance(got, AlreadyPlaced):
            return "replayed"
        if isinstance(got, Unknown):
            place(ledger, got.submission.id)
        elif isinstance(got, Claimed):
            begin(ledger, got.id)
            answer = provider.order(key)
            {"refused": ledger.transitions.fail, "silent": ledger.transitions.lose}.get(
                answer, lambda id: place(ledger, id)
            )(got.id)
            if answer == "placed":
                return answer
        else:
            time.sleep(0.001)
    return "no answer"


def submit_in_process(url: str, path: Path, rounds: int, barrier: Barrier, results: Any) -> None:
    """One process of a race: submits the same as the others in every round."""
    ledger = open_ledger(url, pool_size=1)
    for number in range(rounds):
        barrier.wait(60)
        results.put(submit(ledger, Provider(path), f"key-{number}"))
    ledger.close()


def walk_and_wait(url: str, steps: int, pipe: Connection) -> None:
    """Go ``steps`` steps through a submission, print its id, and wait to be killed.

    Step 0 stops within the transaction of the claim, before its commit.
    """
    ledger = open_ledger(url, pool_size=1)
    if steps == 0:

        def stop_before_commit(_: object) -> None:
            pipe.send("")
            time.sleep(60)

        ledger.database.engine.dialect.do_commit = stop_before_commit  # type: ignore[method-assign]
    id = claimed(claim(ledger))
    following: list[Callable[[], None]] = [lambda: begin(ledger, id), lambda: place(ledger, id)]
    for step in following[: steps - 1]:
        step()
    pipe.send(id)
    time.sleep(60)
