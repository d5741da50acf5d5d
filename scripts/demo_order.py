"""Ordering ahead from a phone's app, to click through in a browser.

Starts real restaurants (an FFTP server and a Vendure shop, where they can be installed) beside the sandbox, this
service in front of all of them, and the stand-in for LevelUp in front of this service, all on the loopback interface,
until Ctrl-C. Leaves nothing running. Run it with ``make demo-order``; ``SANDBOX_ONLY=1`` starts the sandbox alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from demo import OrderAhead, headline, run
from flask import Flask

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import HttpGateway, create_levelup, levelup_server
from levelup_ov.standins.levelup.world import PEOPLE, SHOP_APP
from tests.servers import fftp, vendure_server
from tests.servers.process import SystemMissing, free_port

LOOK_AGAIN = 2.0
"""Seconds between two looks at the restaurants' own systems."""
SANDBOX = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox Diner"
"""
FFTP = """
[accounts.deli]
provider = "fftp"
name = "Boston Deli"
time_zone = "America/New_York"
settings = {{base_url = "{base_url}", admin_token = "env:DELI_ADMIN_TOKEN"}}
"""
VENDURE = """
[accounts.boston]
provider = "vendure"
name = "Boston Burgers"
settings = {{base_url = "{base_url}", channels = "congress, harbor", tender_key = "env:TENDER_KEY"}}
"""


class TownService(OrderAhead):
    """The service, which charges at the platform at ``levelup_url`` and takes orders of an agent with ``agent_key``."""

    def __init__(self, accounts: str, levelup_url: str, **variables: str) -> None:
        self.agent_key = secrets.token_urlsafe(16)
        super().__init__(
            accounts,
            LEVELUP_OV_UCP_AGENTS=f"demo={self.agent_key}",
            LEVELUP_OV_CHECKOUT_URL=levelup_url,
            LEVELUP_OV_CHECKOUT_API_KEY=SHOP_APP.api_key,
            LEVELUP_OV_CHECKOUT_CLIENT_SECRET=SHOP_APP.client_secret,
            **variables,
        )

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "LEVELUP_OV_CHECKOUT_RETURN_URL": self.base_url}

    def __enter__(self) -> TownService:
        super().__enter__()
        return self


@dataclass
class Town:
    """What runs: the platform and its address, the service, and the restaurants, None where one is left out."""

    base_url: str
    app: Flask
    service: TownService
    deli: fftp.FftpServer | None
    shop: vendure_server.VendureServer | None
    left_out: list[str]

    def tickets(self) -> list[str]:
        """The orders that the restaurants' own systems report, oldest first."""
        deli = self.deli.orders() if self.deli else []
        shop = reversed(self.shop.orders()) if self.shop else []
        return [
            *(f"The sandbox has ticket {ticket}" for ticket in self._sandbox()),
            *(f"FFTP has ticket {order['ticket_number']}, paid: {order['paid']}" for order in deli),
            *(f"Vendure has order {order['code']}, {order['state']}" for order in shop),
        ]

    def _sandbox(self) -> list[int]:
        """Its tickets; it lives in the service, and keeps them in a file."""
        with closing(sqlite3.connect(self.service.directory / "data" / "sandbox.db")) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone():
                return []
            return [row[0] for row in connection.execute("SELECT ticket FROM orders ORDER BY rowid")]


@contextmanager
def ordering(port: int = 0, *, sandbox_only: bool = False) -> Iterator[Town]:
    """Restaurants, service and platform."""
    accounts, variables, left_out = SANDBOX, {}, []
    deli, shop = None, None
    with ExitStack() as stack:
        if not sandbox_only:
            try:
                deli = stack.enter_context(fftp.FftpServer(fftp.install()))
                accounts += FFTP.format(base_url=deli.base_url)
                variables["DELI_ADMIN_TOKEN"] = deli.admin_token
            except SystemMissing as reason:
                left_out.append(f"FFTP is left out: {reason}")
            try:
                shop = stack.enter_context(vendure_server.VendureServer(vendure_server.install()))
                accounts += VENDURE.format(base_url=shop.base_url)
                variables["TENDER_KEY"] = shop.tender_key
            except SystemMissing as reason:
                left_out.append(f"Vendure is left out: {reason}")
        port = port or free_port()
        base_url = f"http://127.0.0.1:{port}"
        service = stack.enter_context(TownService(accounts, base_url, **variables))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="levelup-")))
        gateway = HttpGateway(service.base_url, Secret(service.key))
        levelup = create_levelup(directory / "levelup.db", gateway=gateway)
        stack.callback(levelup.extensions["levelup"].store.close)
        server = levelup_server(levelup, port)
        stack.callback(server.server_close)
        thread = Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield Town(base_url, levelup, service, deli, shop, left_out)


def main() -> None:
    """Run the demonstration."""
    # A phone polls all the time; the tickets would drown in lines about that.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    headline("Restaurants open, and the service in front of them")
    only = os.environ.get("SANDBOX_ONLY", "") not in ("", "0")
    with ordering(int(os.environ.get("LEVELUP_PORT", "9100")), sandbox_only=only) as town:
        for line in town.left_out:
            print(f"  {line}")
        print(f"  The service: {town.service.base_url}")
        headline(f"Order from a phone: {town.base_url}/order")
        print(f"  LevelUp's side, with everything that is made up for it: {town.base_url}/\n")
        for person in PEOPLE:
            if person.merchant_id is None:
                print(f"  {person.email:22} {person.password:16} {person.about}")
        print("\n  Ctrl-C closes all of it. What the restaurants' own systems report appears here:\n")
        try:
            watch(town)
        except KeyboardInterrupt:
            pass
    headline("All are stopped")


def watch(town: Town) -> None:
    """Print each order as soon as a restaurant has it."""
    seen: set[str] = set()
    while True:
        for ticket in town.tickets():
            if ticket not in seen:
                seen.add(ticket)
                print(f"  {ticket}", flush=True)
        time.sleep(LOOK_AGAIN)


if __name__ == "__main__":
    run(main)
