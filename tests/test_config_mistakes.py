"""Mistakes of an operator in a hurry: all are reported at once, with place and remedy, and repeat no secret."""

from __future__ import annotations

import base64
import os
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.sandbox import SandboxAdapter
from levelup_ov.accounts import MOST_ACCOUNTS
from levelup_ov.adapter import Account, Location
from levelup_ov.cli.run import run as serve
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.ordering.locations import _routed
from tests.test_config import (
    ACCOUNTS,
    CHECK,
    COMMAND,
    GUNICORN,
    KEY,
    PROVIDER_KEY,
    changed,
    development,
    mistakes,
    production,
    run,
    the_mistake,
)

__all__ = ["development", "production"]
TOKEN = "sk9live8QpX72mvT41ZcB"
"""Looks like a secret, and may be in any wrong place."""


@pytest.mark.rule("EP-6", "META-7")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEB_CONCURRENCY", "abc", "whole number from 1"),
        ("WEB_CONCURRENCY", "1.5", "whole number from 1"),
        ("LEVELUP_OV_THREADS", "8.5", "whole number from 1"),
        ("LEVELUP_OV_THREADS", "1e2", "whole number from 1"),
        ("LEVELUP_OV_ACCOUNT_SHARE", "half", "whole number from 1 to 100"),
        ("PORT", "'8000'", "without quotes"),
        ("LEVELUP_OV_SUBMISSION_DEADLINE", "1.5", "from 2.5 to 600"),
        ("LEVELUP_OV_SUBMISSION_DEADLINE", '"25"', "without quotes"),
        ("LEVELUP_OV_LOG_LEVEL", TOKEN, "a string of 21 characters"),
        ("LEVELUP_OV_FEES", TOKEN, "a string of 21 characters"),
        ("LEVELUP_OV_API_KEYS", '"key-of-the-channel"', "key 1 is in quotes"),
        ("LEVELUP_OV_API_KEYS", "key-of-the-channel,dev-key", "key 2 has fewer than 8 characters"),
        ("LEVELUP_OV_API_KEYS", "key-of-the-channel,key-of-the-channel", "contains a key twice"),
        ("LEVELUP_OV_API_KEYS", "${API_KEYS}", "is a placeholder"),
        ("LEVELUP_OV_API_KEYS", "changeme", "is a placeholder"),
        ("LEVELUP_OV_API_KEYS", "<your-key>", "is a placeholder"),
        ("LEVELUP_OV_API_KEYS", KEY, "the channel must not have"),
        ("LEVELUP_OV_API_KEYS", PROVIDER_KEY, "use another key for the channel"),
        ("LEVELUP_OV_SECRET_KEYS", f"{KEY},{KEY}", "contains a key twice"),
        ("LEVELUP_OV_SECRET_KEYS", base64.b64encode(bytes(32)).decode(), "key 1 is not random"),
        ("LEVELUP_OV_SECRET_KEYS", f'"{KEY}"', "key 1 is not 32 bytes"),
        ("REDIS_URL", "redis://cache.example/levelup", "not a number"),
        ("REDIS_URL", "postgresql://cache.example/0", "redis://host:port"),
        ("LEVELUP_OV_DATABASE_URL", "postgresql://u:w@db/x", "did you mean DATABASE_URL?"),
        ("LEVELUP_OV_PORT", "80", "did you mean PORT?"),
        ("levelup_ov_threads", "8", "did you mean LEVELUP_OV_THREADS?"),
        ("LEVELUP_OV_PROXY", "http://proxy.example/path", "has a path"),
        ("LEVELUP_OV_ADAPTERS", "later=nowhere_at_all:Adapter", "cannot be imported"),
        ("LEVELUP_OV_ADAPTERS", "later=levelup_ov.adapter:Nothing", "cannot be imported"),
        ("LEVELUP_OV_ADAPTERS", "later=levelup_ov.adapter:Account", "is not a subclass"),
        ("DINER_KEY", f"{PROVIDER_KEY}\n", "api_key, from the variable DINER_KEY: starts or ends with blanks"),
        ("DINER_KEY", f" {PROVIDER_KEY}", "starts or ends with blanks"),
        ("DINER_KEY", "  ", "is blank"),
        ("DINER_KEY", f'"{PROVIDER_KEY}"', "is in quotes"),
        ("DINER_KEY", f"{PROVIDER_KEY}\x00", "control characters"),
        ("DINER_KEY", "\udcff\udcfe-key", "is not UTF-8"),
        ("DINER_KEY", "$DINER_KEY", "is a placeholder"),
        ("DINER_KEY", "xxxxxxxx", "is a placeholder"),
        ("LEVELUP_OV_ACCOUNTS", "/", "cannot be read"),
        ("LEVELUP_OV_ACCOUNTS", "no-such-file", f"No such file or directory in {Path.cwd()}"),
        ("LEVELUP_OV_ACCOUNTS", "~/accounts.toml", "only a shell replaces ~"),
        ("LEVELUP_OV_DATA_DIR", "~/data", "which only a shell replaces"),
        ("LEVELUP_OV_API_KEYS", "first-long-key;second-long-key", "separate keys by commas"),
        ("LEVELUP_OV_ADAPTERS", "fftp square", "write each as NAME or NAME=package.module:Class"),
        ("LEVELUP_OV_ADAPTERS", "mine=adapters/mine.py:Mine", "write each as NAME or NAME=package.module:Class"),
        ("LEVELUP_OV_ACCOUNTS", "a\x00b", "cannot be read"),
    ],
)
def test_a_mistake_in_a_variable(production: dict[str, str], name: str, value: str, said: str) -> None:
    mistake = the_mistake({**production, name: value})
    assert said in mistake
    assert not any(secret in mistake for secret in (TOKEN, PROVIDER_KEY, KEY, "u:w@"))


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://user:canary/word@db.example/ledger", "is not escaped"),
        ("postgresql://user:canary@word@db.example/ledger", "is not escaped"),
        ("postgresql://user:canary#word@db.example/ledger", "is not escaped"),
        ("postgresql://user:canary?word@db.example/ledger", "is not escaped"),
        ("postgresql://user:canary:word@db.example/ledger", "is not escaped"),
        ("postgresql://user:canary@db.example:port/ledger", "port"),
        ("postgresql://user:canary@db.example:99999/ledger", "port"),
        ("postgresql://user:canary@db.example", "names no database"),
        ("postgresql://user:canary@db.example/ledger?sslmode=required", "did you mean require?"),
        ("sqlite://canary", "is not a valid ledger URL"),
        ("sqlite:///ledger.db?canary", "write it as sqlite:////absolute/path"),
        ("'postgresql://user:canary@db.example/ledger'", "is not a valid ledger URL"),
    ],
)
def test_a_mistake_in_the_address_of_the_ledger(production: dict[str, str], url: str, said: str) -> None:
    del production["LEVELUP_OV_LEDGER"]
    mistake = the_mistake({**production, "DATABASE_URL": url})
    assert mistake.startswith("environment, DATABASE_URL: ")
    assert said in mistake and "canary" not in mistake


@pytest.mark.parametrize(
    "url", ["postgresql://user:p%40ss%2Fword@db.example:5432/ledger?sslmode=require", "postgres://db.example/ledger"]
)
def test_a_sound_address_of_the_ledger(production: dict[str, str], url: str) -> None:
    del production["LEVELUP_OV_LEDGER"]
    assert load_settings({**production, "DATABASE_URL": url}).ledger.reveal() == url


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        (changed("https://engine.example", "http://engine.example"), "unencrypted"),
        (changed("engine.example/v1/", f"engine.example/v1?key={TOKEN}"), "has a query"),
        (changed("engine.example/v1/", f"engine.example/v1#{TOKEN}"), "has a query or a fragment"),
        (changed("env:DINER_KEY", f"env:{TOKEN}"), "refers to a variable, which is not set"),
        (changed("env:DINER_KEY", "env:AKIAIOSFODNN7EXAMPLE2"), "refers to a variable, which is not set"),
        (changed("env:DINER_KEY", "env: DINER_KEY"), "without blanks"),
        (changed("env:DINER_KEY", "env:"), "does not name a variable"),
        (changed("env:DINER_KEY", "$DINER_KEY"), 'write "env:NAME"'),
        (changed("env:DINER_KEY", TOKEN), 'write "env:NAME"'),
        (changed('provider = "sandbox"', f'provider = "{TOKEN}"'), "a string of 21 characters"),
        (changed("accepts_tips", f"{TOKEN} = 1\naccepts_tips"), "is not a key of an account"),
        (changed("accepts_tips", 'currency = "JPY"\naccepts_tips'), "is not a currency with cents"),
        (changed('name = "Diner"', 'name = "Two\\nlines"'), "one-line"),
        (changed('name = "Diner"', f'name = "{"x" * 500}"'), "one-line"),
        (changed("America/New_York", "america/new_york"), "is not a time zone"),
        (changed("America/New_York", "EST"), "is not a time zone"),
        (changed("America/New_York", "Etc/GMT+5"), "is not a time zone"),
        (changed("accepts_tips", 'api_key = "x"\naccepts_tips'), "write it under [accounts.diner.settings]"),
        ('{"accounts": {"diner": {}}}', "is JSON or YAML, not TOML"),
        ("accounts:\n  diner:\n", "is JSON or YAML, not TOML"),
    ],
)
def test_a_mistake_in_the_accounts_file(production: dict[str, str], accounts: str, said: str) -> None:
    mistake = the_mistake(production, accounts)
    assert said in mistake
    assert not any(secret in mistake for secret in (TOKEN, PROVIDER_KEY, "AKIAIOSFODNN7EXAMPLE2"))


@pytest.mark.rule("MONEY-1")
@pytest.mark.parametrize("provider", ["fftp", "square", "toast", "vendure"])
@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_a_currency_without_cents_is_refused(production: dict[str, str], provider: str, currency: str) -> None:
    account = f'[accounts.deli]\nprovider = "{provider}"\nname = "Deli"\n'
    settings = f'[accounts.deli.settings]\ncurrency = "{currency}"\n'
    (said,) = [mistake for mistake in mistakes(production, account + settings) if "settings.currency" in mistake]
    assert "accounts.deli.settings.currency: has no cents" in said


@pytest.mark.rule("MONEY-1")
def test_an_account_with_two_currencies(production: dict[str, str]) -> None:
    account = '[accounts.deli]\nprovider = "fftp"\nname = "Deli"\ncurrency = "CAD"\n'
    found = mistakes(production, f'{account}[accounts.deli.settings]\ncurrency = "USD"\n')
    assert any("accounts.deli.currency: is 'CAD', and settings.currency is 'USD'" in mistake for mistake in found)


@pytest.mark.rule("MONEY-1")
def test_a_location_in_a_currency_without_cents_is_not_active() -> None:
    adapter = SandboxAdapter(Account("diner", "sandbox", "Diner"))
    found = {code: _routed(adapter, Location("one", "One", currency=code)).location for code in ("EUR", "JPY", "KWD")}
    assert {code: location.active for code, location in found.items()} == {"EUR": True, "JPY": False, "KWD": False}


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost", "engine.internal"])
def test_plain_http_is_for_a_network_of_ones_own(production: dict[str, str], host: str) -> None:
    Path(production["LEVELUP_OV_ACCOUNTS"]).write_text(changed("https://engine.example", f"http://{host}"))
    assert load_settings(production).accounts["diner"].base_url == f"http://{host}/v1"


def test_a_byte_order_mark_is_not_a_mistake(production: dict[str, str]) -> None:
    Path(production["LEVELUP_OV_ACCOUNTS"]).write_bytes(b"\xef\xbb\xbf" + ACCOUNTS.encode())
    assert list(load_settings(production).accounts) == ["diner"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_accounts_file_in_another_encoding(production: dict[str, str], encoding: str) -> None:
    Path(production["LEVELUP_OV_ACCOUNTS"]).write_bytes(ACCOUNTS.strip().encode(encoding))
    mistake = the_mistake(production)
    assert "is text in UTF-16, not in UTF-8" in mistake and mistake.endswith("save it as UTF-8")


def test_too_many_accounts_for_one_answer(production: dict[str, str]) -> None:
    table = '[accounts.a{}]\nprovider = "sandbox"\nname = "Diner"\n'
    accounts = "".join(table.format(number) for number in range(MOST_ACCOUNTS + 1))
    assert f"names {MOST_ACCOUNTS + 1} accounts" in the_mistake(production, accounts)


def test_a_data_directory_that_is_a_file(production: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        mistake = the_mistake({**production, "LEVELUP_OV_DATA_DIR": str(path)})
        assert f"{tmp_path / 'file'} is not a directory" in mistake


def test_a_ledger_that_is_a_directory(production: dict[str, str]) -> None:
    (Path(production["LEVELUP_OV_DATA_DIR"]) / "ledger.db").mkdir(parents=True)
    assert "is a directory" in the_mistake(production)


def test_a_ledger_of_another_user(production: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Path(production["LEVELUP_OV_DATA_DIR"]) / "ledger.db"
    ledger.parent.mkdir()
    ledger.touch()
    # A test may run as root, to whom nothing is forbidden.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != ledger and allowed(path, mode))
    mistake = the_mistake(production)
    assert str(ledger) in mistake and "change its owner" in mistake


def test_a_data_directory_of_another_user(production: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be written by this user" in the_mistake(production)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk is mounted read-only, so not even the owner of a file may write."""
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((0,) * 8 + (os.ST_RDONLY, 255)))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("there", [False, True])
def test_a_read_only_disk_is_not_taken_for_another_user(production: dict[str, str], there: bool) -> None:
    if there:
        Path(production["LEVELUP_OV_DATA_DIR"]).mkdir()
        (Path(production["LEVELUP_OV_DATA_DIR"]) / "ledger.db").touch()
    mistake = the_mistake(production)
    assert "is on a disk that is mounted read-only" in mistake and "mount it for writing" in mistake
    assert "owner" not in mistake and "user" not in mistake


def test_more_threads_than_the_system_has_files(production: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    assert "raise the limit" in the_mistake({**production, "LEVELUP_OV_THREADS": "1000"})


@pytest.mark.parametrize("option", ["--workers", "-w", "--threads=9", "--port"])
def test_run_refuses_options_that_the_rest_must_know(option: str) -> None:
    found = CliRunner().invoke(serve, [option, "20"])
    assert found.exit_code == 2
    assert re.search(r"set (WEB_CONCURRENCY|LEVELUP_OV_THREADS|PORT) instead of", found.output)


def test_mistakes_of_all_kinds_are_reported_at_once(production: dict[str, str]) -> None:
    wrong = {
        "WEB_CONCURRENCY": "1.5",
        "LEVELUP_OV_SUBMISSION_DEADLINE": "1",
        "LEVELUP_OV_DATABASE_URL": "x",
        "REDIS_URL": "redis://cache.example/x",
        "DINER_KEY": "key\n",
        "LEVELUP_OV_ADAPTERS": "later=nowhere:Nothing",
    }
    found = mistakes({**production, **wrong})
    assert len(found) == len(wrong)
    assert all(any(name in mistake or "settings.api_key" in mistake for name in wrong) for mistake in found)


@pytest.mark.parametrize("command", [CHECK, GUNICORN])
def test_commands_report_without_a_traceback(production: dict[str, str], tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("")
    wrong = {"LEVELUP_OV_DATA_DIR": str(tmp_path / "file"), "LEVELUP_OV_SUBMISSION_DEADLINE": "1", "DINER_KEY": "k\n"}
    found = run(command, {**production, **wrong})
    assert found.returncode == ConfigError.exit_code
    assert "the configuration has 3 mistakes" in found.stderr
    assert "Traceback" not in found.stderr + found.stdout


@pytest.mark.parametrize("value", ["abc", "1.5", "-1"])
def test_a_number_of_workers_that_gunicorn_cannot_read(production: dict[str, str], value: str) -> None:
    found = run([*COMMAND, "run"], {**production, "WEB_CONCURRENCY": value, "LEVELUP_OV_SUBMISSION_DEADLINE": "1"})
    assert found.returncode == ConfigError.exit_code
    assert "Traceback" not in found.stderr + found.stdout
    # With whatever else is wrong.
    assert "WEB_CONCURRENCY: " in found.stderr and "LEVELUP_OV_SUBMISSION_DEADLINE: " in found.stderr


def test_a_port_in_use_is_reported_in_production_too(production: dict[str, str]) -> None:
    assert run([*COMMAND, "ledger", "upgrade"], production).returncode == 0
    with socket.create_server(("0.0.0.0", 0)) as taken:
        found = run([*GUNICORN[:3], "wsgi:app"], {**production, "PORT": str(taken.getsockname()[1])})
    assert (found.returncode, "is in use" in found.stderr) == (ConfigError.exit_code, True)


@pytest.mark.rule("ERR-4")
def test_config_check_shows_where_the_ledger_is(production: dict[str, str]) -> None:
    del production["LEVELUP_OV_LEDGER"]
    found = run(CHECK, {**production, "DATABASE_URL": "postgresql://canary-user:canary-word@127.0.0.1:1/orders"})
    # The configuration is valid; the database is not there, and a script must notice.
    assert found.returncode == 1 and "the configuration is valid\n" in found.stdout
    assert "ledger: PostgreSQL at 127.0.0.1:1/orders\n" in found.stdout
    assert "Error: ledger_unavailable: " in found.stderr
    assert "canary" not in found.stdout + found.stderr


@pytest.mark.rule("ERR-4", "SUB-2")
@pytest.mark.parametrize("command", [CHECK, [*COMMAND, "run"]], ids=["check", "run"])
def test_development_names_its_unusable_database(command: list[str], development: dict[str, str]) -> None:
    address = "postgresql://canary-user:canary-word@127.0.0.1:1/orders"
    found = run(command, {**development, "PORT": "0", "DATABASE_URL": address})
    assert found.returncode == ConfigError.exit_code
    assert "does not answer at its address; correct DATABASE_URL or the database" in found.stderr
    assert "Traceback" not in found.stderr and "canary" not in found.stdout + found.stderr


@pytest.mark.rule("ERR-4")
def test_config_check_shows_no_key_of_an_address(production: dict[str, str]) -> None:
    assert run([*COMMAND, "ledger", "upgrade"], production).returncode == 0
    Path(production["LEVELUP_OV_ACCOUNTS"]).write_text(changed("/v1/", f"/v1/{TOKEN}/"))
    found = run(CHECK, {**production, "PORT": "8123", "WEB_CONCURRENCY": "3", "LEVELUP_OV_THREADS": "17"})
    assert f"ledger: the SQLite file {production['LEVELUP_OV_DATA_DIR']}/ledger.db\n" in found.stdout
    assert "port: 8123; workers: 3, with 17 threads each\n" in found.stdout
    assert "https://engine.example/v1/***" in found.stdout
    assert TOKEN not in found.stdout + found.stderr
