"""Checkout sessions against what they are made of.

``python -m bench.sessions [--rounds N] [--postgresql] 2>/dev/null``

A create against the contract's validation of the same basket, which makes the same call to the provider; a read against
two Flask routes that read one row of the same system with an answer of the same size: one bare, one that also knows its
caller by a key and writes the log line that every request has here. The first read of a session opens and writes what
the next ones find written. All in one process and in turns, by their CPU time without the provider's and PostgreSQL's;
a ratio is the median of the rounds' ratios. The service has the settings of production.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from flask import Flask, Response, abort, g, request
from sqlalchemy import create_engine, text

from bench.adapter import BenchAdapter
from bench.order import API_KEY, ORDER, option_ids
from bench.production import PRODUCTION
from bench.wsgi import call
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Quote
from levelup_ov.ledger.engine import upgrade
from levelup_ov.observability import configure_logging
from levelup_ov.transport.session import Session

AGENT_KEY = "canary-key-of-the-lunch-agent"
BATCH = 40
"""Requests of a kind in a row."""
SESSIONS = "/ucp/food/checkout-sessions"
BASKET = {name: value for name, value in ORDER.items() if name != "merchant_funded_discount"}


class PricingAdapter(BenchAdapter):
    """Its provider gives no discount: agents have none of the merchant's to give. The menu has the prices of lines."""

    def validate_order(self, order: Order, session: Session) -> Quote:
        return replace(super().validate_order(order, session), merchant_funded_discount=0, charged=None)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--postgresql", action="store_true", help="the ledger there, and not in SQLite")
    options = parser.parse_args()
    rounds, ledger = options.rounds, {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-sessions-")))
        rows = f"sqlite:///{directory}/bare.db"
        if options.postgresql:
            from tests.servers.postgres import PostgresServer, binaries  # with all that tests need

            server = stack.enter_context(PostgresServer(binaries()))
            ledger = {"DATABASE_URL": server.url(server.create_database()), "LEVELUP_OV_LEDGER": ""}
            rows = server.url(server.create_database()).replace("postgresql:", "postgresql+psycopg:")
        service = _service(directory, stack.enter_context(provider()), ledger)
        print("\n".join(_ratios(_calls(service, rows, rounds), rounds)))


def _ratios(calls: Mapping[str, Callable[[], None]], rounds: int) -> Iterator[str]:
    took: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in random.sample(sorted(calls), len(calls)):
            began = time.process_time()
            for _ in range(BATCH):
                calls[name]()
            if number:  # the first round warms up
                took[name].append((time.process_time() - began) / BATCH * 1e6)
    routes = "bare route", "route with a key and a log line"
    pairs = [("create", "validation"), *product(("read", "first read"), routes)]
    for one, other in pairs:
        ratio = median(mine / theirs for mine, theirs in zip(took[one], took[other], strict=True))
        yield f"{one} {median(took[one]):.0f} us, {other} {median(took[other]):.0f} us of CPU: {ratio:.2f}"


def _calls(service: Flask, rows: str, rounds: int) -> Mapping[str, Callable[[], None]]:
    validation = json.dumps({"order_validation": BASKET}).encode()
    creation = json.dumps(_checkout()).encode()
    agent = {"HTTP_X_API_KEY": AGENT_KEY, "HTTP_UCP_AGENT": 'profile="https://agents.example/profile.json"'}
    channel = {"HTTP_AUTHORIZATION": f"token {API_KEY}"}

    # An agent makes its ids itself.
    ids = iter([str(uuid.uuid4()) for _ in range(6 * (rounds + 1) * BATCH + 9)])

    def create() -> bytes:
        headers = {**agent, "HTTP_REQUEST_ID": next(ids), "HTTP_IDEMPOTENCY_KEY": next(ids)}
        return call(service, "POST", SESSIONS, creation, headers, "201")

    def read(path: str) -> None:
        _ignore(call(service, "GET", path, b"", {**agent, "HTTP_REQUEST_ID": next(ids)}))

    made = create()
    path = f"{SESSIONS}/{json.loads(made)['id']}"
    unread = iter([f"{SESSIONS}/{json.loads(create())['id']}" for _ in range((rounds + 1) * BATCH)])
    bare, alike = _bare(rows, made.decode()), _with_key_and_log(_bare(rows, made.decode()))
    return {
        "validation": lambda: _ignore(
            call(service, "POST", "/locations/bench.main/order_validations", validation, channel)
        ),
        "create": lambda: _ignore(create()),
        "read": lambda: read(path),
        "first read": lambda: read(next(unread)),
        "bare route": lambda: _ignore(call(bare, "GET", "/rows/1", b"", {})),
        "route with a key and a log line": lambda: _ignore(call(alike, "GET", "/rows/1", b"", agent)),
    }


def _ignore(_answer: bytes) -> None:
    """Only its cost counts."""


def _bare(rows: str, answer: str) -> Flask:
    engine = create_engine(rows)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, answer TEXT)"))
        connection.execute(text("DELETE FROM answers"))
        connection.execute(text("INSERT INTO answers VALUES (1, :answer)"), {"answer": answer})
    app = Flask("bare")
    read = text("SELECT answer FROM answers WHERE id = :id")

    @app.get("/rows/<int:id>")
    def show(id: int) -> Response:
        with engine.connect() as connection:
            return Response(connection.execute(read, {"id": id}).scalar_one(), mimetype="application/json")

    return app


def _with_key_and_log(app: Flask) -> Flask:
    log, key = logging.getLogger("levelup_ov.request"), AGENT_KEY.encode()

    @app.before_request
    def authenticate() -> None:
        g.began = time.monotonic()
        if not hmac.compare_digest(request.headers.get("X-API-Key", "").encode(), key):
            abort(401)

    @app.after_request
    def write(response: Response) -> Response:
        milliseconds = round((time.monotonic() - g.began) * 1000)
        extra = {
            "request_id": str(uuid.uuid4()), "operation": "show", "outcome": "ok", "status": response.status_code,
            "milliseconds": milliseconds, "account": "bench", "location": "bench.main", "provider": "bench",
            "provider_calls": [],
        }  # fmt: skip
        log.info("request", extra=extra)
        return response

    return app


def _checkout() -> dict[str, Any]:
    user = ORDER["user"]
    lines = [
        {
            "dish": {
                "id": each["item"]["provider_id"],
                "modifications": [{"id": id} for id in option_ids(number)],
                **({"note": note} if (note := each["item"]["special_instructions"]) else {}),
            },
            "quantity": each["item"]["quantity"],
        }
        for number, each in enumerate(ORDER["items"], 1)
    ]
    return {
        "food_establishment": {"id": "bench.main"},
        "line_items": lines,
        "buyer": {name: user[name] for name in ("first_name", "last_name", "email")} | {"phone_number": user["phone"]},
        "tip": {"custom_amount": ORDER["tip"]},
        "fulfillment": {"methods": [{"type": "pickup", "notes": ORDER["special_instructions"]}]},
    }


@contextmanager
def provider() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        finally:
            running.terminate()


def _service(directory: Path, provider: str, ledger: Mapping[str, str]) -> Flask:
    accounts = directory / "accounts.toml"
    accounts.write_text(
        f'[accounts.bench]\nprovider = "bench"\nname = "Bench"\n[accounts.bench.settings]\nbase_url = "{provider}"\n'
    )
    settings = load_settings(
        {
            **PRODUCTION,
            "LEVELUP_OV_UCP_AGENTS": f"lunch={AGENT_KEY}",
            "LEVELUP_OV_UCP_URL": "https://orders.example",
            "LEVELUP_OV_ACCOUNTS": str(accounts),
            "LEVELUP_OV_ADAPTERS": "bench=bench.sessions:PricingAdapter",
            "LEVELUP_OV_DATA_DIR": str(directory / "data"),
            **ledger,
        }
    )
    settings.data_dir.mkdir(exist_ok=True)
    upgrade(settings.ledger.reveal())
    configure_logging(settings.log_level)
    return create_app(settings)


if __name__ == "__main__":
    main()
