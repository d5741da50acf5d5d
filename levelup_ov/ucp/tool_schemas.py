"""The arguments of the tools, as a model reads them. What is accepted is decided by :mod:`levelup_ov.schemas`.

Members that UCP has, and that change nothing here, are left out: a model need not consider them.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def whole(description: str, **more: Any) -> Schema:
    """An integer."""
    return {"type": "integer", "description": description, **more}


def members(required: tuple[str, ...] = (), description: str = "", /, **properties: Schema) -> Schema:
    """An object."""
    about = {"description": description} if description else {}
    return {"type": "object", **about, "properties": properties, "required": list(required)}


def several(inner: Schema, description: str = "") -> Schema:
    """A list."""
    return {"type": "array", "items": inner, **({"description": description} if description else {})}


def arguments(required: tuple[str, ...] = (), key: str = "", /, **properties: Schema) -> Schema:
    """The arguments of a tool, with ``meta``; ``key``: what repeats safely under one idempotency key."""
    agent = members(("profile",), profile=text("https address of the profile of the agent that calls", format="uri"))
    meta: dict[str, Schema] = {"ucp-agent": agent}
    needed = ["ucp-agent"]
    if key:
        meta["idempotency-key"] = text(f"a new UUID for each {key}, the same one if it is repeated", format="uuid")
        needed += ["idempotency-key"] if key != "change" else []
    declared = {"type": "object", "properties": meta, "required": needed}
    return members(("meta", *required), meta=declared, **properties)


ID = text("id of the checkout")
QUANTITY = whole("how many", minimum=1)
LINE = text("id of the line; repeat it in an update")
BUYER = members(
    (), "who will get the order: both names, and a phone number or an e-mail address",
    first_name=text(""), last_name=text(""), phone_number=text("", examples=["617-555-0142"]), email=text(""),
)  # fmt: skip
MODIFICATION = members(
    ("id",),
    id=text("id of a modification from get_dish, such as one below another"),
    quantity=whole("how many for each dish, 1 if left out", minimum=1),
)
DISH = members(
    ("id",),
    id=text("id of a dish from search_menu"),
    modifications=several(MODIFICATION, "all that are chosen, each once, in one flat list"),
    note=text("for the kitchen"),
)
ADDRESS = members(
    ("street_address", "postal_code"),
    street_address=text(""), extended_address=text(""), address_locality=text("city"),
    address_region=text("state"), postal_code=text(""),
)  # fmt: skip
METHOD = members(
    ("type",),
    type=text("", enum=["pickup", "delivery"]),
    requested_fulfillment_time=text("when it should be ready, with offset; leave it out for as soon as possible"),
    selected_option_id=text("id of one of the windows that a checkout offers"),
    destination=ADDRESS,
    notes=text("for the courier"),
)
FOOD_CHECKOUT = members(
    ("line_items",),
    food_establishment=members(("id",), id=text("id from list_establishments")),
    line_items=several(members(("dish", "quantity"), id=LINE, dish=DISH, quantity=QUANTITY)),
    buyer=BUYER,
    fulfillment=members(methods=several(METHOD, "one; pickup as soon as possible if left out")),
    tip=members(
        selected_option_id=text("id of a preset that the checkout offers"), custom_amount=whole("cents", minimum=0)
    ),
)
SHOPPING_ITEM = members(("id",), id=text("id of a product from search_catalog"))
SHOPPING_CHECKOUT = members(
    ("line_items",),
    line_items=several(members(("item", "quantity"), id=LINE, item=SHOPPING_ITEM, quantity=QUANTITY)),
    buyer=BUYER,
)
CREDENTIAL = members(
    ("type",),
    "of the type that the checkout's payment handler names",
    type=text("", enum=["single_use_card", "levelup_connection"]),
    number=text("of the card"), cvc=text("of the card"), expiry_month=whole("of the card"),
    expiry_year=whole("of the card, four digits"), name=text("on the card"), postal_code=text("of the card"),
    merchant=text("id of a connected merchant at LevelUp"), user=text("id of a connected user at LevelUp"),
    location_id=whole("id of the location at LevelUp"),
)  # fmt: skip
INSTRUMENT = members(
    ("id", "handler_id", "type", "credential"),
    id=text("any"),
    handler_id=text("id of one of ucp.payment_handlers of the checkout"),
    type=text("one of the handler's available_instruments"),
    credential=CREDENTIAL,
    billing_address=members(postal_code=text("")),
)
PAYMENT = members(("payment",), payment=members(("instruments",), instruments=several(INSTRUMENT, "one")))
WORDS = text("words to look for; everything is listed if left out")
SEARCHED = text("words to look for; * finds all")
LIMIT = whole("entries of a page", minimum=1, maximum=50)
CURSOR = text("next_cursor of the page before")
