#!/bin/sh
# fftp 0.4.0 (Python, of 2026): where the restaurant's date is not that of UTC, everybody has the same ticket number.
#
# What one would guess: ticket numbers count up and start again each day, so at one counter no two guests of one day
# have the same. What happens: while the server's local date differs from the date in UTC (in New York every evening
# from 19:00 or 20:00 on), the number of today's orders that it counts is always 0, and each order is T-001.
# What to do: show people your own number, or distinguish guests at the counter by name.
#
# Output seen on 2026-11-29:
#   fftp 0.4.0
#   local date is that of UTC: T-001 T-002 T-003
#   local date is another: T-001 T-001 T-001
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
cat > "$folder/order.py" <<'PYTHON'
"""Order three times at a server whose clock's zone is sys.argv[1]; print the numbers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

zone, menu = sys.argv[1:]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "fftp.server", "--menu", menu, "--host", "127.0.0.1", "--port", str(port)]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
server = subprocess.Popen([*command, "--admin-token", "token"], env={**os.environ, "TZ": zone}, **quiet)
try:
    address = f"http://127.0.0.1:{port}/fftp/v1"
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{address}/menu", timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    for number in range(3):
        order = {"lines": [{"item_id": "soda", "quantity": 1, "modifiers": [], "notes": ""}], "client_total_cents": 300,
                 "payment_proof": "cash", "idempotency_key": f"key-{number}", "customer_name": "Robin Example"}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/orders", json.dumps(order).encode(), headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            print(json.load(answer)["ticket_number"], end=" " if number < 2 else "")
finally:
    server.terminate()
    server.wait()
PYTHON
# POSIX zones: twelve hours behind UTC it is yesterday all morning, twelve ahead it is tomorrow all afternoon.
if [ "$(date -u +%H)" -lt 12 ]; then other=AAA12; else other=AAA-12; fi
mkdir "$folder/same" "$folder/other"
cp "$folder/menu.yaml" "$folder/same/"
cp "$folder/menu.yaml" "$folder/other/"
"$folder/venv/bin/pip" list 2>/dev/null | sed -n 's/^fftp  *\([0-9]\)/fftp \1/p'
same=$("$folder/venv/bin/python" "$folder/order.py" UTC0 "$folder/same/menu.yaml")
echo "local date is that of UTC: $same"
apart=$("$folder/venv/bin/python" "$folder/order.py" "$other" "$folder/other/menu.yaml")
echo "local date is another: $apart"
test "$same" = "T-001 T-002 T-003" && test "$apart" = "T-001 T-001 T-001"
