"""Data that we seal into ``metadata`` and read from the next request: account data, carts, ids (META-1 to META-9).

Everything that an adapter returns for this is sealed and bound to the account, the member's name and the guest, and
carts also to the location. It comes back unchanged, or counts as absent. So the channel cannot read or forge it, or
use it for another account, and data mixed up on the way works for no other guest (META-10). Older seals are bound
only to account and name; they stay valid.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from levelup_ov.domain.order import User
from levelup_ov.domain.ready_time import Shown
from levelup_ov.domain.secret import Secret
from levelup_ov.sealing import PREFIX, Sealer, derive

VALIDATION_LIFETIME = timedelta(days=7)
VALIDATION_ID = "order_validation_id"


@dataclass(frozen=True, slots=True)
class ValidationId:
    """A verified id of an order validation, when it was issued, and what was shown with it (TIME-11)."""

    value: str
    issued_at: datetime
    shown: Shown | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it is too old to be submitted (META-8)."""
        return now - self.issued_at > VALIDATION_LIFETIME


def sealed_validation_id(metadata: Mapping[str, Any]) -> str | None:
    """An id of an order validation as it came, whether or not a key of this service opens it; None if it is none."""
    token = metadata.get(VALIDATION_ID)
    return token if isinstance(token, str) and token.startswith(PREFIX) and token.isascii() else None


class MetadataKeeper:
    """Writes and reads metadata under ``keys`` (META-7)."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._kept = Sealer(keys, "metadata of a guest")
        self._unbound = Sealer(keys, "metadata")
        # Each is copied for use, because starting with a key takes longer than everything else.
        self._guest_keys = [hmac.new(derive(key, "guest"), digestmod="sha256") for key in keys]
        self._validation_ids = Sealer(keys, VALIDATION_ID)

    def seal_customer_account(self, account: str, credentials: Mapping[str, Secret], guest: User) -> dict[str, str]:
        """Members that the channel stores with the user (META-1)."""
        return self._seal(f"user_{account}_", account, credentials, guest)

    def open_customer_account(self, account: str, metadata: Mapping[str, Any], guest: User) -> dict[str, Secret]:
        """The credentials that :meth:`seal_customer_account` sealed for this account and guest earlier."""
        return self._open_members(f"user_{account}_", account, metadata, guest)

    def seal_cart(self, account: str, location: str, values: Mapping[str, Secret], guest: User) -> dict[str, str]:
        """Members that live until the submission (META-2)."""
        return self._seal("order_", account, values, guest, location)

    def open_cart(self, account: str, location: str, metadata: Mapping[str, Any], guest: User) -> dict[str, Secret]:
        """The cart that :meth:`seal_cart` sealed for this location and guest with the validation before."""
        return self._open_members("order_", account, metadata, guest, location)

    def issue_validation_id(
        self, location: str, now: datetime, desired: datetime | None = None, ready_at: datetime | None = None
    ) -> dict[str, str]:
        """A fresh id of an order validation, bound to the location (META-8).

        It carries when the order was desired and when it was said to be ready (TIME-11).
        """
        parts = (uuid.uuid4(), _seconds(now), _seconds(desired), _seconds(ready_at))
        return {VALIDATION_ID: self._validation_ids.seal(" ".join(map(str, parts)), location)}

    def open_validation_id(self, location: str, metadata: Mapping[str, Any]) -> ValidationId | None:
        """The id that :meth:`issue_validation_id` issued for this location; None if none verifies."""
        token = metadata.get(VALIDATION_ID)
        opened = self._validation_ids.open(token, location) if isinstance(token, str) else None
        if opened is None:
            return None
        value, issued, *times = opened.split(" ")
        issued_at = datetime.fromtimestamp(int(issued), timezone.utc)
        # Older ids were issued without times.
        return ValidationId(value, issued_at, Shown(issued_at, *map(_instant, times)) if times else None)

    def _seal(
        self, prefix: str, account: str, values: Mapping[str, Secret], guest: User, location: str = ""
    ) -> dict[str, str]:
        marks = _marks(self._guest_keys[0], guest) if values else []
        return {
            name: self._kept.seal(json.dumps([value.reveal(), marks]), _context(account, name, location))
            for name, value in ((prefix + name, value) for name, value in values.items())
        }

    def _open_members(
        self, prefix: str, account: str, metadata: Mapping[str, Any], guest: User, location: str = ""
    ) -> dict[str, Secret]:
        taken = {}
        for name, value in metadata.items():
            if name.startswith(prefix) and isinstance(value, str):
                if (opened := self._open(value, account, name, location, guest)) is not None:
                    taken[name.removeprefix(prefix)] = Secret(opened)
        return taken

    def _open(self, sealed: str, account: str, name: str, location: str, guest: User) -> str | None:
        if (opened := self._kept.open(sealed, _context(account, name, location))) is None:
            return self._unbound.open(sealed, _context(account, name))
        value, marks = json.loads(opened)
        theirs = {mark for key in self._guest_keys for mark in _marks(key, guest)}
        return str(value) if theirs.intersection(marks) else None


def _marks(key: hmac.HMAC, guest: User) -> list[str]:
    """What identifies a guest: e-mail address and telephone separately, because people change one of them."""
    email = (guest.email or "").strip().casefold()
    phone = "".join(filter(str.isdigit, guest.phone or ""))
    known = [f"{kind} {value}" for kind, value in (("email", email), ("phone", phone)) if value]
    marks = []
    for mark in known:
        digest = key.copy()
        digest.update(mark.encode())
        marks.append(digest.hexdigest()[:32])
    return marks


def _seconds(instant: datetime | None) -> str:
    return "-" if instant is None else str(int(instant.timestamp()))


def _instant(seconds: str) -> datetime | None:
    return None if seconds == "-" else datetime.fromtimestamp(int(seconds), timezone.utc)


def _context(account: str, member: str, location: str = "") -> str:
    return f"{account} {member} {location}".rstrip()
