"""What an adapter that tries again may send: never a second order that the provider would not recognize."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import Reply, Session
from tests.transport.wire import DROP, answering, peer, reply, session

pytestmark = pytest.mark.rule("SUB-2")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.001)


def refuse(answer: Reply) -> Refused | None:
    return Refused("order_refused", "no") if answer.status == 409 else None


def crash(answer: Reply) -> Refused | None:
    raise KeyError("a mistake of the adapter")


def place(calls: Session, **how: bool) -> None:
    calls.post("/orders", {}, places_order=True, **how)


@pytest.mark.parametrize(
    ("first", "error_from"),
    [(DROP, refuse), (reply(status=500), refuse), (reply(status=202), refuse), (reply(), refuse), (reply(), crash)],
    ids=["lost", "500", "undocumented", "accepted", "not understood"],
)
def test_an_order_that_may_exist_is_not_sent_again(
    caplog: pytest.LogCaptureFixture, first: bytes, error_from: Callable[[Reply], Refused | None]
) -> None:
    with peer(answering(first, reply(status=409))) as provider:
        with session(provider.url, own=True, error_from=error_from) as calls:
            try:
                place(calls)
            except (Unanswered, KeyError):
                pass
            for _ in range(2):
                with pytest.raises(Unanswered) as caught:
                    place(calls)
                assert (caught.value.code, caught.value.sent) == ("outcome_unknown", True)
        assert sum(request.line.startswith("POST") for request in provider.requests) == 1
    assert calls.placing
    events = [record for record in caplog.records if record.getMessage() == "order_not_sent_again"]
    assert [(each.levelno, each.__dict__["call"]) for each in events] == [(logging.ERROR, "POST /orders")] * 2


@pytest.mark.parametrize("first", [reply(status=409), reply(status=401)], ids=["refused", "turned away"])
def test_an_order_that_was_proven_not_to_exist_is_sent_again(first: bytes) -> None:
    with peer(answering(first, reply())) as provider:
        with session(provider.url, own=True, error_from=refuse) as calls:
            with pytest.raises((Refused, Unanswered)):
                place(calls)
            place(calls)
        assert len(provider.requests) == 2


def test_an_adapter_may_have_proof_in_an_accepted_answer() -> None:
    with peer(answering(reply(b'{"status": "declined"}'), reply())) as provider:
        with session(provider.url, own=True) as calls:
            place(calls)
            calls.nothing_placed()
            place(calls)
        assert len(provider.requests) == 2


def test_a_call_that_the_provider_recognizes_is_sent_again() -> None:
    with peer(answering(reply())) as provider, session(provider.url, own=True) as calls:
        place(calls, repeatable=True)
        place(calls, repeatable=True)
        assert len(provider.requests) == 2
