"""Merchants, locations and menus, and who may read them (EP-1 to EP-3, EP-6, EP-7, LOC, MENU)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytz
from pytz.tzinfo import BaseTzInfo

from levelup_ov.certify import wire_menu
from levelup_ov.certify.client import CannotRun, RoundTrip
from levelup_ov.certify.contract import table
from levelup_ov.certify.conversation import Conversation, fresh
from levelup_ov.certify.shapes import flaws
from levelup_ov.domain.location import WEEKDAYS
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.secret import Secret

_URL_SAFE = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:@-]+")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_OPEN = ("/health", "/ready", "/openapi.json")


@dataclass(frozen=True)
class LocationUnderTest:
    """A location with its menu. ``wire`` is the location in the answer of EP-2; ``zone`` is None if unknown."""

    id: str
    wire: Mapping[str, Any] = field(default_factory=dict)
    menu: Menu | None = None

    @property
    def zone(self) -> BaseTzInfo | None:
        """The location's time zone."""
        name = self.wire.get("time_zone")
        return pytz.timezone(name) if name in pytz.all_timezones_set else None

    @property
    def tips(self) -> bool | None:
        """Whether pickups may carry a tip; None if unknown."""
        taken = self.wire.get("accepts_tips_on_pickup")
        return taken if isinstance(taken, bool) else None


def check_keys(talk: Conversation) -> None:
    """Authentication (EP-6), and ids that do not exist (EP-7, ERR-3)."""
    send, report = talk.client.send, talk.report
    for title, key in (
        ("nothing is revealed without a key", None),
        ("nothing is revealed with a wrong key", Secret(fresh("wrong"))),
    ):
        exchange = talk.held(send("GET", "/merchants", key=key))
        report.expect("EP-6", title, exchange.status in (401, 403, 404), exchange)
        refused_as(talk, "EP-6", title, exchange, 401, "unauthorized")
    exchange = talk.held(send("POST", "/locations/x/order_validations", b"{}", key=None))
    title = "no order is read without a key"
    report.expect("EP-6", title, exchange.status in (401, 403, 404), exchange)
    exchange = talk.held(send("GET", "/merchants", scheme="Bearer"))
    report.expect("EP-6", "Authorization: Bearer is accepted too", exchange.ok, exchange, decision=True)
    for path in _OPEN:
        exchange = send("GET", path, key=None)
        report.expect("EP-6", f"{path} needs no key", exchange.status in (200, 503), exchange, decision=True)
    exchange = talk.held(send("PUT", "/merchants", b"{}"))
    title = "another method is refused"
    report.expect("ERR-3", title, exchange.refused, exchange)
    refused_as(talk, "ERR-3", title, exchange, 405, "method_not_allowed")
    exchange = talk.get("/merchants", Accept="text/html")
    refused_as(talk, "EP-9", "a caller that accepts no JSON is refused", exchange, 406, "not_acceptable")
    request_id = fresh("certify")
    exchange = talk.get("/merchants", **{"X-Request-ID": request_id})
    same = exchange.headers.get("x-request-id") == request_id
    report.expect("ERR-1", "X-Request-ID is returned", same, exchange, "it does not", decision=True)
    for kind, path in (("merchant", "/merchants/{}/locations"), ("location", "/locations/{}/menu")):
        exchange = talk.get(path.format(fresh("unknown")))
        title = f"an unknown {kind} is not found"
        report.expect("EP-7", title, exchange.refused, exchange)
        refused_as(talk, "EP-7", title, exchange, 404, f"{kind}_not_found")


def refused_as(
    talk: Conversation, rule: str, title: str, exchange: RoundTrip, status: int, code: str, path: str | None = None
) -> None:
    """Check the form of a refusal, which is a decision of this project."""
    if not exchange.refused:
        return
    words = f"{exchange.words}; expected {status} {code}"
    # ERR-1 checks that there is a code at all.
    as_decided = exchange.status == status and exchange.error.get("code", code) == code
    talk.report.expect(rule, f"{title}: {status} {code}", as_decided, exchange, words, decision=True)
    if path is not None and as_decided and "path" in exchange.error:
        words = f"path is {exchange.error.get('path')!r}; expected {path!r}"
        right = exchange.error.get("path") == path
        talk.report.expect("ERR-1", "path names the offending member", right, exchange, words, decision=True)


def read_merchants(talk: Conversation) -> list[str]:
    """The ids of EP-1. :raises CannotRun: the service is not reached, or refuses the key."""
    exchange = talk.client.send("GET", "/merchants")
    if exchange.failure:
        raise CannotRun(f"the service cannot be reached: {exchange.failure}")
    if exchange.status in (401, 403):
        raise CannotRun(f"the service does not accept this key: {exchange.words}")
    talk.held(exchange)
    wire = exchange.json if isinstance(exchange.json, dict) else {}
    merchants = _unwrapped(wire.get("merchants"), "merchant")
    sound = exchange.ok and merchants is not None and all(_named(merchant) for merchant in merchants)
    title = "the merchants are listed with provider_id and name"
    talk.report.expect("EP-1", title, sound, exchange)
    ids = [merchant["provider_id"] for merchant in merchants or () if _named(merchant)]
    _ids(talk, exchange, ids, "merchants")
    return ids


def read_locations(talk: Conversation, merchant: str) -> list[LocationUnderTest]:
    """The locations of EP-2, checked against LOC-1 and LOC-2."""
    report = talk.report
    exchange = talk.get(f"/merchants/{merchant}/locations")
    wire = exchange.json if isinstance(exchange.json, dict) else {}
    locations = _unwrapped(wire.get("locations"), "location")
    if not report.expect(
        "EP-2", "the locations of a merchant are listed", exchange.ok and locations is not None, exchange
    ):
        return []
    updated = wire.get("updated_at", "")
    sound = updated is None or bool(isinstance(updated, str) and _INSTANT.fullmatch(updated))
    report.expect("LOC-1", "updated_at is an instant, or null", sound, exchange, f"it is {updated!r}", decision=True)
    places = []
    for position, location in enumerate(locations or ()):
        found = [str(flaw) for flaw in flaws(table("location"), location, f"$.locations[{position}].location")]
        report.location = str(location.get("provider_id"))
        title = "a location has every member, of its type"
        report.expect("LOC-1", title, not found, exchange, "; ".join(found[:5]))
        zone = location.get("time_zone")
        sound = zone is None or zone in pytz.all_timezones_set
        report.expect("LOC-1", "time_zone is a name of the IANA database", sound, exchange, f"it is {zone!r}")
        wrong = list(_wrong_hours(location.get("hours")))
        title = "hours have all seven days, each spans, closed or null"
        report.expect("LOC-2", title, not wrong, exchange, "; ".join(wrong[:5]))
        report.location = None
        if isinstance(location.get("provider_id"), str):
            places.append(LocationUnderTest(location["provider_id"], location))
    _ids(talk, exchange, [place.id for place in places], "locations")
    _conditional(talk, f"/merchants/{merchant}/locations", exchange)
    return places


def read_menu(talk: Conversation, place: LocationUnderTest) -> LocationUnderTest:
    """``place`` with its menu (EP-3), checked against MENU-1 to MENU-5."""
    report, path = talk.report, f"/locations/{place.id}/menu"
    exchange = talk.get(path)
    wire = exchange.json.get("menu") if isinstance(exchange.json, dict) else None
    title = "the menu of a location is shown"
    if exchange.error.get("code") == "menu_invalid":
        report.expect("MENU-3", "the menu follows the rules", False, exchange)
        return place
    if not report.expect("EP-3", title, exchange.ok and isinstance(wire, dict), exchange):
        return place
    found = list(wire_menu.menu_flaws(wire))
    for rule, inner in (("MENU-1", False), ("MENU-2", True)):
        # For members that may be null, absent means the same as null.
        own = [flaw for flaw in found if ("." in flaw.member) is inner]
        absent = [str(flaw) for flaw in own if flaw.missing and "null" in table("menu")[flaw.member]]
        wrong = [str(flaw) for flaw in own if str(flaw) not in absent]
        part = "every part of the menu" if inner else "the menu"
        report.expect(rule, f"{part} has members of the right types", not wrong, exchange, "; ".join(wrong[:5]))
        title = f"{part} also has the members that may be null"
        report.expect(rule, title, not absent, exchange, "; ".join(absent[:5]), decision=True)
    broken = wire_menu.rule_problems(wire)
    report.expect("MENU-3", "the menu follows the rules", not broken, exchange, "; ".join(broken[:5]))
    menu = wire_menu.read(wire)
    _paths(talk, exchange, menu)
    _conditional(talk, path, exchange)
    return LocationUnderTest(place.id, place.wire, menu)


def _paths(talk: Conversation, exchange: RoundTrip, menu: Menu) -> None:
    """Check how ids express nesting (ITEM-3, ITEM-4, MENU-5)."""
    nested = [
        (option, below) for group in menu.option_groups for option in group.options for below in option.option_groups
    ]
    inside = {below for _, below in nested}
    for group in menu.option_groups:
        wrong = [
            option.provider_id for option in group.options if not option.provider_id.startswith(f"{group.provider_id}:")
        ]
        title = "an option's id is its group's, a colon and its own"
        talk.report.expect("ITEM-4", title, not wrong, exchange, ", ".join(wrong[:5]), decision=True)
        if group.provider_id in inside:
            # The documents do not fix the delimiter, but parents come first in any case.
            parents = [option.provider_id for option, below in nested if below == group.provider_id]
            wrong = [option.provider_id for option in group.options
                     if not any(option.provider_id.startswith(parent) for parent in parents)]  # fmt: skip
            title = "the id of a nested option starts with its parents"
            talk.report.expect("ITEM-3", title, not wrong, exchange, ", ".join(wrong[:5]))
    wrong = [
        f"{below} of {option.provider_id}" for option, below in nested if not below.startswith(f"{option.provider_id}:")
    ]
    if nested:
        title = "a nested group's id is its path"
        talk.report.expect("MENU-5", title, not wrong, exchange, ", ".join(wrong[:5]), decision=True)
    else:
        talk.report.not_applicable("ITEM-3", "the id of a nested option starts with its parents", "no nested options")


def _conditional(talk: Conversation, path: str, exchange: RoundTrip) -> None:
    """MENU-4."""
    report, etag = talk.report, exchange.headers.get("etag")
    if report.expect("MENU-4", "there is an ETag", bool(etag), exchange, "there is none", decision=True):
        again = talk.get(path, **{"If-None-Match": etag or ""})
        report.expect("MENU-4", "an unchanged menu is answered with 304", again.status == 304, again, decision=True)


def _ids(talk: Conversation, exchange: RoundTrip, ids: Sequence[str], kind: str) -> None:
    unsafe = [id for id in ids if not _URL_SAFE.fullmatch(id)]
    talk.report.expect("EP-7", f"ids of {kind} are URL-safe", not unsafe, exchange, ", ".join(map(repr, unsafe[:5])))
    twice = sorted({id for id in ids if ids.count(id) > 1})
    talk.report.expect("EP-7", f"ids of {kind} are unique", not twice, exchange, ", ".join(twice[:5]))


def _wrong_hours(hours: Any) -> list[str]:
    if not isinstance(hours, dict):
        return ["hours is not an object"]
    wrong = []
    for day in WEEKDAYS:
        value = hours.get(day, "")
        if value in (None, "closed"):
            continue
        if not isinstance(value, list):
            wrong.append(f"{day} is missing" if day not in hours else f"{day} is {value!r}")
            continue
        for span in value:
            times = [str(span.get(name)) for name in ("opens_at", "closes_at")] if isinstance(span, dict) else [""]
            if not all(map(_TIME_OF_DAY.fullmatch, times)):
                wrong.append(f"{day} has the span {span!r}")
            elif times[0] >= times[1]:
                wrong.append(f"{day}: {times[0]} to {times[1]} runs over midnight and is not split")
    return wrong


def _unwrapped(elements: Any, name: str) -> list[dict[str, Any]] | None:
    if not isinstance(elements, list):
        return None
    inner = [element.get(name) if isinstance(element, dict) else None for element in elements]
    return inner if all(isinstance(thing, dict) for thing in inner) else None  # type: ignore[return-value]


def _named(thing: Mapping[str, Any]) -> bool:
    return all(isinstance(thing.get(name), str) and thing[name].strip() for name in ("provider_id", "name"))
