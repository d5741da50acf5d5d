"""``levelup-ov orders``: open orders are checked without a request (STAT-5)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from adapters.sandbox import SandboxAdapter
from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.status import OrderStatus
from levelup_ov.errors import Unanswered, timed_out
from levelup_ov.standins.sandbox import create_sandbox
from tests.channel import Channel, Clock
from tests.contract.fakes import ReportingAdapter

ACCOUNTS = """
[accounts.{}]
provider = "fake"
name = "Fake Diner"
"""


class Engine:
    """The sandbox, and the calls that it gets."""

    def __init__(self, database: Path, clock: Clock) -> None:
        self._engine = create_sandbox(database, clock=clock)
        self.calls: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.calls.append(environ["PATH_INFO"])
        return self._engine(environ, start_response)


@pytest.fixture
def sandbox(tmp_path: Path, clock: Clock) -> Engine:
    return Engine(tmp_path / "sandbox.db", clock)


@pytest.fixture
def make_host(environ: dict[str, str], clock: Clock, sandbox: Engine) -> Callable[[], Flask]:
    """A host over the one ledger, with the one sandbox."""
    return lambda: create_app(load_settings(environ), clock=clock, in_process={"sandbox.internal": sandbox})


@pytest.fixture
def make_fakes(environ: dict[str, str], clock: Clock, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """A host with accounts at providers that say what a test has them say."""

    def make(*accounts: str) -> Flask:
        (tmp_path / "accounts.toml").write_text("".join(map(ACCOUNTS.format, accounts)))
        fake = "fake=tests.contract.fakes:ReportingAdapter"
        more = {"LEVELUP_OV_ACCOUNTS": str(tmp_path / "accounts.toml"), "LEVELUP_OV_ADAPTERS": fake}
        return create_app(load_settings({**environ, **more}), clock=clock)

    yield make


def provider(app: Flask, account: str) -> ReportingAdapter:
    found = app.extensions["levelup_ov.settings"].accounts[account]
    assert isinstance(found, ReportingAdapter)
    return found


def pass_time(environ: dict[str, str], span: timedelta) -> None:
    """Move the ledger's orders into the past: the ledger has a clock of its own."""
    past = span // timedelta(milliseconds=1)
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as ledger, ledger:
        ledger.execute(f"UPDATE submissions SET settled_at = settled_at - {past}, open_until = open_until - {past}")


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def run(app: Flask, *arguments: str) -> Result:
    result = app.test_cli_runner().invoke(args=["orders", *arguments])
    assert not isinstance(result.exception, Exception), result.output
    return result


@pytest.mark.rule("STAT-5")
def test_watching_costs_one_call_for_each_order(
    make_host: Callable[[], Flask], sandbox: Engine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    channel, orders = Channel(make_host()), 12
    for _ in range(orders):
        channel.submit()
    clock.set("2030-06-03T16:05Z")
    for changed in (orders, 0):
        sandbox.calls.clear()
        watched = run(make_host(), "watch", "--every", "0")
        assert f"{orders} checked, {changed} changed, 0 left" in watched.stderr and watched.exit_code == 0
        assert orders <= len(sandbox.calls) <= 1.1 * orders
    assert len([record for record in caplog.records if record.message == "order_status_changed"]) == orders


@pytest.mark.rule("STAT-5")
def test_an_order_is_watched_to_its_end(make_host: Callable[[], Flask], sandbox: Engine, clock: Clock) -> None:
    app = make_host()
    Channel(app).submit()
    assert "order=1 not known yet" in run(app, "list").stdout
    for minute, shown in (("16:00", "placed (taken)"), ("16:05", "preparing (cooking)"), ("16:11", "ready (waiting)"),
                         ("16:30", "picked_up (collected)")):  # fmt: skip
        clock.set(f"2030-06-03T{minute}Z")
        assert f"sandbox.congress order=1: {shown}" in run(app, "watch", "--every", "0").stdout
    sandbox.calls.clear()
    assert "0 checked" in run(app, "watch", "--every", "0").stderr
    assert sandbox.calls == []
    assert run(app, "list").stdout == ""


@pytest.mark.rule("STAT-5")
@pytest.mark.parametrize("ends", [True, False])
def test_an_order_for_later_is_watched_on_its_day(
    make_fakes: Callable[..., Flask], environ: dict[str, str], ends: bool
) -> None:
    app = make_fakes("odd")
    ready = datetime.now(timezone(timedelta(hours=-5))) + timedelta(days=2)
    provider(app, "odd").placed = Placed("A-1", "technical-1", reference=None, expected_ready_at=ready)
    assert Channel(app).submit("odd.one").order["expected_ready_at"]
    pass_time(environ, timedelta(days=2, minutes=5))
    assert "odd.one order=A-1: preparing (on the grill)" in run(app, "watch", "--every", "0").stdout
    if ends:
        provider(app, "odd").status = OrderStatus("gone", reference=None)
    pass_time(environ, timedelta(hours=23))
    assert "1 checked" in run(app, "watch", "--every", "0").stderr
    assert ("order=A-1" in run(app, "list").stdout) != ends
    if not ends:
        pass_time(environ, timedelta(hours=1))
    assert "0 checked" in run(app, "watch", "--every", "0").stderr


@pytest.mark.rule("STAT-5", "SUB-2")
def test_a_ready_time_without_a_zone_loses_no_order(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("odd")
    naive = datetime(2031, 1, 1, 12)
    provider(app, "odd").placed = Placed("A-1", "technical-1", reference=None, expected_ready_at=naive)
    Channel(app).submit("odd.one")
    assert "order=A-1" in run(app, "list").stdout


@pytest.mark.rule("STAT-5")
def test_an_order_number_forges_no_line(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("odd")
    provider(app, "odd").placed = Placed("7\r\nx odd.one order=8 \x1b[2J\u202e", "technical-1", reference=None)
    Channel(app).submit("odd.one")
    for command in (["orders", "watch"], ["orders", "list"], ["submissions", "list", "--state", "placed"]):
        (line,) = app.test_cli_runner().invoke(args=command).stdout.splitlines()
        assert r"order=7\r\nx odd.one order=8 \x1b[2J\u202e" in line


@pytest.mark.rule("STAT-5")
def test_hosts_share_the_orders_of_a_run(make_host: Callable[[], Flask], sandbox: Engine) -> None:
    one, two = make_host(), make_host()
    for _ in range(3):
        Channel(one).submit()
    for host, asked in ((one, 3), (two, 0), (one, 0)):
        assert f"{asked} checked" in run(host, "watch").stderr
    assert len([path for path in sandbox.calls if path.endswith("/state")]) == 3


@pytest.mark.rule("STAT-5")
def test_a_clock_that_is_set_back_hides_no_order(make_fakes: Callable[..., Flask], environ: dict[str, str]) -> None:
    app = make_fakes("one")
    Channel(app).submit("one.one")
    assert "1 checked" in run(app, "watch").stderr
    ahead = timedelta(hours=2) // timedelta(milliseconds=1)
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as ledger, ledger:
        ledger.execute(f"UPDATE order_statuses SET asked_at = asked_at + {ahead}")
    assert "1 checked" in run(app, "watch").stderr
    assert "0 checked" in run(app, "watch").stderr


@pytest.mark.rule("STAT-5")
def test_an_account_gets_its_share_of_calls(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("busy", "calm")
    for account, orders in (("busy", 5), ("calm", 1)):
        for _ in range(orders):
            Channel(app).submit(f"{account}.one")
    run(app, "watch", "--calls", "2", "--every", "0")
    assert (len(provider(app, "busy").asked), len(provider(app, "calm").asked)) == (2, 1)
    for _ in range(2):
        run(app, "watch", "--calls", "2", "--every", "0")
    assert set(provider(app, "busy").asked) == {f"technical-1-{number}" for number in range(1, 6)}


@pytest.mark.rule("STAT-5")
def test_a_provider_that_is_down_keeps_no_other_waiting(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("down", "sound")
    for account in ("down", "sound"):
        Channel(app).submit(f"{account}.one")
    provider(app, "down").status = Unanswered("provider_unavailable", "out of order", sent=True)
    watched = run(app, "watch", "--every", "0")
    assert watched.exit_code == 1
    assert "1 checked, 1 changed, 1 left for the next run" in watched.stderr
    assert "down.one order=A-1: provider_unavailable: out of order" in watched.stdout
    provider(app, "down").status = OrderStatus("gone", reference=None)
    assert "down.one order=A-1: picked_up (gone)" in run(app, "watch", "--every", "0").stdout


@pytest.mark.rule("STAT-5")
def test_an_error_of_an_adapter_holds_no_order(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("odd")
    for _ in range(2):
        Channel(app).submit("odd.one")
    provider(app, "odd").status = RuntimeError("a bug")
    for _ in range(2):
        assert run(app, "watch", "--every", "0", "--calls", "1").exit_code == 1
    assert len(set(provider(app, "odd").asked)) == 2


@pytest.mark.rule("STAT-2", "STAT-5")
def test_an_order_with_an_unknown_word_is_still_watched(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("odd")
    Channel(app).submit("odd.one")
    provider(app, "odd").status = OrderStatus("in orbit", reference=None)
    for _ in range(2):
        run(app, "watch", "--every", "0")
    assert len(provider(app, "odd").asked) == 2
    assert "order=A-1 unknown (in orbit) since " in run(app, "list", "--account", "odd").stdout
    assert run(app, "list", "--account", "another").stdout == ""


@pytest.mark.rule("STAT-7")
def test_a_cancellation_that_was_interrupted_is_noticed(
    make_host: Callable[[], Flask], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_host()
    channel = Channel(app)
    channel.submit()
    pass_time(environ, timedelta(days=15))
    assert run(app, "list").stdout == ""
    with monkeypatch.context() as patch:
        patch.setattr("levelup_ov.ordering.tracking.OrderTracking.record", killed)
        with pytest.raises(KeyboardInterrupt):
            channel.send("POST", "/locations/sandbox.congress/orders/1/cancellation")
    assert "order=1: cancelled (called-off)" in run(app, "watch").stdout


@pytest.mark.rule("STAT-5", "STAT-7")
@pytest.mark.parametrize(("code", "runs_for_all"), [("provider_protocol_error", 1), ("provider_unavailable", 4)])
def test_orders_that_cannot_be_read_keep_none_waiting(
    make_host: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch, code: str, runs_for_all: int
) -> None:
    app, asked, unreadable = make_host(), list[str](), set[str]()
    channel = Channel(app)

    def show(_: Any, _location: Any, order: str, reference: str, _session: Any) -> OrderStatus:
        asked.append(order)
        if order in unreadable:
            raise Unanswered(code, "no such order", sent=True)
        return OrderStatus("taken", reference=reference)

    def cancel(_: Any, _location: Any, order: str, *_more: Any) -> None:
        unreadable.add(order)
        raise timed_out(sent=True)

    monkeypatch.setattr(SandboxAdapter, "show_status", show)
    monkeypatch.setattr(SandboxAdapter, "cancel_order", cancel)
    monkeypatch.setattr("levelup_ov.cli.orders.WORKERS", 1)
    for number in range(1, 12):
        assert channel.submit().status == 200
        if number <= 9:
            channel.send("POST", f"/locations/sandbox.congress/orders/{number}/cancellation")
    asked.clear()
    for _ in range(runs_for_all):
        assert run(app, "watch", "--every", "0").exit_code == 1
    assert len(unreadable) == 9 and len(set(asked)) == 11


@pytest.mark.rule("STAT-5")
def test_ten_thousand_open_orders_take_turns(make_fakes: Callable[..., Flask], environ: dict[str, str]) -> None:
    app = make_fakes("busy")
    Channel(app).submit("busy.one")
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as ledger, ledger:
        columns = [row[1] for row in ledger.execute("PRAGMA table_info(submissions)")]
        own = {"id": "id || n", "provider_order_id": "'many-' || n", "order_id": "n"}
        made = ", ".join(own.get(column, column) for column in columns)
        numbers = "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)"
        ledger.execute(f"INSERT INTO submissions {numbers} SELECT {made} FROM submissions, numbers")
    for _ in range(2):
        assert "20 checked" in run(app, "watch", "--calls", "20").stderr
    assert len(set(provider(app, "busy").asked)) == 40


@pytest.mark.rule("STAT-1", "STAT-6", "EP-7")
def test_the_order_of_another_account_is_not_found(make_fakes: Callable[..., Flask]) -> None:
    app = make_fakes("one", "two")
    channel = Channel(app)
    assert channel.submit("one.one").order["order_id"] == "A-1"
    assert channel.get("/locations/one.one/orders/A-1").status == 200
    assert channel.get("/locations/two.one/orders/A-1").refusal == (404, "order_not_found", None)
    assert provider(app, "two").asked == []


@pytest.mark.rule("STAT-5")
def test_orders_of_a_removed_account_are_counted(
    make_fakes: Callable[..., Flask], environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_fakes("stays", "goes")
    for account in ("stays", "goes"):
        provider(app, account).placed = Placed("A-1", "technical", reference=None)
    for location in ("stays.one", "goes.one", "goes.one"):
        assert Channel(app).submit(location).status == 200
    assert run(app, "watch").exit_code == 0
    left = run(make_fakes("stays"), "watch", "--every", "0")
    assert left.exit_code == 1 and "goes: 2 open orders not watched" in left.output and "1 checked" in left.output
    warned = [record for record in caplog.records if record.message == "orders_not_watched"]
    assert [(each.account, each.orders) for each in warned] == [("goes", 2)]  # type: ignore[attr-defined]
    pass_time(environ, timedelta(days=2))
    assert run(make_fakes("stays"), "watch").exit_code == 0
