"""State that outlives a restart and is shared by threads and processes."""

from __future__ import annotations

import http.client
import json
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from levelup_ov.standins.sandbox import create_sandbox
from levelup_ov.standins.sandbox.places import PLACES

ORDERS = 12
"""Placed by each process; more than a slot holds."""

# An application made before the fork and used after it, as a preloading server does.
PROCESSES = """
import json, os, sys
from pathlib import Path
from levelup_ov.standins.sandbox import create_sandbox

path, orders, warm = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "warm"
app = create_sandbox(path)
key = {"X-Sandbox-Key": "sandbox"}
cart = {"lines": [{"dish": "sandwich"}], "customer": {"name": "Ada", "phone": "1"}, "wanted_at": "2036-05-01T12:00:00Z"}
order = {"payment": {"external": "LevelUp"}}
client = app.test_client()
if warm:
    client.post("/v1/locations/day/carts", json=cart, headers=key)
reader, writer = os.pipe()
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        found = []
        for _ in range(orders):
            cart_id = client.post("/v1/locations/day/carts", json=cart, headers=key).json["cart"]["id"]
            found.append(client.post(f"/v1/carts/{cart_id}/orders", json=order, headers=key).json["order"])
        os.write(writer, (json.dumps([[each["ticket"], each["ready"]["at"]] for each in found]) + "\\n").encode())
        os._exit(0)
    children.append(child)
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
os.close(writer)
print(json.dumps([json.loads(line) for line in os.fdopen(reader)]))
"""


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("warm", ["warm", "cold"])
def test_two_forked_processes_share_tickets_and_slots(tmp_path, warm):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESSES, str(tmp_path / "deep" / "sandbox.db"), str(ORDERS), warm],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    placed = [order for process in json.loads(run.stdout) for order in process]
    assert sorted(ticket for ticket, _ in placed) == list(range(1, 2 * ORDERS + 1))
    times = [ready_at for _, ready_at in placed]
    assert {times.count(ready_at) for ready_at in times} == {PLACES["day"].capacity}


def test_threads_share_the_last_room_in_a_slot(kitchen):
    carts = [kitchen.cart("day")["cart"]["id"] for _ in range(12)]
    times: list[str] = []

    def order(cart: str) -> None:
        times.append(kitchen.order(cart)["ready"]["at"])

    threads = [threading.Thread(target=order, args=(cart,)) for cart in carts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {times.count(time) for time in times} == {PLACES["day"].capacity}
    assert len(times) == 12


def test_one_cart_ordered_by_many_at_once_is_one_order(kitchen):
    cart = kitchen.cart("congress")["cart"]["id"]
    body, statuses = {"payment": {"external": "LevelUp"}, "reference": "ref-1"}, []
    path = f"/v1/carts/{cart}/orders"

    def order() -> None:
        statuses.append(kitchen.client.post(path, json=body, headers={"X-Sandbox-Key": "sandbox"}).status_code)

    threads = [threading.Thread(target=order) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 5
    assert len(kitchen.placed("congress")) == 1


@pytest.mark.rule("SUB-5")
def test_orders_carts_and_accounts_outlive_a_restart(kitchen, tmp_path):
    order = kitchen.ordered("congress")
    cart = kitchen.cart("congress")["cart"]["id"]
    person = {"email": "ada@example.com", "password": "correct horse", "name": "Ada", "phone": None}
    token = kitchen.call("POST", "/v1/accounts", person)["session"]["token"]
    kitchen.app.extensions["sandbox"].store.close()
    restarted = type(kitchen)(tmp_path / "sandbox.db")
    try:
        assert restarted.placed("congress") == [order]
        assert restarted.order(cart, reference="ref-2")["ticket"] == 2
        restarted.cart("account", session=token)
    finally:
        restarted.app.extensions["sandbox"].store.close()


@pytest.mark.rule("SUB-10")
def test_a_file_of_an_earlier_version_is_taken_over(kitchen, tmp_path):
    order, cart = kitchen.ordered("congress"), kitchen.cart("congress")["cart"]["id"]
    kitchen.app.extensions["sandbox"].store.close()
    with closing(sqlite3.connect(tmp_path / "sandbox.db")) as earlier:
        earlier.executescript("DROP TABLE voided_references; DROP TABLE cancellations; DROP TABLE shortages")
    assert kitchen.placed("congress") == [order]
    kitchen.void("congress", "ref-2")
    assert kitchen.order_refused(cart, reference="ref-2") == "reference_voided"
    assert kitchen.order(cart, reference="ref-3")["ticket"] == 2


def test_the_file_is_private_and_opened_only_when_needed(tmp_path):
    path = tmp_path / "new" / "sandbox.db"
    app = create_sandbox(path)
    assert not path.parent.exists()
    client = app.test_client()
    client.get("/v1/locations/congress/orders?reference=r", headers={"X-Sandbox-Key": "sandbox"})
    app.extensions["sandbox"].store.close()
    assert [stat.S_IMODE(made.stat().st_mode) for made in (path.parent, path)] == [0o700, 0o600]


def test_a_failed_order_leaves_no_trace(kitchen):
    cart = kitchen.cart("congress", note="sandbox:decline")["cart"]["id"]
    assert kitchen.order_refused(cart) == "payment_declined"
    assert kitchen.order_refused(cart) == "payment_declined"
    assert kitchen.ordered("congress")["ticket"] == 1


@pytest.fixture
def served(tmp_path: Path):
    app = create_sandbox(tmp_path / "served.db")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, app
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["sandbox"].store.close()


@pytest.mark.rule("SUB-5")
def test_served_on_a_port_a_lost_answer_is_a_dropped_connection(served):
    port, app = served
    key = {"X-Sandbox-Key": "sandbox", "Content-Type": "application/json"}
    cart = {
        "lines": [{"dish": "sandwich"}],
        "customer": {"name": "Ada", "phone": "1"},
        "note": "sandbox:lost-answer",
    }

    def post(path, body):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body), key)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    cart_id = post("/v1/locations/congress/carts", cart)["cart"]["id"]
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        post(f"/v1/carts/{cart_id}/orders", {"payment": {"external": "LevelUp"}, "reference": "lost"})
    with app.extensions["sandbox"].store.reading() as transaction:
        assert [order.ticket for order in transaction.orders_by_reference("congress", "lost")] == [1]
