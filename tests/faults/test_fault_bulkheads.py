"""A provider that hangs holds up its own account, not the others."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.bulkhead import Bulkhead
from tests.faults.proxy import Exchange
from tests.faults.scripted import scripted_service
from tests.faults.stack import Stack, environment


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@pytest.mark.rule("ERR-3", "SUB-2")
def test_an_account_beyond_its_share_is_busy_before_any_claim(tmp_path: Path) -> None:
    held = threading.Event()

    def hang(exchange: Exchange) -> bool:
        held.wait(10)
        exchange.pass_on(*exchange.forward())
        return True

    share = {"LEVELUP_OV_THREADS": "4", "LEVELUP_OV_ACCOUNT_SHARE": "50"}
    with scripted_service(tmp_path, accounts=("hangs", "works"), more=share) as one, ThreadPoolExecutor(2) as pool:
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
def test_one_hanging_provider_leaves_the_other_account_served(tmp_path: Path) -> None:
    share = {"LEVELUP_OV_THREADS": "4"}
    with scripted_service(tmp_path, accounts=("hangs", "works"), more=share) as one:
        hanging, working = one.proxy.ports
        urls = {"hangs": f"http://127.0.0.1:{hanging}", "works": f"http://127.0.0.1:{working}"}
        settings = environment(tmp_path, urls, f"sqlite:///{tmp_path}/other.db", deadline=2.5, grace=1, more=share)
        with Stack(tmp_path, settings, workers=1) as stack, one.proxy.deaf(hanging):
            order, path = {"order_validation": one.order()}, "/locations/hangs.congress/order_validations"
            with ThreadPoolExecutor(4) as pool:
                waiting = [pool.submit(stack.post, path, order) for _ in "abcd"]
                time.sleep(0.3)
                answer = stack.post("/locations/works.congress/order_validations", order)
                assert answer.status == 200
                assert answer.seconds < 1
                codes = sorted(future.result().code for future in waiting)
        # Half of four threads and one that the other leaves idle: three wait for it, the fourth is refused at once.
        assert codes[0] == "provider_busy"
        assert set(codes[1:]) <= {"provider_unavailable", "provider_timeout"}


# The shares themselves.


def _held(bulkhead: Bulkhead, account: str, tries: int, stack: ExitStack) -> int:
    """How many of ``tries`` requests of an account find room."""
    found = 0
    for _ in range(tries):
        try:
            stack.enter_context(bulkhead.room(account))
        except Failure as failure:
            assert failure.code == "provider_busy"
        else:
            found += 1
    return found


@pytest.mark.rule("ERR-3")
@pytest.mark.parametrize("accounts", [1, 2, 3, 10, 500])
def test_an_account_borrows_what_others_leave_idle(accounts: int) -> None:
    bulkhead = Bulkhead(64 if accounts == 1 else 32, threads=64, accounts=accounts)
    with ExitStack() as stack:
        alone = _held(bulkhead, "busy", 64, stack)
        assert alone == {1: 64, 2: 56, 3: 48, 10: 32, 500: 32}[accounts]
        if accounts > 1:
            # Each of the others finds its floor at once.
            assert _held(bulkhead, "other", 8, stack) == 8
    with ExitStack() as stack:
        assert _held(bulkhead, "busy", 64, stack) == alone


@pytest.mark.rule("ERR-3")
def test_a_share_that_was_set_is_not_exceeded() -> None:
    with ExitStack() as stack:
        assert _held(Bulkhead(16, threads=64, accounts=2, most=16), "busy", 64, stack) == 16


@pytest.mark.rule("SUB-2", "ERR-3")
def test_a_slow_ledger_does_not_take_all_threads(tmp_path: Path) -> None:
    with scripted_service(tmp_path, more={"LEVELUP_OV_THREADS": "4"}) as one, ThreadPoolExecutor(2) as pool:
        assert one.validate("diner.congress").status == 200
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            waiting = [pool.submit(one.submit, "diner.congress", key=key) for key in "ab"]
            time.sleep(0.5)
            refused = one.submit("diner.congress", key="c")
            assert (refused.status, refused.code, refused.retryable) == (503, "ledger_unavailable", True)
            assert not any(each.done() for each in waiting)
            lock.execute("ROLLBACK")
        assert {each.result().status for each in waiting} <= {200, 503}
        assert one.submit("diner.congress", key="c").status == 200
