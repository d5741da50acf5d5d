"""What must not appear in a message about a call to a provider: secrets, and words about a guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from levelup_ov.adapter import Adapter
from levelup_ov.domain.order import Order
from levelup_ov.domain.request import OrderRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import Tender
from levelup_ov.personal import PersonalWords, Withheld

SHORTEST_PRIVATE = 4
"""Characters from which a part of a delivery address is masked in messages."""


def secrets_of(adapter: Adapter, order: Order | None = None, tender: Tender | None = None) -> Iterator[Secret]:
    """The secrets of an account, of an order's customer account and cart, and of its tender."""
    values: list[Any] = list(adapter.account.settings.values())
    if order is not None:
        values += [*order.customer_account.values(), *order.cart.values()]
    if tender is not None:
        values += tender.secrets
    return (value for value in values if isinstance(value, Secret))


def address_parts(order: Order | None) -> Iterator[Secret]:
    """The parts of a delivery address, which a provider may repeat in its words (DELIVERY-4)."""
    if order is not None and order.delivery_address is not None:
        # A shorter one, such as the number of a floor, says nothing, and occurs in amounts.
        yield from (Secret(part) for part in order.delivery_address.private if len(part) >= SHORTEST_PRIVATE)


def personal_words(order: Order | OrderRequest) -> PersonalWords:
    """The words about an order's guest."""
    return PersonalWords(order.user, order.delivery_address)


def unknown_words(adapter: Adapter) -> Withheld | None:
    """For calls about an order whose content is not known any more, and which may be a delivery (DELIVERY-4)."""
    return Withheld() if "delivery" in adapter.fulfillments else None
