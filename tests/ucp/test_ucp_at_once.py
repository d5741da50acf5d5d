"""Requests with the same idempotency key at the same time: each has looked for the key before any of them stored it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from levelup_ov.ledger.sessions import StoredKey, StoredSessions
from tests.channel import Answer
from tests.ucp.agent import BUYER, Agent, dish, item, pays_by_card, uid

Call = Callable[[], Answer]


@pytest.fixture
def agent(agent_of_either: Agent) -> Agent:
    return agent_of_either


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Answer]]:
    """Sends requests that meet once each has looked for its key."""
    find, here = StoredSessions.find_key, threading.local()

    def run(*calls: Call) -> list[Answer]:
        barrier, answers = threading.Barrier(len(calls)), [Answer(0, {}, None)] * len(calls)

        def find_key(store: StoredSessions, digest: str) -> StoredKey | None:
            found = find(store, digest)
            if not getattr(here, "has_met", False):
                here.has_met = True
                barrier.wait(10)
            return found

        def send(number: int) -> None:
            answers[number] = calls[number]()

        monkeypatch.setattr(StoredSessions, "find_key", find_key)
        threads = [threading.Thread(target=send, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.setattr(StoredSessions, "find_key", find)
        return answers

    return run


def meals(agent: Agent) -> int:
    """How many orders the provider has."""
    with closing(sqlite3.connect(agent.app.extensions["levelup_ov.settings"].data_dir / "sandbox.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])


MAKE: dict[str, Callable[[Agent, str], Answer]] = {
    "basket": lambda agent, key: create(agent, key, buyer=BUYER),
    "preset tip": lambda agent, key: create(agent, key, buyer=BUYER, tip={"selected_option_id": "percent-18"}),
    "left out": lambda agent, key: agent.send(
        "POST", "/ucp/shopping/checkout-sessions",
        {"line_items": [item("cookie"), item("nothing")], "buyer": BUYER}, Idempotency_Key=key,
    ),
}  # fmt: skip
CHANGE: dict[str, Any] = {
    "update": {"line_items": [dish("cookie")], "tip": {"selected_option_id": "percent-18"}},
    "cancel": None,
    "complete": pays_by_card(),
}


def create(agent: Agent, key: str, **members: Any) -> Answer:
    body = {"food_establishment": {"id": "sandbox.congress"}, "line_items": [dish("sandwich")], **members}
    return agent.send("POST", "/ucp/food/checkout-sessions", body, Idempotency_Key=key)


def codes(answers: list[Answer]) -> list[tuple[int, str]]:
    """Status, and code of the error if it is one."""
    return sorted((each.status, each.json["code"] if each.status >= 400 else "") for each in answers)


@pytest.mark.rule("UCP-7")
@pytest.mark.parametrize("kind", MAKE)
def test_one_checkout_is_made_of_two_requests(agent: Agent, at_once: Any, kind: str) -> None:
    key = uid()
    first, second = at_once(*[lambda: MAKE[kind](agent, key)] * 2)
    assert (first.status, first.json) == (201, second.json)
    assert MAKE[kind](agent, key).json == first.json


@pytest.mark.rule("UCP-7")
@pytest.mark.parametrize("action", CHANGE)
def test_a_change_at_once_is_made_once(agent: Agent, at_once: Any, action: str) -> None:
    session, key = agent.session(), uid()
    answers = at_once(*[lambda: agent.act(session, action, CHANGE[action], Idempotency_Key=key)] * 3)
    assert codes(answers) == [(200, "")] * 3
    last = agent.act(session, action, CHANGE[action], Idempotency_Key=key)
    assert all(answer.json == last.json or answer.json["status"] == "complete_in_progress" for answer in answers)
    assert meals(agent) == (action == "complete")


@pytest.mark.rule("UCP-7", "UCP-8", "UCP-13")
@pytest.mark.parametrize("different", [1, 3])
def test_the_payer_completes_it_once(agent: Agent, at_once: Any, different: int) -> None:
    """The buyer is named by the completion, which is a step of its own."""
    session, keys = agent.create().json, [uid() for _ in range(different)] * 3
    answers = at_once(
        *[lambda key=key: agent.act(session, "complete", pays_by_card(), Idempotency_Key=key) for key in keys[:3]]
    )
    assert codes(answers) == [(200, "")] * 3
    assert {each.json["status"] for each in answers} <= {"completed", "complete_in_progress"}
    assert agent.act(session, "get").json["status"] == "completed" and meals(agent) == 1


@pytest.mark.rule("UCP-7")
@pytest.mark.parametrize("other", CHANGE)
@pytest.mark.parametrize("action", CHANGE)
def test_a_key_at_once_is_of_one_request(agent: Agent, at_once: Any, action: str, other: str) -> None:
    one, two, key = agent.session(), agent.session(), uid()
    answers = at_once(
        lambda: agent.act(one, action, CHANGE[action], Idempotency_Key=key),
        lambda: agent.act(two, other, CHANGE[other], Idempotency_Key=key),
    )
    assert codes(answers) == [(200, ""), (409, "idempotency_key_reused")]
    untouched = (two, one)[answers[1].status == 200]
    assert agent.act(untouched, "get").json == untouched
    assert meals(agent) <= (action == "complete") + (other == "complete")


@pytest.mark.rule("UCP-7")
def test_another_body_at_once_is_refused(agent: Agent, at_once: Any) -> None:
    session, key = agent.session(), uid()
    answers = at_once(
        lambda: agent.act(session, "update", {"line_items": [dish("cookie")]}, Idempotency_Key=key),
        lambda: agent.act(session, "update", {"line_items": [dish("lemonade")]}, Idempotency_Key=key),
    )
    assert codes(answers) == [(200, ""), (409, "idempotency_key_reused")]
