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
        # Each is copied for use, because starting with a key takes as long as everything else.
        self._secrets = [hmac.new(sealing.derive(each, "session key"), digestmod="sha256") for each in secrets]
        self._store = store

    def of(self, caller: str, key: RequestKey, operation: str) -> KeyOfRequest:
        """The key of a request; ``operation`` names it with its session, and belongs to the body."""
        return KeyOfRequest(self._secrets, self._store, caller, key, operation)


class KeyOfRequest:
    """One key with its request; what it is stored under is computed once."""

    def __init__(
        self, secrets: Sequence[hmac.HMAC], store: StoredSessions, caller: str, key: RequestKey, operation: str
    ) -> None:
        self._secrets = secrets
        self._store = store
        self._caller = caller.encode()
        self._key = key
        self._operation = operation.encode()
        self._named: dict[hmac.HMAC, str] = {}

    def find(self) -> StoredKey | None:
        """The stored key. :raises Failure: ``idempotency_key_reused``."""
        for secret in self._secrets:
            if (stored := self._store.find_key(self._name(secret))) is not None:
                if not hmac.compare_digest(stored.body, self._body(secret)):
                    raise Failure("idempotency_key_reused", "this key was sent before with a different request")
                return stored
        return None

    def new(self, session: str) -> StoredKey:
        """The key for a request about ``session``."""
        secret = self._secrets[0]
        return StoredKey(self._name(secret), session, self._body(secret))

    def _name(self, secret: hmac.HMAC) -> str:
        if (named := self._named.get(secret)) is None:
            named = self._named[secret] = _digest(secret, self._caller, self._key.value.encode())
        return named

    def _body(self, secret: hmac.HMAC) -> str:
        return _digest(secret, self._operation, self._key.body)


def _digest(secret: hmac.HMAC, *parts: bytes) -> str:
    digest = secret.copy()
    # The length before each part distinguishes ("ab", "c") from ("a", "bc").
    digest.update(b"".join([len(part).to_bytes(8, "big") + part for part in parts]))
    return digest.hexdigest()
