"""What a provider sends by itself: that something has changed, and where (EVT-9)."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime

from levelup_ov.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Notice:
    """A provider's message. It says where to look; what it says of a state is not believed.

    ``id``: the provider's id of it, the same each time that it is sent. ``sent_at``: when it was first sent, aware.
    ``kind``: the provider's name for it. ``orders``: the provider's ids of the orders that it is about, if any.
    ``menus``: its ids of the locations whose menu or stock may have changed; None if that may be any of the account.
    """

    id: str
    sent_at: datetime
    kind: str
    orders: tuple[str, ...] = ()
    menus: tuple[str, ...] | None = ()


class NotGenuine(Exception):
    """A message that the provider has not signed, or that cannot be read; ``why`` is one word for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def check_signature(given: str | None, keys: tuple[Secret, ...], content: bytes) -> None:
    """Compare a signature, in base64 or hex, with the HMAC-SHA256 of ``content`` under each key, in constant time.

    :raises NotGenuine: it is missing, or none of theirs.
    """
    digests = [hmac.digest(key.reveal().encode(), content, "sha256") for key in keys]
    own = [form for digest in digests for form in (base64.b64encode(digest), digest.hex().encode())]
    matches = [hmac.compare_digest((given or "").encode(), each) for each in own]
    if not any(matches):
        raise NotGenuine("signature")
