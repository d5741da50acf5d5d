"""Calling a WSGI application through requests without a port: how the embedded sandbox is reached."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest, Response
from urllib3 import HTTPHeaderDict
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
        # Imported here, because production has no application to call.
        from werkzeug.test import EnvironBuilder, run_wsgi_app

        self._application = application
        self._build, self._run_application = EnvironBuilder, run_wsgi_app

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
        url = request.url or ""
        built = self._build(
            method=request.method or "",
            base_url=urljoin(url, "/"),
            path=url,
            headers=list(request.headers.items()),
            data=request.body,
            errors_stream=io.StringIO(),
            multithread=True,
        )
        chunks, status, headers = self._run_application(self._application, built.get_environ(), buffered=True)
        content = io.BytesIO(b"".join(chunks))
        return HTTPResponse(
            content, headers=HTTPHeaderDict(list(headers)), status=int(status[:3]), preload_content=False
        )

    def close(self) -> None:
        """Nothing stays open."""
