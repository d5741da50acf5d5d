"""How the engine says no: a machine code, a sentence for people, and where in the request."""

from __future__ import annotations

from collections.abc import Mapping

STATUSES: Mapping[str, int] = {
    "malformed": 400,
    "key_refused": 401,
    "login_refused": 401,
    "session_refused": 401,
    "place_unknown": 404,
    "cart_of_another": 404,
    "cart_unknown": 404,
    "order_unknown": 404,
    "cart_ordered": 409,
    "email_taken": 409,
    "price_changed": 409,
    "reference_taken": 409,
    "reference_voided": 409,
    "too_late": 409,
}
"""HTTP status of each code; 422 for all others."""


class EngineError(Exception):
    """A refusal. ``where`` is the path of the member concerned, such as ``lines[0].note``."""

    def __init__(self, code: str, text: str, where: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.where = where

    @property
    def status(self) -> int:
        """The HTTP status it is answered with."""
        return STATUSES.get(self.code, 422)
