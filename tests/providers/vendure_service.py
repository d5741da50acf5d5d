"""The service or the adapter in front of a Vendure shop, for the modules that order from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import Flask

from adapters.vendure import VendureAdapter
from levelup_ov.adapter import Account
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.location import Location
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import LevelUp
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Session, Transport
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
TRANSPORT = Transport(pool_size=2)


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


def adapter(shop: VendureServer) -> VendureAdapter:
    settings = {
        "base_url": shop.base_url, "channels": "congress", "tender_key": Secret(shop.tender_key), "checkout": "guest",
    }  # fmt: skip
    return VendureAdapter(Account("boston", "vendure", "Boston Burgers", settings))


@contextmanager
def session(vendure: VendureAdapter) -> Iterator[Session]:
    """Calls of one order."""
    with Session(
        TRANSPORT, "boston", base_url=vendure.base_url, headers=vendure.headers(), error_from=vendure.error_from,
        deadline=Deadline(10), own=True,
    ) as calls:  # fmt: skip
        yield calls


def validate(vendure: VendureAdapter, wanted: Order) -> Quote:
    with session(vendure) as calls:
        return vendure.validate_order(replace(wanted, reference=None), calls)


def submit(vendure: VendureAdapter, wanted: Order) -> Placed:
    with session(vendure) as calls:
        return vendure.submit_order(wanted, LevelUp(), calls)


def find(vendure: VendureAdapter, wanted: Order) -> Placed | None:
    with session(vendure) as calls:
        return vendure.find_order(wanted.location, wanted.reference or "", {}, calls)


def fence(vendure: VendureAdapter, wanted: Order) -> None:
    with session(vendure) as calls:
        vendure.fence_order(wanted.location, wanted.reference or "", {}, calls)


def order(shop: VendureServer, user: dict[str, str]) -> Order:
    soda = Item(shop.items["Soda"], 2)
    guest = User("Robin", "Example", user["phone"], user["email"])
    now = datetime.now(timezone.utc)
    return Order(Location("congress", "Congress Street"), (soda,), guest, now, tip=100, reference=uuid4().hex)


def only_the_first(call: Callable[..., Any]) -> Callable[..., Any]:
    """A line that breaks after the placing call's own answer."""
    calls = iter([call])

    def once(*arguments: Any, **how: Any) -> Any:
        return next(calls)(*arguments, **how)

    return once
