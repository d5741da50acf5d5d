"""The diner's ordering server: FFTP on the loopback interface, installed at first, until it is interrupted."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.fftp import FftpServer, install

ENDS = {signal.SIGINT, signal.SIGTERM}

with FftpServer(install()) as server:
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    print(f"export DINER_URL={server.base_url} DINER_ADMIN_TOKEN={server.admin_token}", flush=True)
    signal.sigwait(ENDS)
