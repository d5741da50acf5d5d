"""Servers that break one thing at a time: a WSGI application around the service that changes what passes."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

from levelup_ov import errors
from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.domain.failure import Failure

Json = dict[str, Any]
Application = Callable[[Mapping[str, Any], Callable[..., Any]], Any]
ChangeRequest = Callable[[Json, Request], None]
ChangeAnswer = Callable[[Json, Request, Response], None]


@dataclass(frozen=True)
class Wrong:
    """What is wrong: ``request`` changes a request's JSON or environment, ``answer`` an answer's JSON in place.

    ``instead`` answers itself, or gives None. ``rules`` are those that fail, and no others; ``location`` is
    where it shows.
    """

    rules: frozenset[str]
    request: ChangeRequest | None = None
    answer: ChangeAnswer | None = None
    instead: Callable[[Request], Response | None] | None = None
    location: str = "sandbox.congress"

    def around(self, application: Application) -> Application:
        """The service with this fault."""

        def wrong(environ: Any, start_response: Any) -> Any:
            content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(content)
            request = Request(environ)
            if self.instead and (response := self.instead(request)) is not None:
                return response(environ, start_response)
            if self.request is not None:
                content = self._changed(content, request)
            environ.update({"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content))})
            response = Response(*run_wsgi_app(application, environ))  # type: ignore[arg-type]
            if self.answer is not None and response.mimetype == "application/json" and response.data:
                found = response.get_json()
                self.answer(found, request, response)
                response.data = json.dumps(found)
            return response(environ, start_response)

        return wrong

    def _changed(self, content: bytes, request: Request) -> bytes:
        try:
            found = json.loads(content) if content else {}
        except ValueError:
            return content
        if not isinstance(found, dict) or not all(isinstance(members, dict) for members in found.values()):
            return content
        assert self.request is not None
        before = json.dumps(found)
        self.request(found, request)
        return json.dumps(found).encode() if json.dumps(found) != before else content


def validated(change: Callable[[Json, Request], None]) -> ChangeAnswer:
    """Change the answers to order validations only."""

    def answer(found: Json, request: Request, response: Response) -> None:
        if "order_validation" in found:
            change(found["order_validation"], request)

    return answer


def ordered(change: Callable[[Json], None]) -> ChangeRequest:
    """Change what is in the root of requests only."""

    def request(found: Json, _: Request) -> None:
        for members in found.values():
            change(members)

    return request


def sent(request: Request) -> Json:
    """The order in a request."""
    request.environ["wsgi.input"].seek(0)
    found: Json = json.loads(request.environ["wsgi.input"].read())
    return next(iter(found.values()))


def tip_in_total(answer: Json, request: Request) -> None:
    answer["total"] += answer["tip"] or 0


def discount_off_total(answer: Json, request: Request) -> None:
    answer["total"] -= answer["merchant_funded_discount"]


def tip_zero(answer: Json, request: Request) -> None:
    answer["tip"] = answer["tip"] or 0


def hidden_fee(answer: Json, request: Request) -> None:
    answer["metadata"].pop("order_fees", None)


def no_address(order: Json) -> None:
    order.pop("delivery_address", None)


def late_slots(answer: Json, request: Request) -> None:
    last = datetime.fromisoformat(answer["available_at"][-1])
    answer["available_at"].append((last + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M"))


def seconds(answer: Json, request: Request) -> None:
    minute = answer["soonest_available_at"]
    answer["ready_at"] = answer["soonest_available_at"] = f"{minute[:16]}:00{minute[16:]}"


def float_money(answer: Json, request: Request) -> None:
    answer["total"] = float(answer["total"])


def no_ready_at(answer: Json, request: Request) -> None:
    del answer["ready_at"]


def other_time(answer: Json, request: Request) -> None:
    time = datetime.fromisoformat(answer["soonest_available_at"]) + timedelta(minutes=15)
    answer["ready_at"] = answer["soonest_available_at"] = time.strftime("%Y-%m-%dT%H:%M")


def clock_changes(answer: Json, request: Request) -> None:
    # Whatever was asked for is said again, be it a time that does not exist.
    if (desired := sent(request).get("desired_ready_time")) and len(desired) == 16:
        answer["ready_at"] = answer["soonest_available_at"] = desired


def metadata_names(answer: Json, request: Request) -> None:
    answer["metadata"]["cart_id"] = "1042"


def consumer_pays(answer: Json, request: Request) -> None:
    spent = answer["total"] + answer["tax"] + (answer["tip"] or 0)
    answer["amount_due"] = spent - answer["merchant_funded_discount"] - answer["provider_funded_discount"]


def dangling(found: Json, request: Request, response: Response) -> None:
    if "menu" in found:
        del found["menu"]["option_groups"][0]


def missing_day(found: Json, request: Request, response: Response) -> None:
    for wrapper in found.get("locations", ()):
        del wrapper["location"]["hours"]["sunday"]


def no_code(found: Json, request: Request, response: Response) -> None:
    if "error" in found:
        del found["error"]["code"]


def other_shape(found: Json, request: Request, response: Response) -> None:
    if "error" in found:
        found["errors"] = [found.pop("error")]


def leaks(found: Json, request: Request, response: Response) -> None:
    number = re.search(rb'"number": "(\d+)"', request.environ["wsgi.input"].getvalue())
    if "error" in found and number:
        found["error"]["message"] += f" (card {number[1].decode()})"


def next_week(found: Json, request: Request, response: Response) -> None:
    """An order is placed for the same time a week later."""
    order = found.get("order_submission", {})
    if ready_at := order.get("expected_ready_at"):
        order["expected_ready_at"] = f"{datetime.fromisoformat(ready_at) + timedelta(days=7):%Y-%m-%dT%H:%M}"


def no_estimate(found: Json, request: Request, response: Response) -> None:
    if "order_submission" in found:
        del found["order_submission"]["expected_ready_at"]


def own_stage(found: Json, request: Request, response: Response) -> None:
    if "order" in found:
        found["order"]["status"] = "on its way"


def no_since(found: Json, request: Request, response: Response) -> None:
    if "order" in found:
        del found["order"]["changed_at"]


def no_etag_of_orders(found: Json, request: Request) -> None:
    if "/orders/" in request.path:
        request.environ.pop("HTTP_IF_NONE_MATCH", None)


def own_tag(found: Json, request: Request, response: Response) -> None:
    if "order" in found:
        response.set_etag("always")


def canceled_at_once(request: Request) -> Response | None:
    return Response('{"order": {}}', 200, mimetype="application/json") if "/cancellation" in request.path else None


def believing(request: Request) -> Response | None:
    return Response("", 200) if request.path.startswith("/webhooks/") else None


def another_line(found: Json, request: Request, response: Response) -> None:
    if found.get("error", {}).get("code") == "unknown_item":
        found["error"].update(code="item_unavailable", path="$.order_validation.items[7].item")


def error(code: str) -> Response:
    body = errors.body(Failure(code, "no"), "1")
    return Response(json.dumps(body), errors.KINDS[code].status, {"X-Request-ID": "1"}, mimetype="application/json")


def crash(request: Request) -> Response | None:
    try:
        json.loads(request.environ["wsgi.input"].getvalue() or b"{}")
    except ValueError:
        return error("internal_error")
    return None


def never_placed(request: Request) -> Response | None:
    """Whatever is validated, nobody learns whether it was placed."""
    return error("outcome_unknown") if request.headers.get("Idempotency-Key", "").startswith("certify") else None


def strict_members(request: Request) -> Response | None:
    return error("invalid_member") if b"novelty" in request.environ["wsgi.input"].getvalue() else None


def open_to_all(found: Json, request: Request) -> None:
    request.environ["HTTP_AUTHORIZATION"] = f"token {DEVELOPMENT_API_KEY}"


def no_etag(found: Json, request: Request) -> None:
    request.environ.pop("HTTP_IF_NONE_MATCH", None)


def no_identity(found: Json, request: Request) -> None:
    """Every submission counts as a new one: what identifies it is removed."""
    if order := found.get("order_submission"):
        request.environ.pop("HTTP_IDEMPOTENCY_KEY", None)
        order["order_number"] = uuid.uuid4().hex
        order["metadata"] = {}


def key_decides(found: Json, request: Request) -> None:
    """Whatever else is ordered under a known key, the first order is shown again."""
    order, key = found.get("order_submission"), request.headers.get("Idempotency-Key", "")
    if order and key and len(key) < 256:
        for wrapper in order["items"]:
            wrapper["item"]["quantity"] = 1


def drop_orphans(order: Json) -> None:
    for wrapper in order.get("items") or ():
        options = wrapper["item"].get("options") if isinstance(wrapper, dict) else None
        if isinstance(options, list):
            ids = {each["option"]["provider_id"] for each in options}
            wrapper["item"]["options"] = [
                each
                for each in options
                if (id := each["option"]["provider_id"]).count(":") < 2 or id.rsplit(":", 2)[0] in ids
            ]


def cut_off(order: Json) -> None:
    if isinstance(text := order.get("special_instructions"), str):
        order["special_instructions"] = text[:250]


def always_pickup(order: Json) -> None:
    order["fulfillment_type"] = "pickup"


def no_past(order: Json) -> None:
    desired = order.get("desired_ready_time")
    if isinstance(desired, str) and "2030-06" < desired < "2030-06-03T11":
        order["desired_ready_time"] = None


def rounded(order: Json) -> None:
    for name in ("tip", "merchant_funded_discount"):
        if isinstance(order.get(name), float):
            order[name] = int(order[name])


def merged(order: Json) -> None:
    """Lines by their item: the first one's options, the quantities of all."""
    lines: dict[Any, Json] = {}
    for each in order.get("items") or ():
        if not isinstance(each, dict) or not isinstance(each.get("item"), dict):
            return
        item = each["item"]
        if (known := lines.get(item.get("provider_id"))) is None:
            lines[item.get("provider_id")] = item
        elif type(known.get("quantity")) is int and type(item.get("quantity")) is int:
            known["quantity"] += item["quantity"]
    order["items"] = [{"item": item} for item in lines.values()] or order.get("items")


class OneBasket:
    """The basket of the login: a guest who orders during somebody else's order gets that one's items."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: list[Json] = []

    def __call__(self, order: Json) -> None:
        with self._lock:
            before = [other for other in self._under_way if other["user"] != order.get("user")]
            self._under_way.append({"items": order.get("items"), "user": order.get("user")})
        if before:
            order["items"] = before[0]["items"]
        time.sleep(0.02)
        with self._lock:
            self._under_way.pop(0)


def _wrong(*rules: str, **members: Any) -> Wrong:
    return Wrong(frozenset(rules), **members)


WRONG: Mapping[str, Wrong] = {
    "total includes the tip": _wrong("MONEY-3", "MONEY-8", answer=validated(tip_in_total)),
    "total is lowered by the discount": _wrong("MONEY-3", "MONEY-8", answer=validated(discount_off_total)),
    "tip is 0 where none is taken": _wrong("MONEY-4", answer=validated(tip_zero), location="sandbox.notips"),
    "slots outside the window": _wrong("TIME-8", answer=validated(late_slots), location="sandbox.day"),
    "a time with seconds": _wrong("TIME-1", answer=validated(seconds)),
    "amounts are floats": _wrong("MONEY-1", answer=validated(float_money)),
    "ready_at is missing": _wrong("EP-11", answer=validated(no_ready_at)),
    "another time than desired": _wrong("TIME-6", answer=validated(other_time)),
    "clock changes are overlooked": _wrong("TIME-9", answer=validated(clock_changes)),
    "metadata has names of its own": _wrong("META-1", answer=validated(metadata_names)),
    "what the consumer pays is returned": _wrong("MONEY-7", answer=validated(consumer_pays)),
    "a reference of the menu dangles": _wrong("MENU-3", answer=dangling),
    "hours without sunday": _wrong("LOC-2", answer=missing_day),
    "errors without a code": _wrong("ERR-1", answer=no_code),
    "errors of another shape": _wrong("ERR-1", answer=other_shape),
    "an error contains the card": _wrong("ERR-4", answer=leaks, location="sandbox.card"),
    "a submission without an estimate": _wrong("SUB-1", answer=no_estimate),
    "a status of a word of its own": _wrong("STAT-2", answer=own_stage),
    "a status does not say since when": _wrong("STAT-1", answer=no_since),
    "a status comes again unchanged": _wrong("STAT-1", answer=own_tag, request=no_etag_of_orders),
    "what was never placed is canceled": _wrong("STAT-6", instead=canceled_at_once),
    "whoever asks is believed": _wrong("EVT-9", instead=believing),
    "sold out is another line": _wrong("ITEM-1", "MENU-8", answer=another_line),
    "an order is placed for another time": _wrong("TIME-11", answer=next_week),
    "malformed JSON is a fault": _wrong("ERR-3", "EP-9", instead=crash),
    "no order is ever placed": _wrong("EP-5", instead=never_placed),
    "unknown members are refused": _wrong("EP-8", instead=strict_members),
    "no key is needed": _wrong("EP-6", request=open_to_all),
    "If-None-Match is overlooked": _wrong("MENU-4", "STAT-1", request=no_etag),
    # And the key is that of no order.
    "a retry is another order": _wrong("STAT-1", "SUB-2", "SUB-3", "SUB-4", request=no_identity),
    "other content is answered with the first order": _wrong("SUB-4", request=key_decides),
    "orphans are dropped": _wrong("ITEM-5", request=ordered(drop_orphans)),
    "instructions are cut off": _wrong("ITEM-8", request=ordered(cut_off)),
    "a delivery becomes a pickup": _wrong("EP-12", request=ordered(always_pickup)),
    "the fee of a delivery is hidden": _wrong("DELIVERY-3", answer=validated(hidden_fee)),
    "an address is not read": _wrong("DELIVERY-2", request=ordered(no_address)),
    "the past becomes as soon as possible": _wrong("TIME-10", request=ordered(no_past)),
    "lines of one item are merged": _wrong("ITEM-11", request=ordered(merged)),
    "two users share a basket": _wrong("META-11", request=ordered(OneBasket())),
    "10.0 is an amount": _wrong("MONEY-1", request=ordered(rounded)),
}
