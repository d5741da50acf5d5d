"""gunicorn's threaded worker, which accepts while callers take their time to hang up, and whose answer to what is no
HTTP is an error of the contract as well (ERR-1)."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import orjson
from gunicorn.http.errors import ConfigurationProblem, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS, body

log = logging.getLogger("levelup_ov.request")


def _closed(graceful: bool = False) -> None:
    """In place of the close of a connection that is closed."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """``gthread``; a request that cannot be parsed is answered in JSON and logged without its content."""

    def handle(self, conn: Any) -> Any:
        """Serve a request, and close the connection unless it is kept."""
        kept = super().handle(conn)
        if not kept:
            # Closing waits up to 2 seconds for the caller to do the same. gunicorn 27.0.1 would do so in the one thread
            # that accepts for all; it does so again, which is to do nothing now.
            conn.close(graceful=True)
            conn.close = _closed
        return kept

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that gunicorn could not read; it never reached the application."""
        if not isinstance(exc, ParseException) or isinstance(exc, ConfigurationProblem):
            super().handle_error(req, client, addr, exc)
            return
        request_id = str(uuid.uuid4())
        failure = Failure("bad_request", f"this is no request of HTTP/1.1 ({type(exc).__name__})")
        facts = {"request_id": request_id, "outcome": failure.code, "cause": type(exc).__name__}
        log.info("unreadable request", extra=facts)
        content = orjson.dumps(body(failure, request_id))
        head = (
            f"HTTP/1.1 {KINDS[failure.code].status} Bad Request\r\nConnection: close\r\nX-Request-ID: {request_id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode() + content)
        except OSError:
            log.info("unreadable request: its sender is gone", extra=facts)
