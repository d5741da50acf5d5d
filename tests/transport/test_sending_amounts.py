"""Amounts on their way out: a Decimal is the JSON number that it is."""

from __future__ import annotations

from decimal import Decimal

import pytest

from levelup_ov.domain.money import MAX_CENTS, from_decimal, to_decimal
from levelup_ov.transport.session import Reply
from tests.transport.wire import answering, peer, reply, session


@pytest.mark.rule("MONEY-1")
def test_a_decimal_is_sent_digit_by_digit() -> None:
    amounts = [Decimal("10.10"), Decimal("1E1"), *(to_decimal(cents) for cents in (0, 1, 29, 100_005, MAX_CENTS))]
    with peer(answering(reply())) as server:
        session(server.url).post("/prices", {"amounts": amounts})

    [sent] = server.requests
    assert sent.body == b'{"amounts":[10.10,10,0.00,0.01,0.29,1000.05,999999.99]}'
    read = Reply(200, {}, sent.body).json()["amounts"]
    assert [from_decimal(amount) for amount in read[2:]] == [0, 1, 29, 100_005, MAX_CENTS]


@pytest.mark.parametrize("nonsense", [Decimal("NaN"), Decimal("Infinity"), object()])
def test_an_invalid_number_is_not_sent(nonsense: object) -> None:
    with peer(answering(reply())) as server, pytest.raises(TypeError):
        session(server.url).post("/prices", {"amount": nonsense})

    assert server.requests == []
