"""Refusals: a JSON array of errors, each naming object, property and code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ErrorResponse(Exception):
    """A refusal with an HTTP ``status``; ``errors`` may be empty, then the answer has no body."""

    def __init__(self, status: int, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors

    @property
    def body(self) -> list[dict[str, Any]]:
        """The array that it is answered with."""
        return [{"error": error} for error in self.errors]


def error(message: str, *, object: str | None = None, property: str | None = None, code: str | None = None) -> Any:
    """One error of a problem; what is not given is left out."""
    members = {"object": object, "property": property, "message": message, "code": code}
    return {name: value for name, value in members.items() if value is not None}


def invalid(object: str, property: str, message: str, code: str = "invalid") -> ErrorResponse:
    """422: a member's value is not acceptable."""
    return ErrorResponse(422, [error(message, object=object, property=property, code=code)])


def not_found(object: str, property: str, message: str, code: str = "not_found") -> ErrorResponse:
    """404, naming what was not found."""
    return ErrorResponse(404, [error(message, object=object, property=property, code=code)])


def unauthorized(property: str, message: str, object: str = "access_token") -> ErrorResponse:
    """401: ``property`` is the token that is missing, revoked or without the permission."""
    return ErrorResponse(401, [error(message, object=object, property=property, code="not_authorized")])
