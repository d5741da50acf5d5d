"""Addresses, keys, ids, envelopes: EP-1 to EP-8, EP-10 and EP-12."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from levelup_ov.config import ConfigError, load_settings
from tests.channel import CARD, USER, Channel, item, order
from tests.conftest import MakeApp
from tests.contract.conftest import Kitchen, MakeFake

ORDER_PATHS = ("order_validation", "order_submission")
KEYED = [
    ("GET", "/merchants"),
    ("GET", "/merchants/sandbox/locations"),
    ("GET", "/locations/sandbox.congress/menu"),
    ("POST", "/locations/sandbox.congress/order_validations"),
    ("POST", "/locations/sandbox.congress/order_submissions"),
    ("GET", "/nothing/here"),
]
ODD_IDS = [
    "a/b",
    "/",
    "50%",
    "50%25",
    "a b",
    "café",
    "?x=1#y",
    "..",
    "a.b",
    "a+b",
    "x/order_validations",
    "日本",
    "menu",
]


@pytest.mark.rule("EP-1")
def test_merchants_are_the_accounts(channel: Channel, fake: MakeFake) -> None:
    sandbox = {"merchant": {"provider_id": "sandbox", "name": "Sandbox Diner"}}
    assert channel.get("/merchants").json == {"merchants": [sandbox]}
    several = [
        {"merchant": {"provider_id": "fake", "name": "Fake Diner"}},
        {"merchant": {"provider_id": "other", "name": "Other Diner"}},
    ]
    assert fake()[1].get("/merchants").json == {"merchants": several}


@pytest.mark.rule("EP-1", "EP-2", "EP-3", "EP-4", "EP-5")
def test_from_the_merchants_a_channel_finds_its_way_to_an_order(channel: Channel, kitchen: Kitchen) -> None:
    merchant = channel.get("/merchants").json["merchants"][0]["merchant"]["provider_id"]
    locations = channel.get(f"/merchants/{merchant}/locations").json["locations"]
    location = next(each["location"] for each in locations if each["location"]["name"] == "Congress Street")
    menu = channel.get(f"/locations/{location['provider_id']}/menu").json["menu"]
    found = next(each["item"] for each in menu["categories"][0]["category"]["items"])
    wanted = [item(found["provider_id"])]
    validated = channel.validate(location["provider_id"], items=wanted).order
    assert validated["total"] == found["price"]
    assert kitchen.count("orders") == 0
    placed = channel.submit(location["provider_id"], items=wanted, metadata=validated["metadata"]).order
    assert kitchen.order("congress", placed["order_id"])["lines"][0]["dish"] == found["provider_id"]


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize("header", ["token dev-key", "Token dev-key", "Bearer dev-key", "bearer dev-key"])
def test_a_key_comes_with_either_scheme(refused: Channel, header: str) -> None:
    assert refused.get("/merchants", Authorization=header).status == 200


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize(
    "header",
    [
        "", "token", "token ", "token wrong", "token dev-ke", "token dev-key2", "token dev-kéy", "dev-key",
        "Basic ZGV2LWtleQ==", "Basic dev-key", "token token dev-key",
    ],
)  # fmt: skip
def test_a_missing_or_wrong_key_is_unauthorized(refused: Channel, method: str, path: str, header: str) -> None:
    answer = refused.send(method, path, headers={"Authorization": header.encode().decode("latin-1")})
    assert answer.refusal == (401, "unauthorized", None)


@pytest.mark.rule("EP-6")
def test_several_keys_are_valid_so_that_they_can_be_rotated(make_app: MakeApp) -> None:
    app = make_app(LEVELUP_OV_API_KEYS="new-key, old-key")
    assert [Channel(app, key).get("/merchants").status for key in ("new-key", "old-key")] == [200, 200]
    assert Channel(app, "dev-key").get("/merchants").status == 401
    assert Channel(app, "new-key, old-key").get("/merchants").status == 401
    assert Channel(make_app(LEVELUP_OV_API_KEYS="new-key"), "old-key").get("/merchants").status == 401


@pytest.mark.rule("EP-6")
def test_every_key_is_compared_in_constant_time(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    real = hmac.compare_digest

    def compare(given: Any, key: Any) -> bool:
        compared.append(key)
        return real(given, key)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Channel(make_app(LEVELUP_OV_API_KEYS="first,second"), "first").get("/merchants").status == 200
    assert compared == [b"first", b"second"]


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
def test_some_addresses_need_no_key(app: Any, path: str) -> None:
    assert app.test_client().get(path).status_code == 200


@pytest.mark.rule("EP-6")
def test_without_a_key_only_development_mode_starts(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="LEVELUP_OV_API_KEYS"):
        load_settings({**environ, "LEVELUP_OV_ENV": "production"})
    with pytest.raises(ConfigError, match="LEVELUP_OV_API_KEYS"):
        load_settings({key: value for key, value in environ.items() if key != "LEVELUP_OV_ENV"})
    assert load_settings(environ).api_keys


@pytest.mark.rule("EP-7")
def test_any_id_of_a_provider_appears_unchanged_in_a_url(fake: MakeFake) -> None:
    provider, channel = fake()
    assert isinstance(provider.locations, list)
    provider.locations = [replace(provider.locations[0], provider_id=each, name=each) for each in ODD_IDS]
    locations = [each["location"] for each in channel.get("/merchants/fake/locations").json["locations"]]
    assert [each["name"] for each in locations] == ODD_IDS
    for location in locations:
        wire_id = location["provider_id"]
        assert re.fullmatch(r"fake\.[A-Za-z0-9._~%-]+", wire_id)
        assert channel.get(f"/locations/{wire_id}/menu").status == 200
        assert channel.validate(wire_id).status == channel.submit(wire_id).status == 200
        assert [order.location.provider_id for order in provider.orders[-2:]] == [location["name"]] * 2


@pytest.mark.rule("EP-7", "ERR-2")
@pytest.mark.parametrize(
    "location",
    [
        "sandbox.nowhere", "nobody.congress", "congress", "sandbox", "sandbox.", ".congress", "sandbox.congress.",
        "%00", "sandbox.CONGRESS", "sandbox.congress%2F", "sandbox/congress", "caf%C3%A9", "%FF",
    ],
)  # fmt: skip
def test_an_unknown_location_is_not_found(refused: Channel, location: str) -> None:
    expected = (404, "location_not_found", None)
    assert refused.get(f"/locations/{location}/menu").refusal == expected
    assert refused.validate(location).refusal == refused.submit(location).refusal == expected
    assert refused.validate(location).error["type"] == "request"


@pytest.mark.rule("EP-7")
@pytest.mark.parametrize("merchant", ["nobody", "sandbox.congress", "Sandbox", "%20", "caf%C3%A9"])
def test_an_unknown_merchant_is_not_found(refused: Channel, merchant: str) -> None:
    assert refused.get(f"/merchants/{merchant}/locations").refusal == (404, "merchant_not_found", None)


@pytest.mark.rule("EP-8")
@pytest.mark.parametrize("root", ORDER_PATHS)
@pytest.mark.parametrize(
    "value", ["null", "1", '"text"', "[[{}]]", '{"provider_id": 5}', "9" * 5000, "1e999", '"\\u0000"']
)
def test_unknown_members_are_ignored_wherever_they_are(fake: MakeFake, root: str, value: str) -> None:
    _, channel = fake()
    unknown = {"unheard_of": "VALUE"}
    line = item("sandwich", {"provider_id": "bread:rye", **unknown}, **unknown)
    line["item"]["options"][0] |= unknown
    members = {
        **order(items=[line | unknown], user=USER | unknown, credit_card=CARD | unknown),
        "delivery_address": {"street_address": "1 Example Street", **unknown},
        **unknown,
    }
    body = json.dumps({root: members, **unknown}).replace('"VALUE"', value)
    assert channel.post("fake.one", root, body.encode()).status == 200


@pytest.mark.rule("EP-10", "EP-11")
def test_request_and_answer_have_the_same_root(channel: Channel) -> None:
    assert list(channel.validate().json) == ["order_validation"]
    assert list(channel.submit().json) == ["order_submission"]


@pytest.mark.rule("EP-10")
def test_the_root_of_answers_can_be_taken_off(make_app: MakeApp) -> None:
    channel = Channel(make_app(RESPONSE_ENVELOPE="false"))
    assert channel.validate().json["total"] == 1000
    assert channel.submit().json["order_id"] == 1
    assert channel.get("/merchants").json["merchants"]
    assert channel.validate(items=[]).error["code"] == "invalid_member"


@pytest.mark.rule("EP-10", "EP-9")
@pytest.mark.parametrize("root", ORDER_PATHS)
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "$"), ("text", "$"), (None, "$"), (5, "$"), ({}, "$.{root}"), (order(), "$.{root}"),
        ({"another_root": order()}, "$.{root}"), ({"order_validation": [], "order_submission": []}, "$.{root}"),
        ({"order_validation": None, "order_submission": None}, "$.{root}"),
    ],
)  # fmt: skip
def test_a_request_without_its_root_is_refused(refused: Channel, root: str, body: Any, path: str) -> None:
    answer = refused.post("sandbox.congress", root, body)
    assert answer.refusal == (422, "invalid_member", path.format(root=root))


@pytest.mark.rule("EP-11")
def test_the_answers_have_all_their_members_and_no_other(channel: Channel) -> None:
    assert set(channel.validate().order) == {
        "total", "tax", "tip", "merchant_funded_discount", "provider_funded_discount", "soonest_available_at",
        "ready_at", "available_at", "metadata",
    }  # fmt: skip
    assert set(channel.submit().order) == {"order_id", "expected_ready_at", "metadata"}


@pytest.mark.rule("EP-12")
@pytest.mark.parametrize("kind", ["delivery", "drone", "", "Pickup"])
def test_a_fulfillment_that_a_location_lacks_is_refused(channel: Channel, kitchen: Kitchen, kind: str) -> None:
    refused = (422, "fulfillment_not_supported")
    place = "sandbox.notips"
    answer = channel.validate(place, fulfillment_type=kind)
    assert answer.refusal == (*refused, "$.order_validation.fulfillment_type")
    answer = channel.submit(place, fulfillment_type=kind, delivery_address={"street_address": "1 Example Street"})
    assert answer.refusal == (*refused, "$.order_submission.fulfillment_type")
    assert answer.error["type"] == "request"
    assert channel.validate(place, fulfillment_type="pickup").status == 200
    assert kitchen.count("orders") == 0


@pytest.mark.rule("EP-12")
def test_location_and_adapter_must_both_deliver(fake: MakeFake) -> None:
    provider, channel = fake()
    assert channel.validate("fake.one", fulfillment_type="delivery").status == 200
    assert provider.orders[-1].fulfillment_type == "delivery"
    provider.fulfillments = frozenset({"pickup"})  # type: ignore[misc]
    assert channel.validate("fake.one", fulfillment_type="delivery").error["code"] == "fulfillment_not_supported"
    provider.fulfillments = frozenset({"delivery"})  # type: ignore[misc]
    for kind in ("pickup", None):
        assert channel.validate("fake.one", fulfillment_type=kind).error["code"] == "fulfillment_not_supported"
    assert len(provider.orders) == 1
