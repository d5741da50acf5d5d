"""The configuration: read once, whole, and with every mistake reported before the first request."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from levelup_ov.adapter import Account
from levelup_ov.app import create_app
from levelup_ov.config import DEVELOPMENT_API_KEY, VARIABLES, ConfigError, Settings, load_settings
from levelup_ov.domain.secret import Secret

ROOT = Path(__file__).parents[1]
KEY = base64.urlsafe_b64encode(hashlib.sha256(b"tests").digest()).decode()
"""The same in every process: it is part of the names of tests."""
API_KEY = "canary-api-key-of-the-channel"
PROVIDER_KEY = "canary-key-of-the-provider"
ACCOUNTS = """
[accounts.diner]
provider = "sandbox"
name = "Diner"
time_zone = "America/New_York"
accepts_tips = false
[accounts.diner.settings]
base_url = "https://engine.example/v1/"
api_key = "env:DINER_KEY"
"""


@pytest.fixture
def production(tmp_path: Path) -> dict[str, str]:
    """A sound environment of production."""
    (tmp_path / "accounts.toml").write_text(ACCOUNTS, encoding="utf-8")
    return {
        "LEVELUP_OV_API_KEYS": f"{API_KEY}, another-key",
        "LEVELUP_OV_SECRET_KEYS": KEY,
        "LEVELUP_OV_ACCOUNTS": str(tmp_path / "accounts.toml"),
        "LEVELUP_OV_LEDGER": "sqlite",
        "LEVELUP_OV_DATA_DIR": str(tmp_path / "data"),
        "DINER_KEY": PROVIDER_KEY,
    }


@pytest.fixture
def development(tmp_path: Path) -> dict[str, str]:
    return {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path / "data")}


def mistakes(environ: dict[str, str], accounts: str | None = None) -> tuple[str, ...]:
    if accounts is not None:
        Path(environ["LEVELUP_OV_ACCOUNTS"]).write_text(accounts, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    assert len(set(caught.value.mistakes)) == len(caught.value.mistakes)
    for mistake in caught.value.mistakes:
        assert re.fullmatch(r"[^:]+: .+; .+", mistake, re.DOTALL), f"place, fault and remedy: {mistake}"
    return caught.value.mistakes


def the_mistake(environ: dict[str, str], accounts: str | None = None) -> str:
    (mistake,) = mistakes(environ, accounts)
    return mistake


def test_production_reads_what_is_given(production: dict[str, str]) -> None:
    settings = load_settings(production)
    assert not settings.development
    assert [key.reveal() for key in settings.api_keys] == [API_KEY, "another-key"]
    assert settings.secret_keys == (Secret(KEY),)
    assert settings.accounts["diner"].account == Account(
        "diner",
        "sandbox",
        "Diner",
        {"base_url": "https://engine.example/v1", "api_key": Secret(PROVIDER_KEY)},
        "America/New_York",
        False,
    )
    assert not (Path(production["LEVELUP_OV_DATA_DIR"]) / "secret-keys").exists()


@pytest.mark.rule("EP-6", "META-7")
def test_production_without_anything_names_all_that_is_missing(tmp_path: Path) -> None:
    found = mistakes({"LEVELUP_OV_DATA_DIR": str(tmp_path)})
    assert sorted(mistake.partition(":")[0] for mistake in found) == [
        "environment, DATABASE_URL",
        "environment, LEVELUP_OV_ACCOUNTS",
        "environment, LEVELUP_OV_API_KEYS",
        "environment, LEVELUP_OV_SECRET_KEYS",
    ]


@pytest.mark.rule("EP-6")
def test_development_has_a_key_and_the_sandbox(development: dict[str, str]) -> None:
    settings = load_settings(development)
    assert settings.development
    assert settings.api_keys == (Secret(DEVELOPMENT_API_KEY),)
    assert list(settings.accounts) == ["sandbox"]


def test_what_is_not_set_has_the_documented_default(production: dict[str, str]) -> None:
    settings = load_settings(production)
    documented = {variable.name: variable.default for variable in VARIABLES}
    assert settings.validation_deadline == float(documented["LEVELUP_OV_VALIDATION_DEADLINE"]) == 14
    assert settings.submission_deadline == float(documented["LEVELUP_OV_SUBMISSION_DEADLINE"]) == 25
    assert settings.reading_deadline == float(documented["LEVELUP_OV_READING_DEADLINE"])
    assert settings.locations_ttl == float(documented["LEVELUP_OV_LOCATIONS_TTL"])
    assert settings.threads == int(documented["LEVELUP_OV_THREADS"])
    assert settings.log_level == documented["LEVELUP_OV_LOG_LEVEL"]
    assert (settings.response_envelope, settings.refuse_fees) == (True, False)


@pytest.mark.rule("SUB-6", "EP-10", "MONEY-9")
@pytest.mark.parametrize(
    "name, value, setting, expected",
    [
        ("LEVELUP_OV_VALIDATION_DEADLINE", "2.5", "validation_deadline", 2.5),
        ("LEVELUP_OV_SUBMISSION_DEADLINE", "60", "submission_deadline", 60),
        ("LEVELUP_OV_READING_DEADLINE", "3", "reading_deadline", 3),
        ("LEVELUP_OV_LOCATIONS_TTL", "0", "locations_ttl", 0),
        ("LEVELUP_OV_FEES", "refuse", "refuse_fees", True),
        ("RESPONSE_ENVELOPE", "false", "response_envelope", False),
        ("RESPONSE_ENVELOPE", "FALSE", "response_envelope", False),
        ("RESPONSE_ENVELOPE", "0", "response_envelope", False),
        ("RESPONSE_ENVELOPE", " true ", "response_envelope", True),
        ("LEVELUP_OV_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LEVELUP_OV_THREADS", "8", "threads", 8),
        ("LEVELUP_OV_RECONCILE_GRACE", "5", "reconcile_grace", 5),
        ("LEVELUP_OV_PROXY", "http://u:w@proxy.example:3128", "proxy", Secret("http://u:w@proxy.example:3128")),
        ("REDIS_URL", "redis://:w@cache.example:6379/0", "redis", Secret("redis://:w@cache.example:6379/0")),
        ("REDIS_URL", "rediss://cache.example", "redis", Secret("rediss://cache.example")),
        ("LEVELUP_OV_ENV", "production", "development", False),
        ("LEVELUP_OV_ADAPTERS", "sandbox", "development", False),
    ],
)
def test_settings_are_read(production: dict[str, str], name: str, value: str, setting: str, expected: object) -> None:
    assert getattr(load_settings({**production, name: value}), setting) == expected


def test_every_variable_is_documented_and_empty_means_unset(production: dict[str, str]) -> None:
    assert all(variable.meaning for variable in VARIABLES)
    unset = {variable.name: " " for variable in VARIABLES if variable.name not in production}
    assert load_settings({**unset, **production}).threads == 64


@pytest.mark.rule("EP-6", "META-7")
@pytest.mark.parametrize(
    "name, value, said",
    [
        ("LEVELUP_OV_ENV", "prod", "production, development"),
        ("LEVELUP_OV_API_KEYS", "", "open to everybody"),
        ("LEVELUP_OV_API_KEYS", " , ", "open to everybody"),
        ("LEVELUP_OV_API_KEYS", "schlüssel", "is not valid in a header"),
        ("LEVELUP_OV_API_KEYS", "two words", "is not valid in a header"),
        ("LEVELUP_OV_SECRET_KEYS", "", "could not be opened after a restart"),
        ("LEVELUP_OV_SECRET_KEYS", f"{KEY},{KEY[:-8]}", "key 2 is not 32 bytes"),
        ("LEVELUP_OV_SECRET_KEYS", "not base64!", "key 1 is not 32 bytes"),
        ("LEVELUP_OV_SECRET_KEYS", f'"{KEY}"', "key 1 is not 32 bytes in base64; write it without quotes"),
        ("LEVELUP_OV_VALIDATION_DEADLINE", "soon", "'soon'"),
        ("LEVELUP_OV_VALIDATION_DEADLINE", "0", "0.1 to 600"),
        ("LEVELUP_OV_SUBMISSION_DEADLINE", "nan", "'nan'"),
        ("LEVELUP_OV_READING_DEADLINE", "1e9", "0.1 to 600"),
        ("LEVELUP_OV_LOCATIONS_TTL", "-1", "'-1'"),
        ("LEVELUP_OV_THREADS", "0", "1 to 1024"),
        ("LEVELUP_OV_FEES", "drop", "add, refuse"),
        ("RESPONSE_ENVELOPE", "perhaps", "true, false"),
        ("LEVELUP_OV_LOG_LEVEL", "LOUD", "DEBUG, INFO"),
        ("LEVELUP_OV_PROXY", "proxy:3128", "http://host:port"),
        ("LEVELUP_OV_PROXY", "http://proxy:port", "http://host:port"),
        ("REDIS_URL", "http://cache.example", "redis://host:port"),
        ("REDIS_URL", "redis://cache.example:port", "redis://host:port"),
        ("LEVELUP_OV_ADAPTERS", "vanished", "'vanished'"),
        ("LEVELUP_OV_ADAPTERS", "sandbox=elsewhere:Adapter", "claimed twice"),
        ("LEVELUP_OV_ACCOUNTS", "", "path of the accounts file"),
        ("LEVELUP_OV_ACCOUNTS", "/nowhere/accounts.toml", "cannot be read"),
        ("LEVELUP_OV_LEDGER", "", "DATABASE_URL"),
        ("WEB_CONCURRENCY", "many", "1 to 1024"),
        ("PORT", "http", "0 to 65535"),
        ("DATABASE_URL", "mysql://somewhere", "DATABASE_URL"),
        ("LEVELUP_OV_TREADS", "8", "did you mean LEVELUP_OV_THREADS?"),
        ("DINER_KEY", "", "refers to DINER_KEY, which is not set"),
    ],
)
def test_a_mistake_in_the_environment(production: dict[str, str], name: str, value: str, said: str) -> None:
    environ = {**production, name: value}
    if name == "DATABASE_URL":
        del environ["LEVELUP_OV_LEDGER"]
    assert said in the_mistake(environ)


def changed(old: str, new: str) -> str:
    assert old in ACCOUNTS
    return ACCOUNTS.replace(old, new)


@pytest.mark.parametrize(
    "accounts, key, said",
    [
        ("", "accounts", "does not name any account"),
        ("accounts = 1", "accounts", "does not name any account"),
        ("[accounts]\ndiner = 1", "accounts.diner", "[accounts.NAME]"),
        (ACCOUNTS + "[other]\n", "other", "[accounts.NAME]"),
        ("[accounts", "", "is not TOML"),
        (ACCOUNTS.replace("diner", "Diner"), "accounts.Diner", "1 to 32 of a-z"),
        (ACCOUNTS.replace("diner", '"a.b"'), "accounts.a.b", "1 to 32 of a-z"),
        (changed('name = "Diner"', ""), "accounts.diner.name", "merchant's name"),
        (changed('"sandbox"', '"sandbax"'), "accounts.diner.provider", "sandbox"),
        (changed('provider = "sandbox"', ""), "accounts.diner.provider", "is missing"),
        (changed("America/New_York", "America/Boston"), "accounts.diner.time_zone", "America/New_York"),
        (changed('"America/New_York"', "5"), "accounts.diner.time_zone", "is not a time zone"),
        (changed("false", '"no"'), "accounts.diner.accepts_tips", "true or false"),
        (changed("accepts_tips = false", 'currency = "dollars"'), "accounts.diner.currency", "ISO 4217 such as USD"),
        (changed("accepts_tips", "accept_tips"), "accounts.diner.accept_tips", "did you mean accepts_tips?"),
        (changed("base_url", "base_uri"), "accounts.diner.settings.base_uri", "did you mean base_url?"),
        (changed('"https://engine.example/v1/"', "5"), "accounts.diner.settings.base_url", "write it in quotes"),
        (changed("https://", "ftp://"), "accounts.diner.settings.base_url", "https://host/path"),
        (changed("https://", "https://me:word@"), "accounts.diner.settings.base_url", "holds credentials"),
        (changed("env:DINER_KEY", "env:DINNER_KEY"), "accounts.diner.settings.api_key", "DINNER_KEY"),
        (changed("env:DINER_KEY", PROVIDER_KEY), "accounts.diner.settings.api_key", 'write "env:NAME"'),
        ('[accounts.diner]\nprovider="sandbox"\nname="D"\nsettings=1', "accounts.diner.settings", "is not a table"),
    ],
)
def test_a_mistake_in_the_accounts_file_has_file_key_and_remedy(
    production: dict[str, str], accounts: str, key: str, said: str
) -> None:
    mistake = the_mistake(production, accounts)
    place = mistake.partition(":")[0]
    assert place == production["LEVELUP_OV_ACCOUNTS"] + (f", {key}" if key else "")
    assert said in mistake
    assert PROVIDER_KEY not in mistake


def test_an_accounts_file_that_is_not_utf8(production: dict[str, str]) -> None:
    Path(production["LEVELUP_OV_ACCOUNTS"]).write_bytes(b'name = "\xff"')
    assert "is not TOML in UTF-8" in the_mistake(production)


def test_a_required_setting_is_asked_for_with_its_meaning(production: dict[str, str]) -> None:
    found = mistakes(production, '[accounts.kitchen]\nprovider = "fftp"\nname = "Kitchen"\n')
    assert any("accounts.kitchen.settings.base_url: is missing; set it: " in mistake for mistake in found)


def test_all_mistakes_of_environment_and_file_come_at_once(production: dict[str, str]) -> None:
    environ = {**production, "LEVELUP_OV_THREADS": "many", "LEVELUP_OV_FEES": "drop", "LEVELUP_OV_API_KEYS": ""}
    second = '[accounts.two]\nprovider = "none"\nnam = "Two"\n'
    found = mistakes(environ, changed('name = "Diner"', 'nome = "Diner"') + second)
    assert [mistake.partition(":")[0].rpartition(", ")[2] for mistake in found] == [
        "accounts.diner.nome",
        "accounts.diner.name",
        "accounts.two.nam",
        "accounts.two.name",
        "accounts.two.provider",
        "LEVELUP_OV_API_KEYS",
        "LEVELUP_OV_FEES",
        "LEVELUP_OV_THREADS",
    ]


@pytest.mark.rule("SUB-2")
def test_what_replaces_the_ledger_is_reported_in_full(production: dict[str, str]) -> None:
    first, second = mistakes({**production, "LEVELUP_OV_LEDGER": "mysql"})
    assert "LEVELUP_OV_LEDGER: is 'mysql'" in first and "DATABASE_URL: is not set" in second


@pytest.mark.rule("META-7")
def test_the_development_key_is_kept_for_its_owner_alone(development: dict[str, str]) -> None:
    first = load_settings(development).secret_keys
    kept = Path(development["LEVELUP_OV_DATA_DIR"]) / "secret-keys"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert load_settings(development).secret_keys == first == (Secret(kept.read_text()),)
    assert [path.name for path in kept.parent.iterdir() if "secret" in path.name] == ["secret-keys"]


def test_what_the_service_keeps_is_for_its_owner_alone(development: dict[str, str], production: dict[str, str]) -> None:
    data = Path(development["LEVELUP_OV_DATA_DIR"])
    validated(load_settings(development))
    assert _modes(data) == {0o700, 0o600}
    shutil.rmtree(data)
    assert run([*COMMAND, "ledger", "upgrade"], production).returncode == 0
    assert _modes(data) == {0o700, 0o600}


def _modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}


@pytest.mark.rule("META-7")
def test_two_processes_that_start_at_once_have_the_same_key(development: dict[str, str]) -> None:
    program = "from levelup_ov.config import load_settings; print(load_settings().secret_keys[0].reveal())"

    def started(_: int) -> str:
        return run([sys.executable, "-c", program], development).stdout

    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(started, range(4)))
    assert len(keys) == 1 and len(keys.pop().strip()) == 44


def test_a_directory_that_cannot_be_written_is_a_mistake(development: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = mistakes({**development, "LEVELUP_OV_DATA_DIR": str(tmp_path / "file" / "data")})
    assert any("set LEVELUP_OV_DATA_DIR to a writable directory" in mistake for mistake in found)


@pytest.mark.rule("ERR-4", "META-7")
def test_settings_can_be_printed(production: dict[str, str]) -> None:
    addresses = {"LEVELUP_OV_PROXY": "http://me:canary-word@proxy", "REDIS_URL": "redis://:canary-word@cache"}
    settings = load_settings({**production, **addresses})
    shown = repr(settings) + repr({name: adapter.account for name, adapter in settings.accounts.items()})
    assert not any(canary in shown for canary in (API_KEY, PROVIDER_KEY, KEY, "canary-word"))


@pytest.mark.rule("EP-10")
@pytest.mark.parametrize("envelope", ["true", "false"])
def test_the_envelope_of_answers_is_a_setting(development: dict[str, str], envelope: str) -> None:
    settings = load_settings({**development, "RESPONSE_ENVELOPE": envelope})
    answer = validated(settings)
    flat = answer["order_validation"] if envelope == "true" else answer
    assert flat["total"] == 1000
    assert ("order_validation" in answer) == (envelope == "true")


def validated(settings: Settings) -> dict:
    order = {
        "items": [{"item": {"provider_id": "sandwich", "quantity": 1}}],
        "user": {"name": "Ada Example", "email": "ada@example.com"},
    }
    response = (
        create_app(settings)
        .test_client()
        .post(
            "/locations/sandbox.congress/order_validations",
            json={"order_validation": order},
            headers={"Authorization": f"token {DEVELOPMENT_API_KEY}"},
        )
    )
    assert response.status_code == 200, response.text
    return response.get_json()


def run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command of the virtual environment, in the project's directory, with this environment and no other."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(command, cwd=ROOT, env={"PATH": path, **environ}, capture_output=True, text=True, timeout=30)


COMMAND = [sys.executable, "-m", "levelup_ov"]
CHECK = [*COMMAND, "config", "check"]


def test_config_check_says_that_all_is_sound(production: dict[str, str]) -> None:
    early = run(CHECK, production)
    assert (early.returncode, "levelup-ov ledger upgrade" in early.stderr) == (78, True)
    assert run([*COMMAND, "ledger", "upgrade"], production).returncode == 0
    key = "an-agent-of-the-tests-0123456789"
    found = run(
        CHECK, {**production, "LEVELUP_OV_UCP_AGENTS": f"lunch={key}", "LEVELUP_OV_UCP_URL": "https://a.example"}
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert "mode: production" in found.stdout
    assert "agents: lunch\n" in found.stdout
    assert "diner: Diner (sandbox, https://engine.example/v1)" in found.stdout
    assert "the configuration is valid" in found.stdout
    assert not any(canary in found.stdout for canary in (API_KEY, PROVIDER_KEY, KEY, key))


@pytest.mark.rule("EP-6", "META-7")
def test_config_check_lists_every_mistake_without_traceback(production: dict[str, str]) -> None:
    found = run(CHECK, {**production, "LEVELUP_OV_API_KEYS": "", "LEVELUP_OV_SECRET_KEYS": "", "DINER_KEY": ""})
    assert found.returncode == ConfigError.exit_code
    assert "the configuration has 3 mistakes" in found.stderr
    assert all(name in found.stderr for name in ("LEVELUP_OV_API_KEYS", "LEVELUP_OV_SECRET_KEYS", "DINER_KEY"))
    assert "Traceback" not in found.stderr + found.stdout


# The command line is stronger: should it start after all, then not for the whole world.
GUNICORN = ["gunicorn", "-c", "python:levelup_ov.gunicorn_conf", "--bind", "127.0.0.1:0", "wsgi:app"]


@pytest.mark.rule("EP-6", "META-7")
def test_gunicorn_does_not_start_in_production_without_keys(production: dict[str, str]) -> None:
    found = run(GUNICORN, {**production, "LEVELUP_OV_API_KEYS": "", "LEVELUP_OV_SECRET_KEYS": ""})
    assert found.returncode == ConfigError.exit_code
    assert "the configuration has 2 mistakes" in found.stderr
    assert "Traceback" not in found.stderr + found.stdout
    assert PROVIDER_KEY not in found.stderr + found.stdout


@pytest.mark.rule("SUB-2")
def test_gunicorn_does_not_start_over_a_missing_ledger(production: dict[str, str]) -> None:
    Path(production["LEVELUP_OV_DATA_DIR"]).mkdir()
    found = run(GUNICORN, production)
    assert found.returncode == ConfigError.exit_code
    assert "ledger upgrade" in found.stderr
    assert "Traceback" not in found.stderr + found.stdout


def test_gunicorn_does_not_start_on_an_invalid_port(development: dict[str, str]) -> None:
    found = run(GUNICORN, {**development, "PORT": "http"})
    assert found.returncode == ConfigError.exit_code
    assert "environment, PORT: is 'http'" in found.stderr
    assert "Traceback" not in found.stderr + found.stdout


def test_gunicorn_does_not_start_on_a_port_in_use(development: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run([*GUNICORN[:3], "wsgi:app"], {**development, "PORT": str(port)})
    assert found.returncode == ConfigError.exit_code
    assert f"environment, PORT: {port} is in use" in found.stderr
    assert "Traceback" not in found.stderr + found.stdout


def test_settings_refused_by_the_adapter_are_a_mistake(
    production: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, account: Account) -> None:
        raise ValueError("base_url and api_key are of two different engines")

    monkeypatch.setattr("adapters.sandbox.SandboxAdapter.__init__", refuse)

    reported = "accounts.diner.settings: base_url and api_key are of two different engines; correct the settings"
    assert the_mistake(production) == f"{production['LEVELUP_OV_ACCOUNTS']}, {reported}"
