"""The command that serves the stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from levelup_ov.__main__ import main
from tests.servers.process import http

ROOT = Path(__file__).parents[2]
CALLBACK = "http://127.0.0.1:8000/told"


@pytest.fixture
def base_url(tmp_path: Path) -> Iterator[str]:
    """Where the command serves, by its own words."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LEVELUP_OV_")},
        "LEVELUP_OV_ENV": "development",
        "LEVELUP_OV_DATA_DIR": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "levelup_ov", "levelup", "--port", "0", "--callback-url", CALLBACK]
    shop = ["--shop-service", "http://127.0.0.1:9"]
    with subprocess.Popen(
        [*command, *shop], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            line = next(line for line in process.stdout if "stand-in at" in line)
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(10)


def test_the_command_serves_the_platform_and_the_shop(base_url: str, tmp_path: Path) -> None:
    page = http("GET", base_url)
    assert page.status_code == 200 and CALLBACK in page.text
    assert page.headers["Server"] == "LevelUp"
    keys = {"api_key": "standin-api-key", "client_secret": "standin-client-secret"}
    assert http("POST", f"{base_url}/v15/access_tokens", json=keys).status_code == 200
    assert (tmp_path / "levelup.db").exists()
    # Nobody listens where the service should be.
    assert http("GET", f"{base_url}/shop").status_code == 502


def test_the_command_serves_the_phones_app(base_url: str) -> None:
    page = http("GET", f"{base_url}/order")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert http("GET", f"{base_url}/static/order.js").status_code == 200


def test_an_invalid_gateway_address_is_refused(tmp_path: Path) -> None:
    arguments = ["levelup", "--gateway", "ftp://somewhere", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "--gateway" in result.output
