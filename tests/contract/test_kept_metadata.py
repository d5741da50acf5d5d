"""What the channel keeps for us between orders: accounts and carts, META-1 to META-10."""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.config import ConfigError, load_settings, new_secret_key
from levelup_ov.domain.order import User
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.ordering.metadata import MetadataKeeper
from levelup_ov.sealing import Sealer
from tests.channel import USER, Channel, Clock, item
from tests.conftest import MakeApp
from tests.contract.conftest import Kitchen, MakeFake
from tests.contract.fakes import FakeAdapter

ACCOUNT = {"login": Secret("robin-1"), "password": Secret("correct horse")}
CART = {"basket": Secret("basket-77")}


def quotes(provider: FakeAdapter, **values: Any) -> None:
    assert isinstance(provider.quote, Quote)
    provider.quote = replace(provider.quote, **values)


def users(metadata: dict[str, Any]) -> dict[str, Any]:
    """What the channel keeps for good (META-1)."""
    return {name: value for name, value in metadata.items() if name.startswith("user_")}


@pytest.mark.rule("META-1", "META-2", "META-6")
def test_account_and_cart_go_out_by_their_names_and_come_back(fake: MakeFake) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    assert {"user_fake_login", "user_fake_password", "order_basket"} <= set(metadata)
    assert all(name.startswith(("user_fake_", "order_")) for name in metadata)
    channel.submit("fake.one", metadata=metadata)
    assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == (ACCOUNT, CART)
    channel.validate("fake.one", metadata=users(metadata))
    assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == (ACCOUNT, {})


@pytest.mark.rule("META-2", "META-3")
def test_an_ov_never_sees_the_cart_of_another_ov(fake: MakeFake) -> None:
    provider, channel = fake()
    quotes(provider, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    channel.validate("fake.one", metadata=metadata)
    assert provider.orders[-1].cart == {}


@pytest.mark.rule("META-3")
def test_every_ov_makes_a_new_cart(channel: Channel, kitchen: Kitchen) -> None:
    metadata: dict[str, Any] = {}
    for carts in (1, 2, 3):
        metadata = channel.validate(metadata=metadata).order["metadata"]
        assert kitchen.count("carts") == carts


@pytest.mark.rule("META-4")
@pytest.mark.parametrize(
    "metadata", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"order_cart": "sealed.1.x"}}]
)
def test_an_os_needs_no_ov(channel: Channel, kitchen: Kitchen, metadata: dict[str, Any]) -> None:
    ticket = channel.submit(tip=50, **metadata).order["order_id"]
    assert kitchen.order("congress", ticket)["gratuity"] == 50


@pytest.mark.rule("META-4")
@pytest.mark.parametrize("location", ["congress", "account"])
def test_a_cart_that_has_expired_is_made_again(channel: Channel, kitchen: Kitchen, clock: Clock, location: str) -> None:
    metadata = channel.validate(f"sandbox.{location}", tip=50).order["metadata"]
    clock.set("2030-06-04T16:00Z")
    placed = channel.submit(f"sandbox.{location}", tip=50, metadata=metadata).order
    order = kitchen.order(location, placed["order_id"])
    assert (order["gratuity"], placed["expected_ready_at"]) == (50, "2030-06-04T12:10")
    assert kitchen.count("accounts") == (location == "account")


CHANGES = [
    {}, {"tip": 0}, {"tip": 777}, {"special_instructions": "Ring the bell."}, {"special_instructions": None},
    {"desired_ready_time": "2030-06-03T18:45"}, {"desired_ready_time": None},
    {"tip": 5, "special_instructions": "No napkins.", "desired_ready_time": "2030-06-04T09:00"},
]  # fmt: skip


@pytest.mark.rule("META-5")
@pytest.mark.parametrize("location", ["congress", "account"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_order_has_the_values_of_the_os(
    channel: Channel, kitchen: Kitchen, location: str, change: dict[str, Any]
) -> None:
    validated = {"tip": 200, "special_instructions": "Napkins.", "desired_ready_time": "2030-06-03T13:00"}
    final = {**validated, **change}
    metadata = channel.validate(f"sandbox.{location}", **validated).order["metadata"]
    placed = channel.submit(f"sandbox.{location}", **final, metadata=metadata).order
    order = kitchen.order(location, placed["order_id"])
    assert (order["gratuity"], order["note"]) == (final["tip"], final["special_instructions"])
    assert order["charged"] == 1070 + final["tip"]
    ready_at = final["desired_ready_time"] or "2030-06-03T12:10"
    assert (order["ready"]["at"][:16], placed["expected_ready_at"]) == (ready_at, ready_at)
    assert (kitchen.count("orders"), kitchen.count("accounts")) == (1, location == "account")


@pytest.mark.rule("META-5")
def test_other_changes_reach_the_order_as_well(channel: Channel, kitchen: Kitchen) -> None:
    metadata = channel.validate(items=[item("sandwich")]).order["metadata"]
    changed: dict[str, Any] = {
        "items": [item("burger", "side:slaw", quantity=2)],
        "user": {"name": "Kim Other", "phone": "1"},
    }
    ticket = channel.submit(**changed, metadata=metadata).order["order_id"]
    order = kitchen.order("congress", ticket)
    assert (order["lines"][0]["dish"], order["subtotal"]) == ("burger", 3000)
    assert order["customer"]["name"] == "Kim Other"


@pytest.mark.rule("META-4", "META-5")
def test_a_cart_of_another_location_is_not_used(channel: Channel, kitchen: Kitchen) -> None:
    metadata = channel.validate("sandbox.congress").order["metadata"]
    ticket = channel.submit("sandbox.tokyo", metadata=metadata).order["order_id"]
    assert kitchen.order("tokyo", ticket)["charged"] == 1080


@pytest.mark.rule("META-6")
def test_guests_check_out_without_an_account(channel: Channel, kitchen: Kitchen) -> None:
    metadata = channel.validate().order["metadata"]
    assert not users(metadata)
    assert not users(channel.submit(metadata=metadata).order["metadata"])
    assert kitchen.count("accounts") == 0


@pytest.mark.rule("META-6", "META-1")
def test_an_account_is_made_once_for_a_user_and_used_again(channel: Channel, kitchen: Kitchen) -> None:
    first = channel.validate("sandbox.account").order["metadata"]
    assert set(users(first)) == {"user_sandbox_email", "user_sandbox_password"}
    placed = channel.submit("sandbox.account", metadata=first).order
    kept = users(first) | users(placed["metadata"])
    second = channel.validate("sandbox.account", metadata=kept).order["metadata"]
    again = channel.submit("sandbox.account", metadata=kept | second).order
    owners = {kitchen.order("account", each["order_id"])["account"] for each in (placed, again)}
    assert len(owners) == 1
    assert kitchen.emails() == ["robin@example.com"]


@pytest.mark.rule("META-6", "META-4", "SUB-1")
def test_an_account_made_by_the_os_itself_is_returned(channel: Channel, kitchen: Kitchen) -> None:
    placed = channel.submit("sandbox.account").order
    assert set(users(placed["metadata"])) == {"user_sandbox_email", "user_sandbox_password"}
    again = channel.submit("sandbox.account", metadata=placed["metadata"]).order
    owners = {kitchen.order("account", each["order_id"])["account"] for each in (placed, again)}
    assert (len(owners), kitchen.count("accounts")) == (1, 1)


@pytest.mark.rule("META-6", "META-7")
@pytest.mark.parametrize("lost", ["all", "refused", "forged"])
def test_a_taken_address_is_never_taken_over(channel: Channel, kitchen: Kitchen, lost: str) -> None:
    theirs = channel.submit("sandbox.account").order
    other = channel.submit("sandbox.account", user={**USER, "email": "other@example.com"}).order["metadata"]
    kept = {
        "all": {},
        "refused": {**theirs["metadata"], "user_sandbox_password": other["user_sandbox_password"]},
        "forged": {"user_sandbox_email": "robin@example.com", "user_sandbox_password": "password"},
    }[lost]
    mine = channel.submit("sandbox.account", metadata=kept).order
    owners = [kitchen.order("account", each["order_id"])["account"] for each in (theirs, mine)]
    assert owners[0] != owners[1]
    first, _, derived = kitchen.emails()
    assert first == "robin@example.com"
    assert re.fullmatch(r"robin\+\w+@example\.com", derived)
    assert users(mine["metadata"])
    still = channel.submit("sandbox.account", metadata=theirs["metadata"]).order
    assert kitchen.order("account", still["order_id"])["account"] == owners[0]


@pytest.mark.rule("META-7")
def test_what_is_kept_elsewhere_cannot_be_read_there(fake: MakeFake) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    provider.placed = Placed("A-1", "technical-1", reference=None, customer_account=ACCOUNT)
    for answer in (channel.validate("fake.one").order, channel.submit("fake.one").order):
        for secret in ("robin-1", "correct horse", "basket-77"):
            for value in answer["metadata"].values():
                raw = base64.urlsafe_b64decode(value.rpartition(".")[2] + "==")
                assert secret not in value
                assert secret.encode() not in raw
    first, second = (channel.validate("fake.one").order["metadata"]["user_fake_password"] for _ in range(2))
    assert first != second


@pytest.mark.rule("META-7")
def test_what_was_sealed_for_another_account_counts_as_absent(fake: MakeFake) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    moved = {name.replace("user_fake_", "user_other_"): value for name, value in metadata.items()}
    other, channel = fake("other")
    assert channel.submit("other.one", metadata=moved).status == 200
    assert channel.validate("other.one", metadata=moved).status == 200
    assert [(order.customer_account, order.cart) for order in other.orders] == [({}, {})] * 2


@pytest.mark.rule("META-7")
@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-2] + ("AA" if value[-2:] != "AA" else "BB"), lambda value: value[:-1],
        lambda value: value + "A", lambda value: value.replace("sealed.1.", "sealed.2."), lambda value: "sealed.1.",
        lambda value: "sealed.1.é", lambda value: "correct horse", lambda value: "", lambda value: [value],
        lambda value: {"a": value}, lambda value: 5, lambda value: None,
    ],
)  # fmt: skip
def test_what_does_not_open_counts_as_absent(fake: MakeFake, damage: Any) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    for name in ("user_fake_password", "order_basket"):
        metadata[name] = damage(metadata[name])
    assert channel.submit("fake.one", metadata=metadata).status == 200
    assert provider.orders[-1].customer_account == {"login": Secret("robin-1")}
    assert provider.orders[-1].cart == {}


@pytest.mark.rule("META-7")
def test_keys_are_rotated_newest_first(fake: MakeFake) -> None:
    old, new = new_secret_key(), new_secret_key()

    def opened(keys: str, metadata: dict[str, Any]) -> bool:
        provider, channel = fake(LEVELUP_OV_SECRET_KEYS=keys)
        provider.placed = Placed("A-1", new_secret_key(), reference=None)
        assert channel.submit("fake.one", metadata=metadata).status == 200
        return provider.orders[-1].customer_account == ACCOUNT

    def sealed(keys: str) -> dict[str, Any]:
        provider, channel = fake(LEVELUP_OV_SECRET_KEYS=keys)
        quotes(provider, customer_account=ACCOUNT)
        return channel.validate("fake.one").order["metadata"]

    before, after = users(sealed(old)), users(sealed(f"{new}, {old}"))
    assert opened(f"{new},{old}", before)
    assert opened(new, after)
    assert not opened(old, after)
    assert not opened(new, before)


@pytest.mark.rule("META-7")
def test_the_keys_are_not_in_the_database(make_app: MakeApp, environ: dict[str, str]) -> None:
    key = new_secret_key()
    channel = Channel(make_app(LEVELUP_OV_SECRET_KEYS=key))
    assert channel.submit("sandbox.account").status == 200
    kept = [path for path in Path(environ["LEVELUP_OV_DATA_DIR"]).rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert key.encode() not in content
        assert base64.urlsafe_b64decode(key) not in content


@pytest.mark.rule("META-7")
def test_outside_development_mode_a_missing_key_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="LEVELUP_OV_SECRET_KEYS"):
        load_settings({**environ, "LEVELUP_OV_ENV": "production"})
    with pytest.raises(ConfigError, match="LEVELUP_OV_SECRET_KEYS"):
        load_settings({**environ, "LEVELUP_OV_SECRET_KEYS": "too-short"})


@pytest.mark.rule("META-7")
def test_development_makes_a_key_once_and_keeps_it_private(
    environ: dict[str, str], make_app: MakeApp, kitchen: Kitchen
) -> None:
    first = load_settings(environ).secret_keys
    assert load_settings(environ).secret_keys == first
    directory = Path(environ["LEVELUP_OV_DATA_DIR"])
    (kept,) = (path for path in directory.iterdir() if first[0].reveal() in path.read_text(errors="replace"))
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    metadata = Channel(make_app()).validate("sandbox.account").order["metadata"]
    assert Channel(make_app()).submit("sandbox.account", metadata=metadata).status == 200
    assert kitchen.count("accounts") == 1


@pytest.mark.rule("META-8", "META-2")
def test_every_ov_has_a_fresh_id(channel: Channel) -> None:
    ids = {channel.validate().order["metadata"]["order_validation_id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.rule("META-9")
@pytest.mark.parametrize(
    "theirs",
    [
        {"theirs": "x"}, {"user_id": 7}, {"user_elsewhere_token": "x"}, {"order_source": "app"},
        {"order_fees": [{"a": 1}]}, {"": None}, {"USER_fake_password": "x"}, {"user_fake": "x"},
        {"nested": {"order_cart": ["x"]}},
        {"x" * 5000: "y" * 5000},
    ],
)  # fmt: skip
def test_unknown_members_are_left_alone_and_not_echoed(fake: MakeFake, theirs: dict[str, Any]) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT)
    provider.placed = Placed("A-1", "technical-1", reference=None, customer_account=ACCOUNT)
    for answer in (channel.validate("fake.one", metadata=theirs), channel.submit("fake.one", metadata=theirs)):
        assert not set(theirs) & set(answer.order["metadata"])
        assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == ({}, {})


BOB = {"name": "Bob Other", "phone": "617-555-0199", "email": "bob@example.com"}


@pytest.mark.rule("META-10", "META-3", "META-7")
def test_what_was_kept_for_one_guest_serves_no_other(fake: MakeFake) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    del metadata["order_validation_id"]
    for call in (channel.validate, channel.submit):
        assert call("fake.one", metadata=metadata, user=BOB).status == 200
        assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == ({}, {})
    channel.submit("fake.one", metadata=metadata, tip=1)
    assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == (ACCOUNT, CART)


@pytest.mark.rule("META-10")
@pytest.mark.parametrize(
    "change",
    [
        {"phone": BOB["phone"]},
        {"email": BOB["email"]},
        {"email": USER["email"].upper(), "phone": None},
        {"phone": "(617) 555 0142", "email": None},
        {"name": BOB["name"]},
    ],
)
def test_a_guest_with_a_new_address_or_phone_is_the_same(fake: MakeFake, change: dict[str, Any]) -> None:
    provider, channel = fake()
    quotes(provider, customer_account=ACCOUNT, cart=CART)
    metadata = channel.validate("fake.one").order["metadata"]
    user = {name: value for name, value in {**USER, **change}.items() if value}
    assert channel.submit("fake.one", metadata=metadata, user=user).status == 200
    assert (provider.orders[-1].customer_account, provider.orders[-1].cart) == (ACCOUNT, CART)


@pytest.mark.rule("META-10")
def test_an_address_is_not_a_telephone() -> None:
    keeper = MetadataKeeper([Secret(new_secret_key())])
    given = keeper.seal_customer_account("a", ACCOUNT, User("A", "B", phone="1"))
    assert keeper.open_customer_account("a", given, User("A", "B", email="1")) == {}
    assert keeper.open_customer_account("a", given, User("A", "B", phone="1")) == ACCOUNT


@pytest.mark.rule("META-10")
def test_a_cart_is_of_its_location() -> None:
    keeper, guest = MetadataKeeper([Secret(new_secret_key())]), User("A", "B", email="a@example.com")
    given = keeper.seal_cart("a", "a.one", CART, guest)
    assert keeper.open_cart("a", "a.two", given, guest) == {}
    assert keeper.open_cart("b", "a.one", given, guest) == {}
    assert keeper.open_cart("a", "a.one", given, guest) == CART


@pytest.mark.rule("META-10", "META-7")
def test_what_was_sealed_before_is_still_taken() -> None:
    keys, guest = [Secret(new_secret_key()), Secret(new_secret_key())], User("A", "B", email="a@example.com")
    old = {"user_a_login": Sealer(keys[1:], "metadata").seal("robin-1", "a user_a_login")}
    assert MetadataKeeper(keys).open_customer_account("a", old, guest) == {"login": Secret("robin-1")}
    assert MetadataKeeper(keys).open_customer_account("b", old, guest) == {}
    # A known guest stays known when the keys change.
    given = MetadataKeeper(keys[1:]).seal_customer_account("a", ACCOUNT, guest)
    assert MetadataKeeper(keys).open_customer_account("a", given, guest) == ACCOUNT
    assert MetadataKeeper(keys[:1]).open_customer_account("a", given, guest) == {}
