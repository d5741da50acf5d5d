"""What is wrong with the settings of events (EVT-7, EVT-8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelup_ov.config import ConfigError, load_settings, new_secret_key
from tests.events.conftest import OLD_SECRET, ON, OPERATOR_SECRET, SECRET

URL, SECRETS = ON
OPERATOR = "LEVELUP_OV_OPERATOR"
PLACE = "LEVELUP_OV_OPERATOR, or an account's operator"


def mistakes(environ: dict[str, str], **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_settings({**environ, **variables})
    return [mistake.removeprefix("environment, ") for mistake in error.value.mistakes]


@pytest.mark.rule("EVT-7", "ERR-4")
@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({URL: "receiver.example"}, f"{URL}: is not an https address"),
        ({URL: "https://user:canary@receiver.example"}, f"{URL}: holds credentials"),
        ({URL: "https://receiver.example", SECRETS: ""}, f"{SECRETS}: is not set"),
        ({SECRETS: "canary-canary"}, f"{SECRETS}: secret 1 is not whsec_ and 24 to 64 bytes"),
        ({SECRETS: "whsec_Y2FuYXJ5"}, f"{SECRETS}: secret 1 is not whsec_ and 24 to 64 bytes"),
        ({SECRETS: ",".join([SECRET, OLD_SECRET, OPERATOR_SECRET])}, f"{SECRETS}: has 3 secrets"),
        ({OPERATOR: "kitchen@diner.example"}, f"{PLACE}: is an e-mail address; set LEVELUP_OV_SMTP_URL"),
        ({OPERATOR: "kitchen"}, f"{PLACE}: is not an https address"),
        ({OPERATOR: "https://diner.example"}, f"{PLACE}: needs LEVELUP_OV_OPERATOR_SECRETS"),
        (
            {OPERATOR: "https://diner.example", "LEVELUP_OV_OPERATOR_SECRETS": SECRET},
            "LEVELUP_OV_OPERATOR_SECRETS: holds a secret of LEVELUP_OV_EVENTS_SECRETS",
        ),
        ({"LEVELUP_OV_SMTP_URL": "mail.example"}, "LEVELUP_OV_SMTP_URL: is not the address of a mail server"),
        ({"LEVELUP_OV_MAIL_FROM": "gateway"}, "LEVELUP_OV_MAIL_FROM: is not an e-mail address"),
    ],
)
def test_what_is_wrong_is_reported_without_repeating_it(
    environ: dict[str, str], variables: dict[str, str], wrong: str
) -> None:
    (mistake,) = mistakes(environ, **{**ON, **variables})
    assert mistake.startswith(wrong) and "canary" not in mistake


@pytest.mark.rule("EVT-7")
def test_in_production_receivers_are_reached_by_https(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.sandbox]\nprovider = "sandbox"\nname = "Diner"\noperator = "http://diner.example"\n')
    production = {
        "LEVELUP_OV_API_KEYS": "key-of-the-channel",
        "LEVELUP_OV_SECRET_KEYS": new_secret_key(),
        "LEVELUP_OV_ACCOUNTS": str(accounts),
        "LEVELUP_OV_LEDGER": "sqlite",
        "LEVELUP_OV_DATA_DIR": str(tmp_path),
        "LEVELUP_OV_OPERATOR_SECRETS": OPERATOR_SECRET,
        SECRETS: SECRET,
    }
    found = mistakes(production, **{URL: "http://receiver.internal/events"})
    assert [mistake.partition(";")[0] for mistake in found] == [f"{URL}: is not https", f"{PLACE}: is not https"]
    accounts.write_text(
        '[accounts.sandbox]\nprovider = "sandbox"\nname = "Diner"\noperator = "https://diner.example"\n'
    )
    settings = load_settings({**production, URL: "http://127.0.0.1:9000/events"})
    assert settings.events.operators["sandbox"].reveal() == "https://diner.example"
    assert SECRET not in repr(settings) and "diner.example" not in repr(settings)


@pytest.mark.rule("EVT-8")
@pytest.mark.parametrize("value", ["7", '"env:NOT_THERE"'])
def test_an_operator_that_cannot_be_read_is_a_mistake(environ: dict[str, str], tmp_path: Path, value: str) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(f'[accounts.sandbox]\nprovider = "sandbox"\nname = "Diner"\noperator = {value}\n')
    (mistake,) = mistakes(environ, LEVELUP_OV_ACCOUNTS=str(accounts))
    assert "accounts.sandbox.operator: " in mistake
