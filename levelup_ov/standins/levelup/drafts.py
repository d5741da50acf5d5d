"""An order as an app sends it: what is proposed, completed, or made in one step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from levelup_ov.standins.levelup.amounts import Amounts
from levelup_ov.standins.levelup.reading import ObjectReader, unwrap

IDENTIFIER_LIMIT = 20
"""The pages say 10; LevelUp's own tool for its staff sends 20."""
RECEIPT_LIMIT = 10_000
DEEPEST_ITEM = 5

_CHARGED = ("charged_price_amount", "charged_price")
_STANDARD = ("standard_price_amount", "standard_price")
"""The older name of a price is the shorter one; either is accepted everywhere."""
_WORDS = ("description", "category", "sku", "upc")


@dataclass(frozen=True, slots=True)
class Draft:
    """Its members are named as they are sent; the last two complete a proposal. ``items`` is ready for JSON.

    ``payment_token_data``: the QR code of who pays, where no token of theirs is sent.
    """

    location_id: int
    identifier_from_merchant: str | None
    spend_amount: int
    tax_amount: int
    tip_amount: int
    exemption_amount: int
    partial_authorization_allowed: bool
    discount_only: bool
    cashier: str | None
    register: str | None
    receipt_message_html: str | None
    items: list[dict[str, Any]]
    applied_discount_amount: int | None = None
    proposed_order_uuid: str | None = None
    payment_token_data: str | None = None

    @property
    def amounts(self) -> Amounts:
        return Amounts(self.spend_amount, self.tax_amount, self.exemption_amount)

    def differs_from(self, proposal: Draft) -> list[str]:
        """What may not differ between a proposal and its completion, but does."""
        ours = asdict(replace(self, **_FREE))
        theirs = asdict(replace(proposal, **_FREE))
        return [name for name in ours if ours[name] != theirs[name]]


_FREE: dict[str, Any] = {
    "tax_amount": 0,
    "spend_amount": 0,
    "applied_discount_amount": None,
    "proposed_order_uuid": None,
}


def read_proposal(body: Any) -> Draft:
    """:raises ErrorResponse: 422."""
    return _read(unwrap(body, "proposed_order"))


def read_completion(body: Any) -> Draft:
    """:raises ErrorResponse: 422."""
    reader = unwrap(body, "completed_order")
    uuid = reader.text("proposed_order_uuid", required=True)
    applied = reader.cents("applied_discount_amount")
    return replace(_read(reader), applied_discount_amount=applied, proposed_order_uuid=uuid)


def read_one_step(body: Any) -> Draft:
    """:raises ErrorResponse: 422."""
    return _read(unwrap(body, "order"))


def _read(reader: ObjectReader) -> Draft:
    spend = reader.cents("spend_amount", required=True)
    draft = Draft(
        location_id=reader.number("location_id") or 0,
        identifier_from_merchant=reader.text("identifier_from_merchant", limit=IDENTIFIER_LIMIT),
        spend_amount=spend or 0,
        tax_amount=reader.cents("tax_amount") or 0,
        tip_amount=reader.cents("tip_amount") or 0,
        exemption_amount=reader.cents("exemption_amount") or 0,
        partial_authorization_allowed=reader.flag("partial_authorization_allowed"),
        discount_only=reader.flag("discount_only"),
        cashier=reader.text("cashier"),
        register=reader.text("register"),
        receipt_message_html=reader.text("receipt_message_html", limit=RECEIPT_LIMIT),
        items=_items(reader, "items", 1),
        payment_token_data=reader.text("payment_token_data"),
    )
    if spend == 0:
        reader.refuse("spend_amount", "There is nothing to pay.")
    elif spend and not draft.amounts.add_up:
        reader.refuse("spend_amount", "tax_amount and exemption_amount together exceed spend_amount.")
    reader.check()
    return draft


def _items(reader: ObjectReader, property: str, depth: int) -> list[dict[str, Any]]:
    wrapped = reader.list(property)
    if wrapped and depth > DEEPEST_ITEM:
        reader.refuse(property, f"Items nest at most {DEEPEST_ITEM} deep.")
        return []
    found = []
    for entry in wrapped:
        item = reader.child("item", entry.get("item") if isinstance(entry, dict) else None)
        found.append(
            {
                "name": item.text("name", required=True),
                **{word: item.text(word, limit=1000) for word in _WORDS},
                "quantity": item.count("quantity") or 1,
                "charged_price_amount": _price(item, _CHARGED, required=True),
                "standard_price_amount": _price(item, _STANDARD),
                "children": _items(item, "children", depth + 1),
            }
        )
    return found


def _price(item: ObjectReader, names: tuple[str, str], *, required: bool = False) -> int | None:
    newer, older = names
    price = item.cents(newer)
    if price is None:
        price = item.cents(older)
    if price is None and required:
        item.refuse(newer, f"{newer} can't be blank.", "blank")
    return price
