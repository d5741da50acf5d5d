"""Calling a WSGI application through requests without a port: how the embedded sandbox is reached."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest, Response
from urllib3.response import HTTPResponse

from levelup_ov.transport.connections import current_exchange

WSGIApplication = Callable[..., Iterable[bytes]]

log = logging.getLogger(__name__)


class InProcessAdapter(BaseAdapter):
    """Runs each request in its own thread, so that a slow application cannot exceed a deadline.

    An application that raises ``ConnectionAbortedError`` simulates a connection dropped without an answer.
    """

    def __init__(self, application: WSGIApplication) -> None:
        super().__init__()
        self._application = application

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        exchange = current_exchange.get()
        exchange.look()
        exchange.sent = True
        answer: list[HTTPResponse] = []
        thread = threading.Thread(target=self._run, args=(request, answer), daemon=True)
        thread.start()
        thread.join(max(exchange.deadline.remaining(), 0))
        if thread.is_alive():
            raise requests.ReadTimeout
        if not answer:
            raise requests.ConnectionError
        response = Response()
        response.raw = answer[0]
        response.status_code = answer[0].status
        response.headers.update(answer[0].headers)
        return response

    def _run(self, request: PreparedRequest, answer: list[HTTPResponse]) -> None:
        """Put the application's answer into ``answer``; without one, the caller sees a dropped connection."""
        try:
            answer.append(self._call(request))
        except ConnectionAbortedError:
            return
        except Exception:
            log.exception("in_process_application_failed")

    def _call(self, request: PreparedRequest) -> HTTPResponse:
        started: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
            started[:] = [status, headers]
            return lambda data: None

        chunks = self._application(_environ(request), start_response)
        try:
            content = b"".join(chunks)
        finally:
            if callable(close := getattr(chunks, "close", None)):
                close()
        status, headers = started
        return HTTPResponse(io.BytesIO(content), headers=headers, status=int(status[:3]), preload_content=False)

    def close(self) -> None:
        """Nothing stays open."""


def _environ(request: PreparedRequest) -> dict[str, Any]:
    url = urlsplit(request.url or "")
    body = request.body or b""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body if isinstance(body, bytes) else str(body).encode()),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
