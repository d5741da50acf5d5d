"""The stand-in as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from flask import Flask, Response, current_app, jsonify, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from levelup_ov import screens
from levelup_ov.standins.dropped_connection import LosesAnswers
from levelup_ov.standins.levelup.ahead import Gateway, OrderAhead
from levelup_ov.standins.levelup.ahead.work import Run, in_thread
from levelup_ov.standins.levelup.api import REALM, api
from levelup_ov.standins.levelup.oauth import oauth
from levelup_ov.standins.levelup.pages import pages
from levelup_ov.standins.levelup.platform import Notify, Platform, post_notice
from levelup_ov.standins.levelup.problems import ErrorResponse, error
from levelup_ov.standins.levelup.store import PlatformStore
from levelup_ov.standins.levelup.world import OTHER_APP, SHOP_APP
from levelup_ov.standins.shop.app import Send, shop

LARGEST_BODY = 1024 * 1024
REDIRECT_URIS = (
    "http://127.0.0.1/checkout/merchants/callback",
    "http://127.0.0.1/checkout/users/callback",
    "http://127.0.0.1/shop",
)
"""Where the sample shop's service is called back, on any port of this machine, and the shop itself."""


def create_levelup(
    database: Path,
    *,
    redirect_uris: Sequence[str] = REDIRECT_URIS,
    callback_url: str | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    notify: Notify = post_notice,
    shop_service: Send | None = None,
    gateway: Gateway | None = None,
    run: Run = in_thread,
) -> Flask:
    """The platform as a WSGI application.

    ``database``: its file, created when first needed. ``redirect_uris``: those of the sample shop's app, https or on
    the loopback interface; ``callback_url``: where that app is notified of answered permissions requests. ``clock``
    returns the current time, aware; ``notify`` calls an app's callback URL. With ``shop_service``, which calls the
    service, there is a sample shop under ``/shop``. With ``gateway``, which calls an order-ahead service, phones can
    order from its locations; ``run`` executes the work that they poll for.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    shop_app = replace(SHOP_APP, redirect_uris=tuple(redirect_uris), callback_url=callback_url)
    apps = {known.id: known for known in (shop_app, OTHER_APP)}
    store = PlatformStore(database)
    app.extensions["levelup"] = Platform(store, apps, clock, notify)
    app.extensions["order_ahead"] = OrderAhead(store, gateway, clock, run)
    for blueprint in (api, oauth, pages, screens.blueprint()):
        app.register_blueprint(blueprint)
    if shop_service:
        app.extensions["shop"] = shop_service
        app.register_blueprint(shop)
    app.register_error_handler(ErrorResponse, _answer_problem)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.after_request(_sign)
    app.wsgi_app = LosesAnswers(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _sign(response: Response) -> Response:
    # Some clients trust no answer without it.
    response.headers["Server"] = "LevelUp"
    if response.mimetype == "text/html":
        screens.guard(response)
    return response


def _answer_problem(problem: ErrorResponse) -> Response:
    answer = jsonify(problem.body) if problem.errors else Response(mimetype="application/json")
    answer.status_code = problem.status
    if problem.status == 401:
        answer.headers["WWW-Authenticate"] = REALM
    return answer


def _answer_http_error(problem: HTTPException) -> Response | tuple[str, int]:
    status = problem.code or 500
    if request.blueprint == "pages" or not request.path.startswith(("/v", "/oauth2")):
        text = "There is nothing to see here."
        if request.path.startswith("/shop") and "shop" not in current_app.blueprints:
            text = (
                "The sample shop is closed. It opens with the option --shop-service; make demo-checkout runs all of it."
            )
        back = (url_for("pages.show_world"), "LevelUp's front page")
        return render_template("message.html", title=problem.name, text=text, back=back), status
    return _answer_problem(ErrorResponse(status, [error(problem.name, code=problem.name.lower().replace(" ", "_"))]))
