"""Calls of an application in this process, by WSGI itself."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any

from flask import Flask


def call(app: Flask, method: str, path: str, body: bytes, headers: Mapping[str, str], status: str = "200") -> bytes:
    """The body of the answer, whose status must be the one expected."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False, **headers,
    }  # fmt: skip
    if method == "POST":
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    answered: list[str] = []
    answer = app(environ, lambda status, *_: answered.append(status) or io.BytesIO().write)
    content = b"".join(answer)
    assert answered[0].startswith(status), (answered, content)
    return content
