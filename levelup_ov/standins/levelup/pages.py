"""What a person sees in a browser: signing in, granting and refusing, the card, and what a developer needs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response as Redirect

from levelup_ov.domain.secret import Secret
from levelup_ov.standins.levelup import orders, visits
from levelup_ov.standins.levelup.api import token_for
from levelup_ov.standins.levelup.cards import TypedCard, read_card
from levelup_ov.standins.levelup.oauth import Asked, Unsafe, grant, read_request
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.store import PlatformOrder, PlatformUser, hashed
from levelup_ov.standins.levelup.world import (
    CAMPAIGNS,
    DECLINED_CARD,
    GOOD_CARD,
    LOST_ANSWER_CARD,
    MAINTENANCE,
    PEOPLE,
    PERMISSIONS,
    REFUND_TIPS,
    SHOP_APP,
    SHORTEST_PASSWORD,
    SILENCE,
    SILENT_TIP,
    App,
    owner_login,
)

NEWEST = 10
"""Orders that the developer's page shows."""

pages = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
pages.after_request(visits.LEVELUP.keep)

Answer = str | Response | Redirect | tuple[str, int]


@pages.before_request
def check_origin() -> Answer | None:
    """Refuse forms that come from elsewhere."""
    if request.method == "POST" and visits.LEVELUP.forged():
        return _message("This form is out of date", "Please go back, load the page again and repeat.", 403)
    return None


@pages.app_context_processor
def for_all_pages() -> dict[str, Any]:
    return {"csrf": visits.LEVELUP.csrf, "visitor": visits.user, "money": money}


def money(cents: int) -> str:
    """Dollars and cents."""
    return f"${cents // 100:,}.{cents % 100:02}"


# Signing in and out.


@pages.get("/sign_in")
def show_sign_in() -> Answer:
    return _sign_in_page(visits.local(request.args.get("next")))


@pages.post("/sign_in")
def sign_in() -> Answer:
    target = visits.local(request.args.get("next"))
    with platform().store.reading() as transaction:
        user = transaction.user_by_email(request.form.get("email", ""))
    if not (user and check_password_hash(user.password_hash or "", request.form.get("password", ""))):
        return _sign_in_page(target, problem="Wrong e-mail address or password."), 422
    visits.sign_in(user.id)
    return redirect(target or url_for("pages.show_account"), 303)


@pages.post("/register")
def register() -> Answer:
    target = visits.local(request.args.get("next"))
    email, first_name, last_name = (request.form.get(name, "").strip() for name in ("email", "first_name", "last_name"))
    password = request.form.get("password", "")
    problem = None
    if "@" not in email.strip("@") or len(email) > 254:
        problem = "Please give an e-mail address."
    elif not first_name or not last_name:
        problem = "Please give your first and last name."
    elif len(password) < SHORTEST_PASSWORD:
        problem = f"A password has at least {SHORTEST_PASSWORD} characters."
    else:
        password_hash = generate_password_hash(password)
        with platform().store.writing() as transaction:
            user_id = transaction.add_user(
                email, first_name[:255], last_name[:255], platform().clock(), password_hash=password_hash
            )
        if user_id is not None:
            visits.sign_in(user_id)
            return redirect(target or url_for("pages.show_account"), 303)
        problem = "This e-mail address is registered already."
    return _sign_in_page(target, registering=True, problem=problem), 422


@pages.post("/sign_out")
def sign_out() -> Answer:
    visits.sign_out()
    return redirect(visits.local(request.args.get("next")) or url_for("pages.show_sign_in"), 303)


# Permissions.


@pages.get("/oauth2/authorizations/new")
def show_authorization() -> Answer:
    try:
        asked = read_request(request.args)
    except Unsafe as problem:
        return _message("This request cannot be answered", str(problem), 400)
    if asked.error:
        return redirect(asked.answer(error=asked.error), 303)
    if (user := visits.user()) is None:
        return _sign_in_page(_here(), app=asked.app.name, merchant=asked.for_merchant)
    return _approval_page(asked, user)


@pages.post("/oauth2/authorizations/new")
def answer_authorization() -> Answer:
    try:
        asked = read_request(request.args)
    except Unsafe as problem:
        return _message("This request cannot be answered", str(problem), 400)
    if asked.error:
        return redirect(asked.answer(error=asked.error), 303)
    if (user := visits.user()) is None:
        return redirect(_here(), 303)
    if request.form.get("answer") != "grant":
        return redirect(asked.answer(error="access_denied"), 303)
    if asked.for_merchant and user.merchant_id is None:
        return _approval_page(asked, user), 403
    return redirect(grant(asked, user), 303)


@pages.get("/permissions_requests/<int:number>")
def show_request(number: int) -> Answer:
    if (user := visits.user()) is None:
        return _sign_in_page(_here())
    with platform().store.reading() as transaction:
        found = transaction.request(number)
    if found is None or found.user_id != user.id:
        return _message("Nothing to answer here", "There is no such request for your account.", 404)
    if found.state != "pending":
        back = _way_back(platform().apps[found.app_id])
        return _message("This request is answered", f"You have {found.state} it.", 200, back)
    return render_template(
        "approve.html",
        app=platform().apps[found.app_id],
        permissions=[PERMISSIONS[name] for name in found.permissions],
        user=user,
        here=_here(),
    )


@pages.post("/permissions_requests/<int:number>")
def answer_request(number: int) -> Answer:
    if (user := visits.user()) is None:
        return redirect(_here(), 303)
    state = "accepted" if request.form.get("answer") == "grant" else "rejected"
    with platform().store.writing() as transaction:
        found = transaction.request(number)
        if found is None or found.user_id != user.id:
            return _message("Nothing to answer here", "There is no such request for your account.", 404)
        if found.state != "pending":
            return redirect(_here(), 303)
        transaction.answer_request(number, state)
        found = transaction.request(number)
        assert found
        token = token_for(transaction, found, platform().clock())
    members: dict[str, Any] = {"id": number, "state": state}
    if token:
        members["token"] = token
    app = platform().apps[found.app_id]
    taken = app.callback_url and platform().notify(app.callback_url, {"permissions_request": members})
    notice = f"{app.name} has been notified." if taken else f"{app.name} will see it when it asks."
    return _message(f"You have {state} the request", notice, 200, _way_back(app))


# The account and its card.


@pages.get("/account")
def show_account() -> Answer:
    if (user := visits.user()) is None:
        return _sign_in_page(_here())
    with platform().store.reading() as transaction:
        tokens = transaction.tokens_of(user.id)
        allowed = {
            app: sorted(
                {
                    words
                    for token in tokens
                    if token.app_id == app.id
                    for name, words in PERMISSIONS.items()
                    if name in token.permissions
                }
            )
            for app in platform().apps.values()
        }
        return render_template(
            "account.html",
            user=user,
            card=transaction.card(user.id),
            addresses=[address for _, address in transaction.addresses(user.id)],
            allowed={app: words for app, words in allowed.items() if words},
            orders=[
                (order, transaction.location(order.location_id))
                for order in transaction.orders_of(user.id, limit=NEWEST)
            ],
        )


@pages.post("/account/disconnect/<int:app_id>")
def disconnect(app_id: int) -> Answer:
    if user := visits.user():
        with platform().store.writing() as transaction:
            transaction.revoke_app(app_id, user.id, platform().clock())
    return redirect(url_for("pages.show_account"), 303)


@pages.get("/credit_cards/new")
def new_card() -> Answer:
    user, _ = _card_owner()
    if user is None:
        return _sign_in_or_link_problem()
    return _card_page(user)


@pages.post("/credit_cards/new")
def add_card() -> Answer:
    user, redirect_uri = _card_owner()
    if user is None:
        return _sign_in_or_link_problem()
    form = {name: request.form.get(name, "").strip() for name in ("expiration_month", "expiration_year", "postal_code")}
    typed = TypedCard(Secret(request.form.get("number", "")), Secret(request.form.get("cvv", "")), **form)
    card, errors = read_card(typed, platform().clock())
    if card is None:
        return _card_page(user, {found["property"]: found["message"] for found in errors}, form), 422
    with platform().store.writing() as transaction:
        if transaction.cards(user.id):
            return _card_page(user), 422
        transaction.add_card(user.id, card)
    target = redirect_uri or visits.local(request.args.get("next"))
    if target:
        return redirect(target, 303)
    return _message("Your card is added", f"{card.brand} ending in {card.last_4}. You can close this page.", 200)


# A phone's app.


@pages.get("/order")
def show_phone() -> Response:
    """The page of an app that orders ahead. It calls the API as a phone does, with a token of its own."""
    page = Response(render_template("order.html", people=PEOPLE, api_key=SHOP_APP.api_key), mimetype="text/html")
    page.headers.set("Content-Security-Policy", visits.PHONE_POLICY)
    return page


@pages.get("/favicon.ico")
def show_icon() -> Redirect:
    return redirect(url_for("screens.static", filename="icon.svg"))


# For developers.


@pages.get("/")
def show_world() -> Answer:
    shared = platform()
    with shared.store.reading() as transaction:
        merchants, locations = transaction.merchants(), transaction.locations()
        users = [
            {
                "user": user,
                "card": transaction.card(user.id),
                "credit": {
                    merchant.name: orders.funds_of(transaction, user.id, merchant, shared.clock())
                    for merchant in merchants
                },
                "global_credit": orders.global_credit_of(transaction, user.id, shared.clock()),
            }
            for user in transaction.users()
        ]
        pending = [
            (found, transaction.user(found.user_id), shared.apps[found.app_id])
            for found in transaction.pending_requests()
        ]
        newest: list[tuple[PlatformOrder, PlatformUser | None]] = [
            (order, transaction.user(order.user_id)) for order in transaction.newest_orders(NEWEST)
        ]
        maintenance = transaction.switched_on(MAINTENANCE)
    return render_template(
        "world.html",
        apps=shared.apps.values(),
        merchants=merchants,
        locations=locations,
        campaigns=CAMPAIGNS.values(),
        users=users,
        people={person.email: (person.password, person.about) for person in PEOPLE}
        | {
            email: (password, f"Owns {merchant.name}.")
            for merchant in merchants
            for email, password in [owner_login(merchant.id)]
        },
        ordering=current_app.extensions["order_ahead"].serves,
        selling="shop" in current_app.blueprints,
        pending=pending,
        orders=newest,
        maintenance=maintenance,
        card_key=shared.card_key(),
        cards={"is charged": GOOD_CARD, "is declined": DECLINED_CARD, "loses the answer": LOST_ANSWER_CARD},
        refund_tips=REFUND_TIPS,
        silent_tip=SILENT_TIP,
        silence=SILENCE,
        base_url=request.url_root.rstrip("/"),
    )


@pages.post("/maintenance")
def switch_maintenance() -> Answer:
    with platform().store.writing() as transaction:
        transaction.switch(MAINTENANCE, not transaction.switched_on(MAINTENANCE))
    return redirect(url_for("pages.show_world"), 303)


def _here() -> str:
    query = urlencode(list(request.args.items(multi=True)))
    return f"{request.path}?{query}" if query else request.path


def _sign_in_page(
    target: str | None,
    *,
    app: str | None = None,
    merchant: bool = False,
    registering: bool = False,
    problem: str | None = None,
) -> str:
    given = {name: request.values.get(name, "") for name in ("email", "first_name", "last_name")}
    given["email"] = given["email"] or request.args.get("login_hint", "")
    return render_template(
        "sign_in.html",
        target=target,
        app=app,
        merchant=merchant,
        registering=registering,
        problem=problem,
        given=given,
        shortest=SHORTEST_PASSWORD,
    )


def _approval_page(asked: Asked, user: PlatformUser) -> str:
    with platform().store.reading() as transaction:
        card = transaction.card(user.id)
        merchant = transaction.merchant(user.merchant_id or 0)
    return render_template(
        "approve.html",
        app=asked.app,
        permissions=[PERMISSIONS[name] for name in asked.permissions],
        user=user,
        merchant=merchant if asked.for_merchant else None,
        owns_nothing=asked.for_merchant and merchant is None,
        needs_card="create_orders" in asked.permissions and card is None,
        hint=request.args.get("login_hint"),
        here=_here(),
    )


def _card_owner() -> tuple[PlatformUser | None, str | None]:
    """The user who will own the card, by the link or else the signed-in one; and where to go then."""
    if link := request.args.get("link"):
        with platform().store.reading() as transaction:
            found = transaction.card_page(hashed(link), platform().clock())
            return (transaction.user(found[0]), found[1]) if found else (None, None)
    return visits.user(), None


def _sign_in_or_link_problem() -> Answer:
    if request.args.get("link"):
        return _message("This link is out of date", "Please go back to the shop and start again.", 404)
    return _sign_in_page(_here())


def _card_page(user: PlatformUser, problems: dict[str, str] | None = None, given: dict[str, str] | None = None) -> str:
    with platform().store.reading() as transaction:
        card = transaction.card(user.id)
    return render_template("card.html", user=user, card=card, problems=problems or {}, given=given or {}, here=_here())


def _way_back(app: App) -> tuple[str, str]:
    """Where a person goes on who came from an app's site: to the site, if it is the sample shop beside us."""
    if app.id == SHOP_APP.id and "shop" in current_app.blueprints:
        return url_for("shop.show_shop"), f"Back to {app.name}"
    return url_for("pages.show_account"), "Your account"


def _message(title: str, text: str, status: int, back: tuple[str, str] | None = None) -> tuple[str, int]:
    way = back or (url_for("pages.show_account"), "Your account")
    return render_template("message.html", title=title, text=text, back=way), status
