"""Events in a campaign: a receiver that fails now and then, statuses that are watched, orders that are canceled.

What must agree at the end: the outbox, what the receiver counted by id, and the last known status of each order.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import text

from levelup_ov.event_settings import PREFIX
from levelup_ov.ledger.event_deliveries import EventDeliveries, EventDelivery
from levelup_ov.ledger.ledger import open_ledger
from tests.faults.channel import Story
from tests.faults.stack import ROOT, Stack

SECRET = PREFIX + "Y2FuYXJ5IHNlY3JldCBvZiB0aGUgcmVjZWl2ZXIgLi4="
REFUSED, LOST, CANCELED = 0.1, 0.05, 0.15
"""Shares: of deliveries that are refused, of those whose acceptance is lost, and of orders that are canceled."""
DELIVERING = 120.0
"""Seconds for which an operator has events sent at the end."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted delivery."""

    id: str
    body: str


class Receiver(ThreadingHTTPServer):
    """Takes events, or fails; ``arrivals`` are those that it took, in order, whether or not it could say so."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, seed: str) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.arrivals: list[Arrival] = []
        self.dice = random.Random(f"{seed}/receiver")
        self.lock = threading.Lock()
        self.is_calm = False
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A worker that was killed has hung up."""

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def variables(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_address[1]}/events"
        return {"LEVELUP_OV_EVENTS_URL": url, "LEVELUP_OV_EVENTS_SECRETS": SECRET}


class _Receive(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.lock:
            fate = 1.0 if self.server.is_calm else self.server.dice.random()
            if fate >= REFUSED:
                self.server.arrivals.append(Arrival(self.headers["webhook-id"], body))
        if REFUSED <= fate < REFUSED + LOST:
            self.close_connection = True
            return
        self.send_response(500 if fate < REFUSED else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def watching(settings: Mapping[str, str], app: str) -> Iterator[None]:
    """Ask for the status of open orders, over and over."""
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.is_set():
            command(settings, app, "orders", "watch", "--every", "2", "--seconds", "10")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def command(settings: Mapping[str, str], app: str, *arguments: str) -> None:
    """Run a command of the service, whatever becomes of it."""
    flask = [sys.executable, "-m", "flask", "--app", app.partition(":")[0], *arguments]
    environ = {"PATH": os.environ.get("PATH", ""), **settings}
    subprocess.run(flask, cwd=ROOT, env=environ, capture_output=True, timeout=300, check=False)


def cancel_some(stack: Stack, story: Story, seed: str) -> Story:
    """Cancel the order of some submissions, once or twice."""
    dice = random.Random(f"{seed}/cancel/{story.plan.marker}")
    if story.placed and not story.plan.card and dice.random() < CANCELED:
        for _ in range(4):
            answer = stack.post(f"{story.plan.path}orders/{story.placed[-1].order_id}/cancellation", None)
            if answer.status == 200 and answer.body["order"]["status"] == "cancelled":
                story.canceled = True
            if (answer.status == 200 and dice.random() < 0.5) or not answer.retryable:
                break
            time.sleep(dice.uniform(0.1, 0.5))
    return story


def books(
    settings: Mapping[str, str], app: str, receiver: Receiver, stories: Sequence[Story]
) -> tuple[list[str], dict[str, int]]:
    """What does not agree, and the numbers of events; the network is calm."""
    receiver.is_calm = True
    command(settings, app, "orders", "watch", "--every", "0", "--calls", "100000", "--seconds", "100")
    until = time.monotonic() + DELIVERING
    with closing(open_ledger(settings["DATABASE_URL"])) as ledger:
        outbox = EventDeliveries(ledger)
        while outbox.backlog() and time.monotonic() < until:
            command(settings, app, "events", "send", "--seconds", "20")
        recorded = outbox.find(limit=10_000_000)[::-1]
        with ledger.database.connection() as connection:
            query = text(
                "SELECT s.submission, s.stage, s.word, p.account, p.location, p.order_id FROM order_statuses s "
                "JOIN submissions p ON p.id = s.submission WHERE s.word IS NOT NULL"
            )
            statuses = connection.execute(query).all()
            states = dict(connection.execute(text("SELECT id, state FROM submissions")).tuples().all())
    problems = [*deliveries(recorded, receiver.arrivals), *changes(recorded, statuses, states)]
    canceled = {(row.location, json.loads(row.order_id)) for row in statuses if row.stage == "cancelled"}
    for story in stories:
        if story.canceled and (f"{story.plan.account}.{story.plan.place}", story.placed[-1].order_id) not in canceled:
            problems.append(f"answered canceled, but the ledger has another status: {story.plan.marker}")
    numbers = Counter(delivery.kind for delivery in recorded)
    numbers["arrived"] = len(receiver.arrivals)
    numbers["arrived again"] = len(receiver.arrivals) - len({each.id for each in receiver.arrivals})
    numbers["orders canceled"] = sum(story.canceled for story in stories)
    return problems, dict(numbers)


def deliveries(recorded: Sequence[EventDelivery], arrivals: Sequence[Arrival]) -> Iterator[str]:
    """Each event arrives under its id, those of an order in their order."""
    first = {arrival.id: place for place, arrival in reversed([*enumerate(arrivals)])}
    bodies = defaultdict(set)
    for arrival in arrivals:
        bodies[arrival.id].add(arrival.body)
    for event in recorded:
        if event.state != "accepted":
            yield f"the event {event.id} is {event.state}: {event.problem}"
        if event.id not in first:
            yield f"the event {event.id} is lost"
    for stranger in bodies.keys() - {event.id for event in recorded}:
        yield f"an event arrived that was not recorded: {stranger}"
    for id, different in bodies.items():
        if len(different) > 1:
            yield f"the event {id} said {len(different)} things"
    of_subject = defaultdict(list)
    for event in recorded:
        if event.id in first:
            of_subject[event.subject].append(first[event.id])
    for subject, places in of_subject.items():
        if places != sorted(places):
            yield f"the events of {subject} arrived out of order"


def changes(recorded: Sequence[EventDelivery], statuses: Sequence[Any], states: Mapping[str, str]) -> Iterator[str]:
    """Each change has one event: they form a chain, up to the last known status."""
    chains: defaultdict[str, list[Any]] = defaultdict(list)
    outcomes = {}
    for event in recorded:
        data = json.loads(event.data)
        if event.kind == "order.status_changed":
            chains[event.subject].append(data)
        elif event.kind == "submission.resolved":
            outcomes[event.subject] = data["outcome"]
    for status in statuses:
        chain = chains.pop(status.submission, [])
        said = [(each["status"], each["provider_status"]) for each in chain]
        if not said or said[-1] != (status.stage, status.word):
            yield f"the last status of {status.submission} is {status.stage}, its events say {said}"
        if [each["previous_status"] for each in chain] != [None, *(stage for stage, _ in said[:-1])]:
            yield f"the events of {status.submission} do not form a chain: {chain}"
        if len(set(said)) < len(said):
            yield f"a change of {status.submission} has two events: {said}"
    for subject in chains:
        yield f"events of {subject}, which has no status"
    for submission, outcome in outcomes.items():
        if states.get(submission) != outcome:
            yield f"{submission} was reported as {outcome}, and is {states.get(submission)}"
