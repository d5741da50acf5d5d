"""Idempotency keys of callers: stored as keyed digests, for a body may hold a card."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from levelup_ov import sealing
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.sessions import StoredKey, StoredSessions
from levelup_ov.sessions.model import RequestKey


class Keys:
    """Finds keys under every one of ``secrets``, and makes new ones under the first."""

    def __init__(self, secrets: Sequence[Secret], store: StoredSessions) -> None:
        self._secrets = [sealing.derive(secret, "session key") for secret in secrets]
        self._store = store

    def find(self, caller: str, key: RequestKey, operation: str) -> StoredKey | None:
        """The stored key; ``operation`` names it with its session, and belongs to the body.

        :raises Failure: ``idempotency_key_reused``.
        """
        for secret in self._secrets:
            if (stored := self._store.find_key(_named(secret, caller, key))) is not None:
                if not hmac.compare_digest(stored.body, _digest(secret, operation.encode(), key.body)):
                    raise Failure("idempotency_key_reused", "this key was sent before with a different request")
                return stored
        return None

    def new(self, caller: str, key: RequestKey, operation: str, session: str) -> StoredKey:
        """A key for a request about ``session``."""
        secret = self._secrets[0]
        return StoredKey(_named(secret, caller, key), session, _digest(secret, operation.encode(), key.body))


def _named(secret: bytes, caller: str, key: RequestKey) -> str:
    return _digest(secret, caller.encode(), key.value.encode())


def _digest(secret: bytes, *parts: bytes) -> str:
    # The length before each part distinguishes ("ab", "c") from ("a", "bc").
    message = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return hmac.digest(secret, message, "sha256").hex()
