"""Requests that agents sign are verified, and answers are signed (UCP-16)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from joserfc.jwk import ECKey

from tests.ucp.agent import Agent, item, uid
from tests.ucp.agent_platform import Platform, Received, new_key, published, verify
from tests.ucp.conftest import Serve

CHECKOUTS, MCP = "/ucp/shopping/checkout-sessions", "/ucp/food/mcp"
SIGNED = {"LEVELUP_OV_UCP_SIGNING_KEYS": new_key()}
KEY = ECKey.generate_key("P-256", {"kid": "one"})
COVERED = ("@method", "@authority", "@path", "ucp-agent", "idempotency-key", "content-type")
BASKET = {"line_items": [item("cookie")]}


@pytest.fixture
def agent(serve: Serve, platform: Platform) -> Agent:
    platform.keys = [published(KEY), "no key", {"kid": "p384", "kty": "EC", "crv": "P-384"},
                     {"kid": "broken", "kty": "EC", "crv": "P-256", "x": "AAAA"}]  # fmt: skip
    return serve(**SIGNED)


def sign(
    agent: Agent,
    path: str,
    body: Any,
    *,
    kid: str = "one",
    covered: tuple[str, ...] = COVERED,
    at: str = "localhost",
    key: str | None = None,
) -> dict[str, str]:
    """The headers of a request that the agent signs; ``key``: its idempotency key."""
    headers = {
        "Content-Type": "application/json",
        "UCP-Agent": f'profile="{agent.profile}"',
        "Idempotency-Key": key or uid(),
    }
    request = Received("POST", f"http://{at}{path}", headers, json.dumps(body).encode())
    keys = MappingKeyResolver(public_keys={}, private_keys={kid: KEY.private_key})
    signer = HTTPMessageSigner(signature_algorithm=ECDSA_P256_SHA256, key_resolver=keys)
    signer.sign(request, key_id=kid, label="sig1", include_alg=False, covered_component_ids=covered, body=request.body)
    return request.headers


def underscored(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items() if name != "Content-Type"}


def orders(agent: Agent, headers: Mapping[str, str | None], body: Any = BASKET) -> tuple[int, str]:
    """What a create with these headers is answered."""
    answer = agent.send("POST", CHECKOUTS, body, **underscored(headers))
    return answer.status, answer.json.get("code", answer.json.get("status"))


@pytest.mark.rule("UCP-16")
def test_a_signed_request_is_verified(agent: Agent) -> None:
    headers = sign(agent, CHECKOUTS, BASKET)
    assert orders(agent, headers) == (201, "incomplete")
    other = {**headers, "Idempotency-Key": uid()}
    assert orders(agent, other) == (401, "signature_invalid")
    assert orders(agent, headers, {"line_items": [item("lemonade")]}) == (400, "digest_mismatch")
    assert orders(agent, {**headers, "Content-Digest": "sha-256=:AAAA:"}) == (400, "digest_mismatch")
    for missing in ("Signature", "Signature-Input", "Content-Digest"):
        assert orders(agent, {**headers, missing: None}) == (401, "signature_missing")


@pytest.mark.rule("UCP-16")
def test_what_a_signature_does_not_prove_is_refused(agent: Agent) -> None:
    cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"kid": "unknown"}, (401, "key_not_found")),
        ({"kid": "broken"}, (401, "key_not_found")),
        ({"kid": "p384"}, (400, "algorithm_unsupported")),
        ({"path": f"{CHECKOUTS}/other"}, (401, "signature_invalid")),
        ({"at": "other.example"}, (401, "signature_invalid")),
        *[({"covered": tuple(name for name in COVERED if name != left)}, (401, "signature_invalid"))
          for left in COVERED],
    ]  # fmt: skip
    for members, answer in cases:
        assert orders(agent, sign(agent, **{"path": CHECKOUTS, "body": BASKET, **members})) == answer, members


@pytest.mark.rule("UCP-16")
def test_one_of_several_signatures_is_enough(agent: Agent) -> None:
    def signed(*kids: str, **wrong: str) -> tuple[int, str]:
        """What a request is answered that has a signature by each of these keys, and no other in ``wrong``."""
        key = uid()
        made = [sign(agent, CHECKOUTS, BASKET, kid=kid, key=key) for kid in kids]
        members = {name: ", ".join(each[name].replace("sig1", f"sig{number}") for number, each in enumerate(made))
                   for name in ("Signature", "Signature-Input")}  # fmt: skip
        return orders(agent, {**made[0], **members, **wrong})

    assert signed("one", "unknown") == signed("unknown", "one") == (201, "incomplete")
    assert signed("p384", "unknown", "broken", "one") == (201, "incomplete")
    assert signed("unknown", "one", **{"Idempotency-Key": uid()}) == (401, "key_not_found")
    assert signed("p384", "one", **{"Idempotency-Key": uid()}) == (400, "algorithm_unsupported")
    assert signed(*["unknown"] * 4, "one") == (401, "key_not_found")
    assert signed("one", "one", Signature="sig0=:AAAA:") == (401, "signature_invalid")
    assert signed("one", "one", Signature="sig0=:AAAA:, sig0=:AAAA:") == (401, "signature_invalid")


@pytest.mark.rule("UCP-16")
def test_a_signature_without_a_known_profile_is_not_asked_for(agent: Agent) -> None:
    agent.profile = "https://agents.example/profile.json"
    assert orders(agent, {**sign(agent, CHECKOUTS, BASKET), "Signature": "sig1=:AAAA:"}) == (201, "incomplete")


@pytest.mark.rule("UCP-16")
def test_a_signed_call_of_a_tool_is_verified(agent: Agent) -> None:
    arguments = {"meta": {"ucp-agent": {"profile": agent.profile}}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "list_establishments", "arguments": arguments}}  # fmt: skip
    headers = underscored(sign(agent, MCP, call))
    assert agent.send("POST", MCP, call, **headers).json["result"]["structuredContent"]["ucp"]["status"] == "success"
    wrong = agent.send("POST", MCP, call, **{**headers, "Signature": "sig1=:AAAA:"})
    assert (wrong.status, wrong.json["error"]["data"]["code"]) == (401, "signature_invalid")


@dataclass
class _Answer:
    status_code: int
    headers: dict[str, str]


@pytest.mark.rule("UCP-16")
def test_answers_are_signed(agent: Agent, serve: Serve) -> None:
    client, keys = agent.app.test_client(), agent.send("GET", "/.well-known/ucp").json["signing_keys"]
    headers = {"X-API-Key": agent.key, "UCP-Agent": f'profile="{agent.profile}"', "Request-Id": uid()}
    for path in ("/ucp/food/establishments", "/ucp/shopping/orders/none"):
        found = client.get(path, headers=headers)
        covered = verify(_Answer(200, dict(found.headers)), found.data, keys)
        assert covered == {"@status", "content-type", "content-digest"}
    for method, path, status in (("PATCH", CHECKOUTS, 405), ("GET", "/ucp/shopping/nothing", 404)):
        found = client.open(path, method=method, headers=headers)
        assert verify(_Answer(status, dict(found.headers)), found.data, keys)
    refused = client.get("/ucp/food/establishments")
    assert verify(_Answer(401, dict(refused.headers)), refused.data, keys)
    plain = serve()
    assert "Signature" not in plain.create(item("cookie"), face="shopping").headers
