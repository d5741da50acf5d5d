"""An adapter's mistakes cost a clear message, never a second order: SUB-2, SUB-5, SUB-8."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.outcome import Placed
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ordering.reported_orders import LONGEST_ID
from tests.channel import Channel, Clock
from tests.contract.careless import Till, TillAdapter
from tests.contract.conftest import MakeFake
from tests.transport.wire import peer

ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
settings = {{base_url = "{}"}}
"""

MakeDiner = Callable[..., tuple[Till, Channel]]


@pytest.fixture
def diner(
    tmp_path: Path, environ: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeDiner]:
    """A provider, and a service with this adapter of :mod:`tests.contract.careless` for it."""
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0.01)
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0.001)
    till, accounts = Till(), tmp_path / "accounts.toml"
    with peer(till.serve) as provider:

        def make(adapter: str, losing: int = 0, **more: str) -> tuple[Till, Channel]:
            till.losing = losing
            accounts.write_text(ACCOUNTS.format(provider.url))
            variables = {
                "LEVELUP_OV_ADAPTERS": f"fake=tests.contract.careless:{adapter}",
                "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_RECONCILE_GRACE": "0.1",
                "LEVELUP_OV_SUBMISSION_DEADLINE": "4", **more,
            }  # fmt: skip
            return till, Channel(create_app(load_settings({**environ, **variables}), clock=clock))

        yield make


class Word(str):
    """Text of a type of its own, as an enumeration has."""


def told(channel: Channel, *, times: int = 1) -> list[Any]:
    """The number or the code that the channel is told each time that it sends one submission."""
    found = []
    for _ in range(times):
        answer = channel.submit("fake.one", order_number="1")
        found.append(answer.order["order_id"] if answer.status == 200 else answer.error["code"])
        time.sleep(0 if answer.status == 200 else 0.15)
    return found


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.getMessage() == event]
    assert all(record.levelno == logging.ERROR for record in records)
    return [record.__dict__ for record in records]


@pytest.mark.rule("SUB-2", "SUB-5")
def test_an_adapter_that_tries_again_places_one_order(diner: MakeDiner, caplog: pytest.LogCaptureFixture) -> None:
    till, channel = diner("TriesAgain", losing=1)

    assert told(channel, times=2) == ["outcome_unknown", "T-1"]

    assert len(till.orders) == 1
    [event] = logged(caplog, "order_not_sent_again")
    assert (event["account"], event["call"]) == ("fake", "POST /orders")


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize("adapter", ["TurnsLostIntoRefused", "RepeatsLostAsRefused"])
def test_a_lost_order_that_the_adapter_calls_refused_is_unknown(diner: MakeDiner, adapter: str) -> None:
    till, channel = diner(adapter, losing=1 if adapter == "TurnsLostIntoRefused" else 9)

    answers = told(channel, times=4)

    if adapter == "TurnsLostIntoRefused":
        assert (answers, len(till.orders)) == (["outcome_unknown", "T-1", "T-1", "T-1"], 1)
    else:
        # Each repetition is sent under the first reference, which the provider promises to recognize.
        assert (set(answers), len(set(till.orders))) == ({"outcome_unknown"}, 1)


@pytest.mark.rule("SUB-2", "SUB-4")
def test_an_order_without_a_placing_call_is_placed_once(diner: MakeDiner, caplog: pytest.LogCaptureFixture) -> None:
    till, channel = diner("NeverSaysPlaces", LEVELUP_OV_SUBMISSION_DEADLINE="2.5")

    assert told(channel) == ["T-1"]
    time.sleep(2.7)  # until the claim would be over
    assert told(channel, times=2) == ["T-1", "T-1"]

    assert len(till.orders) == 1
    [event] = logged(caplog, "placed_without_placing_call")
    assert event["cause"] == "NeverSaysPlaces returned an order (last call: POST /orders)"
    assert not logged(caplog, "placed_during_another_attempt") and not logged(caplog, "submission_restored_to_ledger")


WRONG: dict[str, tuple[dict[str, Any], Any]] = {
    "a charge as Decimal": ({"charged": Decimal(650), "expected_charge": 650.0}, "T-1"),
    "an endless charge": ({"charged": 10**30}, "T-1"),
    "a time without a zone": ({"expected_ready_at": datetime(2030, 6, 3, 12)}, "T-1"),
    "a time as text": ({"expected_ready_at": "2030-06-03T16:00:00Z"}, "T-1"),
    "a time beyond all times": ({"expected_ready_at": datetime.max.replace(tzinfo=timezone.utc)}, "T-1"),
    "open account data": ({"customer_account": {"token": "open"}}, "T-1"),
    "duplicates as text": ({"duplicates": "order-2"}, "T-1"),
}
"""What an order can do without, and the number that is told."""
IDS: dict[str, tuple[dict[str, Any], Any]] = {
    "a number": ({"order_id": 12, "provider_order_id": 12}, 12),
    "a whole Decimal": ({"order_id": Decimal("12.0"), "provider_order_id": Decimal("1.2E+1")}, 12),
    "a subclass": ({"order_id": Word("A-1"), "provider_order_id": Word("A-1")}, "A-1"),
}
NO_IDS: dict[str, dict[str, Any]] = {
    "None": {"order_id": None},
    "empty": {"provider_order_id": ""},
    "blank": {"order_id": " "},
    "bytes": {"order_id": b"A-1"},
    "a list": {"provider_order_id": ["A-1"]},
    "true": {"order_id": True},
    "a half": {"order_id": Decimal("12.5")},
    "a float": {"order_id": 12.0},
    "endless": {"order_id": 10**5000},
    "an endless Decimal": {"order_id": Decimal("1E+999999")},
    "not a number": {"provider_order_id": Decimal("NaN")},
}


@pytest.mark.rule("SUB-1", "SUB-4", "MONEY-1", "TIME-1")
@pytest.mark.parametrize("lost", [False, True], ids=["placed", "found"])
@pytest.mark.parametrize("case", [*WRONG, *IDS])
def test_an_order_counts_without_what_it_can_do_without(
    diner: MakeDiner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, case: str, lost: bool
) -> None:
    members, number = {**WRONG, **IDS}[case]
    monkeypatch.setattr(TillAdapter, "members", members)
    till, channel = diner("TillAdapter", losing=int(lost))

    answers = told(channel, times=3)

    assert answers == ["outcome_unknown" if lost else number, number, number]
    assert len(till.orders) == 1
    events = [event["cause"] for event in logged(caplog, "order_with_wrong_member")]
    mistakes = members if case in WRONG else {}
    assert [re.match(r"TillAdapter returned Placed.(\w+) as \w+: it must be .*\(last call: ", each)[1]  # type: ignore[index]
            for each in events] == sorted(mistakes, key=list(Placed.__dataclass_fields__).index)  # fmt: skip
    assert not logged(caplog, "ledger_unavailable") and not logged(caplog, "internal_error")


@pytest.mark.rule("SUB-1", "SUB-5")
@pytest.mark.parametrize("lost", [False, True], ids=["placed", "found"])
@pytest.mark.parametrize("case", NO_IDS)
def test_an_order_without_an_id_is_unknown(
    diner: MakeDiner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, case: str, lost: bool
) -> None:
    monkeypatch.setattr(TillAdapter, "members", NO_IDS[case])
    till, channel = diner("TillAdapter", losing=int(lost))

    assert set(told(channel, times=3)) == {"outcome_unknown"}

    [member] = NO_IDS[case]
    assert len(till.orders) == 1
    assert f"TillAdapter returned Placed.{member} as " in logged(caplog, "order_with_wrong_member")[0]["cause"]
    # The adapter is corrected.
    monkeypatch.setattr(TillAdapter, "members", {})
    assert told(channel) == ["T-1"]


@pytest.mark.rule("SUB-1", "SUB-4", "STAT-3", "STAT-6")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("lost", [False, True], ids=["placed", "found"])
def test_an_order_with_endless_ids_is_kept_by_its_fingerprint(
    request: pytest.FixtureRequest, diner: MakeDiner, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, database: str, lost: bool,
) -> None:  # fmt: skip
    long = secrets.token_hex(5000)
    monkeypatch.setattr(TillAdapter, "members", {"order_id": long, "provider_order_id": long, "duplicates": (long,)})
    more = {}
    if database == "postgresql":
        postgres = request.getfixturevalue("postgres")
        more["DATABASE_URL"] = postgres.url(postgres.create_database())
        upgrade(more["DATABASE_URL"])
    till, channel = diner("AsksAndCancels", losing=int(lost), **more)

    answers = told(channel, times=3)[lost:]

    [number] = set(answers)
    assert number.startswith(long[:100]) and len(number) < LONGEST_ID and len(till.orders) == 1
    path = f"/locations/fake.one/orders/{number}"
    assert channel.get(path).refusal[:2] == (422, "status_not_supported")
    assert channel.send("POST", f"{path}/cancellation").refusal[:2] == (422, "cancellation_not_supported")
    channel.app.extensions["levelup_ov"].submissions.ledger.close()
    assert not logged(caplog, "ledger_unavailable") and not logged(caplog, "internal_error")


@pytest.mark.rule("LOC-3")
def test_a_location_with_an_endless_id_is_left_out(fake: MakeFake, caplog: pytest.LogCaptureFixture) -> None:
    provider, channel = fake()
    assert isinstance(provider.locations, list)
    provider.locations.append(replace(provider.locations[0], provider_id="x" * 1000))

    listed = channel.get("/merchants/fake/locations").json["locations"]

    assert [each["location"]["provider_id"] for each in listed] == ["fake.one"]
    assert [record.__dict__["location"] for record in caplog.records if record.getMessage() == "location_not_read"] == [
        "fake." + "x" * 95 + "..."
    ]


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("result", [False, "", [], {}, {"order_id": "T-1"}], ids=repr)
def test_only_none_is_the_absence_of_an_order(
    diner: MakeDiner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, result: object
) -> None:
    till, channel = diner("TillAdapter", losing=1)
    with monkeypatch.context() as patch:
        patch.setattr(TillAdapter, "find_order", lambda *_: result)
        assert set(told(channel, times=4)) == {"outcome_unknown"}
    assert (
        f"TillAdapter returned a result as {type(result).__name__}: it must be a Placed"
        in (logged(caplog, "order_with_wrong_member")[0]["cause"])
    )
    assert told(channel) == ["T-1"] and len(till.orders) == 1


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_result_that_is_no_order_leaves_it_unknown(diner: MakeDiner) -> None:
    till, channel = diner("ReportsNothing", LEVELUP_OV_SUBMISSION_DEADLINE="2.5")

    assert told(channel) == ["outcome_unknown"]
    time.sleep(2.7)
    assert told(channel, times=2) == ["T-1", "T-1"]

    assert len(till.orders) == 1
