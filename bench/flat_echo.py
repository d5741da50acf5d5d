"""The floor for a menu: a bare Flask application that answers the bytes of a file, or 304, without anything else."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Response

from bench.echo import app
from bench.flat_menu import MENU, NOT_MODIFIED

CONTENT, ETAG = Path(os.environ["MENU"]).read_bytes(), os.environ["ETAG"]


@app.get(MENU)
def show_menu() -> Response:
    return Response(CONTENT, mimetype="application/json", headers={"ETag": ETAG})


@app.get(NOT_MODIFIED)
def not_modified() -> Response:
    return Response(status=304, headers={"ETag": ETAG})
