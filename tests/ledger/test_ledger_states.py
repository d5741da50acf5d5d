"""The life of a submission: what may follow what, and that nothing else does (SUB-5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import TRANSITIONS, State
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed, InProgress, Submission, Superseded, TooEarly, Unknown
from tests.ledger.helpers import GRACE, LEASE, Clock, begin, claim, claimed, place, shown

CHANGES: dict[str, Callable[[Ledger, Submission], None]] = {
    "begin_sending": lambda ledger, submission: begin(ledger, submission.id),
    "place": lambda ledger, submission: place(ledger, submission.id),
    "fail": lambda ledger, submission: ledger.transitions.fail(submission.id),
    "disprove": lambda ledger, submission: ledger.transitions.disprove(submission.id),
    "lose": lambda ledger, submission: ledger.transitions.lose(submission.id),
    "rule_out": lambda ledger, submission: ledger.absences.rule_out(submission, grace=timedelta(0)),
}
STATES: tuple[State, ...] = ("claimed", "sending", "unknown", "placed", "not_placed")
LEGAL: dict[tuple[str, State], State] = {
    ("begin_sending", "claimed"): "sending",
    ("place", "sending"): "placed",
    ("place", "unknown"): "placed",
    ("fail", "claimed"): "not_placed",
    ("fail", "sending"): "not_placed",
    ("disprove", "unknown"): "not_placed",
    ("lose", "sending"): "unknown",
    ("rule_out", "unknown"): "not_placed",
}
ALREADY_SO = {
    ("place", "placed"), ("fail", "not_placed"), ("disprove", "not_placed"), ("lose", "unknown"),
    ("rule_out", "not_placed"),
}  # fmt: skip


def driven_to(ledger: Ledger, state: State) -> Submission:
    id = claimed(claim(ledger))
    if state in ("sending", "unknown", "placed"):
        begin(ledger, id)
    if state == "unknown":
        ledger.transitions.lose(id)
    if state == "placed":
        place(ledger, id)
    if state == "not_placed":
        ledger.transitions.fail(id)
    return shown(ledger, id)


@pytest.mark.rule("SUB-5")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", CHANGES)
def test_only_the_listed_changes_are_made(ledger: Ledger, change: str, state: State) -> None:
    before = driven_to(ledger, state)
    assert before.state == state
    if (change, state) in LEGAL:
        CHANGES[change](ledger, before)
        assert shown(ledger, before.id).state == LEGAL[change, state]
    elif (change, state) in ALREADY_SO:
        CHANGES[change](ledger, before)
        assert shown(ledger, before.id) == before
    else:
        with pytest.raises(Superseded) as refused:
            CHANGES[change](ledger, before)
        assert refused.value.submission == before
        assert shown(ledger, before.id) == before


def test_the_table_of_transitions_is_the_one_that_is_tested() -> None:
    listed = {(name, source): change.target for name, change in TRANSITIONS.items() for source in change.sources}
    by_others: dict[tuple[str, State], State] = {
        ("abandon", "claimed"): "not_placed",
        ("expire", "sending"): "unknown",
        ("dispute", "placed"): "unknown",
        ("take_back", "placed"): "unknown",
        ("take_back", "not_placed"): "unknown",
    }
    assert listed == LEGAL | by_others


def test_a_submission_that_does_not_exist_cannot_be_changed(ledger: Ledger) -> None:
    missing = replace(driven_to(ledger, "claimed"), id="missing")
    for change in CHANGES.values():
        with pytest.raises(Superseded, match="missing"):
            change(ledger, missing)
    assert ledger.reader.show("missing") is None


def test_a_row_keeps_what_it_was_given(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    at_claim = clock.now
    clock.advance(timedelta(seconds=1))
    begin(ledger, id)
    clock.advance(timedelta(seconds=1))
    ledger.transitions.place(
        id, answer='{"a": "é"}', order_id=17, provider_order_id="p", expected_charge=1170, charged=1170
    )
    row = shown(ledger, id)
    assert (row.account, row.location, row.request_id, row.trace) == ("deli", "deli.42", "req-1", {"cart": "c-1"})
    assert (row.answer, row.order_id, row.provider_order_id) == ('{"a": "é"}', 17, "p")
    assert row.sending_at == at_claim + timedelta(seconds=1)
    assert (row.claimed_at, row.settled_at) == (at_claim, at_claim + timedelta(seconds=2))
    assert row.lease_until == at_claim + timedelta(seconds=1) + LEASE
    assert "/" in row.owner


@pytest.mark.parametrize("order_id", ["17", 17, "A-17"])
def test_an_order_id_keeps_its_type(ledger: Ledger, order_id: str | int) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.place(id, answer="{}", order_id=order_id, provider_order_id="p")
    assert shown(ledger, id).order_id == order_id
    assert [found.id for found in ledger.reader.find(number=str(order_id))] == [id]


@pytest.mark.rule("PAY-4")
def test_another_amount_than_asked_marks_the_row(ledger: Ledger) -> None:
    amounts = {"same": (1170, 1170), "more": (1170, 1171), "silent": (1170, None), "unasked": (None, 1170)}
    ids = {}
    for name, (expected, charged) in amounts.items():
        ids[name] = id = claimed(claim(ledger, idempotency_key=name))
        begin(ledger, id)
        ledger.transitions.place(
            id, answer="{}", order_id=1, provider_order_id=name, expected_charge=expected, charged=charged
        )
    assert [found.id for found in ledger.reader.find(charge_mismatch=True)] == [ids["more"]]
    assert [name for name, id in ids.items() if shown(ledger, id).charge_mismatch] == ["more"]


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_lease_that_ended_before_sending_frees_the_submission(ledger: Ledger, clock: Clock) -> None:
    slow = claimed(claim(ledger))
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert isinstance(claim(ledger), InProgress)
    clock.advance(timedelta(milliseconds=1))
    quick = claimed(claim(ledger))
    assert shown(ledger, slow).state == "not_placed"
    with pytest.raises(Superseded):
        begin(ledger, slow)
    begin(ledger, quick)


def test_a_slow_owner_may_start_until_another_takes_over(ledger: Ledger, clock: Clock) -> None:
    slow = claimed(claim(ledger))
    clock.advance(2 * LEASE)
    begin(ledger, slow)
    assert isinstance(claim(ledger), InProgress)


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_lease_that_ran_out_while_sending_makes_it_unknown(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert isinstance(claim(ledger), InProgress)
    clock.advance(timedelta(milliseconds=1))
    found = claim(ledger)
    assert isinstance(found, Unknown) and found.submission.id == id
    assert found.submission.trace == {"cart": "c-1"}
    clock.advance(timedelta(days=400))
    assert isinstance(claim(ledger), Unknown)


@pytest.mark.rule("SUB-5")
def test_a_slow_owner_with_an_order_settles_what_became_unknown(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    clock.advance(LEASE)
    assert isinstance(claim(ledger), Unknown)
    place(ledger, id)
    assert shown(ledger, id).state == "placed"


@pytest.mark.rule("SUB-5")
def test_a_slow_owner_does_not_know_what_others_sent(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    clock.advance(LEASE)
    assert isinstance(claim(ledger), Unknown)
    with pytest.raises(Superseded):
        ledger.transitions.fail(id)
    assert shown(ledger, id).state == "unknown"


@pytest.mark.rule("SUB-2", "SUB-5")
def test_absence_is_proven_only_by_a_look_after_the_grace(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.lose(id)
    clock.advance(timedelta(days=1))
    asked = shown(ledger, id)
    with pytest.raises(TooEarly) as refused:
        ledger.absences.rule_out(asked, grace=GRACE)
    assert refused.value.wait == GRACE
    asked_at = ledger.clocks.observer.now_ms()
    clock.advance(GRACE)
    with pytest.raises(TooEarly):
        ledger.absences.rule_out(asked, grace=GRACE, asked_at=asked_at)
    clock.advance(timedelta(milliseconds=-1))
    with pytest.raises(TooEarly) as refused:
        ledger.absences.rule_out(asked, grace=GRACE)
    assert refused.value.wait == timedelta(milliseconds=1)
    clock.advance(timedelta(milliseconds=1))
    ledger.absences.rule_out(asked, grace=GRACE)
    assert isinstance(claim(ledger), Claimed)


@pytest.mark.rule("SUB-5")
def test_an_order_that_appears_after_ruling_out_is_reported(ledger: Ledger, clock: Clock) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.lose(id)
    ledger.absences.rule_out(shown(ledger, id), grace=GRACE, fenced=True)
    with pytest.raises(Superseded, match="not_placed"):
        place(ledger, id)


@pytest.mark.rule("SUB-2")
def test_the_first_recorded_answer_stays(ledger: Ledger) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    place(ledger, id)
    ledger.transitions.place(id, answer="another", order_id="A-17", provider_order_id=f"p-{id}")
    assert shown(ledger, id).answer != "another"
    with pytest.raises(Superseded):
        place(ledger, id, provider_order_id="p-18")


def test_a_trace_may_be_left_when_the_answer_was_lost(ledger: Ledger) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.lose(id, trace={"code": "X"})
    assert shown(ledger, id).trace == {"code": "X"}
    with pytest.raises(Failure) as failure:
        ledger.transitions.lose(id, trace={"code": "X" * 5000})
    assert failure.value.code == "provider_protocol_error" and "4096" in failure.value.message


def test_the_operator_sees_open_ones_with_leases_resolved(ledger: Ledger, clock: Clock) -> None:
    ids = [claimed(claim(ledger, idempotency_key=str(number))) for number in range(4)]
    begin(ledger, ids[1])
    begin(ledger, ids[2])
    ledger.transitions.lose(ids[2])
    ledger.transitions.fail(ids[3])
    assert {found.id: found.state for found in ledger.reader.open_submissions()} == dict(
        zip(ids, ("claimed", "sending", "unknown"), strict=False)
    )
    clock.advance(LEASE)
    assert {found.id: found.state for found in ledger.reader.open_submissions()} == {
        ids[1]: "unknown",
        ids[2]: "unknown",
    }
    assert shown(ledger, ids[0]).state == "not_placed"


def test_submissions_are_found_by_what_an_operator_knows(ledger: Ledger, clock: Clock) -> None:
    first = claimed(claim(ledger, idempotency_key="1"))
    clock.advance(timedelta(seconds=1))
    second = claimed(claim(ledger, idempotency_key="2"))
    begin(ledger, second)
    place(ledger, second)

    def ids(**wanted: object) -> list[str]:
        return [found.id for found in ledger.reader.find(**wanted)]  # type: ignore[arg-type]

    assert ids() == ids(account="deli") == ids(location="deli.42") == ids(number="req-1") == [second, first]
    assert ids(limit=1) == ids(state="placed") == ids(number=f"p-{second}") == ids(number="A-17") == [second]
    assert ids(number=first) == ids(state="claimed") == [first]
    assert ids(account="other") == ids(location="other") == ids(number="other") == []


def test_what_is_past_retention_is_deleted(ledger: Ledger, clock: Clock) -> None:
    placed = claimed(claim(ledger, idempotency_key="placed"))
    begin(ledger, placed)
    place(ledger, placed)
    failed = claimed(claim(ledger, idempotency_key="failed"))
    ledger.transitions.fail(failed)
    unknown = claimed(claim(ledger, idempotency_key="unknown"))
    begin(ledger, unknown)
    clock.advance(timedelta(days=30))
    assert ledger.purge() == 0
    clock.advance(timedelta(milliseconds=1))
    assert ledger.purge() == 2
    assert [found.id for found in ledger.reader.find()] == [unknown]
    assert isinstance(claim(ledger, idempotency_key="unknown"), Unknown)
    with pytest.raises(ValueError, match="8 days"):
        ledger.purge(retention=timedelta(days=7))
