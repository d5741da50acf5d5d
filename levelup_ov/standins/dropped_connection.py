"""An answer that never arrives: what was asked is done, the connection drops."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

_ASKED = "levelup_ov.answer_lost"


def lose_answer(environ: dict[str, Any]) -> None:
    """Ask that the answer to this request is dropped."""
    environ[_ASKED] = True


class LosesAnswers:
    """Drops the connection instead of answering, if a view asked for it.

    :raises ConnectionAbortedError: when called in process, where there is no connection.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        if not environ.get(_ASKED):
            return answer
        if callable(close := getattr(answer, "close", None)):
            close()
        connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        if connection is None:
            raise ConnectionAbortedError("the answer is lost")
        connection.shutdown(socket.SHUT_RDWR)
        return ()
