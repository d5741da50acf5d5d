"""``python -m bench.ahead``: what ordering ahead through LevelUp's stand-in costs.

A poll of an order beside a bare Flask route that reads one row of SQLite; and a whole order, start to completed, beside
what the service behind it spends on the same validation and submission. CPU time of this process, in process.
"""

from __future__ import annotations

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

CALLS = 400
ROUNDS = 5
ORDERS = 40


class Now:
    """The present, which :class:`Phones` may move."""

    def __init__(self) -> None:
        self.now = datetime.now(timezone.utc)

    def __call__(self) -> datetime:
        return self.now


def cpu(work: Callable[[], object], times: int) -> float:
    """Milliseconds of one, the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - started) * 1000 / times)
    return statistics.median(rounds)


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
        one = cpu(lambda: floor.get("/orders/one", headers=auth), CALLS)
        poll = cpu(lambda: phones.client.get(f"/v15/order_ahead/orders/{uuid}", headers=auth), CALLS)
        print(f"a bare route {one:.3f} ms, a poll {poll:.3f} ms: {poll / one:.2f} times")
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
