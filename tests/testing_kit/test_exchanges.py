"""One tap on the line, whatever line it is: a port, a WSGI application, single answers or recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import responses

from levelup_ov.errors import Unanswered
from levelup_ov.scaffold.recording import Redactor, write_recording
from levelup_ov.transport import session as transport
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Transport
from levelup_ov.transport.tap import (
    Answered,
    Exchange,
    Fault,
    Forward,
    Playback,
    Player,
    Tap,
    TappedSession,
    lost,
    silent,
    unreachable,
)
from tests.stopwatch import within
from tests.transport.wire import Peer, peer, read_request, reply

ANSWER = b'{"placed": true}'
HOST = "http://provider.test"


class Line:
    """A provider behind one kind of line; ``arrived`` is what it got."""

    def __init__(self, transport: Transport, base_url: str, arrived: list[bytes]) -> None:
        self.tap = Tap(transport)
        self.base_url = base_url
        self.arrived = arrived

    def session(self, seconds: float = 5.0) -> TappedSession:
        return TappedSession(self.tap, "acme", base_url=self.base_url, headers={"X-Key": "k"},
                             error_from=lambda reply: None, deadline=Deadline(seconds))  # fmt: skip


def on_a_port(stack: ExitStack) -> Line:
    arrived: list[bytes] = []

    def serve(server: Peer, connection: Any) -> None:
        while (request := read_request(connection)) is not None:
            arrived.append(request.body)
            connection.sendall(reply(ANSWER))

    server = stack.enter_context(peer(serve))
    return Line(Transport(pool_size=1), server.url, arrived)


def in_process(stack: ExitStack) -> Line:
    arrived: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "application/json")])
        return [ANSWER]

    return Line(Transport(pool_size=1, in_process={"provider.test": application}), HOST, arrived)


def mocked(stack: ExitStack) -> Line:
    arrived: list[bytes] = []

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        arrived.append(request.body)
        return 200, {}, ANSWER

    mock = stack.enter_context(responses.RequestsMock(assert_all_requests_are_fired=False))
    mock.add_callback("POST", f"{HOST}/orders", answer)
    return Line(Transport(pool_size=1), HOST, arrived)


@pytest.fixture(params=[on_a_port, in_process, mocked])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    with ExitStack() as stack:
        yield request.param(stack)


def test_what_is_sent_and_answered_is_seen(line: Line) -> None:
    seen = line.tap.begin()
    line.session().post("/orders", {"dish": "soup"}, places_order=True)

    (exchange,) = seen
    assert (exchange.method, exchange.path, exchange.headers["X-Key"]) == ("POST", "/orders", "k")
    assert line.arrived == [exchange.body] == [b'{"dish":"soup"}']
    assert exchange.places_order and not exchange.repeatable and exchange.arrived
    assert exchange.answer is not None and (exchange.answer.status, exchange.answer.body) == (200, ANSWER)


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    ("fault", "code", "sent", "arrivals"),
    [
        (lost, "provider_unavailable", True, 1),
        (unreachable, "provider_unavailable", False, 0),
        (silent, "provider_timeout", True, 0),
    ],
)
def test_faults_are_what_they_say(
    line: Line, fault: Fault, code: str, sent: bool, arrivals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MIN_TIME_TO_PLACE", 0.05)
    line.tap.begin(fault)
    session = line.session(0.8)
    with within(1.2), pytest.raises(Unanswered) as caught:
        session.post("/orders", {}, places_order=True)

    assert (caught.value.code, caught.value.sent, session.placing) == (code, sent, sent)
    assert len(line.arrived) == arrivals


def test_an_answer_can_be_replaced(line: Line) -> None:
    def instead(exchange: Exchange, forward: Forward) -> Answered:
        return forward()._replace(body=b'{"placed": false}', headers={"etag": "1"})

    line.tap.begin(instead)
    answer = line.session().post("/orders", {})

    assert answer.json() == {"placed": False} and answer.headers.get("ETag") == "1"


def test_a_tap_forgets_between_uses(line: Line) -> None:
    first = line.tap.begin(unreachable)
    with pytest.raises(Unanswered):
        line.session().post("/orders", {}, places_order=True)
    second = line.tap.begin()
    line.session().post("/orders", {})

    assert len(first) == 3 and len(second) == 1


@pytest.mark.parametrize(
    ("url", "body", "values"),
    [
        ("http://a.test/v1/carts/a%2Fb?note=no+onions", b"", ["v1", "carts", "a/b", "no onions"]),
        ("http://a.test/", b'{"a": [1, 1.10, {"b": true}], "c": null, "d": ""}', ["1", "1.10", "true", ""]),
        ("http://a.test/", b"dish=soup&count=2", ["soup", "2"]),
        ("http://a.test/", b"soup", ["soup"]),
    ],
)
def test_every_value_that_is_sent_is_found(url: str, body: bytes, values: list[str]) -> None:
    assert Exchange("POST", url, body=body).values() == values


def exchange(method: str, path: str, answer: str = "") -> Exchange:
    return Exchange(method, HOST + path, answer=Answered(200, {}, json.dumps(answer).encode()))


def test_recordings_play_in_turn_and_by_their_form(tmp_path: Path) -> None:
    recorded = [exchange("POST", "/carts", "one"), exchange("POST", "/carts", "two"),
                exchange("GET", "/orders/17", "seventeen")]  # fmt: skip
    write_recording(tmp_path / "1_all.json", recorded, Redactor())
    line = Line(Playback(tmp_path), HOST, [])
    player = Line(Transport(pool_size=1), HOST, [])
    player.tap.begin(Player(recorded))

    first, second, third = (player.session().post("/carts", {}).json() for _ in range(3))
    assert (first, second, third) == ("one", "two", "two")
    assert player.session().get("/orders/18").json() == "seventeen"
    reported = [line.session().post("/carts", {}).json() for _ in range(3)]
    assert reported[0] != reported[1] == reported[2] and "one" not in reported
    with pytest.raises(Unanswered, match="cannot be reached"):
        line.session().call("DELETE", "/orders/17")
