"""How a request's body must look before anybody reads its members (EP-9), also through the real HTTP server."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.channel import Channel, item, order
from tests.servers.gateway import Gateway
from tests.servers.process import Server
from tests.stopwatch import within

pytestmark = pytest.mark.rule("EP-9")

ROOTS = ("order_validation", "order_submission")
MIB = 1024 * 1024
BODY = json.dumps({"order_validation": order()})


def padded(size: int, root: str = "order_validation") -> bytes:
    """An order of exactly ``size`` bytes, most of them in a member that is ignored."""
    frame = json.dumps({root: order(), "padding": ""})
    return frame.replace('""', '"' + "x" * (size - len(frame)) + '"').encode()


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8"]
)
def test_json_in_utf_8_is_taken(refused: Channel, kind: str) -> None:
    answer = refused.send("POST", "/locations/sandbox.congress/order_validations", data=BODY, content_type=kind)
    assert answer.status == 200


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": ""}, {"Content-Type": "text/plain"}, {"Content-Type": "text/json"},
        {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json; charset=iso-8859-1"}, {"Content-Type": "application/json; charset=utf-16"},
    ],
)  # fmt: skip
def test_what_is_not_declared_as_json_in_utf_8_is_refused(refused: Channel, root: str, headers: dict[str, str]) -> None:
    answer = refused.send("POST", f"/locations/sandbox.congress/{root}s", data=BODY.encode(), headers=headers)
    assert answer.refusal == (415, "unsupported_media_type", None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_refused(refused: Channel, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    path = "/locations/sandbox.congress/order_validations"
    answer = refused.send("POST", path, data=gzip.compress(BODY.encode()), headers=headers)
    assert answer.refusal == (415, "unsupported_media_type", None)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html", "text/*", "application/xml", "application/json;q=0", "*/*;q=0", "text/json",
        "application/json; charset=utf-8; q=0", "application/*;q=0, */*",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/merchants", "/locations/sandbox.congress/menu"])
def test_a_caller_that_accepts_no_json_gets_none(refused: Channel, accept: str, path: str) -> None:
    assert refused.get(path, Accept=accept).refusal == (406, "not_acceptable", None)


@pytest.mark.parametrize(
    "accept",
    [
        "", "*/*", "application/json", "application/*", "text/html, */*;q=0.1", "text/html, application/json;q=0.1",
        "application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON;version=1",
        "text/html, application/json; charset=utf-8; q=0.8", "application/json;v=1;q=0, application/json", "*/*;v=1",
        'application/json; profile="a, b"',
    ],
)  # fmt: skip
def test_a_caller_that_accepts_json_among_others_gets_it(refused: Channel, accept: str) -> None:
    assert refused.get("/merchants", Accept=accept).status == 200


@pytest.mark.parametrize("root", ROOTS)
def test_a_body_may_have_one_mebibyte_and_no_byte_more(refused: Channel, root: str) -> None:
    assert len(padded(MIB, root)) == MIB
    assert refused.post("sandbox.congress", root, padded(MIB, root)).status == 200
    assert refused.post("sandbox.congress", root, padded(MIB + 1, root)).refusal == (413, "payload_too_large", None)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nonsense", b"{'order_validation': {}}", b'{"order_validation": {},}', b"{} {}", b"\x00",
        b"[1,]", b'{"tip": 01}', b'{"tip": .5}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}',
        b'{"a": "\x01"}', b'{"a": "\n"}', b'{"a": "\\x"}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}',
        BODY.encode("utf-16"),
        BODY.encode("utf-32-le"), b"// comment\n{}", b'{"a": 1, "a": 2} {}', b'{"a": 1, "a": 2, "b": NaN}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(refused: Channel, root: str, body: bytes) -> None:
    status, code, _ = refused.post("sandbox.congress", root, body).refusal
    assert (status, code) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"order_validation": {}, "order_validation": {}}', "$.order_validation"),
        ('{"unheard_of": 1, "unheard_of": 1}', "$.unheard_of"),
        ('{"order_validation": {"tip": 1, "tip": 1}}', "$.order_validation.tip"),
        ('{"order_validation": {"tip": 1, "\\u0074ip": 2}}', "$.order_validation.tip"),
        (
            '{"order_validation": {"items": [{}, {"item": {"quantity": 1, "name": "x", "quantity": 1}}]}}',
            "$.order_validation.items[1].item.quantity",
        ),
        ('{"order_validation": {"metadata": {"a": {"b": 1, "b": 2}}}}', "$.order_validation.metadata.a.b"),
        ('{"order_validation": {"tip": ' + "9" * 5000 + ', "tip": 1}}', "$.order_validation.tip"),
    ],
)
def test_a_member_that_appears_twice_is_refused_by_its_path(refused: Channel, body: str, path: str) -> None:
    answer = refused.post("sandbox.congress", "order_validation", body.encode())
    assert answer.refusal == (400, "duplicate_member", path)
    assert path in answer.error["message"]


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "x\\uD83Dx", "\\ude00\\ud83d"])
@pytest.mark.parametrize(
    "place",
    [
        '{"order_validation": ORDER, "unheard_of": "HALF"}',
        '{"order_validation": ORDER, "HALF": 1}',
        '{"order_validation": ORDER, "HALF": 1, "HALF": 1}',
        '{"order_validation": ORDER, "metadata": {"a": [{"b": "HALF"}]}}',
        '{"order_validation": {"special_instructions": "HALF"}}',
    ],
)
def test_half_a_surrogate_pair_is_malformed_everywhere(refused: Channel, place: str, half: str) -> None:
    body = place.replace("ORDER", json.dumps(order())).replace("HALF", half).encode()
    status, code, _ = refused.post("sandbox.congress", "order_validation", body).refusal
    assert (status, code) == (400, "malformed_json")


def test_a_whole_surrogate_pair_is_a_character(refused: Channel) -> None:
    body = json.dumps({"order_validation": order(special_instructions="\U0001f600")})
    assert "\\ud83d\\ude00" in body
    assert refused.post("sandbox.congress", "order_validation", body.encode()).status == 200


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_nesting_without_end_is_an_error_of_the_request(
    refused: Channel, opening: str, closing: str, depth: int
) -> None:
    nested = opening * depth + "1" + closing * depth
    assert refused.post("sandbox.congress", "order_validation", nested.encode()).status in (400, 422)
    body = BODY.replace('"order_validation": {', '"order_validation": {"metadata": {"a": ' + nested + "}, ", 1)
    assert refused.post("sandbox.congress", "order_validation", body.encode()).status in (200, 400)


@pytest.mark.rule("MONEY-1", "ITEM-6")
@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1e999", "-1e999", "99999999999999999999"])
@pytest.mark.parametrize(
    ("member", "path"),
    [("tip", "tip"), ("items", "items[0].item.quantity"), ("order_number", None), ("unheard_of", None)],
)
def test_a_number_beyond_all_bounds_is_out_of_range(
    refused: Channel, number: str, member: str, path: str | None
) -> None:
    value = [{"item": {"provider_id": "sandwich", "quantity": "NUMBER"}}] if member == "items" else "NUMBER"
    body = json.dumps({"order_validation": order(**{member: value})}).replace('"NUMBER"', number).encode()
    answer = refused.post("sandbox.congress", "order_validation", body)
    if path is None:  # an OV has no such member
        assert answer.status == 200
    else:
        assert answer.refusal == (422, "invalid_member", f"$.order_validation.{path}")


@pytest.fixture(scope="module")
def gunicorn() -> Iterator[Server]:
    with Gateway() as server:
        yield server


def speak(server: Server, body: bytes, *headers: str, chunked: bool = False) -> tuple[int, dict[str, object]]:
    """Send everything before reading anything; the status and the JSON of the answer."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = (
        "POST /locations/sandbox.congress/order_validations HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        framing,
        *headers,
    )
    data = body
    if chunked:
        pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
        data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


KEY = "Authorization: token dev-key"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [MIB + 1, 2 * MIB, 8 * MIB - 65536])
def test_a_caller_that_sends_before_reading_gets_413(gunicorn: Server, size: int, chunked: bool) -> None:
    status, answer = speak(gunicorn, b"x" * size, KEY, chunked=chunked)
    assert (status, answer["error"]["code"]) == (413, "payload_too_large")  # type: ignore[index]


@pytest.mark.parametrize("chunked", [False, True])
def test_through_the_server_too_a_body_may_have_one_mebibyte(gunicorn: Server, chunked: bool) -> None:
    status, answer = speak(gunicorn, padded(MIB), KEY, chunked=chunked)
    assert (status, list(answer)) == (200, ["order_validation"])


@pytest.mark.rule("EP-6")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_without_a_key_is_unauthorized(gunicorn: Server, chunked: bool) -> None:
    status, answer = speak(gunicorn, b"x" * 2 * MIB, chunked=chunked)
    assert (status, answer["error"]["code"]) == (401, "unauthorized")  # type: ignore[index]


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("body", [b"ZZ\r\n", b"5\r\n{", b"FFFFFFFFFFFFFFFFFFFF\r\n"])
def test_a_broken_chunk_is_the_callers_fault(gunicorn: Server, body: bytes) -> None:
    framing = b"Content-Type: application/json\r\nTransfer-Encoding: chunked"
    assert broken_off(gunicorn, framing, body)[0] == 400


def test_callers_that_do_not_hang_up_delay_no_other(gunicorn: Server) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def call(timeout: float) -> socket.socket:
        caller = callers.enter_context(socket.create_connection(("127.0.0.1", gunicorn.port), timeout=timeout))
        caller.sendall(request)
        return caller

    with ExitStack() as callers:
        for idle in [call(timeout=40) for _ in range(12)]:
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        # A server that waits for each of them to close, in the thread that accepts, takes 24 seconds.
        assert call(timeout=8).recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.rule("EP-9")
def test_a_caller_that_stops_in_the_middle_is_given_up(gunicorn: Server) -> None:
    with within(15):
        head = b"Content-Type: application/json\r\nContent-Length: 500"
        status, answer = broken_off(gunicorn, head, b"{", ended=False)
    assert (status, answer["error"]["code"]) == (400, "bad_request")  # type: ignore[index]


def broken_off(server: Server, framing: bytes, body: bytes, *, ended: bool = True) -> tuple[int, dict[str, object]]:
    """Send the beginning of a request; the status and the JSON of the answer."""
    line = b"POST /locations/sandbox.congress/order_validations HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(line + KEY.encode() + b"\r\n" + framing + b"\r\n\r\n" + body)
        if ended:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


@pytest.mark.rule("EP-11")
def test_an_order_has_at_most_500_items(channel: Channel) -> None:
    assert channel.validate(items=[item("sandwich") for _ in range(500)]).status == 200
    refused = channel.validate(items=[item("sandwich") for _ in range(501)])
    assert refused.refusal == (422, "invalid_member", "$.order_validation.items")


@pytest.mark.rule("ERR-1")
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x01b\r\n\r\n",
        b"POST /merchants HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"what is this\r\n\r\n",
    ],
    ids=["path", "header", "control character", "two lengths", "no HTTP"],
)
def test_invalid_http_gets_an_error_of_the_contract(gunicorn: Server, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=20) as connection:
        connection.sendall(request_)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    error = json.loads(content)["error"]
    assert head.startswith(b"HTTP/1.1 400 ")
    assert (error["type"], error["code"], error["retryable"]) == ("request", "bad_request", False)
    assert f"X-Request-ID: {error['request_id']}".encode() in head
