"""What an error looks like, who is to blame, and what it never says: ERR-1 to ERR-4."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import Category, Menu
from levelup_ov.domain.outcome import Fee, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered, broken_protocol
from levelup_ov.observability import JsonFormatter
from tests.channel import CARD, Answer, Channel, item, order
from tests.contract.conftest import FAKE_TOKEN, MakeFake
from tests.contract.fakes import FakeAdapter
from tests.test_contract_page import DOCS, table

CODES = table("The error codes")
ELSEWHERE = {
    "invalid_idempotency_key", "order_validation_expired", "idempotency_key_reused", "submission_in_progress",
    "provider_busy", "outcome_unknown", "ledger_unavailable",
    "charge_refunded", "refund_impossible",
    "cancellation_not_supported", "cancellation_refused", "cancellation_unknown",
    "already_refunded", "amounts_do_not_add_up", "authorization_refused", "connection_not_found", "discount_too_large",
    "email_taken", "invalid_confirmation", "invalid_state", "levelup_refused", "manager_confirmation_required",
    "merchant_token_refused", "not_connected", "order_id_ambiguous", "order_not_found", "refund_pending",
    "refund_refused", "notice_refused", "session_changed", "session_closed", "session_not_found",
    "status_not_supported", "user_token_refused",
}  # fmt: skip
"""Codes of ledger, full pools, order statuses, webhooks, web checkout and sessions, which have tests of their own."""

Case = Callable[[Channel], Answer]
OF_THE_SERVICE: dict[str, Case] = {
    "malformed_json": lambda channel: channel.post("sandbox.congress", "order_validation", b"{"),
    "duplicate_member": lambda channel: channel.post("sandbox.congress", "order_validation", b'{"a": 1, "a": 1}'),
    "bad_request": lambda channel: channel.send(
        "POST",
        "/locations/sandbox.congress/order_validations",
        data=b"{}",
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100"},
    ),
    "unauthorized": lambda channel: channel.get("/merchants", Authorization="token wrong"),
    "not_found": lambda channel: channel.get("/nothing/here"),
    "merchant_not_found": lambda channel: channel.get("/merchants/nobody/locations"),
    "location_not_found": lambda channel: channel.validate("sandbox.nowhere"),
    "method_not_allowed": lambda channel: channel.send("DELETE", "/merchants"),
    "not_acceptable": lambda channel: channel.get("/merchants", Accept="text/html"),
    "payload_too_large": lambda channel: channel.post("sandbox.congress", "order_validation", b" " * 1024 * 1025),
    "unsupported_media_type": lambda channel: channel.send(
        "POST", "/locations/sandbox.congress/order_validations", data=b"{}", content_type="text/plain"
    ),
    "invalid_member": lambda channel: channel.validate(tip=-1),
    "orphan_option": lambda channel: channel.validate(items=[item("sandwich", "added-side:fries:dips:aioli")]),
    "special_instructions_too_long": lambda channel: channel.validate(special_instructions="x" * 251),
    "special_instructions_not_allowed": lambda channel: channel.validate(
        items=[item("lemonade", special_instructions="Warm, please.")]
    ),
    "ready_time_in_past": lambda channel: channel.validate(desired_ready_time="2030-06-03T11:59"),
    "tender_not_accepted": lambda channel: channel.submit("sandbox.card", tender="LevelUp"),
    "fulfillment_not_supported": lambda channel: channel.validate(fulfillment_type="drone"),
    "delivery_address_incomplete": lambda channel: channel.submit(fulfillment_type="delivery"),
    "address_not_served": lambda channel: channel.validate(
        fulfillment_type="delivery", delivery_address={"street_address": "1 Far Street", "postal_code": "99999"}
    ),
    "order_minimum_not_reached": lambda channel: channel.validate(items=[item("cookie")], fulfillment_type="delivery"),
    "unknown_item": lambda channel: channel.validate(items=[item("nothing")]),
    "unknown_option": lambda channel: channel.validate(items=[item("sandwich", "bread:nothing")]),
    "item_unavailable": lambda channel: channel.validate(items=[item("soup")]),
    "invalid_choices": lambda channel: channel.validate(items=[item("burger")]),
    "ready_time_unavailable": lambda channel: channel.validate("sandbox.notips", desired_ready_time="2030-06-03T13:00"),
    "price_changed": lambda channel: channel.submit(special_instructions="sandbox:price-change"),
    "card_declined": lambda channel: channel.submit("sandbox.card", credit_card={**CARD, "number": "4000000000000002"}),
    "customer_refused": lambda channel: channel.validate("sandbox.account", user={"name": "Robin", "phone": "1"}),
    "order_refused": lambda channel: channel.validate(merchant_funded_discount=99_999_999),
}
OF_A_PROVIDER: dict[str, Callable[[FakeAdapter], object]] = {
    "location_closed": lambda fake: vars(fake).update(quote=Refused("location_closed", "Closed for winter.")),
    "fees_not_representable": lambda fake: vars(fake).update(quote=Quote(1000, 70, 0, None, fees=(Fee("Bag", 10),))),
    "rate_limited": lambda fake: vars(fake).update(quote=Unanswered("rate_limited", "Slow down.", sent=True)),
    "provider_protocol_error": lambda fake: vars(fake).update(quote=broken_protocol("no total")),
    "provider_credentials_refused": lambda fake: vars(fake).update(
        quote=Unanswered("provider_credentials_refused", "No entry.", sent=True)
    ),
    "menu_invalid": lambda fake: vars(fake).update(menu=Menu("m", "", (Category("c", "", ()),))),
    "provider_unavailable": lambda fake: vars(fake).update(
        locations=Unanswered("provider_unavailable", "Nobody there.", sent=False)
    ),
    "provider_timeout": lambda fake: vars(fake).update(quote=Unanswered("provider_timeout", "Too late.", sent=True)),
    "internal_error": lambda fake: vars(fake).update(quote=RuntimeError("a bug, and 4111111111111111")),
}
PROVIDERS_WORDS = {
    "unknown_item": "We have no dish 'nothing' here.",
    "unknown_option": "Bread has no choice 'nothing'.",
    "item_unavailable": "Soup of yesterday is sold out.",
    "invalid_choices": "Burger, Which side?: please choose at least 1.",
    "special_instructions_too_long": "Please keep your note to 250 characters.",
    "ready_time_unavailable": "We cook at once and take no orders for later.",
    "price_changed": "The price has changed since you asked for it.",
    "card_declined": "The card was declined.",
    "order_refused": "The discount is more than the whole order costs.",
}


def check_shape(answer: Answer, code: str) -> None:
    status, kind, retryable, _ = CODES[code]
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json) == ["error"]
    assert set(answer.error) == {"type", "message", "code", "path", "retryable", "request_id"}
    expected = (int(status), code, kind, retryable == "yes")
    assert (answer.status, answer.error["code"], answer.error["type"], answer.error["retryable"]) == expected
    assert answer.error["message"].strip() == answer.error["message"] != ""
    assert answer.error["path"] is None or answer.error["path"].startswith("$")
    assert answer.error["request_id"] == answer.headers["X-Request-ID"]


def test_every_code_of_the_page_has_a_case() -> None:
    assert set(OF_THE_SERVICE) | set(OF_A_PROVIDER) | ELSEWHERE == set(CODES)


@pytest.mark.rule("ERR-1", "ERR-2", "ERR-3")
@pytest.mark.parametrize("code", OF_THE_SERVICE)
def test_an_error_has_the_status_and_type_of_the_page(refused: Channel, code: str) -> None:
    answer = OF_THE_SERVICE[code](refused)
    check_shape(answer, code)
    assert PROVIDERS_WORDS.get(code, "") in answer.error["message"]


@pytest.mark.rule("ERR-1", "ERR-2", "ERR-3", "MONEY-9")
@pytest.mark.parametrize("code", OF_A_PROVIDER)
def test_a_providers_error_has_the_documented_status_and_type(fake: MakeFake, code: str) -> None:
    provider, channel = fake(LEVELUP_OV_FEES="refuse")
    OF_A_PROVIDER[code](provider)
    answer = channel.get("/locations/fake.one/menu") if code == "menu_invalid" else channel.validate("fake.one")
    check_shape(answer, code)


@pytest.mark.rule("ERR-1")
def test_the_example_of_an_error_is_what_the_service_answers(refused: Channel) -> None:
    example = json.loads((DOCS / "answers" / "error.json").read_text())
    answer = refused.send(
        "POST",
        "/locations/sandbox.congress/order_validations",
        json={"order_validation": order(items=[item("sandwich", quantity=0)])},
        headers={"X-Request-ID": example["error"]["request_id"]},
    )
    assert answer.json == example


@pytest.mark.rule("ERR-2")
def test_the_words_are_the_providers_own(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.quote = provider.placed = Refused("order_refused", "Heute leider nicht – ¡mañana!")
    for answer in (channel.validate("fake.one"), channel.submit("fake.one")):
        assert answer.error["message"] == "Heute leider nicht – ¡mañana!"


@pytest.mark.rule("ERR-1")
@pytest.mark.parametrize("given", ["abc", "5f0c2a7e-9b3d", "x" * 128, "!~"])
@pytest.mark.parametrize("path", ["/merchants", "/nothing", "/merchants/nobody/locations", "/health"])
def test_a_request_id_is_the_callers(refused: Channel, path: str, given: str) -> None:
    answer = refused.get(path, **{"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    if answer.status >= 400:
        assert answer.error["request_id"] == given


@pytest.mark.rule("ERR-1")
def test_without_one_each_request_gets_a_fresh_id(channel: Channel) -> None:
    answers = [
        channel.validate(),
        channel.submit(),
        channel.get("/merchants"),
        channel.get("/nothing"),
        channel.validate(tip=-1),
    ]
    answers.append(channel.get("/locations/sandbox.congress/menu"))
    answers.append(channel.get("/locations/sandbox.congress/menu", **{"If-None-Match": answers[-1].headers["ETag"]}))
    answers.append(channel.get("/merchants", Authorization=""))
    assert answers[-2].status == 304
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(re.fullmatch(r"\S{16,}", each) for each in ids)


@pytest.mark.rule("ERR-1")
@pytest.mark.parametrize("given", ["", "a b", "x" * 1000, "é"])
def test_an_id_that_cannot_be_repeated_is_replaced(refused: Channel, given: str) -> None:
    answered = refused.get("/merchants", **{"X-Request-ID": given}).headers["X-Request-ID"]
    assert answered not in ("", given)


@pytest.mark.rule("ERR-1")
@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"items": [item("sandwich"), item("nothing")]}, "items[1].item"),
        (
            {"items": [item("sandwich"), item("sandwich", "bread:rye", "a:b:c:d")]},
            "items[1].item.options[1].option.provider_id",
        ),
        ({"items": [item("sandwich", "x")]}, "items[0].item.options[0].option.provider_id"),
        ({"desired_ready_time": "2030-06-03T11:00"}, "desired_ready_time"),
        ({"fulfillment_type": "drone"}, "fulfillment_type"),
    ],
)
def test_the_path_starts_at_the_root_of_the_request(channel: Channel, members: dict[str, Any], path: str) -> None:
    assert channel.validate(**members).error["path"] == f"$.order_validation.{path}"
    assert channel.submit(**members).error["path"] == f"$.order_submission.{path}"


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/merchants", "GET"),
        ("PUT", "/locations/sandbox.congress/menu", "GET"),
        ("GET", "/locations/sandbox.congress/order_validations", "POST"),
        ("PATCH", "/locations/sandbox.congress/order_submissions", "POST"),
    ],
)
def test_another_method_is_answered_with_those_that_there_are(
    refused: Channel, method: str, path: str, allowed: str
) -> None:
    answer = refused.send(method, path)
    assert answer.refusal == (405, "method_not_allowed", None)
    assert allowed in answer.headers["Allow"]


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize(
    "path",
    [
        "/merchants/",
        "/merchants/sandbox",
        "/locations",
        "/locations/sandbox.congress",
        "/merchants//sandbox/locations",
        "/order_validations",
    ],
)
def test_an_unknown_address_is_not_found(refused: Channel, path: str) -> None:
    assert refused.get(path).refusal == (404, "not_found", None)


NUMBER, CVV = CARD["number"], CARD["cvv"]
LEAKS = [
    f"card {NUMBER} was declined", "card 4111 1111 1111 1111 was declined", "card 4111-1111-1111-1111 was declined",
    f"number={NUMBER}&cvv={CVV} was declined", f"the code {CVV} is wrong, it was declined", f"cvv{CVV} was declined",
    f"cvv_{CVV} was declined", f'{{"cvv":"{CVV}"}} was declined', f"token {FAKE_TOKEN} was declined",
    "number 4111 1111 1111-1111 was declined", "number_4111111111111111 was declined",
    f"token {quote(FAKE_TOKEN)} was declined", "password pass word/1 was declined",
    "password pass%20word%2F1 was declined",
]  # fmt: skip
SECRETS = [NUMBER, "4111 1111", "4111-1111", "1111 1111", CVV, FAKE_TOKEN, "pass word/1", "pass%20word"]


@pytest.mark.rule("ERR-4", "PAY-2")
@pytest.mark.parametrize("words", LEAKS)
def test_what_a_provider_repeats_of_a_secret_is_taken_out(
    fake: MakeFake, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider, channel = fake()
    provider.quote = Quote(1000, 70, 0, None, customer_account={"password": Secret("pass word/1")})
    metadata = channel.validate("fake.one").order["metadata"]
    with caplog.at_level(logging.DEBUG):
        for number, failure in enumerate(
            (
                Refused("card_declined", words),
                Unanswered("provider_unavailable", words, sent=False),
                Failure("order_refused", words),
            )
        ):
            provider.placed = failure
            answer = channel.submit("fake.one", credit_card=CARD, metadata=metadata, order_number=number)
            assert "declined" in answer.error["message"]
            assert not [secret for secret in SECRETS if secret in answer.error["message"]]
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert not [secret for secret in SECRETS if secret != CVV and secret in "\n".join(logged)]


@pytest.mark.rule("ERR-4", "ERR-3")
def test_a_fault_of_the_service_shows_nothing_of_itself(fake: MakeFake, caplog: pytest.LogCaptureFixture) -> None:
    provider, channel = fake()
    provider.quote = RuntimeError(f"a bug with {NUMBER}")
    with caplog.at_level(logging.DEBUG):
        answer = channel.validate("fake.one", items=[item("sandwich")])
    check_shape(answer, "internal_error")
    for hint in ("bug", "Traceback", "RuntimeError", ".py", NUMBER):
        assert hint not in str(answer.json)
    logged = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    assert answer.error["request_id"] in logged
    assert "RuntimeError" in logged
    assert NUMBER not in logged


@pytest.mark.rule("ERR-4", "PAY-2")
@pytest.mark.parametrize("member", ["number", "cvv"])
def test_a_card_that_cannot_be_read_is_not_repeated(refused: Channel, member: str) -> None:
    wrong = {"number": "4111x1111x1111x1111", "cvv": "91375"}[member]
    answer = refused.submit("sandbox.card", credit_card={**CARD, member: wrong})
    assert answer.refusal == (422, "invalid_member", f"$.order_submission.credit_card.{member}")
    assert wrong not in answer.error["message"]
