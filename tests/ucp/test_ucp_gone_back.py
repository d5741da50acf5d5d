"""The database goes back to an earlier moment while a checkout is completed, as a replica or a restored copy does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from adapters.sandbox import SandboxAdapter
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Refused, timed_out
from levelup_ov.ledger.tables import SESSIONS
from tests.channel import Clock
from tests.ucp.agent import Agent, dish, messages, pays_by_card, uid
from tests.ucp.test_ucp_at_once import meals

PLACES = SandboxAdapter.submit_order
SINCE = ("the checkout", "its completion")
Copy = Callable[[], None]


@pytest.fixture
def agent(agent_of_either: Agent) -> Agent:
    return agent_of_either


def copied(app: Flask, *only: str) -> Copy:
    """Puts the tables of the ledger back as they are now; all of them, unless it is told which."""
    engine = sa.create_engine(
        app.extensions["levelup_ov"].submissions.ledger.database.engine.url, poolclass=sa.NullPool
    )
    names = sa.inspect(engine).get_table_names()
    tables = [each for each in SESSIONS.metadata.sorted_tables if each.name in names and each.name in (only or names)]
    with engine.connect() as connection:
        kept = {table: [dict(row._mapping) for row in connection.execute(table.select())] for table in tables}

    def put_back() -> None:
        with engine.begin() as connection:
            for table in reversed(tables):
                connection.execute(table.delete())
            for table in tables:
                if kept[table]:
                    connection.execute(table.insert(), kept[table])

    return put_back


def made(agent: Agent, since: str) -> tuple[dict[str, Any], Copy]:
    """A checkout, and a copy of the database from before it, or before its completion."""
    before = copied(agent.app)
    session = agent.session()
    return session, before if since == SINCE[0] else copied(agent.app)


UNDONE: dict[str, Any] = {
    "lost on the way": timed_out(sent=True),
    "refused": Refused("item_unavailable", "sold out"),
    "never sent": Failure("provider_unavailable", "no connection"),
}
"""Failures of a placing call that places nothing."""


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, answer: str, happens: Callable[[], object]) -> Iterator[None]:
    """What ``happens`` while an order is at the provider, and what becomes of its answer."""

    def submit_order(self: SandboxAdapter, order: Any, session: Any, *rest: Any) -> Any:
        placed = None if answer in UNDONE else PLACES(self, order, session, *rest)
        happens()
        if placed is None:
            raise UNDONE[answer]
        if answer == "lost":
            raise timed_out(sent=True)
        return placed

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "submit_order", submit_order)
        yield


@pytest.mark.rule("UCP-13", "SUB-5")
@pytest.mark.parametrize("asks", ["get", "cancel", "update", "complete"])
@pytest.mark.parametrize("answer", ["received", "lost"])
@pytest.mark.parametrize("since", SINCE)
def test_an_order_is_told_by_its_owner(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, since: str, answer: str, asks: str
) -> None:
    (session, put_back), key = made(agent, since), uid()
    with meanwhile(monkeypatch, answer, put_back):
        told = agent.act(session, "complete", pays_by_card(), Idempotency_Key=key)
    expected = "completed" if answer == "received" else "complete_in_progress"
    assert (told.json["status"], meals(agent)) == (expected, 1)
    if answer == "lost":
        assert messages(told)[0][1] == "outcome_unknown"
    body = {"get": None, "cancel": None, "complete": pays_by_card(), "update": {"line_items": [dish("cookie")]}}[asks]
    agent.act(session, asks, body)
    assert agent.act(session, "get").json["status"] == "completed"
    assert agent.act(session, "complete", pays_by_card(), Idempotency_Key=key).json["status"] == "completed"
    refused = agent.act(session, "cancel")
    assert (refused.status, refused.json["code"], meals(agent)) == (409, "session_closed", 1)


@pytest.mark.rule("UCP-13", "SUB-8")
@pytest.mark.parametrize("why", UNDONE)
@pytest.mark.parametrize("since", SINCE)
def test_a_failed_order_opens_the_checkout_again(
    agent: Agent, clock: Clock, monkeypatch: pytest.MonkeyPatch, since: str, why: str
) -> None:
    session, put_back = made(agent, since)
    with meanwhile(monkeypatch, why, put_back):
        told = agent.act(session, "complete", pays_by_card())
    # The database has nothing that says that it was proven to have failed.
    assert (told.json["status"], messages(told)[0][1]) == ("complete_in_progress", "outcome_unknown")
    for _ in range(2):
        clock.now += timedelta(minutes=5)
        read = agent.act(session, "get")
    assert read.json["status"] == "ready_for_complete"
    assert agent.act(session, "cancel").json["status"] == "canceled" and meals(agent) == 0


@pytest.mark.rule("UCP-13")
@pytest.mark.parametrize("answer", ["received", "lost"])
def test_an_order_ends_a_cancellation(agent: Agent, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Nothing in the database says that the checkout is being completed when it is canceled."""
    session, put_back = made(agent, "its completion")

    def cancel() -> None:
        put_back()
        assert agent.act(session, "cancel").json["status"] == "canceled"

    with meanwhile(monkeypatch, answer, cancel):
        told = agent.act(session, "complete", pays_by_card())
    assert told.json["status"] == ("completed" if answer == "received" else "complete_in_progress")
    assert agent.act(session, "get").json["status"] == "completed" and meals(agent) == 1


@pytest.mark.rule("UCP-13")
@pytest.mark.parametrize("answer", ["received", "lost"])
@pytest.mark.parametrize("changes", [True, False])
def test_a_cancellation_asks_the_ledger(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, answer: str, changes: bool
) -> None:
    """The owner has ended after it wrote the submission again, and before the checkout."""
    session, key = agent.session(), uid()
    put_back = copied(agent.app, "sessions", "session_keys")
    with meanwhile(monkeypatch, answer, lambda: None):
        agent.act(session, "complete", pays_by_card())
    put_back()
    if changes:
        agent.act(session, "update", {"line_items": [dish("cookie")]})
    for _ in range(2):
        refused = agent.act(session, "cancel", Idempotency_Key=key)
        assert (refused.status, refused.json["code"]) == (409, "session_closed")
    done = agent.act(session, "get").json
    assert done["status"] == "completed" and done["order"] and meals(agent) == 1
