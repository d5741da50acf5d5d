"""The diner's ordering server: FFTP on the loopback interface, installed at first, until it is interrupted."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.fftp import FftpServer, install

with FftpServer(install()) as server:
    print(f"export DINER_URL={server.base_url} DINER_ADMIN_TOKEN={server.admin_token}", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
