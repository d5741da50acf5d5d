"""Toast's restaurants in the contract's terms: the location, its hours, and when an order can be ready.

Toast does not enforce hours: it accepts an order for a closed restaurant, so the adapter enforces them. The ordering
schedule has hours without slots; our slots are the quarters of an hour within them.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from itertools import takewhile

import pytz

from adapters.toast_delivery import TAKEOUT, ToastService, service_of
from levelup_ov.adapter import (
    SLOT_WINDOW,
    WEEKDAYS,
    Hours,
    JSONObject,
    Location,
    Order,
    Ready,
    Refused,
    Timetable,
    Unanswered,
    Weekday,
    broken_protocol,
    opening_hours,
    soonest_slot,
    unknown_hours,
)

MOST_DAYS = 60
"""The most days ahead to look for slots, whatever the restaurant allows."""

_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)(:\d\d(\.\d+)?)?Z?")
_MIDNIGHT = 24 * 60
_REGIONS = {"USD": "US", "CAD": "CA", "EUR": "IE", "GBP": "GB", "AUD": "AU"}
"""The countries in which Toast is used."""
_DAYS = {day.upper(): day for day in WEEKDAYS}


def read_location(guid: str, restaurant: JSONObject, currency: str) -> Location:
    """LOC-1. An archived restaurant is terminated, and one with prices in another currency is not active."""
    general, place = restaurant.member("general"), restaurant.member("location")
    names = (general.text("name"), general.text("locationName", ""))
    archived = general.boolean("archived", False)
    active = not archived and general.text("currencyCode", currency) == currency
    return Location(
        guid, " - ".join(name for name in names if name), active=active, terminated=archived,
        fulfills_pickups=not archived,
        street_address=place.text("address1", None), extended_address=place.text("address2", None),
        locality=place.text("city", None), postal_code=place.text("zipCode", None),
        region=place.text("administrativeArea", None) or place.text("stateCode", None),
        phone=place.text("phone", None), latitude=place.decimal("latitude", None),
        longitude=place.decimal("longitude", None), time_zone=general.text("timeZone"), currency=currency,
        hours=_hours(restaurant) if restaurant.has("schedules") else unknown_hours(),
    )  # fmt: skip


def _hours(restaurant: JSONObject) -> Hours:
    """A day without a schedule is closed; unreadable hours are unknown (LOC-2).

    They are only shown: orders follow the ordering schedule.
    """
    try:
        schedules = restaurant.member("schedules")
        week, days = schedules.member("weekSchedule"), schedules.member("daySchedules")
        named = [(day, days.member(week.text(day))) for day in WEEKDAYS if week.has(day)]
        return opening_hours([(day, *_span(found, "openTime", "closeTime")) for day, found in named])
    except Unanswered:
        return unknown_hours()


def _span(answer: JSONObject, opening: str, closing: str) -> tuple[int, int]:
    return _minutes(answer, opening), _minutes(answer, closing)


def _minutes(answer: JSONObject, name: str) -> int:
    """Minutes after midnight of a time of day."""
    found = _TIME.fullmatch(answer.text(name))
    if found is None or (minutes := int(found[1]) * 60 + int(found[2])) > _MIDNIGHT:
        raise broken_protocol(f"the provider's answer needs a time of day at {answer.path}.{name}")
    return minutes


def region(restaurant: JSONObject) -> str:
    """The restaurant's country as two letters, derived from its currency: country names are not standardized."""
    return _REGIONS.get(restaurant.member("general").text("currencyCode", "USD"), "US")


def takes_notes(restaurant: JSONObject) -> bool:
    """Whether the restaurant accepts notes for the kitchen (ITEM-8)."""
    return not restaurant.has("onlineOrdering") or restaurant.member("onlineOrdering").boolean("specialRequests", True)


def plan(order: Order, restaurant: JSONObject, schedule: JSONObject) -> tuple[datetime | None, Ready]:
    """The promised time (None for as soon as possible), and when the order can be ready (TIME-4, TIME-5).

    :raises Refused: ``location_closed`` or ``ready_time_unavailable``.
    """
    times, now, desired = restaurant.member("prepTimes"), order.received_at, order.desired_ready_time
    service = service_of(order)
    throttled = times.integer(f"{service.prefix}ThrottlingTime", 0)
    lead = timedelta(minutes=times.integer(f"{service.prefix}PrepTime") + throttled)
    if lead > timedelta(days=MOST_DAYS):
        raise broken_protocol(f"the provider's preparation time is over {MOST_DAYS} days")
    table = read_timetable(order.location, schedule, times, service)
    schedules = schedule.boolean("acceptScheduledOrders", True)
    days = min(schedule.integer("scheduledOrderMaxDays", 0), MOST_DAYS)
    slots = table.slots(now, lead=lead, days=days) if schedules else iter(())
    cutoff = lead if schedule.text("lastOrderConfiguration", "") == "UNTIL_PREPTIME_CUTOFF" else timedelta()
    if desired is None and table.is_open(now) and table.is_open(now + cutoff):
        soonest, promised = now + lead, None
    elif (found := soonest_slot(slots, desired)) is not None:
        soonest = promised = found
    elif desired is None:
        raise Refused("location_closed", "the restaurant takes no orders now, and none for later")
    else:
        words = "the restaurant takes no orders for this time"
        raise Refused("ready_time_unavailable", words, path="$.desired_ready_time")
    later = takewhile(lambda slot: slot <= max(soonest, now) + SLOT_WINDOW, slots)
    return promised, Ready(soonest, (soonest, *later) if schedules else None)


def read_timetable(
    location: Location, schedule: JSONObject, times: JSONObject, kind: ToastService = TAKEOUT
) -> Timetable:
    """When orders of a kind are accepted: the schedule without its margins after opening and before closing."""
    margins = [timedelta(minutes=times.integer(f"{kind.prefix}Time{when}", 0)) for when in ("AfterOpen", "BeforeClose")]
    zone = location.time_zone or schedule.text("timeZoneId")
    if zone not in pytz.all_timezones_set:
        raise broken_protocol("the provider's answer needs a time zone at $.timeZoneId")
    weekly: dict[Weekday, list[tuple[int, int]]] = {}
    for service in schedule.each("servicePeriods"):
        if service.text("diningOptionBehavior") == kind.behavior:
            for period in service.each("dayPeriods", []):
                if (day := _DAYS.get(period.text("day"))) is None:
                    raise broken_protocol(f"the provider's answer needs a day of the week at {period.path}.day")
                weekly.setdefault(day, []).extend(_ranges(period))
    overrides = [each for each in schedule.each("overrides", []) if kind.behavior in each.texts("diningOptionBehavior")]
    return Timetable(pytz.timezone(zone), weekly, {_date(each): _ranges(each) for each in overrides}, *margins)


def _ranges(period: JSONObject) -> list[tuple[int, int]]:
    return [_span(each, "start", "end") for each in period.each("timeRanges", [])]


def _date(override: JSONObject) -> date:
    try:
        return datetime.strptime(override.identifier("businessDate"), "%Y%m%d").date()
    except ValueError:
        raise broken_protocol(f"the provider's answer needs a date at {override.path}.businessDate") from None
