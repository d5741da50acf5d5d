"""Every member of requests by the tables of docs/contract.rst: required or not, of its type, in its range."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.channel import CARD, USER, Channel
from tests.contract.conftest import MakeFake
from tests.test_contract_page import VALIDATION, table

pytestmark = pytest.mark.rule("EP-9", "EP-11")

COMMON, FURTHER = table(VALIDATION), table("Further members of an order submission")
ALL = COMMON | FURTHER
REQUESTS = sorted((Path(__file__).parents[2] / "docs" / "requests").glob("*.json"))
FULL: dict[str, Any] = {
    "desired_ready_time": "2030-06-03T12:30",
    "fulfillment_type": "pickup",
    "special_instructions": "No straw.",
    "tip": 200,
    "merchant_funded_discount": 100,
    "user": {**USER, "first_name": "Robin", "last_name": "Example"},
    "delivery_address": {
        "street_address": "1 Example Street",
        "extended_address": "Floor 2",
        "locality": "Boston",
        "region": "MA",
        "postal_code": "02114",
        "delivery_instructions": "Ring twice.",
    },
    "metadata": {"theirs": 1},
    "items": [
        {
            "item": {
                "provider_id": "sandwich",
                "quantity": 1,
                "name": "Sandwich",
                "category_id": "mains",
                "category_group_id": "food",
                "price": 1000,
                "recipient_name": "Robin",
                "special_instructions": "Cut in half.",
                "metadata": {"integration_a": 1},
                "options": [
                    {
                        "option": {
                            "provider_id": "bread:rye",
                            "option_group_id": "bread",
                            "quantity": 1,
                            "price": 0,
                            "option_group_display_order": 1,
                            "metadata": {},
                        }
                    }
                ],
            }
        }
    ],
}
FULL_SUBMISSION: dict[str, Any] = {
    **FULL,
    "tender": None,
    "credit_card": CARD,
    "order_number": 7,
    "grubhub_order_number": "7",
}
WRONG: dict[str, list[Any]] = {
    "string": [1, 1.5, True, False, [], {}],
    "integer": ["1", 1.0, 1.5, True, [], {}],
    "cents": ["10", 10.0, 1e3, True, -1, 100_000_000, [], {}],
    "object": ["text", 1, True, []],
    "list": ["text", 1, True, {}],
    "string or integer": [1.5, True, [], {}, "", "x" * 256, 10**255, " ", "\t\n", "\u3000"],
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    "items": [[]],
    "items[].item.provider_id": ["", "x" * 1001],
    "items[].item.quantity": [0, -1, 10_000],
    "items[].item.options[].option.provider_id": ["", "x" * 1001],
    "items[].item.options[].option.quantity": [0, -1, 10_000],
    "user.email": [
        "",
        "robin",
        "@",
        "robin@",
        "@example.com",
        "a@b@example.com",
        "robin @example.com",
        "robin@ example.com",
    ],
    "tender": ["", "levelup", "LEVELUP", "LevelUp ", "cash"],
    "credit_card.number": ["", "41111111111", "4" * 20, "4111 1111 1111 1111", "4111-1111-1111-1111", "٤" * 16],
    "credit_card.cvv": ["", "12", "12345", "12a"],
    "credit_card.zip": ["", "x" * 17, "02114\n", "02_14"],
    "credit_card.expiration_month": ["", "1", "00", "13", "006"],
    "credit_card.expiration_year": ["", "1", "031", "20310", "2o31"],
}
TEXTS = [path for path, (kind, *_) in ALL.items() if kind == "string"]
CONTROLS = [chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"]


def roots_of(path: str) -> list[str]:
    return ["order_validation", "order_submission"] if path in COMMON else ["order_submission"]


def cases(values: dict[str, list[Any]]) -> Iterator[Any]:
    for path, wrong in values.items():
        for root in roots_of(path):
            for value in wrong:
                yield pytest.param(root, path, value, id=f"{root}-{path}-{value!r:.20}")


def changed(root: str, path: str, **value: Any) -> dict[str, Any]:
    """A body with all members whose member at ``path`` is ``value``; without the member if there is no value."""
    body = {root: copy.deepcopy(FULL if root == "order_validation" else FULL_SUBMISSION)}
    *above, name = f"{root}.{path}".replace("[]", ".0").split(".")
    place: Any = body
    for step in above:
        place = place[int(step)] if step == "0" else place[step]
    if path == "tender":
        del place["credit_card"]
    place.pop(name)
    if value:
        (place[name],) = value.values()
    return body


def place_of(root: str, path: str) -> str:
    return f"$.{root}.{path.replace('[]', '[0]')}"


def test_the_full_bodies_have_every_member_and_are_accepted(fake: MakeFake) -> None:
    def paths(value: Any, above: str = "") -> Iterator[str]:
        for name, inner in value.items():
            yield (path := f"{above}{name}")
            if isinstance(inner, list):
                yield from paths(inner[0], f"{path}[].")
            elif isinstance(inner, dict) and name != "metadata":
                yield from paths(inner, f"{path}.")

    assert set(paths(FULL)) == set(COMMON)
    assert set(paths(FULL_SUBMISSION)) == set(ALL)
    _, channel = fake()
    assert channel.post("fake.one", "order_validation", {"order_validation": FULL}).status == 200
    assert channel.post("fake.one", "order_submission", {"order_submission": FULL_SUBMISSION}).status == 200


@pytest.mark.rule("MONEY-1", "ITEM-6", "PAY-2")
@pytest.mark.parametrize(
    ("root", "path", "value"), [*cases({path: WRONG[kind] for path, (kind, *_) in ALL.items()}), *cases(OUT_OF_RANGE)]
)
def test_a_wrong_type_or_value_is_named_by_its_path(refused: Channel, root: str, path: str, value: Any) -> None:
    answer = refused.post("sandbox.congress", root, changed(root, path, value=value))
    assert answer.refusal == (422, "invalid_member", place_of(root, path))
    assert place_of(root, path) in answer.error["message"]


@pytest.mark.parametrize(("root", "path"), [(root, path) for path in TEXTS for root in roots_of(path)])
def test_a_text_holds_no_control_character(refused: Channel, root: str, path: str) -> None:
    for control in CONTROLS:
        answer = refused.post("sandbox.congress", root, changed(root, path, value=f"a{control}b"))
        assert answer.refusal == (422, "invalid_member", place_of(root, path)), control


def test_tabs_and_line_breaks_are_accepted(fake: MakeFake) -> None:
    provider, channel = fake()
    assert channel.validate("fake.one", special_instructions="a\tb\nc\r\nd").status == 200
    assert provider.orders[0].special_instructions == "a\tb\nc\r\nd"


REQUIRED = [(root, path) for path, (_, needed, _) in ALL.items() if needed == "yes" for root in roots_of(path)]
OPTIONAL = [(root, path) for path, (_, needed, _) in ALL.items() if needed == "no" for root in roots_of(path)]


@pytest.mark.parametrize(("root", "path"), REQUIRED)
def test_a_required_member_may_be_neither_absent_nor_null(refused: Channel, root: str, path: str) -> None:
    for body in (changed(root, path), changed(root, path, value=None)):
        answer = refused.post("sandbox.congress", root, body)
        assert answer.refusal == (422, "invalid_member", place_of(root, path))


@pytest.mark.parametrize(("root", "path"), OPTIONAL)
def test_absent_and_null_mean_the_same_for_an_optional_member(fake: MakeFake, root: str, path: str) -> None:
    provider, channel = fake()
    for number, body in enumerate((changed(root, path), changed(root, path, value=None))):
        for identity in ("order_number", "grubhub_order_number"):  # two submissions, not one sent twice
            if body[root].get(identity) is not None:
                body[root][identity] = f"{identity}-{number}"
        assert channel.post("fake.one", root, body).status == 200
    absent, null = (replace(order, reference=None) for order in provider.orders)
    assert absent == null
    assert provider.paid_with[:1] == provider.paid_with[1:]


@pytest.mark.parametrize(
    ("user", "wrong"),
    [
        ({"name": "Robin Example", "phone": "1"}, None),
        ({"name": "Robin", "email": "robin@example.com"}, None),
        ({"first_name": "Robin", "last_name": "Example", "phone": "1"}, None),
        ({"first_name": "Robin", "name": "Robin Example", "phone": "1"}, None),
        ({"name": "Robin Example"}, "phone"),
        ({"name": "Robin Example", "phone": None, "email": None}, "phone"),
        ({"phone": "1"}, "name"),
        ({"name": " ", "phone": "1"}, "name"),
        ({"first_name": "Robin", "phone": "1"}, "name"),
        ({"last_name": "Example", "phone": "1"}, "name"),
    ],
)
def test_a_user_needs_a_name_and_a_way_to_be_reached(refused: Channel, user: dict[str, Any], wrong: str | None) -> None:
    for root, answer in (
        ("order_validation", refused.validate(user=user)),
        ("order_submission", refused.submit(user=user)),
    ):
        if wrong is None:
            assert answer.status == 200
        else:
            assert answer.refusal == (422, "invalid_member", f"$.{root}.user.{wrong}")


def test_a_whole_name_is_split_at_its_last_space_and_parts_win(fake: MakeFake) -> None:
    provider, channel = fake()
    for user in (
        {"name": "Ann Mary Smith-Jones"},
        {"name": "Robin"},
        {"name": "Somebody Else", "first_name": "Robin Lee", "last_name": "van Example"},
    ):
        assert channel.validate("fake.one", user={**user, "phone": "1"}).status == 200
    assert [(order.user.first_name, order.user.last_name) for order in provider.orders] == [
        ("Ann Mary", "Smith-Jones"), ("Robin", ""), ("Robin Lee", "van Example"),
    ]  # fmt: skip


def test_several_wrong_members_are_all_named(refused: Channel) -> None:
    error = refused.validate(tip="1", user={}, items=[{}]).error
    for path in ("$.order_validation.tip", "$.order_validation.user", "$.order_validation.items[0].item"):
        assert path in error["message"]
    assert error["path"] in error["message"]


@pytest.mark.rule("ITEM-6", "MONEY-1")
def test_the_ends_of_the_ranges_are_inside(fake: MakeFake) -> None:
    provider, channel = fake()
    longest = "x" * 1000
    line = {
        "provider_id": longest, "quantity": 9_999, "price": 99_999_999,
        "options": [{"option": {"provider_id": longest, "quantity": 9_999, "price": 0}}],
    }  # fmt: skip
    members = {"items": [{"item": line}], "tip": 99_999_999, "merchant_funded_discount": 0}
    assert channel.validate("fake.one", **members).status == 200
    assert (
        channel.submit("fake.one", **members, order_number="x" * 255, credit_card={**CARD, "zip": "x" * 16}).status
        == 200
    )
    for order in provider.orders:
        assert (order.items[0].quantity, order.items[0].options[0].quantity, order.tip) == (9_999, 9_999, 99_999_999)


@pytest.mark.parametrize("example", REQUESTS, ids=lambda path: path.stem)
def test_the_examples_are_accepted_and_every_member_counts(channel: Channel, example: Path) -> None:
    body = json.loads(example.read_text())
    (root,) = body
    location = "sandbox.card" if "card" in example.stem else "sandbox.congress"
    assert channel.post(location, root, body).status == 200
    body[root]["items"][0]["item"]["quantity"] = 0
    assert channel.post(location, root, body).refusal == (
        422, "invalid_member", f"$.{root}.items[0].item.quantity",
    )  # fmt: skip
