"""What msgspec reads of a request is what marshmallow reads, or nothing: in every schema and spelling of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, fields, validate

from levelup_ov.domain.failure import Failure
from levelup_ov.schemas import agent_catalog, agent_checkouts, base, checkout, orders
from levelup_ov.schemas.body import _read_thoroughly
from tests.test_schemas import EXAMPLES, VALUES, mutated

BODIES = {"order_validation": orders._VALIDATION, "order_submission": orders._SUBMISSION}
OF_AGENTS = [agent_checkouts.FOOD_BODY, agent_checkouts.SHOPPING_BODY]
ROOTS: list[base.WireSchema] = [
    *checkout.SCHEMAS.values(),
    *[body._schema for body in BODIES.values()],
    *[value for module in (agent_checkouts, agent_catalog, checkout) for value in vars(module).values()
      if isinstance(value, base.WireSchema)],
]  # fmt: skip
SAMPLES: list[Any] = [
    "a", "10", "", " ", "LevelUp", "2030-06-03T12:30", "2030-06-03T12:30:10-04:00", "ada@example.com", "pickup", "home",
    "4012888888881881", "123", "01", "2031", "+1 617 555 0100", "https://shop.example/a", "create_orders", "USD", "é\n",
    "x" * 300, 0, 1, 12, 2030, 9_999, 10_000, 99_999_999, -1, 10**30, 1.0, 1.5, True, False, None, {}, [], {"a": 1.5},
    {"integration_a": "b"}, [{"item": {"name": "a", "charged_price_amount": 1}}],
]  # fmt: skip
DAMAGE = [b"", b"\\", b'"', b":", b"0", b"\xff", b"\x00", b"}", b"\x0b"]


def within(schema: Any) -> Iterator[Any]:
    """The schema, and all others in it."""
    yield schema
    for field in map(inner, schema.fields.values()):
        if isinstance(field, fields.Nested):
            yield from within(field.schema)


def inner(field: Any) -> Any:
    return field.inner if isinstance(field, fields.List) else field


SCHEMAS = list({type(schema): schema for root in ROOTS for schema in within(root)}.values())
FIELDS = [each for schema in SCHEMAS for field in schema.fields.values() for each in (field, inner(field))]


def accepts(check: Any, value: Any) -> bool:
    try:
        check(value)
    except (ValueError, ValidationError):
        return False
    return True


def wanted(field: Any) -> st.SearchStrategy[Any]:
    """Mostly values that the field accepts."""
    if isinstance(field, fields.Nested):
        good = members(field.schema)
    elif isinstance(field, fields.List):
        good = st.lists(wanted(field.inner), min_size=1, max_size=2)
    else:
        good = st.sampled_from([value for value in SAMPLES if accepts(field.read, value)])
    odd = st.none() if field.allow_none else st.sampled_from(SAMPLES)
    return st.integers(0, 24).flatmap(lambda kind: VALUES if kind == 0 else odd if kind < 3 else good)


def members(schema: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object with most members that the schema requires, some others, and sometimes an unknown one."""
    found = schema.load_fields.items()
    required = {name: wanted(field) for name, field in found if field.required}
    others = {name: wanted(field) for name, field in found if not field.required}
    return st.fixed_dictionaries(required, optional={**others, "unknown": VALUES})


def taken(value: Any, field: Any) -> bool:
    """Whether msgspec takes the value, and as it is."""
    try:
        return bool(msgspec.to_builtins(msgspec.convert(value, base._type(field))) == value)
    except ValueError:
        return False


def outcome(read: Any, *given: Any) -> Any:
    try:
        return read(*given)
    except Failure as failure:
        return failure.code, failure.message, failure.path
    except base.DECLINED:
        return None


def agree(quick: Any, plain: Any) -> bool:
    return bool(quick == plain and repr(quick) == repr(plain))  # 1, 1.0 and True are equal


def plainly(body: base.Body, content: bytes) -> Any:
    """What marshmallow alone reads, of JSON that is read like that of a large body."""
    schema = type(body._schema)()
    vars(schema)["struct"] = None  # accepts no object
    parsed = _read_thoroughly(content)
    return base.read_body(schema, parsed) if body._root is None else base.read_root(schema, body._root, parsed)


def spelled(value: Any, random: Random) -> str:
    """``value`` as JSON, in one of its many spellings; now and then a member twice, or something else wrong."""
    space = random.choice(["", "", "", " ", "\n\t"])
    if isinstance(value, dict):
        pairs = list(value.items())
        if pairs and random.random() < 0.02:
            pairs.insert(random.randrange(len(pairs)), (random.choice(pairs)[0], random.choice([None, 1, "a"])))
        parts = [f"{spelled(name, random)}:{spelled(each, random)}" for name, each in pairs]
        return f"{space}{{{','.join(parts)}}}"
    if isinstance(value, list):
        return f"[{','.join(spelled(each, random) for each in value)}{space}]"
    if isinstance(value, str):
        odd = random.random() < 0.2
        return f'{space}"{"".join(_spelled(each, odd and random.random() < 0.5) for each in value)}"{space}'
    text = json.dumps(value)
    if type(value) is int and random.random() < 0.02:
        text = random.choice([f"{text}.0", f"{text}e0", f"{text}E2", f"{text}{'0' * 20}", f"{text}.5", "-0"])
    return text


def _spelled(character: str, escaped: bool) -> str:
    return json.dumps(character)[1:-1] if not escaped or character > "\uffff" else f"\\u{ord(character):04x}"


@pytest.mark.rule("EP-8", "EP-9", "EP-11")
@settings(max_examples=400)
@given(st.sampled_from(SCHEMAS).flatmap(lambda schema: st.tuples(st.just(schema), members(schema))))
def test_what_is_read_quickly_is_what_marshmallow_reads(case: tuple[base.WireSchema, Any]) -> None:
    schema, data = case
    before = repr(data)
    quick = outcome(base.read_quickly, schema, data)
    assert repr(data) == before
    assert quick is None or agree(quick, outcome(schema.load, data))


@pytest.mark.rule("EP-8", "EP-9", "EP-11")
@settings(max_examples=500)
@given(mutated(), st.integers(0), st.sampled_from([0, 0, 0, 1]))
def test_however_json_is_spelled_the_same_is_read(case: tuple[str, Any], seed: int, damage: int) -> None:
    root, data = case
    random = Random(seed)
    content = bytearray(spelled({root: data}, random).encode("utf-8", "surrogatepass"))
    for _ in range(damage):
        place = random.randrange(len(content))
        content[place : place + random.randrange(2)] = random.choice(DAMAGE)
    body, plain = BODIES[root], outcome(plainly, BODIES[root], bytes(content))
    quick = outcome(body.read_quickly, bytes(content))
    assert quick is None or agree(quick, plain)
    assert agree(outcome(body.read, bytes(content)), plain)


@pytest.mark.rule("EP-8", "EP-9", "UCP-4")
@settings(max_examples=300)
@given(
    st.sampled_from(OF_AGENTS).flatmap(lambda body: st.tuples(st.just(body), members(body._schema))),
    st.integers(0),
)
def test_however_an_agent_spells_json_the_same_is_read(case: tuple[base.Body, Any], seed: int) -> None:
    body, data = case
    content = spelled(data, Random(seed)).encode("utf-8", "surrogatepass")
    quick, plain = outcome(body.read_quickly, content), outcome(plainly, body, content)
    assert quick is None or agree(quick, plain)
    assert agree(outcome(body.read, content), plain)


def test_a_sound_checkout_is_read_quickly() -> None:
    dish = {"id": "burger", "modifications": [{"id": "a:b"}, {"id": "c:d", "quantity": 2}], "note": "well done"}
    data = {
        "food_establishment": {"id": "sandbox.congress"},
        "line_items": [{"dish": dish, "quantity": 2}],
        "buyer": {"first_name": "Ada", "last_name": "Lovelace", "phone_number": "+1 617 555 0100"},
        "fulfillment": {"methods": [{"type": "pickup"}]},
        "tip": {"custom_amount": 100},
    }
    content = json.dumps(data).encode()
    assert agree(agent_checkouts.FOOD_BODY.read_quickly(content), plainly(agent_checkouts.FOOD_BODY, content))


@pytest.mark.rule("EP-9", "MONEY-1", "ITEM-6")
def test_msgspec_has_the_limits_of_every_field() -> None:
    for field in FIELDS:
        if isinstance(field, fields.List):
            (length,) = field.validators or [validate.Length()]
            for count in edges(length.min, length.max):
                assert taken([smallest(field.inner)] * count, field) == accepts(length, [None] * count), field.name
        elif isinstance(field, base.Reader) and base._is_exact(field):
            limits = edges(*field.documented.values())
            for value in [*SAMPLES, *limits, *["x" * limit for limit in limits if limit < 10_000]]:
                is_exact = accepts(field.read, value) and is_kept(field.read(value), value)
                assert taken(value, field) == is_exact, (field.name, value)


@pytest.mark.rule("EP-8")
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: type(schema).__name__)
def test_an_unknown_member_is_treated_alike(schema: base.WireSchema) -> None:
    data = {**smallest(fields.Nested(schema)), "unknown": 1}
    quick = outcome(base.read_quickly, schema, data)
    assert quick is None or agree(quick, outcome(schema.load, data))


def is_kept(read: Any, value: Any) -> bool:
    """Whether a value was read as it is: agents may write an integer as 1.0."""
    return type(read) is type(value) and bool(read == value)


def edges(*limits: int | None) -> list[int]:
    return [limit + more for limit in limits if limit is not None for more in (-1, 0, 1) if limit + more >= 0]


def smallest(field: Any) -> Any:
    """A value that the field accepts."""
    if isinstance(field, fields.Nested):
        return {name: smallest(each) for name, each in field.schema.fields.items() if each.required}
    if isinstance(field, fields.List):
        return [smallest(field.inner)]
    return next(value for value in SAMPLES if accepts(field.read, value))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: next(iter(example)))
@pytest.mark.parametrize("spaces", [None, 2])
def test_sound_bodies_are_read_quickly(example: Any, spaces: int | None) -> None:
    (root,) = example
    content = json.dumps(example, indent=spaces).encode()
    assert BODIES[root].read_quickly(content) == plainly(BODIES[root], content)


@pytest.mark.rule("EP-9")
@pytest.mark.parametrize(
    "more",
    [
        '"tip": 1', '"t\\u0069p": 1', '"unknown": 1', '"metadata": {"a": 1, "a": 2}', '"metadata": {"a": ":", "a": 2}',
        '"metadata": {"a": "\\u003a", "a": 1}', '"metadata": {"\\u003A": 1, "\\u003a": 1}', '"user": {}',
        '"fulfillment_type": "\\u0000"', '"fulfillment_type": "\\b"', '"tender": "\\ud800"', '"metadata": {"a": 1e400}',
        '"merchant_funded_discount": 1.0', '"merchant_funded_discount": true', '"merchant_funded_discount": 100000000',
    ],
)  # fmt: skip
def test_unusual_bodies_are_left_to_marshmallow(more: str) -> None:
    order = {"user": {"name": "A B", "phone": "1"}, "tip": 1, "items": [{"item": {"provider_id": "a", "quantity": 1}}]}
    content = json.dumps({"order_submission": order}).encode()
    body = BODIES["order_submission"]
    assert agree(body.read_quickly(content), plainly(body, content))
    content = content.replace(b'"tip"', more.encode() + b', "tip"')
    assert outcome(body.read_quickly, content) is None
    assert agree(outcome(body.read, content), outcome(plainly, body, content))
