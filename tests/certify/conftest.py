"""The service with its sandbox on a loopback port, its clock set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.certify.serving import serving
from tests.channel import Clock


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """One service for all runs; each run is a user of its own."""
    data: Path = tmp_path_factory.mktemp("data")
    return create_app(load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(data)}), clock=Clock())


@pytest.fixture(scope="session")
def service(sound: Flask) -> Iterator[str]:
    with serving(sound) as address:
        yield address
