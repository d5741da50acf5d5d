"""What is sent again, when, and what never is."""

from __future__ import annotations

import socket
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport import session as transport_module
from levelup_ov.transport.session import ATTEMPTS, Reply
from tests.stopwatch import within
from tests.transport.wire import DROP, Peer, answering, closed_port, peer, reply, session

BUSY = reply(status=503)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "BACKOFF", 0.01)


@pytest.mark.parametrize("trouble", [DROP, BUSY, reply(status=504), reply(status=429)])
def test_reading_is_repeated(trouble: bytes) -> None:
    with peer(answering(trouble, trouble, reply(b'{"at": "last"}'))) as provider:
        calls = session(provider.url)
        assert calls.get("/menu").json() == {"at": "last"}
        assert len(provider.requests) == len(calls.calls) == ATTEMPTS


def test_reading_is_given_up_after_the_last_attempt() -> None:
    with peer(answering(BUSY)) as provider:
        with pytest.raises(Unanswered) as caught:
            session(provider.url).get("/menu")
        assert (caught.value.code, caught.value.status) == ("provider_unavailable", 503)
        assert len(provider.requests) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 302])
def test_a_conclusive_answer_is_not_asked_for_again(status: int) -> None:
    with peer(answering(reply(status=status))) as provider:
        with pytest.raises(Unanswered) as caught:
            session(provider.url).get("/menu")
        assert caught.value.status == status
        assert len(provider.requests) == 1


def test_a_refusal_is_not_repeated_and_keeps_its_words() -> None:
    def refused(answer: Reply) -> Refused | None:
        return Refused("item_unavailable", answer.object().text("why"))

    with peer(answering(reply(b'{"why": "sold out"}', status=503))) as provider:
        with pytest.raises(Refused, match="sold out"):
            session(provider.url, error_from=refused).get("/menu")
        assert len(provider.requests) == 1


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("places_order", [False, True])
@pytest.mark.parametrize("trouble", [DROP, BUSY, reply(status=500)])
def test_a_post_that_may_have_been_taken_is_never_repeated(trouble: bytes, places_order: bool) -> None:
    with peer(answering(trouble, reply())) as provider:
        calls = session(provider.url)
        with pytest.raises(Unanswered) as caught:
            calls.post("/orders", {}, places_order=places_order)
        assert caught.value.sent
        assert calls.placing == places_order
        assert len(provider.requests) == 1


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("places_order", [False, True])
@pytest.mark.parametrize("trouble", [DROP, BUSY])
def test_a_post_is_repeated_where_the_adapter_says_so(trouble: bytes, places_order: bool) -> None:
    with peer(answering(trouble, reply(b'{"at": "last"}'))) as provider:
        answer = session(provider.url).post("/orders", {"a": 1}, repeatable=True, places_order=places_order)
        assert answer.json() == {"at": "last"}
        assert [request.body for request in provider.requests] == [b'{"a":1}'] * 2


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("places_order", [False, True])
def test_a_post_that_was_not_sent_is_sent_again(places_order: bool) -> None:
    with closed_port() as port:
        calls = session(f"http://127.0.0.1:{port}")
        with pytest.raises(Unanswered):
            calls.post("/orders", {}, places_order=places_order)
    assert len(calls.calls) == ATTEMPTS
    assert not calls.placing


@pytest.mark.rule("SUB-5")
def test_an_unsent_attempt_after_a_sent_one_proves_nothing() -> None:
    def gone_after_the_first(server: Peer, connection: socket.socket) -> None:
        server.refuse()
        answering(DROP)(server, connection)

    with peer(gone_after_the_first) as provider:
        calls = session(provider.url)
        with pytest.raises(Unanswered) as caught:
            calls.post("/orders", {}, repeatable=True, places_order=True)
        assert (provider.connections, len(calls.calls)) == (1, ATTEMPTS)
    assert caught.value.sent
    assert calls.placing


@pytest.mark.parametrize("header", ["1", "0", "date"])
def test_retry_after_is_obeyed(header: str) -> None:
    if header == "date":
        header = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
    with peer(answering(reply(status=429, Retry_After=header), reply())) as provider:
        started = time.monotonic()
        session(provider.url).get("/menu")
        assert time.monotonic() - started >= {"1": 1, "0": 0}.get(header, 0.9)
        assert len(provider.requests) == 2


@pytest.mark.rule("SUB-6")
def test_a_pause_longer_than_the_time_left_is_not_started() -> None:
    with peer(answering(reply(status=503, Retry_After="60"))) as provider, within(0):
        with pytest.raises(Unanswered) as caught:
            session(provider.url, seconds=3).get("/menu")
        assert caught.value.retry_after == 60
        assert len(provider.requests) == 1


IN_A_CENTURY = "Mon, 01 Jan 2126 00:00:00 GMT"
BEYOND_ALL_NUMBERS = ("Mon, 01 Jan 2026 00:00:00 +99999999999999999", f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT")


@pytest.mark.parametrize(
    "header", ["", "soon", "-1", "1.5", "²", "9" * 400, "nan", "Sun, 06 Nov 1994", IN_A_CENTURY, *BEYOND_ALL_NUMBERS]
)
def test_no_retry_after_does_harm(header: str) -> None:
    with peer(answering(reply(status=429, Retry_After=header))) as provider:
        with pytest.raises(Unanswered) as caught:
            session(provider.url, seconds=0.3).get("/menu")
    assert caught.value.retry_after is None or 0 <= caught.value.retry_after <= 24 * 3600


@pytest.mark.rule("SUB-6")
def test_an_order_does_not_start_with_too_little_time() -> None:
    begun: list[object] = []
    with peer(answering(reply())) as provider:
        calls = session(provider.url, seconds=transport_module.MIN_TIME_TO_PLACE - 0.1, last_look=begun.append)
        with pytest.raises(Unanswered) as caught:
            calls.post("/orders", {}, places_order=True)
        assert (caught.value.code, caught.value.sent, calls.placing) == ("provider_timeout", False, False)
        assert (begun, provider.connections) == ([], 0)
        assert calls.post("/quote", {}).ok


@pytest.mark.rule("SUB-2")
def test_the_trace_is_recorded_just_before_the_order_is_placed() -> None:
    seen: list[tuple[object, int]] = []
    with peer(answering(reply())) as provider:
        calls = session(provider.url, last_look=lambda trace: seen.append((trace, len(provider.requests))))
        calls.post("/carts", {})
        calls.post("/orders", {}, places_order=True, trace={"cart": "1"})
    assert seen == [({"cart": "1"}, 1)]
    assert calls.placing


def test_the_calls_are_listed_with_path_and_without_query() -> None:
    with peer(answering(BUSY, reply())) as provider:
        calls = session(provider.url)
        calls.get("/menu", params={"api_key": "secret"})
    first, second = calls.calls
    assert (first.method, first.path, first.status, first.failure, first.new_connection) == (
        "GET", "/menu", 503, None, True,
    )  # fmt: skip
    # After an answer that was not asked for, another connection is used.
    assert (second.status, second.new_connection) == (200, True)
    assert "secret" not in repr(calls.calls)
