"""Menus and catalogs are fetched once and kept: in the process's memory, or in a Redis for all processes."""

from __future__ import annotations

import logging
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Unanswered
from levelup_ov.transport import redis_cache as redis_store
from levelup_ov.transport import response_cache
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.redis_cache import ANSWER_LIMIT, TIME_LIMIT, RedisStore
from levelup_ov.transport.response_cache import KEPT_FOR, Kept, MemoryStore
from levelup_ov.transport.session import Transport
from tests.channel import CARD, USER, Channel
from tests.conftest import MakeApp
from tests.servers.process import required
from tests.servers.redis import RedisServer, install
from tests.stopwatch import TOLERANCE, within
from tests.transport.wire import Peer, answering, peer, read_request, reply, session, silent_port

MENU = b'{"menu": "a long one"}'
NEW_MENU = b'{"menu": "another"}'
SECRET = b"known to one deployment alone"

NewTransport = Callable[[], Transport]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with required(request, "Redis"):
        running = RedisServer(install()).__enter__()
    try:
        yield running
    finally:
        running.__exit__()


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    """The server, empty."""
    server.client.flushall()
    return server


stores: list[RedisStore] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while stores:
        stores.pop().close()


def process(redis: RedisServer, secret: bytes = SECRET) -> Transport:
    """The calls of one process."""
    stores.append(RedisStore(redis.base_url, secret))
    return Transport(pool_size=4, store=stores[-1])


@pytest.fixture(params=["memory", "redis"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return process(request.getfixturevalue("redis")) if request.param == "redis" else Transport(pool_size=4)


Check = Callable[[JSONObject], object]


def whatever(answer: JSONObject) -> object:
    """Every answer will do."""
    return answer.value


def menu(
    url: str,
    transport: Transport,
    *,
    seconds: float = 5,
    cache_for: float = 60,
    check: Check = whatever,
    **more: object,
) -> bytes:
    calls = session(url, seconds=seconds, transport=transport, **more)
    return calls.get("/menu", cache_for=cache_for, check=check).body


def slowly(*answers: bytes, pause: float = 0.3) -> Callable[[Peer, socket.socket], None]:
    """Like ``answering``, each answer after a while."""

    def serve(server: Peer, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            server.requests.append(request)
            answer = answers[min(len(server.requests), len(answers)) - 1]
            server.pause(pause)
            connection.sendall(answer)

    return serve


def at_once(*calls: Callable[[], bytes]) -> list[bytes | Failure]:
    """What each of the calls gives or raises, all begun at once."""

    def outcome(call: Callable[[], bytes]) -> bytes | Failure:
        try:
            return call()
        except Failure as failure:
            return failure

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


@pytest.mark.rule("EP-3")
def test_a_fresh_answer_is_not_fetched_again(transport: Transport) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        assert [menu(provider.url, transport) for _ in range(3)] == [MENU] * 3
        assert len(provider.requests) == 1


def test_requests_at_once_fetch_it_once(transport: Transport) -> None:
    with peer(slowly(reply(MENU), reply(NEW_MENU))) as provider:
        assert at_once(*[partial(menu, provider.url, transport)] * 6) == [MENU] * 6
        assert len(provider.requests) == 1


def test_when_the_fetching_request_fails_the_next_one_tries(transport: Transport) -> None:
    with peer(slowly(reply(status=404), reply(MENU), reply(NEW_MENU))) as provider:
        found = at_once(*[partial(menu, provider.url, transport)] * 4)
        assert len(provider.requests) == 2
    assert sorted(each if isinstance(each, bytes) else each.code.encode() for each in found) == sorted(
        [b"provider_protocol_error", MENU, MENU, MENU]
    )


@pytest.mark.rule("SUB-6")
def test_who_waits_for_another_keeps_its_own_deadline(transport: Transport) -> None:
    with peer(slowly(reply(MENU), pause=1.5)) as provider, ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(menu, provider.url, transport)
        while not provider.requests:
            time.sleep(0.01)
        with within(0.3), pytest.raises(Unanswered) as caught:
            menu(provider.url, transport, seconds=0.3)
        assert (caught.value.code, caught.value.sent) == ("provider_timeout", False)
        assert fetching.result() == MENU
        assert len(provider.requests) == 1


def test_a_stale_answer_is_confirmed_by_its_etag(transport: Transport) -> None:
    unchanged = reply(b"", status=304)
    with peer(answering(reply(MENU, ETag='"1"'), unchanged, reply(NEW_MENU, ETag='"2"'), unchanged)) as provider:
        # Kept for no time at all, so each is asked for.
        assert [menu(provider.url, transport, cache_for=0) for _ in range(4)] == [MENU, MENU, NEW_MENU, NEW_MENU]
        asked_with = [request.headers.get("if-none-match") for request in provider.requests]
    assert asked_with == [None, '"1"', '"1"', '"2"']


def test_an_etag_confirms_no_answer_but_its_own(transport: Transport) -> None:
    with peer(answering(reply(MENU, ETag='"1"'), reply(NEW_MENU), reply(MENU))) as provider:
        assert [menu(provider.url, transport, cache_for=0) for _ in range(3)] == [MENU, NEW_MENU, MENU]
        assert "if-none-match" not in provider.requests[2].headers


def test_a_confirmed_answer_is_fresh_again(transport: Transport) -> None:
    with peer(answering(reply(MENU, ETag='"1"'), reply(b"", status=304), reply(NEW_MENU))) as provider:
        found = [menu(provider.url, transport, cache_for=seconds) for seconds in (0, 60, 60)]
        assert found == [MENU] * 3
        assert len(provider.requests) == 2


def test_unchanged_of_nothing_breaks_the_protocol(transport: Transport) -> None:
    with peer(answering(reply(b"", status=304))) as provider, pytest.raises(Unanswered) as caught:
        menu(provider.url, transport)
    assert caught.value.code == "provider_protocol_error"


@pytest.mark.parametrize("failure", [reply(status=404), reply(b"<html>We are back soon"), reply(b"", status=204)])
def test_only_what_can_be_read_is_kept(transport: Transport, failure: bytes) -> None:
    with peer(answering(failure, reply(MENU))) as provider:
        with pytest.raises(Unanswered):
            menu(provider.url, transport)
        assert menu(provider.url, transport) == MENU


MAINTENANCE = b'{"maintenance": true}'


def dishes(answer: JSONObject) -> object:
    """Reads a menu."""
    return answer.each("dishes")


@pytest.mark.rule("EP-13")
def test_only_what_was_understood_is_kept(transport: Transport) -> None:
    sound, ordered = b'{"dishes": []}', b'{"order_id": "Alice"}'
    with peer(answering(reply(MAINTENANCE), reply(ordered, 200), reply(sound), reply(MAINTENANCE))) as provider:
        found = [menu(provider.url, transport, check=dishes) for _ in range(5)]
        assert found == [MAINTENANCE, ordered, sound, sound, sound]
        assert len(provider.requests) == 3


@pytest.mark.rule("EP-13")
def test_what_was_not_understood_replaces_nothing(transport: Transport) -> None:
    sound = b'{"dishes": []}'
    answers = (reply(sound, ETag='"1"'), reply(MAINTENANCE, ETag='"2"'), reply(b"", status=304))
    with peer(answering(*answers)) as provider:
        found = [menu(provider.url, transport, check=dishes, cache_for=0) for _ in range(3)]
        assert found == [sound, MAINTENANCE, sound]
        assert provider.requests[2].headers["if-none-match"] == '"1"'


@pytest.mark.rule("EP-13")
def test_an_entry_of_another_version_counts_as_none(redis: RedisServer) -> None:
    sound = b'{"dishes": []}'
    with peer(answering(reply(MAINTENANCE, ETag='"1"'), reply(sound))) as provider:
        assert menu(provider.url, process(redis)) == MAINTENANCE
        assert menu(provider.url, process(redis), check=dishes) == sound
        assert "if-none-match" not in provider.requests[1].headers


def test_to_keep_an_answer_one_must_say_how_to_read_it() -> None:
    with pytest.raises(TypeError, match="check"):
        session("http://127.0.0.1:1").get("/menu", cache_for=60)


def test_what_is_asked_otherwise_is_another_answer(transport: Transport) -> None:
    with peer(answering(reply(MENU), reply(b"[2]"), reply(b"[3]"), reply(b"[4]"), reply(b"[5]"))) as provider:
        one = session(provider.url, transport=transport)
        assert one.get("/menu", cache_for=60, check=whatever).body == MENU
        assert one.get("/menu", params={"page": "2"}, cache_for=60, check=whatever).body == b"[2]"
        assert one.get("/menu", headers={"Restaurant": "3"}, cache_for=60, check=whatever).body == b"[3]"
        assert menu(provider.url, transport, account="another") == b"[4]"
        assert menu(provider.url, transport, headers={"Authorization": "of another seller"}) == b"[5]"
        assert menu(provider.url, transport) == MENU


def test_a_new_token_does_not_fetch_it_again(transport: Transport) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        for token in ("one", "two"):
            call = session(provider.url, transport=transport)
            headers = {"Authorization": f"Bearer {token}"}
            assert call.get("/menu", headers=headers, cache_for=60, check=whatever).body == MENU
        assert len(provider.requests) == 1


def test_memory_holds_what_was_used_last() -> None:
    store = MemoryStore(limit=30)
    kept = {key: Kept(key.encode() * 10, "", 0) for key in "abcd"}
    for key in "abc":
        store.put(key, kept[key])
    assert store.get("a") == kept["a"]
    store.put("d", kept["d"])
    assert [store.get(key) for key in "abcd"] == [kept["a"], None, kept["c"], kept["d"]]
    # Replacing an answer frees its room; one that is larger than all of it is not kept.
    store.put("a", Kept(b"", "", 0))
    store.put("b", kept["b"])
    assert [store.get(key) is not None for key in "abcd"] == [True, True, True, True]
    store.put("e", Kept(b"e" * 31, "", 0))
    assert store.get("e") is None


def test_processes_share_an_answer(redis: RedisServer) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        assert [menu(provider.url, process(redis)) for _ in range(3)] == [MENU] * 3
        assert len(provider.requests) == 1


def test_processes_at_once_fetch_it_once(redis: RedisServer) -> None:
    with peer(slowly(reply(MENU), reply(NEW_MENU))) as provider:
        calls = [partial(menu, provider.url, transport) for transport in (process(redis), process(redis))]
        assert at_once(*calls * 3) == [MENU] * 6
        assert len(provider.requests) == 1


def test_a_process_that_dies_while_fetching_is_not_awaited(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "CLAIMED_FOR", 0.4)
    with peer(answering(reply(MENU))) as provider:
        waiting = process(redis)
        menu(provider.url, waiting, cache_for=0)
        (key,) = redis.content()
        redis.client.set(key + b":claimed", b"", nx=True, px=400)
        with within(0.4):
            assert menu(provider.url, waiting) == MENU


@pytest.mark.rule("SUB-6")
def test_who_waits_for_another_process_keeps_its_own_deadline(redis: RedisServer) -> None:
    with peer(answering(reply(MENU))) as provider:
        menu(provider.url, process(redis), cache_for=0)
        (key,) = redis.content()
        redis.client.set(key + b":claimed", b"")
        with within(0.3), pytest.raises(Unanswered) as caught:
            menu(provider.url, process(redis), seconds=0.3)
        assert (caught.value.code, caught.value.sent) == ("provider_timeout", False)
        assert len(provider.requests) == 1


def test_a_claim_that_never_ends_is_not_awaited(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_cache, "CLAIMED_FOR", 0.2)
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        menu(provider.url, process(redis), cache_for=0)
        (key,) = redis.content()
        redis.client.set(key + b":claimed", b"")
        assert menu(provider.url, process(redis), seconds=10) == NEW_MENU


def test_deployments_that_share_a_redis_share_nothing_else(redis: RedisServer) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        assert menu(provider.url, process(redis)) == MENU
        assert menu(provider.url, process(redis, b"another secret")) == NEW_MENU


def test_redis_keeps_an_answer_for_a_day_and_no_old_claim(redis: RedisServer) -> None:
    with peer(answering(reply(MENU))) as provider:
        menu(provider.url, process(redis))
    (key,) = redis.content()
    assert KEPT_FOR - 5 <= redis.client.ttl(key) <= KEPT_FOR


def fails(caplog: pytest.LogCaptureFixture) -> int:
    """How often the log warns of Redis."""
    records = [record for record in caplog.records if record.name == redis_store.__name__]
    assert all(record.levelno == logging.WARNING for record in records)
    return len(records)


def test_without_redis_each_answer_is_fetched_and_logged_once(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        transport = process(redis)
        assert menu(provider.url, transport) == MENU
        with redis.stopped():
            assert [menu(provider.url, transport) for _ in range(3)] == [NEW_MENU] * 3
        assert len(provider.requests) == 4
    assert fails(caplog) == 1


def test_redis_is_used_again_when_it_is_back(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "PAUSE", 0.3)
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        transport = process(redis)
        with redis.stopped():
            menu(provider.url, transport)
        time.sleep(0.3)
        assert [menu(provider.url, transport) for _ in range(2)] == [NEW_MENU] * 2
        assert len(provider.requests) == 2


@pytest.mark.rule("SUB-6")
def test_a_redis_that_hangs_takes_little_of_the_deadline(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with peer(answering(reply(MENU))) as provider:
        transport = process(redis)
        menu(provider.url, transport)
        # Connected already, and connecting again.
        for each in (transport, process(redis)):
            with redis.hanging(), within(TIME_LIMIT):
                assert [menu(provider.url, each, seconds=2) for _ in range(5)] == [MENU] * 5
    assert fails(caplog) == 2


@pytest.mark.rule("SUB-6")
def test_an_unreachable_redis_takes_little_of_the_deadline() -> None:
    with peer(answering(reply(MENU))) as provider, silent_port() as port:
        transport = Transport(pool_size=4, store=RedisStore(f"redis://127.0.0.1:{port}", SECRET))
        with within(TIME_LIMIT):
            assert [menu(provider.url, transport, seconds=2) for _ in range(5)] == [MENU] * 5
    assert TIME_LIMIT + TOLERANCE < 2


@contextmanager
def odd_redis(answer: bytes, pause: float = 0.0) -> Iterator[str]:
    """The address of what answers each command with ``answer``, byte by byte if there is a ``pause``."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65536):
                    for part in (answer[n : n + 1] for n in range(len(answer))) if pause else (answer,):
                        self.request.sendall(part)
                        time.sleep(pause)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.rule("SUB-6")
def test_a_redis_that_answers_slowly_takes_little_of_the_time(caplog: pytest.LogCaptureFixture) -> None:
    with peer(answering(reply(MENU))) as provider, odd_redis(b"$400\r\n" + b"x" * 400, pause=0.1) as url:
        transport = Transport(pool_size=4, store=RedisStore(url, SECRET))
        with within(ANSWER_LIMIT + TIME_LIMIT):
            assert [menu(provider.url, transport, seconds=9) for _ in range(3)] == [MENU] * 3
    assert fails(caplog) == 1


@pytest.mark.rule("SUB-6")
@pytest.mark.parametrize("answer", [b"$many\r\n", b"*1\r\n" * 3000, b"?\r\n", b":1\r\n", b"+OK\r\n", b"\r\n"], ids=str)
def test_a_redis_that_answers_nonsense_is_as_good_as_none(answer: bytes) -> None:
    with peer(answering(reply(MENU))) as provider, odd_redis(answer) as url:
        transport = Transport(pool_size=4, store=RedisStore(url, SECRET))
        assert [menu(provider.url, transport, seconds=9) for _ in range(3)] == [MENU] * 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: b"",
        lambda value: b"garbage that is somewhat longer than the head of a value",
        lambda value: value[:-1],
        lambda value: value[:10],
        lambda value: value + b" ",
        lambda value: value.replace(b"long", b"wrong"),
        lambda value: b"X" + value[1:],
    ],
)
def test_garbage_in_redis_is_nothing(redis: RedisServer, spoil: Callable[[bytes], bytes]) -> None:
    with peer(answering(reply(MENU, ETag='"1"'), reply(NEW_MENU))) as provider:
        menu(provider.url, process(redis))
        ((key, value),) = redis.content().items()
        redis.client.set(key, spoil(value))
        assert [menu(provider.url, process(redis)) for _ in range(2)] == [NEW_MENU] * 2
        assert "if-none-match" not in provider.requests[1].headers


def test_a_value_of_another_kind_in_redis_is_nothing(redis: RedisServer) -> None:
    with peer(answering(reply(MENU), reply(NEW_MENU))) as provider:
        menu(provider.url, process(redis))
        (key,) = redis.content()
        redis.client.delete(key)
        redis.client.lpush(key, "an element")
        assert menu(provider.url, process(redis)) == NEW_MENU


@pytest.mark.rule("ERR-4", "EP-3")
def test_the_service_keeps_menus_and_locations_in_redis_only(redis: RedisServer, make_app: MakeApp) -> None:
    for _ in range(2):
        channel = Channel(make_app(REDIS_URL=redis.base_url))
        assert channel.get("/locations/sandbox.card/menu").status == 200
        metadata = channel.validate("sandbox.card").order["metadata"]
        assert channel.submit("sandbox.card", metadata=metadata, credit_card=CARD).status == 200
    kept = redis.content()
    assert all(re.fullmatch(rb"levelup_ov:answer:[0-9a-f]{64}", key) for key in kept)
    menus, others = [
        [value for value in kept.values() if (b'"headings"' in value) is is_menu] for is_menu in (True, False)
    ]
    # The other is the account's locations.
    assert (len(menus), len(others)) == (1, 1) and b"sandwich" in menus[0]
    value = b"".join(kept.values())
    assert not any(word.encode() in value for word in (*USER.values(), CARD["number"], "X-Sandbox-Key", "Bearer"))
