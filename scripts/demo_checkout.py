"""A shop that takes LevelUp payments, to click through in a browser.

Starts the stand-in for LevelUp with its sample shop, and this service in front of it, both on the loopback
interface, until Ctrl-C. Leaves nothing running. Run it with ``make demo-checkout``.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from demo import OrderAhead, headline, run

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import create_levelup, levelup_server, over_http
from levelup_ov.standins.levelup.world import PEOPLE, SHOP_APP

ACCOUNTS = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox"
"""


class CheckoutService(OrderAhead):
    """The service, connected with the platform at ``levelup_url``."""

    def __init__(self, levelup_url: str) -> None:
        super().__init__(ACCOUNTS)
        self._levelup_url = levelup_url

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "LEVELUP_OV_CHECKOUT_URL": self._levelup_url,
            "LEVELUP_OV_CHECKOUT_API_KEY": SHOP_APP.api_key,
            "LEVELUP_OV_CHECKOUT_CLIENT_SECRET": SHOP_APP.client_secret,
            "LEVELUP_OV_CHECKOUT_RETURN_URL": self.base_url,
        }


class Shop:
    """The shop's way to the service, which starts after the shop does."""

    service: OrderAhead

    def __call__(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        return over_http(self.service.base_url, Secret(self.service.key))(method, path, body, headers)


@contextmanager
def checkout(port: int = 0) -> Iterator[tuple[str, OrderAhead]]:
    """Platform, shop and service; the platform's address, under which the shop is too."""
    shop = Shop()
    with tempfile.TemporaryDirectory(prefix="levelup-") as directory:
        levelup = create_levelup(Path(directory) / "levelup.db", shop_service=shop)
        server = levelup_server(levelup, port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            base_url = f"http://127.0.0.1:{server.server_port}"
            with CheckoutService(base_url) as service:
                shop.service = service
                yield base_url, service
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            levelup.extensions["levelup"].store.close()


def main() -> None:
    """Run the demonstration."""
    with checkout(int(os.environ.get("LEVELUP_PORT", "9100"))) as (base_url, _):
        headline(f"The shop is open: {base_url}/shop")
        print(f"  LevelUp's side, with everything that is made up for it: {base_url}/\n")
        for person in PEOPLE:
            print(f"  {person.email:22} {person.password:16} {person.about}")
        print("\n  Ctrl-C closes the shop.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
    headline("Both are stopped")


if __name__ == "__main__":
    run(main)
