"""The providers of a campaign: a process to freeze, what to order from it, and what it holds at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.faults import engine
from tests.faults.engine import Cooked
from tests.faults.processes import line, process
from tests.servers import fftp, vendure_server


class Provider(ABC):
    """One provider, running; a context manager.

    ``account``: lines of TOML that its accounts need. ``places``: how often each of its locations is chosen.
    ``item`` can be ordered, ``refused`` cannot. ``cards`` and ``tips``: whether it takes them. ``merges``: whether a
    second order under one reference is refused, whatever the ledger knows. ``clients``: how many order at once.
    """

    name = ""
    account = ""
    places: Mapping[str, int] = {}
    item, refused = "", ""
    cards = tips = merges = False
    clients = 56

    def __init__(self, directory: Path) -> None:
        self.variables: dict[str, str] = {}
        """What the service finds in its environment for it."""
        self._directory = directory
        self._cleanup = ExitStack()
        self.port = 0
        self.pid = 0

    @abstractmethod
    def start(self, cleanup: ExitStack) -> None:
        """Start the process, and set :attr:`port` and :attr:`pid`."""

    @abstractmethod
    def orders(self) -> Sequence[Cooked]:
        """Every order that it holds."""

    def guest(self, marker: str) -> str:
        """The name of the guest of a submission."""
        return "Robin Example"

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            self.start(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()


class Sandbox(Provider):
    """The embedded engine, as a process."""

    name = "sandbox"
    places = {"congress": 60, "notips": 15, "card": 12, "account": 3, "tokyo": 10}
    item, refused = "sandwich", "soup"
    cards = tips = merges = True

    def start(self, cleanup: ExitStack) -> None:
        serving = cleanup.enter_context(process("tests.faults.engine", str(self._directory / "engine.db")))
        self.pid, self.port = serving.pid, int(line(serving))

    def orders(self) -> Sequence[Cooked]:
        return engine.orders(self._directory / "engine.db")


class Fftp(Provider):
    """A real FFTP server, which loses some of the orders that it takes at once."""

    name = "fftp"
    places = {"main": 1}
    item, refused = "soda", "lobster"

    def start(self, cleanup: ExitStack) -> None:
        self._server = cleanup.enter_context(fftp.FftpServer(fftp.install()))
        self.account, self.variables = 'admin_token = "env:FFTP_TOKEN"', {"FFTP_TOKEN": self._server.admin_token}
        self.pid, self.port = self._server.pid, self._server.port

    def guest(self, marker: str) -> str:
        # All that FFTP keeps of a guest is the name.
        return f"Robin {marker}"

    def orders(self) -> Sequence[Cooked]:
        return [_cooked(order) for order in self._server.orders()]


def _cooked(order: Mapping[str, Any]) -> Cooked:
    reference = order["payment_proof"].removeprefix("LevelUp ")
    return Cooked(reference, order["ticket_number"], "main", order["customer_name"].split()[-1], dict(order))


class Vendure(Provider):
    """A real Vendure shop with the plugin."""

    name = "vendure"
    places = {vendure_server.CONGRESS: 3, vendure_server.HARBOR: 1}
    cards = tips = merges = True
    clients = 12  # the shop is one thread, and an order takes it several calls

    def start(self, cleanup: ExitStack) -> None:
        self._server = cleanup.enter_context(vendure_server.VendureServer(vendure_server.install()))
        self.item, self.refused = self._server.items["Soda"], self._server.items["Cookie"]
        channels = ", ".join(self.places)
        self.account = f'channels = "{channels}"\ntender_key = "env:TENDER_KEY"'
        self.variables = {"TENDER_KEY": self._server.tender_key}
        self.pid, self.port = self._server.pid, self._server.port

    def orders(self) -> Sequence[Cooked]:
        return [_sold(order) for order in self._server.orders(self._server.count_orders())]


def _sold(order: Mapping[str, Any]) -> Cooked:
    place = next(each["token"] for each in order["channels"] if each["token"] in vendure_server.PLACES)
    reference, marker = order["customFields"]["levelupReference"], order["guest"]["guestPhone"]
    return Cooked(reference, order["code"], place, marker, dict(order))


PROVIDERS: Mapping[str, type[Provider]] = {each.name: each for each in (Sandbox, Fftp, Vendure)}
