"""A provider that is down is asked no more than it must be, and found again when it is back."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from levelup_ov.transport import session as transport
from levelup_ov.transport.breaker import FAILURES, FIRST_PAUSE, Breaker
from tests.faults.scripted import ScriptedService, scripted_service

REQUESTS = 300
THREADS = 8


def _many(one: ScriptedService, how_many: int) -> Counter[str]:
    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(lambda _: one.validate().code, range(how_many)))


@pytest.mark.rule("ERR-3")
def test_a_dead_provider_gets_one_call_per_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(transport, "Breaker", lambda: Breaker(lambda: now))
    with scripted_service(tmp_path) as one:
        assert one.validate().status == 200
        before = len(one.proxy.calls)
        one.script.add("cart", *["reset after reading"] * REQUESTS * transport.ATTEMPTS)
        assert set(_many(one, REQUESTS)) == {"provider_unavailable"}
        calls = len(one.proxy.calls) - before
        assert calls <= 1.1 * REQUESTS
        # Far fewer, in fact: those that were under way when the circuit opened.
        assert calls <= FAILURES + THREADS

        refused = one.validate()
        assert (refused.status, refused.headers["Retry-After"]) == (503, f"{FIRST_PAUSE:.0f}")
        for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE):
            now += pause
            probed = len(one.proxy.calls)
            assert set(_many(one, 40)) == {"provider_unavailable"}
            assert len(one.proxy.calls) - probed == 1, "one probe, whatever the number of requests"

        one.script.faults.clear()
        assert one.validate().code == "provider_unavailable"
        now += 4 * FIRST_PAUSE
        assert one.validate().status == 200
        assert set(_many(one, 40)) == {""}


@pytest.mark.rule("SUB-4")
def test_a_replay_needs_no_provider(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        placed = one.submit(key="a")
        calls = len(one.proxy.calls)
        with one.proxy.closed(one.proxy.ports[0]):
            again = one.submit(key="a")
            assert (again.status, again.replayed, again.body) == (200, True, placed.body)
            fresh = one.submit(key="b")
            assert (fresh.status, fresh.code, fresh.retryable) == (503, "provider_unavailable", True)
        assert len(one.proxy.calls) == calls
        # Nothing was sent: the same submission may be sent when it is back.
        assert one.submit(key="b").status == 200
        assert len(one.cooked()) == 2
