"""What proves that no order exists: the refusal of the call that places it, and of no other (SUB-5)."""

from __future__ import annotations

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Adapter
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed
from levelup_ov.domain.tender import Tender
from levelup_ov.transport.session import Session
from tests.channel import Channel, item


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_refused_later_call_does_not_free_a_placed_order(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str | int] = []
    submit = SandboxAdapter.submit_order

    def then_ask_for_what_is_refused(adapter: Adapter, order: Order, tender: Tender, session: Session) -> Placed:
        found = submit(adapter, order, tender, session)  # type: ignore[arg-type]
        placed.append(found.order_id)
        session.get("/v1/locations/nowhere/menu")
        return found

    monkeypatch.setattr(SandboxAdapter, "submit_order", then_ask_for_what_is_refused)
    first = channel.submit(items=[item("sandwich")], order_number="one")
    assert first.refusal == (504, "outcome_unknown", None)
    again = channel.submit(items=[item("sandwich")], order_number="one")
    assert (again.status, again.order["order_id"], again.headers["Idempotency-Replayed"]) == (200, placed[0], "true")
    assert len(placed) == 1
