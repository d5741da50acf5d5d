"""``python -m bench.ahead``: what ordering ahead through LevelUp's stand-in costs.

Polls of an order beside a bare Flask route that reads one row of SQLite: those that wait, which phones repeat, and the
last one of each kind. And a whole order, start to completed, beside what the service behind it spends on the same
validation and submission. CPU time of this process, in process.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from flask import Flask, Response

from levelup_ov.standins.levelup.ahead.gateway import GatewayReply
from tests.standin.ahead import Phones, line
from tests.standin.visitors import ADA

CALLS = 100
ROUNDS = 31
ORDERS = 40


class Now:
    """The present, which :class:`Phones` may move."""

    def __init__(self) -> None:
        self.now = datetime.now(timezone.utc)

    def __call__(self) -> datetime:
        return self.now


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.process_time()
    for _ in range(CALLS):
        work()
    return (time.process_time() - started) * 1000 / CALLS


def beside(rounds: int, floor: Callable[[], object], work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of ``work``, and how many times those of ``floor`` that is: the medians of rounds that alternate."""
    took = [(cpu(floor), cpu(work)) for _ in range(rounds)]
    return statistics.median(each for _, each in took), statistics.median(each / bare for bare, each in took)


def bare(path: Path) -> Flask:
    """A route that reads one row."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("CREATE TABLE orders (uuid TEXT PRIMARY KEY, state TEXT)")
    connection.execute("INSERT INTO orders VALUES ('one', 'validating')")
    app = Flask("bare")

    @app.get("/orders/<uuid>")
    def show(uuid: str) -> Response:
        row = connection.execute("SELECT state FROM orders WHERE uuid = ?", (uuid,)).fetchone()
        return Response(status=202 if row[0] == "validating" else 200)

    return app


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ahead-") as name:
        directory = Path(name)
        phones = Phones(directory, Now())  # type: ignore[arg-type]
        spent = [0.0]
        reach = phones.gateway

        def measured(*arguments: object, **named: object) -> GatewayReply:
            started = time.process_time()
            try:
                return reach(*arguments, **named)  # type: ignore[arg-type]
            finally:
                spent[0] += time.process_time() - started

        service = phones.app.extensions["order_ahead"]
        service._gateway = service.places._gateway = measured
        auth = {"Authorization": phones.auth(ADA), "Accept": "application/json"}
        cart = phones.cart(line(phones.item("Cookie")))
        uuid = phones.call("POST", "/v15/order_ahead/orders", cart, auth=phones.auth(), status=202)["order"]["uuid"]
        floor = bare(directory / "bare.db").test_client()

        def poll(what: str, path: str) -> None:
            ms, times = beside(
                options.rounds,
                lambda: floor.get("/orders/one", headers=auth),
                lambda: phones.client.get(f"/v15/order_ahead/orders/{uuid}{path}", headers=auth),
            )
            print(f"a poll of an order that is {what}: {ms:.3f} ms, {times:.2f} times a bare route")

        poll("validating (202)", "")
        phones.work()
        poll("valid (200)", "")
        phones.complete(uuid)
        poll("submitting (202)", "/complete")
        phones.work()
        poll("completed (200)", "/complete")
        token = phones.auth()
        spent[0], started = 0.0, time.process_time()
        for _ in range(ORDERS):
            phones.ordered(line(phones.item("Cookie")), auth=token)
        whole = time.process_time() - started
        added = whole - spent[0]
        print(
            f"a whole order {whole * 1000 / ORDERS:.1f} ms, of which the service {spent[0] * 1000 / ORDERS:.1f} ms: "
            f"the stand-in adds {added / spent[0]:.2f} times the service's own"
        )
        phones.store.close()


if __name__ == "__main__":
    main()
