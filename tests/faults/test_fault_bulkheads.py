"""A provider that hangs holds up its own account, not the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.house import house
from tests.faults.proxy import Exchange
from tests.faults.stack import Stack, environment


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@pytest.mark.rule("ERR-3", "SUB-2")
def test_beyond_its_share_an_account_is_busy_before_any_claim_while_another_is_served(tmp_path: Path) -> None:
    held = threading.Event()

    def hang(exchange: Exchange) -> bool:
        held.wait(10)
        exchange.pass_on(*exchange.forward())
        return True

    share = {"LEVELUP_OV_THREADS": "4", "LEVELUP_OV_ACCOUNT_SHARE": "50"}
    with house(tmp_path, accounts=("hangs", "works"), more=share) as one, ThreadPoolExecutor(2) as pool:
        assert one.settings.account_threads == 2
        for account in ("hangs", "works"):
            assert one.validate(f"{account}.congress").status == 200
        one.script.add("cart", hang, hang)
        hanging = [pool.submit(one.submit, "hangs.congress", key=key) for key in "ab"]
        _until(lambda: one.proxy.count("cart") == 4)
        calls, rows = len(one.proxy.calls), len(one.rows())
        for answer in (one.submit("hangs.congress", key="c"), one.validate("hangs.congress")):
            assert (answer.status, answer.code, answer.retryable) == (503, "provider_busy", True)
        assert (len(one.proxy.calls), len(one.rows())) == (calls, rows)
        assert one.submit("works.congress", key="c").status == 200
        held.set()
        assert [future.result().status for future in hanging] == [200, 200]
        # The place is free again, and what was busy had left no trace.
        assert one.submit("hangs.congress", key="c").status == 200


@pytest.mark.rule("ERR-3")
def test_a_worker_whose_one_provider_hangs_serves_the_other_account(tmp_path: Path) -> None:
    share = {"LEVELUP_OV_THREADS": "4"}
    with house(tmp_path, accounts=("hangs", "works"), more=share) as one:
        hanging, working = one.proxy.ports
        urls = {"hangs": f"http://127.0.0.1:{hanging}", "works": f"http://127.0.0.1:{working}"}
        settings = environment(tmp_path, urls, f"sqlite:///{tmp_path}/other.db", deadline=2.5, grace=1, more=share)
        with Stack(tmp_path, settings, workers=1) as stack, one.proxy.deaf(hanging):
            order, path = {"order_validation": one.order()}, "/locations/hangs.congress/order_validations"
            with ThreadPoolExecutor(3) as pool:
                waiting = [pool.submit(stack.post, path, order) for _ in "abc"]
                time.sleep(0.3)
                answer = stack.post("/locations/works.congress/order_validations", order)
                assert answer.status == 200
                assert answer.seconds < 1
                codes = sorted(future.result().code for future in waiting)
        # Half of four threads: two wait for it, the third is told at once.
        assert codes[0] == "provider_busy"
        assert set(codes[1:]) <= {"provider_unavailable", "provider_timeout"}
