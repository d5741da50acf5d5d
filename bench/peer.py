"""The reference: the same validation in FastAPI, pydantic 2 and httpx, tuned as far as their users would.

One uvicorn process on uvloop and httptools; pure ASGI middleware; one pooled client; pydantic reads both
requests and provider answers in one pass; orjson writes. It answers byte for byte what the service answers.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, Field, StrictInt, StrictStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.order import API_KEY

CIPHER = AESGCM(AESGCM.generate_key(256))
GUEST_KEY = hmac.new(os.urandom(32), digestmod="sha256")
"""Copied for each use, because starting with a key takes longer than everything else."""
ZONE = ZoneInfo("America/New_York")
LOCATIONS = {"bench.main": 1, "bench3.main": 3}
"""How many provider calls a validation takes at each location."""

log = logging.getLogger("peer")
calls: ContextVar[list[dict[str, Any]]] = ContextVar("calls")

Cents = Annotated[StrictInt, Field(ge=0, le=99_999_999)]
Quantity = Annotated[StrictInt, Field(ge=1)]


class Option(BaseModel):
    provider_id: StrictStr
    quantity: Quantity = 1
    metadata: dict[str, Any] = {}


class OptionEntry(BaseModel):
    option: Option


class Item(BaseModel):
    provider_id: StrictStr
    quantity: Quantity
    special_instructions: StrictStr | None = None
    recipient_name: StrictStr | None = None
    metadata: dict[str, Any] = {}
    options: list[OptionEntry] = []


class ItemEntry(BaseModel):
    item: Item


class User(BaseModel):
    first_name: StrictStr
    last_name: StrictStr
    phone: StrictStr | None = None
    email: StrictStr | None = None


class OrderValidation(BaseModel):
    desired_ready_time: datetime | None = None
    fulfillment_type: StrictStr = "pickup"
    special_instructions: StrictStr | None = None
    tip: Cents | None = None
    merchant_funded_discount: Cents | None = None
    user: User
    metadata: dict[str, Any] = {}
    items: Annotated[list[ItemEntry], Field(min_length=1)]


class Body(BaseModel):
    order_validation: OrderValidation


class Cart(BaseModel):
    cart_id: StrictStr


class Price(BaseModel):
    subtotal: Cents
    tax: Cents
    tip: Cents | None = None
    discount: Cents
    total: Cents


class ReadyTime(BaseModel):
    ready_at: AwareDatetime | None = None


class Everything(Cart, Price, ReadyTime):
    pass


POOLS = int(os.environ.get("PEER_POOLS", "1"))
"""How many clients share the load: the pool of one does work that grows with the square of its connections."""
clients: Iterator[httpx.AsyncClient] = iter(())


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global clients
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256, keepalive_expiry=300)
    async with contextlib.AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=os.environ["PROVIDER"], limits=limits, timeout=14, trust_env=False)
            )
            for _ in range(POOLS)
        ]
        clients = itertools.cycle(pools)
        yield


async def authenticated(authorization: Annotated[str, Header()] = "") -> None:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() not in ("token", "bearer") or not hmac.compare_digest(key.strip().encode(), API_KEY.encode()):
        raise HTTPException(401)


app = FastAPI(
    lifespan=lifespan,
    openapi_url=None,
    dependencies=[Depends(authenticated)],
    telemetry={"tracing": False, "metrics": False, "logs": False},
)


@app.exception_handler(RequestValidationError)
async def invalid(request: Any, error: RequestValidationError) -> Response:
    return Response(orjson.dumps({"error": error.errors()}, default=str), 422, media_type="application/json")


@app.post("/locations/{location_id}/order_validations")
async def validate_order(location_id: str, body: Body) -> Response:
    if location_id not in LOCATIONS:
        raise HTTPException(404)
    order = body.order_validation
    price, cart, ready = await _priced(LOCATIONS[location_id], _provider_body(order))
    tip, discount = price.tip or 0, order.merchant_funded_discount or 0
    if price.subtotal + price.tax + tip - discount != price.total:
        raise HTTPException(502)
    ready_at = _local(ready.ready_at)
    answer = {
        "total": price.subtotal,
        "tax": price.tax,
        "tip": price.tip,
        "merchant_funded_discount": discount,
        "provider_funded_discount": 0,
        "soonest_available_at": ready_at,
        "ready_at": ready_at,
        "available_at": None,
        "metadata": {
            "order_validation_id": _sealed(_shown(order.desired_ready_time, ready.ready_at), location_id),
            "order_cart_id": _sealed(
                # Not orjson, which writes no spaces: as many bytes are to be sealed as by the service.
                json.dumps([cart.cart_id, _marks(order.user)]).encode(),
                f"{location_id.partition('.')[0]} order_cart_id {location_id}",
            ),
        },
    }
    return Response(orjson.dumps({"order_validation": answer}), media_type="application/json")


async def _priced(wanted: int, body: dict[str, Any]) -> tuple[Price, Cart, ReadyTime]:
    if wanted == 1:
        everything = Everything.model_validate_json(await _call("POST", "/prices", body))
        return everything, everything, everything
    cart = Cart.model_validate_json(await _call("POST", "/carts", {"location_id": body["location_id"]}))
    path = f"/carts/{cart.cart_id}"
    price = Price.model_validate_json(await _call("POST", f"{path}/prices", body))
    ready = ReadyTime.model_validate_json(await _call("GET", f"{path}/ready_time"))
    return price, cart, ready


async def _call(method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    started = time.monotonic()
    content = None if body is None else orjson.dumps(body)
    response = await next(clients).request(method, path, content=content, headers=JSON if content else None)
    milliseconds = round((time.monotonic() - started) * 1000)
    calls.get().append({"method": method, "path": path, "status": response.status_code, "milliseconds": milliseconds})
    response.raise_for_status()
    return response.content


JSON = {"Content-Type": "application/json"}


def _provider_body(order: OrderValidation) -> dict[str, Any]:
    return {
        "location_id": "main",
        "fulfillment": order.fulfillment_type,
        "ready_at": order.desired_ready_time and order.desired_ready_time.isoformat(),
        "customer": {
            "name": f"{order.user.first_name} {order.user.last_name}",
            "phone": order.user.phone,
            "email": order.user.email,
        },
        "note": order.special_instructions,
        "tip": order.tip or 0,
        "discount": order.merchant_funded_discount or 0,
        "items": [
            {
                "id": entry.item.provider_id,
                "quantity": entry.item.quantity,
                "recipient": entry.item.recipient_name,
                "note": entry.item.special_instructions,
                "modifiers": _nest(entry.item.options),
            }
            for entry in order.items
        ],
    }


def _nest(entries: list[OptionEntry]) -> list[dict[str, Any]]:
    """The tree of the flattened options; parents come before their children in this benchmark's order."""
    roots: list[dict[str, Any]] = []
    built: dict[str, dict[str, Any]] = {}
    for entry in entries:
        option = entry.option
        parent, _, last = option.provider_id.rpartition(":")
        parent, _, group = parent.rpartition(":")
        if not group or (parent and parent not in built):
            raise HTTPException(422, f"option {option.provider_id} is not allowed here")
        node = {"group": _unescape(group), "id": _unescape(last), "quantity": option.quantity, "modifiers": []}
        built[option.provider_id] = node
        siblings: list[dict[str, Any]] = built[parent]["modifiers"] if parent else roots
        siblings.append(node)
    return roots


def _unescape(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%") if "%" in part else part


def _local(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    if instant.second or instant.microsecond:
        instant = instant.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return instant.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M")


def _shown(desired: datetime | None, ready_at: datetime | None) -> bytes:
    """An id of its own for a validation, when it was made, and the times that were shown with it (META-8, TIME-11)."""
    times = ("-" if instant is None else str(int(instant.timestamp())) for instant in (desired, ready_at))
    return f"{uuid.uuid4()} {int(time.time())} {' '.join(times)}".encode()


def _marks(user: User) -> list[str]:
    """Who the guest is, without saying it: keyed digests of the e-mail address and of the telephone (META-10)."""
    email = (user.email or "").strip().casefold()
    phone = "".join(filter(str.isdigit, user.phone or ""))
    known = [f"{kind} {value}" for kind, value in (("email", email), ("phone", phone)) if value]
    return [_digest(mark)[:32] for mark in known]


def _digest(mark: str) -> str:
    digest = GUEST_KEY.copy()
    digest.update(mark.encode())
    return digest.hexdigest()


def _sealed(content: bytes, context: str) -> str:
    """Readable by us alone, and only for the same context, as all that the channel keeps for us (META-7)."""
    nonce = os.urandom(12)
    sealed = nonce + CIPHER.encrypt(nonce, content, context.encode())
    return "sealed.1." + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


class Logged:
    """One JSON line for each request, and its id as a header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        status = 500
        made: list[dict[str, Any]] = []
        token = calls.set(made)

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            calls.reset(token)
            location = scope.get("path_params", {}).get("location_id", "")
            log.info(
                "request",
                extra={
                    "members": {
                        "request_id": request_id,
                        "operation": getattr(scope.get("endpoint"), "__name__", "unknown"),
                        "outcome": "ok" if status < 400 else "failed",
                        "status": status,
                        "milliseconds": round((time.monotonic() - started) * 1000),
                        "account": location.partition(".")[0],
                        "location": location,
                        "provider": "bench",
                        "provider_calls": made,
                    }
                },
            )


_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "members", {}),
        }
        return orjson.dumps(line).decode()


def main() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONLines())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    uvicorn.run(
        Logged(app),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="on",
        timeout_keep_alive=75,
        backlog=1024,
        server_header=False,
    )


if __name__ == "__main__":
    main()
