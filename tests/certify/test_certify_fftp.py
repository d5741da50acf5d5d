"""The certifier passes on our service with a real FFTP restaurant behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from levelup_ov.app import create_app
from levelup_ov.certify import Plan, run
from levelup_ov.config import load_settings
from levelup_ov.domain.secret import Secret
from tests.certify.serving import serving
from tests.servers.fftp import FftpServer, install
from tests.servers.process import required

ACCOUNTS = """
[accounts.boston]
provider = "fftp"
name = "Boston Deli"
time_zone = "America/New_York"
settings = {{base_url = "{url}", admin_token = "env:FFTP_TOKEN"}}
"""


@pytest.fixture(scope="module")
def restaurant(request: pytest.FixtureRequest) -> Iterator[FftpServer]:
    with required(request, "FFTP"), FftpServer(install()) as server:
        yield server


def test_our_own_service_passes_with_fftp(restaurant: FftpServer, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(ACCOUNTS.format(url=restaurant.base_url))
    settings = load_settings(
        {
            "LEVELUP_OV_ENV": "development",
            "LEVELUP_OV_DATA_DIR": str(tmp_path / "data"),
            "LEVELUP_OV_ACCOUNTS": str(accounts),
            "FFTP_TOKEN": restaurant.admin_token,
        }
    )
    held = len(restaurant.orders())
    with serving(create_app(settings)) as address:
        outcome = run(Plan(address, Secret(settings.api_keys[0].reveal()), submit=True))
    broken = {check.title: check.failures[0].detail for check in outcome.report.checks.values() if check.failures}
    assert broken == {}
    assert len(restaurant.orders()) - held == len(outcome.report.orders) == 3
