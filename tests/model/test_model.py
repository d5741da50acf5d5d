"""The model finds a second order for each rule that is taken out, and none that the promises do not admit.

Run with ``-rP`` to read the traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.model.orders import Rules, World, explore

TAKEN_OUT: Mapping[str, World] = {
    "connects_first": World(slow_name=True),
    "looks_last": World(frozen_host=True),
    "counts_sleep": World(frozen_host=True),
    "observes_lease": World(clock_step=True),
    "looks_twice": World(),
    "confirms": World(frozen_provider=True),
    "fences": World(can_fence=True, rests_too_long=True),
    "keeps_reference": World(merges=True, forgets=True),
}
"""Each rule, and a world in which a second order shows that it is missing."""
BEFORE = Rules(
    connects_first=False, looks_last=False, counts_sleep=False, observes_lease=False, looks_twice=False,
    confirms=False, fences=False, keeps_reference=False,
)  # fmt: skip
"""The rules of release 1."""
FAULTS = ("slow_name", "frozen_host", "frozen_provider", "clock_step")
ADMITTED: Mapping[str, World] = {
    "a host frozen between the last look and the system call": World(frozen_at_the_last_moment=True),
    "a request that rests longer than the grace": World(rests_too_long=True),
    "a provider that sleeps again before it has worked off its queue": World(frozen_provider=True, sleeps_again=True),
    "a ledger that loses what it has acknowledged": World(forgets=True),
}
"""What the page of promises admits at a provider that neither merges by reference nor fences."""
NOT_FENCED_OFF = {"a ledger that loses what it has acknowledged"}
"""What it admits even where the provider can be made to refuse late calls."""


def traced(story: list[str] | None) -> list[str] | None:
    print("\n".join(story or ["no second order"]))
    return story


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("rule", TAKEN_OUT)
def test_a_rule_taken_out_gives_a_second_order(rule: str) -> None:
    story = traced(explore(replace(Rules(), **{rule: False}), TAKEN_OUT[rule]))
    assert story is not None
    assert sum("makes an order" in event for event in story) == 2


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("rule", TAKEN_OUT)
def test_with_all_rules_the_same_world_gives_none(rule: str) -> None:
    assert traced(explore(Rules(), TAKEN_OUT[rule])) is None


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize(
    "world", [*(World(**{fault: True}) for fault in FAULTS), World(forgets=True, merges=True)], ids=[*FAULTS, "forgets"]
)
def test_the_rules_of_release_1_break_in_each_world(world: World) -> None:
    assert traced(explore(BEFORE, world)) is not None


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("what", ADMITTED)
def test_what_the_promises_admit_is_found(what: str) -> None:
    assert traced(explore(Rules(), ADMITTED[what])) is not None


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("what", ADMITTED)
def test_a_provider_that_merges_admits_nothing(what: str) -> None:
    assert traced(explore(Rules(), replace(ADMITTED[what], merges=True))) is None


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("what", ADMITTED)
def test_a_fence_keeps_out_all_that_is_late(what: str) -> None:
    story = traced(explore(Rules(), replace(ADMITTED[what], can_fence=True)))
    assert (story is not None) == (what in NOT_FENCED_OFF)


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("other", ["slow_name", "frozen_host", "clock_step"])
def test_a_frozen_provider_and_another_fault_give_none(other: str) -> None:
    assert traced(explore(Rules(), replace(World(frozen_provider=True), **{other: True}))) is None
