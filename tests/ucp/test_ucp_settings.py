"""The settings of UCP: who may order through it, and whose profiles are fetched."""

from __future__ import annotations

import pytest

from levelup_ov.config import ConfigError, load_settings
from tests.ucp.agent_platform import new_key

AGENTS, PROFILES = "LEVELUP_OV_UCP_AGENTS", "LEVELUP_OV_UCP_PROFILES"
URL, LINKS, SIGNING = "LEVELUP_OV_UCP_URL", "LEVELUP_OV_UCP_LINKS", "LEVELUP_OV_UCP_SIGNING_KEYS"


def test_ucp_is_off_unless_it_has_agents(environ: dict[str, str]) -> None:
    assert not load_settings(environ).agents
    keys = "lunch=a-key-of-the-agent,dinner=another-key-of-one"
    settings = load_settings({**environ, AGENTS: keys, PROFILES: "Agents.example, agents.example:8443"})
    assert {name: key.reveal() for name, key in settings.agents.items()} == {
        "lunch": "a-key-of-the-agent",
        "dinner": "another-key-of-one",
    }
    assert settings.agent_profiles == ("https://agents.example", "https://agents.example:8443")
    assert {"a-key-of-the-agent", "another-key-of-one"} <= {secret.reveal() for secret in settings.secrets()}
    shown = load_settings({**environ, URL: "https://orders.example/", LINKS: "terms_of_service=https://a.example/t"})
    assert (shown.agent_url, shown.agent_links) == (
        "https://orders.example",
        {"terms_of_service": "https://a.example/t"},
    )
    local = load_settings({**environ, PROFILES: "http://127.0.0.1:9000"})
    assert local.agent_profiles == ("http://127.0.0.1:9000",)


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({AGENTS: "a-key-without-a-name"}, "entry 1 is not NAME=key"),
        ({AGENTS: "lunch=short", "LEVELUP_OV_ENV": "production"}, "could be guessed"),
        ({AGENTS: "lunch=kéy-of-an-agent-"}, "not valid in a header"),
        ({AGENTS: "lunch=dev-key"}, "a key of another variable"),
        ({AGENTS: "a=the-same-key-for-two", "LEVELUP_OV_CONSOLE_KEYS": "o=the-same-key-for-two"}, "another variable"),
        ({AGENTS: "lunch=the-same-key-twice,dinner=the-same-key-twice"}, "give each agent one key"),
        ({PROFILES: "http://agents.example"}, "without TLS"),
        ({PROFILES: "http://127.0.0.1", "LEVELUP_OV_ENV": "production"}, "without TLS"),
        ({PROFILES: "agents.example/profiles"}, "not a host"),
        ({PROFILES: "user@agents.example"}, "not a host"),
        ({PROFILES: "agents.example:port"}, "not a host"),
        ({AGENTS: "lunch=a-key-of-the-agent", "LEVELUP_OV_ENV": "production"}, "LEVELUP_OV_UCP_URL: is not set"),
        ({URL: "http://orders.example", "LEVELUP_OV_ENV": "production"}, "is not https"),
        ({URL: "https://key@orders.example"}, "is not an http(s) address"),
        ({LINKS: "https://orders.example/privacy"}, "entry 1 is not TYPE=address"),
        ({SIGNING: f"{new_key()},AAAA"}, "key 2 is not a P-256 key"),
        ({SIGNING: "not-base64"}, "key 1 is not a P-256 key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_of_ucp_are_checked(environ: dict[str, str], variables: dict[str, str], wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({**environ, **variables})
    assert wrong in str(refused.value)
