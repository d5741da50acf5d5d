"""What this service says about itself: the profile at ``/.well-known/ucp``, and the ``ucp`` member of each answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from levelup_ov.domain.tender import TenderKind
from levelup_ov.ucp.negotiation import Negotiated
from levelup_ov.ucp.versions import (
    CAPABILITIES,
    RELEVANT,
    SERVICES,
    SHOPPING_VERSION,
    TRANSPORT_SCHEMAS,
    VERSION_OF,
    FaceName,
)

PROFILE = "/.well-known/ucp"
"""The path of the profile."""
CACHE_SECONDS = 300
"""For how long anybody may keep the profile; UCP demands 60 at least."""

LEVELUP_HANDLER, CARD_HANDLER = "levelup", "card"
"""The ids of the payment handlers."""
LEVELUP_CREDENTIAL, CARD_CREDENTIAL = "levelup_connection", "single_use_card"
"""The types of the credentials that they take."""

HANDLER_KEYS: Mapping[str, str] = {
    LEVELUP_HANDLER: "org.levelup_ov.levelup",
    CARD_HANDLER: "org.levelup_ov.card",
}
TENDER_OF: Mapping[str, TenderKind] = {LEVELUP_HANDLER: "levelup", CARD_HANDLER: "credit_card"}


def payment_handlers(tenders: Collection[str]) -> dict[str, Any]:
    """The handlers for ``tenders``, as a profile and the answers about a checkout declare them."""
    credentials = {LEVELUP_HANDLER: LEVELUP_CREDENTIAL, CARD_HANDLER: CARD_CREDENTIAL}
    return {
        key: [
            {
                "id": id,
                "version": SHOPPING_VERSION,
                "available_instruments": [{"type": id}],
                "config": {"credential_type": credentials[id]},
            }
        ]
        for id, key in HANDLER_KEYS.items()
        if TENDER_OF[id] in tenders
    }


def profile(
    base_url: str, tenders: Collection[str], transports: Mapping[FaceName, Mapping[str, str]],
    signing_keys: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The document at ``/.well-known/ucp``.

    ``transports``: the path of each transport (``rest``, ``mcp``) by the service's name. ``signing_keys``: the public
    keys of this service, as JWK.
    """
    keys = {"signing_keys": [*signing_keys]} if signing_keys else {}
    return {
        **keys,
        "ucp": {
            "version": SHOPPING_VERSION,
            "services": {
                f"dev.ucp.{name}": [
                    {
                        **service,
                        "schema": f"{service['schema']}/{TRANSPORT_SCHEMAS[transport]}",
                        "transport": transport,
                        "endpoint": f"{base_url}{path}",
                    }
                    for transport, path in transports.get(name, {}).items()
                ]
                for name, service in SERVICES.items()
                if name in transports
            },
            "capabilities": {name: [each.entry()] for name, each in CAPABILITIES.items()},
            "payment_handlers": payment_handlers(tenders),
        },
    }


@lru_cache(256)
def envelope(kind: str, negotiated: Negotiated, tenders: frozenset[str] | None = None) -> Mapping[str, Any]:
    """The ``ucp`` member of a successful answer; ``tenders``: those that the session may be paid with."""
    members = {
        "version": VERSION_OF[kind],
        "status": "success",
        "capabilities": negotiated.relevant(RELEVANT[kind]),
    }
    if tenders is not None:
        members["payment_handlers"] = payment_handlers(tenders)
    return members


def error_envelope(kind: str) -> dict[str, Any]:
    """The ``ucp`` member of an answer without a resource."""
    return {"version": VERSION_OF[kind], "status": "error", "capabilities": {}}
