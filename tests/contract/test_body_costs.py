"""What a body costs: time and memory are linear in its size, whatever it holds."""

from __future__ import annotations

import pytest

from bench.hostile import cost, expensive_bodies, repeated_members
from levelup_ov.schemas.body import MAX_VALUES
from tests.channel import Channel

pytestmark = pytest.mark.rule("EP-9")

REPEATED = {name: (plain, repeated) for name, plain, repeated in repeated_members(10_000)}
EXPENSIVE = dict(expensive_bodies())


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_member_costs_no_more_than_reading(name: str) -> None:
    # The product's limit is 1.5 (see bench.hostile); other processes disturb a test. Quadratic reading makes it 100.
    plain, repeated = REPEATED[name]
    assert cost(repeated)[0] < 4 * cost(plain)[0]


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


def test_commas_within_a_text_are_no_values(refused: Channel) -> None:
    text = ",[{" * 60_000 + '\\",' * 60_000 + "\\\\"
    answer = refused.post("sandbox.congress", "order_validation", f'{{"x": "{text}"}}'.encode())
    assert answer.status == 422


def test_long_names_are_not_repeated_in_errors(refused: Channel) -> None:
    name = "n" * 5000
    answer = refused.post("sandbox.congress", "order_validation", f'{{"{name}": 1, "{name}": 2}}'.encode())
    assert answer.refusal[1] == "duplicate_member"
    assert len(answer.error["message"]) < 200 and len(answer.error["path"]) < 100
