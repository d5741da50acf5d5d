"""What the tests of the ledger share: a clock to turn, submissions to claim, and processes to race and kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

from levelup_ov.identity import Identity, content_digests, identities
from levelup_ov.ledger import Claim, Claimed, Ledger, Recorded, Submission, open_ledger

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


def claim(ledger: Ledger, content: bytes = b"a burger", *, keys: tuple[bytes, ...] = KEYS, **names: Any) -> Claim:
    """Claim a submission of ``content``; without ``names`` under the idempotency key ``key-1``."""
    found: tuple[Identity, ...] = identities(
        LOCATION, content=content, keys=keys, **(names or {"idempotency_key": "key-1"})
    )
    digests = content_digests(LOCATION, content, keys)
    return ledger.claim(
        account="deli", location=LOCATION, identities=found, content=digests, lease=LEASE, request_id="req-1"
    )


def claimed(claim: Claim) -> str:
    """The id of a claim that was granted."""
    assert isinstance(claim, Claimed), claim
    return claim.id


def begin(ledger: Ledger, id: str) -> None:
    ledger.begin_sending(id, lease=LEASE, trace={"cart": "c-1"})


def place(ledger: Ledger, id: str, *, provider_order_id: str = "p-17", **amounts: int) -> None:
    ledger.place(id, answer=ANSWER, order_id="A-17", provider_order_id=provider_order_id, **amounts)


def shown(ledger: Ledger, id: str) -> Submission:
    found = ledger.show(id)
    assert found is not None
    return found


def race(url: str, rounds: int, barrier: Barrier, results: Any) -> None:
    """One process of a race: claims the same submission as the others in every round, and sends it if it may."""
    ledger = open_ledger(url, pool_size=1)
    for number in range(rounds):
        barrier.wait(60)
        got = claim(ledger, idempotency_key=f"key-{number}", order_number=f"order-{number}")
        if isinstance(got, Claimed):
            begin(ledger, got.id)
            place(ledger, got.id)
        results.put((number, type(got).__name__))
    ledger.close()


def at_most_one(url: str, rounds: int, barrier: Barrier, results: Any) -> None:
    """As :func:`race`, but each process insists until the submission is answered, and the first try is refused."""
    ledger = open_ledger(url, pool_size=1)
    for number in range(rounds):
        barrier.wait(60)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            got = claim(ledger, idempotency_key=f"key-{number}")
            if isinstance(got, Recorded):
                break
            if isinstance(got, Claimed):
                begin(ledger, got.id)
                refused = not ledger.find(state="not_placed", number=f"refused-{number}", limit=1)
                results.put((number, "sent"))
                if refused:
                    ledger.lose(got.id, trace={"refused": number})
                    ledger.fail(got.id)
                else:
                    place(ledger, got.id)
    ledger.close()


def walk_and_wait(url: str, steps: int, pipe: Connection) -> None:
    """Go ``steps`` steps through a submission, tell its id, and wait to be killed.

    Step 0 stops within the transaction of the claim, before its commit.
    """
    ledger = open_ledger(url, pool_size=1)
    if steps == 0:
        point = ledger._point

        def stop_before_commit(*arguments: Any) -> None:
            point(*arguments)
            pipe.send("")
            time.sleep(60)

        ledger._point = stop_before_commit  # type: ignore[method-assign]
    id = claimed(claim(ledger))
    following: list[Callable[[], None]] = [lambda: begin(ledger, id), lambda: place(ledger, id)]
    for step in following[: steps - 1]:
        step()
    pipe.send(id)
    time.sleep(60)
