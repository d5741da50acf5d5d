"""The sandbox engine on a port: in a thread, or as a process with ``python -m tests.faults.engine FILE``."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from levelup_ov.standins.sandbox import create_sandbox


@dataclass(frozen=True, slots=True)
class Cooked:
    """An order as the engine has it; ``marker`` is the customer's phone number.

    ``is_canceled``: nobody makes it; only the sandbox says so.
    """

    reference: str
    ticket: int
    place: str
    marker: str
    details: dict[str, Any]
    is_canceled: bool = False


def orders(database: Path) -> list[Cooked]:
    """Every order of the engine, read from its own file: no fault can hide one."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT reference, ticket, place, details, made_at IS NOT NULL FROM orders "
            "LEFT JOIN cancellations ON order_id = id ORDER BY place, ticket"
        )
        found = [(*row[:3], json.loads(row[3]), bool(row[4])) for row in rows]
    return [Cooked(*row[:3], row[3]["customer"]["phone"], *row[3:]) for row in found]


def server(database: Path, **arguments: Any) -> BaseWSGIServer:
    """Listens at once; serves on request."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    return make_server("127.0.0.1", 0, create_sandbox(database, **arguments), threaded=True)


@contextmanager
def engine(database: Path, **arguments: Any) -> Iterator[int]:
    """The engine in a thread; gives its port. ``arguments`` go to :func:`create_sandbox`."""
    served = server(database, **arguments)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served.server_port
    finally:
        served.shutdown()
        thread.join()
        served.server_close()


if __name__ == "__main__":
    process = server(Path(sys.argv[1]))
    print(process.server_port, flush=True)
    process.serve_forever()
