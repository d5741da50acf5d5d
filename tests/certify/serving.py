"""WSGI applications on a loopback port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


@contextmanager
def running(server: BaseServer) -> Iterator[str]:
    """The address of ``server``, which serves for the time of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(application: Any) -> Iterator[str]:
    """Serve ``application`` for the time of the block."""
    with running(make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)) as address:
        yield address
