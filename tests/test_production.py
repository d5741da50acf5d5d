"""What a production process is made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults.stack import API_KEY, SECRET_KEY

ROOT = Path(__file__).resolve().parents[1]
LOADED = "import sys; from levelup_ov.app import create_app; create_app(); print(*sorted(sys.modules))"


def loaded(directory: Path, provider: str, settings: str) -> list[str]:
    """The modules of a process with one account."""
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
    }
    ran = subprocess.run([sys.executable, "-c", LOADED], env=environ, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_production_loads_no_stand_in(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "fftp", 'base_url = "http://127.0.0.1:1", admin_token = "env:TOKEN"')
    assert [name for name in modules if "standins" in name or "testing" in name] == []


def test_production_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "fftp", 'base_url = "http://127.0.0.1:1", admin_token = "env:TOKEN"')
    unused = ("alembic", "apispec", "authlib", "psycopg", "sqlalchemy.dialects.postgresql", "levelup_ov.certify.run",
              "levelup_ov.checkout", "levelup_ov.cli.certify", "levelup_ov.scaffold")  # fmt: skip
    assert [name for name in unused if name in modules] == []


def test_production_loads_no_page(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "sandbox", "")
    assert [name for name in modules if "workbench" in name or "screens" in name] == []


def test_an_account_of_the_embedded_sandbox_loads_it(tmp_path: Path) -> None:
    assert "levelup_ov.standins.sandbox.api" in loaded(tmp_path, "sandbox", "")
