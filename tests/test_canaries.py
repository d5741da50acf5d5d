"""One place through which every text goes on its way out: canaries in every place and every spelling."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused
from levelup_ov.observability import JsonFormatter, configure_logging
from levelup_ov.redaction import MASK, clean, holds, in_address, looks_like_key, mask_id, remember, scrub, shield
from levelup_ov.scaffold.recording import Redactor, write_recording
from levelup_ov.transport.tap import Answered, Exchange
from tests.channel import CARD as CARD_MEMBERS
from tests.channel import Channel, order
from tests.contract.conftest import FAKE_TOKEN, fake

__all__ = ["fake"]

pytestmark = pytest.mark.rule("ERR-4", "PAY-2")

KEY = "canary/key+of the=provider"
CARD = "4012888888881881"
GROUPS = ("4012", "8888", "8888", "1881")


def base64_of_body(secret: str) -> str:
    return base64.b64encode(json.dumps({"a": 1, "inner": {"key": secret}}).encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda secret: quote(secret, safe=""),
    "percent in lower case": lambda secret: re.sub("%..", lambda e: e[0].lower(), quote(secret, safe="")),
    "percent for everything": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "percent three times": lambda secret: quote(quote(quote(secret, safe=""), safe=""), safe=""),
    "as PHP escapes it": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "unicode escapes": lambda secret: "".join(f"\\u{ord(character):04x}" for character in secret),
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"key": secret}).replace("/", "\\/")),
    "HTML": lambda secret: html.escape(secret).replace("/", "&#x2F;").replace("1", "&#49;"),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 of a body": base64_of_body,
    "base64 for addresses": lambda secret: base64_of_body(secret).translate(str.maketrans("+/", "-_")).rstrip("="),
    "base64 of a user and it": lambda secret: "Basic " + base64.b64encode(f"user:{secret}".encode()).decode(),
    "base64 twice": lambda secret: base64.b64encode(base64_of_body(secret).encode()).decode(),
    "base64 in lines": lambda secret: base64.encodebytes(base64_of_body(secret).encode() * 2).decode(),
    "base64 in an address": lambda secret: "/v1/things/" + quote(base64_of_body(secret), safe=""),
    "hex": lambda secret: secret.encode().hex(),
}
BETWEEN = [
    " ", "-", ".", ",", "_", "/", "+", "\u00a0", "\u2007", "\u202f", "\u2009", "\u3000", "\u2013", "\u2014", "\u2010",
    "\u200b", "\u2060", "\u00ad", "\t", ", ", " - ", "%20", "%2d", "%C2%A0", "\\u00a0", "&nbsp;", "%2520",
]  # fmt: skip


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    remember([Secret(KEY)])
    yield
    remember([])


@pytest.mark.parametrize("around", ["{}", "the provider says <{}> is wrong", "a={}&b=1", '{{"x": "{}"}}', "x/{}?y"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [KEY, CARD])
def test_no_spelling_passes(secret: str, spelling: str, around: str) -> None:
    written = SPELLINGS[spelling](secret)
    text = around.format(written)
    for cleaned in (clean(text), scrub(text, [Secret("something else"), Secret(secret)])):
        assert MASK in cleaned
        assert secret not in cleaned and written not in cleaned


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("before", ["", "1 ", "order 77, card ", "x"])
def test_card_numbers_are_found_whatever_is_between_their_digits(between: str, before: str) -> None:
    for groups in (GROUPS, CARD if len(between) == 1 else GROUPS):
        cleaned = clean(f"{before}{between.join(groups)} was declined")
        assert "1881" not in cleaned and MASK in cleaned, cleaned


@pytest.mark.parametrize(
    "text",
    [
        "request", "sandbox.congress", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "12345678-1234-4234-8234-123456789012",
        "/v1/carts/01HZX3K9ABCDEF0123456789/items", "2026-06-03T12:30:00.123456+00:00", "from 0.1 to 600",
        "the member $.order_validation.items[1].item.quantity appears twice", "192.168.10.1:54321",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15", "$12.50, $3.20, $10.00 and $5.55", "caf\u00e9 \u20ac5",
    ],
)  # fmt: skip
def test_other_texts_pass_as_they_are(text: str) -> None:
    assert clean(text) == text
    assert clean(text) is clean(text) or len(text) > 256


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [KEY, CARD])
@pytest.mark.parametrize("place", ["message", "argument", "value", "list", "key", "object"])
def test_no_line_of_the_log_holds_one(secret: str, spelling: str, place: str) -> None:
    written = SPELLINGS[spelling](secret)
    record = logging.LogRecord("x", logging.INFO, "", 0, "says", (), None)
    if place == "message":
        record.msg = f"it says {written}"
    elif place == "argument":
        record.msg, record.args = "it says %s", (written,)
    else:
        record.extra = {"value": written, "list": [1, [written]], "key": {written: 1}, "object": Path(written)}[place]
    line = JsonFormatter().format(record)
    assert MASK in line and secret not in line and json.dumps(written)[1:-1] not in line


def test_a_card_number_may_be_a_number_in_the_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "says", (), None)
    record.card, record.order, record.small = int(CARD), 1234567890123, 7
    line = json.loads(JsonFormatter().format(record))
    assert (line["card"], line["order"], line["small"]) == (MASK, 1234567890123, 7)


def test_what_ids_hold_by_chance_is_not_masked() -> None:
    card = [Secret(CARD), Secret("123")]
    assert mask_id("4929130000006663", card) == "4929130000006663"
    assert mask_id("order-123", card) == "order-123"
    masked = {mask_id(text, card) for text in (f"x{CARD}", f"y{CARD}", base64_of_body(CARD))}
    assert len(masked) == 3 and all(text.startswith(MASK) for text in masked)


def test_answers_hold_no_key_even_if_a_provider_repeats_it() -> None:
    assert shield(json.dumps({"name": f"Diner {KEY}"}).encode()) == json.dumps({"name": f"Diner {MASK}"}).encode()


def test_secrets_in_addresses_are_known() -> None:
    address = "https://user:pass%2Fword@engine.example/v1/sk9live8QpX72mvT41ZcB/menus?key=abc&x="
    assert {secret.reveal() for secret in in_address(address)} == {"pass/word", "sk9live8QpX72mvT41ZcB", "abc"}
    assert not list(in_address("https://engine.example/v1/restaurants/the-old-lighthouse-boston"))
    assert not looks_like_key("order_validations")


# Places.


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("DEBUG")
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


MakeFake = Callable[..., tuple[object, Channel]]


def escaped(*texts: str) -> str:
    return " ".join(texts)


@pytest.mark.parametrize("secret", [CARD, FAKE_TOKEN, "Canary Customer"])
@pytest.mark.parametrize("spelling", ["plain", "percent", "base64 of a body"])
def test_callers_cannot_put_one_into_log_or_answer(
    fake: MakeFake, log: io.StringIO, secret: str, spelling: str
) -> None:
    _, channel = fake()
    channel.get("/merchants/fake/locations")
    written = SPELLINGS[spelling](secret)
    twice = f'{{"order_validation": {{"{written}": 1, "{written}": 2}}}}'.encode()
    answers = [
        channel.get(f"/locations/fake.{quote(written, safe='')}/menu"),
        channel.submit(f"fake.{quote(written, safe='')}"),
        channel.get(f"/merchants/{quote(written, safe='')}/locations"),
        channel.get("/merchants", **{"X-Request-ID": written.replace(" ", "_")}),
    ]
    if secret != "Canary Customer":  # the channel's own words about its own body
        answers.append(channel.post("fake.one", "order_validation", twice))
    for answer in answers:
        reported = json.dumps([answer.json, answer.headers])
        if secret != "Canary Customer" or "X-Request-ID" not in reported:
            assert secret not in reported and written not in reported
    if secret != "Canary Customer":
        assert secret not in log.getvalue() and written not in log.getvalue()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert not any(secret in (line.get("location") or "") for line in lines)


@pytest.mark.parametrize("spelling", ["plain", "percent twice", "base64 of a body", "as PHP escapes it"])
@pytest.mark.parametrize("secret", [CARD_MEMBERS["number"], FAKE_TOKEN])
def test_providers_cannot_put_one_into_log_or_answer(
    fake: MakeFake, log: io.StringIO, secret: str, spelling: str
) -> None:
    adapter, channel = fake()
    written = SPELLINGS[spelling](secret)
    adapter.placed = Refused("order_refused", f"no: {written}", path=f"$.{written}")  # type: ignore[attr-defined]
    answer = channel.submit("fake.one", credit_card=CARD_MEMBERS)
    assert answer.refusal == (422, "order_refused", None)
    assert MASK in answer.error["message"]
    assert secret not in json.dumps(answer.json) + log.getvalue() and written not in answer.error["message"]


@pytest.mark.rule("SUB-1")
def test_an_order_id_that_holds_the_card_is_not_recorded(fake: MakeFake, log: io.StringIO) -> None:
    adapter, channel = fake()
    number = CARD_MEMBERS["number"]
    adapter.placed = Placed("A-1", f"order-{number}", reference=None)  # type: ignore[attr-defined]
    assert channel.submit("fake.one", credit_card=CARD_MEMBERS).status == 200
    [recorded] = channel.app.extensions["levelup_ov"].submissions.ledger.reader.find()
    assert recorded.provider_order_id.startswith(MASK) and number not in log.getvalue()
    ledger = channel.app.extensions["levelup_ov"].submissions.ledger
    assert number not in repr(ledger.reader.find(account="fake")) + log.getvalue()


# Recordings.


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "base64 of a user and it"])
def test_a_recording_with_a_secret_is_not_written(tmp_path: Path, spelling: str) -> None:
    content = json.dumps({"kind": SPELLINGS[spelling](KEY)}).encode()
    answer = Answered(200, {"Content-Type": "application/json"}, content)
    exchange = Exchange("GET", "https://live.example/menu", {}, answer=answer)
    path = tmp_path / "recording.json"
    with pytest.raises(ValueError, match="a secret of the account") as caught:
        write_recording(path, [exchange], Redactor(), [Secret(KEY)])
    assert not path.exists() and KEY not in str(caught.value)
    write_recording(path, [exchange], Redactor(), [Secret("another-secret")])
    assert path.exists()


def test_a_token_in_the_path_is_not_recorded(tmp_path: Path) -> None:
    exchange = Exchange("GET", "https://live.example/tokenofthisaccount/menu", {}, answer=None)
    with pytest.raises(ValueError, match="a secret of the account"):
        write_recording(tmp_path / "recording.json", [exchange], Redactor(), [Secret("tokenofthisaccount")])


def test_other_recordings_are_written(tmp_path: Path) -> None:
    assert not holds(json.dumps(order()), [Secret(KEY), Secret("tokenofthisaccount")])
