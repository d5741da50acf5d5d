"""How an order is paid: PAY-1 to PAY-3."""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.domain.tender import CreditCard, LevelUp
from levelup_ov.observability import JsonFormatter
from tests.channel import CARD, Channel
from tests.contract.conftest import Kitchen, MakeFake

PATHS = {"tender": "$.order_submission.tender", "credit_card": "$.order_submission.credit_card"}


@pytest.mark.rule("PAY-1", "PAY-3")
@pytest.mark.parametrize("tender", [{"tender": "LevelUp"}, {}, {"tender": None, "credit_card": None}])
def test_levelup_is_the_tender_when_named_and_when_none_is(
    channel: Channel, kitchen: Kitchen, tender: dict[str, Any]
) -> None:
    ticket = channel.submit(**tender).order["order_id"]
    assert kitchen.order("congress", ticket)["payment"] == {"kind": "external", "source": "LevelUp"}


@pytest.mark.rule("PAY-1")
@pytest.mark.parametrize("tender", ["levelup", "LEVELUP", "Level Up", " LevelUp", "cash", ""])
def test_the_word_is_levelup_and_no_other(refused: Channel, tender: str) -> None:
    assert refused.submit(tender=tender).refusal == (422, "invalid_member", PATHS["tender"])


@pytest.mark.rule("PAY-2")
def test_a_card_goes_through_the_ordinary_card_flow(channel: Channel, kitchen: Kitchen) -> None:
    metadata = channel.validate("sandbox.card").order["metadata"]
    ticket = channel.submit("sandbox.card", credit_card=CARD, metadata=metadata).order["order_id"]
    assert kitchen.order("card", ticket)["payment"] == {"kind": "card", "source": None}


@pytest.mark.rule("PAY-2")
@pytest.mark.parametrize(
    ("changes", "year", "name"),
    [
        ({}, "2031", "Robin Example"),
        ({"expiration_year": "31"}, "2031", "Robin Example"),
        ({"name": None}, "2031", None),
    ],
)
def test_the_provider_gets_the_whole_card(fake: MakeFake, changes: dict[str, Any], year: str, name: str | None) -> None:
    provider, channel = fake()
    assert channel.submit("fake.one", credit_card={**CARD, **changes}).status == 200
    (card,) = provider.paid_with
    assert isinstance(card, CreditCard)
    assert (card.number.reveal(), card.cvv.reveal()) == (CARD["number"], CARD["cvv"])
    assert (card.zip, card.expiration_month, card.expiration_year, card.name) == ("02114", "06", year, name)
    assert CARD["number"] not in f"{card!r} {card}" and CARD["cvv"] not in f"{card!r} {card}"


@pytest.mark.rule("PAY-2")
@pytest.mark.parametrize("number", [CARD["number"], "4000000000000002"])
def test_a_card_touches_no_disk_and_no_log(
    channel: Channel, environ: dict[str, str], caplog: pytest.LogCaptureFixture, number: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = channel.submit("sandbox.card", credit_card={**CARD, "number": number})
    assert answer.status == (200 if number == CARD["number"] else 422)
    forms = [
        number,
        base64.b64encode(number.encode()).decode(),
        *(f(number.encode()).hexdigest() for f in (hashlib.sha256, hashlib.md5)),
    ]
    logged = "\n".join(JsonFormatter().format(record) + record.getMessage() for record in caplog.records)
    files = [path for path in Path(environ["LEVELUP_OV_DATA_DIR"]).rglob("*") if path.is_file()]
    assert len(files) >= 2
    for form in forms:
        assert form not in logged and form not in str(answer.json)
        assert not [path for path in files if form.encode() in path.read_bytes()]


@pytest.mark.rule("PAY-3")
def test_two_tenders_are_one_too_many(channel: Channel, kitchen: Kitchen) -> None:
    for location in ("sandbox.congress", "sandbox.card"):
        answer = channel.submit(location, tender="LevelUp", credit_card=CARD)
        assert answer.refusal == (422, "invalid_member", PATHS["tender"])
    assert kitchen.count("orders") == 0


@pytest.mark.rule("PAY-3")
@pytest.mark.parametrize("tender", [{}, {"tender": "LevelUp"}])
def test_a_tender_not_taken_is_refused_before_any_call(
    channel: Channel, kitchen: Kitchen, caplog: pytest.LogCaptureFixture, tender: dict[str, Any]
) -> None:
    metadata = channel.validate("sandbox.card").order["metadata"]
    carts = kitchen.count("carts")
    with caplog.at_level(logging.INFO, "levelup_ov.request"):
        answer = channel.submit("sandbox.card", metadata=metadata, **tender)
    assert answer.refusal == (422, "tender_not_accepted", PATHS["tender"])
    (line,) = (record for record in caplog.records if record.name == "levelup_ov.request")
    assert vars(line)["provider_calls"] == []
    assert (kitchen.count("carts"), kitchen.count("orders")) == (carts, 0)


@pytest.mark.rule("PAY-3")
def test_location_and_adapter_must_both_take_the_tender(fake: MakeFake) -> None:
    provider, channel = fake()
    provider.tenders = frozenset({"levelup"})  # type: ignore[misc]
    answer = channel.submit("fake.one", credit_card=CARD)
    assert answer.refusal == (422, "tender_not_accepted", PATHS["credit_card"])
    provider.tenders = frozenset({"levelup", "credit_card"})  # type: ignore[misc]
    assert channel.submit("fake.one", credit_card=CARD).status == 200
    assert [type(tender) for tender in provider.paid_with] == [CreditCard]
    provider, channel = fake()
    assert isinstance(provider.locations, list)
    provider.locations = [replace(provider.locations[0], tenders=frozenset({"credit_card"}))]
    assert channel.submit("fake.one", tender="LevelUp").refusal == (422, "tender_not_accepted", PATHS["tender"])
    assert not provider.orders


@pytest.mark.rule("PAY-1", "PAY-3")
def test_an_ov_needs_no_tender(fake: MakeFake) -> None:
    provider, channel = fake()
    assert channel.validate("fake.one").status == 200
    assert channel.submit("fake.one").status == 200
    assert provider.paid_with == [LevelUp()]
