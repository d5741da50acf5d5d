"""A menu of 5 MB against a bare Flask application that answers the same bytes, both under gunicorn as shipped."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.adapter import BenchAdapter
from bench.order import API_KEY
from bench.run import ECHO, OURS, THREADS, Bench, _line
from levelup_ov.adapter import Category, JSONObject, Location, Menu, MenuItem, Session

BATCH = 40
GUNICORN = ("gunicorn", "-c", "python:levelup_ov.gunicorn_conf")
MENU, NOT_MODIFIED = "/locations/bench.main/menu", "/not_modified"


class LargeMenuAdapter(BenchAdapter):
    """Its menu comes from the provider, and is cached for a minute."""

    def show_menu(self, location: Location, session: Session) -> Menu:
        found = session.get("/menu", cache_for=60, check=_number).object()
        items = tuple(MenuItem(f"item-{n}", f"Sandwich number {n}", 1000) for n in range(_number(found)))
        return Menu(location.provider_id, "Bench", (Category("sandwiches", "Sandwiches", items),))


def _number(menu: JSONObject) -> int:
    return menu.integer("items")


class Menus(Bench):
    """The service and the echo, which gets the bytes from a file."""

    def start(self) -> None:
        provider = self._spawn("provider", ["bench.provider"], {}, self._other_cores, stdout=-1)
        self._provider = int(_line(provider))
        environment = self._service_environment(f"http://127.0.0.1:{self._provider}")
        environment["LEVELUP_OV_ADAPTERS"] = "bench=bench.flat_menu:LargeMenuAdapter"
        self._serve(OURS, [*GUNICORN, "wsgi:app"], environment)
        _, etag, content = self.get(OURS, MENU)
        file = self._directory / "menu.json"
        file.write_bytes(content)
        self._serve(ECHO, [*GUNICORN, "bench.flat_echo:app"], {**environment, "MENU": str(file), "ETAG": etag})
        self.etag, self.size = etag, len(content)

    def get(self, server: str, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str, bytes]:
        """The status, the ETag and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.servers[server].port, timeout=60)
        try:
            connection.request("GET", path, headers={"Authorization": f"token {API_KEY}", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.getheader("ETag", ""), response.read()
        finally:
            connection.close()

    def cpu(self, server: str, path: str, status: int, headers: Mapping[str, str] | None = None) -> float:
        """Microseconds of CPU of one answer."""
        before = self.servers[server].cpu_seconds()
        for _ in range(BATCH):
            assert self.get(server, path, headers)[0] == status
        return (self.servers[server].cpu_seconds() - before) / BATCH * 1e6


def measure(rounds: int) -> dict[str, Any]:
    """The CPU of a menu and of a 304, by that of the echo."""
    with tempfile.TemporaryDirectory(prefix="bench-flat-") as directory:
        menus = Menus(Path(directory), THREADS)
        try:
            menus.start()
            tag = {"If-None-Match": menus.etag}
            samples = []
            for number in range(rounds + 1):
                row = (
                    menus.cpu(OURS, MENU, 200), menus.cpu(ECHO, MENU, 200),
                    menus.cpu(OURS, MENU, 304, tag), menus.cpu(ECHO, NOT_MODIFIED, 304),
                )  # fmt: skip
                if number:  # the first is a warm-up
                    samples.append(row)
        finally:
            menus.stop()
    ratios = {
        "menu by the echo of its bytes": median(row[0] / row[1] for row in samples),
        "304 by the echo of the menu": median(row[2] / row[1] for row in samples),
        "304 by a bare 304": median(row[2] / row[3] for row in samples),
    }
    return {
        "bytes": menus.size,
        "microseconds": [round(median(column)) for column in zip(*samples, strict=True)],
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }
