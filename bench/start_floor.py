"""A bare Flask application that loads the libraries of the service: what a start takes without anything of our own."""

from __future__ import annotations

import marshmallow  # noqa: F401
import requests  # noqa: F401
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: F401
from flask import Flask, Response, request
from sqlalchemy import create_engine

create_engine("sqlite://").connect().close()
app = Flask(__name__)


@app.post("/locations/<location>/order_validations")
def echo(location: str) -> Response:
    return Response(request.get_data(), content_type="application/json")
