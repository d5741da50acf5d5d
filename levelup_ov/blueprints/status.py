"""Endpoints for whoever runs the service; they need no key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response

from levelup_ov.blueprints.http import json_response

Check = Callable[[], None]


def blueprint(checks: Mapping[str, Check], document: Callable[[], dict[str, Any]]) -> Blueprint:
    """``checks`` raise what is wrong; ``document`` is the OpenAPI document."""
    status = Blueprint("status", __name__)

    @status.get("/health")
    def health() -> Response:
        return json_response({"status": "ok"})

    @status.get("/ready")
    def ready() -> Response:
        results = {name: _run(check) for name, check in checks.items()}
        sound = all(result == "ok" for result in results.values())
        return json_response({"status": "ok" if sound else "not ready", "checks": results}, 200 if sound else 503)

    @status.get("/openapi.json")
    def openapi() -> Response:
        return json_response(document())

    return status


def _run(check: Check) -> str:
    try:
        check()
    except Exception as error:
        return type(error).__name__
    return "ok"
