"""One run: acts as the channel against a service, from merchants to orders."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone

from levelup_ov.certify import endpoints
from levelup_ov.certify.baskets import Baskets
from levelup_ov.certify.bodies import check_bodies
from levelup_ov.certify.client import CannotRun, Client, LimitReached
from levelup_ov.certify.conversation import Conversation
from levelup_ov.certify.deliveries import check_deliveries
from levelup_ov.certify.endpoints import LocationUnderTest
from levelup_ov.certify.report import Report
from levelup_ov.certify.sample_orders import order
from levelup_ov.certify.statuses import check_webhooks
from levelup_ov.certify.submissions import SubmissionChecks
from levelup_ov.certify.times import Times
from levelup_ov.certify.validations import ValidationChecks
from levelup_ov.domain.secret import Secret

MAX_LOCATIONS = 10
MAX_REQUESTS = 1500
MAX_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``locations``: only these; if empty, the active ones, :data:`MAX_LOCATIONS` at most."""

    url: str
    key: Secret
    locations: tuple[str, ...] = ()
    submit: bool = False
    requests: int = MAX_REQUESTS
    seconds: float = MAX_SECONDS


@dataclass(frozen=True, slots=True)
class RunResult:
    """``places`` are the checked ids, ``left_out`` is how many active ones were not checked.

    ``stopped``: why the run stopped early, if it did.
    """

    report: Report
    places: tuple[str, ...]
    left_out: int
    requests: int
    stopped: str | None


def run(
    plan: Plan,
    progress: Callable[[str], object] = lambda step: None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    report: Report | None = None,
) -> RunResult:
    """Check a service against the contract. ``progress`` is called for each step, ``clock`` is the service's.

    ``report`` collects the results, if the caller wants to watch them.

    :raises CannotRun: the service is not reachable, refuses the key, or does not have a location.
    :raises ValueError: ``plan.url`` is not the address of a service.
    """
    report = Report() if report is None else report
    report.submits = plan.submit
    places: list[LocationUnderTest] = []
    active, stopped = 0, None
    with closing(Client(plan.url, plan.key, requests=plan.requests, seconds=plan.seconds)) as client:
        talk = Conversation(client, report, plan.key)
        try:
            progress("merchants and locations")
            merchants = endpoints.read_merchants(talk)
            found = [place for merchant in merchants for place in endpoints.read_locations(talk, merchant)]
            for merchant in merchants:
                check_webhooks(talk, merchant)
            endpoints.check_keys(talk)
            chosen = _chosen(found, plan.locations, listed=not {"EP-1", "EP-2"} & report.broken())
            active = len(chosen)
            if not plan.locations:
                chosen = chosen[:MAX_LOCATIONS]
            bodies_done = False
            for place in chosen:
                report.location, talk.zone = place.id, place.zone
                bodies_done |= _check_place(talk, place, plan, progress, clock, bodies=not bodies_done)
                places.append(place)
            report.location = None
            title = "at least one location accepts an order from its menu"
            report.expect("EP-4", title, bodies_done, detail="none does")
        except LimitReached:
            stopped = f"the limit of {plan.requests} requests or {plan.seconds:g} seconds is reached"
        return RunResult(report, tuple(place.id for place in places), active - len(places), client.count, stopped)


def _check_place(
    talk: Conversation,
    place: LocationUnderTest,
    plan: Plan,
    progress: Callable[[str], object],
    clock: Callable[[], datetime],
    *,
    bodies: bool,
) -> bool:
    """Whether the location accepted an order. ``bodies``: whether to try invalid requests, too."""
    progress(f"{place.id}: menu")
    place = endpoints.read_menu(talk, place)
    now = clock()
    validations = ValidationChecks.begin(talk, place)
    if validations is None:
        return False
    if bodies:
        progress(f"{place.id}: bodies")
        check_bodies(talk, place, order(validations.line.wire(), user=talk.user), validations.answer)
    progress(f"{place.id}: validations")
    validations.check()
    check_deliveries(validations)
    progress(f"{place.id}: baskets")
    Baskets(validations).check()
    progress(f"{place.id}: times")
    Times(validations, now).check()
    if plan.submit:
        progress(f"{place.id}: submissions")
        SubmissionChecks(validations).check()
    return True


def _chosen(found: list[LocationUnderTest], wanted: Collection[str], *, listed: bool) -> list[LocationUnderTest]:
    by_id = {place.id: place for place in found}
    if not wanted:
        return [place for place in found if place.wire.get("active") and not place.wire.get("terminated")]
    unknown = [id for id in wanted if id not in by_id]
    if unknown and not listed:
        return [by_id.get(id, LocationUnderTest(id)) for id in dict.fromkeys(wanted)]
    if unknown:
        raise CannotRun(f"the service has no location {', '.join(unknown)}; it has {', '.join(by_id) or 'none'}")
    return [by_id[id] for id in dict.fromkeys(wanted)]
