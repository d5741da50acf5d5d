"""The pages, and the little that their modules need besides the service's own interface."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, g, render_template, request

from levelup_ov import screens
from levelup_ov.blueprints.http import json_response, read_body
from levelup_ov.certify import Plan
from levelup_ov.certify.contract import rules
from levelup_ov.config import DEVELOPMENT_API_KEY, Settings
from levelup_ov.config_mistakes import is_loopback
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS
from levelup_ov.ordering.service import Service
from levelup_ov.schemas.body import parse
from levelup_ov.standins.sandbox.magic import CARDS, TOKENS
from levelup_ov.workbench.abilities import abilities, account_facts
from levelup_ov.workbench.access import check_host, check_origin
from levelup_ov.workbench.certification import Certifications
from levelup_ov.workbench.recent_calls import CallRecorder

GOOD_CARD = "4111111111111111"
"""The test number that every card company knows as a good one."""
NAVIGATION = (
    ("workbench.show_locations", "Locations"),
    ("workbench.show_certification", "Certification"),
    ("workbench.show_checkout", "Checkout"),
    ("workbench.show_rules", "Rules"),
)


def install(app: Flask, settings: Settings, service: Service) -> None:
    """Add the pages to ``app``, and record the provider calls of its orders."""
    adapters = settings.accounts.values()
    recorder = CallRecorder({setting.default or "" for adapter in adapters for setting in adapter.settings.values()})
    service.transport.watch = recorder.watch
    app.register_blueprint(_blueprint(settings, recorder))

    @app.before_request
    def begin() -> None:
        check_origin()
        if request.blueprint == "orders":
            recorder.begin(g.context)

    @app.after_request
    def end(response: Response) -> Response:
        recorder.end(g.context, g.request_id)
        return response


def _blueprint(settings: Settings, recorder: CallRecorder) -> Blueprint:
    pages = Blueprint(
        "workbench", __name__, static_folder="static", static_url_path="/workbench/static", template_folder="templates"
    )
    key = DEVELOPMENT_API_KEY if DEVELOPMENT_API_KEY in (each.reveal() for each in settings.api_keys) else None
    adapters = settings.accounts
    certifications = Certifications()
    pages.before_request(check_host)

    def page(template: str, facts: dict[str, Any] | None = None, **shown: Any) -> Response:
        # A key that the operator chose is not given away: the page asks for it.
        known = {"key": key, "rules": {rule.id: rule.text for rule in rules().values()}, **(facts or {})}
        text = render_template(f"workbench/{template}.html", facts=known, navigation=NAVIGATION, **shown)
        return screens.guard(Response(text, mimetype="text/html"), screens.WITH_MODULES)

    @pages.get("/")
    def show_locations() -> Response:
        shown = [(adapter, abilities(adapter)) for adapter in adapters.values()]
        return page("locations", accounts=shown)

    @pages.get("/workbench/order")
    def show_order() -> Response:
        location = request.args.get("location", "")
        adapter = adapters.get(location.partition(".")[0])
        if adapter is None:
            raise Failure("location_not_found", "no account has this location; choose one at /")
        account = account_facts(adapter)
        facts = {
            "location": location,
            "account": {"id": adapter.account.name, **account},
            "errors": {code: {"meaning": kind.meaning, "remedy": kind.remedy} for code, kind in KINDS.items()},
            "cards": [
                {"number": GOOD_CARD, "meaning": "a good test card"},
                *({"number": card, "meaning": meaning} for card, meaning in CARDS.items() if account["is_sandbox"]),
            ],
            "tokens": dict(TOKENS) if account["is_sandbox"] else {},
            "envelope": settings.response_envelope,
        }
        return page("order", facts, location=location)

    @pages.get("/workbench/certification")
    def show_certification() -> Response:
        facts = {"accounts": list(adapters), "location": request.args.get("location", "")}
        return page("certification", facts)

    @pages.post("/workbench/certifications")
    def certify() -> Response:
        _check_key()
        body = parse(read_body())
        asked: dict[str, Any] = body if isinstance(body, dict) else {}
        location, submit = asked.get("location"), asked.get("submit") is True
        if not isinstance(location, str) or not location:
            raise Failure("invalid_member", "expected the id of a location", path="$.location")
        given = Secret(request.headers["Authorization"].partition(" ")[2].strip())
        return json_response({"id": certifications.start(Plan(request.host_url, given, (location,), submit))}, 202)

    @pages.get("/workbench/certifications/<id>")
    def show_run(id: str) -> Response:
        _check_key()
        return json_response(certifications.show(id))

    @pages.get("/workbench/checkout")
    def show_checkout() -> Response:
        platform = settings.checkout.url if settings.checkout else None
        return page("checkout", platform=platform if platform and is_loopback(platform) else None)

    @pages.get("/workbench/rules")
    def show_rules() -> Response:
        return page("rules", all_rules=rules().values())

    @pages.get("/workbench/calls/<request_id>")
    def show_calls(request_id: str) -> Response:
        _check_key()
        return json_response({"calls": recorder.calls(request_id)})

    return pages


def _check_key() -> None:
    """:raises Failure: ``unauthorized``."""
    if not g.has_key:
        raise Failure("unauthorized", "expected the header Authorization: token <key> with a key of this service")
