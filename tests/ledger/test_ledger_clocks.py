"""What is proven by time is proven by a clock that cannot be set (SUB-13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta

import pytest

from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.boot_clock import Observer, this_host
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import AlreadyPlaced, Claimed, InProgress, Superseded, TooEarly, Unknown
from tests.ledger.helpers import GRACE, LEASE, Clock, begin, claim, claimed, place, shown

HOUR = timedelta(hours=1)
A_MOMENT = timedelta(milliseconds=1)


@dataclass
class Host:
    """A host with a boot of its own: ``wall`` is its clock on the wall, ``up`` the milliseconds since its boot."""

    ledger: Ledger
    wall: Clock
    up: list[int]

    def pass_by(self, time: timedelta) -> None:
        self.up[0] += time // A_MOMENT


MakeHost = Callable[..., Host]


@pytest.fixture
def host(url: str, clock: Clock) -> Iterator[MakeHost]:
    """Hosts of one ledger; those of one ``boot`` are processes of one host."""
    ups: dict[str, list[int]] = {}
    with ExitStack() as cleanup:

        def make(boot: str = "A", up: int = 50_000) -> Host:
            ticks = ups.setdefault(boot, [up])
            ledger = open_ledger(url, clock=clock, observer=Observer(boot, lambda: ticks[0]))
            return Host(cleanup.enter_context(closing(ledger)), clock, ticks)

        yield make


@pytest.mark.rule("SUB-13", "SUB-2")
@pytest.mark.parametrize("step", [HOUR, -HOUR, timedelta(days=400), -timedelta(days=400)])
def test_a_step_of_the_clock_ends_no_lease_and_keeps_none(host: MakeHost, step: timedelta) -> None:
    owner, other = host("A"), host("A")
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    owner.wall.advance(step)
    assert isinstance(claim(other.ledger), InProgress)
    other.pass_by(LEASE - A_MOMENT)
    assert isinstance(claim(other.ledger), InProgress)
    other.pass_by(A_MOMENT)
    assert isinstance(claim(other.ledger), Unknown)
    with pytest.raises(Superseded):
        owner.ledger.transitions.check_sending(id)


@pytest.mark.rule("SUB-13", "SUB-2")
@pytest.mark.parametrize("step", [timedelta(0), HOUR, -HOUR])
@pytest.mark.parametrize("up", [5, 10**9])
def test_another_boot_counts_from_its_own_first_sight(host: MakeHost, step: timedelta, up: int) -> None:
    owner, other = host("A"), host("B", up)
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    owner.pass_by(10 * LEASE)
    owner.wall.advance(step)
    assert isinstance(claim(other.ledger), InProgress)
    # A second process of that host, or a command that lives for a second, goes on with the sight.
    same = host("B")
    same.pass_by(LEASE - A_MOMENT)
    assert isinstance(claim(same.ledger), InProgress)
    same.pass_by(A_MOMENT)
    assert isinstance(claim(same.ledger), Unknown)


@pytest.mark.rule("SUB-13", "SUB-2")
def test_what_has_changed_since_is_a_new_sight(host: MakeHost) -> None:
    owner, other = host("A"), host("B")
    id = claimed(claim(owner.ledger))
    assert isinstance(claim(other.ledger), InProgress)
    other.pass_by(LEASE - A_MOMENT)
    begin(owner.ledger, id)
    other.pass_by(A_MOMENT)
    assert isinstance(claim(other.ledger), InProgress)
    other.pass_by(LEASE)
    assert isinstance(claim(other.ledger), Unknown)


@pytest.mark.rule("SUB-13", "SUB-2")
def test_a_boot_that_was_set_back_is_another_one(host: MakeHost) -> None:
    # A virtual machine that was restored from an earlier picture of itself has the same boot and an earlier time.
    owner = host("A", up=10**7)
    begin(owner.ledger, claimed(claim(owner.ledger)))
    owner.up[0] = 10**6
    assert isinstance(claim(owner.ledger), InProgress)
    owner.pass_by(LEASE)
    assert isinstance(claim(owner.ledger), Unknown)


@pytest.mark.rule("SUB-13", "SUB-5")
def test_a_killed_owners_claim_is_free_after_its_lease(host: MakeHost) -> None:
    owner, other = host("A"), host("B")
    first = claimed(claim(owner.ledger))
    owner.wall.advance(-HOUR)
    assert isinstance(claim(other.ledger), InProgress)
    other.pass_by(LEASE)
    second = claimed(claim(other.ledger))
    assert shown(owner.ledger, first).state == "not_placed"
    with pytest.raises(Superseded):
        begin(owner.ledger, first)
    owner.pass_by(LEASE)
    assert isinstance(claim(owner.ledger), InProgress)
    owner.pass_by(LEASE)
    assert claimed(claim(owner.ledger)) != second


@pytest.mark.rule("SUB-13", "SUB-3")
@pytest.mark.parametrize(
    ("names", "window"),
    [({"idempotency_key": None}, timedelta(seconds=90)), ({"card_number": Secret("4111111111111111")}, 24 * HOUR)],
)
@pytest.mark.parametrize("boot", ["A", "B"])
def test_a_short_window_is_measured_as_a_lease_is(
    host: MakeHost, names: dict[str, object], window: timedelta, boot: str
) -> None:
    owner, other = host("A"), host(boot)
    id = claimed(claim(owner.ledger, **names))
    begin(owner.ledger, id)
    place(owner.ledger, id)
    owner.wall.advance(30 * HOUR)
    assert isinstance(claim(other.ledger, **names), AlreadyPlaced)
    other.pass_by(window - A_MOMENT)
    assert isinstance(claim(other.ledger, **names), AlreadyPlaced)
    other.wall.advance(-60 * HOUR)
    other.pass_by(A_MOMENT)
    assert isinstance(claim(other.ledger, **names), Claimed)


@pytest.mark.rule("SUB-13", "SUB-3")
def test_a_long_window_needs_both_clocks_of_its_boot(host: MakeHost) -> None:
    owner = host("A")
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    place(owner.ledger, id)
    owner.wall.advance(timedelta(days=8))
    assert isinstance(claim(owner.ledger), AlreadyPlaced)
    owner.pass_by(timedelta(days=7))
    assert isinstance(claim(owner.ledger), Claimed)


@pytest.mark.rule("SUB-10", "SUB-13")
def test_absence_is_counted_by_who_has_seen_it(host: MakeHost) -> None:
    owner, other = host("A"), host("B")
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    owner.ledger.transitions.lose(id)
    row = shown(owner.ledger, id)
    assert owner.ledger.absences.remaining(row, grace=GRACE) == GRACE
    owner.wall.advance(HOUR)
    owner.pass_by(GRACE)
    other.pass_by(GRACE)
    assert other.ledger.absences.remaining(row, grace=GRACE) == GRACE
    with pytest.raises(TooEarly):
        other.ledger.absences.rule_out(row, grace=GRACE)
    owner.ledger.absences.rule_out(row, grace=GRACE)
    assert shown(other.ledger, id).ended == "absent"


@pytest.mark.rule("SUB-10")
def test_a_provider_that_slept_restarts_the_wait_for_all(host: MakeHost) -> None:
    owner, other = host("A"), host("B")
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    owner.ledger.transitions.lose(id)
    row = shown(owner.ledger, id)
    for each in (owner, other):
        assert each.ledger.absences.remaining(row, grace=GRACE) == GRACE
        each.pass_by(GRACE)
    other.ledger.absences.distrust(row)
    with pytest.raises(TooEarly):
        owner.ledger.absences.rule_out(row, grace=GRACE)
    owner.pass_by(GRACE)
    owner.ledger.absences.rule_out(row, grace=GRACE)


@pytest.mark.rule("SUB-10")
def test_behind_a_fence_absence_counts_at_once(host: MakeHost) -> None:
    owner = host("A")
    id = claimed(claim(owner.ledger))
    begin(owner.ledger, id)
    owner.ledger.transitions.lose(id)
    owner.ledger.absences.rule_out(shown(owner.ledger, id), grace=GRACE, fenced=True)
    assert (shown(owner.ledger, id).state, shown(owner.ledger, id).ended) == ("not_placed", "fenced")


def test_this_host_has_one_boot_and_a_clock_that_goes_on() -> None:
    observer = this_host()
    assert observer == this_host() and observer.boot
    first = observer.now_ms()
    assert 0 < first <= observer.now_ms()
