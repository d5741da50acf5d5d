"""The Universal Commerce Protocol: agents order through checkout sessions. Loaded only if agents have keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from levelup_ov.blueprints.http import AGENTS
from levelup_ov.checkout import Checkout
from levelup_ov.config import Settings
from levelup_ov.ordering.service import Service
from levelup_ov.sessions import open_sessions
from levelup_ov.ucp import mcp, rest
from levelup_ov.ucp.catalog import Catalog
from levelup_ov.ucp.operations import FACES, Operations
from levelup_ov.ucp.tools import Toolbox

if TYPE_CHECKING:
    from levelup_ov.ucp.order_webhooks import OrderWebhooks
    from levelup_ov.ucp.signing import Signatures


def install(
    app: Flask, settings: Settings, service: Service, checkout: Checkout | None, clock: Callable[[], datetime],
    webhooks: OrderWebhooks | None,
) -> None:  # fmt: skip
    """Register the profile and the endpoints of both faces with ``app``. ``webhooks``: if agents get any."""
    sessions = open_sessions(settings, service, checkout, clock, webhooks.follow if webhooks else None)
    door, catalog = rest.Door(settings), Catalog(service, settings)
    faces = {name: Operations(name, sessions, settings, catalog.needs_options) for name in FACES}
    transports = {name: {"rest": path, "mcp": mcp.MCP[name]} for name, path in rest.REST.items()}
    keys = webhooks.signatures.published if webhooks else []
    pages = [rest.blueprint(settings, door, faces, catalog, transports, keys)]
    toolbox = Toolbox(door.call_of, catalog, service, settings)
    tools = {"food": toolbox.food(faces["food"]), "shopping": toolbox.shopping(faces["shopping"])}
    pages += [mcp.blueprint(name, tools[name], door) for name in FACES]
    for each in pages:
        app.register_blueprint(each)
    if webhooks is not None:
        # Of the application, so that an answer about a wrong address is signed, too.
        app.after_request(partial(_signed, webhooks.signatures, clock))


def _signed(signatures: Signatures, clock: Callable[[], datetime], response: Response) -> Response:
    """An answer to an agent with a signature; anybody may ask for the profile, which has none."""
    if request.path.startswith(AGENTS):
        body, of_type = response.get_data(), response.headers["Content-Type"]
        response.headers.update(signatures.headers_of_answer(response.status_code, of_type, body, clock()))
    return response
