"""The methods of the Model Context Protocol that a tool server needs, without sessions (UCP-10). Pure.

Both generations of clients are served. Since 2026-07-28 every request states its version: ``server/discover``,
``tools/list``, ``tools/call``. Older clients first send ``initialize``, which is answered and not remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from levelup_ov.ucp.agents import Headers
from levelup_ov.ucp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RPCError, RPCRequest

MODERN = "2026-07-28"
"""The version whose requests need no session."""
HANDSHAKES = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The versions that start with ``initialize``, newest first."""
HEADER_MISMATCH, VERSION_NOT_SUPPORTED = -32020, -32022

_META = "io.modelcontextprotocol/"
_VERSION = f"{_META}protocolVersion"
_CAPABILITIES = f"{_META}clientCapabilities"
_TOOLS_KEPT_MS = 300_000
"""Milliseconds for which a client may keep the list of tools."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: ``schema`` is the JSON schema of its arguments, ``writes`` whether it changes anything."""

    name: str
    title: str
    description: str
    schema: Mapping[str, Any]
    call: Callable[..., Mapping[str, Any]]
    writes: bool = False

    def entry(self) -> dict[str, Any]:
        """Its entry in the list of tools."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.schema,
            "outputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": not self.writes, "destructiveHint": False, "openWorldHint": True},
        }


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says about itself. ``instructions`` are for the model that will use the tools."""

    name: str
    title: str
    version: str
    instructions: str

    def info(self) -> dict[str, str]:
        """Its name and version."""
        return {"name": self.name, "title": self.title, "version": self.version}


def is_modern(request: RPCRequest, headers: Headers) -> bool:
    """Whether a request needs no session.

    :raises RPCError: it contradicts its own headers, or has a version that is not spoken.
    """
    meta, header = request.params.get("_meta"), headers.get("MCP-Protocol-Version", "")
    named = meta.get(_VERSION) if isinstance(meta, dict) else None
    if named is None and header != MODERN:
        if header and header not in HANDSHAKES:
            raise _not_supported(header)
        return False
    if not isinstance(meta, dict) or not isinstance(named, str) or not isinstance(meta.get(_CAPABILITIES), dict):
        raise RPCError(INVALID_PARAMS, f"expected {_VERSION} and {_CAPABILITIES} in params._meta")
    expected = {"MCP-Protocol-Version": named, "Mcp-Method": request.method}
    if request.method == "tools/call":
        expected["Mcp-Name"] = str(request.params.get("name"))
    for name, value in expected.items():
        if headers.get(name, "") != value:
            raise RPCError(HEADER_MISMATCH, f"the header {name} does not say what the body says")
    if named != MODERN:
        raise _not_supported(named)
    return True


def answer(request: RPCRequest, server: Server, tools: Mapping[str, Tool], *, modern: bool) -> dict[str, Any]:
    """The result of every method but ``tools/call``. :raises RPCError: it is not spoken."""
    match request.method:
        case "tools/list":
            return _listed(request, tools)
        case "ping":
            return {"resultType": "complete"} if modern else {}
        case "server/discover" if modern:
            return {
                "supportedVersions": [MODERN, *HANDSHAKES],
                "capabilities": {"tools": {}},
                "instructions": server.instructions,
                "_meta": {f"{_META}serverInfo": server.info()},
                **_kept(),
            }
        case "initialize" if not modern:
            wanted = request.params.get("protocolVersion")
            return {
                "protocolVersion": wanted if wanted in HANDSHAKES else HANDSHAKES[0],
                "capabilities": {"tools": {}},
                "serverInfo": server.info(),
                "instructions": server.instructions,
            }
    raise RPCError(METHOD_NOT_FOUND, f"there is no method {request.method[:64]!r}", status=404)


def _listed(request: RPCRequest, tools: Mapping[str, Tool]) -> dict[str, Any]:
    if request.params.get("cursor") is not None:
        raise RPCError(INVALID_PARAMS, "there is no further page")
    return {"tools": [tool.entry() for tool in tools.values()], **_kept()}


def called(request: RPCRequest, tools: Mapping[str, Tool]) -> tuple[Tool, Mapping[str, Any]]:
    """The tool that ``tools/call`` names, and its arguments."""
    name, arguments = request.params.get("name"), request.params.get("arguments", {})
    if not isinstance(name, str) or (tool := tools.get(name)) is None:
        raise RPCError(INVALID_PARAMS, f"there is no such tool; there are {', '.join(tools)}")
    if not isinstance(arguments, dict):
        raise RPCError(INVALID_PARAMS, "expected arguments as an object")
    return tool, arguments


def _kept() -> dict[str, Any]:
    return {"resultType": "complete", "ttlMs": _TOOLS_KEPT_MS, "cacheScope": "private"}


def _not_supported(version: str) -> RPCError:
    return RPCError(
        VERSION_NOT_SUPPORTED,
        "Unsupported protocol version",
        {"supported": [MODERN, *HANDSHAKES], "requested": version[:64]},
    )
