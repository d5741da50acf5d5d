"""The service in front of a Vendure shop, for the modules that order from one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.channel import Clock
from tests.servers.vendure_server import VendureServer

ACCOUNTS = """
[accounts.boston]
provider = "vendure"
name = "Boston Burgers"
settings = {{base_url = "{url}", channels = "congress, harbor", tender_key = "env:TENDER_KEY"}}

[accounts.club]
provider = "vendure"
name = "Burger Club"
settings = {{base_url = "{url}", channels = "congress", checkout = "account", tender_key = "env:TENDER_KEY"}}
"""


@contextmanager
def service(shop: VendureServer, folder: Path, **variables: str) -> Iterator[Flask]:
    """With nothing kept yet; its data is in ``folder``. ``variables`` are further ones of the environment."""
    (folder / "accounts.toml").write_text(ACCOUNTS.format(url=shop.base_url))
    environ = {
        "LEVELUP_OV_ENV": "development",
        "LEVELUP_OV_DATA_DIR": str(folder),
        "LEVELUP_OV_ACCOUNTS": str(folder / "accounts.toml"),
        "TENDER_KEY": shop.tender_key,
        **variables,
    }
    yield create_app(load_settings(environ), clock=Clock())
