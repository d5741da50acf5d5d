"""Reading a provider's JSON: every member by type and path, or a clear error, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, TypeVar

from levelup_ov.domain import money
from levelup_ov.errors import broken_protocol

T = TypeVar("T")

MAX_INTEGER = 2**31 - 1
"""The largest integer that is read: more cannot be a count, and minutes or JSON could not represent it."""
_NO_PRICE = object()
"""A number that is not a valid menu price."""
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_YEARS = range(1970, 9999)
"""The times that every zone can represent, with a day's margin."""


class JSONObject:
    """A JSON value of a provider with the path that led to it.

    Each reader takes the member's name. For a missing or null member it returns ``default``, if passed.

    :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``, naming the path and what was
        expected; the value is not repeated, because it may be private.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str = "$") -> None:
        self.value = value
        self.path = path

    def text(self, name: str, *default: T) -> str | T:
        """A string."""
        return self._read(name, "a string", lambda value: value if type(value) is str else None, default)

    def identifier(self, name: str, *default: T) -> str | T:
        """An id: a non-empty string, or an integer, returned as a string."""
        return self._read(name, "an id", _identifier, default)

    def integer(self, name: str, *default: T) -> int | T:
        """An integer from 0 to :data:`MAX_INTEGER`."""
        return self._read(name, f"an integer from 0 to {MAX_INTEGER}", _integer, default)

    def cents(self, name: str, *default: T) -> int | T:
        """An amount in integer cents."""
        return self._read(name, "an amount in cents", lambda value: value if money.is_cents(value) else None, default)

    def dollars(self, name: str, *default: T) -> int | T:
        """An amount in whole currency units with at most two decimals, returned in cents."""
        return self._read(name, "an amount of money", _dollars, default)

    def amount(self, name: str, *default: T) -> int | T:
        """An amount in whole currency units that is written as a string, such as ``"12.50"``, returned in cents.

        ASCII digits and at most two decimals after a point. A sign, a comma, a space or a third decimal is refused,
        because it may mean more than one amount.
        """
        return self._read(name, "an amount of money as text", _amount, default)

    def price(self, name: str) -> int | None:
        """A menu price in cents; None for null and for any number that a menu cannot express (MENU-6)."""
        return self._read(name, "a number", lambda value: _price(value, value), (None,))

    def price_in_dollars(self, name: str) -> int | None:
        """The same, written in whole currency units."""
        return self._read(name, "a number", lambda value: _price(value, _dollars(value)), (None,))

    def decimal(self, name: str, *default: T) -> Decimal | T:
        """A finite number."""
        return self._read(name, "a number", _decimal, default)

    def boolean(self, name: str, *default: T) -> bool | T:
        """true or false."""
        return self._read(name, "true or false", lambda value: value if type(value) is bool else None, default)

    def instant(self, name: str, *default: T) -> datetime | T:
        """A date and time of ISO 8601 with an offset, as an aware UTC instant."""
        return self._read(name, "a time with an offset", _instant, default)

    def member(self, name: str) -> JSONObject:
        """An object, for further reading."""
        return JSONObject(
            self._read(name, "an object", lambda value: value if type(value) is dict else None, ()), self._path(name)
        )

    def each(self, name: str, *default: list[Any]) -> list[JSONObject]:
        """The objects of a list."""
        path = self._path(name)
        values = self._read(name, "a list", lambda value: value if type(value) is list else None, default)
        return [JSONObject(value, f"{path}[{position}]").checked() for position, value in enumerate(values)]

    def texts(self, name: str, *default: list[str]) -> list[str]:
        """The strings of a list."""
        return self._read(name, "a list of strings", _texts, default)

    def identifiers(self, name: str, *default: list[str]) -> list[str]:
        """The ids of a list, each as :meth:`identifier` reads it."""
        return self._read(name, "a list of ids", _identifiers, default)

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self.checked().value.get(name) is not None

    def checked(self) -> JSONObject:
        """This value, if it is an object."""
        if type(self.value) is not dict:
            raise broken_protocol(f"the provider's answer has no object at {self.path}")
        return self

    def _read(self, name: str, expected: str, convert: Callable[[Any], Any], default: tuple[T, ...]) -> Any:
        value = self.checked().value.get(name)
        if value is None and default:
            return default[0]
        converted = convert(value)
        if converted is _NO_PRICE:
            return None
        if converted is None:
            raise broken_protocol(f"the provider's answer needs {expected} at {self._path(name)}")
        return converted

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}"


def _price(value: Any, cents: Any) -> Any:
    if type(value) is not int and not isinstance(value, Decimal):
        return None
    return cents if money.is_cents(cents) else _NO_PRICE


def _identifier(value: Any) -> str | None:
    if type(value) is int:
        return str(value)
    return value if type(value) is str and value else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else None


def _dollars(value: Any) -> int | None:
    if type(value) is not int and not isinstance(value, Decimal):
        return None
    try:
        return money.from_decimal(value)
    except ValueError:
        return None


def _amount(value: Any) -> int | None:
    if type(value) is not str or not _AMOUNT.fullmatch(value):
        return None
    try:
        return money.from_decimal(Decimal(value))
    except ValueError:
        return None


def _decimal(value: Any) -> Decimal | None:
    if type(value) is not int and not isinstance(value, Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _instant(value: Any) -> datetime | None:
    if type(value) is not str:
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(timezone.utc) if instant.tzinfo and instant.year in _YEARS else None
    except (ValueError, OverflowError):
        return None


def _identifiers(value: Any) -> list[str] | None:
    if type(value) is not list:
        return None
    ids = [_identifier(each) for each in value]
    return None if None in ids else [each for each in ids if each is not None]


def _texts(value: Any) -> list[str] | None:
    if type(value) is list and all(type(text) is str for text in value):
        return value
    return None
