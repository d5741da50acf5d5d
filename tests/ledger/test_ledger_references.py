"""One identity, one reference; one order, one submission (SUB-8, SUB-11, SUB-12)."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.submission import LOOKED_AGAIN
from levelup_ov.ledger.absences import Absences
from levelup_ov.ledger.engine import open_engine, upgrade
from levelup_ov.ledger.identity import content_digests, identities, reference_of
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claimed, Clash, InProgress, Reused, Superseded, Unknown
from levelup_ov.ledger.statements import Statement
from tests.ledger.helpers import ANSWER, GRACE, KEYS, LEASE, LOCATION, Clock, begin, claim, claimed, place, shown

REFERENCES = b"the key of references..........."
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def named(ledger: Ledger, what: bytes = b"a burger", *, key: bytes = REFERENCES, **names: str) -> Any:
    """Claim as the service does, with a reference of the identities."""
    names = names or {"idempotency_key": "key-1"}
    return ledger.claims.claim(
        account="deli",
        location=LOCATION,
        identities=identities(LOCATION, content=what, keys=KEYS, **names),  # type: ignore[arg-type]
        content=content_digests(LOCATION, what, KEYS),
        lease=LEASE,
        reference=reference_of(LOCATION, key=lambda: key, **names),
    )


def lost(ledger: Ledger, got: Any) -> Any:
    ledger.transitions.begin_sending(got.id, lease=LEASE, received_at=got.received_at or NOON)
    ledger.transitions.lose(got.id)
    return shown(ledger, got.id)


@pytest.mark.rule("SUB-11")
def test_a_reference_is_of_location_identity_and_generation() -> None:
    names = ({"idempotency_key": "x"}, {"order_number": "x"}, {"idempotency_key": "y"}, {"order_validation_id": "x"})
    made = [reference_of(LOCATION, key=lambda: REFERENCES, **each) for each in names]
    made.append(reference_of("deli.43", key=lambda: REFERENCES, idempotency_key="x"))
    made.append(reference_of(LOCATION, key=lambda: KEYS[0], idempotency_key="x"))
    every = [make(generation) for make in made for generation in range(3) if make]
    assert len(set(every)) == 18
    assert {(uuid.UUID(each).variant, str(uuid.UUID(each))) for each in every} == {
        (uuid.RFC_4122, each) for each in every
    }
    strongest = reference_of(LOCATION, key=lambda: REFERENCES, idempotency_key="x", order_number="n")
    assert strongest and made[0] and strongest(0) == made[0](0)
    assert reference_of(LOCATION, key=lambda: REFERENCES) is None


@pytest.mark.rule("SUB-11")
def test_the_key_of_references_is_the_first_that_was_named(ledger: Ledger, url: str, clock: Clock) -> None:
    """Keys of the configuration are changed; a reference stays, for every process that uses the ledger."""
    assert ledger.reference_key(REFERENCES) == REFERENCES
    assert ledger.reference_key(KEYS[0]) == REFERENCES
    with closing(open_ledger(url, clock=clock)) as another:
        assert another.reference_key(KEYS[0]) == REFERENCES


@pytest.mark.rule("SUB-11")
def test_an_identity_has_the_same_reference_in_an_empty_ledger(ledger: Ledger, tmp_path: Any, clock: Clock) -> None:
    upgrade(f"sqlite:///{tmp_path}/other.db")
    with closing(open_ledger(f"sqlite:///{tmp_path}/other.db", clock=clock)) as other:
        first, again = named(ledger), named(other)
        assert first.reference == again.reference
        assert first.id != again.id != again.reference


@pytest.mark.rule("SUB-11")
def test_a_restored_backup_sends_the_same_reference_again(sqlite_url: str, tmp_path: Any) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(open_ledger(sqlite_url)) as ledger:
        shutil.copy(file, tmp_path / "backup.db")
        first = named(ledger)
        ledger.transitions.begin_sending(first.id, lease=LEASE)
        place(ledger, first.id)
    with closing(open_ledger(f"sqlite:///{tmp_path}/backup.db")) as ledger:
        assert named(ledger).reference == first.reference
        # An attempt that was under way neither sends again nor changes anything.
        with pytest.raises(Superseded):
            ledger.transitions.check_sending(first.id)
        with pytest.raises(Superseded):
            place(ledger, first.id)


@pytest.mark.rule("SUB-11")
def test_unsent_or_ruled_out_keeps_reference_and_time(ledger: Ledger, clock: Clock) -> None:
    first = named(ledger)
    assert first.received_at is None
    ledger.transitions.fail(first.id)
    second = named(ledger)
    assert (second.reference, second.received_at) == (first.reference, None)
    row = lost(ledger, second)
    assert ledger.absences.remaining(row, grace=GRACE) == GRACE
    clock.advance(GRACE)
    ledger.absences.rule_out(row, grace=GRACE)
    third = named(ledger)
    assert (third.reference, third.received_at) == (first.reference, NOON)
    # Nor does another identity beside it, or a try in between that sent nothing, change that.
    ledger.transitions.fail(third.id)
    fourth = named(ledger, idempotency_key="key-1", order_number="n")
    assert (fourth.reference, fourth.received_at) == (first.reference, NOON)
    assert shown(ledger, fourth.id).previous == third.id
    assert [each.id for each in ledger.reader.followers(shown(ledger, first.id))] == [second.id, third.id, fourth.id]


@pytest.mark.rule("SUB-10")
def test_what_the_ledger_loses_while_it_is_ruled_out_is_not(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = lost(ledger, named(ledger))
    ledger.absences.remaining(row, grace=GRACE)
    clock.advance(GRACE)
    whole = Absences.remaining

    def remaining(*arguments: Any, **named: Any) -> timedelta:
        left = whole(*arguments, **named)
        with ledger.database.engine.begin() as connection:
            for table in ("sights", "identities", "submissions"):
                connection.execute(text(f"DELETE FROM {table}"))
        return left

    monkeypatch.setattr(Absences, "remaining", remaining)
    with pytest.raises(Superseded):
        ledger.absences.rule_out(row, grace=GRACE)


@pytest.mark.rule("SUB-11")
@pytest.mark.parametrize("how", ["refused", "fenced", "other content", "window over"])
def test_the_generation_grows_only_when_nothing_may_arrive(ledger: Ledger, clock: Clock, how: str) -> None:
    first, content = named(ledger), b"a burger"
    if how == "refused":
        ledger.transitions.begin_sending(first.id, lease=LEASE)
        ledger.transitions.fail(first.id, "refused")
    elif how == "window over":
        ledger.transitions.begin_sending(first.id, lease=LEASE)
        place(ledger, first.id)
        clock.advance(timedelta(days=7))
    else:
        row = lost(ledger, first)
        ledger.absences.rule_out(row, grace=timedelta(0), fenced=how == "fenced")
        content = b"another burger" if how == "other content" else content
    second = named(ledger, content)
    assert second.reference not in (None, first.reference) and second.received_at is None
    assert shown(ledger, second.id).generation == 1
    ledger.transitions.begin_sending(second.id, lease=LEASE)
    ledger.transitions.fail(second.id, "refused")
    assert len({first.reference, second.reference, named(ledger, content).reference}) == 3


@pytest.mark.rule("SUB-11")
def test_without_a_named_identity_each_attempt_has_a_reference(ledger: Ledger) -> None:
    first = claim(ledger, idempotency_key=None)
    assert isinstance(first, Claimed)
    ledger.transitions.fail(first.id)
    second = claim(ledger, idempotency_key=None)
    assert isinstance(second, Claimed) and second.reference != first.reference


@pytest.mark.rule("SUB-8")
def test_an_order_claimed_by_two_stays_with_the_proven_one(ledger: Ledger) -> None:
    ids = [claimed(claim(ledger, idempotency_key=str(number))) for number in range(4)]
    for id in ids:
        begin(ledger, id)
    place(ledger, ids[0], provider_order_id="p-1", proven=False)
    # Without proof on either side the first keeps it.
    with pytest.raises(Clash) as clash:
        place(ledger, ids[1], provider_order_id="p-1", proven=False)
    assert (clash.value.holder.id, shown(ledger, ids[1]).state) == (ids[0], "unknown")
    # With proof it goes over.
    place(ledger, ids[2], provider_order_id="p-1")
    disputed = shown(ledger, ids[0])
    assert (disputed.state, disputed.provider_order_id, disputed.answer) == ("unknown", None, None)
    assert isinstance(claim(ledger, idempotency_key="0"), Unknown)
    assert shown(ledger, ids[2]).provider_order_id == "p-1"
    # And is not taken away again.
    with pytest.raises(Clash):
        place(ledger, ids[3], provider_order_id="p-1")
    assert [shown(ledger, id).state for id in ids] == ["unknown", "unknown", "placed", "unknown"]


@pytest.mark.rule("SUB-8")
def test_an_order_is_held_once_in_its_account_only(ledger: Ledger) -> None:
    for account in ("deli", "diner"):
        got = ledger.claims.claim(
            account=account,
            location=f"{account}.1",
            identities=identities(account, content=b"c", keys=KEYS, idempotency_key="k"),
            content=content_digests(account, b"c", KEYS),
            lease=LEASE,
        )
        begin(ledger, claimed(got))
        place(ledger, claimed(got), provider_order_id="p-1")
    assert [row.state for row in ledger.reader.find()] == ["placed", "placed"]


@pytest.mark.rule("SUB-3", "SUB-5")
@pytest.mark.parametrize("left", ["lost", "killed"])
def test_an_unknown_content_is_taken_under_any_identity(ledger: Ledger, clock: Clock, left: str) -> None:
    first = claimed(claim(ledger, idempotency_key="a"))
    begin(ledger, first)
    if left == "lost":
        ledger.transitions.lose(first)
    else:
        clock.advance(LEASE)
    clock.advance(timedelta(days=100))
    for names in ({"idempotency_key": "b"}, {"order_number": "n"}, {"idempotency_key": None}):
        got = claim(ledger, **names)
        assert isinstance(got, Unknown) and got.submission.id == first
    assert isinstance(claim(ledger, b"other", idempotency_key="b"), Reused)
    assert isinstance(claim(ledger, b"other", idempotency_key="c"), Claimed)
    place(ledger, first)
    assert isinstance(claim(ledger, idempotency_key="b"), AlreadyPlaced)
    # What is settled takes nobody's content.
    assert isinstance(claim(ledger, idempotency_key="d"), Claimed)


@pytest.mark.rule("SUB-3", "SUB-8")
def test_two_people_of_one_address_are_not_taken_for_one_another(ledger: Ledger) -> None:
    def by(name: bytes, key: str) -> Any:
        return ledger.claims.claim(
            account="deli",
            location=LOCATION,
            identities=identities(LOCATION, content=b"c", keys=KEYS, idempotency_key=key),
            content=content_digests(LOCATION, b"c", KEYS),
            alike=content_digests(LOCATION, b"c " + name, KEYS),
            lease=LEASE,
        )

    begin(ledger, first := claimed(by(b"ada", "1")))
    ledger.transitions.lose(first)
    assert isinstance(by(b"bob", "2"), Claimed)
    again = by(b"ada", "3")
    assert isinstance(again, Unknown) and again.submission.id == first


@pytest.mark.rule("SUB-2", "SUB-3")
@pytest.mark.parametrize("how", ["ruled out", "refused", "unsent"])
def test_all_identities_of_an_attempt_follow_to_the_next_one(ledger: Ledger, how: str) -> None:
    first = claimed(claim(ledger, idempotency_key="a", order_number="n"))
    if how != "unsent":
        begin(ledger, first)
    if how == "ruled out":
        ledger.transitions.lose(first)
        # The channel asks again under another key, and is told about the first attempt.
        assert isinstance(claim(ledger, idempotency_key="b"), Unknown)
        ledger.absences.rule_out(shown(ledger, first), grace=timedelta(0), fenced=True)
    else:
        ledger.transitions.fail(first, "refused" if how == "refused" else "unsent")
    second = claimed(claim(ledger, **({"idempotency_key": "b"} if how == "ruled out" else {"order_number": "n"})))
    assert isinstance(claim(ledger, idempotency_key="a"), InProgress)
    begin(ledger, second)
    place(ledger, second)
    for names in ({"idempotency_key": "a"}, {"order_number": "n"}):
        got = claim(ledger, **names)
        assert isinstance(got, AlreadyPlaced) and got.submission.id == second


@pytest.mark.rule("SUB-3", "SUB-4")
def test_an_identity_does_not_follow_to_another_order(ledger: Ledger) -> None:
    ledger.transitions.fail(claimed(claim(ledger, idempotency_key="a", order_number="n")))
    another = claimed(claim(ledger, b"another burger", order_number="n"))
    begin(ledger, another)
    place(ledger, another)
    assert isinstance(claim(ledger, idempotency_key="a"), Claimed)


@pytest.mark.rule("SUB-3")
def test_the_content_of_an_order_that_is_being_placed_is_free(ledger: Ledger) -> None:
    begin(ledger, claimed(claim(ledger, idempotency_key="a")))
    assert isinstance(claim(ledger, idempotency_key="b"), Claimed)
    assert isinstance(claim(ledger, idempotency_key="a"), InProgress)


@pytest.mark.rule("SUB-3", "META-7")
def test_an_unknown_content_is_recognized_while_keys_change(ledger: Ledger) -> None:
    id = claimed(claim(ledger, keys=(b"old",), idempotency_key="a"))
    begin(ledger, id)
    ledger.transitions.lose(id)
    got = claim(ledger, keys=(b"new", b"old"), idempotency_key="b")
    assert isinstance(got, Unknown) and got.submission.id == id


@pytest.mark.rule("SUB-3")
def test_a_new_submission_reads_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(claim(ledger, b"warm", idempotency_key="warm"))
    run: list[str] = []
    original = Statement.run

    def counted(self: Any, cursor: Any, parameters: Any) -> Any:
        run.append(self._form.sql.split()[0])
        return original(self, cursor, parameters)

    monkeypatch.setattr(Statement, "run", counted)
    claimed(claim(ledger))
    assert run in (["INSERT"], ["SELECT", "INSERT"])


@pytest.mark.rule("SUB-12")
@pytest.mark.parametrize("how", ["ruled out", "refused"])
def test_what_was_not_placed_is_due_four_times(ledger: Ledger, clock: Clock, how: str) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    not_placed(ledger, id, how)
    passed = timedelta(0)
    for after in LOOKED_AGAIN:
        clock.advance(after - passed - timedelta(milliseconds=1))
        assert ledger.reader.due_again() == ()
        clock.advance(timedelta(milliseconds=1))
        passed = after
        (due,) = ledger.reader.due_again()
        assert due.id == id
        assert ledger.reader.due_again(besides="deli") == ()
        ledger.findings.looked_again(due)
        # Another command that read the same row counts it no second time.
        ledger.findings.looked_again(due, "order_exists_but_ruled_out")
    clock.advance(timedelta(days=9))
    assert ledger.reader.due_again() == ()
    assert ledger.reader.find(findings=True) == ()


def not_placed(ledger: Ledger, id: str, how: str) -> None:
    if how != "ruled out":
        ledger.transitions.fail(id, "refused" if how == "refused" else "unsent")
    else:
        ledger.transitions.lose(id)
        ledger.absences.rule_out(shown(ledger, id), grace=timedelta(0))


@pytest.mark.rule("SUB-12")
def test_a_late_look_uses_up_no_other(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.lose(id)
    ledger.absences.rule_out(shown(ledger, id), grace=timedelta(0))
    # Nobody has looked for days, or the clock has been set.
    clock.advance(timedelta(days=3))
    for pause in (9, 50, 23 * 60):
        ledger.findings.looked_again(ledger.reader.due_again()[0])
        assert ledger.reader.due_again() == ()
        clock.advance(timedelta(minutes=pause))
    ledger.findings.looked_again(ledger.reader.due_again()[0], "order_exists_but_ruled_out")
    assert ledger.reader.due_again() == ()
    assert [row.finding for row in ledger.reader.find(findings=True)] == ["order_exists_but_ruled_out"]


@pytest.mark.rule("SUB-12")
def test_what_was_not_sent_is_not_looked_up_again(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    not_placed(ledger, id, "unsent")
    claimed(claim(ledger))
    clock.advance(timedelta(days=2))
    ledger.reader.open_submissions()
    assert ledger.reader.due_again() == ()


@pytest.mark.rule("SUB-12", "WEB-4")
@pytest.mark.parametrize("how", ["ruled out", "refused"])
def test_charges_of_web_checkout_have_other_looks(ledger: Ledger, clock: Clock, how: str) -> None:
    id = claimed(claim(ledger, account=LEDGER_ACCOUNT))
    begin(ledger, id)
    not_placed(ledger, id, how)
    clock.advance(timedelta(days=2))
    assert shown(ledger, id).look_again_at is None


OLD_ROWS = {
    "claimed": ("claimed", None, None, None),
    "sending": ("sending", 1000, None, None),
    "unknown": ("unknown", 1000, None, None),
    "first": ("placed", 1000, 2000, "p-1"),
    "second": ("placed", 1000, 2000, "p-1"),
    "third": ("placed", 1000, 2000, "p-2"),
    "refused": ("not_placed", 1000, 2000, None),
}


@pytest.fixture
def migrated(empty_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger whose rows were written by the release before, and by it once more after the migration."""
    engine = open_engine(empty_url, pool_size=1, create=True)
    config = Config()
    config.set_main_option("script_location", "levelup_ov:ledger/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for name in OLD_ROWS:
            _insert_old(connection, name, name)
    upgrade(empty_url)
    with engine.begin() as connection:
        _insert_old(connection, "late", "sending")
    engine.dispose()
    with closing(open_ledger(empty_url, clock=clock)) as ledger:
        yield ledger


def _insert_old(connection: Any, id: str, kind: str) -> None:
    state, sending_at, settled_at, order = OLD_ROWS[kind]
    (content,) = content_digests(LOCATION, id.encode(), KEYS)
    connection.execute(
        text(
            "INSERT INTO submissions (id, account, location, state, content, owner, claimed_at, lease_until, "
            "sending_at, settled_at, provider_order_id, order_id, answer) VALUES (:id, 'deli', :location, :state, "
            ":content, 'o', 0, 31000, :sending_at, :settled_at, :order, '1', :answer)"
        ),
        {
            "id": id, "location": LOCATION, "state": state, "content": content, "sending_at": sending_at,
            "settled_at": settled_at, "order": order, "answer": ANSWER if order else None,
        },
    )  # fmt: skip
    for identity in identities(LOCATION, content=b"", keys=KEYS, idempotency_key=id):
        for digest in identity.digests:
            connection.execute(
                text("INSERT INTO identities (digest, kind, submission) VALUES (:digest, :kind, :id)"),
                {"digest": digest, "kind": identity.kind, "id": id},
            )


@pytest.mark.rule("SUB-2", "SUB-13")
def test_rows_of_the_release_before_go_on(migrated: Ledger, clock: Clock) -> None:
    ledger = migrated
    assert {row.id: row.reference for row in ledger.reader.find()} == {id: id for id in (*OLD_ROWS, "late")}

    def again(id: str) -> Any:
        return named(ledger, id.encode(), idempotency_key=id)

    # Whatever the time of day in them says, their leases are counted from the first sight.
    for id in ("claimed", "sending", "late"):
        assert isinstance(again(id), InProgress), id
    assert isinstance(again("unknown"), Unknown)
    clock.advance(timedelta(milliseconds=29_999))
    assert isinstance(again("late"), InProgress)
    clock.advance(timedelta(milliseconds=1))
    assert isinstance(again("sending"), Unknown) and isinstance(again("late"), Unknown)
    assert isinstance(again("claimed"), InProgress)
    clock.advance(timedelta(seconds=1))
    assert isinstance(again("claimed"), Claimed)
    refused = again("refused")
    assert isinstance(refused, Claimed) and refused.reference != "refused"


@pytest.mark.rule("SUB-8")
def test_orders_of_the_release_before_are_held_too(migrated: Ledger) -> None:
    for number, (order, disputed) in enumerate((("p-1", "first"), ("p-2", "third"))):
        id = claimed(claim(migrated, order.encode(), idempotency_key=f"new {number}"))
        begin(migrated, id)
        with pytest.raises(Clash) as clash:
            place(migrated, id, provider_order_id=order, proven=False)
        assert clash.value.holder.id == disputed
    assert shown(migrated, "second").state == "placed"
