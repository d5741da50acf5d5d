"""The ledger in trouble, and what an operator sees and does about it."""

from __future__ import annotations

import os
import pwd
import re
import resource
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from flask.testing import FlaskCliRunner

from levelup_ov.config import ConfigError, check_ledger, upgrade_ledger
from levelup_ov.ledger import driver_errors, engine
from levelup_ov.ledger.backup import back_up, put_back
from levelup_ov.ledger.engine import REVISIONS, LedgerUnavailable, failures, upgrade
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import RETENTION, Claimed, Submission
from levelup_ov.ordering.bounded_runs import FAILURES, BoundedRun, in_turns, of_gone_accounts
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline
from tests.channel import Channel
from tests.conftest import MakeApp
from tests.test_config import CHECK, COMMAND, production, run

__all__ = ["production"]

KEY = {"headers": {"Authorization": "token dev-key"}}


def ledger_at(path: Path) -> Ledger:
    upgrade(f"sqlite:///{path}")
    return open_ledger(f"sqlite:///{path}")


def claimed(ledger: Ledger, number: int, account: str = "diner") -> str:
    identity = Identity("idempotency_key", (f"{number:064x}",))
    claim = ledger.claims.claim(
        account=account, location=f"{account}.one", identities=(identity,), content=(f"{number:064x}",),
        lease=timedelta(seconds=60),
    )  # fmt: skip
    assert isinstance(claim, Claimed)
    return claim.id


# Readiness does what a submission does.


@pytest.mark.rule("SUB-2")
def test_ready_sees_a_full_disk(tmp_path: Path) -> None:
    with closing(ledger_at(tmp_path / "ledger.db")) as ledger:
        ledger.ready()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Python ignores SIGXFSZ: a write beyond the limit fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        try:
            with pytest.raises(LedgerUnavailable):
                ledger.ready()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        ledger.ready()
        assert ledger.reader.find() == ()


@pytest.mark.rule("SUB-2")
def test_what_is_wrong_is_for_those_with_a_key(make_app: MakeApp, environ: dict[str, str]) -> None:
    app = make_app()
    ledger = Path(environ["LEVELUP_OV_DATA_DIR"]) / "ledger.db"
    client = app.test_client()
    assert client.get("/ready").json == {"status": "ok", "checks": {"ledger": "ok"}}
    ledger.rename(ledger.with_suffix(".gone"))
    deadline = time.monotonic() + 60
    while client.get("/ready").status_code != 503:
        assert time.monotonic() < deadline
    assert client.get("/ready").json["checks"] == {"ledger": "LedgerUnavailable"}
    reported = client.get("/ready", **KEY).json["checks"]["ledger"]
    assert "the ledger's file is gone" in reported


SCHEDULED = (
    ["ledger", "purge"], ["submissions", "reconcile"], ["checkout", "reconcile"], ["orders", "watch"],
    ["menu", "watch"], ["events", "send"],
)  # fmt: skip
"""What a scheduler runs: nobody looks at it while its exit status is 0."""


@pytest.fixture
def scheduled(make_app: MakeApp) -> FlaskCliRunner:
    """The commands of a service that has everything."""
    return make_app(
        LEVELUP_OV_CHECKOUT_URL="http://127.0.0.1:1", LEVELUP_OV_CHECKOUT_API_KEY="key-of-the-app",
        LEVELUP_OV_CHECKOUT_CLIENT_SECRET="secret-of-the-app", LEVELUP_OV_CHECKOUT_RETURN_URL="http://127.0.0.1:2",
        LEVELUP_OV_EVENTS_URL="http://127.0.0.1:3", LEVELUP_OV_EVENTS_SECRETS=f"whsec_{'c' * 32}",
    ).test_cli_runner()  # fmt: skip


@pytest.mark.rule("SUB-2")
def test_a_full_disk_fails_what_a_scheduler_runs(scheduled: FlaskCliRunner) -> None:
    for command in SCHEDULED:
        assert scheduled.invoke(args=command).exit_code == 0, command
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        found = [scheduled.invoke(args=command) for command in SCHEDULED]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each.exit_code for each in found] == [1] * len(SCHEDULED)
    assert all("ledger_unavailable: " in each.output for each in found)


@pytest.mark.rule("SUB-2")
def test_config_check_fails_on_a_full_disk(production: dict[str, str]) -> None:
    assert run([*COMMAND, "ledger", "upgrade"], production).returncode == 0
    assert run(CHECK, production).returncode == 0
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *CHECK]
    found = run(limited, production)
    assert found.returncode == 1
    assert "the configuration is valid" in found.stdout and "Error: ledger_unavailable: " in found.stderr


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"flags": os.ST_RDONLY}, "read-only disk"),
        ({"free": 0}, "full"),
        ({"files": 0}, "full"),
        ({"allowed": False}, "permission"),
        ({}, "opened"),
    ],
)
def test_the_disk_says_why_a_file_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, int], kind: str
) -> None:
    given = {"flags": 0, "free": 9, "files": 9, "allowed": True, **facts}
    with closing(ledger_at(tmp_path / "ledger.db")) as ledger:
        said = os.statvfs_result((1, 1, 9, 9, given["free"], 9, 9, given["files"], given["flags"], 255))
        monkeypatch.setattr(os, "statvfs", lambda _: said)
        monkeypatch.setattr(os, "access", lambda *_: given["allowed"])
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        with pytest.raises(LedgerUnavailable) as caught, failures(ledger.database.engine):
            raise error
    assert caught.value.kind == kind


# Reasons.


class _Error(Exception):
    def __init__(self, text: str, **facts: str) -> None:
        super().__init__(text)
        self.__dict__.update(facts)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_Error("", sqlstate="53300"), "connections"),
        (_Error("", sqlstate="28P01"), "credentials"),
        (_Error("", sqlstate="3D000"), "database"),
        (_Error("", sqlstate="25006"), "read-only"),
        (_Error("", sqlstate="53100"), "full"),
        (_Error("", sqlstate="55P03"), "locked"),
        (_Error("", sqlstate="42501"), "permission"),
        (_Error("FATAL:  sorry, too many clients already"), "connections"),
        (_Error('FATAL:  password authentication failed for user "canary"'), "credentials"),
        (_Error('FATAL:  database "canary" does not exist'), "database"),
        (_Error('invalid sslmode value: "canary"'), "address"),
        (_Error("connection to server at 127.0.0.1 failed: Connection refused"), "unreachable"),
        (_Error("connection to server failed: could not receive data: Connection reset by peer"), "unreachable"),
        (_Error("connection timeout expired"), "timeout"),
        (_Error("", sqlite_errorname="SQLITE_BUSY_SNAPSHOT"), "locked"),
        (_Error("", sqlite_errorname="SQLITE_FULL"), "full"),
        (_Error("", sqlite_errorname="SQLITE_READONLY_DBMOVED"), "read-only"),
        (_Error("", sqlite_errorname="SQLITE_NOTADB"), "not a database"),
        (_Error("something else"), None),
    ],
)
def test_reasons_are_distinguished(error: Any, kind: str | None) -> None:
    assert driver_errors.kind_of(error) == kind
    assert "canary" not in LedgerUnavailable(kind=kind).message


def test_a_refused_connection_says_so() -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("postgresql://u:w@127.0.0.1:1/x", connect_timeout=2)
    assert driver_errors.kind_of(caught.value) == "unreachable"


def test_an_invalid_database_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database, whatever its name is" * 200)
    with pytest.raises(ConfigError, match="not a database"):
        check_ledger(f"sqlite:///{tmp_path}/ledger.db", workers=1, connections=8)


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("left", [None, b""])
def test_a_lost_known_ledger_is_not_started_again(tmp_path: Path, left: bytes | None) -> None:
    url, path = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "ledger.db"
    upgrade_ledger(url)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    with pytest.raises(ConfigError, match="restore it by `levelup-ov ledger restore COPY`"):
        check_ledger(url, workers=1, connections=8)


# A file that changes under the service.


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("how", ["deleted", "replaced", "cut off"])
def test_a_ledger_that_is_taken_away_stops_submissions(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.db"
    with closing(ledger_at(path)) as ledger:
        claimed(ledger, 1)
        shutil.copy(path, tmp_path / "copy.db")
        if how == "deleted":
            path.unlink()
        elif how == "replaced":
            os.replace(tmp_path / "copy.db", path)
        else:
            os.truncate(path, 0)
        engine._reported.clear()
        with pytest.raises(LedgerUnavailable, match="restart") as caught:
            claimed(ledger, 2)
    # The log says it too, without a look at /ready.
    (line,) = [each for each in caplog.records if each.message == "ledger_unavailable"]
    assert line.reason == caught.value.message  # type: ignore[attr-defined]


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("how", ["deleted", "cut off"])
def test_a_ledger_that_was_lost_is_restored_beside_its_log(tmp_path: Path, how: str) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    with closing(ledger_at(path)) as running:
        id = claimed(running, 1)
        back_up(path, copy)
        claimed(running, 2)
        path.unlink() if how == "deleted" else os.truncate(path, 0)
        # A command, or a worker that has not used the ledger yet, starts no empty one.
        with closing(open_ledger(f"sqlite:///{path}")) as other, pytest.raises(LedgerUnavailable):
            other.reader.find(limit=1)
        assert not path.exists() or not path.stat().st_size
        put_back(copy, path)
        with closing(open_ledger(f"sqlite:///{path}")) as restored:
            assert [each.id for each in restored.reader.find()] == [id]
        assert path.stat().st_mode & 0o077 == 0


# Copies.


@pytest.mark.rule("SUB-2")
def test_a_copy_is_taken_and_put_back_under_traffic(tmp_path: Path) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    stopped = threading.Event()
    with closing(ledger_at(path)) as ledger, ThreadPoolExecutor(1) as pool:
        before = claimed(ledger, 1)

        def go_on() -> int:
            number = 100
            while not stopped.is_set():
                claimed(ledger, number)
                number += 1
            return number - 100

        traffic = pool.submit(go_on)
        try:
            while len(ledger.reader.find()) < 3:
                time.sleep(0.01)
            assert back_up(path, copy) > 0
            after = claimed(ledger, 2)
            put_back(copy, path)
        finally:
            stopped.set()
        assert traffic.result() > 0
        # The service goes on with what was put back.
        assert ledger.reader.show(before) is not None and ledger.reader.show(after) is None
        claimed(ledger, 3)
        ledger.ready()
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        back_up(path, copy)


@pytest.mark.parametrize("content", [b"", b"no copy of anything" * 500])
def test_an_invalid_copy_is_not_restored(tmp_path: Path, content: bytes) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    copy.write_bytes(content)
    with closing(ledger_at(path)) as ledger:
        kept = claimed(ledger, 1)
        with pytest.raises(LedgerUnavailable):
            put_back(copy, path)
        with pytest.raises(LedgerUnavailable, match="is the ledger itself"):
            put_back(path, path)
        assert ledger.reader.show(kept) is not None


@pytest.mark.rule("SUB-2")
def test_an_empty_ledger_does_not_start_silently(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    url = f"sqlite:///{path}"
    assert upgrade_ledger(url, new=False) is None
    assert upgrade_ledger(url, new=False) == REVISIONS[-1]
    path.unlink()
    with pytest.raises(ConfigError, match="is missing"):
        upgrade_ledger(url, new=False)
    assert not path.exists()
    assert upgrade_ledger(url, new=True) is None


# Purging.


def test_a_purge_keeps_the_log_small(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(ledger_at(path)) as ledger:
        with closing(sqlite3.connect(path)) as direct:
            ledger.transitions.fail(claimed(ledger, 0))
            columns = [name for _, name, *_ in direct.execute("PRAGMA table_info(submissions)") if name != "id"]
            listed = ", ".join(columns)
            direct.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
                f"INSERT INTO submissions (id, {listed}) SELECT 'x' || i, "
                f"{', '.join(repr('r') + ' || i' if name == 'reference' else name for name in columns)} "
                "FROM submissions, n WHERE submissions.id NOT LIKE 'x%'"
            )
            direct.execute("UPDATE submissions SET settled_at = 0, claimed_at = 0")
            direct.commit()
            direct.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert ledger.purge(retention=RETENTION) == 60_001
        # The product's limit; without checkpoints it follows the size of what was deleted.
        assert Path(f"{path}-wal").stat().st_size < 64 * 1024 * 1024


# Reconciliation is fair and ends.


def submission(account: str, number: int) -> Submission:
    # Only who it is of counts here.
    made = object.__new__(Submission)
    object.__setattr__(made, "account", account)
    object.__setattr__(made, "id", f"{account}-{number}")
    return made


@pytest.mark.rule("SUB-5")
def test_accounts_take_turns() -> None:
    open_ones = [submission("dead", number) for number in range(1200)] + [submission("sound", n) for n in range(5)]
    chosen = in_turns(open_ones, 1000)
    assert len(chosen) == 1000
    assert [each.id for each in chosen[:4]] == ["dead-0", "sound-0", "dead-1", "sound-1"]
    assert {each.id for each in chosen if each.account == "sound"} == {f"sound-{n}" for n in range(5)}


@pytest.mark.rule("SUB-5")
def test_a_provider_that_hangs_is_asked_once_in_a_run() -> None:
    now = [0.0]
    run = BoundedRun(60, lambda: now[0])
    asked = []
    for each in run.due(in_turns([submission(a, n) for a in ("hangs", "refuses", "sound") for n in range(10)], 100)):
        asked.append(each.account)
        if each.account == "hangs":
            now[0] += 25
            run.failed("hangs", 25)
        elif each.account == "refuses":
            run.failed("refuses", 0.1)
        else:
            run.answered("sound")
    assert {name: asked.count(name) for name in set(asked)} == {"hangs": 1, "refuses": FAILURES, "sound": 10}
    assert run.skipped == 30 - len(asked)


@pytest.mark.rule("SUB-5")
def test_a_run_ends_in_time() -> None:
    now = [0.0]
    run = BoundedRun(10, lambda: now[0])
    for _ in run.due(submission("slow", number) for number in range(100)):
        now[0] += 3
        run.answered("slow")
    assert (now[0], run.skipped) == (12, 96)


def test_a_gone_account_is_named() -> None:
    (line,) = of_gone_accounts([submission("closed-diner", number) for number in range(3)])
    assert "3 unknown submissions of closed-diner" in line and "submissions settle" in line


# Settling by hand.


@pytest.mark.rule("SUB-5", "SUB-4")
@pytest.mark.parametrize("answer", ["y", "n"])
@pytest.mark.parametrize("option", [["--placed", "A-77"], ["--not-placed"]])
def test_an_unknown_order_is_settled_by_hand(channel: Channel, answer: str, option: list[str]) -> None:
    lost = {"order_number": "by-hand", "special_instructions": "sandbox:lost-answer"}
    channel.submit(**lost)
    ledger = channel.app.extensions["levelup_ov"].submissions.ledger
    (row,) = ledger.reader.find(number=None)
    if row.state != "unknown":
        pytest.fail(f"the sandbox answered: {row.state}")
    runner = channel.app.test_cli_runner()
    result = runner.invoke(args=["submissions", "settle", row.id, *option, "--by", "Sam"], input=f"{answer}\n")
    after = ledger.reader.show(row.id)
    if answer == "n":
        assert (result.exit_code, after.state) == (1, "unknown")
        return
    assert result.exit_code == 0, result.output
    # Who and when, for later questions.
    assert after.settled_by == "Sam" and after.settled_at is not None
    assert "settled_by:              Sam" in runner.invoke(args=["submissions", "show", row.id]).output
    if option[0] == "--placed":
        assert (after.state, after.order_id) == ("placed", "A-77")
        replayed = channel.submit(**lost)
        assert (replayed.order["order_id"], replayed.headers["Idempotency-Replayed"]) == ("A-77", "true")
    else:
        assert after.state == "not_placed"
    again = runner.invoke(args=["submissions", "settle", row.id, *option, "--yes"])
    assert again.exit_code == 1 and "only an unknown order" in again.output


LOST = {"order_number": "by-hand", "special_instructions": "sandbox:lost-answer"}


@pytest.fixture
def lost(channel: Channel) -> Submission:
    """An order whose outcome is unknown."""
    channel.submit(**LOST)
    (row,) = channel.app.extensions["levelup_ov"].submissions.ledger.reader.find()
    assert row.state == "unknown"
    return row


@pytest.mark.parametrize(
    ("option", "meaning"),
    [(["--placed", "A-77"], "food that nobody makes"), (["--not-placed"], "gets it twice and pays twice")],
)
def test_settling_says_what_it_means(channel: Channel, lost: Submission, option: list[str], meaning: str) -> None:
    said = channel.app.test_cli_runner().invoke(args=["submissions", "settle", lost.id, *option], input="n\n").output
    assert meaning in said and f"Our reference at the provider: {lost.reference}" in said and lost.location in said


@pytest.mark.parametrize("user", [None, "olive"])
def test_a_settlement_names_the_user_of_the_system(
    channel: Channel, lost: Submission, user: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    if user:
        monkeypatch.setenv("LOGNAME", user)
    known = pwd.getpwuid(os.getuid()).pw_name
    settle = ["submissions", "settle", lost.id, "--not-placed", "--yes"]
    ledger = channel.app.extensions["levelup_ov"].submissions.ledger
    assert channel.app.test_cli_runner().invoke(args=settle).exit_code == 0
    assert ledger.reader.show(lost.id).settled_by == (user or known)


def test_a_user_without_a_name_must_say_who_settles(
    channel: Channel, lost: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    said = channel.app.test_cli_runner().invoke(args=["submissions", "settle", lost.id, "--not-placed", "--yes"])
    assert said.exit_code == 2 and "--by" in said.output
    assert channel.app.extensions["levelup_ov"].submissions.ledger.reader.show(lost.id).state == "unknown"


@pytest.mark.rule("SUB-5", "SUB-4")
@pytest.mark.parametrize("option", [["--placed", "A-77"], ["--not-placed"]])
def test_a_settlement_is_taken_back(channel: Channel, lost: Submission, option: list[str]) -> None:
    runner = channel.app.test_cli_runner()
    command = ["submissions", "correct", lost.id, "--by", "Rita", "--why", "it was another order"]
    assert "no person settled it" in runner.invoke(args=[*command, "--yes"]).output
    assert runner.invoke(args=["submissions", "settle", lost.id, *option, "--by", "Sam", "--yes"]).exit_code == 0
    ledger = channel.app.extensions["levelup_ov"].submissions.ledger
    asked = runner.invoke(args=command, input="n\n")
    assert asked.exit_code == 1 and "Take back what Sam recorded?" in asked.output
    assert runner.invoke(args=[*command, "--yes"]).exit_code == 0
    row = ledger.reader.show(lost.id)
    assert (row.state, row.order_id, row.settled_by, row.settled_at) == ("unknown", None, None, None)
    # Nothing is forgotten, and nothing is sent again: the provider is asked, which has the first one.
    shown = runner.invoke(args=["submissions", "show", lost.id]).output
    assert re.search(r"None|True|False|UTC|\d \d", shown) is None
    times = re.findall(r"_at: +(\S+)$", shown, re.MULTILINE)
    assert times and all(each == "-" or re.fullmatch(r"[\d-]+T[\d:]+\+00:00", each) for each in times), times
    assert "corrected by Rita: it was another order (before: state=" in shown and "settled_by=Sam" in shown
    found = channel.submit(**LOST)
    assert found.headers["Idempotency-Replayed"] == "true" and ledger.reader.show(lost.id).state == "placed"
    assert len(ledger.reader.find()) == 1


@pytest.mark.rule("SUB-12")
def test_a_finding_is_closed(channel: Channel, lost: Submission) -> None:
    runner = channel.app.test_cli_runner()
    ledger = channel.app.extensions["levelup_ov"].submissions.ledger
    ledger.absences.rule_out(lost, grace=timedelta(0), fenced=True)
    ledger.findings.note(lost.id, "order_exists_but_ruled_out", 17, "till-17")
    listed = ["submissions", "list", "--findings"]
    shown = runner.invoke(args=["submissions", "show", lost.id]).output
    assert "found_order_id:          17" in shown and "found_provider_order_id: till-17" in shown
    assert lost.id in runner.invoke(args=["submissions", "list", "--number", "till-17"]).output
    command = ["submissions", "close", lost.id, "--by", "Rita", "--why", "canceled by the restaurant"]
    assert lost.id in runner.invoke(args=listed).output
    assert runner.invoke(args=command).output == f"{lost.id}: order_exists_but_ruled_out closed\n"
    assert lost.id not in runner.invoke(args=listed).output
    assert "it has no open finding" in runner.invoke(args=command).output
    assert "closed by Rita: canceled" in runner.invoke(args=["submissions", "show", lost.id]).output
    # The same once more is not news; another one is.
    ledger.findings.note(lost.id, "order_exists_but_ruled_out", 17, "till-17")
    assert lost.id not in runner.invoke(args=listed).output
    ledger.findings.note(lost.id, "two_orders_for_one_submission", 18, "till-18")
    assert lost.id in runner.invoke(args=listed).output


def test_a_number_in_place_of_an_id(channel: Channel, lost: Submission) -> None:
    runner = channel.app.test_cli_runner()
    for command in (["show"], ["settle", "--not-placed"], ["correct", "--why", "x"], ["close", "--why", "x"]):
        said = runner.invoke(args=["submissions", command[0], lost.reference, *command[1:]]).output
        assert f"there is no such submission; {lost.reference} is a number of {lost.id}" in said


def test_an_account_that_does_not_exist(channel: Channel) -> None:
    runner = channel.app.test_cli_runner()
    for command in (["submissions", "list", "--account", "dinner"], ["orders", "list", "--account", "dinner"]):
        assert "dinner" in (said := runner.invoke(args=command).output) and "sandbox" in said
    assert "one of the accounts sandbox" in runner.invoke(args=["menu", "check", "dinner.one"]).output


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("blank", ["", "   ", "\t"])
def test_what_is_blank_settles_nothing(channel: Channel, lost: Submission, blank: str) -> None:
    runner, settle = channel.app.test_cli_runner(), ["submissions", "settle", lost.id, "--yes"]
    unset = "expected text that is not blank"
    for options in (["--placed", blank], ["--placed", "A-77", "--by", blank], ["--not-placed", "--by", blank]):
        said = runner.invoke(args=[*settle, *options])
        assert (said.exit_code, unset in said.output) == (2, True), options
    assert channel.app.extensions["levelup_ov"].submissions.ledger.reader.show(lost.id).state == "unknown"
    # Nor does it explain anything, or select what another value would not.
    for options in (
        ["correct", lost.id, "--why", blank],
        ["close", lost.id, "--why", blank],
        ["list", "--number", blank],
        ["list", "--account", blank],
    ):
        said = runner.invoke(args=["submissions", *options])
        assert (said.exit_code, unset in said.output) == (2, True), options


@pytest.mark.rule("SUB-5", "STAT-1", "STAT-6")
def test_a_settled_order_can_be_canceled_by_its_providers_id(channel: Channel, lost: Submission) -> None:
    runner, service = channel.app.test_cli_runner(), channel.app.extensions["levelup_ov"]
    found = service.look_ups.find_order(lost, RequestContext(Deadline(5))).placed
    settle = ["submissions", "settle", lost.id, "--yes", "--by", "Sam", "--placed", str(found.order_id)]
    said = runner.invoke(args=settle)
    assert said.exit_code == 0 and "settle it with --provider-id" in said.output
    correct = ["submissions", "correct", lost.id, "--yes", "--by", "Sam", "--why", "the provider has another id"]
    assert runner.invoke(args=correct).exit_code == 0
    said = runner.invoke(args=[*settle, "--provider-id", found.provider_order_id])
    assert said.exit_code == 0 and "the provider says: taken" in said.output
    path = f"/locations/{lost.location}/orders/{found.order_id}"
    assert channel.get(path).order["provider_status"] == "taken"
    assert channel.send("POST", f"{path}/cancellation").order["status"] == "cancelled"
    unknown = ["submissions", "settle", lost.id, "--not-placed", "--provider-id", "x", "--yes"]
    assert runner.invoke(args=unknown).exit_code == 2


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("option", [["--placed", "A-77"], ["--not-placed"]])
@pytest.mark.parametrize("meanwhile", ["reconciled", "settled and corrected"])
def test_a_person_settles_only_what_was_shown(
    channel: Channel, lost: Submission, monkeypatch: pytest.MonkeyPatch, option: list[str], meanwhile: str
) -> None:
    runner, ledger = channel.app.test_cli_runner(), channel.app.extensions["levelup_ov"].submissions.ledger
    whole = click.confirm

    def asks(*_: Any, **__: Any) -> bool:
        """While the person thinks."""
        monkeypatch.setattr("click.confirm", whole)
        by = ["--by", "Olive", "--yes"]
        if meanwhile == "reconciled":
            assert channel.submit(**LOST).order["order_id"] == 1
        else:
            assert runner.invoke(args=["submissions", "settle", lost.id, "--placed", "B-1", *by]).exit_code == 0
            assert runner.invoke(args=["submissions", "correct", lost.id, "--why", "wrong", *by]).exit_code == 0
        return True

    monkeypatch.setattr("click.confirm", asks)
    said = runner.invoke(args=["submissions", "settle", lost.id, *option, "--by", "Sam"])
    assert said.exit_code == 1 and "nothing was changed" in said.output
    now = ledger.reader.show(lost.id)
    assert (now.settled_by, now.order_id) == (None, 1 if meanwhile == "reconciled" else None)
    assert ("placed by now, order 1" if meanwhile == "reconciled" else "taken back") in said.output


@pytest.mark.rule("SUB-5", "SUB-4")
@pytest.mark.parametrize("number", [" A-77\n", "0"])
def test_the_number_of_a_settlement_is_the_written_one(channel: Channel, lost: Submission, number: str) -> None:
    settle = ["submissions", "settle", lost.id, "--placed", number]
    said = channel.app.test_cli_runner().invoke(args=settle, input="y\n")
    assert said.exit_code == 0 and f"placed under the number {number.strip()}" in said.output
    assert channel.submit(**LOST).order["order_id"] == number.strip()


def test_a_number_must_be_unicode(channel: Channel, lost: Submission) -> None:
    said = channel.app.test_cli_runner().invoke(args=["submissions", "settle", lost.id, "--placed", "A\udcff", "--yes"])
    assert said.exit_code == 2 and "expected text in UTF-8" in said.output


def test_settling_needs_one_answer(channel: Channel) -> None:
    runner = channel.app.test_cli_runner()
    for options in ([], ["--placed", "1", "--not-placed"]):
        assert runner.invoke(args=["submissions", "settle", "x", *options]).exit_code == 2
    assert "no such submission" in runner.invoke(args=["submissions", "settle", "x", "--not-placed"]).output
