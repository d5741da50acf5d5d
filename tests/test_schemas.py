"""Reading bodies: the fast way and marshmallow's own agree, and JSON is taken strictly."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.base import WireSchema, read_quickly
from levelup_ov.schemas.body import parse
from levelup_ov.schemas.orders import OrderSubmissionSchema, OrderValidationSchema, read_submission, read_validation

REQUESTS = Path(__file__).parents[1] / "docs" / "requests"
SCHEMAS: dict[str, WireSchema] = {
    "order_validation": OrderValidationSchema(),
    "order_submission": OrderSubmissionSchema(),
}
EXAMPLES = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(REQUESTS.glob("*.json"))]

ODD = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 10.0, 1e3, 10**30, 99_999_999, 100_000_000, 9_999, 10_000, "", " ", "a", "10",
        "1_000", "LevelUp", "levelup", "2030-06-03T12:30", "2030-02-30T12:30", "ada@example.com", "4012888888881881",
        "01", "13", "2031", "31", "\x00", "\n", "é", "\u2028", "x" * 1_001, "١٢٣", [], {}, [None], [[]], [{}],
        {"item": None}, {"item": {}}, {"option": {"provider_id": "a"}}, {"unknown": 1}, {"integration_a": 1},
    ]
).map(copy.deepcopy)  # fmt: skip
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=8)
VALUES = ODD | st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)
NAMES = sorted({name for schema in SCHEMAS.values() for name in schema.fields} | {"item", "option", "provider_id"})


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key within ``value``."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """A sound body with some of its places changed, removed or added."""
    body = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    root = next(iter(body))
    for _ in range(draw(st.integers(0, 4))):
        found = list(places(body[root]))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "replace", "remove", "add", "repeat"]))
        if change == "replace":
            container[key] = draw(VALUES)
        elif change == "remove":
            del container[key]
        elif change == "add" and isinstance(container, dict):
            container[draw(st.sampled_from(NAMES) | st.text(max_size=5))] = draw(VALUES)
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    return draw(st.sampled_from(sorted(SCHEMAS))), body[root]


def outcome(read: Any, data: Any) -> Any:
    try:
        return read(data)
    except (ValueError, ValidationError):
        return "refused"


@pytest.mark.rule("EP-8", "EP-9", "EP-11")
@settings(max_examples=1_000)
@given(mutated())
def test_both_ways_of_reading_agree(case: tuple[str, Any]) -> None:
    root, data = case
    before = repr(data)
    quick, plain = outcome(partial(read_quickly, SCHEMAS[root]), data), outcome(SCHEMAS[root].load, data)
    if quick != "refused":
        assert quick == plain
        assert repr(quick) == repr(plain)  # 1, 1.0 and True are equal
    assert repr(data) == before


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: next(iter(body)))
def test_sound_bodies_take_the_fast_way(body: Any) -> None:
    ((root, data),) = body.items()
    assert read_quickly(SCHEMAS[root], data) == SCHEMAS[root].load(data)


@pytest.mark.rule("EP-9", "ERR-1")
@given(mutated())
def test_a_body_is_read_or_refused_with_a_path_in_it(case: tuple[str, Any]) -> None:
    root, data = case
    try:
        {"order_validation": read_validation, "order_submission": read_submission}[root](
            json.dumps({root: data}).encode()
        )
    except Failure as failure:
        assert failure.code == "invalid_member"
        assert failure.path is not None and failure.path.startswith(f"$.{root}")
        assert failure.path in failure.message


@pytest.mark.rule("PAY-2", "ERR-4")
@pytest.mark.parametrize("member", ["number", "cvv"])
def test_a_wrong_card_is_not_repeated(member: str) -> None:
    body = next(copy.deepcopy(body) for body in EXAMPLES if body.get("order_submission", {}).get("credit_card"))
    body["order_submission"]["credit_card"][member] = "4012-8888-8888-1881"
    with pytest.raises(Failure) as caught:
        read_submission(json.dumps(body).encode())
    assert caught.value.path == f"$.order_submission.credit_card.{member}"
    assert "8888" not in caught.value.message


@pytest.mark.rule("EP-9")
@given(VALUES)
def test_json_is_parsed_to_what_it_says(value: Any) -> None:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert parse(body) == json.loads(body)


@pytest.mark.rule("EP-9")
@given(st.binary())
def test_any_bytes_are_parsed_or_malformed(body: bytes) -> None:
    try:
        parse(body)
    except Failure as failure:
        assert failure.code in ("malformed_json", "duplicate_member")


@pytest.mark.rule("EP-9")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{,}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1} []',
        b'{"a": "\n"}',
        b'{"a": "\\x41"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": ["\\udc00\\ud800"]}',
        b'{"\\ud83c": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'[{"a": 1, "a": 1}' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_invalid_json_or_utf8_is_malformed(body: bytes) -> None:
    with pytest.raises(Failure) as caught:
        parse(body)
    assert caught.value.code == "malformed_json"
    caught.value.message.encode()
    (caught.value.path or "").encode()


@pytest.mark.rule("EP-9")
@pytest.mark.parametrize(
    "body, path",
    [
        ('{"a": 1, "a": 1}', "$.a"),
        ('{"x": [{"a": 1}, {"b": {"c": 1, "d": 2, "c": 3}}]}', "$.x[1].b.c"),
        ('{"a": 1, "\\u0061": 2}', "$.a"),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', "$.a"),
    ],
)
def test_a_member_that_appears_twice_is_named_by_its_path(body: str, path: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(body.encode())
    assert (caught.value.code, caught.value.path) == ("duplicate_member", path)


@pytest.mark.rule("EP-8", "MONEY-1")
@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e999999", "0." + "9" * 5_000])
def test_huge_numbers_are_ignored_if_unknown_else_refused(number: str) -> None:
    body = json.dumps(EXAMPLES[-1])
    assert read_validation(body.replace("{", f'{{"unknown": {number}, ', 2).encode())
    with pytest.raises(Failure) as caught:
        read_validation(body.replace('"tip": ', f'"tip": {number}, "was": ').encode())
    assert (caught.value.code, caught.value.path) == ("invalid_member", "$.order_validation.tip")


@pytest.mark.rule("EP-9")
def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse(b'{"a": "\\ud83c\\udf5f"}') == {"a": "\N{FRENCH FRIES}"}
    assert parse(b'{"a": "\\\\ud800"}') == {"a": "\\ud800"}
