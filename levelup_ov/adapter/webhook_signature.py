"""Whether a provider has signed its webhook (EVT-9)."""

from __future__ import annotations

import base64
import hmac

from levelup_ov.domain.secret import Secret

MOST_SIGNATURES = 4
"""Of one message; each costs CPU."""


class NotGenuine(Exception):
    """A message that the provider has not signed, or that cannot be read; ``why`` is one word for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def check_signature(given: str | None, keys: tuple[Secret, ...], content: bytes) -> None:
    """Compare a signature, in base64 or hex, with the HMAC-SHA256 of ``content`` under each key, in constant time.

    Hex may be in upper case. ``given`` may be several, space-separated: while a key is replaced, a provider may sign
    with both. An empty key, as after a last comma in a setting, is nobody's.

    :raises NotGenuine: it is missing, or none of theirs.
    """
    digests = [hmac.digest(key.reveal().encode(), content, "sha256") for key in keys if key.reveal()]
    own = [form for digest in digests for form in (base64.b64encode(digest), digest.hex().encode())]
    several = (given or "").encode().split()[:MOST_SIGNATURES]
    forms = [form for each in several for form in (each, each.lower())]
    matches = [hmac.compare_digest(form, each) for form in forms for each in own]
    if not any(matches):
        raise NotGenuine("signature")
