"""What a claim answers: recognizing a submission by any of its identities (SUB-3, SUB-4)."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest

from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.matches import SLOW
from levelup_ov.ledger.records import AlreadyPlaced, Claimed, InProgress, Reused, Unknown
from tests.ledger.helpers import ANSWER, LEASE, Clock, begin, claim, claimed, place, shown

OLD, NEW = b"old key", b"new key"
WEEK, DAY = timedelta(days=7), timedelta(hours=24)
A_MOMENT = timedelta(milliseconds=1)
WINDOWS: list[tuple[dict[str, Any], timedelta]] = [
    ({"idempotency_key": "k"}, WEEK),
    ({"order_number": "k"}, WEEK),
    ({"grubhub_order_number": "k"}, WEEK),
    ({"order_validation_id": "k"}, WEEK),
    ({"card_number": Secret("4111111111111111")}, DAY),
    ({"idempotency_key": None}, timedelta(seconds=90)),
]


def sent(ledger: Ledger, *arguments: Any, **names: Any) -> str:
    id = claimed(claim(ledger, *arguments, **names))
    begin(ledger, id)
    return id


def placed(ledger: Ledger, *arguments: Any, **names: Any) -> str:
    id = sent(ledger, *arguments, **names)
    place(ledger, id)
    return id


@pytest.mark.rule("SUB-4")
def test_placed_gives_the_recorded_answer(ledger: Ledger) -> None:
    id = placed(ledger)
    again = claim(ledger)
    assert isinstance(again, AlreadyPlaced)
    assert (again.submission.id, again.submission.answer) == (id, ANSWER)


@pytest.mark.rule("SUB-4")
def test_not_placed_frees_the_identity_for_another_content(ledger: Ledger) -> None:
    ledger.transitions.fail(sent(ledger))
    assert isinstance(claim(ledger, b"another tip"), Claimed)


@pytest.mark.rule("SUB-4")
def test_unknown_is_never_sent_again(ledger: Ledger) -> None:
    ledger.transitions.lose(sent(ledger))
    assert isinstance(claim(ledger), Unknown)


@pytest.mark.rule("SUB-4")
@pytest.mark.parametrize("state", ["claimed", "sending", "unknown", "placed"])
def test_another_content_under_a_taken_identity_is_refused(ledger: Ledger, state: str) -> None:
    id = claimed(claim(ledger))
    if state != "claimed":
        begin(ledger, id)
    if state == "unknown":
        ledger.transitions.lose(id)
    if state == "placed":
        place(ledger, id)
    found = claim(ledger, b"another burger")
    assert isinstance(found, Reused) and found.submission.id == id
    assert not isinstance(claim(ledger), Reused)


@pytest.mark.rule("SUB-3")
@pytest.mark.parametrize(("names", "window"), WINDOWS)
def test_a_window_counts_from_the_settling(
    ledger: Ledger, clock: Clock, names: dict[str, Any], window: timedelta
) -> None:
    id = sent(ledger, **names)
    ledger.transitions.lose(id)
    clock.advance(timedelta(days=100))
    assert isinstance(claim(ledger, **names), Unknown)
    place(ledger, id)
    clock.advance(window - A_MOMENT)
    assert isinstance(claim(ledger, **names), AlreadyPlaced)
    clock.advance(A_MOMENT)
    assert isinstance(claim(ledger, **names), Claimed)
    assert shown(ledger, id).state == "placed"


@pytest.mark.rule("SUB-3")
def test_a_match_on_any_one_identity_decides(ledger: Ledger) -> None:
    names = {
        "idempotency_key": "1",
        "order_number": "2",
        "grubhub_order_number": "3",
        "order_validation_id": "4",
    }
    id = placed(ledger, **names)
    for name, value in names.items():
        found = claim(ledger, **{"idempotency_key": f"new with {name}", name: value})
        assert isinstance(found, AlreadyPlaced) and found.submission.id == id
    assert isinstance(claim(ledger, order_number="1", idempotency_key="2"), Claimed)


@pytest.mark.rule("SUB-2", "SUB-3")
@pytest.mark.parametrize("state", ["claimed", "placed"])
def test_an_identity_seen_later_leads_to_the_same_submission(ledger: Ledger, clock: Clock, state: str) -> None:
    id = claimed(claim(ledger, idempotency_key="k"))
    if state == "placed":
        begin(ledger, id)
        place(ledger, id)
    expected = {"claimed": InProgress, "placed": AlreadyPlaced}[state]
    assert isinstance(claim(ledger, idempotency_key="k", order_number="n"), expected)
    assert isinstance(claim(ledger, order_number="n"), expected)


@pytest.mark.rule("SUB-4")
def test_a_refused_reuse_adds_no_identity(ledger: Ledger) -> None:
    placed(ledger, idempotency_key="k")
    assert isinstance(claim(ledger, b"another", idempotency_key="k", order_number="n"), Reused)
    assert isinstance(claim(ledger, b"another", order_number="n"), Claimed)


@pytest.mark.rule("SUB-3", "SUB-4")
def test_of_several_matches_the_unknown_one_is_reconciled_first(ledger: Ledger) -> None:
    """What was told under one name is told under all that come with it, unless another order stands."""
    claimed(claim(ledger, idempotency_key="in flight"))
    first = placed(ledger, grubhub_order_number="placed")
    placed(ledger, b"another", order_validation_id="other content")
    ledger.transitions.lose(sent(ledger, order_number="unknown"))
    names = {"grubhub_order_number": "placed", "order_validation_id": "other content"}
    found = claim(ledger, idempotency_key="in flight", order_number="unknown", **names)
    assert isinstance(found, Unknown) and found.placed is not None and found.placed.id == first
    assert isinstance(claim(ledger, idempotency_key="in flight", **names), InProgress)
    answer = claim(ledger, idempotency_key="new", **names)
    assert isinstance(answer, AlreadyPlaced) and answer.submission.id == first
    assert isinstance(claim(ledger, idempotency_key="in flight", order_number="unknown"), Unknown)
    assert isinstance(claim(ledger, idempotency_key="in flight", order_validation_id="other content"), InProgress)


@pytest.mark.rule("SUB-3")
def test_an_identity_of_a_failed_try_beside_one_that_is_taken(ledger: Ledger) -> None:
    ledger.transitions.fail(sent(ledger, order_number="free"))
    id = placed(ledger, idempotency_key="taken")
    found = claim(ledger, order_number="free", idempotency_key="taken")
    assert isinstance(found, AlreadyPlaced) and found.submission.id == id
    assert isinstance(claim(ledger, order_number="free"), AlreadyPlaced)


@pytest.mark.rule("SUB-3", "SUB-4")
def test_an_expired_claim_beside_one_that_is_taken(ledger: Ledger, clock: Clock) -> None:
    stale = claimed(claim(ledger, order_number="stale"))
    clock.advance(LEASE)
    placed(ledger, idempotency_key="taken")
    assert isinstance(claim(ledger, order_number="stale", idempotency_key="taken"), AlreadyPlaced)
    assert shown(ledger, stale).state == "not_placed"


@pytest.mark.rule("SUB-3", "META-7")
def test_processes_amid_a_key_rotation_exclude_one_another(ledger: Ledger) -> None:
    placed(ledger, keys=(OLD,))
    assert isinstance(claim(ledger, keys=(NEW, OLD)), AlreadyPlaced)
    assert isinstance(claim(ledger, keys=(NEW,)), AlreadyPlaced)
    assert isinstance(claim(ledger, b"another", keys=(NEW, OLD)), Reused)

    claimed(claim(ledger, keys=(NEW, OLD), order_number="n"))
    assert isinstance(claim(ledger, keys=(OLD,), order_number="n"), InProgress)
    assert isinstance(claim(ledger, keys=(NEW,), order_number="n"), InProgress)
    assert isinstance(claim(ledger, keys=(b"unrelated",), order_number="n"), Claimed)


@pytest.mark.rule("SUB-3")
def test_content_waits_for_an_equal_order_that_is_slow(ledger: Ledger, clock: Clock) -> None:
    first = claimed(claim(ledger, idempotency_key="first"))
    ledger.transitions.begin_sending(first, lease=2 * LEASE)
    clock.advance(SLOW)
    # Its owner may have reported an unknown outcome that could not be recorded, or may still be at work.
    assert isinstance(claim(ledger, idempotency_key="second"), InProgress)
    assert isinstance(claim(ledger, b"another", idempotency_key="third"), Claimed)
    place(ledger, first)
    assert isinstance(claim(ledger, idempotency_key="second"), Claimed), "it waited, and is an order of its own"


@pytest.mark.rule("SUB-3")
def test_content_is_taken_once_its_owner_may_have_given_up(ledger: Ledger, clock: Clock) -> None:
    first = claimed(claim(ledger, idempotency_key="first"))
    ledger.transitions.begin_sending(first, lease=2 * LEASE)
    assert isinstance(claim(ledger, idempotency_key="twin"), Claimed), "two alike at once are two orders"
    clock.advance(LEASE)
    # The owner may have answered that the outcome is unknown, and failed to record it.
    assert isinstance(claim(ledger, idempotency_key="second"), InProgress)
    assert isinstance(claim(ledger, b"another", idempotency_key="third"), Claimed)
    place(ledger, first)
    assert isinstance(claim(ledger, idempotency_key="fourth"), Claimed)


def test_a_claim_needs_an_identity_and_content(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="identity"):
        ledger.claims.claim(account="a", location="l", identities=(), content=("00",), lease=LEASE)


def test_ids_are_uuids_that_come_in_the_order_of_their_time(ledger: Ledger) -> None:
    ids = []
    for number in range(20):
        ids.append(claimed(claim(ledger, order_number=str(number))))
        time.sleep(0.002)
    assert ids == sorted(set(ids))
    assert {(uuid.UUID(id).version, uuid.UUID(id).variant) for id in ids} == {(7, uuid.RFC_4122)}
