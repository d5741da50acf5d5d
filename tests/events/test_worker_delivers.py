"""A worker of the service delivers without a command (EVT-4)."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest

from tests.channel import order
from tests.faults.engine import engine
from tests.faults.events import Receiver
from tests.faults.stack import API_KEY, Stack, environment


@pytest.mark.rule("EVT-4")
def test_a_worker_delivers_beside_its_requests(tmp_path: Path) -> None:
    with Receiver("1") as receiver, engine(tmp_path / "engine.db") as port:
        receiver.is_calm = True
        urls, ledger = {"diner": f"http://127.0.0.1:{port}"}, f"sqlite:///{tmp_path}/ledger.db"
        settings = environment(tmp_path, urls, ledger, deadline=20, grace=5, more=receiver.variables)
        with Stack(tmp_path, settings, workers=1) as stack:
            placed = stack.post("/locations/diner.congress/order_submissions", {"order_submission": order()})
            connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
            path = f"/locations/diner.congress/orders/{placed.order_id}"
            connection.request("GET", path, headers={"Authorization": f"token {API_KEY}"})
            assert connection.getresponse().status == 200
            connection.close()
            until = time.monotonic() + 20
            while not receiver.arrivals and time.monotonic() < until:
                time.sleep(0.02)
    (arrival,) = receiver.arrivals
    assert '"status":"placed"' in arrival.body
