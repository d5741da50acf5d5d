"""Where web checkout is off, and what is wrong with its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import ConfigError, load_settings, new_secret_key
from tests.channel import Channel
from tests.checkout.site import VARIABLES

URL, API_KEY, CLIENT_SECRET, RETURN_URL = VARIABLES


def test_without_settings_there_is_no_web_checkout(environ: dict[str, str]) -> None:
    app = create_app(load_settings(environ))
    assert Channel(app).get("/checkout/merchants").refusal == (404, "not_found", None)
    result = app.test_cli_runner().invoke(args=["checkout", "reconcile"])
    assert (result.exit_code, result.output) == (78, f"Error: web checkout is not configured: {URL} is not set\n")


def test_a_slash_at_the_end_does_not_matter(environ: dict[str, str]) -> None:
    settings = load_settings({**environ, **VARIABLES, RETURN_URL: "https://orders.example/"})
    assert settings.checkout is not None
    assert settings.checkout.return_url == "https://orders.example"
    assert VARIABLES[CLIENT_SECRET] not in repr(settings)


@pytest.mark.parametrize("missing", VARIABLES)
def test_all_settings_or_none(environ: dict[str, str], missing: str) -> None:
    (mistake,) = mistakes({**environ, **VARIABLES, missing: ""})
    assert mistake == f"environment, {missing}: is not set; set all of LEVELUP_OV_CHECKOUT_*, or none"


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        (URL, "levelup.example", "is not an http(s) address"),
        (URL, "https://levelup.example?key=1", "is not an http(s) address"),
        (RETURN_URL, "ftp://orders.example", "is not an http(s) address"),
        (URL, "https://user:canary@levelup.example", "holds credentials"),
        (API_KEY, "k\u00e9y", "contains characters that are not valid in a key"),
        (CLIENT_SECRET, "canary\tcanary", "contains characters that are not valid in a key"),
    ],
)
def test_what_is_wrong_is_reported_without_repeating_it(
    environ: dict[str, str], name: str, value: str, wrong: str
) -> None:
    (mistake,) = mistakes({**environ, **VARIABLES, name: value})
    assert mistake.startswith(f"environment, {name}: {wrong};") and "canary" not in mistake


@pytest.mark.rule("SUB-6")
def test_a_deadline_leaves_time_to_place_and_to_refund(environ: dict[str, str]) -> None:
    short = {**environ, "LEVELUP_OV_SUBMISSION_DEADLINE": "6"}
    assert load_settings(short).submission_deadline == 6
    (mistake,) = mistakes({**short, **VARIABLES})
    assert mistake.startswith("environment, LEVELUP_OV_SUBMISSION_DEADLINE: is 6,") and "at least 7" in mistake
    assert load_settings({**short, **VARIABLES, "LEVELUP_OV_SUBMISSION_DEADLINE": "7"}).checkout is not None


def test_in_production_both_addresses_are_https(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.sandbox]\nprovider = "sandbox"\nname = "Sandbox Diner"\n')
    production = {
        "LEVELUP_OV_API_KEYS": "key-of-the-channel",
        "LEVELUP_OV_SECRET_KEYS": new_secret_key(),
        "LEVELUP_OV_ACCOUNTS": str(accounts),
        "LEVELUP_OV_LEDGER": "sqlite",
        "LEVELUP_OV_DATA_DIR": str(tmp_path / "data"),
        **VARIABLES,
    }
    found = mistakes({**production, RETURN_URL: "http://orders.example"})
    assert [mistake.partition(";")[0] for mistake in found] == [
        f"environment, {URL}: is not https",
        f"environment, {RETURN_URL}: is not https",
    ]
    secure = {URL: "https://levelup.example", RETURN_URL: "https://orders.example"}
    assert load_settings({**production, **secure}).checkout is not None


def mistakes(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    return caught.value.mistakes
