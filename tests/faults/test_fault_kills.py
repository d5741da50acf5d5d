"""A worker that is killed at any point of a submission leaves a row that says what to do (SUB-2, SUB-5)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import Submission
from tests.faults import engine
from tests.faults.mutants import MUTATION, STOP_FILE
from tests.faults.proxy import Call, Exchange, Fault, Proxy
from tests.faults.stack import Answer, Stack, environment, kill

DEADLINE, GRACE = 6, 0.5
LEASE = DEADLINE + GRACE


@dataclass(frozen=True)
class Point:
    """Where an owner is killed. ``left``: its row after its lease; ``exists``: whether its order exists."""

    marker: str
    left: str
    exists: bool


BEFORE_SENDING = Point("+16175550001", "not_placed", exists=False)
SENT_NOT_ARRIVED = Point("+16175550002", "unknown", exists=False)
SENT_AND_ARRIVED = Point("+16175550003", "unknown", exists=True)
BEFORE_SETTLING = Point("+16175550004", "unknown", exists=True)
POINTS = [BEFORE_SENDING, SENT_NOT_ARRIVED, SENT_AND_ARRIVED, BEFORE_SETTLING]


@dataclass
class Scene:
    """The service and what became of the submissions whose owner was killed."""

    stack: Stack
    proxy: Proxy
    directory: Path
    first: dict[Point, Answer]
    at_once: dict[Point, Answer]
    rows: dict[Point, Submission]

    def submit(self, point: Point) -> Answer:
        return _submit(self.stack, point)

    def cooked(self, point: Point) -> list[engine.Cooked]:
        return [each for each in engine.orders(self.directory / "engine.db") if each.marker == point.marker]


def _submit(stack: Stack, point: Point) -> Answer:
    order = {
        "user": {"name": "Robin Example", "phone": point.marker},
        "items": [{"item": {"provider_id": "cookie", "quantity": 1}}],
    }
    headers = {"Idempotency_Key": point.marker, "X_Request_ID": point.marker}
    return stack.post("/locations/diner.congress/order_submissions", {"order_submission": order}, **headers)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One owner, stopped at every point at once, is killed; then its leases run out."""
    directory = tmp_path_factory.mktemp("kills")
    url, stop_file = f"sqlite:///{directory}/ledger.db", directory / "stopped"
    reached, over = threading.Semaphore(0), threading.Event()

    def hold(exchange: Exchange) -> bool:
        if exchange.call.marker == SENT_AND_ARRIVED.marker:
            exchange.forward()
        reached.release()
        over.wait(60)
        return False

    def choose(call: Call) -> str | Fault:
        stops = {BEFORE_SENDING.marker: "cart", SENT_NOT_ARRIVED.marker: "order", SENT_AND_ARRIVED.marker: "order"}
        return hold if call.number == 0 and stops.get(call.marker or "") == call.kind else "none"

    with engine.engine(directory / "engine.db") as port, Proxy(port, choose) as proxy:
        settings = environment(
            directory, {"diner": proxy.url}, url, deadline=DEADLINE, grace=GRACE,
            more={"LEVELUP_OV_THREADS": "8", MUTATION: "StopsBeforeSettling", STOP_FILE: str(stop_file)},
        )  # fmt: skip
        with Stack(directory, settings, app="tests.faults.mutants:app", workers=1) as stack:
            with ThreadPoolExecutor(len(POINTS)) as pool:
                under_way: dict[Point, Future[Answer]] = {point: pool.submit(_submit, stack, point) for point in POINTS}
                for _ in range(3):
                    assert reached.acquire(timeout=60)
                _until(stop_file.exists)
                killed_at = time.monotonic()
                kill(stack.workers()[0])
                first = {point: future.result() for point, future in under_way.items()}
            over.set()
            at_once = {point: _submit(stack, point) for point in POINTS}
            assert time.monotonic() < killed_at + LEASE - 0.5
            with closing(open_ledger(url)) as ledger:
                _until(lambda: all(row.state in ("not_placed", "unknown") for row in _resolved(ledger)))
                by_request = {row.request_id: row for row in ledger.reader.find()}
            rows = {point: by_request[point.marker] for point in POINTS}
            yield Scene(stack, proxy, directory, first, at_once, rows)


def _resolved(ledger: Ledger) -> list[Submission]:
    ledger.reader.open_submissions()
    return list(ledger.reader.find())


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


@pytest.mark.rule("SUB-2", "SUB-4")
@pytest.mark.parametrize("point", POINTS)
def test_while_the_lease_runs_the_submission_is_in_progress(scene: Scene, point: Point) -> None:
    assert scene.first[point].status is None
    assert (scene.at_once[point].status, scene.at_once[point].code) == (409, "submission_in_progress")


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("point", POINTS)
def test_then_unsent_orders_are_free_and_sent_ones_unknown(scene: Scene, point: Point) -> None:
    assert scene.rows[point].state == point.left


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5")
@pytest.mark.parametrize("point", POINTS)
def test_and_the_same_submission_ends_as_one_order(scene: Scene, point: Point) -> None:
    end = time.monotonic() + 2 * LEASE
    while (answer := scene.submit(point)).status != 200 and time.monotonic() < end:
        assert answer.code == "outcome_unknown"
        time.sleep(0.2)
    assert answer.status == 200
    # Where there was an order it was found; where there was none it was placed now.
    assert answer.replayed == point.exists
    assert [each.ticket for each in scene.cooked(point)] == [answer.order_id]
    again = scene.submit(point)
    assert (again.replayed, again.order_id) == (True, answer.order_id)
    placed = [call for call in scene.proxy.forwarded if (call.kind, call.marker) == ("order", point.marker)]
    assert len(placed) == 1
