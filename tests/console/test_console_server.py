"""The console as it is deployed: it takes no thread from orders, and orders take none from it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hostile import BODY, ask
from tests.console.conftest import VARIABLES
from tests.servers.gateway import Gateway

HANGING = "/locations/deli.congress/order_validations"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Gateway, socket.socket]]:
    """With one thread for orders, and a provider that says nothing until its socket is closed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accounts = tmp_path / "accounts.toml"
        settings = f'{{base_url = "http://127.0.0.1:{silent.getsockname()[1]}"}}'
        accounts.write_text(f'[accounts.deli]\nprovider = "sandbox"\nname = "Deli"\nsettings = {settings}\n')
        with Gateway(LEVELUP_OV_ACCOUNTS=str(accounts), LEVELUP_OV_THREADS="1", **VARIABLES) as server:
            assert isinstance(server, Gateway)
            yield server, silent


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_orders_and_console_have_threads_of_their_own(service: tuple[Gateway, socket.socket]) -> None:
    (server, provider), answers = service, list[int]()
    order = threading.Thread(target=lambda: answers.append(ask(server.port, "POST", HANGING, BODY)[0]))
    order.start()
    time.sleep(0.3)
    # However it is written, it is the console, and the only thread for orders is busy.
    assert [get(server.port, path) for path in ("/console/login", "/%63onsole/login")] == [200, 200]
    # However many ask for pages, each is answered at once: with the page, or with 503.
    pages = [threading.Thread(target=lambda: answers.append(get(server.port, "/console/login"))) for _ in range(40)]
    for page in pages:
        page.start()
    for page in pages:
        page.join()
    assert order.is_alive() and set(answers) <= {200, 503} and answers.count(200) >= 3
    provider.close()
    order.join()
    assert answers[-1] in (503, 504)
