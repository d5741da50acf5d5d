"""Workers at once and workers killed: at most one order per submission (SUB-2)."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claim, Claimed, InProgress, Superseded, Unknown
from tests.ledger.helpers import (
    GRACE,
    LEASE,
    Clock,
    Provider,
    begin,
    claim,
    claimed,
    place,
    shown,
    submit,
    submit_in_process,
    walk_and_wait,
)

THREADS = 16
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def live(url: str) -> Iterator[Ledger]:
    """A ledger on the database's own clock."""
    ledger = open_ledger(url, pool_size=THREADS)
    yield ledger
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_of_many_threads_one_may_send(live: Ledger) -> None:
    start = threading.Barrier(THREADS)

    def one(number: int) -> str:
        start.wait(30)
        # Each has an identity of its own beside the common one, on either side of it in the order of locks.
        return type(claim(live, order_number="common", idempotency_key=f"own {number}")).__name__

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            assert Counter(pool.map(one, range(THREADS))) == {"Claimed": 1, "InProgress": THREADS - 1}
            live.transitions.fail(claimed_of(live))


@pytest.mark.rule("WEB-5")
def test_no_charge_is_found_while_charges_are_read(live: Ledger) -> None:
    """Who reads them decides by them, and another one would be missed."""
    id = claimed(claim(live))
    begin(live, id)
    place(live, id)
    charge = "6f0c1f2e-0000-4000-8000-000000000000"
    with ThreadPoolExecutor(1) as pool:

        def read(cursor: Any, _: bool) -> Future[Claim]:
            assert live.reader.charges_of(cursor, id) == ()
            found = pool.submit(claim, live, request_id=charge, is_paid=True)
            time.sleep(0.2)
            assert not found.done()
            return found

        assert isinstance(live.database.run(read).result(30), AlreadyPlaced)
    assert live.database.run(lambda cursor, _: live.reader.charges_of(cursor, id)) == (charge,)


def claimed_of(ledger: Ledger) -> str:
    (found,) = ledger.reader.open_submissions()
    return found.id


@pytest.mark.rule("SUB-2")
def test_claims_that_overlap_in_a_ring_do_not_deadlock(live: Ledger) -> None:
    names = ("idempotency_key", "order_number", "grubhub_order_number", "order_validation_id")
    start = threading.Barrier(4)

    def one(number: int) -> bool:
        start.wait(30)
        return isinstance(claim(live, **{names[number]: "x", names[(number + 1) % 4]: "x"}), Claimed)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            granted = sum(pool.map(one, range(4)))
            assert granted in (1, 2)
            for submission in live.reader.open_submissions():
                live.transitions.fail(submission.id)


@pytest.mark.rule("SUB-2", "SUB-3")
def test_of_the_keys_of_one_attempt_one_may_send_again(live: Ledger) -> None:
    names: tuple[dict[str, str], ...] = ({"idempotency_key": "k"}, {"order_number": "n"}, {"order_validation_id": "v"})
    start = threading.Barrier(3)

    def one(number: int) -> str:
        start.wait(30)
        return type(claim(live, **names[number])).__name__

    with ThreadPoolExecutor(3) as pool:
        for _ in range(10):
            live.transitions.fail(
                claimed(claim(live, **{name: value for each in names for name, value in each.items()}))
            )
            assert Counter(pool.map(one, range(3))) == {"Claimed": 1, "InProgress": 2}
            live.transitions.fail(claimed_of(live))


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_threads_that_insist_get_one_order(live: Ledger, tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: submit(live, provider, "key"), range(THREADS)))
    assert Counter(answers) == {"replayed": THREADS}
    # The first call is refused; the second places the order, though its answer is lost.
    assert provider.calls("key") == 2
    assert len(live.reader.find(state="placed")) == 1


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
def test_processes_that_insist_get_one_order(url: str, tmp_path: Path) -> None:
    processes, rounds = 4, 10
    barrier, results = SPAWN.Barrier(processes), SPAWN.Queue()
    arguments = (url, tmp_path, rounds, barrier, results)
    workers = [SPAWN.Process(target=submit_in_process, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=60) for _ in range(processes * rounds)]
    for worker in workers:
        worker.join(60)
    assert Counter(answers) == {"replayed": processes * rounds}
    assert [Provider(tmp_path).calls(f"key-{number}") for number in range(rounds)] == [2] * rounds
    assert [worker.exitcode for worker in workers] == [0] * processes


@contextmanager
def killed_after(url: str, steps: int) -> Iterator[str]:
    """The id of a submission whose owner went so many steps and was killed."""
    ours, theirs = SPAWN.Pipe()
    worker = SPAWN.Process(target=walk_and_wait, args=(url, steps, theirs))
    worker.start()
    try:
        assert ours.poll(60)
        id = ours.recv()
    finally:
        worker.kill()
        worker.join(60)
    yield id


@pytest.fixture
def later(url: str) -> Iterator[tuple[Ledger, Clock]]:
    """A ledger on the real time, which can be moved ahead."""
    clock = Clock(datetime.now(timezone.utc))
    ledger = open_ledger(url, clock=clock)
    yield ledger, clock
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_killed_within_the_claim(url: str, later: tuple[Ledger, Clock]) -> None:
    with killed_after(url, 0):
        assert isinstance(claim(later[0]), Claimed)


@pytest.mark.rule("SUB-2", "SUB-5")
def test_killed_before_sending(url: str, later: tuple[Ledger, Clock]) -> None:
    ledger, clock = later
    with killed_after(url, 1) as id:
        assert isinstance(claim(ledger), InProgress)
        clock.advance(2 * LEASE)
        assert isinstance(claim(ledger), Claimed)
        assert shown(ledger, id).state == "not_placed"


@pytest.mark.rule("SUB-2", "SUB-5")
def test_killed_while_sending(url: str, later: tuple[Ledger, Clock]) -> None:
    ledger, clock = later
    with killed_after(url, 2) as id:
        assert isinstance(claim(ledger), InProgress)
        clock.advance(2 * LEASE)
        found = claim(ledger)
        assert isinstance(found, Unknown) and found.submission.id == id
        clock.advance(GRACE)
        assert isinstance(claim(ledger), Unknown)
        assert ledger.absences.remaining(shown(ledger, id), grace=GRACE) == GRACE
        clock.advance(GRACE)
        ledger.absences.rule_out(shown(ledger, id), grace=GRACE)
        assert isinstance(claim(ledger), Claimed)


@pytest.mark.rule("SUB-2", "SUB-4")
def test_killed_after_recording(url: str, later: tuple[Ledger, Clock]) -> None:
    with killed_after(url, 3) as id:
        found = claim(later[0])
        assert isinstance(found, AlreadyPlaced) and found.submission.id == id


@pytest.mark.rule("SUB-2")
def test_of_two_that_take_an_expired_claim_over_one_may_send(url: str, clock: Clock) -> None:
    ledger = open_ledger(url, clock=clock, pool_size=THREADS)
    for _ in range(5):
        slow = claimed(claim(ledger))
        clock.advance(LEASE)
        with ThreadPoolExecutor(THREADS) as pool:
            got = list(pool.map(lambda _: claim(ledger), range(THREADS)))
        (winner,) = [found for found in got if isinstance(found, Claimed)]
        with pytest.raises(Superseded):
            begin(ledger, slow)
        ledger.transitions.fail(winner.id)
    ledger.close()


@pytest.mark.rule("SUB-2")
def test_the_owner_and_the_one_that_takes_over_do_not_both_send(url: str, clock: Clock) -> None:
    ledger = open_ledger(url, clock=clock, pool_size=2)
    for _ in range(20):
        slow = claimed(claim(ledger))
        clock.advance(LEASE)
        start = threading.Barrier(2)

        def owner(id: str = slow, start: threading.Barrier = start) -> bool:
            start.wait(30)
            try:
                begin(ledger, id)
            except Superseded:
                return False
            return True

        def other(start: threading.Barrier = start) -> str | None:
            start.wait(30)
            got = claim(ledger)
            return got.id if isinstance(got, Claimed) else None

        with ThreadPoolExecutor(2) as pool:
            began, taken = pool.submit(owner), pool.submit(other)
        assert began.result() != bool(taken.result())
        ledger.transitions.fail(taken.result() or slow)
    ledger.close()


_FORKING = """
import os, sys
sys.path.insert(0, os.getcwd())
from tests.ledger.helpers import claim, claimed
from levelup_ov.ledger.ledger import open_ledger
ledger = open_ledger(sys.argv[1], pool_size=2)
ledger.ready()
claimed(claim(ledger, idempotency_key="parent before"))
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        for turn in range(20):
            claimed(claim(ledger, idempotency_key=f"{number} {turn}"))
        sys.exit(0)
    children.append(child)
for turn in range(20):
    claimed(claim(ledger, idempotency_key=f"parent {turn}"))
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
claimed(claim(ledger, idempotency_key="parent after"))
assert len(ledger.reader.find()) == 82
ledger.close()
"""


def test_a_ledger_opened_before_a_fork_serves_all_processes(url: str) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", _FORKING, url]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.rule("SUB-2")
def test_a_host_with_a_wrong_clock_goes_by_that_of_the_database(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelup_ov.ledger.clocks._host_clock", lambda: datetime(2000, 1, 1, tzinfo=timezone.utc))
    ledger = open_ledger(postgresql_url)
    id = claimed(claim(ledger))
    begin(ledger, id)
    place(ledger, id)
    row = shown(ledger, id)
    assert row.sending_at is not None and row.settled_at is not None
    assert row.claimed_at <= row.sending_at <= row.settled_at <= row.seen_at
    assert abs(datetime.now(timezone.utc) - row.seen_at) < timedelta(minutes=1)
    ledger.close()
