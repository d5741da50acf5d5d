"""Access to the console: who may enter, how many at once, and the security headers of its pages."""

from __future__ import annotations

import logging
import math
import re
import threading
from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from levelup_ov import screens
from levelup_ov.blueprints.http import MAX_OPEN_BODY
from levelup_ov.config import Settings
from levelup_ov.console.sessions import SESSION_SECONDS, ConsoleSessions
from levelup_ov.console.throttle import Throttle
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import KINDS
from levelup_ov.ledger.records import from_ms
from levelup_ov.redaction import clean, shield

AT_ONCE = 3
"""Pages that are made at once, in each process. The server gives the console one thread more, which refuses."""

log = logging.getLogger(__name__)

_MESSAGES = {
    403: ("Not allowed", "The form is too old, or your key may only read. Open the page again."),
    404: ("Nothing here", "It does not exist, or was purged: settled submissions are kept for 30 days."),
    405: ("Not allowed", "This page is opened, not sent."),
    413: ("Too much", "The form is larger than any form of the console."),
    503: ("The console is busy", "Other pages are being made, and orders come first. Try again in a few seconds."),
}
_TOO_SLOW = "The ledger did not answer in time, or not at all. Narrow the search, for example by account and time."


def guard(pages: Blueprint, settings: Settings) -> None:
    """Places, sessions, forms, headers and errors, for all pages; signing in and out."""
    sessions = ConsoleSessions(settings.console_keys, settings.secret_keys)
    throttle = Throttle()
    places = threading.BoundedSemaphore(AT_ONCE)
    # With this prefix a browser takes it over TLS only, and from this host only.
    cookie = f"{'' if settings.development else '__Host-'}levelup_ov_console"
    # A separate cookie: following a link from another site sends none, and must not lose the session.
    login_cookie = f"{cookie}_login"

    def keep(response: AnyResponse, name: str, content: str, seconds: int = SESSION_SECONDS) -> AnyResponse:
        response.set_cookie(
            name, content, max_age=seconds, path="/", httponly=True, samesite="Strict",
            secure=not settings.development,
        )  # fmt: skip
        return response

    @pages.before_request
    def enter() -> AnyResponse | None:
        if request.endpoint == "console.static":
            return None
        g.has_place = places.acquire(blocking=False)
        if not g.has_place:
            abort(503)
        request.max_content_length = MAX_OPEN_BODY
        is_login = request.endpoint == "console.login"
        g.session = sessions.read(request.cookies.get(login_cookie if is_login else cookie, ""))
        if not is_login and not (g.session and g.session.name):
            return redirect(url_for("console.login"), 303) if request.method == "GET" else abort(403)
        if request.method == "POST":
            purpose = " ".join((request.endpoint or "", *map(str, (request.view_args or {}).values())))
            g.form = g.session and sessions.used_form(g.session, purpose, request.form.get("form", ""))
            if g.form is None or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
                abort(403)
        return None

    @pages.teardown_request
    def leave(_error: BaseException | None) -> None:
        if g.pop("has_place", False):
            places.release()

    @pages.after_request
    def finish(response: Response) -> Response:
        if not response.is_streamed:
            response.set_data(shield(response.get_data()))
        # With none at all, a browser would not say which page a form comes from.
        response.headers["Referrer-Policy"] = "same-origin"
        return screens.guard(response, screens.WITH_MODULES)

    @pages.context_processor
    def shared() -> dict[str, Any]:
        session = g.get("session")
        return {
            "who": session.name if session else "",
            "may_write": session is not None and session.name in settings.console_writers,
            "form": lambda purpose: sessions.form(g.session, purpose),
            "has_checkout": settings.checkout is not None,
            "guide": settings.guide_url,
        }

    @pages.route("/login", methods=["GET", "POST"])
    def login() -> AnyResponse:
        if request.method == "GET":
            g.session, content = sessions.begin()
            return keep(Response(render_template("console/login.html")), login_cookie, content)
        caller = request.remote_addr or ""
        if (pause := throttle.pause(caller)) > 0:
            seconds = math.ceil(pause)
            page = render_template(
                "console/login.html", problem=f"Too many wrong keys. Try again in {seconds} seconds."
            )
            return Response(page, 429, {"Retry-After": str(seconds)})
        if (name := sessions.name_of(request.form.get("key", ""))) is None:
            log.warning("console_key_refused", extra={"request_id": g.request_id, "wrong": throttle.failed(caller)})
            page = render_template("console/login.html", problem="This is not a key of the console.")
            return Response(page, 403)
        throttle.succeeded(caller)
        log.info("console_opened", extra={"request_id": g.request_id, "operator": name})
        return keep(redirect(url_for("console.overview"), 303), cookie, sessions.begin(name)[1])

    @pages.post("/logout")
    def logout() -> AnyResponse:
        return keep(redirect(url_for("console.login"), 303), cookie, "", 0)

    pages.register_error_handler(Failure, _failed)
    pages.register_error_handler(HTTPException, _http_failed)
    pages.register_error_handler(Exception, _crashed)
    pages.add_app_template_filter(_code, "console_code")
    pages.add_app_template_filter(_when, "console_when")
    pages.add_app_template_filter(_dollars, "console_dollars")


def _code(text: str) -> Markup:
    """Text whose parts between backquotes are code."""
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(text))))


def _when(instant: datetime | int | None) -> str:
    if isinstance(instant, int):
        instant = from_ms(instant)
    return "" if instant is None else instant.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _dollars(cents: int | None) -> str:
    return "" if cents is None else f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def _page(title: str, words: str, status: int) -> Response:
    return Response(render_template("console/message.html", title=title, words=words), status)


def _failed(failure: Failure) -> Response:
    g.failure = failure
    if failure.code == "ledger_unavailable":
        return _page("The ledger is not available", _TOO_SLOW, 503)
    return _page("This does not work", clean(failure.message), KINDS[failure.code].status)


def _http_failed(error: HTTPException) -> Response:
    title, words = _MESSAGES.get(error.code or 500, ("This does not work", "Go back to the console."))
    response = _page(title, words, error.code or 500)
    if error.code == 503:
        response.headers["Retry-After"] = "5"
    return response


def _crashed(error: Exception) -> Response:
    g.failure = Failure("internal_error", "an internal error; the request id identifies its log line")
    log.error("internal_error", exc_info=error, extra={"request_id": g.request_id})
    return _page("Internal error", f"The log has the reason, under the request id {g.request_id}.", 500)
