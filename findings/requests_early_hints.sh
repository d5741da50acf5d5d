#!/bin/sh
# requests 2.34.2 over urllib3 2.8.0 (Python, of 2026): what follows 103 Early Hints is taken for the next answer.
#
# What one would guess: HTTP lets a server send 103 Early Hints before its answer, and a client reads on until the
# final one. What happens: the 103 is returned as the answer, and the connection goes back to the pool while the real
# answer is still on its way. The next call on it, whatever it asks for, gets the answer of the one before, unless
# that has arrived by then: bytes that wait are noticed. Only 100 is skipped (by Python's http.client, below both).
# What to do: give a call that places or pays something a connection of its own, read on after each 1xx, and compare
# what an answer says with what was asked.
#
# Output seen on 2026-11-29:
#   requests 2.34.2, urllib3 2.8.0
#   POST /orders/ada: 103 ''
#   POST /orders/bob: 201 'order of ada'
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "requests==2.34.2" "urllib3==2.8.0"
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import sys
import threading
import time

import requests
import urllib3


def serve(listener):
    """Answer each call with 103, and then with the name in its path; connections are kept."""
    while True:
        connection, _ = listener.accept()
        with connection:
            while head := connection.recv(65536):
                name = head.split()[1].decode().rpartition("/")[2]
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </menu>; rel=preload\r\n\r\n")
                time.sleep(0.5)
                said = f"order of {name}".encode()
                connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
print(f"requests {requests.__version__}, urllib3 {urllib3.__version__}")
seen = []
with requests.Session() as session:
    session.trust_env = False
    for name in ("ada", "bob"):
        answer = session.post(f"http://127.0.0.1:{listener.getsockname()[1]}/orders/{name}", timeout=5)
        print(f"POST /orders/{name}: {answer.status_code} {answer.text!r}")
        seen.append((answer.status_code, answer.text))
sys.exit(0 if seen == [(103, ""), (201, "order of ada")] else 1)
PYTHON
