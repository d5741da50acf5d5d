"""What the pages of all applications share: one stylesheet, one frame, small modules.

There is no build step and no code of others. A page has no inline script or style and loads nothing from other hosts,
so the strictest Content-Security-Policy can be set.
"""

from __future__ import annotations

from flask import Blueprint, Response


def policy(**sources: str) -> str:
    """A Content-Security-Policy: style and pictures of our own, and ``sources`` by directive.

    ``policy(script_src="'self'")`` allows modules of our own.
    """
    directives = {
        "default_src": "'none'",
        "style_src": "'self'",
        "img_src": "'self'",
        "base_uri": "'none'",
        "frame_ancestors": "'none'",
        **sources,
    }
    return "; ".join(f"{name.replace('_', '-')} {value}" for name, value in directives.items())


# No form-action, because browsers also apply it to the redirect back to an app.
HEADERS = {
    "Content-Security-Policy": policy(),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What a page forbids to the browser; for a page with modules, the policy is :data:`WITH_MODULES`."""
WITH_MODULES = policy(script_src="'self'", connect_src="'self'", form_action="'self'")


def guard(response: Response, content_policy: str = HEADERS["Content-Security-Policy"]) -> Response:
    """The page with :data:`HEADERS`, where it has none of its own."""
    response.headers.setdefault("Content-Security-Policy", content_policy)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def blueprint() -> Blueprint:
    """Serves the shared files under ``/screens``; templates extend ``screens/base.html``."""
    return Blueprint(
        "screens", __name__, static_folder="static", static_url_path="/screens", template_folder="templates"
    )
