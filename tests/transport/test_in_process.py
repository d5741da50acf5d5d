"""A WSGI application behind the transport fails in the same ways as a server behind a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport.session import Session, Transport
from tests.stopwatch import within
from tests.transport.wire import session

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
SECONDS = 0.3


def inside(application: Application, seconds: float = 5) -> Session:
    transport = Transport(pool_size=1, in_process={"inside.internal": application})
    return session("http://inside.internal", transport=transport, seconds=seconds, headers={"X-Key": "k"})


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    seen["body"] = environ["wsgi.input"].read().decode()
    start_response("201 Created", [("Content-Type", "application/json"), ("X-Answer", "1")])
    return [json.dumps(seen).encode()]


def test_the_application_sees_the_request_and_answers() -> None:
    answer = inside(echo).call("POST", "/a%20b/%C3%BC", body={"x": 1}, params={"q": "1 2"})
    seen = answer.json()
    assert (answer.status, answer.headers["X-Answer"]) == (201, "1")
    assert seen["REQUEST_METHOD"] == "POST"
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/a b/ü"
    assert seen["QUERY_STRING"] == "q=1+2"
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"], seen["body"]) == ("application/json", "7", '{"x":1}')
    assert seen["HTTP_X_KEY"] == "k"
    assert seen["SERVER_NAME"] == seen["HTTP_HOST"] == "inside.internal"


@pytest.mark.rule("SUB-6")
def test_a_slow_application_does_not_hold_up_the_deadline() -> None:
    release = threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        release.wait(5)
        return echo(environ, start_response)

    try:
        with within(SECONDS), pytest.raises(Unanswered) as caught:
            inside(slow, SECONDS).post("/orders", {})
    finally:
        release.set()
    assert (caught.value.code, caught.value.sent) == ("provider_timeout", True)


@pytest.mark.rule("SUB-5")
def test_a_lost_answer_looks_like_a_dropped_connection() -> None:
    def lost(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise ConnectionAbortedError

    with pytest.raises(Unanswered) as caught:
        inside(lost).post("/orders", {}, places_order=True)
    assert (caught.value.code, caught.value.sent) == ("provider_unavailable", True)


def _raises(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("a private matter")


def _raises_midway(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    yield b"{"
    raise RuntimeError("a private matter")


def _never_starts(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [b"{}"]


def _nonsense(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("very well", [])
    return [b"{}"]


@pytest.mark.rule("SUB-5", "ERR-4")
@pytest.mark.parametrize("application", [_raises, _raises_midway, _never_starts, _nonsense])
def test_an_exception_in_the_application_is_a_typed_failure(
    application: Application, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unanswered) as caught:
        inside(application).post("/orders", {}, places_order=True)
    assert (caught.value.code, caught.value.sent) == ("provider_unavailable", True)
    assert capsys.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == ["in_process_application_failed"]
    assert "a private matter" not in caught.value.message


def test_the_answer_is_closed() -> None:
    closed: list[bool] = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body([b"{", b"}"])

    assert inside(application).get("/").json() == {}
    assert closed == [True]
