"""What an agent's header and profile mean: no server, no network."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.ucp.negotiation import Agent, negotiate, read_agent
from levelup_ov.ucp.problems import BusinessOutcome, Rejected
from levelup_ov.ucp.versions import CAPABILITIES, FOOD_VERSION, SHOPPING_VERSION

URL = "https://agents.example/profile.json"
AGENT = Agent(URL)
CHECKOUT, ORDER = "dev.ucp.shopping.checkout", "dev.ucp.shopping.order"
FOOD, WINDOWS = "dev.ucp.food.checkout", "dev.ucp.food.fulfillment"


def profile(version: str = SHOPPING_VERSION, **capabilities: str) -> dict[str, Any]:
    """A profile with capabilities, each at a version; a name is written with _ for its dots."""
    declared = {name.replace("_", "."): [{"version": each}] for name, each in capabilities.items()}
    return {"ucp": {"version": version, "capabilities": declared}}


@pytest.mark.rule("UCP-2")
@pytest.mark.parametrize(
    ("header", "agent"),
    [
        (f'profile="{URL}"', Agent(URL)),
        (f'profile="{URL}"; version="{SHOPPING_VERSION}"', Agent(URL, SHOPPING_VERSION)),
        (f'version="{FOOD_VERSION}", profile="{URL}"', Agent(URL, FOOD_VERSION)),
    ],
)
def test_a_header_names_its_agent(header: str, agent: Agent) -> None:
    assert read_agent(header) == agent


@pytest.mark.rule("UCP-2")
@pytest.mark.parametrize(
    ("header", "code", "status"),
    [
        (None, "invalid_profile_url", 400),
        ("", "invalid_profile_url", 400),
        ("profile=https://agents.example", "invalid_profile_url", 400),
        (f'name="{URL}"', "invalid_profile_url", 400),
        ('profile="http://agents.example/p"', "invalid_profile_url", 400),
        ('profile="https:///p"', "invalid_profile_url", 400),
        ('profile="https://me@agents.example/p"', "invalid_profile_url", 400),
        ('profile="https://agents.example:port/p"', "invalid_profile_url", 400),
        ('profile="https://[agents/p"', "invalid_profile_url", 400),
        (f'profile="{URL}{"x" * 2000}"', "invalid_profile_url", 400),
        (f'profile="{URL}"; version="2024-01-01"', "version_unsupported", 422),
        (f'profile="{URL}"; version="draft"', "version_unsupported", 422),
    ],
    ids=range(12),
)
def test_a_header_that_names_no_agent_is_refused(header: str | None, code: str, status: int) -> None:
    with pytest.raises(Rejected) as refused:
        read_agent(header)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.body()["content"]


@pytest.mark.rule("UCP-2")
@pytest.mark.parametrize("header", [None, "lunch-bot/1.0", f'name="{URL}"'])
def test_a_refused_header_shows_one_that_is_accepted(header: str | None) -> None:
    with pytest.raises(Rejected) as refused:
        read_agent(header)
    shown = refused.value.body()["content"].partition("send ")[2]
    assert read_agent(shown).profile


@pytest.mark.rule("UCP-3")
@pytest.mark.parametrize(
    ("declared", "shared"),
    [
        (None, set(CAPABILITIES)),
        (profile(dev_ucp_shopping_checkout=SHOPPING_VERSION), {CHECKOUT}),
        (profile(dev_ucp_shopping_checkout=SHOPPING_VERSION, dev_ucp_shopping_order="2026-01-11"), {CHECKOUT}),
        (profile(FOOD_VERSION, dev_ucp_food_checkout=FOOD_VERSION, dev_ucp_food_fulfillment=FOOD_VERSION),
         {FOOD, WINDOWS}),
        (profile(dev_ucp_shopping_order=SHOPPING_VERSION, dev_ucp_food_fulfillment=FOOD_VERSION), {ORDER}),
        (profile(dev_ucp_shopping_checkout=SHOPPING_VERSION, org_example_loyalty="2026-01-01"), {CHECKOUT}),
    ],
    ids=range(6),
)  # fmt: skip
def test_only_what_both_have_is_used(declared: dict[str, Any] | None, shared: set[str]) -> None:
    assert negotiate(AGENT, declared).capabilities == shared


@pytest.mark.rule("UCP-3")
def test_an_operation_needs_its_capability() -> None:
    negotiated = negotiate(AGENT, profile(dev_ucp_shopping_order=SHOPPING_VERSION))
    negotiated.require(ORDER)
    with pytest.raises(BusinessOutcome) as refused:
        negotiated.require(CHECKOUT)
    assert refused.value.messages[0].code == "capabilities_incompatible"
    assert negotiated.relevant((CHECKOUT, ORDER)) == {ORDER: [{"version": SHOPPING_VERSION}]}


@pytest.mark.rule("UCP-3")
@pytest.mark.parametrize(
    "declared", [profile(), profile(dev_ucp_food_fulfillment=FOOD_VERSION), profile(dev_ucp_shopping_checkout="1")]
)
def test_an_agent_that_shares_nothing_gets_an_explanation(declared: dict[str, Any]) -> None:
    with pytest.raises(BusinessOutcome) as refused:
        negotiate(AGENT, declared)
    message = refused.value.messages[0].wire()
    assert (message["code"], message["severity"]) == ("capabilities_incompatible", "unrecoverable")


@pytest.mark.rule("UCP-3")
@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({}, "profile_malformed"),
        ({"ucp": []}, "profile_malformed"),
        ({"ucp": {"version": SHOPPING_VERSION, "capabilities": []}}, "profile_malformed"),
        ({"ucp": {"version": SHOPPING_VERSION, "capabilities": {CHECKOUT: {}}}}, "profile_malformed"),
        ({"ucp": {"version": SHOPPING_VERSION, "capabilities": {CHECKOUT: [{}]}}}, "profile_malformed"),
        (profile("2024-01-01"), "version_unsupported"),
    ],
    ids=range(6),
)
def test_a_profile_that_cannot_be_used_is_refused(declared: Any, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        negotiate(AGENT, declared)
    assert (refused.value.code, refused.value.status) == (code, 422)
