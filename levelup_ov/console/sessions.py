"""Who is at the console: a signed cookie, bound to the key that it was opened with, and the tokens of its forms.

Nothing is kept on the server, so any worker can read a cookie. A session ends with its key: the key is part of what
the cookie is signed with. The secret keys sign; the newest one signs, and all of them are accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

from levelup_ov import sealing
from levelup_ov.domain.secret import Secret

SESSION_SECONDS = 12 * 3600
"""How long a session lasts: a long shift."""
FORM_SECONDS = 3600
"""How long a form can be sent after its page was opened."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """``name`` is that of the key it was opened with; empty before anybody has signed in."""

    id: str
    name: str = ""


class ConsoleSessions:
    """``keys``: the console's keys by name; ``secret_keys``: the newest first."""

    def __init__(self, keys: Mapping[str, Secret], secret_keys: Sequence[Secret]) -> None:
        self._keys = keys
        # The library signs with the last one.
        self._signing = [sealing.derive(key, "console") for key in reversed(secret_keys)]

    def name_of(self, given: str) -> str | None:
        """The person whose key was given. Every key is compared, each in constant time."""
        candidate = given.strip().encode("utf-8", "replace")
        same = {name: hmac.compare_digest(candidate, key.reveal().encode()) for name, key in self._keys.items()}
        return next((name for name, is_same in same.items() if is_same), None)

    def begin(self, name: str = "") -> tuple[ConsoleSession, str]:
        """A new session and its cookie."""
        session = ConsoleSession(uuid.uuid4().hex, name)
        return session, str(self._serializer(f"session {self._bound_to(name)}").dumps([session.id, name]))

    def read(self, cookie: str) -> ConsoleSession | None:
        """The session of a cookie; None if it is forged, too old, or its key is gone."""
        for name in ("", *self._keys):
            try:
                content = self._serializer(f"session {self._bound_to(name)}").loads(cookie, max_age=SESSION_SECONDS)
            except BadData:
                continue
            return ConsoleSession(*content)
        return None

    def form(self, session: ConsoleSession, purpose: str) -> str:
        """A token for one form of a page, by which only this session can do only this."""
        return str(self._serializer("form").dumps([session.id, purpose, uuid.uuid4().hex]))

    def used_form(self, session: ConsoleSession, purpose: str, token: str) -> str | None:
        """The id of the form that was sent; None if the token is forged, too old, or was made for something else."""
        try:
            owner, meant, form = self._serializer("form").loads(token, max_age=FORM_SECONDS)
        except (BadData, ValueError):
            return None
        return form if (owner, meant) == (session.id, purpose) else None

    def _serializer(self, salt: str) -> URLSafeTimedSerializer:
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        return URLSafeTimedSerializer(self._signing, salt=f"levelup_ov {salt}", signer_kwargs=options)

    def _bound_to(self, name: str) -> str:
        return f"{name} {self._keys[name].reveal()}" if name else ""
