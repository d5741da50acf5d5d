"""When an order is wanted and when it will be ready: TIME-1 to TIME-10, with the clock set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.ready_time import Ready
from levelup_ov.errors import Refused
from tests.channel import Channel, Clock
from tests.contract.conftest import MakeFake
from tests.contract.fakes import FakeAdapter

HOUR = timedelta(hours=1)


def at(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


def local_slots(first: str, last: str) -> list[str]:
    """Local times every 15 minutes, both ends included."""
    slot, found = at(first), []
    while slot <= at(last):
        found.append(slot.strftime("%Y-%m-%dT%H:%M"))
        slot += timedelta(minutes=15)
    return found


def at_zone(provider: FakeAdapter, zone: str | None) -> None:
    assert isinstance(provider.locations, list)
    provider.locations = [replace(provider.locations[0], time_zone=zone)]


def ready(provider: FakeAdapter, soonest: datetime | None, slots: Sequence[datetime] | None = None) -> None:
    assert isinstance(provider.quote, Quote)
    provider.quote = replace(provider.quote, ready=Ready(soonest, None if slots is None else tuple(slots)))


def wanted(provider: FakeAdapter) -> str | None:
    """The desired time that the provider was asked for last, in UTC."""
    instant = provider.orders[-1].desired_ready_time
    return None if instant is None else instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")


@pytest.mark.rule("TIME-1")
@pytest.mark.parametrize(
    ("zone", "instant", "sent"),
    [
        ("America/New_York", "2030-06-03T16:10Z", "2030-06-03T12:10"),
        ("America/New_York", "2030-06-03T16:10:00.000001Z", "2030-06-03T12:11"),
        ("America/New_York", "2030-06-03T16:10:59Z", "2030-06-03T12:11"),
        ("America/New_York", "2030-12-31T23:59:01-05:00", "2031-01-01T00:00"),
        ("Asia/Kathmandu", "2030-06-03T16:10Z", "2030-06-03T21:55"),
        ("Pacific/Kiritimati", "2030-06-03T16:10Z", "2030-06-04T06:10"),
        (None, "2030-06-03T12:10-04:00", "2030-06-03T16:10Z"),
        (None, "2030-06-03T16:10:30Z", "2030-06-03T16:11Z"),
        ("Nowhere/Land", "2030-06-03T16:10Z", "2030-06-03T16:10Z"),
    ],
)
def test_times_are_local_in_a_known_zone_and_never_too_early(
    fake: MakeFake, zone: str | None, instant: str, sent: str
) -> None:
    provider, channel = fake()
    at_zone(provider, zone)
    ready(provider, at(instant), [at(instant), at(instant) + HOUR])
    answer = channel.validate("fake.one").order
    assert answer["soonest_available_at"] == answer["ready_at"] == sent
    assert [each[-1] == "Z" for each in answer["available_at"]] == [sent[-1] == "Z"]
    provider.placed = Placed("A-1", "technical-1", reference=None, expected_ready_at=at(instant))
    assert channel.submit("fake.one").order["expected_ready_at"] == sent


@pytest.mark.rule("TIME-2")
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2030-06-03T12:30", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30:00", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30:59", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30:59.9", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30:59.999999999", "2030-06-03T16:30Z"),
        ("2030-06-03t12:30", "2030-06-03T16:30Z"),
        ("2030-06-03T16:30Z", "2030-06-03T16:30Z"),
        ("2030-06-03T16:30:12.5z", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30-04", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30-0400", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30-04:00", "2030-06-03T16:30Z"),
        ("2030-06-03T12:30 -04:00", "2030-06-03T16:30Z"),
        ("2030-06-03T16:30 Z", "2030-06-03T16:30Z"),
        ("2030-06-03T22:00+05:30", "2030-06-03T16:30Z"),
        ("2030-06-04T16:29+23:59", "2030-06-03T16:30Z"),
        ("2030-12-03T12:30", "2030-12-03T17:30Z"),
        ("2037-12-31T23:59", "2038-01-01T04:59Z"),
        (None, None),
    ],
)
def test_a_desired_time_is_read_in_all_its_forms(fake: MakeFake, text: str | None, instant: str | None) -> None:
    provider, channel = fake()
    for ask in (channel.validate, channel.submit):
        assert ask("fake.one", desired_ready_time=text).status == 200
        assert wanted(provider) == instant


@pytest.mark.rule("TIME-2")
@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "ASAP", "12:30", "2030-06-03", "2030-06-03 12:30", "2030-06-03T12", "2030-06-03T1:30",
        "30-06-03T12:30", "20300603T1230", "2030-13-01T12:30", "2030-02-30T12:30", "2030-06-03T24:00",
        "2030-06-03T12:60",
        "2030-06-03T12:30:61", "2030-06-03T12:30:99", "2030-06-03T12:30:5", "2030-06-03T12:30:00.",
        "2030-06-03T12:30:00.1234567890",
        "2030-06-03T12:30+24:00", "2030-06-03T12:30+4", "2030-06-03T12:30+04:60", "2030-06-03T12:30EST",
        "2030-06-03T12:30 ", "2030-06-03T12:30  Z", " 2030-06-03T12:30", "2030-06-03T12:30\n",
        "2030-06-03T12:30Z[UTC]", "٢٠٣٠-06-03T12:30",
        "2038-01-01T00:00", "1969-12-31T23:59", "9999-12-31T23:59", "0000-01-01T00:00", "2030-W23-1T12:30",
    ],
)  # fmt: skip
def test_an_invalid_time_is_refused(refused: Channel, text: str) -> None:
    expected = (422, "invalid_member")
    assert refused.validate(desired_ready_time=text).refusal == (*expected, "$.order_validation.desired_ready_time")
    assert refused.submit(desired_ready_time=text).refusal == (*expected, "$.order_submission.desired_ready_time")


@pytest.mark.rule("TIME-2")
def test_a_local_time_means_nothing_without_a_known_zone(fake: MakeFake) -> None:
    provider, channel = fake()
    at_zone(provider, None)
    answer = channel.validate("fake.one", desired_ready_time="2030-06-03T12:30")
    assert answer.refusal == (422, "ready_time_unavailable", "$.order_validation.desired_ready_time")
    assert not provider.orders
    assert channel.validate("fake.one", desired_ready_time="2030-06-03T16:30Z").status == 200
    assert wanted(provider) == "2030-06-03T16:30Z"


@pytest.mark.rule("TIME-3", "TIME-7", "TIME-8")
def test_asap_at_an_open_location_is_a_real_local_time(channel: Channel) -> None:
    answer = channel.validate("sandbox.congress").order
    assert (answer["soonest_available_at"], answer["ready_at"]) == ("2030-06-03T12:10", "2030-06-03T12:10")
    assert answer["available_at"] is None
    assert channel.validate("sandbox.tokyo").order["soonest_available_at"] == "2030-06-04T01:10"
    assert channel.submit("sandbox.congress").order["expected_ready_at"] == "2030-06-03T12:10"


@pytest.mark.rule("TIME-3", "TIME-4", "TIME-8")
@pytest.mark.parametrize(
    ("location", "now", "soonest", "after"),
    [
        # noon: the day kitchen is open, the other opens in the evening and closes tomorrow
        ("day", "2030-06-03T12:00-04:00", "2030-06-03T12:30",
         [*local_slots("2030-06-03T12:45", "2030-06-03T17:45"), *local_slots("2030-06-04T06:00", "2030-06-04T12:00")]),
        ("night", "2030-06-03T12:00-04:00", "2030-06-03T18:00", local_slots("2030-06-03T18:15", "2030-06-04T05:45")),
        # evening: the other way round
        ("day", "2030-06-03T20:00-04:00", "2030-06-04T06:00", local_slots("2030-06-04T06:15", "2030-06-04T17:45")),
        ("night", "2030-06-03T20:00-04:00", "2030-06-03T20:30",
         [*local_slots("2030-06-03T20:45", "2030-06-04T05:45"), *local_slots("2030-06-04T18:00", "2030-06-04T20:00")]),
        # after midnight the night kitchen is still open, and it is another day
        ("night", "2030-06-04T00:10-04:00", "2030-06-04T00:30",
         [*local_slots("2030-06-04T00:45", "2030-06-04T05:45"), *local_slots("2030-06-04T18:00", "2030-06-05T00:00")]),
        # too late for the last slot of the day
        ("day", "2030-06-03T17:45-04:00", "2030-06-04T06:00", local_slots("2030-06-04T06:15", "2030-06-04T17:45")),
        # over the end of the year
        ("night", "2030-12-31T17:00-05:00", "2030-12-31T18:00", local_slots("2030-12-31T18:15", "2031-01-01T05:45")),
    ],
)  # fmt: skip
def test_slots_by_day_and_by_night(
    channel: Channel, clock: Clock, location: str, now: str, soonest: str, after: list[str]
) -> None:
    clock.set(now)
    answer = channel.validate(f"sandbox.{location}").order
    assert (answer["soonest_available_at"], answer["ready_at"]) == (soonest, soonest)
    assert answer["available_at"] == after
    assert channel.submit(f"sandbox.{location}", metadata=answer["metadata"]).order["expected_ready_at"] == soonest


@pytest.mark.rule("TIME-5")
@pytest.mark.parametrize(
    ("desired", "soonest"),
    [
        ("2030-06-03T13:05", "2030-06-03T13:15"),
        ("2030-06-03T13:15", "2030-06-03T13:15"),
        ("2030-06-03T13:15:59", "2030-06-03T13:15"),
        ("2030-06-03T13:16", "2030-06-03T13:30"),
        ("2030-06-03T17:46", "2030-06-04T06:00"),
        ("2030-06-04T03:00", "2030-06-04T06:00"),
        ("2030-06-03T12:05", "2030-06-03T12:30"),
        ("2030-06-03T17:05Z", "2030-06-03T13:15"),
    ],
)
def test_the_soonest_slot_is_at_or_after_the_desired_time(channel: Channel, desired: str, soonest: str) -> None:
    answer = channel.validate("sandbox.day", desired_ready_time=desired).order
    assert answer["soonest_available_at"] == answer["ready_at"] == soonest
    assert answer["available_at"][0] > soonest
    assert channel.submit("sandbox.day", desired_ready_time=desired).order["expected_ready_at"] == soonest


@pytest.mark.rule("TIME-5", "TIME-8")
def test_a_full_slot_is_not_offered(channel: Channel) -> None:
    desired = {"desired_ready_time": "2030-06-03T13:15"}
    for _ in range(4):
        assert channel.submit("sandbox.day", **desired).order["expected_ready_at"] == "2030-06-03T13:15"
    assert channel.validate("sandbox.day", **desired).order["soonest_available_at"] == "2030-06-03T13:30"
    assert channel.submit("sandbox.day", **desired).order["expected_ready_at"] == "2030-06-03T13:30"
    offered = channel.validate("sandbox.day").order
    assert "2030-06-03T13:00" in offered["available_at"]
    assert "2030-06-03T13:15" not in [offered["soonest_available_at"], *offered["available_at"]]


@pytest.mark.rule("TIME-6", "TIME-8")
@pytest.mark.parametrize("desired", ["2030-06-03T12:30", "2030-06-05T03:33", "2031-01-01T00:00"])
def test_free_scheduling_takes_the_very_time(channel: Channel, desired: str) -> None:
    answer = channel.validate("sandbox.congress", desired_ready_time=desired).order
    assert (answer["soonest_available_at"], answer["ready_at"], answer["available_at"]) == (desired, desired, None)
    assert channel.submit("sandbox.congress", desired_ready_time=desired).order["expected_ready_at"] == desired


@pytest.mark.rule("TIME-7", "TIME-8", "SUB-1")
def test_where_there_are_only_words_no_time_is_guessed(channel: Channel) -> None:
    answer = channel.validate("sandbox.notips").order
    assert (answer["soonest_available_at"], answer["ready_at"], answer["available_at"]) == (None, None, None)
    assert channel.submit("sandbox.notips").order["expected_ready_at"] is None


@pytest.mark.rule("TIME-8")
def test_slots_are_listed_for_24_hours_from_the_validation(fake: MakeFake) -> None:
    provider, channel = fake()
    now = at("2030-06-03T16:00Z")
    slots = [now + HOUR * each for each in range(1, 72)]
    ready(provider, slots[0], reversed(slots))  # type: ignore[arg-type]
    answer = channel.validate("fake.one").order
    assert answer["soonest_available_at"] == "2030-06-03T13:00"
    assert answer["available_at"] == [f"2030-06-03T{hour}:00" for hour in range(14, 24)] + [
        f"2030-06-04T{hour:02}:00" for hour in range(13)
    ]


@pytest.mark.rule("TIME-8")
@pytest.mark.parametrize(
    ("now", "last"),
    [("2030-03-09T12:00-05:00", "2030-03-10T13:00"), ("2030-11-02T12:00-04:00", "2030-11-03T11:00")],
)
def test_the_24_hours_are_elapsed_ones(fake: MakeFake, clock: Clock, now: str, last: str) -> None:
    provider, channel = fake()
    clock.set(now)
    slots = [at(now) + HOUR * each for each in range(1, 48)]
    ready(provider, slots[0], slots)
    assert channel.validate("fake.one").order["available_at"][-1] == last


@pytest.mark.rule("TIME-8", "TIME-4")
def test_at_a_closed_location_24_hours_start_at_the_first_slot(fake: MakeFake) -> None:
    provider, channel = fake()
    slots = [at("2030-06-06T16:00Z") + HOUR * each for each in range(48)]
    ready(provider, slots[0], slots)
    answer = channel.validate("fake.one").order
    assert answer["soonest_available_at"] == "2030-06-06T12:00"
    assert (answer["available_at"][0], answer["available_at"][-1]) == ("2030-06-06T13:00", "2030-06-07T12:00")
    assert len(answer["available_at"]) == 24


@pytest.mark.rule("TIME-8")
def test_slots_after_the_desired_time_and_soonest_are_listed(fake: MakeFake) -> None:
    provider, channel = fake()
    slots = [at("2030-06-03T17:00Z") + HOUR * each for each in range(6)]
    ready(provider, slots[2], slots)
    answer = channel.validate("fake.one", desired_ready_time="2030-06-03T14:30").order
    assert answer["soonest_available_at"] == "2030-06-03T15:00"
    assert answer["available_at"] == ["2030-06-03T16:00", "2030-06-03T17:00", "2030-06-03T18:00"]


@pytest.mark.rule("TIME-8")
def test_no_further_slot_is_an_empty_list_and_no_slots_null(fake: MakeFake) -> None:
    provider, channel = fake()
    only = at("2030-06-03T17:00Z")
    ready(provider, only, [only])
    assert channel.validate("fake.one").order["available_at"] == []
    ready(provider, at("2030-06-05T10:00Z"), None)  # closed, but free from then on
    answer = channel.validate("fake.one").order
    assert (answer["soonest_available_at"], answer["available_at"]) == ("2030-06-05T06:00", None)


GAPS = [
    ("America/New_York", "2030-03-10T02:00", "2030-03-10T07:00Z", "2030-03-10T03:00"),
    ("America/New_York", "2030-03-10T02:59", "2030-03-10T07:00Z", "2030-03-10T03:00"),
    ("Europe/Berlin", "2030-03-31T02:30", "2030-03-31T01:00Z", "2030-03-31T03:00"),
    ("Australia/Lord_Howe", "2030-10-06T02:15", "2030-10-05T15:30Z", "2030-10-06T02:30"),
    ("Australia/Lord_Howe", "2030-10-06T02:30", "2030-10-05T15:30Z", "2030-10-06T02:30"),
]
REPEATED = [
    ("America/New_York", "2030-11-03T01:30", "2030-11-03T05:30Z", "2030-11-03T06:30Z"),
    ("America/New_York", "2030-11-03T01:00", "2030-11-03T05:00Z", "2030-11-03T06:00Z"),
    ("Europe/Berlin", "2030-10-27T02:59", "2030-10-27T00:59Z", "2030-10-27T01:59Z"),
    ("Australia/Lord_Howe", "2030-04-07T01:45", "2030-04-06T14:45Z", "2030-04-06T15:15Z"),
]


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize(("zone", "local", "instant", "sent"), GAPS)
def test_a_skipped_local_time_becomes_the_first_valid_one(
    fake: MakeFake, clock: Clock, zone: str, local: str, instant: str, sent: str
) -> None:
    clock.set("2030-01-01T00:00Z")
    provider, channel = fake()
    at_zone(provider, zone)
    ready(provider, at(instant))
    answer = channel.validate("fake.one", desired_ready_time=local).order
    assert wanted(provider) == instant
    assert answer["soonest_available_at"] == sent


@pytest.mark.rule("TIME-9")
@pytest.mark.parametrize(("zone", "local", "first", "second"), REPEATED)
def test_a_repeated_local_time_is_the_earlier_and_later_is_z(
    fake: MakeFake, clock: Clock, zone: str, local: str, first: str, second: str
) -> None:
    clock.set("2030-01-01T00:00Z")
    provider, channel = fake()
    at_zone(provider, zone)
    for instant, sent in ((first, local), (second, second)):
        ready(provider, at(instant), [at(instant), at(second)])
        answer = channel.validate("fake.one", desired_ready_time=sent).order
        assert wanted(provider) == instant
        assert answer["soonest_available_at"] == sent
        assert answer["available_at"] == ([second] if instant == first else [])
        provider.placed = Placed("A-1", "technical-1", reference=None, expected_ready_at=at(instant))
        assert channel.submit("fake.one").order["expected_ready_at"] == sent


@pytest.mark.rule("TIME-9", "TIME-1")
@pytest.mark.parametrize(
    ("zone", "around"),
    [(zone, instant) for zone, _, instant, _ in GAPS] + [(zone, instant) for zone, _, instant, _ in REPEATED],
)
def test_every_sent_time_means_the_same_instant_coming_back(
    fake: MakeFake, clock: Clock, zone: str, around: str
) -> None:
    now = at(around) - 4 * HOUR
    clock.set(now.isoformat())
    provider, channel = fake()
    at_zone(provider, zone)
    slots = [now + timedelta(minutes=15 * each) for each in range(1, 40)]
    ready(provider, slots[0], slots)
    answer = channel.validate("fake.one").order
    sent = [answer["soonest_available_at"], *answer["available_at"]]
    assert len(set(sent)) == len(slots)
    for text, slot in zip(sent, slots, strict=True):
        assert channel.validate("fake.one", desired_ready_time=text).status == 200
        assert provider.orders[-1].desired_ready_time == slot


@pytest.mark.rule("TIME-10")
def test_a_past_time_is_refused_but_not_the_current_minute(fake: MakeFake, clock: Clock) -> None:
    provider, channel = fake()
    clock.set("2030-06-03T16:00:59.999999Z")
    for desired in (
        "2030-06-03T11:59",
        "2030-06-03T11:59:59",
        "2030-06-03T15:59Z",
        "1970-01-01T00:00",
        "2030-06-02T12:00",
    ):
        answer = channel.validate("fake.one", desired_ready_time=desired)
        assert answer.refusal == (422, "ready_time_in_past", "$.order_validation.desired_ready_time")
        answer = channel.submit("fake.one", desired_ready_time=desired)
        assert answer.refusal == (422, "ready_time_in_past", "$.order_submission.desired_ready_time")
    assert not provider.orders
    assert channel.validate("fake.one", desired_ready_time="2030-06-03T12:00").status == 200
    assert channel.validate("sandbox.congress").refusal[1] == "location_not_found"
    clock.set("2030-06-03T16:01Z")
    assert channel.validate("fake.one", desired_ready_time="2030-06-03T12:00").error["code"] == "ready_time_in_past"


@pytest.mark.rule("TIME-10", "TIME-6")
def test_the_current_minute_can_be_had_where_scheduling_is_free(channel: Channel, clock: Clock) -> None:
    clock.set("2030-06-03T16:00:59Z")
    answer = channel.validate(desired_ready_time="2030-06-03T12:00").order
    assert answer["soonest_available_at"] == "2030-06-03T12:00"


@pytest.mark.rule("TIME-10")
def test_an_unserved_time_is_refused_in_the_providers_words(channel: Channel, fake: MakeFake) -> None:
    for answer in (
        channel.validate("sandbox.notips", desired_ready_time="2030-06-03T13:00"),
        channel.submit("sandbox.notips", desired_ready_time="2030-06-03T13:00"),
    ):
        assert (answer.status, answer.error["code"]) == (422, "ready_time_unavailable")
        assert answer.error["message"] == "We cook at once and take no orders for later."
    provider, other = fake()
    provider.quote = Refused("location_closed", "Closed until spring.")
    error: dict[str, Any] = other.validate("fake.one").error
    assert (error["code"], error["message"], error["type"]) == ("location_closed", "Closed until spring.", "provider")


def shown(channel: Channel, **members: Any) -> dict[str, Any]:
    """What an OV of the day kitchen answers."""
    return channel.validate("sandbox.day", **members).order


@pytest.mark.rule("TIME-11", "TIME-4", "META-5")
def test_a_kitchen_that_has_closed_takes_no_order(channel: Channel, clock: Clock) -> None:
    clock.set("2030-06-03T17:10-04:00")
    validated = shown(channel)
    assert validated["soonest_available_at"] == "2030-06-03T17:30"

    clock.set("2030-06-03T17:45-04:00")
    late = channel.submit("sandbox.day", metadata=validated["metadata"])

    path = "$.order_submission.desired_ready_time"
    assert late.refusal == (422, "ready_time_unavailable", path)
    # The user is shown the new time and may take it.
    again = shown(channel)
    assert again["soonest_available_at"] == "2030-06-04T06:00"
    placed = channel.submit("sandbox.day", metadata=again["metadata"]).order
    assert placed["expected_ready_at"] == "2030-06-04T06:00"


@pytest.mark.rule("TIME-11")
@pytest.mark.parametrize("place", ["sandbox.congress", "sandbox.day"])
def test_a_user_may_take_their_time(channel: Channel, clock: Clock, place: str) -> None:
    clock.set("2030-06-03T11:00-04:00")
    metadata = channel.validate(place).order["metadata"]

    clock.set("2030-06-03T14:10-04:00")

    assert channel.submit(place, metadata=metadata).order["expected_ready_at"] > "2030-06-03T14:10"


@pytest.mark.rule("TIME-11", "TIME-5", "META-5")
def test_a_desired_time_is_kept_within_the_hour(channel: Channel, clock: Clock) -> None:
    clock.set("2030-06-03T12:00-04:00")
    evening = {"desired_ready_time": "2030-06-03T17:50"}

    # Nobody was shown tomorrow's slot.
    metadata = shown(channel)["metadata"]
    changed = channel.submit("sandbox.day", metadata=metadata, **evening)
    assert changed.refusal[:2] == (422, "ready_time_unavailable")
    # A guest who was shown it gets it.
    validated = shown(channel, **evening)
    assert validated["soonest_available_at"] == "2030-06-04T06:00"
    placed = channel.submit("sandbox.day", metadata=validated["metadata"], **evening).order
    assert placed["expected_ready_at"] == "2030-06-04T06:00"
    # A changed time is served if there is a slot for it.
    sooner = channel.submit("sandbox.day", metadata=metadata, desired_ready_time="2030-06-03T15:05").order
    assert sooner["expected_ready_at"] == "2030-06-03T15:15"


@pytest.mark.rule("TIME-11", "META-8")
def test_what_was_shown_cannot_be_forged(channel: Channel, clock: Clock) -> None:
    clock.set("2030-06-03T17:10-04:00")
    metadata = shown(channel)["metadata"]
    clock.set("2030-06-03T17:45-04:00")

    forged = {**metadata, "order_validation_id": metadata["order_validation_id"][:-4] + "AAAA"}
    placed = channel.submit("sandbox.day", metadata=forged).order

    # An OS that comes from no OV takes what there is (TIME-4).
    assert placed["expected_ready_at"] == "2030-06-04T06:00"
