"""Deliveries: the address reaches the provider and stays nowhere else, and the fee is a fee (DELIVERY-1 and others)."""

from __future__ import annotations

from typing import ClassVar

import pytest

from levelup_ov.domain.order import DeliveryAddress, Order
from levelup_ov.domain.outcome import Quote
from levelup_ov.errors import Refused
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.translation import check_quote, values

ADDRESS = DeliveryAddress("21 Blue Street", "Floor 9", "Boston", "MA", "02114", "knock twice at the side door")


class Deliveries:
    """For adapters with ``delivery`` among their fulfillments; ``delivery_address`` is one that the provider serves."""

    delivery_address: ClassVar[DeliveryAddress] = ADDRESS

    @pytest.mark.rule("EP-11", "EP-12", "DELIVERY-2")
    def test_a_delivery_goes_to_its_address(self, bench: Bench, sample: Sample) -> None:
        order = self._delivery(bench, sample)
        run = bench.submit(order, sample.tender)
        run.answer
        text = "\n".join(values(run))
        for name in ("street_address", "extended_address", "postal_code", "delivery_instructions"):
            part = getattr(self.delivery_address, name)
            assert not part or part in text, f"EP-11: {name} of the delivery is dropped"

    @pytest.mark.rule("DELIVERY-1", "DELIVERY-3", "MONEY-9")
    def test_the_fee_of_a_delivery_is_a_fee(self, bench: Bench, sample: Sample) -> None:
        bench.needs_reactions()
        picked_up: Quote = bench.validate(bench.order(sample)).answer
        brought: Quote = bench.validate(self._delivery(bench, sample)).answer
        check_quote(brought, adds_up=True)
        assert brought.food == picked_up.food, (
            f"DELIVERY-3: the food of a delivery costs {brought.food} cents, of a pickup {picked_up.food}; "
            "what the delivery costs belongs into Quote.fees"
        )
        assert all(fee.amount >= 0 for fee in brought.fees), "DELIVERY-3: a fee is below zero"
        run = bench.validate(bench.order(sample, fulfillment_type="delivery"))
        if isinstance(run.failure, Refused):
            return  # what cannot be priced without an address is refused
        open_yet: Quote = run.answer
        assert open_yet.fees == brought.fees or "fee" in open_yet.address_decides, (
            "DELIVERY-1: the address changes the fee, and Quote.address_decides does not say so"
        )

    @pytest.mark.rule("DELIVERY-4")
    def test_an_address_stays_out_of_results_and_traces(self, bench: Bench, sample: Sample) -> None:
        order = self._delivery(bench, sample)
        for run in (bench.validate(order), bench.submit(order, sample.tender)):
            reported = [
                ("the result", repr(run.answer)),
                *(("a trace", repr(trace)) for trace in run.traces),
                *_paths(run),
            ]
            for where, text in reported:
                found = [part for part in self.delivery_address.private if part in text]
                assert not found, f"DELIVERY-4: a part of the delivery address is found in {where}"

    def _delivery(self, bench: Bench, sample: Sample) -> Order:
        location = bench.place(sample.location).location
        if "delivery" not in bench.provider.adapter.fulfillments or not location.fulfills("delivery"):
            pytest.skip(f"no deliveries at {sample.location}: the adapter or the location declares none")
        return bench.order(sample, fulfillment_type="delivery", delivery_address=self.delivery_address)


def _paths(run: Run) -> list[tuple[str, str]]:
    return [("the path of a call, which is logged", call.path) for call in run.session.calls]
