"""Delivery addresses, for adapters whose provider leaves the check to its clients (DELIVERY-2).

An address is never completed or corrected: what is missing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from levelup_ov.domain.money import Cents, to_decimal
from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.errors import Refused

AddressPart = Literal["street_address", "locality", "region", "postal_code"]


def check_address(
    address: DeliveryAddress | None, needed: Collection[AddressPart] = (), *, missing_is_fine: bool = True
) -> None:
    """Check that an address has a street and what is ``needed``.

    ``missing_is_fine``: there may be no address, as in a validation.

    :raises Refused: ``delivery_address_incomplete``, with the path of the missing part.
    """
    if address is None:
        if not missing_is_fine:
            words = "a delivery needs its address"
            raise Refused("delivery_address_incomplete", words, path="$.delivery_address")
        return
    for part in ("street_address", *needed):
        if not (getattr(address, part) or "").strip():
            words = f"the address lacks {part}"
            raise Refused("delivery_address_incomplete", words, path=f"$.delivery_address.{part}")


class PostalArea:
    """Where a location delivers: postal codes, or their beginnings with ``*``, comma-separated (``02114, 021*``).

    :raises ValueError: it contains something else.
    """

    def __init__(self, codes: str) -> None:
        given = [_plain(code) for code in codes.split(",") if code.strip()]
        if wrong := [code for code in given if not re.fullmatch(r"[A-Z0-9]+\*?", code)]:
            raise ValueError(f"{wrong[0]!r} is not a postal code; a beginning ends with *")
        self._whole = frozenset(code for code in given if not code.endswith("*"))
        self._beginnings = tuple(code[:-1] for code in given if code.endswith("*"))

    def __bool__(self) -> bool:
        return bool(self._whole or self._beginnings)

    def check(self, address: DeliveryAddress | None) -> None:
        """Check that the area has the address, if there is one.

        :raises Refused: ``address_not_served``.
        """
        if address is None:
            return
        code = _plain(address.postal_code or "")
        # The last four digits of a US code name a part of the five-digit one.
        if code not in self._whole and code[:5] not in self._whole and not code.startswith(self._beginnings):
            words = "the restaurant does not deliver to this postal code"
            raise Refused("address_not_served", words, path="$.delivery_address.postal_code")


def check_minimum(food: Cents, minimum: Cents) -> None:
    """:raises Refused: ``order_minimum_not_reached``: the food of a delivery costs less than ``minimum``."""
    if food < minimum:
        words = f"deliveries need an order of at least ${to_decimal(minimum)}; this one has ${to_decimal(food)}"
        raise Refused("order_minimum_not_reached", words, path="$.items")


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).upper()
