"""Ordering ahead from a phone's app, to click through in a browser.

Starts real restaurants (an FFTP server and a Vendure shop, where they can be installed) beside the sandbox, this
service in front of all of them, and the stand-in for LevelUp in front of this service, all on the loopback interface,
until Ctrl-C. Leaves nothing running. Run it with ``make demo-order``; ``SANDBOX_ONLY=1`` starts the sandbox alone.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

from demo import OrderAhead, headline, run

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import HttpGateway, create_levelup, levelup_server
from levelup_ov.standins.levelup.world import PEOPLE
from tests.servers import fftp, vendure_server
from tests.servers.process import SystemMissing

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


@contextmanager
def ordering(port: int = 0, *, sandbox_only: bool = False) -> Iterator[tuple[str, OrderAhead, list[str]]]:
    """The platform's address, the service behind it, and where each restaurant's own side can be seen."""
    accounts, variables, told = SANDBOX, {}, []
    with ExitStack() as stack:
        if not sandbox_only:
            try:
                deli = stack.enter_context(fftp.FftpServer(fftp.install()))
                accounts += FFTP.format(base_url=deli.base_url)
                variables["DELI_ADMIN_TOKEN"] = deli.admin_token
                told.append(f"FFTP: {deli.base_url}")
            except SystemMissing as reason:
                told.append(f"FFTP is left out: {reason}")
            try:
                shop = stack.enter_context(vendure_server.VendureServer(vendure_server.install()))
                accounts += VENDURE.format(base_url=shop.base_url)
                variables["TENDER_KEY"] = shop.tender_key
                told.append(f"Vendure: {shop.base_url}/shop-api, orders under {shop.base_url}/admin-api")
            except SystemMissing as reason:
                told.append(f"Vendure is left out: {reason}")
        service = stack.enter_context(OrderAhead(accounts, **variables))
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
        yield f"http://127.0.0.1:{server.server_port}", service, told


def main() -> None:
    """Run the demonstration."""
    headline("Restaurants open, and the service in front of them")
    only = os.environ.get("SANDBOX_ONLY", "") not in ("", "0")
    with ordering(int(os.environ.get("LEVELUP_PORT", "9100")), sandbox_only=only) as (base_url, service, told):
        for line in told:
            print(f"  {line}")
        print(f"  The service: {service.base_url}")
        headline(f"Order from a phone: {base_url}/order")
        print(f"  LevelUp's side, with everything that is made up for it: {base_url}/\n")
        for person in PEOPLE:
            if person.merchant_id is None:
                print(f"  {person.email:22} {person.password:16} {person.about}")
        print("\n  Ctrl-C closes all of it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
    headline("All are stopped")


if __name__ == "__main__":
    run(main)
