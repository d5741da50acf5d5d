"""Answers that a process has shown, so that a checkout that is read again is not opened and written again.

They contain what is personal, so they are kept only sealed, under a key that no other process has.
"""

from __future__ import annotations

from levelup_ov.config import new_secret_key
from levelup_ov.domain.secret import Secret
from levelup_ov.sealing import Sealer
from levelup_ov.transport.response_cache import Kept, MemoryStore

KEPT_BYTES = 2 * 1024 * 1024
"""Bytes of answers that each process keeps for each face; the least used go first."""


class ShownAnswers:
    """The last answer about each checkout, with the version that it shows."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._sealer = Sealer([Secret(new_secret_key())], "shown answer")
        self._store = MemoryStore(limit)

    def find(self, key: str) -> ShownAnswer | None:
        """What was kept last under ``key``."""
        kept = self._store.get(key)
        return None if kept is None else ShownAnswer(self._sealer, key, kept)

    def keep(self, key: str, version: int, content: bytes) -> None:
        """Keep the answer about a checkout at ``version``."""
        self._store.put(key, Kept(self._sealer.encrypt(content, key), str(version), 0.0))


class ShownAnswer:
    """A sealed answer."""

    def __init__(self, sealer: Sealer, key: str, kept: Kept) -> None:
        self._sealer = sealer
        self._key = key
        self._kept = kept

    def is_of(self, version: int) -> bool:
        """Whether it shows this version of its checkout."""
        return self._kept.etag == str(version)

    def open(self) -> bytes | None:
        """The answer."""
        return self._sealer.decrypt(self._kept.body, self._key)
