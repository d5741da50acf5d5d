"""UCP's official schemas and REST service of 2026-04-08, and whether traffic of the shopping face satisfies them.

They are read from the folder that ``UCP_SPECIFICATION_DIR`` names, or from ``shared/specs/ucp/2026-04-08`` beside the
repository. A request's schema is that of the answer, where ``ucp_request`` says otherwise for a member.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.servers.process import SystemMissing

SITE = "https://ucp.dev/"
REQUESTS = {
    ("POST", "/checkout-sessions"): "create",
    ("PUT", "/checkout-sessions/{id}"): "update",
    ("POST", "/checkout-sessions/{id}/complete"): "complete",
}
"""The requests whose members ``ucp_request`` names."""
CHECKOUT = "schemas/shopping/checkout.json"
SEARCH, LOOKUP = "schemas/shopping/catalog_search.json", "schemas/shopping/catalog_lookup.json"


def folder() -> Path:
    """:raises SystemMissing: the specification is not on this machine."""
    beside = Path(__file__).parents[3] / "shared" / "specs" / "ucp" / "2026-04-08"
    found = Path(os.environ.get("UCP_SPECIFICATION_DIR") or beside)
    if not (found / CHECKOUT).is_file():
        raise SystemMissing(f"no specification of UCP at {found} (set UCP_SPECIFICATION_DIR)")
    return found


class Official:
    """The schemas; each check gives what is wrong, in words."""

    def __init__(self) -> None:
        root = folder()
        self.service = json.loads((root / "services/shopping/rest.openapi.json").read_text())
        self.files = {
            path.relative_to(root).as_posix(): json.loads(path.read_text()) for path in root.glob("**/*.json")
        }
        # Its own $id is one folder deeper than its references are written for.
        profile = self.files["discovery/profile_schema.json"]
        profile["$id"] = f"{SITE}discovery/profile.json"
        self._profile = self._validator({"$ref": f"{SITE}discovery/profile.json#/$defs/business_profile"}, "")

    def profile(self, body: Any) -> list[str]:
        """The document at ``/.well-known/ucp``."""
        return wrong(self._profile, body)

    def request(self, method: str, path: str, body: Any) -> list[str]:
        """A request that was accepted; ``path`` is that of the service's document."""
        if (kind := REQUESTS.get((method, path))) is not None:
            return wrong(self._of(f"{SITE}{CHECKOUT}", kind), body)
        names = {
            "/catalog/search": f"{SEARCH}#/$defs/search_request",
            "/catalog/lookup": f"{LOOKUP}#/$defs/lookup_request",
            "/catalog/product": f"{LOOKUP}#/$defs/get_product_request",
        }
        return wrong(self._of(f"{SITE}{names[path]}", ""), body) if path in names else []

    def answer(self, path: str, status: int, body: Any) -> list[str]:
        """An answer: the resource of the operation, or the two forms of an error."""
        if status >= 400:
            members = dict.fromkeys(("code", "content"), str)
            return [] if all(type(body.get(name)) is kind for name, kind in members.items()) else [f"error: {body}"]
        if body.get("ucp", {}).get("status") == "error":
            return wrong(self._of(f"{SITE}schemas/shopping/types/error_response.json", ""), body)
        names = {"/orders/{id}": "schemas/shopping/order.json", "/catalog/search": f"{SEARCH}#/$defs/search_response",
                 "/catalog/lookup": f"{LOOKUP}#/$defs/lookup_response",
                 "/catalog/product": f"{LOOKUP}#/$defs/get_product_response"}  # fmt: skip
        return wrong(self._of(f"{SITE}{names.get(path, CHECKOUT)}", ""), body)

    @cache  # noqa: B019
    def _of(self, reference: str, request: str) -> jsonschema_rs.Validator:
        return self._validator({"$ref": reference}, request)

    def _validator(self, schema: Any, request: str) -> jsonschema_rs.Validator:
        resources = [
            (document["$id"], _requested(document, request) if request else document)
            for document in self.files.values()
            if "$id" in document
        ]
        registry = jsonschema_rs.Registry(resources)
        return jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)


def wrong(validator: jsonschema_rs.Validator, body: Any) -> list[str]:
    """What a validator finds wrong, at most ten."""
    errors = validator.iter_errors(body)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}" for error, _ in zip(errors, range(10))]


def _requested(value: Any, operation: str) -> Any:
    """A schema for the requests of an operation, without what is omitted there."""
    if isinstance(value, list):
        return [_requested(each, operation) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _requested(each, operation) for key, each in value.items()}
    properties = found.get("properties")
    if not isinstance(properties, dict):
        return found
    required = set(found.get("required", ()))
    for name, member in list(properties.items()):
        marker = member.get("ucp_request") if isinstance(member, dict) else None
        marker = marker.get(operation) if isinstance(marker, dict) else marker
        if marker == "omit":
            required.discard(name)
            del properties[name]
        elif marker == "optional":
            required.discard(name)
        elif marker == "required":
            required.add(name)
    if required or "required" in found:
        found["required"] = sorted(required)
    return found


def template(path: str) -> str:
    """The path of the service's document for one below ``/ucp/shopping``."""
    parts = path.strip("/").split("/")
    if len(parts) > 1 and parts[0] in ("checkout-sessions", "orders"):
        parts[1] = "{id}"
    return "/" + "/".join(parts)


def bundled(official: Official, path: str, method: str) -> dict[str, Any]:
    """One operation of the REST service as a document of its own, at the address of the shopping face."""
    kind = REQUESTS.get((method, path), "")
    files = {name: _requested(each, kind) if kind else each for name, each in official.files.items()}
    service = official.service
    operation = {**service["paths"][path][method.lower()], "responses": {"200": {"description": "an answer"}}}
    components: dict[str, Any] = {**service["components"], "schemas": {}}
    found = _local(operation, "", service["components"]["schemas"])
    waiting = _targets(found)
    while waiting:
        name = waiting.pop()
        if _key(name) not in components["schemas"]:
            schema = _local(files[name], name, {})
            components["schemas"][_key(name)] = schema
            waiting |= _targets(schema)
    parameters = service["paths"][path].get("parameters", [])
    return {
        **{member: service[member] for member in ("openapi", "info")},
        "servers": [{"url": "/ucp/shopping"}],
        "paths": {path: {method.lower(): found, "parameters": parameters}},
        "components": {**components, "headers": {}},
    }


def _local(value: Any, name: str, aliases: Mapping[str, Any]) -> Any:
    """A part of the file ``name``, its references made local; ``aliases`` are the service's names for files."""
    if isinstance(value, list):
        return [_local(each, name, aliases) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        alias = reference.removeprefix("#/components/schemas/")
        if alias in aliases:
            reference, name = aliases[alias]["$ref"], "services/shopping/rest.openapi.json"
        elif not name:
            return value
        file, _, fragment = reference.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
        return {**value, "$ref": f"{_COMPONENTS}{_key(target)}{fragment}"}
    return {key: _local(each, name, aliases) for key, each in value.items() if key not in ("$id", "$schema")}


_COMPONENTS = "#/components/schemas/"


def _targets(value: Any) -> set[str]:
    """The files that a part of the bundle refers to."""
    found = re.findall(rf'"\$ref": "{_COMPONENTS}([^"/]+)', json.dumps(value))
    return {f"{each.replace('.', '/')}.json" for each in found}


def _key(name: str) -> str:
    return name.removesuffix(".json").replace("/", ".")
