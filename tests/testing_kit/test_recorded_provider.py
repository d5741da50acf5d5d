"""Recordings certify what they can; the rest is skipped, and each skip has its reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.scaffold.recorder import Recorder
from levelup_ov.standins.sandbox import create_sandbox
from levelup_ov.testing import Provider
from levelup_ov.testing.harness import Bench
from levelup_ov.transport.session import Transport

ROOT = Path(__file__).parents[2]
KEPT = ("id", "dish", "least", "most", "least_kinds", "most_kinds")
TEST = """
from pathlib import Path
import pytest
from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.order import Item
from levelup_ov.testing import AdapterContract, Provider, Playback, Refusal, Sample

@pytest.fixture(scope="module")
def provider():
    recordings = Playback(Path(__file__).with_name("recordings"))
    return Provider(SandboxAdapter, Account("diner", "sandbox", "Diner"), recordings, reacts=False)

class TestSandbox(AdapterContract):
    orders = {"a cookie": Sample("congress", Item("cookie", 1))}
    refusals = {"unknown": Refusal("unknown_item", Sample("congress", Item("pizza", 1)))}
"""


def test_an_adapter_is_certified_by_recordings_as_far_as_they_go(tmp_path: Path) -> None:
    engine = create_sandbox(tmp_path / "sandbox.db")
    transport = Transport(pool_size=1, in_process={"sandbox.internal": engine})
    adapter = Bench(Provider(SandboxAdapter, Account("diner", "sandbox", "Diner"), transport)).adapter()
    list(Recorder(adapter, transport, tmp_path / "recordings", KEPT).record("congress", submit=True))
    engine.extensions["sandbox"].store.close()
    (tmp_path / "test_sandbox.py").write_text(TEST)

    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-c", str(ROOT / "setup.cfg")]
    done = subprocess.run(
        [*command, str(tmp_path / "test_sandbox.py")], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout
    reasons = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert reasons and all("recordings always answer" in line or "declares" in line for line in reasons)
