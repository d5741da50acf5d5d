"""The client against answers that LevelUp should not give, and against a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses

from levelup_ov.checkout.client import LevelUpClient, LevelUpSession
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.standins.levelup.server import levelup_server
from levelup_ov.standins.levelup.world import SHOP_APP
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Call, Transport
from tests.standin import visitors
from tests.standin.visitors import ADA, BEACON

URL = "https://levelup.example"
MERCHANT, USER = Secret("merchant-token-canary"), Secret("user-token-canary")


def client(url: str = URL) -> LevelUpClient:
    return LevelUpClient(Transport(pool_size=2), url, SHOP_APP.api_key, Secret(SHOP_APP.client_secret), threads=2)


@pytest.fixture
def calls() -> Iterator[LevelUpSession]:
    """Calls that are marked as placing, but that no ledger records."""
    with client().calls(Deadline(5), []) as calls:
        yield calls


def refusal(*errors: Any) -> Any:
    return [{"error": {"message": "no.", **error}} for error in errors]


ACTIONS: dict[str, tuple[str, str, Callable[[LevelUpSession], object]]] = {
    "propose": ("POST", "/v15/proposed_orders", lambda calls: calls.propose(MERCHANT, USER, {})),
    "complete": ("POST", "/v15/completed_orders", lambda calls: calls.complete(MERCHANT, USER, {})),
    "refund": ("POST", "/v15/orders/u/refund", lambda calls: calls.refund(MERCHANT, "u", None)),
    "profile": ("GET", "/v15/users", lambda calls: calls.profile(USER)),
    "addresses": ("GET", "/v15/user_addresses", lambda calls: calls.addresses(USER)),
    "orders": ("GET", "/v15/users/orders", lambda calls: calls.past_orders(USER, 1)),
    "credit": ("GET", "/v15/locations/11/credit", lambda calls: calls.credit(USER, 11)),
    "loyalty": ("GET", "/v15/merchants/1/loyalty", lambda calls: calls.loyalty(USER, 1)),
    "campaigns": ("GET", "/v15/locations/11/campaigns", lambda calls: calls.campaigns(USER, 11)),
    "locations": ("GET", "/v15/merchants/1/locations", lambda calls: calls.locations(MERCHANT, 1)),
    "card page": ("POST", "/v15/credit_card_pages", lambda calls: calls.card_page(USER, None)),
}
ALL = pytest.mark.parametrize("action", ACTIONS)


def failure_of(calls: LevelUpSession, action: str, **answer: Any) -> Failure:
    """What a call fails with when it is answered like this, each time."""
    method, path, act = ACTIONS[action]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as line:
        line.add(method, URL + path, **answer)
        with pytest.raises(Failure) as failed:
            act(calls)
    return failed.value


@ALL
@pytest.mark.parametrize("body", [b"", b"<html>", b"[", b"null", b"7", b'"x"', b"{}", b"[7]", b'[{"order": 7}]'])
def test_a_success_that_says_nothing_is_a_broken_protocol(calls: LevelUpSession, action: str, body: bytes) -> None:
    failure = failure_of(calls, action, status=200, body=body)
    assert failure.code == "provider_protocol_error"
    assert isinstance(failure, Unanswered) and failure.sent


@ALL
@pytest.mark.parametrize("status", [400, 404, 406, 409, 418, 422])
def test_a_refusal_in_a_foreign_form_proves_nothing(calls: LevelUpSession, action: str, status: int) -> None:
    for body in (b"<html>", b"[]", b"[7]", b'{"error": "x"}', b'[{"error": "x"}]', b'[{"error": {}}, 1]'):
        failure = failure_of(calls, action, status=status, body=body)
        assert not isinstance(failure, Refused), body


@pytest.mark.parametrize(
    ("action", "status", "body", "code", "path"),
    [
        ("complete", 422, refusal({"object": "order", "property": "base"}), "card_declined", None),
        ("complete", 404, refusal({"object": "order", "property": "location_id"}), "location_not_found",
         "$.order.location_id"),
        ("complete", 401, refusal({"property": "user_token"}), "user_token_refused", None),
        ("complete", 401, refusal({"property": "merchant_token"}), "merchant_token_refused", None),
        ("propose", 422, refusal({"object": "proposed_order", "property": "spend_amount"}), "levelup_refused",
         "$.order.outstanding_amount"),
        ("complete", 422, refusal({"object": "completed_order", "property": "applied_discount_amount"}),
         "discount_too_large", "$.order.discount_amount"),
        ("propose", 400, refusal({}), "provider_protocol_error", None),
        ("profile", 501, refusal({"code": "client_too_old"}), "provider_protocol_error", None),
        ("profile", 406, refusal({}), "provider_protocol_error", None),
        ("profile", 404, refusal({"object": "user"}), "levelup_refused", None),
        ("refund", 404, None, "order_not_found", None),
        ("refund", 422, refusal({"object": "refund", "property": "manager_confirmation"}),
         "manager_confirmation_required", None),
        ("card page", 422, refusal({"object": "credit_card", "property": "base"}), "levelup_refused", None),
        ("profile", 422, refusal({"object": 7, "property": [], "message": {}}), "levelup_refused", None),
    ],
)  # fmt: skip
def test_refusals_are_errors_of_the_closed_list(
    calls: LevelUpSession, action: str, status: int, body: Any, code: str, path: str | None
) -> None:
    answer = {"body": b""} if body is None else {"json": body}
    failure = failure_of(calls, action, status=status, **answer)
    assert isinstance(failure, Refused)
    assert (failure.code, failure.path) == (code, path)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "provider_credentials_refused"), (429, "rate_limited"), (500, "provider_unavailable"),
     (503, "provider_unavailable"), (504, "provider_timeout"), (302, "provider_protocol_error")],
)  # fmt: skip
def test_statuses_that_anybody_may_answer(calls: LevelUpSession, status: int, code: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)
    failure = failure_of(calls, "complete", status=status, body=b"busy")
    assert (failure.code, isinstance(failure, Unanswered)) == (code, True)


def test_several_errors_are_reported_together(calls: LevelUpSession) -> None:
    body = refusal({"message": "One."}, {"message": "Two."}, {"message": "One."})
    assert failure_of(calls, "profile", status=422, json=body).message == "LevelUp: One.; Two."
    long = refusal({"message": "x" * 10_000})
    assert len(failure_of(calls, "profile", status=422, json=long).message) < 1_000


@pytest.mark.rule("ERR-4")
def test_no_token_comes_back_in_words() -> None:
    echo = refusal({"message": f"{MERCHANT.reveal()} {USER.reveal()} {SHOP_APP.client_secret} 4111 1111 1111 1111"})
    with pytest.raises(Failure) as failed, responses.RequestsMock() as line:
        line.post(f"{URL}/v15/proposed_orders", status=422, json=echo)
        with client().calls(Deadline(5), []) as calls:
            calls.propose(MERCHANT, USER, {})
    assert failed.value.message == "LevelUp: *** *** *** ***"


@pytest.mark.parametrize("token", ["", "a b", 'a"b', "a,b", "a\nb", "x" * 101, 7, None])
def test_a_token_that_cannot_be_one(token: Any) -> None:
    with responses.RequestsMock() as line:
        line.post(f"{URL}/v15/access_tokens", json={"access_token": {"token": token}})
        with pytest.raises(Unanswered) as failed, client().calls(Deadline(5), []) as calls:
            calls.permissions_request(1)
    assert failed.value.code == "provider_protocol_error"


def test_a_refund_is_never_sent_twice(calls: LevelUpSession) -> None:
    with responses.RequestsMock() as line:
        line.post(f"{URL}/v15/orders/u/refund", status=503)
        with pytest.raises(Unanswered):
            calls.refund(MERCHANT, "u", None)
        assert len(line.calls) == 1


def test_the_headers_of_a_call(calls: LevelUpSession) -> None:
    with responses.RequestsMock() as line:
        line.post(f"{URL}/v15/proposed_orders", json={"proposed_order": {"uuid": "u", "discount_amount": 0}})
        calls.propose(MERCHANT, USER, {})
        headers = line.calls[0].request.headers
    assert headers["Authorization"] == f'token merchant="{MERCHANT.reveal()}", user="{USER.reveal()}"'
    assert (headers["Accept"], headers["Content-Type"]) == ("application/json", "application/json")


def test_only_so_many_call_at_once() -> None:
    levelup = client()
    with levelup.calls(Deadline(5), []), levelup.calls(Deadline(5), []):
        with pytest.raises(Failure) as refused, levelup.calls(Deadline(5), []):
            raise AssertionError("there was room")
    assert refused.value.code == "provider_busy"


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ('<https://x/v15/users/orders?page=2>; rel="next"', 2),
        ('<https://x/?page=1>; rel="prev", <https://x/?a=b&page=3>; rel="next"', 3),
        ("<https://x/?page=2>; rel=next", 2),
        ('<https://x/?page=1>; rel="prev"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_next_page_is_the_one_that_is_linked(calls: LevelUpSession, link: str, following: int | None) -> None:
    past = {"uuid": "u", "created_at": "2026-11-20T17:00:00Z", "spend_amount": 1, "total_amount": 1}
    with responses.RequestsMock() as line:
        line.get(f"{URL}/v15/users/orders", json=[{"order": past}], headers={"Link": link})
        orders, found = calls.past_orders(USER, 1)
    assert (len(orders), found) == (1, following)


@pytest.mark.rule("WEB-2")
def test_a_list_that_goes_on_is_not_read_as_whole(calls: LevelUpSession) -> None:
    with responses.RequestsMock() as line:
        line.get(f"{URL}/v15/users/orders", json=[], headers={"Link": '<https://x/?page=2>; rel="next"'})
        assert calls.past_orders(USER, 1) == ([], 2)
        for link in (
            '<https://x/?cursor=b>; rel="next"',
            "<https://x/?page=b>; REL=next",
            '<?after=1>; rel="last next"',
        ):
            line.replace("GET", f"{URL}/v15/users/orders", json=[], headers={"Link": link})
            with pytest.raises(Unanswered):
                calls.past_orders(USER, 1)


def test_over_a_real_port(tmp_path: Any) -> None:
    """The whole way of an order over HTTP, the lost answer included."""
    levelup = visitors.LevelUp(tmp_path / "levelup.db")
    server = levelup_server(levelup.app, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    log: list[Call] = []
    try:
        merchant, ada = Secret(levelup.token(merchant=BEACON)), Secret(levelup.token(user=ADA))
        eve = Secret(levelup.token(user=visitors.EVE))
        with client(f"http://127.0.0.1:{server.server_port}").calls(Deadline(20), log) as calls:
            request = calls.request_permissions("ada@example.com", ["create_orders"])
            assert calls.permissions_request(request.id) == request
            for payer in (ada, eve):
                body = visitors.proposal()["proposed_order"]
                proposal = calls.propose(merchant, payer, body)
                done = {**body, "proposed_order_uuid": proposal.uuid, "applied_discount_amount": proposal.discount}
                charge = calls.complete(merchant, payer, done)
                assert calls.complete(merchant, payer, done) == charge
                assert calls.refund(merchant, charge.uuid, None) is not None
            calls.revoke(user=ada)
            with pytest.raises(Refused) as refused:
                calls.profile(ada)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        levelup.store.close()
    assert refused.value.code == "user_token_refused"
    # Eve's first answer was dropped, and the completion sent again.
    assert sum(call.path == "/v15/completed_orders" for call in log) == 5
