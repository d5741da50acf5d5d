"""The API under ``/v15/``, and what older clients call under ``/v14/``.

JSON in and out; amounts are cents. A refusal is an array of errors.
"""

from levelup_ov.standins.levelup.api import accounts, cards, charges, credit, order_ahead, places, tokens, users
from levelup_ov.standins.levelup.api.base import REALM, api
from levelup_ov.standins.levelup.api.tokens import token_for

__all__ = [
    "REALM",
    "accounts",
    "api",
    "cards",
    "charges",
    "credit",
    "order_ahead",
    "places",
    "token_for",
    "tokens",
    "users",
]
