"""What a body costs: time and memory are linear in its size, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hostile import cost, expensive_bodies, repeated_members
from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.body import MAX_VALUES, SMALL, parse
from tests.channel import Channel

pytestmark = pytest.mark.rule("EP-9")

REPEATED = {name: (plain, repeated) for name, plain, repeated in repeated_members(10_000)}
EXPENSIVE = dict(expensive_bodies())


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_member_costs_no_more_than_reading(name: str) -> None:
    # bench.hostile measures the product's limit of 1.5. This distinguishes linear from quadratic reading (100).
    plain, repeated = REPEATED[name]
    assert cost(repeated)[0] < 25 * cost(plain)[0]


@pytest.mark.parametrize("name", EXPENSIVE)
def test_a_body_takes_memory_by_its_size(name: str) -> None:
    body = EXPENSIVE[name]
    # An object takes 90 bytes and is written in three.
    assert cost(body)[1] < 40 and len(body) * 40 < 64 * 1024 * 1024


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_member_is_refused_wherever_it_is(refused: Channel, name: str) -> None:
    answer = refused.post("sandbox.congress", "order_validation", REPEATED[name][1])
    assert answer.refusal[:2] == (400, "duplicate_member")


def test_a_repeated_member_among_too_many_is_named(refused: Channel) -> None:
    body = b'{"order_validation": [' + b"[]," * 600 + b'{"twice": 1, "twice": 2}]}'
    answer = refused.post("sandbox.congress", "order_validation", body)
    assert answer.refusal == (400, "duplicate_member", None)
    assert "twice" in answer.error["message"]


@pytest.mark.parametrize("value", ["1", "[]", '{"a":1}', '""'])
def test_a_body_has_a_limited_number_of_values(refused: Channel, value: str) -> None:
    values = value.count(":") + 1
    few, many = MAX_VALUES * 99 // 100 // values, MAX_VALUES // values + 1
    for count, status in ((few, 422), (many, 413)):
        body = f'{{"order_validation": {{"items": [{",".join([value] * count)}]}}}}'.encode()
        assert refused.post("sandbox.congress", "order_validation", body).status == status
    answer = refused.post("sandbox.congress", "order_validation", body)
    assert answer.refusal == (413, "payload_too_large", None)
    assert str(MAX_VALUES) in answer.error["message"]


def test_commas_within_a_text_do_not_separate_values(refused: Channel) -> None:
    text = ",[{" * 60_000 + '\\",' * 60_000 + "\\\\"
    answer = refused.post("sandbox.congress", "order_validation", f'{{"x": "{text}"}}'.encode())
    assert answer.status == 422


def test_long_names_are_not_repeated_in_errors(refused: Channel) -> None:
    name = "n" * 5000
    answer = refused.post("sandbox.congress", "order_validation", f'{{"{name}": 1, "{name}": 2}}'.encode())
    assert answer.refusal[1] == "duplicate_member"
    assert len(answer.error["message"]) < 200 and len(answer.error["path"]) < 100


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES, st.booleans(), st.sampled_from([None, (",", ":"), (" , ", " : ")]))
def test_small_bodies_are_read_as_large_ones(value: Any, ascii: bool, separators: tuple[str, str] | None) -> None:
    body = json.dumps([value], ensure_ascii=ascii, separators=separators).encode("utf-8", "surrogatepass")
    assert outcome(body) == outcome(body.ljust(SMALL + 1))


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"a":2}', '{"a":":","a":2}', '{"a":1,"b":{"c:":1,"c:":1}}', r'{"a":1,"\u0061":":"}',
        r'{"a":"\u003a","a":1}', r'{"a":1,"b":"\u003A\u003A"}', '{"a":1e400}', '{"a":NaN}', '{"a":-0,"b":-0.0}',
        '{"a":18446744073709551616}', '{"a":-9223372036854775809}', '{"a":123456789012345678901234567890}',
        r'{"a":"\ud800"}', r'{"\ud83d\ude00":1}', "[" * 900 + "]" * 900, "[" * 3000, '"\t"', "1", "", " ", "\ufeff1",
    ],
)  # fmt: skip
def test_unusual_small_bodies_are_read_as_large_ones(body: str) -> None:
    content = body.encode()
    assert outcome(content) == outcome(content.ljust(SMALL + 1))


def outcome(body: bytes) -> str:
    """What is read, with its types, or why nothing is."""
    try:
        return repr(parse(body))
    except Failure as failure:
        return f"{failure.code} {failure.path}"
