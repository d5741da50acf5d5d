"""The floor of a call that leads to others: a bare Flask application that sends what it is given upstream, by requests.

``POST /relay`` with ``{"calls": [{"path", "body"}]}`` makes these calls to ``PROVIDER``, one after the other.
"""

from __future__ import annotations

import os
import threading

import requests
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
_local = threading.local()


@app.post("/relay")
def relay() -> Response:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    answers = []
    for call in request.get_json().get("calls", []):
        response = _local.session.post(os.environ["PROVIDER"] + call["path"], json=call["body"], timeout=20)
        response.raise_for_status()
        answers.append(response.json())
    return jsonify(answers)
