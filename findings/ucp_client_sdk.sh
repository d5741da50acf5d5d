#!/bin/sh
# ucp-client 0.0.11 (Python, of 2026-01): it cannot be imported over the ucp-sdk that its own requirements bring.
#
# What one would guess: "pip install ucp-client" gives a client of the Universal Commerce Protocol that works. What
# happens: it requires ucp-sdk of any version, and imports modules that only 0.1.0 has; with 0.3.0 of the SDK, and so
# with the newest one, the first import fails.
# What to do: install ucp-sdk==0.1.0 beside it, or use another client; MCP's is one.
#
# Output seen on 2026-11-29:
#   ucp-client 0.0.11, ucp-sdk 0.5.0: No module named 'ucp_sdk.models.discovery'
#   ucp-client 0.0.11, ucp-sdk 0.1.0: imported
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat > "$folder/try.py" <<'PYTHON'
import importlib.metadata
import sys

versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ucp-client", "ucp-sdk"))
try:
    import ucp_client
except ModuleNotFoundError as error:
    print(f"{versions}: {error}")
    sys.exit(1)
print(f"{versions}: imported")
PYTHON
install() {
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ucp-client==0.0.11" "ucp-sdk==$1"
}
install 0.5.0
if "$folder/venv/bin/python" "$folder/try.py"; then newest=works; else newest=fails; fi
install 0.1.0
if "$folder/venv/bin/python" "$folder/try.py"; then oldest=works; else oldest=fails; fi
test "$newest $oldest" = "fails works"
