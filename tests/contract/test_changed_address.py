"""An account's address or tenant changes while it is unknown whether an order was placed at the one before."""

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
provider = "{provider}"
name = "Fake Diner"
[accounts.fake.settings]
"""
REMEDY = "set the account's base_url back, or ask the restaurant and settle it by `submissions settle`"

MOVES = {
    "another path": ((f"{OLD}/a", ""), (f"{OLD}/b", ""), "base_url"),
    "a path of its own": ((OLD, ""), (f"{OLD}/b", ""), "base_url"),
    "a path in other letters": ((f"{OLD}/a", ""), (f"{OLD}/A", ""), "base_url"),
    "another tenant": ((OLD, "ann"), (OLD, "bob"), "tenant"),
    "the first tenant": ((OLD, ""), (OLD, "bob"), "tenant"),
    "both": ((f"{OLD}/a", "ann"), (f"{OLD}/b", "bob"), "base_url and tenant"),
}
"""Address and tenant, before and after; and what has changed."""
SAME = {
    "a slash": ((f"{OLD}/a", "ann"), (f"{OLD}/a/", "ann")),
    "other letters of the host": ((f"{OLD}/a", "ann"), (f"{OLD.replace('old', 'OLD')}/a", "ann")),
    "a setting that finds no orders": ((f"{OLD}/a", "ann", "grill"), (f"{OLD}/a", "ann", "bar")),
}

Host = Callable[..., Channel]


@pytest.fixture(params=["MovingAdapter", "FencingAdapter", "RepeatingAdapter"])
def host(
    request: pytest.FixtureRequest, tmp_path: Path, environ: dict[str, str], clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Host]:  # fmt: skip
    """A service whose account has this address, tenant and kitchen; all share one ledger."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    accounts = tmp_path / "accounts.toml"

    def make(address: str, tenant: str = "", kitchen: str = "", provider: str = "fake") -> Channel:
        given = {"base_url": address, "tenant": tenant, "kitchen": kitchen}
        accounts.write_text(
            ACCOUNTS.format(provider=provider)
            + "".join(f'{name} = "{value}"\n' for name, value in given.items() if value)
        )
        more = {
            "LEVELUP_OV_ADAPTERS": f"{provider}=tests.contract.fakes:{request.param}",
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


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-10")
@pytest.mark.parametrize("move", MOVES)
def test_only_where_it_was_sent_proves_that_there_is_none(
    host: Host, move: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, after, changed = MOVES[move]
    assert tell(host(*before)) == "outcome_unknown"
    channel = host(*after)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            assert tell(channel) == "outcome_unknown"
            time.sleep(0.15)
    (logged, *_) = [record for record in caplog.records if record.getMessage() == "provider_address_changed"]
    assert " and ".join(logged.changed) == changed  # type: ignore[attr-defined]
    assert len(numbers()) == 1 and not MovingAdapter.fenced
    assert tell(host(*before)) == ""
    assert len(numbers()) == 1
    assert all(dict(trace) == {"cart": "c-1"} for trace in MovingAdapter.traces)


@pytest.mark.rule("SUB-5", "SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter", "FencingAdapter"], indirect=True)
@pytest.mark.parametrize("same", SAME)
def test_another_spelling_is_no_other_place(host: Host, same: str) -> None:
    before, after = SAME[same]
    assert tell(host(*before)) == "outcome_unknown"
    MovingAdapter.servers["another"] = MovingAdapter.servers.copy().popitem()[1].copy()
    MovingAdapter.servers = {"another": {}}
    channel = host(*after)
    assert _wait_for(channel) == ""
    assert len(numbers()) == 1


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_a_path_and_a_tenant_are_shown_to_nobody(host: Host, environ: dict[str, str]) -> None:
    """They may be secret; the names of the settings are not."""
    assert tell(host(f"{OLD}/a-secret-path", "a-secret-tenant")) == "outcome_unknown"
    runner = host(f"{OLD}/b", "bob").app.test_cli_runner()
    words = (
        "(sent with another base_url and tenant than the account has now: set the account's base_url and tenant back"
    )
    listed = runner.invoke(args=["submissions", "list"]).stdout
    assert words in listed
    ledger = "".join(
        path.read_bytes().decode("latin-1") for path in Path(environ["LEVELUP_OV_DATA_DIR"]).glob("ledger*")
    )
    assert '"sent_with"' in ledger and "secret" not in ledger + listed


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_an_older_row_knows_only_its_origin(host: Host, environ: dict[str, str]) -> None:
    """It is treated as by the release that wrote it."""
    assert tell(host(f"{OLD}/a", "ann")) == "outcome_unknown"
    execute(environ, "UPDATE submissions SET trace = json_remove(trace, '$.sent_with')")
    assert _wait_for(host(NEW, "ann"), times=3) == "outcome_unknown"
    assert _wait_for(host(f"{OLD}/b", "bob")) == ""


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_a_setting_that_the_row_does_not_know_has_not_changed(host: Host, environ: dict[str, str]) -> None:
    """A later release of an adapter may say of one more setting that it finds orders."""
    assert tell(host(f"{OLD}/a", "ann")) == "outcome_unknown"
    execute(environ, "UPDATE submissions SET trace = json_remove(trace, '$.sent_with.tenant')")
    assert _wait_for(host(f"{OLD}/b", "bob"), times=3) == "outcome_unknown"
    assert _wait_for(host(f"{OLD}/a", "bob")) == ""


@pytest.mark.rule("SUB-2", "SUB-10")
def test_another_provider_at_the_address_proves_nothing(host: Host) -> None:
    """A hub serves both. An adapter by another name may look orders up in another way."""
    assert tell(host(OLD)) == "outcome_unknown"
    MovingAdapter.servers, kept = {"another": {}}, MovingAdapter.servers
    assert _wait_for(other := host(OLD, provider="other"), times=3) == "outcome_unknown"
    listed = other.app.test_cli_runner().invoke(args=["submissions", "list"]).stdout
    assert "sent with another provider than the account has now: set the account's provider back" in listed
    MovingAdapter.servers = kept
    assert _wait_for(host(OLD)) == "" and len(numbers()) == 1


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_a_row_that_does_not_know_its_provider_has_not_moved(host: Host, environ: dict[str, str]) -> None:
    """A row of a release that did not record it."""
    assert tell(host(OLD)) == "outcome_unknown"
    execute(environ, "UPDATE submissions SET trace = json_remove(trace, '$.sent_with.provider')")
    MovingAdapter.servers = {"another": {}}
    assert _wait_for(host(OLD)) == ""


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
@pytest.mark.parametrize("move", ["another path", "another tenant"])
def test_a_later_look_elsewhere_is_no_look(host: Host, environ: dict[str, str], move: str) -> None:
    before, after, changed = MOVES[move]
    assert tell(channel := host(*before)) == "outcome_unknown"
    orders = MovingAdapter.servers.popitem()[1]
    MovingAdapter.servers["another"] = {}
    assert _wait_for(channel) == ""
    MovingAdapter.servers.clear()
    execute(environ, "UPDATE submissions SET look_again_at = 1 WHERE look_again_at IS NOT NULL")
    runner = host(*after).app.test_cli_runner()
    for _ in range(2):
        result = runner.invoke(args=["submissions", "reconcile"])
        assert (result.exit_code, f"another {changed} than the account has now" in result.stdout) == (1, True)
    # Back at its address, the late order is found.
    MovingAdapter.servers["".join(before)] = dict.fromkeys(orders, "a late one")
    result = host(*before).app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert (result.exit_code, "two_orders_for_one_submission" in result.stdout) == (1, True), result.output


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("host", ["MovingAdapter"], indirect=True)
def test_later_looks_at_another_address_end(host: Host, environ: dict[str, str]) -> None:
    """After a day, when the last one is due: the account may have moved for good."""
    channel = host(OLD)
    assert tell(channel) == "outcome_unknown"
    MovingAdapter.servers[OLD].clear()
    assert _wait_for(channel) == ""
    day = 24 * 60 * 60 * 1000
    execute(environ, f"UPDATE submissions SET look_again_at = 1, settled_at = settled_at - {day} "
            "WHERE look_again_at IS NOT NULL")  # fmt: skip
    result = host(NEW).app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert (result.exit_code, "still not placed" in result.stdout) == (0, True), result.output


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("host", ["RefusingAdapter"], indirect=True)
def test_refused_orders_of_before_a_move_wake_nobody(
    host: Host, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Their channel was told, so no setting has to be set back for them."""
    assert tell(host(OLD)) == "item_unavailable"
    execute(environ, "UPDATE submissions SET look_again_at = 1")
    runner = host(NEW).app.test_cli_runner()
    for _ in range(2):
        result = runner.invoke(args=["submissions", "reconcile"])
        assert (result.exit_code, "not looked up now" in result.stdout) == (0, True), result.output
        assert "settle it" not in result.stdout
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    # A late copy at the new address is still found: the server may have moved with its orders.
    ((reference,),) = execute(environ, "SELECT reference FROM submissions")
    MovingAdapter.servers[NEW] = {reference: "a late one"}
    assert "order_exists_but_ruled_out" in runner.invoke(args=["submissions", "reconcile"]).stdout


def _wait_for(channel: Channel, times: int = 10) -> str:
    """What is told at last, as soon as it is no failure."""
    for _ in range(times):
        if (told := tell(channel)) == "":
            break
        time.sleep(0.15)
    return told


def execute(environ: dict[str, str], statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db")) as ledger, ledger:
        return ledger.execute(statement).fetchall()
