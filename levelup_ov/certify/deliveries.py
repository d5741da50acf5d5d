"""Validations of deliveries, where a location makes them (DELIVERY-1 to DELIVERY-3). None is placed."""

from __future__ import annotations

from typing import get_args

from levelup_ov.certify.client import RoundTrip
from levelup_ov.certify.conversation import members
from levelup_ov.certify.endpoints import refused_as
from levelup_ov.certify.validations import ValidationChecks, food
from levelup_ov.domain.outcome import AddressDecides

_REFUSALS = ("address_not_served", "delivery_address_incomplete", "order_minimum_not_reached", "item_unavailable")
"""Codes of what a delivery to the location's own street may be refused with."""


def check_deliveries(validations: ValidationChecks) -> None:
    """Validate the accepted line as a delivery: to nowhere yet, to the location's own street, and to no address."""
    wire, report = validations.place.wire, validations.report
    if not wire.get("fulfills_deliveries"):
        report.not_applicable("DELIVERY-1", "a delivery is priced without an address", "the location does not deliver")
        return
    nowhere = validations.send(fulfillment_type="delivery")
    title = "a delivery is priced without an address, or its refusal says why"
    report.expect("DELIVERY-1", title, nowhere.ok or _is_explained(nowhere), nowhere, decision=True)
    if nowhere.ok:
        said = (members(nowhere).get("metadata") or {}).get("order_address_decides", [])
        sound = isinstance(said, list) and set(said) <= set(get_args(AddressDecides))
        title = "order_address_decides lists what an address may change"
        report.expect("DELIVERY-1", title, sound, nowhere, f"it is {said!r}", decision=True)
    home = {name: wire.get(name) for name in ("street_address", "locality", "region", "postal_code")}
    if isinstance(home["street_address"], str):
        here = validations.send(fulfillment_type="delivery", delivery_address=home)
        title = "a delivery to the street of the location is priced, or its refusal says why"
        report.expect("DELIVERY-2", title, here.ok or _is_explained(here), here, decision=True)
        if here.ok:
            title = "a delivery is priced with its fee among order_fees"
            words = f"{food(here)} without fees, {food(validations.answer)} as a pickup"
            report.expect("DELIVERY-3", title, food(here) == food(validations.answer), here, words)
    for address in ({"locality": "Boston"}, {"street_address": "1 A\x00B Street"}):
        wrong = validations.send(fulfillment_type="delivery", delivery_address=address)
        title = "an address that cannot be read is refused"
        report.expect("DELIVERY-2", title, wrong.refused, wrong, decision=True)
        refused_as(validations.talk, "DELIVERY-2", title, wrong, 422, "invalid_member")


def _is_explained(exchange: RoundTrip) -> bool:
    return exchange.refused and exchange.error.get("code") in _REFUSALS
