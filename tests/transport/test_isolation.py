"""Nothing comes in from the environment or another account, and nothing goes to another address."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelup_ov.errors import Unanswered
from levelup_ov.transport.session import Transport
from tests.transport.wire import answering, closed_port, peer, reply, session

CARD = {"number": "4012888888881881"}


@pytest.mark.rule("PAY-2", "SUB-2")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_the_body_is_not_resent(status: int) -> None:
    with peer(answering(reply())) as elsewhere:
        with peer(answering(reply(status=status, Location=f"{elsewhere.url}/orders"))) as provider:
            with pytest.raises(Unanswered) as caught:
                session(provider.url).post("/orders", CARD, places_order=True)
        assert (caught.value.code, caught.value.status) == ("provider_protocol_error", status)
        assert caught.value.sent
        assert len(provider.requests) == 1
        assert elsewhere.connections == 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with peer(answering(reply())) as proxy, peer(answering(reply(b'{"direct": true}'))) as provider:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert session(provider.url).get("/").json() == {"direct": True}
        assert proxy.connections == 0


def test_the_proxy_of_the_settings_gets_all_traffic() -> None:
    with peer(answering(reply(b'{"proxied": true}'))) as proxy, closed_port() as port:
        transport = Transport(pool_size=1, proxy=proxy.url)
        assert session(f"http://127.0.0.1:{port}", transport=transport).get("/menu").json() == {"proxied": True}
        assert proxy.requests[0].line == f"GET http://127.0.0.1:{port}/menu HTTP/1.1"


@pytest.mark.parametrize("account_headers", [{}, {"Authorization": "Bearer account"}])
def test_no_credentials_are_taken_from_netrc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account_headers: dict[str, str]
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with peer(answering(reply())) as provider:
        session(provider.url, headers=account_headers).get("/")
        assert provider.requests[0].headers.get("authorization") == account_headers.get("Authorization")


def test_no_cookie_is_kept_or_given_to_another_account() -> None:
    transport = Transport(pool_size=4)
    with peer(answering(reply(Set_Cookie="customer=ada; Path=/"))) as provider:
        for account in ("one", "one", "two"):
            calls = session(provider.url, transport=transport, account=account)
            calls.get("/")
            calls.post("/", {})
        assert len(provider.requests) == 6
        assert not any("cookie" in request.headers for request in provider.requests)


def test_accounts_share_no_connection() -> None:
    transport = Transport(pool_size=4)
    with peer(answering(reply())) as provider:
        for account in ("one", "two", "one", "two"):
            session(provider.url, transport=transport, account=account).get("/")
        assert provider.connections == 2


def test_a_request_carries_what_it_was_given_and_little_else() -> None:
    with peer(answering(reply())) as provider:
        session(provider.url, headers={"X-Key": "k"}).call(
            "POST", "/token", form={"grant": "a b&c"}, params={"q": "ü&"}, headers={"X-More": "m"}
        )
        (request,) = provider.requests
        assert request.line == "POST /token?q=%C3%BC%26 HTTP/1.1"
        assert request.body == b"grant=a+b%26c"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (request.headers["x-key"], request.headers["x-more"]) == ("k", "m")
        assert set(request.headers) <= {
            "host", "accept", "accept-encoding", "content-length", "content-type", "x-key", "x-more", "user-agent",
        }  # fmt: skip
