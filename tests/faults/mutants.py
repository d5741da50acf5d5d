"""Services that break one rule each, to show that a campaign sees it: ``FAULTS_MUTATION`` names the patch."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from levelup_ov.app import create_app
from levelup_ov.checkout.canceling import Canceler
from levelup_ov.checkout.charged_orders import key_of
from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.config import load_settings
from levelup_ov.ledger.claims import Claims
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.records import Claim
from levelup_ov.ledger.transitions import Transitions
from levelup_ov.observability import configure_logging
from tests.simulation import mutants as patches

MUTATION = "FAULTS_MUTATION"
STOP_FILE = "FAULTS_STOP_FILE"


_claim, _place = Claims.claim, Transitions.place


def _forgetful(self: Claims, *, identities: Any, **arguments: Any) -> Claim:
    """A claim forgets by what it may be recognized."""
    forgotten = tuple(replace(identity, digests=(uuid.uuid4().hex,)) for identity in identities)
    return _claim(self, identities=forgotten, **arguments)


def _optimist(self: Transitions, id: str, *, trace: Mapping[str, Any] | None = None) -> None:
    """An unknown outcome counts as not placed."""
    self.fail(id)


def _credulous(self: Transitions, id: str, *, trace: Mapping[str, Any] | None = None) -> None:
    """An unknown outcome counts as placed."""
    answer = '{"order_id": 0, "expected_ready_at": null, "metadata": {}}'
    self.place(id, answer=answer, order_id=0, provider_order_id="made up")


def _careless(self: Transitions, id: str, **arguments: Any) -> None:
    """What was placed is not recorded, but its identities are set free."""
    self.fail(id)


def _stops_before_settling(self: Transitions, id: str, **arguments: Any) -> None:
    """No mutation: an owner that comes to a halt with its order placed and not recorded, once."""
    try:
        Path(os.environ[STOP_FILE]).touch(exist_ok=False)
    except FileExistsError:
        _place(self, id, **arguments)
    else:
        time.sleep(60)


OF_LEDGER: Mapping[str, patches.Mutant] = {
    "Forgetful": lambda: mock.patch.object(Claims, "claim", _forgetful),
    "Optimist": lambda: mock.patch.object(Transitions, "lose", _optimist),
    "Credulous": lambda: mock.patch.object(Transitions, "lose", _credulous),
    "Careless": lambda: mock.patch.object(Transitions, "place", _careless),
    "StopsBeforeSettling": lambda: mock.patch.object(Transitions, "place", _stops_before_settling),
}
"""The ledger's own."""
_KEPT = ExitStack()


def _held_by_many(self: Transitions, id: str, *, provider_order_id: str, **arguments: Any) -> None:
    _place(self, id, provider_order_id=f"{provider_order_id} {id}", **arguments)


def _also_held_by_many(patch: patches.Mutant) -> patches.Mutant:
    """The ledger would notice that two submissions hold one order: that check is removed."""
    return lambda: patches._all(patch(), mock.patch.object(Transitions, "place", _held_by_many))


def _refund_first(self: Orders, id: str, key: str, confirmation: Any, context: Any) -> StoredOrder:
    """Money goes back without a word to the kitchen."""
    return self.refund(id, key, confirmation, context)


def _keep_the_money(self: Orders, id: str, key: str, confirmation: Any, context: Any) -> StoredOrder:
    """The kitchen learns of it, and the charge is not refunded."""
    order = self.show(id)
    self._service.placed_orders.cancel(
        str(order.provider_location_id), str(json.loads(order.submitted or "{}")["order_id"]), key_of(order), context
    )
    return order


PATCHES: Mapping[str, patches.Mutant] = {
    "answer_of_another": _also_held_by_many(patches.answer_of_another),
    "any_2xx": patches.any_2xx,
    "absent_at_once": patches.absent_at_once,
    "order_not_kept": patches.order_not_kept,
    "refund_first": lambda: mock.patch.object(Orders, "cancel", _refund_first),
    "keep_the_money": lambda: mock.patch.object(Orders, "cancel", _keep_the_money),
    "cancellation_not_noted": lambda: mock.patch.object(Canceler, "_change", lambda _, order, __, **___: order),
}
"""The simulation's own, and three that cancel wrongly."""


def _create() -> Any:
    settings, name = load_settings(), os.environ[MUTATION]
    configure_logging(settings.log_level)
    # For as long as the process lives.
    _KEPT.enter_context({**OF_LEDGER, **PATCHES}[name]())
    return create_app(settings, ledger=open_ledger(settings.ledger.reveal(), pool_size=settings.threads))


if MUTATION in os.environ:
    app = _create()
