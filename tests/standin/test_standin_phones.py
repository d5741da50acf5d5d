"""What the phone libraries ask beyond charging, in their forms and in those of the C# library.

Sources: IOS the iOS library and its fixtures, AND the Android library, CS the C# library.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from levelup_ov.standins.levelup.cards import made_card
from levelup_ov.standins.levelup.world import DECLINED_CARD, GOOD_CARD, SHOP_APP, Grant
from tests.standin.visitors import ADA, BEACON, BEN, CLEO, DORA, HARBOR, PASSWORDS, LevelUp

CARD = {"number": GOOD_CARD, "cvv": "123", "expiration_month": "01", "expiration_year": "2030"}


def login(levelup: LevelUp, email: str = "ada@example.com", password: str | None = None) -> str:
    """The header of somebody who logs in as IOS and AND do; they send the token untagged."""
    given = {
        "api_key": SHOP_APP.api_key, "username": email, "password": password or PASSWORDS[email],
        "device_identifier": "a phone",
    }  # fmt: skip
    token = levelup.call("POST", "/v14/access_tokens", {"access_token": given})["access_token"]
    return f"token {token['token']}"


# Accounts.


@pytest.mark.parametrize("path", ["/v15/users", "/v14/users/1"], ids=["IOS, AND", "CS"])
def test_a_user_changes_what_is_given(levelup: LevelUp, path: str) -> None:
    auth, before = login(levelup), levelup.call("GET", "/v14/users/1", auth=levelup.user_auth())["user"]
    given = {
        "born_at": "1980-01-01T00:00:00-05:00", "custom_attributes": {"diet": "vegan"}, "device_identifier": "a phone",
        "first_name": "Augusta", "gender": "female", "phone": "(617) 555-0199", "terms_accepted": True,
    }  # fmt: skip
    changed = levelup.call("PUT", path, {"user": given}, auth=auth)["user"]
    shown = {name: value for name, value in given.items() if name not in ("device_identifier", "terms_accepted")}
    assert changed == {**before, **shown}
    more = levelup.call("PUT", path, {"user": {"custom_attributes": {"size": "large"}}}, auth=auth)["user"]
    assert more == {**changed, "custom_attributes": {"diet": "vegan", "size": "large"}}
    assert levelup.call("GET", "/v15/users", auth=auth)["user"] == more


def test_a_user_changes_address_and_password(levelup: LevelUp) -> None:
    new = {"email": "augusta@example.com", "new_password": "a new password"}
    assert levelup.call("PUT", "/v15/users", {"user": new}, auth=login(levelup))["user"]["email"] == new["email"]
    assert login(levelup, new["email"], new["new_password"])
    old = {"api_key": SHOP_APP.api_key, "username": "ada@example.com", "password": PASSWORDS["ada@example.com"]}
    levelup.refused("POST", "/v14/access_tokens", {"access_token": old})


@pytest.mark.parametrize(
    "given, error",
    [
        ({"email": "ben@example.com"}, "email/taken"),
        ({"email": "nobody"}, "email/invalid"),
        ({"born_at": "long ago"}, "born_at/invalid"),
        ({"new_password": "short"}, "new_password/too_short"),
        ({"custom_attributes": {"a": 1}}, "custom_attributes/invalid"),
        ({"custom_attributes": "vegan"}, "custom_attributes/invalid"),
    ],
)
def test_a_change_that_is_wrong_changes_nothing(levelup: LevelUp, given: Any, error: str) -> None:
    auth = login(levelup)
    before = levelup.call("GET", "/v15/users", auth=auth)
    body = {"user": {"first_name": "Augusta", **given}}
    assert levelup.refused("PUT", "/v15/users", body, auth=auth) == [f"user/{error}"]
    assert levelup.call("GET", "/v15/users", auth=auth) == before


def test_an_account_is_its_persons_own(levelup: LevelUp) -> None:
    """CS: users, merchants' too, may only read of themselves. W: ``edit_user_basic_info`` is needed to change it."""
    owner = login(levelup, "owner@beacon.example")
    assert levelup.call("GET", "/v14/users/6", auth=owner)["user"]["first_name"] == "Olive"
    for method, body in (("GET", None), ("PUT", {"user": {"first_name": "Eve"}})):
        assert levelup.refused(method, f"/v14/users/{BEN}", body, auth=login(levelup), status=404) == [
            "user/id/not_found"
        ]
    for auth in ("", levelup.user_auth(), levelup.merchant_auth(), levelup.app_auth()):
        levelup.refused("PUT", "/v15/users", {"user": {"first_name": "Eve"}}, auth=auth, status=401)
    levelup.refused("GET", "/v14/users/1", auth=levelup.user_auth(ADA, "create_orders"), status=401)
    allowed = levelup.user_auth(ADA, "edit_user_basic_info")
    assert levelup.call("PUT", "/v15/users", {"user": {"gender": "female"}}, auth=allowed)["user"]["gender"] == "female"


def test_somebody_registers_and_logs_in(levelup: LevelUp) -> None:
    """IOS, AND and CS: with a password, at v14."""
    new = {"email": "fay@example.com", "first_name": "Fay", "last_name": "Example", "password": "fay-password"}
    made = levelup.call("POST", "/v14/users", {"api_key": SHOP_APP.api_key, "user": new})["user"]
    auth = login(levelup, new["email"], new["password"])
    assert levelup.call("GET", "/v15/users", auth=auth)["user"] == made
    again = {"api_key": SHOP_APP.api_key, "user": new}
    assert levelup.refused("POST", "/v14/users", again) == ["user/email/taken"]
    short = {"api_key": SHOP_APP.api_key, "user": {**new, "email": "gus@example.com", "password": "short"}}
    assert levelup.refused("POST", "/v14/users", short) == ["user/password/too_short"]


def test_an_account_of_record_at_users(levelup: LevelUp) -> None:
    """AND sends it to users, with the permissions; RB, IOS and D14 to apps/users."""
    new = {"email": "fay@example.com", "first_name": "Fay", "last_name": "Example", "terms_accepted": True}
    body = {"api_key": SHOP_APP.api_key, "user": new, "permission_keynames": ["read_user_basic_info"]}
    answer = levelup.call("POST", "/v15/users", body)
    auth = f"token {answer['access_token']['token']}"
    assert levelup.call("GET", "/v15/users", auth=auth)["user"] == answer["user"]


@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "untagged"])
def test_a_token_with_fewer_permissions(levelup: LevelUp, tagged: bool) -> None:
    """IOS, AND."""
    token = levelup.token("read_user_basic_info", "read_user_orders", user=ADA)
    auth = f'token user="{token}"' if tagged else f"token {token}"
    path = "/v15/access_tokens/downgrades"
    asked = {"access_token": {"permission_keynames": ["read_user_basic_info"]}}
    made = levelup.call("POST", path, asked, auth=auth)["access_token"]
    assert (made["app_id"], made["user_id"], made["merchant_id"]) == (SHOP_APP.id, ADA, None)
    less = f"token {made['token']}"
    assert levelup.call("GET", "/v15/users", auth=less)["user"]["id"] == ADA
    levelup.refused("GET", "/v15/users/orders", auth=less, status=401)
    # Nobody gets more than they have.
    more = {"access_token": {"permission_keynames": ["create_orders"]}}
    assert levelup.refused("POST", path, more, auth=auth) == ["access_token/permission_keynames/invalid"]
    levelup.refused("POST", path, asked, auth=levelup.merchant_auth(), status=401)
    of_login = levelup.call("POST", path, asked, auth=login(levelup))["access_token"]["token"]
    levelup.refused("PUT", "/v15/users", {"user": {}}, auth=f"token {of_login}", status=401)


# Cards.

Encrypt = Callable[[str], str]


def encryption(levelup: LevelUp, library: str) -> Encrypt:
    """As an app encrypts with the key that LevelUp's page shows: the iOS library signs, the Android one does not."""
    page = levelup.client.get("/").get_data(as_text=True)
    der = b64decode(page.partition('<pre class="key">')[2].partition("<")[0])
    public = serialization.load_der_public_key(der)
    assert isinstance(public, rsa.RSAPublicKey)

    def encrypt(plain: str) -> str:
        key, signing_key, vector = os.urandom(32), os.urandom(32), os.urandom(16)
        padder = padding.PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        data = vector + encryptor.update(padder.update(plain.encode()) + padder.finalize()) + encryptor.finalize()
        keys = key + signing_key if library == "ios" else key
        parts = [public.encrypt(b64encode(keys), rsa_padding.PKCS1v15()), data]
        if library == "ios":
            parts.append(hmac.digest(signing_key, data, "sha256"))
        head = "$bt4|ios_2_2_4" if library == "ios" else "$bt3|android_1_0_0"
        return "$".join([head, *(b64encode(part).decode() for part in parts)])

    return encrypt


def encrypted(encrypt: Encrypt, **members: str) -> Any:
    sealed = {f"encrypted_{name}": encrypt(value) for name, value in {**CARD, **members}.items()}
    return {"credit_card": {**sealed, "postal_code": "02110"}}


@pytest.mark.parametrize("library", ["ios", "android"])
def test_a_card_is_encrypted_by_the_phone(levelup: LevelUp, library: str, tmp_path: Any) -> None:
    """IOS, AND, CS; the last two describe it as the new card to charge."""
    auth, encrypt = login(levelup, "cleo@example.com"), encryption(levelup, library)
    card = levelup.call("POST", "/v15/credit_cards", encrypted(encrypt), auth=auth)["credit_card"]
    assert {name: card[name] for name in ("last_4", "promoted", "state", "expiration_year")} == {
        "last_4": "1111", "promoted": True, "state": "active", "expiration_year": 2030,
    }  # fmt: skip
    assert levelup.ordered(levelup.tokens(CLEO))["total_amount"] == 1000
    wrong = encrypted(encrypt, number="4111 1111 1111 1112")
    assert levelup.refused("POST", "/v15/credit_cards", wrong, auth=auth) == ["credit_card/number/invalid"]
    levelup.store.close()
    assert b"4111111111111111" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_what_was_not_encrypted_for_us(levelup: LevelUp) -> None:
    auth = login(levelup, "cleo@example.com")
    examples = {
        "nothing": lambda _: "$bt4|javascript_1_3_9$Zar7J1+0QNsrHtKFufeJ8UCpSd5RM1PwTjzNE1Dm1N0A969OuWfU03",
        "words": lambda plain: plain,
    }
    good = encryption(levelup, "ios")
    examples |= {
        "an older form": lambda plain: good(plain).replace("$bt4", "$bt2"),
        "another signature": lambda plain: good(plain)[:-6] + "AAAAA=",
        "no signature": lambda plain: good(plain).rpartition("$")[0],
    }
    for name, encrypt in examples.items():
        refused = levelup.refused("POST", "/v15/credit_cards", encrypted(encrypt), auth=auth)
        assert refused == [f"credit_card/encrypted_{member}/invalid" for member in (
            "number", "cvv", "expiration_month", "expiration_year",
        )], name  # fmt: skip
    assert levelup.call("GET", "/v15/credit_cards", auth=auth) == []


def test_cards_are_promoted_and_deleted(levelup: LevelUp) -> None:
    """IOS and AND; CS deletes. Ben's card is declined, his new one pays until it is gone."""
    auth = login(levelup, "ben@example.com")
    (first,) = levelup.call("GET", "/v14/credit_cards", auth=auth)
    body = {"credit_card": {**CARD, "postal_code": "02110"}}
    second = levelup.call("POST", "/v15/credit_cards", body, auth=auth)["credit_card"]
    assert levelup.call("GET", "/v15/payment_method", auth=auth)["payment_method"]["metadata"]["last_4"] == "1111"
    assert levelup.ordered(levelup.tokens(BEN))
    promoted = levelup.call("PUT", f"/v14/credit_cards/{first['credit_card']['id']}", auth=auth)
    assert promoted == first
    listed = levelup.call("GET", "/v14/credit_cards", auth=auth)
    assert [each["credit_card"]["promoted"] for each in listed] == [True, False]
    uuid = levelup.propose(levelup.tokens(BEN))["uuid"]
    refused = {"completed_order": {"location_id": 11, "spend_amount": 1000, "proposed_order_uuid": uuid}}
    levelup.refused("POST", "/v15/completed_orders", refused, auth=levelup.tokens(BEN))
    gone = levelup.call("DELETE", f"/v14/credit_cards/{first['credit_card']['id']}", auth=auth)["credit_card"]
    assert gone == {**first["credit_card"], "state": "inactive"}
    (left,) = levelup.call("GET", "/v14/credit_cards", auth=auth)
    assert left["credit_card"] == {**second, "promoted": True}
    assert levelup.ordered(levelup.tokens(BEN))


@pytest.mark.parametrize(
    "nonce, charged", [("fake-valid-visa-nonce", True), ("fake-processor-declined-visa-nonce", False)]
)
def test_a_card_may_be_a_nonce(levelup: LevelUp, nonce: str, charged: bool) -> None:
    """W, at v14: only those that Braintree publishes for tests."""
    auth = login(levelup, "cleo@example.com")
    body = {"credit_card": {"braintree_payment_nonce": nonce}}
    card = levelup.call("POST", "/v14/credit_cards", body, auth=auth)["credit_card"]
    assert (card["type"], card["state"], card["nickname"], len(card["bin"])) == ("Visa", "active", None, 6)
    if charged:
        assert levelup.ordered(levelup.tokens(CLEO))
    else:
        uuid = levelup.propose(levelup.tokens(CLEO))["uuid"]
        order = {"completed_order": {"location_id": 11, "spend_amount": 1000, "proposed_order_uuid": uuid}}
        levelup.refused("POST", "/v15/completed_orders", order, auth=levelup.tokens(CLEO))
    wrong = {"credit_card": {"braintree_payment_nonce": "nonsense"}}
    assert levelup.refused("POST", "/v14/credit_cards", wrong, auth=auth) == [
        "credit_card/braintree_payment_nonce/invalid"
    ]


def test_an_app_may_be_allowed_to_manage_cards(levelup: LevelUp) -> None:
    """W: ``manage_user_payment_methods``."""
    auth = levelup.user_auth(BEN, "manage_user_payment_methods")
    added = levelup.call("POST", "/v15/credit_cards", {"credit_card": {**CARD, "postal_code": "02110"}}, auth=auth)
    number = added["credit_card"]["id"]
    assert levelup.call("GET", "/v15/payment_method", auth=auth)["payment_method"]["metadata"]["last_4"] == "1111"
    levelup.call("DELETE", f"/v15/credit_cards/{number}", auth=auth)
    levelup.call("DELETE", "/v15/payment_method", auth=auth, status=204)


def test_a_card_is_its_owners_own(levelup: LevelUp) -> None:
    (card,) = levelup.call("GET", "/v14/credit_cards", auth=levelup.user_auth())
    path = f"/v14/credit_cards/{card['credit_card']['id']}"
    for method in ("PUT", "DELETE"):
        assert levelup.refused(method, path, auth=login(levelup, "ben@example.com"), status=404) == [
            "credit_card/id/not_found"
        ]
        for auth in ("", levelup.user_auth(), levelup.merchant_auth()):
            levelup.refused(method, path, auth=auth, status=401)
    assert levelup.call("GET", "/v14/credit_cards", auth=levelup.user_auth()) == [card]


def test_the_payment_method_is_the_card_that_is_charged(levelup: LevelUp) -> None:
    """IOS fixture ``credit_card_payment_method.json``; without one it is 404."""
    method = levelup.call("GET", "/v15/payment_method", auth=login(levelup))["payment_method"]
    assert set(method) == {
        "description", "metadata", "monthly_billing_day", "monthly_transaction_limit_amount", "payment_preference_type",
        "preload_reload_threshold_amount", "preload_value_amount", "type",
    }  # fmt: skip
    assert (method["description"], method["type"]) == ("Visa *1111", "credit_card")
    assert method["metadata"] == {
        "expiration_month": "12", "expiration_year": "2099", "issuer": "Visa", "last_4": "1111",
    }  # fmt: skip
    without = login(levelup, "cleo@example.com")
    assert levelup.refused("GET", "/v15/payment_method", auth=without, status=404) == ["payment_method/base/not_found"]


def test_a_payment_method_is_deactivated(levelup: LevelUp) -> None:
    """IOS. The code that is shown asks for a new one then (``payment_token_with_action_and_message.json``)."""
    auth = login(levelup)
    with levelup.store.writing() as transaction:
        transaction.add_card(ADA, made_card(DECLINED_CARD, 12, 2099))
    token = levelup.call("GET", "/v15/payment_token", auth=auth)["payment_token"]
    assert (token["action"], token["message"]) == (None, None)
    levelup.refused("DELETE", "/v15/payment_method", auth=levelup.user_auth(), status=401)
    levelup.call("DELETE", "/v15/payment_method", auth=auth, status=204)
    assert levelup.call("GET", "/v15/credit_cards", auth=auth) == []
    levelup.refused("DELETE", "/v15/payment_method", auth=auth, status=404)
    asks = levelup.call("GET", "/v15/payment_token", auth=auth)["payment_token"]
    assert asks["action"] == "add_payment_method" and asks["message"] and asks["data"] == token["data"]


# Rewards and campaigns.


@pytest.mark.parametrize(
    "user, location, kinds",
    [(ADA, 11, {"merchant_funded", "global"}), (DORA, 11, {"gift_card"}), (BEN, 21, set()), (CLEO, 11, set())],
)
def test_rewards_are_the_credit(levelup: LevelUp, user: int, location: int, kinds: set[str]) -> None:
    """IOS fixtures ``rewards.json`` and ``reward_summary.json``."""
    auth = f"token {levelup.token(user=user)}"
    path = f"/v15/locations/{location}"
    rewards = [each["reward"] for each in levelup.call("GET", f"{path}/rewards", auth=auth)]
    assert {tag for reward in rewards for tag in reward["tags"]} == kinds
    for reward in rewards:
        assert set(reward) == {
            "created_at", "description", "expires_at", "id", "source_campaign_id", "tags", "title", "usable",
            "usable_as_credit", "usable_now", "value_remaining_amount",
        }  # fmt: skip
    total = sum(reward["value_remaining_amount"] for reward in rewards)
    assert total == levelup.credit(user, location)
    assert levelup.call("GET", f"{path}/reward_summary", auth=auth)["reward_summary"] == {
        "credit_amount": total, "reward_count": len(kinds), "usable_as_credit_reward_count": len(kinds),
    }  # fmt: skip
    levelup.refused("GET", f"{path}/rewards", status=401)


def test_a_reward_says_when_the_first_of_it_expires(levelup: LevelUp) -> None:
    auth = f"token {levelup.token(user=BEN)}"
    for seconds in (7200, 3600):
        expires_at = int(levelup.now.timestamp()) + seconds
        with levelup.store.writing() as transaction:
            transaction.add_grant(BEN, Grant("credit", BEACON, 100, expires_at))
    (reward,) = levelup.call("GET", "/v15/locations/11/rewards", auth=auth)
    assert (reward["reward"]["value_remaining_amount"], reward["reward"]["expires_at"]) == (350, "2026-11-20T18:00:00Z")
    levelup.pass_time(hours=3)
    (reward,) = levelup.call("GET", "/v15/locations/11/rewards", auth=auth)
    assert (reward["reward"]["value_remaining_amount"], reward["reward"]["expires_at"]) == (150, None)


@pytest.mark.parametrize("number, value, merchant", [(101, 500, BEACON), (201, 300, HARBOR)])
def test_a_campaign_in_the_older_form(levelup: LevelUp, number: int, value: int, merchant: int) -> None:
    """IOS fixture ``campaign.json``; AND reads the first six of them always."""
    campaign = levelup.call("GET", f"/v14/campaigns/{number}")["campaign"]
    assert set(campaign) == {
        "applies_to_all_merchants", "confirmation_html", "id", "name", "offer_html", "value_amount",
        "message_for_email_body", "message_for_email_subject", "message_for_facebook", "message_for_twitter",
        "share_url_email", "share_url_facebook", "share_url_twitter", "shareable", "sponsor", "type",
    }  # fmt: skip
    assert (campaign["id"], campaign["value_amount"]) == (number, value)
    (place,) = levelup.call("GET", f"/v15/merchants/{merchant}/locations")[:1]
    assert campaign["sponsor"] == place["location"]["merchant_name"]


def test_an_address_has_coordinates(levelup: LevelUp) -> None:
    """IOS reads them; nobody looked these up."""
    for entry in levelup.call("GET", "/v15/user_addresses", auth=login(levelup)):
        assert {"latitude", "longitude"} <= set(entry["user_address"])
