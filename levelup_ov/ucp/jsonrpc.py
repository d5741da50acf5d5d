"""JSON-RPC 2.0 as the Model Context Protocol uses it: one request in a body, one answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
REFUSED, DISCOVERY_FAILED = -32000, -32001
"""UCP's own: the request could not be processed; the agent's profile or version could not be used."""

_LONGEST_ID = 255
_INTEGERS = range(-(2**63), 2**64)
"""The ids that are integers: an answer repeats its request's, and cannot be written with another one."""
_ANSWER = ("result", "error")


@dataclass(frozen=True, slots=True)
class RPCRequest:
    """A call, or a notification if ``id`` is None."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None


class RPCError(Exception):
    """An answer without a result. ``status`` is that of HTTP."""

    def __init__(self, code: int, message: str, data: Mapping[str, Any] | None = None, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = status


def read_request(value: Any) -> RPCRequest:
    """The request in a body's JSON.

    :raises RPCError: it is not a request; for example a batch, which the Model Context Protocol does not have.
    """
    if isinstance(value, list):
        raise RPCError(INVALID_REQUEST, "a batch is not supported: send one request at a time")
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise RPCError(INVALID_REQUEST, 'expected an object with "jsonrpc": "2.0"')
    if any(name in value for name in _ANSWER):
        raise RPCError(INVALID_REQUEST, "this server sends no requests, so it takes no answers")
    if "id" in value and id_of(value) is None:
        raise RPCError(
            INVALID_REQUEST, f"expected an id that is an integer of 64 bits, or a string of at most {_LONGEST_ID}"
        )
    method, params = value.get("method"), value.get("params", {})
    if not isinstance(method, str) or not method:
        raise RPCError(INVALID_REQUEST, "expected a method")
    if not isinstance(params, dict):
        raise RPCError(INVALID_PARAMS, "expected params as an object")
    return RPCRequest(method, params, id_of(value))


def id_of(value: Any) -> str | int | None:
    """The id of a request, whatever else is wrong with it; None if it has no usable one."""
    id = value.get("id") if isinstance(value, dict) else None
    if isinstance(id, str):
        return id if len(id) <= _LONGEST_ID else None
    return id if type(id) is int and id in _INTEGERS else None


def answered(id: str | int | None, result: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with a result."""
    return {"jsonrpc": "2.0", "id": id, "result": result}


def failed(id: str | int | None, error: RPCError) -> dict[str, Any]:
    """The answer with an error."""
    members: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        members["data"] = error.data
    return {"jsonrpc": "2.0", "id": id, "error": members}
