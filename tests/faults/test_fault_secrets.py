"""No secret reaches a log, an error, the ledger or a file of ours, on any path (ERR-4, PAY-2, META-7)."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from adapters.sandbox import SandboxAdapter
from levelup_ov.observability import configure_logging
from tests.faults.proxy import Call, Exchange
from tests.faults.scripted import ScriptedService, scripted_service
from tests.faults.stack import API_KEY

PROVIDER_KEY = "canary/key+of the=provider"
CARD = {
    "number": "4929130000006663",
    "cvv": "9163",
    "zip": "02114",
    "expiration_month": "06",
    "expiration_year": "2039",
}
DECLINED = {**CARD, "number": "4000000000000002"}
LOST = {**CARD, "number": "4000000000000119"}
MEMBERS = "diner.account"


@dataclass
class Trail:
    """All that the service let out while a test ran."""

    log: io.StringIO
    tracebacks: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=lambda: {API_KEY, PROVIDER_KEY})
    canaries: set[str] = field(default_factory=set)
    """What the adapter and the engine made up: passwords and tokens, as they went over the wire."""

    def watch(self, call: Call) -> None:
        if call.kind in ("account", "session"):
            self.canaries.add(json.loads(call.body)["password"])
        if token := call.headers.get("X-Sandbox-Session"):
            self.canaries.add(token)


def forms(secret: str) -> Iterator[str]:
    """A secret as it might be written: plain, percent-encoded, and within base64 at any offset."""
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    for shift in range(3):
        raw = b"\0" * shift + secret.encode()
        # The characters at the edges depend on the neighbors too.
        start, end = -(-8 * shift // 6), len(raw) * 8 // 6
        yield base64.b64encode(raw).decode()[start:end]
        yield base64.urlsafe_b64encode(raw).decode()[start:end]


def hits(text: str, secret: str) -> list[str]:
    """Where ``secret`` is in ``text``. One of four digits counts only as a word: ids hold many digits."""
    found = []
    for form in set(forms(secret)):
        short = len(form) <= 6
        pattern = rf"(?<![\w.-]){re.escape(form)}(?![\w-])" if short else re.escape(form)
        for each in re.finditer(pattern, text):
            found.append(f"{form!r}: ...{text[max(each.start() - 60, 0) : each.end() + 20]}")
    return found


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    """The real log of the service at DEBUG, its tracebacks, its answers."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    log = io.StringIO()
    configure_logging("DEBUG")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)
    found = Trail(log)
    handle = Flask.handle_user_exception

    def note(app: Flask, error: Exception) -> Any:
        # As a handler would print it: with its causes, and with all that it holds.
        chain = "".join(traceback.format_exception(error))
        found.tracebacks.append(f"{chain}\n{error!r} {vars(error)}")
        return handle(app, error)

    monkeypatch.setattr(Flask, "handle_user_exception", note)
    yield found
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def one(tmp_path: Path, trail: Trail) -> Iterator[ScriptedService]:
    settings = {"PROVIDER_KEY": PROVIDER_KEY, "LEVELUP_OV_LOG_LEVEL": "DEBUG"}
    with scripted_service(tmp_path, key=PROVIDER_KEY, account='api_key = "env:PROVIDER_KEY"', more=settings) as found:
        choose = found.script

        def watching(call: Call) -> Any:
            trail.watch(call)
            return choose(call)

        found.proxy.choose = watching
        yield found


def _search(trail: Trail, one: ScriptedService) -> None:
    """:raises AssertionError: a secret was found."""
    secrets = {*trail.secrets, *trail.canaries}
    for card in (CARD, DECLINED, LOST):
        secrets |= {card["number"], card["cvv"]}
    written: dict[str, str] = {
        "the log": trail.log.getvalue(),
        "a traceback": "\n".join(trail.tracebacks),
        "an answer": "\n".join(trail.answers),
        "the ledger": "\n".join(map(repr, one.rows())),
    }
    for path in one.directory.rglob("*"):
        if path.is_file() and not path.name.startswith("engine.db"):
            written[path.name] = path.read_bytes().decode("latin-1")
    assert any(name.startswith("ledger.db") for name in written)
    assert '"message":"request"' in written["the log"]
    found = [f"{where}: {hit}" for where, text in written.items() for secret in secrets for hit in hits(text, secret)]
    assert not found, "\n".join(found)


def _note(trail: Trail, answer: Any) -> Any:
    trail.answers.append(json.dumps(answer.body) + repr(answer.headers))
    return answer


def _echo(status: int, code: str | None) -> Any:
    """The provider says back all that it was sent, in its words for people, plain and encoded."""

    def echo(exchange: Exchange) -> bool:
        sent = json.dumps(dict(exchange.call.headers)) + exchange.call.body.decode()
        parts = [*exchange.call.headers.values(), *re.findall(r'"((?:[^"\\]|\\.)+)"', exchange.call.body.decode())]
        encoded = [base64.b64encode(part.encode()).decode() for part in parts]
        text = " ".join([sent, *parts, *map(quote, parts), *(quote(part, safe="") for part in parts), *encoded])
        body: Mapping[str, Any] = {"problem": {"code": code, "text": text, "where": text}} if code else {"fault": text}
        exchange.pass_on(status, json.dumps(body).encode(), X_Echo=quote(text), Retry_After="60")
        return True

    return echo


def _echo_garbage(exchange: Exchange) -> bool:
    """The same where a status line should be."""
    exchange.connection.sendall(f"{exchange.call.headers} {exchange.call.body!r}\r\n\r\n".encode())
    return False


@pytest.mark.rule("ERR-4", "PAY-2")
def test_the_search_finds_what_it_looks_for() -> None:
    for secret in (PROVIDER_KEY, CARD["number"], CARD["cvv"]):
        for text in (
            f"x {secret} y",
            f"a={quote(secret, safe='')}&b",
            base64.b64encode(f"user:{secret}".encode()).decode() if len(secret) > 4 else f'"{secret}"',
        ):
            assert hits(text, secret), text
    assert not hits("5f9163a2-9163b 19163", CARD["cvv"])


@pytest.mark.rule("ERR-4", "PAY-2", "META-7")
@pytest.mark.parametrize("location", ["diner.congress", MEMBERS])
def test_placed_declined_unknown_and_reconciled(one: ScriptedService, trail: Trail, location: str) -> None:
    def submit(**members: Any) -> Any:
        return _note(trail, one.submit(location, **members))

    validated = _note(trail, one.validate(location))
    metadata = validated.body["order_validation"]["metadata"]
    placed = submit(key="placed", credit_card=CARD, metadata=metadata)
    assert placed.status == 200
    assert submit(key="placed", credit_card=CARD, metadata=metadata).replayed
    account = {**metadata, **placed.body["order_submission"]["metadata"]}
    account.pop("order_validation_id")
    assert submit(key="declined", credit_card=DECLINED, metadata=account).code in ("card_declined", "order_refused")
    assert submit(key="other cart", credit_card=DECLINED).code == "card_declined"
    assert submit(key="unknown", credit_card=LOST).code == "outcome_unknown"
    assert submit(key="unknown", credit_card=LOST).replayed
    assert submit(credit_card=CARD).status == 200
    if location == MEMBERS:
        assert len(trail.canaries) >= 2
    _search(trail, one)


@pytest.mark.rule("ERR-4", "PAY-2", "META-7")
@pytest.mark.parametrize("location", ["diner.congress", MEMBERS])
@pytest.mark.parametrize(
    "status, code",
    [(422, "card_declined"), (422, "unheard_of"), (401, "session_refused"), (401, None), (500, None)],
)
@pytest.mark.parametrize("kind", ["cart", "order", "account", "session", "lookup"])
def test_a_provider_that_says_back_what_it_was_sent(
    one: ScriptedService, trail: Trail, kind: str, status: int, code: str | None, location: str
) -> None:
    metadata = _note(trail, one.validate(location)).body["order_validation"]["metadata"]
    if kind in ("session", "account"):
        if location != MEMBERS:
            return
        metadata.pop("order_cart")
        metadata = metadata if kind == "session" else {}
    one.script.add(kind, *[_echo(status, code)] * 3)
    if kind == "lookup":
        one.script.add("order", "answer lost")
    if kind == "cart":
        metadata.pop("order_cart")
    first = _note(trail, one.submit(location, key="a", credit_card=CARD, metadata=metadata))
    assert first.status != 200
    _note(trail, one.submit(location, key="a", credit_card=CARD, metadata=metadata))
    _search(trail, one)


@pytest.mark.rule("ERR-4", "PAY-2")
@pytest.mark.parametrize("kind", ["cart", "order"])
def test_a_provider_whose_status_line_is_what_it_was_sent(one: ScriptedService, trail: Trail, kind: str) -> None:
    one.validate()
    one.script.add(kind, *[_echo_garbage] * 3)
    assert _note(trail, one.submit(key="a", credit_card=CARD)).status in (503, 504)
    _search(trail, one)


@pytest.mark.rule("ERR-4", "PAY-2", "SUB-5")
def test_our_own_fault(one: ScriptedService, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: SandboxAdapter, order: Any, *arguments: Any) -> Any:
        raise RuntimeError(f"{CARD} {PROVIDER_KEY} {API_KEY}") from KeyError(CARD["number"])

    monkeypatch.setattr(SandboxAdapter, "submit_order", crash)
    monkeypatch.setattr(SandboxAdapter, "validate_order", crash)
    assert _note(trail, one.validate()).code == "internal_error"
    assert _note(trail, one.submit(key="a", credit_card=CARD)).code == "internal_error"
    assert "RuntimeError" in trail.log.getvalue()
    # The text of this exception is the secret itself; only what we write of it counts.
    trail.tracebacks.clear()
    _search(trail, one)


@pytest.mark.rule("ERR-4", "PAY-2")
def test_a_body_that_is_refused(one: ScriptedService, trail: Trail) -> None:
    for card in ({**CARD, "cvv": CARD["number"]}, {**CARD, "number": f"{CARD['number']}x"}, {**CARD, "zip": 1}):
        assert _note(trail, one.submit(credit_card=card)).code == "invalid_member"
    assert _note(trail, one.submit(credit_card=CARD, tender="LevelUp")).code == "invalid_member"
    _search(trail, one)
