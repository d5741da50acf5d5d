"""Digests that recognize a submission and its content (SUB-3)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from levelup_ov.domain.options import Option
from levelup_ov.domain.order import DeliveryAddress, Item, User
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, LevelUp
from levelup_ov.ledger.identity import WINDOWS, content, content_digests, identities, sorted_json

KEYS = (b"first", b"second")
words = st.text(max_size=6)
ids = st.text('abc:%,"[]', min_size=1, max_size=4)
quantities = st.integers(1, 12)
zones = st.none() | st.just(timezone.utc)
times = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=zones)
options = st.builds(Option, ids, quantities, st.dictionaries(words, words, max_size=1))
items = st.builds(
    Item, ids, quantities, st.lists(options, max_size=3).map(tuple), st.none() | words, st.none() | words,
    st.dictionaries(words, words, max_size=1),
)  # fmt: skip
users = st.builds(User, words, words, st.none() | words, st.none() | words)
addresses = st.builds(DeliveryAddress, words, *[st.none() | words] * 5)
orders = st.builds(
    OrderRequest,
    items=st.lists(items, min_size=1, max_size=3).map(tuple),
    user=users,
    desired_ready_time=times,
    fulfillment_type=st.sampled_from(["pickup", "delivery"]),
    special_instructions=st.none() | words,
    tip=st.integers(0, 500),
    merchant_funded_discount=st.integers(0, 500),
    delivery_address=st.none() | addresses,
    metadata=st.dictionaries(words, words, max_size=1),
)
requests = st.builds(SubmissionRequest, orders, st.just(LevelUp()), st.none() | words, st.none() | words)
secrets = st.builds(Secret, words)
cards = st.builds(CreditCard, secrets, secrets, words, words, words, words)

THAT_COUNT: dict[str, st.SearchStrategy[Any]] = {
    "order.items": st.lists(items, min_size=1, max_size=3).map(tuple),
    "order.user.email": words,
    "order.user.phone": words,
    "order.desired_ready_time": times,
    "order.fulfillment_type": words,
    "order.special_instructions": words,
    "order.tip": st.integers(0, 500),
    "order.merchant_funded_discount": st.integers(0, 500),
    "order.items.provider_id": ids,
    "order.items.quantity": quantities,
    "order.items.special_instructions": words,
    "order.items.options.provider_id": ids,
    "order.items.options.quantity": quantities,
    "order.delivery_address": st.none() | addresses,
}
THAT_DO_NOT: dict[str, st.SearchStrategy[Any]] = {
    "order.user.first_name": words,
    "order.user.last_name": words,
    "order.metadata": st.dictionaries(words, words, max_size=2),
    "order_number": words,
    "grubhub_order_number": words,
    "order.items.recipient_name": words,
    "order.items.metadata": st.dictionaries(words, words, max_size=2),
    "order.items.options.metadata": st.dictionaries(words, words, max_size=2),
}


def changed(thing: Any, path: str, value: Any) -> Any:
    """``thing`` with the member at ``path`` replaced; in a list, that of the first element."""
    name, _, rest = path.partition(".")
    if not rest:
        return replace(thing, **{name: value})
    inner = getattr(thing, name)
    if isinstance(inner, tuple):
        assume(inner)
        return replace(thing, **{name: (changed(inner[0], rest, value), *inner[1:])})
    return replace(thing, **{name: changed(inner, rest, value)})


def meaning(request: SubmissionRequest) -> Any:
    """What the order says, computed in another way than by the code under test: it shows which changes are real."""
    order, address = request.order, request.order.delivery_address
    desired = order.desired_ready_time
    lines = [
        repr((item.provider_id, item.quantity, item.special_instructions or "",
              sorted((option.provider_id, option.quantity) for option in item.options)))
        for item in order.items
    ]  # fmt: skip
    return (
        order.user.email, order.user.phone, sorted(lines), order.special_instructions or "",
        desired and (desired.tzinfo is not None, desired.replace(tzinfo=None)), order.fulfillment_type, order.tip,
        order.merchant_funded_discount,
        address and tuple(getattr(address, name) or "" for name in address.__dataclass_fields__),
    )  # fmt: skip


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("path", THAT_COUNT)
@given(data=st.data())
def test_a_member_that_counts_changes_the_content(path: str, data: st.DataObject) -> None:
    one = data.draw(requests)
    other = changed(one, path, data.draw(THAT_COUNT[path]))
    assert (content(one) == content(other)) == (meaning(one) == meaning(other))


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize("path", THAT_DO_NOT)
@given(data=st.data())
def test_a_member_that_does_not_count_leaves_the_content(path: str, data: st.DataObject) -> None:
    one = data.draw(requests)
    assert content(one) == content(changed(one, path, data.draw(THAT_DO_NOT[path])))


@pytest.mark.rule("SUB-3")
@given(orders, st.randoms())
def test_the_sequence_of_items_and_options_does_not_count(order: OrderRequest, random: Any) -> None:
    shuffled = [replace(item, options=tuple(random.sample(item.options, len(item.options)))) for item in order.items]
    random.shuffle(shuffled)
    other = replace(order, items=tuple(shuffled))
    assert content(SubmissionRequest(other)) == content(SubmissionRequest(order))


@pytest.mark.rule("SUB-3", "PAY-2")
@given(orders, cards, cards)
def test_the_kind_of_tender_counts_but_not_the_card(order: OrderRequest, card: CreditCard, other: CreditCard) -> None:
    by_card = content(SubmissionRequest(order, card))
    assert by_card == content(SubmissionRequest(order, other))
    assert by_card != content(SubmissionRequest(order))


def burger(**members: Any) -> SubmissionRequest:
    return SubmissionRequest(OrderRequest((Item("burger", 1),), User("A", "B", "1"), **members))


@pytest.mark.rule("SUB-3")
def test_a_desired_time_counts_as_its_instant() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    east = content(burger(desired_ready_time=noon.astimezone(timezone(timedelta(hours=-5)))))
    assert east == content(burger(desired_ready_time=noon))
    assert east != content(burger(desired_ready_time=noon.replace(tzinfo=None)))


NAMES = ("idempotency_key", "order_number", "grubhub_order_number", "order_validation_id")


@pytest.mark.rule("SUB-3")
@given(st.fixed_dictionaries({name: st.none() | words for name in NAMES}), st.none() | st.just(Secret("4111")))
def test_content_identifies_only_where_nothing_is_named(names: dict[str, str | None], card: Secret | None) -> None:
    found = identities("deli.1", content=b"c", keys=KEYS, card_number=card, **names)
    named = [name for name in NAMES if names[name] is not None]
    assert [identity.kind for identity in found] == (named or (["card"] if card else ["content"]))


@pytest.mark.rule("SUB-3")
@given(st.lists(st.tuples(words, st.sampled_from(NAMES), words), min_size=2, max_size=2, unique=True))
def test_location_kind_and_value_each_make_another_identity(cases: list[tuple[str, str, str]]) -> None:
    one, other = (identities(location, content=b"c", keys=KEYS, **{name: value}) for location, name, value in cases)  # type: ignore[misc]
    assert not set(one[0].digests) & set(other[0].digests)


@pytest.mark.rule("SUB-3", "PAY-2")
def test_a_card_counts_by_its_digits_together_with_the_content() -> None:
    def digests(number: str, content: bytes) -> tuple[str, ...]:
        return identities("deli.1", content=content, keys=KEYS, card_number=Secret(number))[0].digests

    assert digests("4111 1111-11111111", b"c") == digests("4111111111111111", b"c")
    assert digests("4111111111111111", b"c") != digests("4242424242424242", b"c")
    assert digests("4111111111111111", b"c") != digests("4111111111111111", b"d")


@pytest.mark.rule("META-7")
def test_every_key_gives_a_digest_newest_first() -> None:
    both, first, second = (content_digests("deli.1", b"c", keys) for keys in (KEYS, KEYS[:1], KEYS[1:]))
    assert both == first + second
    assert len(set(both)) == 2
    assert all(len(digest) == 64 for digest in both)


def test_the_canonical_content_is_json() -> None:
    assert json.loads(content(burger())) == [
        None, "1", [["burger", 1, None, []]], None, None, "pickup", None, 0, 0, "levelup",
    ]  # fmt: skip


@given(orders, st.text(st.sampled_from("\x7f\xe9\ud800\n") | st.characters(), max_size=6), st.integers())
def test_the_canonical_content_is_json_as_python_writes_it(order: OrderRequest, words: str, tip: int) -> None:
    # Stored digests contain it, so its spelling never changes: lone surrogates and any number, too.
    written = content(SubmissionRequest(replace(order, special_instructions=words, tip=tip), LevelUp()))
    assert written == json.dumps(json.loads(written), separators=(",", ":")).encode()


@given(st.lists(st.builds(Item, st.text(' !"#\\\x7f\u00e9ab', min_size=1, max_size=4), quantities), min_size=1))
def test_items_come_in_the_sequence_of_their_json(lines: list[Item]) -> None:
    # Stored digests contain it, so it never changes.
    order = OrderRequest(tuple(lines), User("A", "B", None, None))
    written = json.loads(content(SubmissionRequest(order, LevelUp())))[2]
    assert written == sorted(written, key=json.dumps)


@pytest.mark.rule("SUB-3")
def test_the_windows_are_those_of_the_contract() -> None:
    named = dict.fromkeys(NAMES, timedelta(days=7))
    assert WINDOWS == {**named, "card": timedelta(hours=24), "content": timedelta(seconds=90)}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_sorted_json_is_that_of_the_standard_library(value: Any) -> None:
    """Digests of it are stored (SUB-4)."""
    assert sorted_json(value) == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
