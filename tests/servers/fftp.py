"""A real FFTP restaurant server on the loopback interface."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.process import CACHE, Server, http, install_once, run

MENU = Path(__file__).with_name("fftp_menu.yaml")
REQUIREMENTS = Path(__file__).with_name("requirements-fftp.txt")


def install(cache: Path = CACHE / "fftp") -> Path:
    """The interpreter of a virtual environment that holds FFTP; installed if it is not yet.

    :raises SystemMissing: it cannot be installed.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return install_once(cache / key, _build) / "bin" / "python"


def _build(directory: Path) -> None:
    python = directory / "bin" / "python"
    run([sys.executable, "-m", "venv", directory], seconds=120)
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "-r", REQUIREMENTS], seconds=300)


class FftpServer(Server):
    """One restaurant. ``admin_token`` is what its counter uses; the other methods use FFTP itself.

    :raises SystemMissing: it does not start.
    """

    name = "fftp"
    ready_path = "/.well-known/fftp.json"

    def __init__(self, python: Path, menu: Path = MENU) -> None:
        super().__init__()
        # Not url-safe base64: as a command-line argument one that starts with a hyphen is an option.
        self.admin_token = secrets.token_hex(16)
        self._python = python
        self._menu = menu

    def prepare(self, directory: Path) -> None:
        # FFTP keeps its database beside the menu and rewrites the menu when it is changed.
        shutil.copy(self._menu, directory / "menu.yaml")

    def command(self, directory: Path) -> Sequence[str | Path]:
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command: list[str | Path] = [self._python, "-m", "fftp.server", "--menu", directory / "menu.yaml"]
        return [*command, *address, "--admin-token", self.admin_token]

    def __enter__(self) -> FftpServer:
        super().__enter__()
        return self

    def orders(self) -> list[dict[str, Any]]:
        """All orders as FFTP reports them, newest first."""
        orders: list[dict[str, Any]] = self._call("GET", "/fftp/v1/orders")
        return orders

    def move(self, order_id: str, status: str) -> None:
        """Move an order on to another status, as the counter does."""
        self._call("POST", f"/fftp/v1/orders/{order_id}/status", json={"status": status})

    def change_item(self, item_id: str, **changes: object) -> None:
        """Change ``available`` or ``price`` (in dollars) of an item, as the counter does."""
        self._call("PATCH", f"/fftp/v1/admin/menu/items/{item_id}", json=changes)

    @contextmanager
    def sold_out(self, item_id: str) -> Iterator[None]:
        """An item is sold out for the time of the block."""
        self.change_item(item_id, available=False)
        try:
            yield
        finally:
            self.change_item(item_id, available=True)

    def _call(self, method: str, path: str, **arguments: object) -> Any:
        answer = http(method, self.base_url + path, headers={"x-admin-token": self.admin_token}, **arguments)
        answer.raise_for_status()
        return answer.json()
