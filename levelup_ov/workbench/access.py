"""Which pages may use the service from a browser in development mode, where its key is a known word.

A foreign site reaches a service on this machine in two ways. It sends requests from its own page: the browser names
that page in ``Origin``, and asks first for the header with the key, which nobody allows. Or it lets its own name lead
to 127.0.0.1 (DNS rebinding): the browser then names the site in ``Host``. So the pages and what they read answer only
to a name of this machine, and no request is taken from a page of another one.
"""

from __future__ import annotations

from flask import request

from levelup_ov.config_mistakes import is_loopback
from levelup_ov.domain.failure import Failure


def check_host() -> None:
    """:raises Failure: ``not_found``: the request was not sent to a name of this machine."""
    if not _is_here(f"//{request.headers.get('Host', '')}"):
        raise Failure("not_found", "the workbench answers at http://127.0.0.1 and http://localhost only")


def check_origin() -> None:
    """:raises Failure: ``unauthorized``: a page of another site sent the request."""
    origin = request.headers.get("Origin")
    if origin is not None and not _is_here(origin):
        raise Failure("unauthorized", "in development mode, pages of other sites cannot call this service")


def _is_here(address: str) -> bool:
    try:
        return is_loopback(address)
    except ValueError:
        return False
