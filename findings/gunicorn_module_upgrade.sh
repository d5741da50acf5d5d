#!/bin/sh
# gunicorn 27.0.1 (Python 3.11): a server that was started with "python -m gunicorn" cannot be upgraded with USR2.
#
# What one would guess: USR2 starts a second server from the same command, whichever of its two documented forms was
# used. What happens: the second one is started from the module's file, python .../gunicorn/__main__.py. Python then
# looks for modules in that file's folder first, where gunicorn has packages called http and asgi, and the standard
# library's http.client is not found. The first server goes on, and says nothing.
# What to do: start it with the script "gunicorn", or put the command right in the hook pre_exec.
#
# Output seen on 2026-12-01:
#   gunicorn 27.0.1 as script: a second server after USR2
#   gunicorn 27.0.1 as module: No module named 'http.client'
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gunicorn==27.0.1
cat > "$folder/application.py" <<'PYTHON'
import http.client


def application(environ, start_response):
    start_response("204 No Content", [])
    return []
PYTHON
cat > "$folder/try.py" <<'PYTHON'
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

form, folder = sys.argv[1:]
python, script = f"{folder}/venv/bin/python", f"{folder}/venv/bin/gunicorn"
command = [python, "-m", "gunicorn"] if form == "module" else [python, script]
log = f"{folder}/{form}.log"
with open(log, "w") as output:
    options = ["-b", "127.0.0.1:0", "-p", f"{folder}/{form}.pid", "--preload", "application:application"]
    server = subprocess.Popen([*command, *options], cwd=folder, stderr=output)


def logged(pattern, seconds=20.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with open(log) as lines:
            if found := re.search(pattern, lines.read()):
                return found
        time.sleep(0.05)
    sys.exit(f"gunicorn did not log {pattern}")


logged("Booting worker")
server.send_signal(signal.SIGUSR2)
found = logged(r"(?s)Booting worker.*?(Booting worker|No module named '[\w.]+')")
second = found[1] if "No module" in found[1] else "a second server after USR2"
with suppress(OSError):
    with open(f"{folder}/{form}.pid.2") as pid:
        os.kill(int(pid.read()), signal.SIGTERM)
server.terminate()
server.wait()
print(f"gunicorn 27.0.1 as {form}: {second}")
sys.exit("No module" in second)
PYTHON
if "$folder/venv/bin/python" "$folder/try.py" script "$folder"; then script=works; else script=fails; fi
if "$folder/venv/bin/python" "$folder/try.py" module "$folder"; then module=works; else module=fails; fi
test "$script $module" = "works fails"
