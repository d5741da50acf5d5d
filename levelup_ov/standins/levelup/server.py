"""The stand-in on a port of this machine."""

from __future__ import annotations

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class _Unsigned(WSGIRequestHandler):
    """Leaves the Server header to the application: clients that look at it must find one. Werkzeug sends the Date."""

    def send_response(self, code: int, message: str | None = None) -> None:
        self.log_request(code)
        self.send_response_only(code, message)


def levelup_server(levelup: Flask, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1, not yet serving; port 0 takes a free one."""
    return make_server("127.0.0.1", port, levelup, threaded=True, request_handler=_Unsigned)
