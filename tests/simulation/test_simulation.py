"""The product in a simulated world: some hundred trials, and the quick mutants. All: ``make simulate``."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from tests.simulation.books import faults_of
from tests.simulation.checkout import CheckoutWorld
from tests.simulation.checkout_books import faults_of_checkout
from tests.simulation.checkout_mutants import CHECKOUT_MUTANTS, CHECKOUT_QUICK
from tests.simulation.faults import LOOKING_UP, PLACING, Exchange
from tests.simulation.levelup import LEVELUP
from tests.simulation.mutants import MUTANTS, QUICK
from tests.simulation.providers import Fftp, Sandbox
from tests.simulation.runner import CHECKOUT, Report, run, story
from tests.simulation.world import Things, World, simulated

SEEDS = [f"a/{number}" for number in range(300)]
"""Of those tried, the ones that meet every fault and notice every mutant soonest."""
OF_CHECKOUT = SEEDS[:75]


@pytest.fixture(scope="module")
def things() -> Iterator[Things]:
    made = Things()
    yield made
    made.close()


@pytest.fixture(scope="module")
def checkouts(things: Things) -> Report:
    return run(OF_CHECKOUT, things, CHECKOUT)


@pytest.fixture(scope="module")
def report(things: Things) -> Report:
    return run(SEEDS, things)


@pytest.mark.rule("SUB-2", "SUB-4", "SUB-5", "SUB-8", "SUB-9", "SUB-10")
def test_provider_ledger_and_guests_agree_after_each_trial(report: Report) -> None:
    assert report.failures == []


def test_the_trials_met_every_fault(report: Report) -> None:
    world = {"killed", "frozen host", "frozen provider", "slow name", "clock step", "ledger lost", "ledger hangs",
             "network down", "closed", "mixed up", "woken by a look"}  # fmt: skip
    missed = (world | set(PLACING) | set(LOOKING_UP)) - set(report.met)
    assert missed == set()
    assert report.orders > len(SEEDS)
    assert {"placed", "outcome_unknown", "submission_in_progress"} <= set(report.answers)


@pytest.mark.parametrize("mutant", QUICK)
def test_a_rule_put_back_to_the_old_way_is_noticed(mutant: str, things: Things) -> None:
    with MUTANTS[mutant]():
        assert run(SEEDS, things, until_failure=True).failures


def test_a_seed_alone_repeats_a_failure_as_a_story(things: Things) -> None:
    with MUTANTS["unknown_is_not_placed"]():
        seed, kind, words = run(SEEDS, things, until_failure=True).failures[0]
        first, again = story(seed, things), story(seed, things)
    assert f"FAILURE, {kind}: {words}" in first
    assert first == again


@pytest.mark.rule("SUB-6")
def test_an_unknown_location_and_a_hung_ledger_are_in_time(things: Things) -> None:
    world = World("cold", things)
    world.is_warm, world.planned = False, [("locations", "silent", 0)] * 9
    world._trouble = [lambda: world.kernel.at(10.0, world.hang_ledger, 60.0)]
    with simulated(things):
        world.run()
    assert {code for story in world.stories for code, _ in story.answers} >= {"ledger_unavailable"}
    assert world.late == []


@pytest.mark.rule("SUB-6")
def test_a_ledger_that_hangs_before_a_repeated_call_is_in_time(things: Things) -> None:
    def fails_late(it: Exchange) -> None:
        it.pause(20.0, 20.0)
        it.world.hang_ledger(60.0)
        it.say(500, {})

    world = World("repeated", things)
    world.location, world.provider, world.is_warm = "keys.main", Fftp(merges=True), True
    world._trouble, world.planned = [], [("order", "fails late", 0)]
    with simulated(things), mock.patch.dict(PLACING, {"fails late": fails_late}):
        world.run()
    assert "fails late" in world.met and "outcome_unknown" in world.answer_codes()
    assert world.late == []


@pytest.mark.rule("SUB-6")
def test_a_ledger_that_hangs_after_a_charge_is_in_time(things: Things) -> None:
    def hangs(it: Exchange) -> None:
        it.forward()
        it.pause(18.5, 18.5)
        it.world.hang_ledger(60.0)

    world = CheckoutWorld("a meal", things)
    world._trouble, world.planned = [], [("order", "hangs", 0)]
    for diner in world.diners:
        diner.wants = "meal"
    world.levelup.declined.clear()
    with simulated(things), mock.patch.dict(PLACING, {"hangs": hangs}):
        world.run()
    assert "hangs" in world.met and "outcome_unknown" in world.answer_codes()
    assert world.late == []


@pytest.mark.rule("SUB-6")
def test_an_unanswered_charge_with_a_hanging_ledger_is_in_time(things: Things) -> None:
    def hangs(it: Exchange) -> None:
        it.forward()
        it.world.hang_ledger(60.0)

    world = CheckoutWorld("a charge", things)
    world._trouble, world.planned = [], [("complete", "hangs", 0)]
    for diner in world.diners:
        diner.wants = "goods"
    with simulated(things), mock.patch.dict(LEVELUP["complete"], {"hangs": hangs}):
        world.run()
    assert "hangs" in world.met and "outcome_unknown" in world.answer_codes()
    assert world.late == []


@pytest.mark.rule("STAT-6", "SUB-6")
def test_an_order_lost_while_canceled_is_kept_at_the_deadline(things: Things) -> None:
    world = CheckoutWorld("a meal", things)
    world._trouble, world.planned = [], [("cancel", "order lost", 0), ("show", "silent", 1)]
    for diner in world.diners:
        diner.wants, diner.back = "meal", ("cancel",)
    world.levelup.declined.clear()
    with simulated(things):
        world.run()
    assert {"order lost", "silent"} <= set(world.met) and "cancellation_unknown" in world.answer_codes()
    assert list(faults_of_checkout(world)) == []


@pytest.mark.rule("STAT-6")
def test_a_meal_that_is_told_and_not_recorded_can_be_canceled(things: Things) -> None:
    def hangs(it: Exchange) -> None:
        answer = it.forward()
        it.world.hang_ledger(7.0)
        it.say(*answer)

    world = CheckoutWorld("a meal", things)
    world._trouble, world.planned = [], [("order", "hangs", 0)]
    for diner in world.diners:
        diner.wants, diner.back = "meal", ("cancel",)
    world.levelup.declined.clear()
    with simulated(things), mock.patch.dict(PLACING, {"hangs": hangs}):
        world.run()
    assert "hangs" in world.met and "submission_in_progress" in world.answer_codes()
    assert {order.state for order in world.orders()} == {"refunded"}
    assert world.cases == [] and list(faults_of_checkout(world)) == []


@pytest.mark.rule("SUB-12")
def test_what_a_frozen_host_sends_late_is_reported(things: Things) -> None:
    world = World("late", things)
    world.location, world.provider, world.is_warm = "deli.main", Fftp(merges=False), True
    world.planned, world.freezes_provider = [], None
    world._trouble = [lambda: world._at_point("send an order", 0, lambda process: world.freeze_at_send(process, 271.0))]
    with simulated(things):
        world.run()
    assert [row.finding for row in world.rows if row.finding] == ["two_orders_for_one_submission"]
    assert list(faults_of(world)) == []


@pytest.mark.rule("SUB-8", "SUB-10", "SUB-12")
@pytest.mark.parametrize(("location", "findings"), [("deli.main", 1), ("box.congress", 0)])
def test_what_comes_again_after_its_refusal_is_fenced_or_told(things: Things, location: str, findings: int) -> None:
    world = World("copied", things)
    world.location, world.is_warm, world._trouble = location, True, []
    world.provider = Fftp(merges=False) if findings else Sandbox(merges=True)
    world.keyless, world.is_replaying = bool(findings), False
    world.planned, world.freezes_provider = [("order", "refused, then taken", 0)], None
    with simulated(things):
        world.run()
    assert "item_unavailable" in world.answer_codes()
    assert [row.finding for row in world.rows if row.finding] == ["order_exists_but_ruled_out"] * findings
    assert list(faults_of(world)) == []


@pytest.mark.rule("WEB-1", "WEB-2", "WEB-3", "WEB-4", "WEB-5", "WEB-7", "STAT-6", "STAT-7")
def test_what_was_charged_is_what_was_eaten(checkouts: Report) -> None:
    assert checkouts.failures == []
    assert {"killed", "sold out", "frozen LevelUp", "token died", "another amount", "called off"} <= set(checkouts.met)
    answers = {"charged", "refunded", "card_declined", "outcome_unknown", "charge_refunded", "cancellation_unknown"}
    assert answers <= set(checkouts.answers)


@pytest.mark.parametrize("mutant", CHECKOUT_QUICK)
def test_a_rule_of_money_put_back_is_noticed(mutant: str, things: Things) -> None:
    with CHECKOUT_MUTANTS[mutant]():
        assert run(OF_CHECKOUT, things, CHECKOUT, until_failure=True).failures
