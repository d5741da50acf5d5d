"""When an order would be ready: as soon as possible, at a desired time, at slots, across clock changes (TIME)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from pytz.tzinfo import BaseTzInfo

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import members
from levelup_ov.certify.endpoints import refused_as
from levelup_ov.certify.validations import ValidationChecks
from levelup_ov.domain import ready_time
from levelup_ov.domain.location import WEEKDAYS

_SKEW = timedelta(minutes=5)
"""How much the service's clock may differ from ours."""
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_LOCAL = "%Y-%m-%dT%H:%M"


class Times:
    """The times of one location, as of ``now``."""

    def __init__(self, validations: ValidationChecks, now: datetime) -> None:
        self.validations = validations
        self.report = validations.report
        self.zone = validations.place.zone
        self.hours = validations.place.wire.get("hours")
        self.now = now
        self.soonest = self.read(members(validations.answer).get("soonest_available_at"))

    def read(self, text: Any) -> datetime | None:
        """As :func:`read_time`, in the place's zone."""
        return read_time(text, self.zone)

    def ask(self, desired: datetime | str) -> RoundTrip:
        """Validate for a time, an instant or a text."""
        text = desired if isinstance(desired, str) else desired.astimezone(self.zone).strftime(_LOCAL)
        return self.validations.send(desired_ready_time=text)

    def check(self) -> None:
        """All of them."""
        self.check_past()
        if self.zone is None:
            self.report.not_applicable("TIME-3", "as soon as possible has a real time", "the time zone is not known")
            return
        self.check_soonest()
        slots = members(self.validations.answer).get("available_at")
        if isinstance(slots, list):
            self.check_slots(slots)
        else:
            self.check_free()

    def check_past(self) -> None:
        """TIME-10."""
        past = self.now - 2 * _DAY
        text = past.astimezone(self.zone or timezone.utc).strftime(_LOCAL)
        exchange = self.ask(text)
        title = "a time that has passed is refused"
        self.report.expect("TIME-10", title, exchange.refused, exchange)
        if self.zone is not None:
            refused_as(self.validations.talk, "TIME-10", title, exchange, 422, "ready_time_in_past")

    def check_soonest(self) -> None:
        """TIME-3, TIME-4."""
        answer = self.validations.answer
        open_now = _is_open(self.hours, self.now, self.zone)
        rule = "TIME-4" if open_now is False else "TIME-3"
        title = "when closed, the soonest time is real" if open_now is False else "as soon as possible has a real time"
        if self.soonest is None:
            self.report.not_applicable(rule, title, "the provider gives no real time (TIME-7)")
            return
        words = f"{self.soonest:%Y-%m-%dT%H:%M%z} has passed"
        self.report.expect(rule, title, self.soonest >= self.now - _SKEW, answer, words)
        if open_now is not None:
            served = _is_open(self.hours, self.soonest, self.zone) or _is_open(
                self.hours, self.soonest - _MINUTE, self.zone
            )
            title = "the soonest time is within the hours"
            words = f"the location is closed at {self.soonest:%A %H:%M}"
            self.report.expect(rule, title, bool(served), answer, words)

    def check_slots(self, texts: list[Any]) -> None:
        """TIME-5, TIME-8, TIME-10."""
        answer = self.validations.answer
        slots = self._listed(answer, texts, None)
        every = sorted({*slots, *([self.soonest] if self.soonest else [])})
        if len(every) < 3:
            reason = f"{len(every)} slots are too few"
            self.report.not_applicable("TIME-5", "the soonest slot after a desired time is returned", reason)
            return
        before, slot = every[len(every) // 2 - 1 : len(every) // 2 + 1]
        exact = self.ask(slot)
        title = "a slot at the desired time itself counts"
        if exact.ok:
            given = self.read(members(exact).get("soonest_available_at"))
            words = f"{slot:%H:%M} was requested, {given} returned"
            self.report.expect("TIME-5", title, given == slot, exact, words, decision=True)
            self._listed(exact, members(exact).get("available_at"), slot)
            self.check_forms(slot, given)
        title = "the soonest slot after a desired time is returned"
        if slot - before <= _MINUTE:
            return
        between = self.ask(slot - _MINUTE)
        given = self.read(members(between).get("soonest_available_at"))
        words = (
            between.words if not between.ok else f"{slot - _MINUTE:%H:%M} was requested, {given} returned, not {slot}"
        )
        self.report.expect("TIME-5", title, between.ok and given == slot, between, words)

    def check_free(self) -> None:
        """TIME-6, TIME-9, TIME-10."""
        desired = self._open_time()
        title = "a desired time is returned where any time is possible"
        exchange = self.ask(desired)
        given = members(exchange).get("soonest_available_at")
        if not exchange.ok or given is None:
            reason = exchange.words if not exchange.ok else "the provider gives no real time (TIME-7)"
            self.report.not_applicable("TIME-6", title, reason)
            return
        words = f"{desired:%Y-%m-%dT%H:%M} was requested, {given} returned"
        if not self.report.expect("TIME-6", title, self.read(given) == desired, exchange, words):
            return
        self.check_forms(desired, desired)
        self._closed_time()
        self._clock_changes()

    def check_forms(self, desired: datetime, expected: datetime | None) -> None:
        """TIME-2: the same time, written differently."""
        local = desired.astimezone(self.zone)
        offset = local.strftime("%z")
        texts = {
            "with seconds": local.strftime("%Y-%m-%dT%H:%M:%S"),
            "with an offset": f"{local:%Y-%m-%dT%H:%M}{offset[:3]}:{offset[3:]}",
            "in UTC": desired.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        }
        for form, text in texts.items():
            exchange = self.ask(text)
            met = exchange.ok and self.read(members(exchange).get("soonest_available_at")) == expected
            words = exchange.words if not exchange.ok else f"{text} means a different time"
            self.report.expect("TIME-2", f"a desired time {form} means the same", met, exchange, words)

    def _listed(self, exchange: RoundTrip, texts: Any, desired: datetime | None) -> list[datetime]:
        """The slots of an answer, checked against TIME-8."""
        if not isinstance(texts, list):
            return []
        report = self.report
        slots = [slot for slot in map(self.read, texts) if slot is not None]
        title = "available times are in order and unique"
        report.expect("TIME-8", title, slots == sorted(set(slots)), exchange, "they are not", decision=True)
        first = self.read(members(exchange).get("soonest_available_at"))
        start = max(time for time in (first, desired, self.now - _SKEW) if time is not None)
        early = [slot for slot in slots if slot < start]
        title = "no available time is before the desired or the soonest time"
        report.expect("TIME-8", title, not early, exchange, f"{len(early)} of {len(slots)} are")
        end = self.now + _DAY + _SKEW
        if first is not None and first > end:
            end = first + _DAY
        late = [slot for slot in slots if slot > end]
        title = "no available time is over 24 hours ahead"
        words = f"{len(late)} of {len(slots)} are, up to {max(late, default=end):%Y-%m-%dT%H:%M}"
        report.expect("TIME-8", title, not late, exchange, words)
        return slots

    def _open_time(self) -> datetime:
        """A whole minute, some hours ahead, when the location is open and not about to close."""
        start = (self.soonest or self.now).replace(second=0, microsecond=0) + 2 * _HOUR
        candidates = (start + step * timedelta(minutes=30) for step in range(2 * 48))
        for time in candidates:
            if all(_is_open(self.hours, time + apart, self.zone) for apart in (-_HOUR, timedelta(0), _HOUR)):
                return time
        return start

    def _closed_time(self) -> None:
        title = "an impossible time is not replaced by another"
        start = self.now.replace(minute=0, second=0, microsecond=0) + 3 * _HOUR
        closed = (start + step * _HOUR for step in range(7 * 24))
        desired = next((time for time in closed if _is_open(self.hours, time, self.zone) is False), None)
        if desired is None:
            self.report.not_applicable("TIME-10", title, "the location is never closed, or its hours are unknown")
            return
        exchange = self.ask(desired)
        given = self.read(members(exchange).get("soonest_available_at"))
        met = exchange.refused or (exchange.ok and given in (None, desired))
        self.report.expect("TIME-10", title, met, exchange)

    def _clock_changes(self) -> None:
        """TIME-9, at the next gap and the next fold."""
        zone, report = self.zone, self.report
        title = "a local time in a gap means the first instant after it"
        changes = dict(_changes(zone, self.now)) if zone else {}
        if zone is None or set(changes) != {"gap", "fold"}:
            report.not_applicable("TIME-9", title, "the location's clocks do not change", decision=True)
            return
        gap, fold = changes["gap"], changes["fold"]
        first, second = sorted(zone.localize(fold, is_dst=flag) for flag in (True, False))
        utc = second.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
        after = ready_time.localize(gap, zone)
        for name, text, expected in (
            (title, gap.strftime(_LOCAL), after.strftime(_LOCAL)),
            ("a repeated local time means the earlier one", fold.strftime(_LOCAL), first.strftime(_LOCAL)),
            ("the second pass of a repeated hour is written with Z", utc, utc),
        ):
            exchange = self.ask(text)
            given = members(exchange).get("soonest_available_at")
            if not exchange.ok or given is None:
                report.not_applicable("TIME-9", name, exchange.words, decision=True)
                continue
            instant = self.read(given)
            exists = given.endswith("Z") or ready_time.to_wire(instant, zone) == given[:16]
            met = exists and instant == self.read(expected)
            words = f"{text} was requested, {given} returned, not {expected}"
            report.expect("TIME-9", name, met, exchange, words, decision=True)


def read_time(text: Any, zone: BaseTzInfo | None) -> datetime | None:
    """The instant of an outgoing time in any form (TIME-1 checks the form); None if it is not a time."""
    if not isinstance(text, str):
        return None
    try:
        value = ready_time.parse(text)
    except ValueError:
        return None
    if value.tzinfo is None:
        return ready_time.localize(value, zone) if zone else None
    return value


def _changes(zone: BaseTzInfo, now: datetime) -> Iterator[tuple[str, datetime]]:
    """A local time in the next gap and one in the next fold of the next 13 months."""
    hour = now.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0) + 2 * _DAY
    offset, found = hour.astimezone(zone).utcoffset(), set()
    for _ in range(400 * 24):
        hour += _HOUR
        local = hour.astimezone(zone)
        if (new := local.utcoffset()) == offset or new is None or offset is None:
            continue
        kind = "gap" if new > offset else "fold"
        half = abs(new - offset) / 2
        offset = new
        if kind not in found:
            found.add(kind)
            yield kind, local.replace(tzinfo=None) + (-half if kind == "gap" else half)


def _is_open(hours: Any, instant: datetime, zone: BaseTzInfo | None) -> bool | None:
    """Whether the published hours (LOC-2) include ``instant``; None if they do not say."""
    if not isinstance(hours, Mapping) or zone is None:
        return None
    local = instant.astimezone(zone)
    spans = hours.get(WEEKDAYS[local.weekday()])
    if spans == "closed":
        return False
    if not isinstance(spans, list):
        return None
    time = local.strftime("%H:%M")
    return any(span.get("opens_at", "~") <= time < span.get("closes_at", "") for span in spans)
