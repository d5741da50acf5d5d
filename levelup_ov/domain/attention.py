"""What a person must look at, and what to do then (SUB-12)."""

from __future__ import annotations

from collections.abc import Mapping

_SETTLE = "settle it with `levelup-ov checkout settle`"
REMEDIES: Mapping[str, str] = {
    "order_exists_but_ruled_out": "the channel knows the order as not placed: ask the provider to cancel the order, "
    "or tell the guest its number",
    "two_orders_for_one_submission": "ask the provider to cancel one of the two, and to refund what was paid for it",
    "cancellation_unproven": "it is unknown whether the restaurant makes this order: ask there; if it does not, see "
    f"that the charge is given back; then {_SETTLE}",
    "canceled_not_refunded": "the restaurant canceled an order whose charge stays: ask whether it makes another one; "
    f"if not, refund the charge with POST /checkout/orders/UUID/cancellation; if so, {_SETTLE}",
    "card_may_be_charged": "no order was made: look for a charge of this reference at the provider and refund it",
    "order_disputed": "the order that the guest was told about is another guest's: ask the provider whether there is "
    "one for this reference, and settle it with `levelup-ov submissions settle`",
    "order_refused": "the restaurant refused an order that the guest was told is placed: call it, or tell the guest",
    "charge_mismatch": "the order exists, and the provider charged another amount than it was asked to: settle the "
    "difference with it",
    "charge_differs": "LevelUp charged another amount than it was asked to; the service gives it back: ask LevelUp why",
    "charge_of_another_order": "LevelUp answers with the charge of another order: ask it whether this one was charged, "
    f"and {_SETTLE}",
    "charge_unproven": f"it is unknown whether this order was charged: ask LevelUp, and {_SETTLE}",
    "meal_unproven": "it is unknown whether the restaurant makes a charged order: ask there, and settle it with "
    "`levelup-ov submissions settle`; if there is no such submission, see that the charge is given back if it is not "
    f"made; then {_SETTLE}",
    "not_connected": "LevelUp refuses the token of the merchant or user: have them connect again, and it continues by "
    f"itself, or ask LevelUp about the charge and {_SETTLE}",
    "refund_refused": f"a charge without an order cannot be refunded: give the money back, and {_SETTLE}",
    "refund_unproven": "it is unknown whether a charge was refunded: ask LevelUp; if it was not, give the money back; "
    f"then {_SETTLE}",
    "refunded_in_part": f"LevelUp gave back another amount than was charged: give back the rest, and {_SETTLE}",
    "stray_charge": f"a charge that was ruled out, or refused, may have been made: ask LevelUp, and {_SETTLE}",
    "submitted_and_refunded": f"the restaurant has an order whose charge was to be given back: call it, and {_SETTLE}",
    "two_charges_for_one_order": "LevelUp charged one order twice: ask LevelUp to refund one of the two",
}
"""What a person must do about a finding, or about an order of web checkout."""
