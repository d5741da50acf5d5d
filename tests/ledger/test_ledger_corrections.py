"""What people correct by hand: it is recorded, and makes no second order possible."""

from __future__ import annotations

from datetime import timedelta

import pytest

from levelup_ov.ledger.corrections import Corrections
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.operator_actions import actions_of
from levelup_ov.ledger.records import Submission, Superseded, Unknown
from tests.ledger.helpers import GRACE, Clock, begin, claim, claimed, place, shown


def settled(ledger: Ledger, *, placed: bool) -> Submission:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.lose(id)
    if placed:
        ledger.transitions.place(id, answer="{}", order_id="A-1", provider_order_id="A-1", settled_by="Sam")
    else:
        ledger.absences.rule_out(shown(ledger, id), grace=GRACE, settled_by="Sam")
    return shown(ledger, id)


@pytest.mark.rule("SUB-4", "SUB-5")
@pytest.mark.parametrize("placed", [True, False])
def test_what_is_taken_back_is_not_sent_again(ledger: Ledger, placed: bool) -> None:
    before = settled(ledger, placed=placed)
    Corrections(ledger).take_back(before, "Rita", "a slip")
    found = claim(ledger)
    assert isinstance(found, Unknown) and found.submission.id == before.id
    assert isinstance(claim(ledger, idempotency_key="of another"), Unknown)
    assert ledger.reader.due_again() == ()
    (action,) = actions_of(ledger, before.id)
    assert (action.operator, action.act, action.why) == ("Rita", "take_back", "a slip")
    assert (action.before["state"], action.before["settled_by"]) == (before.state, "Sam")
    # It can be settled again, the other way round.
    ledger.absences.rule_out(shown(ledger, before.id), grace=GRACE, settled_by="Rita")
    assert shown(ledger, before.id).settled_by == "Rita"


@pytest.mark.rule("SUB-4", "SUB-5")
def test_what_was_sent_again_is_not_taken_back(ledger: Ledger) -> None:
    before = settled(ledger, placed=False)
    later = claimed(claim(ledger))
    with pytest.raises(Superseded) as refused:
        Corrections(ledger).take_back(before, "Rita", "too late")
    assert refused.value.submission is not None and refused.value.submission.id == later
    assert (shown(ledger, before.id).state, actions_of(ledger, before.id)) == ("not_placed", ())


@pytest.mark.rule("SUB-5")
def test_only_a_persons_settlement_is_taken_back(ledger: Ledger) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    place(ledger, id)
    with pytest.raises(Superseded):
        Corrections(ledger).take_back(shown(ledger, id), "Rita", "not mine")
    assert shown(ledger, id).state == "placed"


@pytest.mark.rule("SUB-5")
def test_what_has_changed_since_it_was_seen_is_not_taken_back(ledger: Ledger, clock: Clock) -> None:
    before = settled(ledger, placed=True)
    Corrections(ledger).take_back(before, "Rita", "a slip")
    clock.advance(timedelta(seconds=1))
    ledger.transitions.place(before.id, answer="{}", order_id="A-2", provider_order_id="A-2", settled_by="Rita")
    with pytest.raises(Superseded):
        Corrections(ledger).take_back(before, "Sam", "from an old window")
    assert shown(ledger, before.id).order_id == "A-2"


@pytest.mark.rule("SUB-12")
def test_a_finding_that_comes_again_stays_closed(ledger: Ledger) -> None:
    id = settled(ledger, placed=False).id
    corrections = Corrections(ledger)
    with pytest.raises(Superseded):
        corrections.close_finding(shown(ledger, id), "Rita", "there is none")
    ledger.findings.looked_again(shown(ledger, id), "order_exists_but_ruled_out", 17, "till-17")
    corrections.close_finding(shown(ledger, id), "Rita", "canceled")
    assert (shown(ledger, id).open_finding, ledger.reader.find(findings=True)) == (None, ())
    ledger.findings.looked_again(shown(ledger, id), "order_exists_but_ruled_out", 17, "till-17")
    ledger.findings.looked_again(shown(ledger, id))
    row = shown(ledger, id)
    assert (row.open_finding, row.finding) == (None, "order_exists_but_ruled_out")
    assert (row.found_order_id, row.found_provider_order_id) == (17, "till-17")
    ledger.findings.note(id, "two_orders_for_one_submission", 18, "till-18")
    assert [each.open_finding for each in ledger.reader.find(number="till-18")] == ["two_orders_for_one_submission"]


@pytest.mark.rule("PAY-4")
def test_a_difference_in_the_charge_is_closed(ledger: Ledger) -> None:
    id = claimed(claim(ledger))
    begin(ledger, id)
    ledger.transitions.place(id, answer="{}", order_id=1, provider_order_id="p", expected_charge=1000, charged=900)
    assert shown(ledger, id).open_finding == "charge_mismatch"
    Corrections(ledger).close_finding(shown(ledger, id), "Rita", "paid back")
    assert ledger.reader.find(charge_mismatch=True) == ()
    assert ledger.reader.find(number="p")[0].charge_mismatch


def test_a_purge_takes_what_was_corrected_along(ledger: Ledger, clock: Clock) -> None:
    id = settled(ledger, placed=True).id
    Corrections(ledger).take_back(shown(ledger, id), "Rita", "a slip")
    ledger.transitions.place(id, answer="{}", order_id="A-1", provider_order_id="A-1")
    clock.advance(timedelta(days=90))
    assert ledger.purge() == 1
    assert actions_of(ledger, id) == ()
