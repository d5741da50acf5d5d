"""What is sold out between menus, for adapters that declare ``reports_stock`` (MENU-8)."""

from __future__ import annotations

import pytest

from levelup_ov.domain.failure import Failure
from levelup_ov.domain.stock import Stock
from levelup_ov.errors import Unanswered
from levelup_ov.testing.changes import BROKEN, DOOR, changes
from levelup_ov.testing.harness import Bench, Run
from levelup_ov.testing.provider import Sample
from levelup_ov.testing.steps import answering, at_step
from levelup_ov.transport.tap import Fault


class StockAnswers:
    """The stock of a sample's location."""

    @pytest.mark.rule("MENU-8")
    def test_the_stock_has_what_can_be_ordered(self, bench: Bench, sample: Sample) -> None:
        stock: Stock = _ask(bench, sample).answer
        for name in ("items", "options"):
            ids = getattr(stock, name)
            assert isinstance(ids, frozenset) and all(isinstance(id, str) for id in ids), (
                f"MENU-8: Stock.{name} must be a frozenset of ids"
            )
        gone = [item.provider_id for item in sample.items if stock.lacks_item(item.provider_id)]
        gone += [option.provider_id for item in sample.items for option in item.options
                 if stock.lacks_option(option.provider_id)]  # fmt: skip
        assert not gone, f"MENU-8: an order that the provider accepts has something sold out: {', '.join(gone)}"

    @pytest.mark.rule("MENU-8", "ERR-3")
    def test_a_stock_that_cannot_be_read_is_not_an_empty_one(self, bench: Bench, sample: Sample) -> None:
        usual = _ask(bench, sample)
        usual.answer
        for number, exchange in enumerate(usual.exchanges):
            for what, answer in (*DOOR.items(), *BROKEN.items()):
                run = _ask(bench, sample, at_step(usual, number, answering(answer)))
                assert isinstance(_unread(run), Unanswered), (
                    f"MENU-8: answered with {what}, the stock is {run.value!r}: what is sold out would be sold again"
                )
            assert exchange.answer is not None
            for change in changes(exchange.answer):
                run = _ask(bench, sample, at_step(usual, number, answering(change.answer)))
                readable = run.failure is None and isinstance(run.value, Stock)
                assert readable or isinstance(run.failure, Unanswered), (
                    f"MENU-8: {change.what}: the stock is {run.value!r}, the failure {run.failure!r}"
                )


def _unread(run: Run) -> Failure | None:
    """Why the stock, or a part of it, could not be read."""
    return run.value.unread if isinstance(run.value, Stock) else run.failure


def _ask(bench: Bench, sample: Sample, fault: Fault | None = None) -> Run:
    if not bench.provider.adapter.reports_stock:
        pytest.skip("the adapter declares reports_stock = False")
    location = bench.place(sample.location).location
    return bench.do(lambda adapter, session: adapter.show_stock(location, session), fault=fault)
