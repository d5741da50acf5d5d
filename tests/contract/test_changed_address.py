"""An account's address changes while it is unknown whether an order was placed at the one before."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.channel import Channel, Clock
from tests.contract.fakes import MovingAdapter

OLD, NEW = "https://old.example:8443", "https://new.example"
ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
settings = {{base_url = "{}"}}
"""
REMEDY = "set the account's base_url back, or ask the restaurant and settle it by `submissions settle`"

Host = Callable[[str], Channel]


@pytest.fixture(params=["MovingAdapter", "FencingAdapter", "RepeatingAdapter"])
def host(
    request: pytest.FixtureRequest, tmp_path: Path, environ: dict[str, str], clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Host]:  # fmt: skip
    """A service whose account has this address; all share one ledger."""
    monkeypatch.setattr("levelup_ov.ordering.submissions.CONFIRMED_AFTER", 0.01)
    accounts = tmp_path / "accounts.toml"

    def make(address: str) -> Channel:
        accounts.write_text(ACCOUNTS.format(address))
        more = {
            "LEVELUP_OV_ADAPTERS": f"fake=tests.contract.fakes:{request.param}",
            "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_RECONCILE_GRACE": "0.1",
        }  # fmt: skip
        return Channel(create_app(load_settings({**environ, **more}), clock=clock))

    for kept in (MovingAdapter.servers, MovingAdapter.fenced, MovingAdapter.traces):
        kept.clear()
    yield make


def tell(channel: Channel) -> str:
    answer = channel.submit("fake.one", order_number="1")
    return "" if answer.status == 200 else str(answer.error["code"])


def numbers() -> list[str]:
    return [number for orders in MovingAdapter.servers.values() for number in orders.values()]


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-10")
def test_another_server_without_the_order_proves_nothing(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    assert tell(host(f"{OLD}/a-secret-path")) == "outcome_unknown"
    moved = host(NEW)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            assert tell(moved) == "outcome_unknown"
            time.sleep(0.15)
    (logged, *_) = [record for record in caplog.records if record.getMessage() == "provider_address_changed"]
    assert (logged.sent_to, logged.address, logged.remedy) == (OLD, NEW, REMEDY)  # type: ignore[attr-defined]
    assert len(numbers()) == 1
    assert NEW not in MovingAdapter.fenced
    # Back at the old address, it is found.
    assert tell(host(f"{OLD.upper().replace('HTTPS', 'https')}/a-secret-path")) == ""
    assert len(numbers()) == 1
    assert all(dict(trace) == {"cart": "c-1"} for trace in MovingAdapter.traces)


@pytest.mark.rule("SUB-5", "SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter", "FencingAdapter"], indirect=True)
def test_an_order_at_another_address_is_the_order(host: Host) -> None:
    """The server has moved with its orders, as by a new name."""
    assert tell(host(OLD)) == "outcome_unknown"
    MovingAdapter.servers[NEW] = dict(MovingAdapter.servers[OLD])
    assert tell(host(NEW)) == ""
    assert len(set(numbers())) == 1


@pytest.mark.rule("SUB-5", "SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter", "FencingAdapter"], indirect=True)
def test_an_operator_is_told_where_an_order_was_sent(host: Host) -> None:
    assert tell(host(OLD)) == "outcome_unknown"
    runner = host(NEW).app.test_cli_runner()
    words = f"(sent to {OLD}; the account now has {NEW}: {REMEDY})"
    for _ in range(3):
        result = runner.invoke(args=["submissions", "reconcile"])
        assert (result.exit_code, words in result.stdout) == (1, True)
        time.sleep(0.15)
    listed = runner.invoke(args=["submissions", "list"]).stdout
    assert words in listed
    settled = runner.invoke(args=["submissions", "settle", listed.split()[1], "--not-placed", "--yes"])
    assert settled.exit_code == 0
    assert runner.invoke(args=["submissions", "reconcile"]).exit_code == 0


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_later_looks_at_another_address_end(host: Host, environ: dict[str, str]) -> None:
    channel = host(OLD)
    assert tell(channel) == "outcome_unknown"
    MovingAdapter.servers[OLD].clear()
    for _ in range(10):
        if tell(channel) == "":
            break
        time.sleep(0.15)
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE submissions SET look_again_at = 1 WHERE look_again_at IS NOT NULL")
    result = host(NEW).app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert (result.exit_code, "still not placed" in result.stdout) == (0, True), result.output
