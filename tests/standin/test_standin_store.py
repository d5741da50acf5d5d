"""The file that the platform keeps: made once, readable by its owner, shared by processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from levelup_ov.standins.levelup import create_levelup
from levelup_ov.standins.levelup.schema import RELEASES
from levelup_ov.standins.levelup.store import PlatformStore
from levelup_ov.standins.levelup.world import LOCATIONS, MERCHANTS, PEOPLE
from tests.standin.visitors import LevelUp, completion

NOW = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)


def _register(database: Path, process: int) -> None:
    store = PlatformStore(database)
    for number in range(5):
        with store.writing() as transaction:
            assert transaction.add_user(f"{process}-{number}@example.com", "A", "B", NOW)
    store.close()


def _complete(database: Path, uuid: str, auth: str, found: multiprocessing.Queue[str]) -> None:
    client = create_levelup(database, clock=lambda: NOW).test_client()
    answer = client.post("/v15/completed_orders", json=completion(uuid), headers={"Authorization": auth})
    found.put(answer.get_json()["order"]["uuid"])


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    create_levelup(tmp_path / "deep" / "levelup.db")
    assert not (tmp_path / "deep").exists()


def test_the_file_is_its_owners_alone(levelup: LevelUp, tmp_path: Path) -> None:
    levelup.client.get("/")
    assert stat.S_IMODE((tmp_path / "levelup.db").stat().st_mode) == 0o600


def test_the_world_is_the_same_in_every_new_file(tmp_path: Path) -> None:
    worlds = []
    for name in ("one.db", "two.db"):
        store = PlatformStore(tmp_path / name)
        with store.reading() as transaction:
            users = [(user.id, user.email, transaction.card(user.id)) for user in transaction.users()]
        worlds.append(users)
        store.close()
    assert worlds[0] == worlds[1]
    assert [user[0] for user in worlds[0]] == [person.id for person in PEOPLE]
    assert {location.merchant_id for location in LOCATIONS.values()} == set(MERCHANTS)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = PlatformStore(tmp_path / "levelup.db")
    with pytest.raises(RuntimeError), store.writing() as transaction:
        transaction.add_user("a@example.com", "A", "B", NOW)
        raise RuntimeError
    with store.reading() as transaction:
        assert transaction.user_by_email("a@example.com") is None
    store.close()


def test_a_file_of_the_first_release_is_brought_up(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "levelup.db")) as connection:
        connection.executescript(RELEASES[0])
        connection.execute("INSERT INTO users VALUES (1, 'ada@example.com', NULL, 'Ada', 'Example', NULL, NULL, 0)")
        connection.execute("INSERT INTO cards VALUES (1, 'Visa', '1111', 12, 2099, 'charged')")
        connection.execute("INSERT INTO grants VALUES (1, 'credit', 1, 200)")
        connection.commit()
    for _ in range(2):
        store = PlatformStore(tmp_path / "levelup.db")
        with store.reading() as transaction:
            (ada,), (kept,) = transaction.users(), transaction.cards(1)
            assert (ada.phone, ada.custom_attributes) == (PEOPLE[0].phone, None)
            assert (kept.card.last_4, kept.promoted, transaction.card(1)) == ("1111", True, kept.card)
            assert (transaction.granted(1, "credit", 1), transaction.expired(1, "credit", 1, NOW)) == (200, 0)
        store.close()


def test_an_older_order_ahead_can_still_be_shown(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "levelup.db")) as connection:
        connection.executescript("".join(RELEASES[:2]) + "PRAGMA user_version = 2;")
        values = "'one', 1, 1, 1001, 'completed', '{\"items\": []}', '{}', NULL, NULL, NULL, NULL, 0, 0, 0, NULL"
        connection.execute(f"INSERT INTO ahead_orders VALUES ({values})")
        connection.commit()
    store = PlatformStore(tmp_path / "levelup.db")
    with store.reading() as transaction:
        order = transaction.ahead("one")
    assert order and order.cart == {"items": [], "described": [], "rules": {}}
    store.close()


def test_an_older_order_without_prices_is_charged_without_items(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "levelup.db")) as connection:
        connection.executescript("".join(RELEASES[:3]) + "PRAGMA user_version = 3;")
        cart = '{"items": [], "described": [{"item": {"name": "Soup"}}], "rules": {}}'
        for state in ("valid", "completed"):
            values = f"'{state}', 1, 1, 1001, '{state}', '{cart}', '{{}}', NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL"
            connection.execute(f"INSERT INTO ahead_orders VALUES ({values})")
        connection.commit()
    store = PlatformStore(tmp_path / "levelup.db")
    with store.reading() as transaction:
        found = [transaction.ahead(state) for state in ("valid", "completed")]
    assert [len(order.cart["described"]) for order in found if order] == [0, 1]
    store.close()


def test_processes_make_and_share_one_file(tmp_path: Path) -> None:
    database = tmp_path / "levelup.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_register, args=(database, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    store = PlatformStore(database)
    with store.reading() as transaction:
        assert len(transaction.users()) == len(PEOPLE) + 15
    store.close()


def test_completions_in_several_processes_make_one_order(levelup: LevelUp, tmp_path: Path) -> None:
    auth = levelup.tokens()
    uuid = levelup.propose(auth)["uuid"]
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[str] = context.Queue()
    arguments = (tmp_path / "levelup.db", uuid, auth, found)
    processes = [context.Process(target=_complete, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    uuids = {found.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(uuids) == 1
    assert levelup.loyalty()["orders_count"] == 1
