"""A stand-in for Toast on the loopback interface: it answers, prices and refuses as the public specification says.

Written from that specification; its words and its rounding are made up. Two restaurants; modifiers nest three
levels deep. Amounts are JSON numbers as Toast writes them (``10.1``, ``8.0``).
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from flask import Flask, Response, abort, jsonify, make_response, request
from werkzeug.serving import make_server

from tests.servers.toast_menu import menus, visible_only

CLIENT_ID, CLIENT_SECRET = "client-1", "s3cret-of-the-client"
AUTHORITY = "LEVELUP"
TAX = 7
"""Percent of the food after discounts."""


def guid(number: int) -> str:
    """A GUID that shows which one it is."""
    return str(UUID(int=number << 96))


BOSTON, CAMBRIDGE, ARCHIVED = guid(0xB0), guid(0xCA), guid(0xAC)
TAKEOUT, LEVELUP, OPEN_DISCOUNT, DELIVERY = guid(0xD0), guid(0xA1), guid(0xD1), guid(0xDE)


class Refusal(Exception):
    """What Toast answers instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ToastServer:
    """Toast, until the block ends. ``now`` is its clock.

    ``calls`` counts what was asked for, ``orders`` are those that exist, by external id. ``faults`` are consumed
    one by one, by path or rule (``/orders/v2/orders/<key>``): a status is answered before anything happens, ``lost``
    drops the connection and ``garbled`` spoils the answer after it has, any other text is a refusal in its place.
    ``overrides`` are whole answers or refusals, by path or rule, ``answers`` the last ones given, by path.
    """

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
        self.calls: Counter[str] = Counter()
        self.headers: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, list[int | str]] = {}
        self.overrides: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.client_id, self.token_life = CLIENT_ID, 86400
        # Whether a check's amount and its total hold gratuities; the specification says only that the amount does not.
        self.gratuities = (False, False)
        self.slow: dict[str, float] = {}
        self.service_charges: list[dict[str, Any]] = []
        self.house_discount = 0
        self.delivery_fee = 399
        self.discount_cap: int | None = None
        self.sold_out: set[str] = set()
        self.menus = menus()
        self.restaurants = {BOSTON: restaurant("Boston Grill", "Back Bay"), CAMBRIDGE: restaurant("Boston Grill", None)}
        self.schedule = schedule()
        self._tokens: set[str] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> ToastServer:
        self._server = make_server("127.0.0.1", 0, _application(self), threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def fault(self, path: str, *effects: int | str) -> None:
        self.faults.setdefault(path, []).extend(effects)

    def settings(self, **more: str) -> dict[str, str]:
        """An account's settings, without the secret."""
        return {
            "base_url": self.base_url, "client_id": CLIENT_ID, "naming_authority": AUTHORITY,
            "restaurants": f"{BOSTON}, {CAMBRIDGE}", "dining_option": TAKEOUT, "payment_type": LEVELUP,
            "discount": OPEN_DISCOUNT, "menus_version": "v3", **more,
        }  # fmt: skip

    def log_in(self, body: Mapping[str, Any]) -> Any:
        expected = {"clientId": self.client_id, "clientSecret": CLIENT_SECRET, "userAccessType": "TOAST_MACHINE_CLIENT"}
        if body != expected:
            raise Refusal(401, "Unauthorized")
        with self._lock:
            self._tokens.add(token := f"t0ken-{next(self._numbers)}")
        parts = {"tokenType": "Bearer", "scope": None, "expiresIn": self.token_life, "accessToken": token}
        return {"token": {**parts, "idToken": None, "refreshToken": None}, "status": "SUCCESS"}

    def check_access(self, authorization: str, restaurant_guid: str) -> None:
        if authorization.removeprefix("Bearer ") not in self._tokens:
            raise Refusal(401, "The token has expired")
        if restaurant_guid not in (*self.restaurants, ARCHIVED):
            raise Refusal(403, "no access to this restaurant")

    def price(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The order with all its amounts; nothing of it is kept."""
        option = order.get("diningOption", {}).get("guid")
        if option not in (TAKEOUT, DELIVERY):
            raise Refusal(404, "Dining option not found")
        brought = order.get("deliveryInfo") or {}
        if unknown := brought.keys() - {"address1", "address2", "city", "state", "zipCode", "notes"}:
            raise Refusal(400, f"Unknown {unknown} of deliveryInfo")
        if option == DELIVERY and not all(brought.get(name) for name in ("address1", "city", "state", "zipCode")):
            raise Refusal(400, "deliveryInfo is required")
        [check] = order["checks"]
        if not check["selections"]:
            raise Refusal(400, "A check must have selections")
        selections = [self._selection(selection) for selection in check["selections"]]
        food = sum(selection["cents"] for selection in selections)
        applied = [self._discount(discount, food) for discount in check.get("appliedDiscounts", [])]
        if self.house_discount:
            applied.append(_applied(self.house_discount, guid(0xF0), "House"))
        charges = copy.deepcopy(self.service_charges)
        if option == DELIVERY:
            charges.append({"name": "Delivery", "chargeAmount": dollars(self.delivery_fee), "delivery": True})
        gratuity = sum(cents(each["chargeAmount"]) for each in charges if each.get("gratuity"))
        amount = food + sum(cents(each["chargeAmount"]) for each in charges) - gratuity
        amount -= sum(cents(each["discountAmount"]) for each in applied)
        tax = (amount * TAX * 2 + 100) // 200
        amount_holds, total_holds = self.gratuities
        amount += gratuity if amount_holds else 0
        total = amount + tax + (gratuity if total_holds and not amount_holds else 0)
        return {
            "guid": None, "entityType": "Order", "externalId": order.get("externalId"),
            "diningOption": order["diningOption"], "deliveryInfo": order.get("deliveryInfo"),
            "promisedDate": order.get("promisedDate"),
            "estimatedFulfillmentDate": None, "requiredPrepTime": None, "source": "API",
            "checks": [{
                "guid": None, "entityType": "Check", "displayNumber": None, "taxExempt": False,
                "selections": [dict(selection, cents=None) for selection in selections],
                "customer": check["customer"], "appliedServiceCharges": charges, "appliedDiscounts": applied,
                "amount": dollars(amount), "taxAmount": dollars(tax), "totalAmount": dollars(total),
                "payments": [], "paymentStatus": "OPEN",
            }],
        }  # fmt: skip

    def place(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the order, if it is paid with exactly what it costs."""
        external_id = order.get("externalId")
        if external_id is not None and not str(external_id).startswith(f"{AUTHORITY}:"):
            raise Refusal(400, "externalId has no known naming authority")
        for name in ("firstName", "lastName", "email", "phone"):
            if not order["checks"][0].get("customer", {}).get(name):
                raise Refusal(400, f"Customer {name} cannot be empty")
        priced = self.price(order)
        check = priced["checks"][0]
        [payment] = order["checks"][0]["payments"]
        if (payment["type"], payment["otherPayment"]["guid"]) != ("OTHER", LEVELUP):
            raise Refusal(404, "Alternate payment type not found")
        if cents(payment["amount"]) != cents(check["totalAmount"]):
            raise Refusal(400, f"Payment amount {payment['amount']} does not match {check['totalAmount']}")
        with self._lock:
            if external_id in self.orders:
                raise Refusal(400, f"An order with externalId {external_id} already exists")
            number = len(self.orders) + 1
            times = self.restaurants[BOSTON]["prepTimes"]
            ready = self.now + timedelta(minutes=times["takeoutPrepTime"] + times["takeoutThrottlingTime"])
            priced |= {"guid": guid(0x1000 + number), "approvalStatus": "NEEDS_APPROVAL", "voided": False}
            priced["estimatedFulfillmentDate"] = order.get("promisedDate") or stamp(ready)
            check |= {"guid": guid(0x2000 + number), "displayNumber": str(number), "payments": [payment]}
            self.orders[external_id or ""] = priced
        return priced

    def _discount(self, discount: Mapping[str, Any], food: int) -> dict[str, Any]:
        if discount["discount"]["guid"] != OPEN_DISCOUNT:
            raise Refusal(404, "Discount not found")
        wanted = cents(discount["discountAmount"])
        return _applied(min(wanted, food, wanted if self.discount_cap is None else self.discount_cap), OPEN_DISCOUNT)

    def _selection(self, selection: Mapping[str, Any]) -> dict[str, Any]:
        wanted = (selection["itemGroup"]["guid"], selection["item"]["guid"])
        items = {(group["guid"], item["guid"]): item for group in self._groups() for item in group["menuItems"]}
        if (item := items.get(wanted)) is None:
            raise Refusal(404, "Menu item not found")
        if item["guid"] in self.sold_out:
            raise Refusal(400, f"{item['name']} is out of stock")
        each = self._modified(item, selection["modifiers"], selection["quantity"])
        total = (cents(item["price"] or 0) + each) * selection["quantity"]
        amounts = {"preDiscountPrice": dollars(total), "price": dollars(total), "cents": total}
        return {**selection, "guid": None, "displayName": item["name"], "appliedDiscounts": [], **amounts}

    def _modified(self, owner: Mapping[str, Any], modifiers: list[dict[str, Any]], quantity: int) -> int:
        """What the modifiers of one piece cost; refused as the menu's groups say."""
        groups = [self.menus["modifierGroupReferences"][str(ref)] for ref in owner["modifierGroupReferences"]]
        chosen: Counter[str] = Counter()
        times: Counter[tuple[str, str]] = Counter()
        total = 0
        for modifier in modifiers:
            if modifier.get("selectionType") == "SPECIAL_REQUEST":
                continue
            if "optionGroup" not in modifier:
                raise Refusal(400, "Modifier selection needs an optionGroup")
            if modifier["quantity"] != quantity:
                raise Refusal(400, "Modifier quantity must match the quantity of its selection")
            group = next((each for each in groups if each["guid"] == modifier["optionGroup"]["guid"]), None)
            if group is None:
                raise Refusal(404, "Option group not found")
            option = next((each for each in self._options(group) if each["guid"] == modifier["item"]["guid"]), None)
            if option is None:
                raise Refusal(404, "Modifier option not found")
            chosen[group["guid"]] += 1
            times[group["guid"], option["guid"]] += 1
            if times[group["guid"], option["guid"]] > 1 and not option["allowsDuplicates"]:
                raise Refusal(400, f"Modifier {option['name']} can be added only once")
            if not (option["isDefault"] and group["defaultOptionsChargePrice"] == "NO"):
                total += cents(option["price"] or 0)
            total += self._modified(option, modifier["modifiers"], quantity)
        for group in groups:
            least = max(group["minSelections"], int(group["requiredMode"] == "REQUIRED"))
            if chosen[group["guid"]] < least:
                raise Refusal(400, f"Modifier group {group['name']} needs at least {least} selections")
            if group["maxSelections"] is not None and chosen[group["guid"]] > group["maxSelections"]:
                raise Refusal(400, f"Modifier group {group['name']} takes at most {group['maxSelections']} selections")
        return total

    def _options(self, group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for reference in group["modifierOptionReferences"]:
            yield self.menus["modifierOptionReferences"][str(reference)]

    def _groups(self) -> Iterator[dict[str, Any]]:
        waiting = [group for menu in self.menus["menus"] for group in menu["menuGroups"]]
        while waiting:
            yield (group := waiting.pop())
            waiting += group["menuGroups"]


def cents(amount: Any) -> int:
    """Cents of a JSON number of dollars."""
    return round(float(amount) * 100)


def dollars(amount: int) -> float:
    """A JSON number of dollars, as Toast writes them."""
    return amount / 100


def stamp(instant: datetime) -> str:
    """A time as Toast writes them."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.000+0000"


def _applied(amount: int, discount: str, name: str = "LevelUp") -> dict[str, Any]:
    amounts = {"discountAmount": dollars(amount), "nonTaxDiscountAmount": dollars(amount)}
    return {"guid": None, "name": name, **amounts, "discount": {"guid": discount}, "discountType": "OPEN_FIXED"}


def restaurant(name: str, place: str | None) -> dict[str, Any]:
    """What the restaurants API says: closed on Mondays, open over midnight on Fridays."""
    days = ("tuesday", "wednesday", "thursday", "saturday", "sunday")
    return {
        "general": {
            "name": name, "locationName": place, "timeZone": "America/New_York", "closeoutHour": 4,
            "currencyCode": "USD", "archived": False,
        },
        "location": {
            "address1": "1 Main St", "address2": None, "city": "Boston", "stateCode": "MA", "zipCode": "02114",
            "administrativeArea": "MA", "phone": "6175550100", "latitude": 42.3601, "longitude": -71.0589,
        },
        "schedules": {
            "daySchedules": {
                "1": {"scheduleName": "day", "openTime": "11:00:00.000", "closeTime": "21:00:00.000"},
                "2": {"scheduleName": "late", "openTime": "11:00:00.000", "closeTime": "02:00:00.000"},
            },
            "weekSchedule": {"monday": None, "friday": "2", **dict.fromkeys(days, "1")},
        },
        "onlineOrdering": {"enabled": True, "scheduling": True, "specialRequests": True},
        "prepTimes": {"takeoutPrepTime": 15, "takeoutThrottlingTime": 5, "deliveryPrepTime": 45},
        "delivery": {"enabled": place is not None, "minimum": 12.5, "area": "encoded"},
    }  # fmt: skip


def schedule() -> dict[str, Any]:
    """Online hours: 11 to 20, on Fridays to 1 at night, none on Mondays; one holiday."""
    days = ("TUESDAY", "WEDNESDAY", "THURSDAY", "SATURDAY", "SUNDAY")
    periods = [{"day": day, "timeRanges": [{"start": "11:00", "end": "20:00"}]} for day in days]
    late = {"day": "FRIDAY", "timeRanges": [{"start": "11:00", "end": "01:00"}]}
    closed = {"description": "Holiday", "diningOptionBehavior": ["TAKE_OUT", "DELIVERY"], "businessDate": 20261126}
    return {
        "servicePeriods": [
            {"diningOptionBehavior": "TAKE_OUT", "dayPeriods": [*periods, late]},
            {"diningOptionBehavior": "DELIVERY", "dayPeriods": [periods[0], {**late, "timeRanges": [
                {"start": "12:00", "end": "18:00"}
            ]}]},
        ],
        "overrides": [{**closed, "timeRanges": []}],
        "acceptScheduledOrders": True, "scheduledOrderMaxDays": 7,
        "lastOrderConfiguration": "UNTIL_CLOSING_TIME", "timeZoneId": "America/New_York",
    }  # fmt: skip


def _application(server: ToastServer) -> Flask:
    app = Flask("toast", static_folder=None)

    def at_address(kept: Mapping[str, Any]) -> Any:
        return kept[request.path] if request.path in kept else kept.get(str(request.url_rule))

    @app.before_request
    def arrive() -> Response | None:
        server.calls[f"{request.method} {request.path}"] += 1
        server.headers += [(request.path, request.headers.get("Authorization", ""))]
        server.bodies += [(request.path, request.get_json(silent=True))]
        time.sleep(server.slow.get(request.path, 0))
        effects = at_address(server.faults) or []
        if effects and isinstance(effects[0], int):
            status = effects.pop(0)
            return make_response(jsonify(_problem(int(status), "injected")), status)
        if (answer := at_address(server.overrides)) is not None:
            if isinstance(answer, Refusal):
                raise answer
            return make_response(jsonify(answer))
        if not request.path.startswith("/authentication"):
            restaurant_guid = request.headers.get("Toast-Restaurant-External-ID", "")
            server.check_access(request.headers.get("Authorization", ""), restaurant_guid)
        return None

    @app.after_request
    def leave(response: Response) -> Response:
        server.answers[request.path] = response.get_json(silent=True)
        effects = at_address(server.faults) or []
        if effects and isinstance(effects[0], str):
            match effects.pop(0):
                case "garbled":
                    return make_response("<html>", 200)
                case "lost":
                    request.environ["werkzeug.socket"].shutdown(2)
                case words:
                    return make_response(jsonify(_problem(400, str(words))), 400)
        return response

    @app.errorhandler(Refusal)
    def refuse(refusal: Refusal) -> Any:
        return jsonify(_problem(refusal.status, str(refusal))), refusal.status

    @app.post("/authentication/v1/authentication/login")
    def log_in() -> Any:
        return server.log_in(request.get_json())

    @app.get("/restaurants/v1/restaurants/<key>")
    def show_restaurant(key: str) -> Any:
        if key not in server.restaurants:
            raise Refusal(404, "Restaurant not found")
        return {"guid": key, **server.restaurants[key]}

    @app.get("/ordermgmt-config/v1/published/orderingSchedule")
    def show_schedule() -> Any:
        return server.schedule

    @app.get("/menus/<version>/menus")
    def show_menus(version: str) -> Any:
        if version not in ("v2", "v3"):
            abort(404)
        return server.menus if version == "v2" else visible_only(server.menus)

    @app.get("/menus/<version>/metadata")
    def show_metadata(version: str) -> Any:
        return {"restaurantGuid": request.headers["Toast-Restaurant-External-ID"],
                "lastUpdated": server.menus["lastUpdated"]}  # fmt: skip

    @app.get("/stock/v1/inventory")
    def show_inventory() -> Any:
        """By the specification: what is out of stock or limited, or one of the two."""
        wanted = request.args.get("status", "OUT_OF_STOCK")
        return [{"guid": key, "status": "OUT_OF_STOCK", "quantity": None} for key in sorted(server.sold_out)
                if wanted == "OUT_OF_STOCK"]  # fmt: skip

    @app.post("/orders/v2/prices")
    def prices() -> Any:
        return server.price(request.get_json())

    @app.post("/orders/v2/orders")
    def place() -> Any:
        return server.place(request.get_json())

    @app.get("/orders/v2/orders/<key>")
    def show_order(key: str) -> Any:
        """An order by its GUID, as the specification has it, or by its external id."""
        found = next((each for name, each in server.orders.items() if key in (name, each["guid"])), None)
        if found is None:
            raise Refusal(404, "Order not found")
        return found

    @app.post("/orders/v2/orders/<key>/void")
    def void_order(key: str) -> Any:
        """By the specification: all selections and OTHER payments; not of a voided order, or one with discounts."""
        order, body = show_order(key), request.get_json()
        if not (body["selections"]["voidAll"] and body["payments"]["voidAll"]):
            raise Refusal(400, "Everything must be voided")
        if order["voided"]:
            raise Refusal(400, "Order is already voided")
        if any(check["appliedDiscounts"] for check in order["checks"]):
            raise Refusal(400, "Order with discounts cannot be voided")
        order |= {"voided": True, "voidDate": stamp(server.now)}
        return order

    return app


def _problem(status: int, message: str) -> dict[str, Any]:
    rest = dict.fromkeys(("messageKey", "fieldName", "link", "developerMessage", "canRetry"))
    return {"status": status, "code": 10025, "message": message, "errors": [], "requestId": "r-1", **rest}
