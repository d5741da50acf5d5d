#!/bin/sh
# fftp 0.4.0 (Python, of 2026): it takes a pickup note, and nobody at the restaurant can read it.
#
# What one would guess: an order has the member pickup_notes, and fftp's own client has an argument for it, so a guest's
# "I am in the blue car" reaches the counter, as the notes of a line do. What happens: the order is placed with 201, and
# neither the answer nor the counter's list of orders has the note; it is not stored.
# What to do: put it into the notes of the first line.
#
# Output seen on 2026-11-30:
#   fftp 0.4.0
#   notes of the line: no ice
#   pickup_notes: nowhere in the order
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "fftp==0.4.0" "starlette==1.10.0" "fastapi==0.165.0"
cat > "$folder/menu.yaml" <<'MENU'
restaurant: {name: Deli, address: 1 Main St, currency: USD, default_prep_minutes: 20}
items:
- {id: soda, name: Soda, price_cents: 300, category: Drinks}
MENU
"$folder/venv/bin/python" - "$folder/menu.yaml" <<'PYTHON'
import importlib.metadata
import json
import socket
import subprocess
import sys
import time
import urllib.request

NOTE = "I am in the blue car"
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "fftp.server", "--menu", sys.argv[1], "--host", "127.0.0.1", "--port", str(port)]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
server = subprocess.Popen([*command, "--admin-token", "token"], **quiet)
try:
    address = f"http://127.0.0.1:{port}/fftp/v1"
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{address}/menu", timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    order = {"lines": [{"item_id": "soda", "quantity": 1, "modifiers": [], "notes": "no ice"}],
             "client_total_cents": 300, "payment_proof": "cash", "idempotency_key": "key", "pickup_notes": NOTE}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/orders", json.dumps(order).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        placed = json.load(answer)
    request = urllib.request.Request(f"{address}/orders", headers={"x-admin-token": "token"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        (listed,) = json.load(answer)
finally:
    server.terminate()
    server.wait()
is_lost = NOTE not in json.dumps([placed, listed])
print("fftp", importlib.metadata.version("fftp"))
print("notes of the line:", listed["lines"][0]["notes"])
print("pickup_notes:", "nowhere in the order" if is_lost else "in the order")
sys.exit(0 if is_lost else 1)
PYTHON
