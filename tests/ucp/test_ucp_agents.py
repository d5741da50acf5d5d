"""Who calls through UCP, and that an agent's profile is fetched from nowhere inside."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.domain.secret import Secret
from levelup_ov.transport import connections, net
from levelup_ov.transport.session import Transport
from levelup_ov.ucp import agents
from levelup_ov.ucp.agents import Agents, Profiles, read_dictionary
from levelup_ov.ucp.problems import Rejected
from tests.transport.certificates import Authority
from tests.transport.wire import Peer, answering, peer, read_request, reply

HOST = "agents.example"
URL = f"https://{HOST}/profile.json"
PUBLIC = "93.184.215.14"
PROFILE = json.dumps({"ucp": {"version": "2026-04-08", "capabilities": {}}}).encode()
OUTSIDE = Transport(pool_size=1, public_only=True, breaks=False)
"""One for many tests, since it takes a while to make; nothing that fails is kept."""
Addresses = list[str]


class Network:
    """A resolver that gives what a test says, and a network that only notes where somebody connects to.

    Each name look-up takes the next of ``answers``, the last one again and again. Connections end at ``server``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Addresses] = [[PUBLIC]]
        self.looked_up: list[tuple[str, int]] = []
        self.connected: list[Addresses] = []
        self.server: Peer | None = None
        self._connect = net.connect
        monkeypatch.setattr(net, "resolve", self.resolve)
        monkeypatch.setattr(net, "connect", self.connect)
        monkeypatch.setattr(net, "sleep", lambda _: None)

    def resolve(self, host: str, port: int, seconds: float) -> list[net.Address]:
        self.looked_up.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    def connect(self, addresses: list[net.Address], seconds: float) -> socket.socket:
        self.connected.append([address[4][0] for address in addresses])
        if self.server is None:
            raise ConnectionRefusedError
        local = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.server.port))
        return self._connect([local], seconds)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.fixture
def serving(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A server of profiles with the certificate of a host."""
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))

    @contextmanager
    def serve(*answers: bytes, known_as: str = HOST) -> Iterator[Peer]:
        with peer(answering(*answers), authority.server(known_as)) as server:
            network.server = server
            yield server

    return serve


def refused(profiles: Profiles, url: str = URL) -> str:
    with pytest.raises(Rejected) as error:
        profiles.fetch(url)
    return error.value.code


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/profile.json",
        f"https://{HOST}.other.example/",
        f"https://other.example/{HOST}",
        f"https://{HOST}:8443/",
        f"https://{HOST}../",
        f"https://.{HOST}/",
        f"https://{HOST}:08443/",
        f"https://{HOST}:443x/",
        "https://agent\N{LATIN SMALL LETTER LONG S}.example/",
        f"https://{HOST}@other.example/",
        f"https://other.example@{HOST}/",
        f"https://{HOST}\\@other.example/",
        f"https://other.example#@{HOST}/",
        f"https://{HOST}#/../",
        f"http://{HOST}/profile.json",
        f"http://{HOST}:443/",
        f"ftp://{HOST}/",
        f"//{HOST}/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        f"https://{HOST}/\r\nX-Evil: 1",
        "",
    ],
)
def test_only_hosts_that_the_operator_names_are_asked(network: Network, url: str) -> None:
    assert Profiles([f"https://{HOST}"], public=OUTSIDE).fetch(url) is None
    assert Profiles([], public=OUTSIDE).fetch(URL) is None
    assert not network.looked_up and not network.connected


@pytest.mark.parametrize(
    "answer",
    [
        *(
            [address]
            for address in (
                "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
                "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
                "192.88.99.1", "192.0.0.8", "192.0.0.192", "3fff::1",
                "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1",
                "::ffff:10.0.0.1", f"::ffff:{PUBLIC}", "::127.0.0.1", "2002:7f00:1::", "2002:5db8:d70e::",
                "64:ff9b::7f00:1", "64:ff9b::5db8:d70e", "64:ff9b:1::7f00:1", "2001::1", "2001:db8::1", "100::1",
                "5f00::1", "2606:2800:220:1::1%1", "a name",
            )
        ),
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_address_inside_is_connected_to(network: Network, answer: Addresses) -> None:
    network.answers = [answer]
    assert refused(Profiles([f"https://{HOST}"], public=OUTSIDE)) == "profile_unreachable"
    assert network.looked_up and not network.connected


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_address_is_connected_to(network: Network, address: str) -> None:
    network.answers = [[address]]
    assert refused(Profiles([f"https://{HOST}"], public=OUTSIDE)) == "profile_unreachable"
    assert network.connected[0] == [address]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::1]", "localhost"])
def test_this_host_is_not_asked_even_where_it_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(net, "connect", lambda *_: pytest.fail("connected"))
    monkeypatch.setattr(net, "sleep", lambda _: None)
    assert refused(Profiles([f"https://{host}"], public=OUTSIDE), f"https://{host}/") == "profile_unreachable"


def test_a_name_that_moves_inside_is_not_followed(network: Network, serving: Callable[..., Any]) -> None:
    network.answers = [[PUBLIC], ["127.0.0.1"]]
    profiles = Profiles([f"https://{HOST}"])
    with serving(reply(PROFILE, Connection="close")):
        assert profiles.fetch(URL) == json.loads(PROFILE)
        # It was looked up once, and what was looked up is what was connected to.
        assert network.looked_up == [(HOST, 443)] and network.connected == [[PUBLIC]]
        assert refused(profiles, f"https://{HOST}/another.json") == "profile_unreachable"
    assert network.connected == [[PUBLIC]]


def test_a_proxy_is_asked_for_a_checked_address(network: Network, tmp_path: Path, monkeypatch: Any) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setattr(connections.certifi, "where", lambda: str(authority.file))
    tls, tunnels = authority.server(HOST), []

    def tunnel(server: Peer, connection: socket.socket) -> None:
        tunnels.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with tls.wrap_socket(connection, server_side=True) as inner:
            answering(reply(PROFILE))(server, inner)

    with peer(tunnel) as network.server:
        profiles = Profiles([f"https://{HOST}"], proxy="http://proxy.inside:3128")
        network.answers = [["10.0.0.7"], [PUBLIC]]
        assert profiles.fetch(URL) == json.loads(PROFILE)
        assert network.looked_up == [("proxy.inside", 3128), (HOST, 443)]
        profiles = Profiles([f"https://{HOST}"], proxy="http://proxy.inside:3128")
        network.answers = [["10.0.0.7"]]
        assert refused(profiles) == "profile_unreachable"
    assert [request.line.rpartition(" ")[0] for request in tunnels if request] == [f"CONNECT {PUBLIC}:443"]
    assert network.connected and all(each == ["10.0.0.7"] for each in network.connected)


def test_a_profile_is_kept(network: Network, serving: Callable[..., Any]) -> None:
    profiles = Profiles([f"https://{HOST.upper()}:443"])
    with serving(reply(PROFILE)) as server:
        assert profiles.fetch(URL) == profiles.fetch(URL) == json.loads(PROFILE)
        assert len(server.requests) == 1
    request = server.requests[0]
    assert request.line == "GET /profile.json HTTP/1.1" and request.headers["host"] == HOST
    assert not {"authorization", "cookie", "x-api-key"} & set(request.headers)


def test_a_host_is_the_same_in_every_spelling(network: Network, serving: Callable[..., Any]) -> None:
    profiles = Profiles([f"https://{HOST}"])
    with serving(reply(PROFILE)) as server:
        for host in (HOST.upper(), f"{HOST}.", f"{HOST}:0443", f"{HOST.title()}.:443"):
            assert profiles.fetch(f"HTTPS://{host}/profile.json") == json.loads(PROFILE)
        assert network.looked_up == [(HOST, 443)]
        assert [request.headers["host"] for request in server.requests] == [HOST]
        profiles.fetch(f"https://{HOST.upper()}?agent=Lunch")
        assert server.requests[-1].line == "GET /?agent=Lunch HTTP/1.1"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(b"", 302, Location="https://127.0.0.1/"), "profile_unreachable"),
        (reply(b"", 301, Location=f"https://{HOST}/moved.json"), "profile_unreachable"),
        (reply(b"", 404), "profile_unreachable"),
        (reply(b"no JSON"), "profile_malformed"),
        (reply(b"[]"), "profile_malformed"),
        (reply(b'{"a": "' + b"x" * agents.LARGEST_PROFILE + b'"}'), "profile_malformed"),
    ],
    ids=["to this host", "to the same host", "missing", "text", "list", "large"],
)
def test_an_invalid_profile_is_refused(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, answer: bytes, code: str
) -> None:
    monkeypatch.setattr(agents, "PATIENCE", 30)  # a machine at work needs a while for the large one
    with serving(answer) as server:
        assert refused(Profiles([f"https://{HOST}"])) == code
        assert [request.line for request in server.requests] == ["GET /profile.json HTTP/1.1"]


def test_a_server_without_the_hosts_certificate_is_refused(serving: Callable[..., Any]) -> None:
    with serving(reply(PROFILE), known_as="other.example") as server:
        assert refused(Profiles([f"https://{HOST}"])) == "profile_unreachable"
        assert not server.requests


def test_a_slow_profile_is_given_up(
    network: Network, serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "PATIENCE", 0.2)
    with serving(reply(PROFILE)) as server:
        server.serve = lambda server, connection: server.pause(5)
        assert refused(Profiles([f"https://{HOST}"])) == "profile_unreachable"


def test_a_host_that_hangs_holds_up_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait for it, as long as they may; the others, and all that come later, are answered at once."""
    monkeypatch.setattr(agents, "PATIENCE", 0.5)
    monkeypatch.setattr(agents, "PAUSE", 1.5)
    with peer(answering(reply(PROFILE, Connection="close"))) as server, peer(answering(reply(PROFILE))) as other:
        profiles = Profiles([server.url, other.url])
        profiles.fetch(f"{server.url}/known.json")
        server.serve = lambda server, connection: server.pause(5)
        waited: list[float] = []

        def fetch(number: int) -> None:
            began = time.monotonic()
            assert refused(profiles, f"{server.url}/{number}.json") == "profile_unreachable"
            waited.append(time.monotonic() - began)

        threads = [threading.Thread(target=fetch, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(seconds > 0.4 for seconds in waited) == agents.MOST_AT_ONCE
        asked, began = len(server.requests), time.monotonic()
        assert refused(profiles, f"{server.url}/new.json") == "profile_unreachable"
        assert profiles.fetch(f"{server.url}/known.json") == json.loads(PROFILE)
        assert profiles.fetch(f"{other.url}/profile.json") == json.loads(PROFILE)
        assert time.monotonic() - began < 0.4 and len(server.requests) == asked
        time.sleep(agents.PAUSE)
        server.serve = answering(reply(PROFILE))
        assert profiles.fetch(f"{server.url}/new.json") == json.loads(PROFILE)


def test_a_developers_own_host_may_serve_profiles() -> None:
    with peer(answering(reply(PROFILE))) as server:
        assert Profiles([server.url]).fetch(f"{server.url}/profile.json") == json.loads(PROFILE)
        assert Profiles([f"https://127.0.0.1:{server.port}"]).fetch(f"{server.url}/profile.json") is None


def test_the_last_profile_counts_while_a_host_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)
    monkeypatch.setattr(agents, "KEPT_FOR", 0)
    with peer(answering(reply(PROFILE))) as server:
        profiles = Profiles([server.url])
        profiles.fetch(f"{server.url}/profile.json")
    assert profiles.fetch(f"{server.url}/profile.json") == json.loads(PROFILE)
    assert refused(profiles, f"{server.url}/other.json") == "profile_unreachable"


def test_one_agents_failing_profile_does_not_affect_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)
    with peer(lambda server, connection: connection.close()) as server:
        profiles = Profiles([server.url])
        for number in range(6):
            with pytest.raises(Rejected):
                profiles.fetch(f"{server.url}/{number}.json")
        server.serve = answering(reply(PROFILE))
        assert profiles.fetch(f"{server.url}/profile.json") == json.loads(PROFILE)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"X-API-Key": "key-of-lunch"}, "lunch"),
        ({"Authorization": "Bearer key-of-dinner"}, "dinner"),
        ({"Authorization": "bearer  key-of-dinner "}, "dinner"),
        ({"Authorization": "Basic key-of-dinner"}, None),
        ({"Authorization": "Bearer key-of-dinner", "X-API-Key": "key-of-dinner"}, "dinner"),
        ({"Authorization": "Bearer key-of-dinner", "X-API-Key": "key-of-lunch"}, None),
        ({"X-API-Key": "key-of-lunch2"}, None),
        ({"X-API-Key": "\udcff"}, None),
        ({"X-API-Key": ""}, None),
        ({}, None),
    ],
)
def test_a_caller_is_known_by_its_key(headers: dict[str, str], name: str | None) -> None:
    known = Agents({"lunch": Secret("key-of-lunch"), "dinner": Secret("key-of-dinner")})
    assert known.name_of(headers) == name
    assert Agents({}).name_of(headers) is None


@pytest.mark.parametrize(
    ("header", "members"),
    [
        ('profile="https://a.example/p"', {"profile": "https://a.example/p"}),
        ('profile="a";x=1, version="2026-04-08", other=token', {"profile": "a", "version": "2026-04-08"}),
        ('profile="a", profile="b"', {"profile": "b"}),
        (r'profile="a\"b"', {"profile": 'a"b'}),
        ("profile", {}),
        ("profile=token", {}),
        ("", {}),
    ],
)
def test_the_header_of_an_agent_is_a_dictionary(header: str, members: dict[str, str]) -> None:
    assert read_dictionary(header) == members


@pytest.mark.parametrize(
    "header", ["https://a.example/p", 'profile="a', 'Profile="a"', 'profile="é"', "a=" + "1" * 3000]
)
def test_another_header_of_an_agent_is_refused(header: str) -> None:
    with pytest.raises(Rejected) as error:
        read_dictionary(header)
    assert (error.value.code, error.value.status) == ("invalid_profile_url", 400)
