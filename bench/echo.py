"""The floor: a bare Flask application that parses the order and answers it, without anything else."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.post("/locations/<location_id>/order_validations")
def validate(location_id: str) -> Response:
    return jsonify(request.get_json())
