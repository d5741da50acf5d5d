"""What is kept, on SQLite and PostgreSQL: of two that want the same only one gets it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from levelup_ov.checkout.store import CheckoutStore, Connected, StoredOrder, UuidTaken
from levelup_ov.ledger import identity
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed
from tests.ledger.conftest import (  # noqa: F401
    migrated_databases,
    migrated_file,
    postgresql_url,
    sqlite_url,
    url,
)

MERCHANT = Connected("mer_1", "merchant", "pending", "manage_merchant_orders", 1000, return_to="https://shop.example")
ORDER = StoredOrder(
    "id-1", "charging", "mer_1", "usr_1", 11, "proposed-1", 1070, 70, 0, 200, 100,
    created_at=1000, body="sealed", held="one",
)  # fmt: skip


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[CheckoutStore]:
    database = Database(request.getfixturevalue("url"), pool_size=2)
    yield CheckoutStore(database)
    database.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``url`` is asked for by ``store`` only when a test runs: its parameters are given here."""
    if "store" in metafunc.fixturenames:
        metafunc.fixturenames.append("url")
        metafunc.parametrize("url", ["sqlite", "postgresql"], indirect=True)


def test_a_connection_is_kept_whole(store: CheckoutStore) -> None:
    user = replace(MERCHANT, id="usr_1", kind="user", request_id=7, levelup_id=2**40, token="sealed")
    store.add_connection(MERCHANT)
    store.add_connection(user)
    assert (store.connection("mer_1"), store.connection("usr_1")) == (MERCHANT, user)
    assert store.connection_of_request(7) == user
    assert store.connection("mer_2") is store.connection_of_request(8) is None
    assert store.connections("user", "pending") == [user]
    assert store.connections("user", "connected") == []


def test_a_state_is_taken_once(store: CheckoutStore) -> None:
    store.add_connection(MERCHANT, "digest", 2000)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: store.take_state("digest", "merchant", 1999), range(8)))
    assert [found for found in taken if found] == [MERCHANT]


def test_a_state_that_ended_is_taken_for_nothing(store: CheckoutStore) -> None:
    store.add_connection(MERCHANT, "digest", 2000)
    assert store.take_state("digest", "user", 1500) is None
    assert store.take_state("digest", "merchant", 2000) is None
    assert store.take_state("digest", "merchant", 1500) is None


def test_states_that_ended_are_thrown_away(store: CheckoutStore) -> None:
    store.add_connection(MERCHANT, "digest", 2000)
    store.add_connection(replace(MERCHANT, id="mer_2", created_at=3000), "other", 4000)
    # Asked as of a time when it was good still.
    assert store.take_state("digest", "merchant", 1500) is None


def test_a_connection_that_was_given_up_is_forgotten(store: CheckoutStore) -> None:
    day = 24 * 3600 * 1000
    store.add_connection(MERCHANT, "digest", 2000)
    store.add_connection(replace(MERCHANT, id="mer_2", state="connected"))
    store.add_connection(replace(MERCHANT, id="mer_3", request_id=1))
    store.add_connection(replace(MERCHANT, id="mer_4", created_at=1001 + day))
    assert [bool(store.connection(f"mer_{n}")) for n in (1, 2, 3, 4)] == [False, True, True, True]


def test_an_order_is_kept_whole_and_found_by_both_ids(store: CheckoutStore) -> None:
    store.add_order(ORDER)
    assert store.order("id-1") == ORDER
    assert store.change_order("id-1", ("charging",), values={"state": "charged", "uuid": "uuid-1", "body": None})
    assert store.order("uuid-1") == replace(ORDER, state="charged", uuid="uuid-1", body=None)
    assert store.order("id-2") is None


def test_a_change_names_what_it_comes_from(store: CheckoutStore) -> None:
    store.add_order(ORDER)
    charged = {"state": "charged", "held": None}
    assert not store.change_order("id-1", ("charged",), values={"state": "refunding"})
    assert not store.change_order("id-1", ("charging",), held="two", values=charged)
    assert not store.change_order("id-1", ("charging",), held=None, values=charged)
    assert store.change_order("id-1", ("charging",), held="one", values=charged)
    assert store.change_order("id-1", ("charged",), held=None, values={"state": "submitting"})


def test_a_uuid_is_one_orders(store: CheckoutStore) -> None:
    store.add_order(replace(ORDER, id="id-1", uuid="uuid-1", state="charged"))
    store.add_order(replace(ORDER, id="id-2"))
    with pytest.raises(UuidTaken):
        store.change_order("id-2", ("charging",), values={"state": "charged", "uuid": "uuid-1"})
    assert store.order("id-2") == replace(ORDER, id="id-2")
    assert store.known_uuids(["uuid-1", "uuid-2"]) == {"uuid-1"}


@pytest.mark.rule("WEB-2")
def test_a_lost_order_is_written_again_once(store: CheckoutStore) -> None:
    """Whoever comes second sees what the first has written, and what became of that."""

    def write(n: int) -> StoredOrder | None:
        return store.put("id-1", lambda now: replace(ORDER, looks=n) if now is None else None)

    with ThreadPoolExecutor(8) as pool:
        written = [each for each in pool.map(write, range(8)) if each]
    assert [store.order("id-1")] == written
    assert store.change_order("id-1", ("charging",), values={"state": "not_charged"})
    assert store.put("id-1", lambda now: None if now and now.state != "charging" else ORDER) is None
    assert store.order("id-1") == replace(written[0], state="not_charged")


def test_a_mark_is_seen_first_once(store: CheckoutStore) -> None:
    assert store.first_sight("mark", "boot", 1000) == 1000
    assert store.first_sight("mark", "boot", 2000) == 1000
    assert store.first_sight("mark", "another boot", 7) == 7


def test_one_of_many_takes_an_order_up(store: CheckoutStore) -> None:
    store.add_order(replace(ORDER, state="submitting"))
    with ThreadPoolExecutor(8) as pool:
        taken = list(
            pool.map(
                lambda n: store.change_order("id-1", ("submitting",), held="one", values={"held": f"by {n}"}), range(8)
            )
        )
    assert len([order for order in taken if order]) == 1


def change_cancellation(store: CheckoutStore, order: StoredOrder, value: str | None) -> StoredOrder | None:
    """Change the cancellation of an order that is submitted, if it is still the one that ``order`` has."""
    values = {"cancellation": value}
    return store.change_order(order.id, ("submitted",), cancellation=order.cancellation, values=values)


def test_one_of_many_cancels_an_order(store: CheckoutStore) -> None:
    store.add_order(order := replace(ORDER, state="submitted"))
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda n: change_cancellation(store, order, f"by {n}"), range(8)))
    (last,) = filter(None, begun)
    assert change_cancellation(store, last, None) == order
    store.change_order("id-1", ("submitted",), values={"state": "refunding"})
    assert change_cancellation(store, order, "late") is None


@pytest.mark.rule("SUB-4")
@pytest.mark.parametrize("again", [False, True])
def test_a_refunded_order_frees_all_names_but_its_key(
    store: CheckoutStore, request: pytest.FixtureRequest, again: bool
) -> None:
    database = Database(request.getfixturevalue("url"), pool_size=2)
    ledger = Ledger(database)
    identities = identity.identities(
        "checkout/mer_1", content=b"", keys=[b"k" * 32],
        idempotency_key="K", order_number="N-1", order_validation_id="V",
    )  # fmt: skip
    lease = timedelta(seconds=60)
    claim = ledger.claims.claim(
        account="a", location="checkout/mer_1", identities=identities, content=("c",), lease=lease
    )  # fmt: skip
    assert isinstance(claim, Claimed)
    store.add_order(replace(ORDER, id=claim.id, state="refunding", provider_location_id="sandbox.congress"))
    if again:
        store.free_names(claim.id)
    else:
        store.change_locked(claim.id, lambda _: {"state": "refunded"})
    assert [len(ledger.reader.named((each,))) for each in identities] == [1, 0, 0]
    database.close()


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"state": "charging"}, True),
        ({"state": "submitting"}, True),
        ({"state": "refunding"}, True),
        ({"state": "charged", "provider_location_id": "sandbox.congress"}, True),
        ({"state": "charged"}, False),
        ({"state": "charged", "look_at": 6000}, True),
        ({"state": "charged", "look_at": 6001}, False),
        ({"state": "charged", "look_at": 6000 + 86_400_000}, False),
        ({"state": "charged", "look_at": 6001 + 2 * 86_400_000}, True),
        ({"state": "submitted", "provider_location_id": "sandbox.congress"}, False),
        ({"state": "submitted", "cancellation": "{}"}, True),
        ({"state": "refunded"}, False),
        ({"state": "not_charged"}, False),
        ({"state": "not_charged", "look_at": 6000}, True),
        ({"state": "not_charged", "look_at": 6001}, False),
        ({"state": "not_charged", "look_at": 6000 + 60_000}, False),
        ({"state": "not_charged", "look_at": 6001 + 60_000}, True),
        ({"state": "not_charged", "look_at": 6001 + 60_000, "looks": 1}, False),
        ({"state": "not_charged", "operator_case": "{}"}, True),
        ({"state": "submitted", "called_off_at": 1}, True),
        ({"state": "refunded", "called_off_at": 1}, False),
        ({"state": "stuck"}, True),
    ],
)
def test_what_is_left_unfinished(store: CheckoutStore, change: dict[str, Any], left: bool) -> None:
    store.add_order(replace(ORDER, **change))
    assert [order.id for order in store.unfinished_orders(6000, 10)] == (["id-1"] if left else [])


def test_a_database_that_is_not_there(tmp_path: object) -> None:
    store = CheckoutStore(Database(f"sqlite:///{tmp_path}/missing/ledger.db", pool_size=1))
    with pytest.raises(LedgerUnavailable):
        store.order("id-1")


@pytest.mark.parametrize("step", ["add_order", "change_order", "change_cancellation", "order"])
def test_a_connection_that_breaks_at_the_commit(
    store: CheckoutStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The change was made, but its maker cannot know: the second try finds it made and goes on."""
    order = replace(ORDER, state="submitted") if step == "change_cancellation" else ORDER
    if step != "add_order":
        store.add_order(order)
    dialect = store._database.engine.dialect
    commit = dialect.do_commit
    broken: list[bool] = []

    def break_once(connection: Any) -> None:
        commit(connection)
        if not broken:
            broken.append(True)
            raise dialect.loaded_dbapi.OperationalError("the connection broke")

    monkeypatch.setattr(dialect, "do_commit", break_once)
    monkeypatch.setattr(dialect, "is_disconnect", lambda error, *_: "broke" in str(error))
    if step == "add_order":
        store.add_order(ORDER)
    elif step == "change_order":
        changed = store.change_order("id-1", ("charging",), values={"state": "charged", "uuid": "uuid-1"})
        assert changed == replace(ORDER, state="charged", uuid="uuid-1")
    elif step == "change_cancellation":
        changed = change_cancellation(store, order, "begun")
        assert changed == replace(order, cancellation="begun")
    else:
        assert store.order("id-1") == ORDER
    assert broken and store.order("id-1") is not None


def test_any_member_can_change_under_any_condition(store: CheckoutStore) -> None:
    store.add_order(ORDER)
    for member in fields(StoredOrder):
        values = {member.name: getattr(ORDER, member.name)}
        assert store.change_order(ORDER.id, ("charging",), held="one", cancellation=None, values=values) == ORDER
