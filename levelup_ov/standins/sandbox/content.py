"""What is in a cart, read from JSON. Unknown members are refused, so that a misspelled one is noticed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from levelup_ov.domain.money import is_cents
from levelup_ov.standins.sandbox.delivery import Address, CartDelivery
from levelup_ov.standins.sandbox.problems import EngineError

DEEPEST = 8
"""Levels of picks that are read at all; the menu has three."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A choice made in a group: ``count`` of it for each portion of what it belongs to."""

    group: str
    choice: str
    count: int
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class CartLine:
    """``count`` portions of one dish, all alike. ``label`` is a name to write on the bag."""

    dish: str
    count: int
    note: str | None
    label: str | None
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Customer:
    """Who picks the order up."""

    name: str
    phone: str | None
    email: str | None

    def is_reached_like(self, other: Customer) -> bool:
        """Whether both have the same e-mail address or the same telephone number."""
        ours, theirs = self._addresses(), other._addresses()
        return any(one is not None and one == two for one, two in zip(ours, theirs))

    def _addresses(self) -> tuple[str | None, str | None]:
        phone = re.sub(r"[\s().-]", "", self.phone or "")
        return self.email and self.email.strip().casefold(), phone or None


@dataclass(frozen=True, slots=True)
class CartContent:
    """The whole cart. ``gratuity`` and ``coupon`` (a discount from the merchant) are cents.

    ``delivery`` None: the customer picks it up.
    """

    lines: tuple[CartLine, ...]
    customer: Customer
    note: str | None
    gratuity: int
    coupon: int
    wanted_at: datetime | None
    delivery: CartDelivery | None = None


def read_content(body: Any) -> CartContent:
    """The cart of a request.

    :raises EngineError: ``malformed``, or ``customer_incomplete``.
    """
    members = members_of(body, "$", {"lines", "customer", "note", "gratuity", "coupon", "wanted_at", "delivery"})
    lines = _list(members, "lines", "lines")
    if not lines:
        raise malformed("lines", "at least one line")
    return CartContent(
        tuple(_line(line, f"lines[{position}]") for position, line in enumerate(lines)),
        read_customer(members.get("customer")),
        text_of(members, "note", "note"),
        _cents(members, "gratuity"),
        _cents(members, "coupon"),
        instant_of(members, "wanted_at"),
        _delivery(members.get("delivery")),
    )


def members_of(value: Any, where: str, known: set[str]) -> Mapping[str, Any]:
    """``value``, if it is an object of ``known`` members only.

    :raises EngineError: ``malformed``.
    """
    if type(value) is not dict:
        raise malformed(where, "an object")
    if unknown := sorted(set(value) - known):
        raise malformed(where, f"no member {unknown[0]!r}")
    return value


def text_of(members: Mapping[str, Any], name: str, where: str) -> str | None:
    """A member's text; None where it is absent or blank.

    :raises EngineError: ``malformed``.
    """
    value = members.get(name)
    if value is not None and type(value) is not str:
        raise malformed(where, "a text")
    return value if value and value.strip() else None


def malformed(where: str, expected: str) -> EngineError:
    """The request is not one that this interface has."""
    return EngineError("malformed", f"This request cannot be read: expected {expected} at {where}.", where)


def _line(value: Any, where: str) -> CartLine:
    members = members_of(value, where, {"dish", "count", "note", "label", "picks"})
    return CartLine(
        _id(members, "dish", where),
        _count(members, where),
        text_of(members, "note", f"{where}.note"),
        text_of(members, "label", f"{where}.label"),
        _picks(members, where, 1),
    )


def _picks(members: Mapping[str, Any], where: str, depth: int) -> tuple[Pick, ...]:
    values = _list(members, "picks", f"{where}.picks")
    if values and depth > DEEPEST:
        raise malformed(where, f"at most {DEEPEST} levels of picks")
    return tuple(_pick(value, f"{where}.picks[{position}]", depth) for position, value in enumerate(values))


def _pick(value: Any, where: str, depth: int) -> Pick:
    members = members_of(value, where, {"group", "choice", "count", "picks"})
    return Pick(
        _id(members, "group", where),
        _id(members, "choice", where),
        _count(members, where),
        _picks(members, where, depth + 1),
    )


def read_customer(value: Any) -> Customer:
    members = members_of(value, "customer", {"name", "phone", "email"})
    name, phone, email = (text_of(members, member, f"customer.{member}") for member in ("name", "phone", "email"))
    if name is None or (phone is None and email is None):
        raise EngineError("customer_incomplete", "We need a name, and a phone number or an e-mail address.", "customer")
    return Customer(name, phone, email)


def _delivery(value: Any) -> CartDelivery | None:
    if value is None:
        return None
    address = members_of(value, "delivery", {"address"}).get("address")
    if address is None:
        return CartDelivery(None)
    where, names = "delivery.address", ("street", "extra", "city", "state", "postcode", "directions")
    parts = members_of(address, where, set(names))
    street, *more = (text_of(parts, name, f"{where}.{name}") for name in names)
    if street is None:
        raise EngineError("address_incomplete", "We need the street.", f"{where}.street")
    return CartDelivery(Address(street, *more))


def _list(members: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = members.get(name, [])
    if type(value) is not list:
        raise malformed(where, "a list")
    return value


def _id(members: Mapping[str, Any], name: str, where: str) -> str:
    if (value := text_of(members, name, f"{where}.{name}")) is None:
        raise malformed(f"{where}.{name}", "an id")
    return value


def _count(members: Mapping[str, Any], where: str) -> int:
    value = members.get("count", 1)
    if type(value) is not int or value < 1:
        raise malformed(f"{where}.count", "a whole number of at least 1")
    return value


def _cents(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name, 0)
    if not is_cents(value):
        raise malformed(name, "an amount in cents")
    return value


def instant_of(members: Mapping[str, Any], name: str) -> datetime | None:
    """A time with an offset, or None if it is missing. :raises EngineError: ``malformed``."""
    if (text := text_of(members, name, name)) is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise malformed(name, "a time with an offset (RFC 3339)")
    return value
