"""A provider's JSON is read by type and path; anything else is a broken protocol, never a crash or a guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.domain.money import MAX_CENTS
from levelup_ov.domain.ready_time import in_minutes, to_wire
from levelup_ov.errors import Unanswered
from levelup_ov.transport.json_object import MAX_INTEGER, JSONObject
from levelup_ov.transport.session import Reply

NOW = datetime(2037, 12, 31, tzinfo=timezone.utc)
READERS: dict[str, Callable[[JSONObject], Any]] = {
    "text": lambda answer: answer.text("m"),
    "identifier": lambda answer: answer.identifier("m"),
    "integer": lambda answer: answer.integer("m"),
    "cents": lambda answer: answer.cents("m"),
    "dollars": lambda answer: answer.dollars("m"),
    "decimal": lambda answer: answer.decimal("m"),
    "boolean": lambda answer: answer.boolean("m"),
    "instant": lambda answer: answer.instant("m"),
    "member": lambda answer: answer.member("m"),
    "each": lambda answer: answer.each("m"),
    "texts": lambda answer: answer.texts("m"),
    "identifiers": lambda answer: answer.identifiers("m"),
}
SOUND: dict[str, dict[str, Any]] = {
    "text": {'"a"': "a", '""': "", '"\\u00fc"': "ü", '"\\ud83c\\udf5f"': "🍟"},
    "identifier": {'"a:1"': "a:1", "17": "17", "0": "0", str(10**30): str(10**30)},
    "integer": {"0": 0, "7": 7, str(MAX_INTEGER): MAX_INTEGER},
    "cents": {"0": 0, "1250": 1250, str(MAX_CENTS): MAX_CENTS},
    "dollars": {"12.5": 1250, "12": 1200, "0.10": 10, "1e1": 1000, "0.0": 0},
    "decimal": {"0.1": Decimal("0.1"), "7": Decimal(7), "-71.06": Decimal("-71.06"), "1e2": Decimal(100)},
    "boolean": {"true": True, "false": False},
    "instant": {
        '"2026-06-03T12:30:00-04:00"': datetime(2026, 6, 3, 16, 30, tzinfo=timezone.utc),
        '"2026-06-03T16:30Z"': datetime(2026, 6, 3, 16, 30, tzinfo=timezone.utc),
    },
    "texts": {"[]": [], '["a", "b"]': ["a", "b"]},
    "identifiers": {"[]": [], '["a", 7]': ["a", "7"]},
}
WRONG: dict[str, list[str]] = {
    "text": ["1", "true", "[]", "{}", "1.5"],
    "identifier": ['""', "true", "1.0", "1.5", "[]", "{}"],
    "integer": ["-1", "1.0", "1e3", "true", '"1"', str(MAX_INTEGER + 1), "9" * 4000, "[]", "{}"],
    "cents": ["-1", "10.0", "1e3", "true", '"10"', str(MAX_CENTS + 1), "[]", "{}"],
    "dollars": ["-0.01", "1.005", '"1"', "true", "1e999999999", "1e-999999999", str(10**40), "1000000", "[]", "{}"],
    "decimal": ['"1"', "true", "[]", "{}"],
    "boolean": ["0", "1", '"true"', '""', "[]", "{}"],
    "instant": [
        '"2026-06-03T12:30:00"',
        '"2026-06-03"',
        '"ASAP"',
        '""',
        "0",
        "1780000000",
        '"2026-02-30T00:00Z"',
        '"0001-01-01T00:00Z"',
        '"9999-12-31T23:59:59-12:00"',
        '"9999-12-31T23:59:59Z"',
        "[]",
        "{}",
    ],
    "member": ["1", '"a"', "[]", "true"],
    "each": ["1", '"a"', "{}", "true", "[1]", '["a"]', "[null]", "[[]]"],
    "texts": ["1", '"a"', "{}", "[1]", "[null]", '["a", 1]', "[[]]"],
    "identifiers": ["1", '"a"', "{}", '[""]', "[null]", '["a", 1.5]', "[true]"],
}
ALL_READERS = pytest.mark.parametrize("reader", READERS)


def answer_of(body: str | bytes) -> JSONObject:
    return Reply(200, {}, body if isinstance(body, bytes) else body.encode()).object()


def broken(read: Callable[[], Any]) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        read()
    assert (caught.value.code, caught.value.sent) == ("provider_protocol_error", True)
    return caught.value


@pytest.mark.parametrize("reader, text", [(reader, text) for reader, texts in SOUND.items() for text in texts])
def test_what_is_sound_is_read_exactly(reader: str, text: str) -> None:
    found = READERS[reader](answer_of(f'{{"m": {text}}}'))
    assert found == SOUND[reader][text]
    assert type(found) is type(SOUND[reader][text])


@pytest.mark.rule("MONEY-1", "TIME-7")
@pytest.mark.parametrize("reader, text", [(reader, text) for reader, texts in WRONG.items() for text in texts])
def test_a_wrong_type_is_named_by_its_path(reader: str, text: str) -> None:
    assert "$.m" in broken(lambda: READERS[reader](answer_of(f'{{"m": {text}}}'))).message


@pytest.mark.rule("ERR-4")
@pytest.mark.parametrize("reader", sorted(set(READERS) - {"text", "identifier"}))
def test_a_value_that_cannot_be_read_is_not_repeated(reader: str) -> None:
    failure = broken(lambda: READERS[reader](answer_of('{"m": "a private matter"}')))
    assert "private" not in repr(failure)


@ALL_READERS
@pytest.mark.parametrize("body", ["{}", '{"m": null}', '{"M": 1}'])
def test_what_is_missing_is_named(reader: str, body: str) -> None:
    assert "$.m" in broken(lambda: READERS[reader](answer_of(body))).message


@ALL_READERS
@pytest.mark.parametrize("body", ["[]", "1", '"a"', "null", "true"])
def test_an_answer_that_is_not_an_object_is_broken(reader: str, body: str) -> None:
    assert "$" in broken(lambda: READERS[reader](answer_of(body))).message


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"member"}))
def test_a_default_replaces_only_what_is_missing(reader: str) -> None:
    default = object()
    assert getattr(answer_of("{}"), reader)("m", default if reader != "each" else []) in (default, [])
    assert broken(lambda: getattr(answer_of(f'{{"m": {WRONG[reader][-1]}}}'), reader)("m", []))


def test_paths_lead_to_the_place() -> None:
    answer = answer_of('{"cart": {"lines": [{"price": 1}, {"price": "1"}]}}')
    first, second = answer.member("cart").each("lines")
    assert first.cents("price") == 1
    assert "$.cart.lines[1].price" in broken(lambda: second.cents("price")).message
    assert answer.has("cart") and not answer.has("lines")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} {"b": 2}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_invalid_json_is_a_broken_protocol(body: bytes) -> None:
    broken(lambda: answer_of(body))


def test_floats_become_exact_decimals() -> None:
    assert answer_of('{"m": 0.1, "n": [1.10, {"o": 3e-2}]}').value == {
        "m": Decimal("0.1"),
        "n": [Decimal("1.10"), {"o": Decimal("0.03")}],
    }
    assert type(answer_of('{"m": 1.0}').value["m"]) is Decimal


def test_of_a_member_named_twice_the_last_counts() -> None:
    assert answer_of('{"m": 1, "m": 2}').integer("m") == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("mno"), inner, max_size=3),
    max_leaves=8,
)


@ALL_READERS
@given(JSON)
def test_every_value_is_read_or_broken(reader: str, value: Any) -> None:
    body = json.dumps({"m": value}).encode()
    try:
        found = READERS[reader](answer_of(body))
    except Unanswered as failure:
        assert failure.code == "provider_protocol_error"
        return
    if isinstance(found, datetime):
        assert to_wire(found, None)
    if reader == "integer":
        assert in_minutes(found, NOW)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_broken(body: bytes) -> None:
    try:
        Reply(200, {}, body).json()
    except Unanswered as failure:
        assert failure.code == "provider_protocol_error"
