"""Reading members of a JSON body; every mistake is collected, so that one answer names them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelup_ov.standins.levelup.problems import ErrorResponse, error, invalid

TEXT_LIMIT = 255
LARGEST = 2**31 - 1
"""Cents of the largest amount: LevelUp's C# library sends it to ask for all credit there is."""


class ObjectReader:
    """Reads the members of one object; :meth:`check` raises what was wrong with them.

    An absent member and null are the same. What is wrong reads as if it were absent.
    """

    def __init__(self, name: str, members: Any, errors: list[dict[str, Any]] | None = None) -> None:
        if not isinstance(members, Mapping):
            raise invalid(name, "base", f"{name} must be an object.")
        self._name = name
        self._members = members
        self._errors: list[dict[str, Any]] = [] if errors is None else errors

    def refuse(self, property: str, message: str, code: str = "invalid") -> None:
        """Note a mistake."""
        self._errors.append(error(message, object=self._name, property=property, code=code))

    def check(self) -> None:
        """:raises ErrorResponse: 422 with every mistake noted so far."""
        if self._errors:
            raise ErrorResponse(422, self._errors)

    def child(self, name: str, members: Any) -> ObjectReader:
        """A reader of an object inside this one, noting mistakes in the same list."""
        return ObjectReader(name, members, self._errors)

    def cents(self, property: str, *, required: bool = False) -> int | None:
        """An amount in cents."""
        accepted = lambda value: type(value) is int and 0 <= value <= LARGEST  # noqa: E731
        return self._value(property, accepted, "an amount in whole cents, 0 or more", required)

    def count(self, property: str) -> int | None:
        """A whole number, 1 or more."""
        return self._value(property, lambda value: type(value) is int and value >= 1, "a number, 1 or more", False)

    def number(self, property: str) -> int | None:
        """An id that must be there."""
        return self._value(property, lambda value: type(value) is int, "a number", True)

    def flag(self, property: str) -> bool:
        """A truth value; False if absent."""
        return bool(self._value(property, lambda value: type(value) is bool, "true or false", False))

    def text(self, property: str, *, required: bool = False, limit: int = TEXT_LIMIT) -> str | None:
        """A text of at most ``limit`` characters, spaces around it taken off; an empty one counts as absent."""
        value = self._value(property, lambda value: isinstance(value, str), "a text", required)
        value = value and value.strip()
        if value == "" and required:
            self.refuse(property, f"{property} can't be blank.", "blank")
        if value and len(value) > limit:
            self.refuse(property, f"{property} is too long (at most {limit} characters).", "too_long")
        return value or None

    def digits(self, property: str) -> str:
        """A text that must be there; a whole number reads as its digits."""
        if type(value := self._members.get(property)) is int:
            return str(value)
        return self.text(property, required=True) or ""

    def list(self, property: str) -> list[Any]:
        """An array; empty if absent."""
        return self._value(property, lambda value: isinstance(value, list), "an array", False) or []

    def object(self, property: str) -> Mapping[str, Any]:
        """An object; empty if absent."""
        return self._value(property, lambda value: isinstance(value, Mapping), "an object", False) or {}

    def _value(self, property: str, accepted: Any, description: str, required: bool) -> Any:
        value = self._members.get(property)
        if value is None:
            if required:
                self.refuse(property, f"{property} can't be blank.", "blank")
            return None
        if not accepted(value):
            self.refuse(property, f"{property} must be {description}.")
            return None
        return value


def unwrap(body: Any, name: str) -> ObjectReader:
    """A reader of the body's one root member."""
    if not isinstance(body, Mapping) or name not in body:
        raise invalid(name, "base", f"The body must be an object with the member {name}.", "blank")
    return ObjectReader(name, body[name])
