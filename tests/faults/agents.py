"""The same submissions by agents: checkout sessions over UCP, created, completed and read until they are decided."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from tests.faults.channel import CARD, CVV, HASTE, Plan, Story, insist
from tests.faults.stack import Answer, Stack, call

KEY = "canary-key-of-the-lunch-agent"
VARIABLES = {"LEVELUP_OV_UCP_AGENTS": f"lunch={KEY}", "LEVELUP_OV_UCP_URL": "https://127.0.0.1"}
SESSIONS = "/ucp/food/checkout-sessions"
RETRYABLE = frozenset({"submission_in_progress", "session_changed"})
"""Refusals of UCP after which the same request may succeed; every 429 and 5xx is another."""
RECONCILING = 120.0
"""Seconds for which sessions are read at the end."""


@dataclass
class AgentStory(Story):
    """With the id of the session, if there is one."""

    session: str = ""


def submit(stack: Stack, plan: Plan, *, patience: float, seed: str) -> AgentStory:
    """Create a session and complete it until it is completed, refused, or ``patience`` seconds have gone."""
    story, started = AgentStory(plan), time.monotonic()
    until = started + patience
    made = insist(lambda: _create(stack, plan), random.Random(f"{seed}/create/{plan.marker}"), until, fickle=False)
    story.session = made.body.get("id", "")
    if made.status != 201 or made.body["status"] != "ready_for_complete":
        story.reported.append(_translated(made))
        story.final.append(story.reported[-1])
        story.span = (started, time.monotonic())
        return story

    def client(who: str) -> None:
        dice = random.Random(f"{seed}/client/{plan.marker}/{who}")

        def once() -> Answer:
            hurried = plan.manner == "gone" or (plan.manner == "hasty" and dice.random() < 0.5)
            reads = bool(story.reported) and dice.random() < 0.3
            answer = _act(stack, story, "" if reads else "/complete", who, HASTE if hurried else 30)
            if not reads or answer.status == 200:
                story.reported.append(answer)
            return answer

        until_then = started if plan.manner == "gone" else until
        answer = insist(once, dice, until_then, fickle=plan.manner == "fickle")
        if answer.status == 200 and plan.repeats:
            answer = insist(once, dice, until + 10, fickle=False)
        story.final.append(answer)

    other = threading.Thread(target=client, args=("other",))
    if plan.twins:
        other.start()
    client("one")
    if plan.twins:
        other.join()
    story.span = (started, time.monotonic())
    return story


def decide(stack: Stack, stories: Sequence[AgentStory]) -> Iterator[str]:
    """Read every session until it is decided, and say what contradicts an earlier answer. Nobody places anything."""
    begun = [story for story in stories if story.session and story.reported]
    until = time.monotonic() + RECONCILING

    def read(story: AgentStory) -> str | None:
        path = f"{SESSIONS}/{story.session}"
        while (answer := _translated(_call(stack, "GET", path, None, None, 30))).retryable:
            if time.monotonic() > until:
                return f"not decided: session {story.session} of {story.plan.marker} is {answer.code}"
            time.sleep(0.5)
        numbers = {each.order_id for each in story.placed}
        if numbers and numbers != {answer.order_id}:
            return f"session {story.session} of {story.plan.marker} was answered {numbers}, and is {answer.body}"
        return None

    with ThreadPoolExecutor(16) as readers:
        yield from filter(None, readers.map(read, begun))


def _create(stack: Stack, plan: Plan) -> Answer:
    body: dict[str, Any] = {
        "food_establishment": {"id": f"{plan.account}.{plan.place}"},
        "line_items": [{"dish": {"id": plan.refused_item if plan.refused else plan.item}, "quantity": 1}],
        "buyer": {
            "first_name": plan.guest.split()[0], "last_name": plan.guest.split()[-1], "phone_number": plan.marker,
            "email": f"robin{plan.marker}@example.com",
        },
    }  # fmt: skip
    if plan.tips:
        body["tip"] = {"custom_amount": 100}
    answer = _call(stack, "POST", SESSIONS, body, f"create {plan.marker}", 30)
    return answer if answer.status == 201 else _translated(answer)


def _act(stack: Stack, story: AgentStory, action: str, who: str, timeout: float) -> Answer:
    plan, path = story.plan, f"{SESSIONS}/{story.session}{action}"
    if not action:
        answer = _call(stack, "GET", path, None, None, timeout)
        # A completion that the agent did not wait for may still begin.
        is_open = answer.body.get("status") in ("incomplete", "ready_for_complete")
        return _error(answer, "submission_in_progress", True) if is_open else _translated(answer)
    card = {
        "type": "single_use_card", "number": plan.card or CARD, "cvc": CVV, "expiry_month": 6, "expiry_year": 2039,
        "name": plan.guest,
    }  # fmt: skip
    instrument = {
        "id": "card", "handler_id": "card", "type": "card", "credential": card,
        "billing_address": {"postal_code": "02114", "street_address": "1 Example Street"},
    }  # fmt: skip
    # Some agents send a completion under one key, others under another one each time.
    key = f"complete {plan.marker} {who}" if plan.named != "nothing" else None
    return _translated(_call(stack, "POST", path, {"payment": {"instruments": [instrument]}}, key, timeout))


def _call(stack: Stack, method: str, path: str, body: Any, key: str | None, timeout: float) -> Answer:
    headers = {
        "Authorization": f"Bearer {KEY}",
        "UCP_Agent": 'profile="https://agents.example/profile.json"',
        "Request_Id": str(uuid.uuid4()),
    }
    if method != "GET":
        headers["Idempotency_Key"] = str(uuid.uuid5(uuid.NAMESPACE_OID, key) if key else uuid.uuid4())
    return call(method, stack.port, path, body, timeout=timeout, **headers)


def _translated(answer: Answer) -> Answer:
    """The answer in the channel's words."""
    body, state = answer.body, answer.body.get("status")
    if answer.status is None:
        return answer
    if state == "completed":
        return replace(answer, body={"order_submission": {"order_id": _number(body["order"]["label"])}})
    if state == "complete_in_progress":
        return _error(answer, "outcome_unknown", True)
    # A price without the tip, as of another guest's cart, has that as its first message. The next one is the reason.
    aside = ("tip_not_accepted",)
    errors = [each["code"] for each in body.get("messages", ()) if each["type"] != "info" and each["code"] not in aside]
    if answer.status >= 400:
        code = str(body.get("code", body.get("error", {}).get("code", f"no code: {body}")))
        return _error(answer, code, answer.status == 429 or answer.status >= 500 or code in RETRYABLE)
    return _error(answer, errors[0] if errors else f"session {state}", False)


def _error(answer: Answer, code: str, retryable: bool) -> Answer:
    status = answer.status if answer.status and answer.status >= 400 else 409 if retryable else 422
    return replace(answer, status=status, body={"error": {"code": code, "retryable": retryable}})


def _number(label: str) -> int | str:
    return int(label) if label.isdecimal() else label
