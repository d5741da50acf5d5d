"""The stand-in on a port of this machine."""

from __future__ import annotations

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class _Unsigned(WSGIRequestHandler):
    """Leaves the Server header to the application: clients that look at it must find one.

    Every answer has one Date: the application's if it sets one, as for conditional requests, else the server's.
    """

    _dated = True

    def send_response(self, code: int, message: str | None = None) -> None:
        self._dated = False
        self.log_request(code)
        self.send_response_only(code, message)

    def send_header(self, keyword: str, value: str) -> None:
        self._dated = self._dated or keyword.lower() == "date"
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        if not self._dated:
            self.send_header("Date", self.date_time_string())
        super().end_headers()


def levelup_server(levelup: Flask, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1, not yet serving; port 0 takes a free one."""
    return make_server("127.0.0.1", port, levelup, threaded=True, request_handler=_Unsigned)
