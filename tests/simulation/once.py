"""What the product computes anew for each service and request, computed once for all trials.

The same input always has the same result, so no trial can tell: keys, digests, and what is searched in texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any
from unittest import mock

from levelup_ov import personal, redaction, sealing
from levelup_ov.ledger import identity
from levelup_ov.ordering import metadata, session_secrets
from levelup_ov.transport import session

_KEPT = 10_000
"""The most results of a kind that are kept."""


class _Words(personal.PersonalWords):
    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.mask = lru_cache(_KEPT)(self.mask)  # type: ignore[method-assign]


@contextmanager
def computed_once() -> Iterator[None]:
    """Have these computed once."""
    derive = cache(sealing.derive)
    scrubbed = lru_cache(_KEPT)(redaction.scrub)
    with (
        mock.patch.object(sealing, "derive", derive),
        mock.patch.object(sealing, "AESGCM", cache(sealing.AESGCM)),
        mock.patch.object(metadata, "derive", derive),
        mock.patch.object(identity, "_digest", lru_cache(_KEPT)(identity._digest)),
        mock.patch.object(redaction, "_Values", lru_cache(_KEPT)(redaction._Values)),
        mock.patch.object(session, "scrub", lambda text, secrets=(): scrubbed(text, tuple(secrets))),
        mock.patch.object(session_secrets, "PersonalWords", lru_cache(_KEPT)(_Words)),
    ):
        yield
