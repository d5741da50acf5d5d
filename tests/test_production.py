"""What a production process is made of."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest
import requests

from bench.checkout import variables
from tests.faults.stack import API_KEY, SECRET_KEY
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parents[1]
LOADED = "import sys; from levelup_ov.app import create_app; create_app(); print(*sorted(sys.modules))"

REMOTE = 'base_url = "http://127.0.0.1:1", admin_token = "env:TOKEN"'
"""An account of a provider elsewhere."""
LOADED_WITH = {
    (("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none"),): ("psycopg", "sqlalchemy.dialects.postgresql"),
    (("REDIS_URL", "redis://127.0.0.1:1"),): ("redis", "levelup_ov.transport.redis_cache"),
    (("LEVELUP_OV_CONSOLE_KEYS", "ann=console-key-of-ann-1"),): ("levelup_ov.console", "levelup_ov.screens"),
    (("LEVELUP_OV_EVENTS_URL", "https://127.0.0.1:1/events"), ("LEVELUP_OV_EVENTS_SECRETS", f"whsec_{'c' * 32}")): (
        "levelup_ov.events", "levelup_ov.ledger.event_deliveries", "standardwebhooks",
    ),
    (("LEVELUP_OV_UCP_AGENTS", "bot=key-of-the-agent-1"), ("LEVELUP_OV_UCP_URL", "https://orders.example")): (
        "levelup_ov.ucp", "levelup_ov.sessions", "levelup_ov.schemas.agent_checkouts",
    ),
    tuple(variables("http://127.0.0.1:1").items()): ("levelup_ov.checkout", "levelup_ov.schemas.checkout"),
}  # fmt: skip
"""The modules that a process loads only with certain settings."""


def environment(directory: Path, provider: str, settings: str, **further: str) -> dict[str, str]:
    """That of a process with one account."""
    accounts = directory / "accounts.toml"
    accounts.write_text(f'[accounts.one]\nprovider = "{provider}"\nname = "Deli"\nsettings = {{{settings}}}\n')
    environ = {
        "PYTHONPATH": str(ROOT),
        "LEVELUP_OV_API_KEYS": API_KEY,
        "LEVELUP_OV_SECRET_KEYS": SECRET_KEY,
        "LEVELUP_OV_ACCOUNTS": str(accounts),
        "LEVELUP_OV_LEDGER": "sqlite",
        "LEVELUP_OV_DATA_DIR": str(directory),
        "TOKEN": "canary",
        **further,
    }
    if "DATABASE_URL" in further:
        del environ["LEVELUP_OV_LEDGER"]
    return environ


def loaded(directory: Path, provider: str, settings: str, **further: str) -> list[str]:
    """The modules of a process with one account."""
    environ = environment(directory, provider, settings, **further)
    ran = subprocess.run([sys.executable, "-c", LOADED], env=environ, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The modules of a process with the settings that production demands, and no other."""
    return loaded(tmp_path_factory.mktemp("plain"), "fftp", REMOTE)


def test_production_loads_no_stand_in(plain: list[str]) -> None:
    assert [name for name in plain if "standins" in name or "testing" in name] == []


def test_production_loads_nothing_that_it_does_not_use(plain: list[str]) -> None:
    unused = ("alembic", "apispec", "authlib", "cryptography.hazmat.primitives.serialization", "levelup_ov.certify.run",
              "levelup_ov.cli.certify", "levelup_ov.cli.run", "levelup_ov.scaffold", "opentelemetry",
              *chain.from_iterable(LOADED_WITH.values()))  # fmt: skip
    assert [name for name in unused if name in plain] == []


def test_a_setting_loads_what_it_needs(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "fftp", REMOTE, **{name: value for each in LOADED_WITH for name, value in each})
    assert [name for name in chain.from_iterable(LOADED_WITH.values()) if name not in modules] == []


def test_run_leaves_the_loading_to_gunicorn() -> None:
    shown = "import runpy, sys; runpy.run_module = lambda *_, **__: print(*sys.modules)"
    code = f"{shown}; from levelup_ov.__main__ import main; main(['run'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    modules = ran.stdout.split()
    assert "levelup_ov.cli.run" in modules, ran.stderr
    assert [name for name in ("levelup_ov.config", "levelup_ov.app", "flask", "sqlalchemy") if name in modules] == []


def test_run_is_gunicorn_in_the_working_directory(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "levelup-ov"
    command.parent.mkdir()
    command.write_text("from levelup_ov.__main__ import main\nmain()\n")
    (tmp_path / "kitchens.py").write_text("from adapters.fftp import FftpAdapter as Kitchens\n")
    arguments = [sys.executable, str(command), "run", "--check-config", "--print-config"]
    environ = environment(tmp_path, "kitchens", REMOTE, LEVELUP_OV_ADAPTERS="kitchens=kitchens:Kitchens")
    upgrade = [sys.executable, "-m", "levelup_ov", "ledger", "upgrade"]
    subprocess.run(upgrade, env=environ, cwd=tmp_path, check=True, timeout=60)
    ran = subprocess.run(arguments, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "gunicorn_worker.Worker" in ran.stdout


def test_run_can_be_upgraded_while_it_serves(tmp_path: Path) -> None:
    """USR2 starts a second server beside the first, which then ends."""
    environ = environment(tmp_path, "fftp", REMOTE, PORT=str(free_port()), WEB_CONCURRENCY="1")
    command = [sys.executable, "-m", "levelup_ov"]
    subprocess.run([*command, "ledger", "upgrade"], env=environ, cwd=tmp_path, check=True, timeout=60)
    log = tmp_path / "log"
    with log.open("w") as output:
        first = subprocess.Popen([*command, "run"], env=environ, cwd=tmp_path, stderr=output)
    started: set[int] = set()

    def servers() -> set[int]:
        """The parents of the workers."""
        for pid in re.findall(r"Booting worker with pid: (\d+)", log.read_text()):
            started.add(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]))
        return started

    def await_servers(number: int) -> None:
        until = time.monotonic() + 30
        while len(servers()) < number:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)

    try:
        await_servers(1)
        first.send_signal(signal.SIGUSR2)
        await_servers(2)
        first.terminate()
        assert first.wait(30) == 0
        address = f"http://127.0.0.1:{environ['PORT']}/health"
        assert requests.get(address, timeout=10).status_code == 200
    finally:
        for pid in {first.pid, *started}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def test_production_loads_no_page(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "sandbox", "")
    assert [name for name in modules if "workbench" in name or "screens" in name] == []


def test_an_account_of_the_embedded_sandbox_loads_it(tmp_path: Path) -> None:
    assert "levelup_ov.standins.sandbox.api" in loaded(tmp_path, "sandbox", "")
