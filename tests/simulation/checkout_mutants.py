"""Web checkout with one rule of money put back to the old way, each as a patch: to show that it would be noticed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from levelup_ov.checkout import charges, client, refunds, submitting
from levelup_ov.checkout.canceling import Canceler
from levelup_ov.checkout.charged_orders import ChargedOrders
from levelup_ov.checkout.charges import Absence, Charges
from levelup_ov.checkout.connections import Connections
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.proof import PastOrder, UnreadOrder
from levelup_ov.checkout.refunds import Refunds
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.domain.failure import Failure
from levelup_ov.errors import Unanswered, broken_protocol
from levelup_ov.ordering.reconciling import Disproved
from levelup_ov.transport.connections import SendState
from levelup_ov.transport.session import Session
from tests.simulation import mutants
from tests.simulation.mutants import Mutant, _all, _always_kept, _nothing, _shared, any_2xx, patch


def amounts_unread() -> AbstractContextManager[object]:
    """A charge is believed whatever its amounts."""
    return patch(charges, "differences", lambda *_: [])


def any_status() -> AbstractContextManager[object]:
    """Any status of success proves a charge or a refund."""
    return _all(any_2xx(), patch(client, "_expected", lambda reply: reply.object()))


def shared_connections() -> AbstractContextManager[object]:
    """All calls to LevelUp share their connections, which take back whatever was answered."""
    return _all(patch(Session, "__init__", _shared), patch(SendState, "settle", _always_kept))


def every_refusal_is_proof() -> AbstractContextManager[object]:
    """Any refusal of LevelUp's shows that nothing was charged."""
    return patch(client, "proves_no_charge", lambda *_, **__: True)


def refusals_after_silence() -> AbstractContextManager[object]:
    """A refusal is proof though an attempt of the same call had no answer."""
    return patch(client.LevelUpRefused, "proof", property(lambda self: True, lambda self, value: None))


def _alike(history: Any, *, location_id: int) -> list[PastOrder]:
    read = [each for each in history if isinstance(each, PastOrder)]
    return [each for each in read if each.spend in (650, 1300) and each.refunded_at is None]


def only_alike() -> AbstractContextManager[object]:
    """Only an order of the same amount may be ours."""
    return patch(charges, "may_be_ours", _alike)


def _forgotten(self: Charges, absence: Absence) -> None:
    _give_up(self, absence)
    self._store.change_order(absence.order.id, ("not_charged",), values={"body": None, "look_at": None})


_give_up = Charges.give_up


def ruled_out_is_forgotten() -> AbstractContextManager[object]:
    """What was ruled out after it was sent is not looked for again."""
    return patch(Charges, "give_up", _forgotten)


def refused_is_forgotten() -> AbstractContextManager[object]:
    """A charge that LevelUp has refused is never looked for."""

    def void(self: Charges, order: StoredOrder, held: Any = ..., **_: bool) -> bool:
        return _void(self, order, held)

    return patch(Charges, "void", void)


def _without_time(self: Any, merchant: Any, uuid: str, confirmation: Any) -> PastOrder:
    try:
        return _refund(self, merchant, uuid, confirmation)
    except Unanswered as failure:
        if failure.code != "provider_protocol_error":
            raise
        return PastOrder(uuid, _now(), 11, 650, 0, 10**6, _now())


_refund = client.LevelUpSession.refund


def _now() -> datetime:
    return datetime(2027, 1, 15, tzinfo=timezone.utc)


def any_answer_refunds() -> AbstractContextManager[object]:
    """Any answer of success shows that a refund was made, by our own clock."""
    return patch(client.LevelUpSession, "refund", _without_time)


def refused_is_refunded() -> AbstractContextManager[object]:
    """A refund that is refused the second time was made the first time."""

    def read(self: Refunds, calls: Any, merchant: Any, uuid: str) -> PastOrder | None:
        return _read(self, calls, merchant, uuid) or PastOrder(uuid, _now(), 11, 650, 0, 650, _now())

    def refunded(self: Refunds, calls: Any, merchant: Any, uuid: str) -> PastOrder | None:
        found = read(self, calls, merchant, uuid)
        return found and replace(found, refunded_at=found.refunded_at or _now())

    return patch(Refunds, "_read", refunded)


_read = Refunds._read


def parts_are_wholes() -> AbstractContextManager[object]:
    """Half of a refund is a refund."""
    return patch(StoredOrder, "gross", property(lambda self: 0))


def impossible_is_pending() -> AbstractContextManager[object]:
    """A refund that is refused for ever is tried for ever, and no person learns of it."""
    return patch(refunds, "is_old", lambda *_: False)


def refunded_while_it_may_be_cooked() -> AbstractContextManager[object]:
    """A charge goes back for any failure of its submission."""
    return _all(patch(submitting, "UNDECIDED", ()), patch(submitting.Submitter, "_submitted_before", lambda *_: []))


def not_refunded() -> AbstractContextManager[object]:
    """A refused meal is answered as refused, and its charge stays."""

    def give_up(self: Any, order: StoredOrder, failure: Any, context: Any) -> Any:
        self._refunds.release(order)
        raise failure

    return patch(submitting.Submitter, "_give_up", give_up)


def unknown_is_not_charged() -> AbstractContextManager[object]:
    """A charge whose answer was lost was not made."""

    def find(self: Charges, order: StoredOrder, context: Any) -> Any:
        if order.state == "charging":
            self.void(order)
            raise Disproved
        return _find(self, order, context)

    return patch(Charges, "find", find)


_find = Charges.find


def identity_unreported() -> AbstractContextManager[object]:
    """Only the connection that started an order can settle it."""

    def access_again(self: Connections, kind: Any, id: str, context: Any) -> Any:
        return self.access(kind, id)

    return patch(Connections, "access_again", access_again)


def _void_whatever(self: Charges, order: StoredOrder, held: object = ..., **how: bool) -> bool:
    return _void(self, order, **how)


_void = Charges.void


def owners_know_all() -> AbstractContextManager[object]:
    """A slow owner that has charged nothing says so of what others have sent to find the charge, too."""
    return _all(mutants.owners_know_all(), patch(Charges, "void", _void_whatever))


def absent_at_once() -> AbstractContextManager[object]:
    """What LevelUp has not charged when it is asked, it never charges."""
    return mutants.absent_at_once()


def _changing(self: CheckoutStore, id: str, sources: Any, **how: Any) -> StoredOrder | None:
    values = how["values"]
    if tuple(sources) == ("not_charged",) and "uuid" in values:
        how["values"] = {**values, "state": "charged", "problem": None}
    return _change_order(self, id, sources, **how)


_change_order = CheckoutStore.change_order


def late_charges_stay() -> AbstractContextManager[object]:
    """A charge that was ruled out and is answered all the same is kept."""
    return patch(CheckoutStore, "change_order", _changing)


def outcomes_unrecorded() -> AbstractContextManager[object]:
    """What the ledger could not record is not recorded later."""
    return patch(Orders, "_unrecorded", lambda *_: [])


def dead_tokens_unnoticed() -> AbstractContextManager[object]:
    """A connection whose token LevelUp takes no more is still connected."""
    return patch(Connections, "token_refused", _nothing)


def called_off_is_no_case() -> AbstractContextManager[object]:
    """A charged meal that its restaurant calls off concerns nobody."""
    return patch(ChargedOrders, "called_off", _nothing)


def _undone_as_made(self: Refunds, order: StoredOrder, failure: Any, before: StoredOrder) -> Any:
    return _undone(self, replace(order, cancellation=None), failure, before)


_undone = Refunds._undone


def canceled_is_put_back() -> AbstractContextManager[object]:
    """A refund that is refused for ever leaves a canceled order as it was before."""
    return patch(Refunds, "_undone", _undone_as_made)


def _believed(self: Canceler, order: StoredOrder, context: Any) -> Any:
    try:
        return _stage(self, order, context)
    except Failure:
        return "cancelled"


_stage = Canceler._stage


def unknown_is_canceled() -> AbstractContextManager[object]:
    """A cancellation of unknown outcome was made, where the status of the order cannot be read."""
    return patch(Canceler, "_stage", _believed)


def recorded_is_told() -> AbstractContextManager[object]:
    """A charge that is recorded has been answered with."""
    return patch(Charges, "_check_awaited", _nothing)


def found_is_unread() -> AbstractContextManager[object]:
    """A charge that is found counts, whatever has become of it since."""
    return patch(Refunds, "check_standing", _nothing)


def lost_while_canceled() -> AbstractContextManager[object]:
    """An order that is lost while it is canceled is not written again."""
    return patch(Canceler, "_keep", _nothing)


def _without_odd(self: client.LevelUpSession, user: Any, page: int) -> Any:
    found, following = _listed_orders(self, user, page)
    if any(isinstance(each, UnreadOrder) for each in found):
        raise broken_protocol("this list has an order that cannot be read")
    return found, following


_listed_orders = client.LevelUpSession.listed_orders


def odd_orders_block() -> AbstractContextManager[object]:
    """A history with one order that cannot be read cannot be read at all, and is asked for again and again."""
    return _all(
        patch(client.LevelUpSession, "listed_orders", _without_odd),
        patch(charges, "_NOT_READABLE", ()),
    )


CHECKOUT_MUTANTS: Mapping[str, Mutant] = {
    each.__name__: each
    for each in (
        amounts_unread, any_status, shared_connections, every_refusal_is_proof, refusals_after_silence,
        only_alike, ruled_out_is_forgotten, refused_is_forgotten, any_answer_refunds, refused_is_refunded,
        parts_are_wholes, impossible_is_pending, refunded_while_it_may_be_cooked, not_refunded, unknown_is_not_charged,
        identity_unreported, dead_tokens_unnoticed, owners_know_all, absent_at_once, late_charges_stay,
        outcomes_unrecorded, called_off_is_no_case, canceled_is_put_back, unknown_is_canceled, recorded_is_told,
        lost_while_canceled, odd_orders_block, found_is_unread,
    )
}  # fmt: skip
"""Not among them: that the charge is still held is looked at last before the meal (``Leases.still_ours``). A lease ends
later than the deadline of its owner, and the deadline's clock counts a freeze, so that the deadline holds the meal back
already. Nor that a history is read twice and that the lease of the last attempt must be over, which the looks a grace
apart hide, nor that a charge is given up only if nobody has completed it in between, which they make rare. Tests of web
checkout have each of them alone.
"""
CHECKOUT_QUICK = ("amounts_unread", "not_refunded", "unknown_is_not_charged", "called_off_is_no_case")
"""Those that are found within a hundred trials."""
