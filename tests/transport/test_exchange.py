"""The transport's own reading and writing of HTTP is that of urllib3 and http.client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from urllib3.util.url import _encode_target

from levelup_ov.transport import exchange as plain_exchange
from levelup_ov.transport import net
from levelup_ov.transport.connections import SendState, _Connection, _Pool, current_exchange
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.exchange import _read_as_urllib3, head_of, read_answer
from tests.transport.wire import Received

pytestmark = pytest.mark.rule("SUB-6")

TOKENS = st.text("abcXYZ019-_!", min_size=1, max_size=8)
WORDS = st.text([*map(chr, range(32, 127)), *"\t\x00\x7f\x80ü\r"], max_size=12)
KNOWN = st.sampled_from(
    [
        ("Content-Type", "application/json"), ("content-type", "text/html; charset=x"), ("Age", "0"),
        ("Set-Cookie", "a=1; Path=/"), ("SET-COOKIE", "b=2"), ("Connection", "keep-alive"), ("Connection", "close"),
        ("Connection", "Close"), ("connection", "upgrade"), ("Content-Encoding", "identity"), ("Retry-After", "2"),
        ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "gzip"), ("ETag", 'W/"1"'), ("Trailer", "x"),
        ("X Y", "a space before the colon"), ("From me", "as mail has it"), ("", "no name"), ("X", "a\r\n folded"),
    ]
)  # fmt: skip
FIELDS = st.lists(KNOWN | st.tuples(TOKENS, WORDS), max_size=6)
STARTS = st.sampled_from(
    [
        "HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 422 Größe", "HTTP/1.1 503 a  b", "HTTP/1.0 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 099 x",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created", "HTTP/2 200 OK", "http/1.1 200 OK", "200 OK",
    ]
)  # fmt: skip
LENGTHS = st.sampled_from(["right", "right", "right", "none", "+5", "5, 5", " 3", "x", "-1", "99", "0"])


class Wire:
    """A socket from which ``data`` comes in parts of these sizes, and then the end."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = data
        self._sizes = sizes
        self.sent = b""

    def settimeout(self, seconds: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv_into(self, buffer: Any) -> int:
        size = min(self._sizes.pop() if self._sizes else len(self._data), len(buffer))
        part, self._data = self._data[:size], self._data[size:]
        buffer[: len(part)] = part
        return len(part)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(Received(self))

    def close(self) -> None:
        pass


@contextmanager
def exchanging(wire: Wire) -> Iterator[tuple[Any, SendState]]:
    state, connection = SendState(Deadline(60)), _Connection("provider.invalid")
    connection.sock = wire
    token, before = current_exchange.set(state), net.reset
    net.reset = lambda sock: None
    try:
        state.sent = True
        yield connection, state
    finally:
        net.reset = before
        current_exchange.reset(token)


def request(method: str, target: str = "/orders", **headers: str) -> PreparedRequest:
    made = PreparedRequest()
    made.method, made.url = method, f"http://provider.invalid{target}"
    made.headers = CaseInsensitiveDict({"Accept-Encoding": "identity", **headers})
    return made


def outcome(method: str, data: bytes, sizes: list[int], *, plainly: bool) -> Any:
    """What a caller sees of an answer, and whether the connection would be used again."""
    with exchanging(Wire(data, sizes)) as (connection, state):
        pool, made = _Pool("provider.invalid"), request(method)
        try:
            if plainly:
                answer: Any = _read_as_urllib3(made, pool, connection, b"")
            else:
                answer = read_answer(made, pool, connection, state)
            body = b""
            while part := answer.raw.read(65536, decode_content=True):
                body += part
        except Exception as error:
            return "fails", isinstance(error, TimeoutError)
        # What is left unread of a connection that is closed, or not used any more, does not matter.
        is_kept = state._held is not None and connection.sock is not None and not state.surplus
        return answer.status_code, dict(answer.headers), body, is_kept


@given(
    STARTS, FIELDS, LENGTHS, st.binary(max_size=40), st.lists(st.integers(1, 60), max_size=4), st.booleans(), st.data()
)
def test_answers_are_read_as_urllib3_does(
    start: str, fields: list[tuple[str, str]], length: str, body: bytes, sizes: list[int], more: bool, data: Any
) -> None:
    chunked = any(name.lower() == "transfer-encoding" and value == "chunked" for name, value in fields)
    if length == "right" and chunked:
        cut = data.draw(st.integers(0, len(body)))
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part) + b"0\r\n\r\n"
    elif length != "none":
        fields = [*fields, ("Content-Length", str(len(body)) if length == "right" else length)]
    head = "\r\n".join([start, *(f"{name}:{' ' * (len(name) % 3)}{value}" for name, value in fields)])
    sent = head.encode("latin-1", "replace") + b"\r\n\r\n" + body + b"HTTP/1.1 " * more
    method = data.draw(st.sampled_from(["GET", "POST", "HEAD"]))
    assert outcome(method, sent, list(sizes), plainly=False) == outcome(method, sent, list(sizes), plainly=True)


def test_a_usual_answer_is_read_without_urllib3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_exchange, "_read_as_urllib3", None)
    fields = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    for rest in (b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\nT: 1\r\n\r\n"):
        fine = outcome("POST", fields + rest, [9, 40], plainly=False)
        assert fine[0] == 200 and fine[1]["Set-Cookie"] == "a, b" and fine[2:] == (b"{}", True)


@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text("/ab?%=&2 fF~ü#", max_size=8),
    st.dictionaries(TOKENS, WORDS, max_size=3),
    st.sampled_from([("provider.invalid", 80), ("Provider.invalid.", 8080), ("::1", 80)]),
    st.binary(max_size=5),
)
def test_requests_are_written_as_urllib3_does(
    method: str, target: str, headers: dict[str, str], origin: tuple[str, int], body: bytes
) -> None:
    made = request(method, "/" + target, **headers)
    if method != "GET":
        made.headers["Content-Length"] = str(len(body))
        made.body = body
    pool = _Pool(*origin)
    if (head := head_of(made, pool)) is None:
        return
    wire = Wire(b"", [])
    with exchanging(wire) as (_, state):
        connection: Any = pool._new_conn()
        connection.sock = wire
        connection.request(method, _encode_target(made.path_url), made.body, headers=made.headers)
    assert head + (made.body or b"") == wire.sent  # type: ignore[operator]


def test_a_usual_request_is_written_without_urllib3() -> None:
    made = request("GET", "/locations/a%20b?page=2", **{"Authorization": "Bearer x", "Cache-Control": "no-cache"})
    assert head_of(made, _Pool("provider.invalid", 8080)) is not None
