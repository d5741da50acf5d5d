"""A checkout that is read again is the same, and what was kept of it is never older than the checkout."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from levelup_ov.ledger.sessions import StoredSessions
from levelup_ov.ucp.shown import KEPT_BYTES, ShownAnswers
from tests.channel import Clock
from tests.ucp.agent import BUYER, OTHER_KEY, Agent, dish, pays_by_card


@pytest.mark.rule("UCP-5")
def test_a_checkout_read_again_is_the_same(agent: Agent) -> None:
    session = agent.session()
    for _ in range(3):
        answer = agent.act(session, "get")
        assert (answer.status, answer.json) == (200, session)


@pytest.mark.rule("UCP-5")
def test_a_read_follows_every_change(agent: Agent) -> None:
    session = agent.session()
    for action, body in (
        ("update", {"line_items": [dish("cookie")]}),
        ("update", {"line_items": [dish("cookie", quantity=3)]}),
        ("complete", pays_by_card()),
    ):
        before = agent.act(session, "get").json
        changed = agent.act(session, action, body).json
        assert before == session != changed
        assert agent.act(session, "get").json == agent.act(session, "get").json == changed
        session = changed
    canceled = agent.session()
    agent.act(canceled, "get")
    assert agent.act(canceled, "cancel").json == agent.act(canceled, "get").json != canceled


@pytest.mark.rule("UCP-5", "UCP-14")
def test_what_was_shown_is_shown_to_nobody_else(agent: Agent, ucp_app: Flask, clock: Clock) -> None:
    session = agent.session()
    assert agent.act(session, "get").json == session
    other = replace(agent, key=OTHER_KEY)
    assert {agent.act(session, "get", face="shopping").json["messages"][0]["code"],
            other.act(session, "get").json["messages"][0]["code"]} == {"not_found"}  # fmt: skip
    clock.now += timedelta(hours=25)
    assert agent.act(session, "get").json["messages"][0]["code"] == "not_found"
    clock.now -= timedelta(hours=25)
    assert agent.act(session, "get").json == session
    StoredSessions(ucp_app.extensions["levelup_ov"].submissions.ledger.database).purge(clock() + timedelta(hours=25))
    assert agent.act(session, "get").json["messages"][0]["code"] == "not_found"


@pytest.mark.rule("UCP-14")
def test_nothing_personal_is_kept_in_the_clear() -> None:
    answers, content = ShownAnswers(), BUYER["first_name"].encode() * 100
    answers.keep("a", 1, content)
    kept = answers._store.get("a")
    assert kept is not None and BUYER["first_name"].encode() not in kept.body
    shown = answers.find("a")
    assert shown is not None and shown.open() == content and shown.is_of(1) and not shown.is_of(2)


def test_the_answers_that_are_kept_have_a_limit() -> None:
    answers = ShownAnswers()
    for number in range(3 * KEPT_BYTES // 100_000):
        answers.keep(str(number), 1, bytes(100_000))
    assert answers._store.size <= KEPT_BYTES
    assert answers.find("0") is None and answers.find(str(number)) is not None
