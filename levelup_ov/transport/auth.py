"""Calls with a token that must be fetched first and expires: a client's login at its provider."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Unanswered, timed_out
from levelup_ov.transport import net
from levelup_ov.transport.session import Reply, Session

MARGIN = 30.0
"""Seconds before its expiry at which a token is no longer used."""
RENEWAL_PAUSE = 60.0
"""A 401 for a token younger than this many seconds does not mean that it expired: a new login would not help."""

Fetch = Callable[[Session], tuple[Secret, float]]
"""Logs in; returns a token and its lifetime in seconds. May raise what any call raises."""


class Login:
    """The token of one account: fetched by one thread for all, and again when it expires.

    Not Authlib's client, which makes the calls itself, without our deadlines and pools.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._fetched_at = self._good_until = 0.0

    def call(
        self, session: Session, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Reply:
        """:meth:`Session.call <levelup_ov.transport.session.Session.call>` with the token as its ``Authorization``.

        A 401 proves that the call had no effect, so it is sent once more if there is a new token. After an unanswered
        attempt it proves that only of a call that reads.
        """

        def send(token: Secret) -> Reply:
            bearer = {"Authorization": f"Bearer {session.add_secret(token.reveal())}"}
            return session.call(method, path, headers={**(headers or {}), **bearer}, **more)

        token = self._current(session)
        try:
            return send(token)
        except Unanswered as failure:
            if failure.status != 401 or (failure.sent and method != "GET"):
                raise
            if (renewed := self._current(session, refused=token)) is token:
                raise
        return send(renewed)

    def _current(self, session: Session, refused: Secret | None = None) -> Secret:
        if not self._lock.acquire(timeout=max(session.deadline.remaining(), 0)):
            raise timed_out(sent=False)
        try:
            now = net.now()
            ended = self._token is refused and now - self._fetched_at > RENEWAL_PAUSE
            if self._token is None or ended or now >= self._good_until:
                self._token, life = self._fetch(session)
                self._fetched_at, self._good_until = now, now + max(life - MARGIN, life / 2)
            return self._token
        finally:
            self._lock.release()
