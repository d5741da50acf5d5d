"""What is stored of sessions, for how long, and on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner

from levelup_ov.config import new_secret_key
from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.sessions import KeyTaken, StoredKey, StoredSessions
from levelup_ov.sealing import Sealer
from levelup_ov.sessions.model import Buyer, Line
from levelup_ov.standins.sandbox.magic import LOST_ANSWER_CARD
from tests.channel import CARD
from tests.ledger.test_ledger_growth import Steps
from tests.servers.postgres import PostgresServer
from tests.sessions.conftest import Front, MakeFront, basket, card, refusal

CANARIES = (
    "Zaphod",
    "Beeblebrox",
    "617-555-0199",
    "zaphod@example.com",
    "no heart of gold",
    "42 Vogon Lane",
    "pan galactic",
)
PERSONAL = {
    "buyer": Buyer(*CANARIES[:4]),
    "note": CANARIES[4],
    "delivery_address": DeliveryAddress(CANARIES[5], postal_code="02114"),
    "extra": {"greeting": CANARIES[6]},
    "fulfillment": "delivery",
}


def rows(front: Front, table: str) -> list[tuple[object, ...]]:
    """The rows of a table."""
    with front.service.submissions.ledger.database.connection() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]


def files(front: Front) -> bytes:
    """Everything in the ledger's files."""
    return b"".join(path.read_bytes() for path in front.data.glob("ledger.db*"))


@pytest.mark.rule("PAY-2", "UCP-14")
def test_nothing_personal_is_in_the_database(front: Front) -> None:
    key = front.key("key of Zaphod", json.dumps({"card": CARD["number"], "name": "Zaphod"}).encode())
    made = front.create(basket(Line("sandwich", 2, note=CANARIES[6]), **PERSONAL), key)
    assert made.state == "ready_for_complete"
    # In progress, too, where everything is needed to find the order.
    assert front.complete(made, card(LOST_ANSWER_CARD), key=front.key(body=LOST_ANSWER_CARD.encode())).state == (
        "complete_in_progress"
    )
    stored = files(front)
    for canary in (*CANARIES, CARD["number"], LOST_ANSWER_CARD, "key of"):
        assert canary.encode() not in stored
    # So few digits are also within a digest now and then.
    assert not re.search(rf"(?<![0-9A-Za-z_-]){CARD['cvv']}(?![0-9A-Za-z_-])".encode(), stored)
    assert made.id.encode() in stored
    assert front.read(made).basket == made.basket


def _as_before(front: Front) -> None:
    """Stores the keys of all sessions in rows of their own, as the release before revision 0021 did."""
    with front.service.submissions.ledger.database.connection() as connection:
        connection.exec_driver_sql(
            "INSERT INTO session_keys SELECT made_with, id, made_from, state, version, NULL FROM sessions"
        )
        connection.exec_driver_sql("UPDATE sessions SET made_with = NULL, made_from = NULL")


@pytest.mark.rule("UCP-7")
@pytest.mark.parametrize("is_older", [False, True])
def test_a_creation_is_repeated_whatever_came_after(front: Front, is_older: bool) -> None:
    key = front.key("K")
    made = front.create(key=key)
    assert rows(front, "session_keys") == []
    if is_older:
        _as_before(front)
    assert front.create(key=key) == replace(made, replayed=True)
    assert refusal(front.create, None, front.key("K", b"other")) == "idempotency_key_reused"
    assert refusal(front.replace, made, basket(tip=100), key) == "idempotency_key_reused"
    other = front.create()
    assert refusal(front.replace, other, basket(tip=100), key) == "idempotency_key_reused"
    front.replace(made, basket(tip=100), front.key())
    front.complete(made)
    assert front.create(key=key) == replace(made, replayed=True)
    assert refusal(front.create, None, front.key("K", b"other")) == "idempotency_key_reused"


@pytest.mark.rule("UCP-7")
def test_a_key_belongs_to_one_request_of_two_at_once(front: Front) -> None:
    """Both have looked for the key before either stored it."""
    made, other = front.create(key=front.key("K")), front.create()
    store = StoredSessions(front.service.submissions.ledger.database)
    row = store.find(made.id)
    taken = StoredKey(row.made_with, other.id, "of a change")
    with pytest.raises(KeyTaken):
        store.change(store.find(other.id), replace(store.find(other.id), state="canceled"), taken)
    assert store.find(other.id).state != "canceled"
    new = replace(row, id="new", made_with=None, made_from=None)
    with pytest.raises(KeyTaken):
        store.add(new, StoredKey(row.made_with, "new", "of a creation"))
    store.change(store.find(other.id), store.find(other.id), StoredKey("changed", other.id, "of a change"))
    with pytest.raises(KeyTaken):
        store.add(new, StoredKey("changed", "new", "of a creation"))
    assert store.find("new") is None


@pytest.mark.rule("UCP-7")
def test_a_worker_of_the_release_before_changes_a_session(front: Front) -> None:
    """It leaves the key of the creation with a session that has another version: its answer is gone."""
    key = front.key("K")
    made = front.create(key=key)
    with front.service.submissions.ledger.database.connection() as connection:
        connection.exec_driver_sql("UPDATE sessions SET version = 2")
    assert refusal(front.create, None, key) == "session_not_found"
    assert front.complete(made).state == "completed"


@pytest.mark.rule("UCP-14")
def test_an_expired_session_is_purged(front: Front) -> None:
    key = front.key("K")
    made = front.create(key=key)
    front.replace(made, basket(tip=100), front.key("changed"))
    front.later(hours=2)
    done, unknown = front.create(), front.create()
    front.complete(done)
    front.complete(unknown, card(LOST_ANSWER_CARD))
    front.later(hours=23)
    runner = CliRunner()
    store = StoredSessions(front.service.submissions.ledger.database)
    assert store.purge(front.clock()) == 1
    assert store.find(made.id).content is None and store.find(done.id).content and store.find(unknown.id).content
    assert [row[-1] for row in rows(front, "session_keys")] == [None, None]
    assert refusal(front.read, made) == refusal(front.create, None, key) == "session_not_found"
    assert front.read(done).state == "completed"
    front.later(hours=24)
    assert store.purge(front.clock()) == 1
    assert refusal(front.read, done) == "session_not_found"
    assert front.sessions.track(front.caller, done.id, front.context()).status
    assert front.read(unknown).state == "completed"
    front.later(days=40)
    store.purge(front.clock())
    assert rows(front, "sessions") == rows(front, "session_keys") == []
    assert runner


@pytest.mark.rule("UCP-14")
def test_a_purge_reads_no_session_twice(front: Front) -> None:
    """SQLite's own steps are counted: those that were emptied before are passed once, not once for each batch."""
    front.create()
    expires_at = front.clock().timestamp() * 1000
    ledger = open_ledger(f"sqlite:///{front.data}/ledger.db", pool_size=1)
    steps = Steps(ledger)
    given = {"id": "n", "expires_at": f"{expires_at} + n", "content": "CASE WHEN n > 12000 THEN content END"}
    with ledger.database.connection() as connection:
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(sessions)")]
        copied = ", ".join(given.get(column, column) for column in columns)
        numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 13000)"
        connection.exec_driver_sql(f"INSERT INTO sessions {numbers} SELECT {copied} FROM sessions, c")
        connection.commit()
    front.later(hours=25)
    steps.count = 0
    assert StoredSessions(ledger.database).purge(front.clock()) == 1001
    count = steps.count
    ledger.close()
    assert {row[7] for row in rows(front, "sessions")} == {None}
    assert 0 < count < 170_000, count


@pytest.mark.rule("UCP-14")
def test_the_command_purges_sessions(front: Front) -> None:
    made = front.create()
    store = StoredSessions(front.service.submissions.ledger.database)
    row = store.find(made.id)
    store.change(row, replace(row, expires_at=1))
    result = front.app.test_cli_runner().invoke(args=["ledger", "purge"])
    assert "1 session" in result.output, result.output
    assert rows(front, "sessions") == []


def test_sessions_open_under_every_key(make_front: MakeFront) -> None:
    import base64

    older, newer = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    before = make_front(LEVELUP_OV_SECRET_KEYS=older)
    key = before.key("K")
    made, other = before.create(key=key), before.create()
    rotated = make_front(LEVELUP_OV_SECRET_KEYS=f"{newer},{older}")
    assert rotated.read(made) == made
    assert rotated.create(key=key).id == made.id
    assert rotated.complete(made).state == "completed"
    assert refusal(make_front(LEVELUP_OV_SECRET_KEYS=newer).read, other) == "session_not_found"


@pytest.mark.rule("UCP-14")
def test_a_content_is_sealed_in_the_form_of_all_seals(make_front: MakeFront) -> None:
    key = new_secret_key()
    front, sealer = make_front(LEVELUP_OV_SECRET_KEYS=key), Sealer([Secret(key)], "session")
    made = front.create()
    store = StoredSessions(front.service.submissions.ledger.database)
    row = store.find(made.id)
    text = sealer.open(row.content, made.id)
    assert json.loads(text)["basket"]["location_id"] == made.basket.location_id
    row = store.change(row, replace(row, content=sealer.seal(text, made.id)))
    assert front.read(made).basket == made.basket
    for damaged in ("sealed.1.", "sealed.1.!", row.content[:-1], row.content[:-9] + "\u00e9"):
        row = store.change(row, replace(row, content=damaged))
        assert refusal(front.read, made) == "session_not_found"


@pytest.mark.rule("UCP-14")
def test_a_session_is_not_lost_with_its_file(front: Front) -> None:
    made = front.create()
    (front.data / "ledger.db").unlink()
    assert refusal(front.create) == refusal(front.complete, made) == "ledger_unavailable"
    assert front.meals() == 0


@pytest.fixture
def on_postgresql(make_front: MakeFront, postgres: PostgresServer) -> Iterator[Front]:
    name = postgres.create_database()
    front = make_front(DATABASE_URL=postgres.url(name))
    yield front
    front.service.submissions.ledger.close()
    postgres.drop_database(name)


def test_a_session_lives_on_postgresql(on_postgresql: Front) -> None:
    front, key = on_postgresql, on_postgresql.key()
    made = front.create(key=front.key("K"))
    assert front.create(key=front.key("K")) == replace(made, replayed=True)
    changed = front.replace(made, basket(tip=100), front.key())
    assert front.create(key=front.key("K")) == replace(made, replayed=True)
    assert front.read(made) == changed
    assert front.complete(made, card(LOST_ANSWER_CARD), key).state == "complete_in_progress"
    other = front.restart()
    done = other.complete(made, card(LOST_ANSWER_CARD), key)
    assert done.state == "completed" and front.complete(made, card(LOST_ANSWER_CARD), key).replayed
    assert front.meals() == 1
    front.later(days=60)
    StoredSessions(front.service.submissions.ledger.database).purge(front.clock())
    assert rows(front, "sessions") == rows(front, "session_keys") == []
    other.service.submissions.ledger.close()
