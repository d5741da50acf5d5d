"""The whole suite as one class to inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from levelup_ov.testing.deliveries import Deliveries
from levelup_ov.testing.harness import Bench, Clock
from levelup_ov.testing.identity import Echoes
from levelup_ov.testing.mixing import Mixing
from levelup_ov.testing.outcomes import Outcomes
from levelup_ov.testing.placing import Placing
from levelup_ov.testing.pricing import Pricing
from levelup_ov.testing.provider import Provider, Refusal, Sample
from levelup_ov.testing.secrecy import Secrecy
from levelup_ov.testing.shape import Shape
from levelup_ov.testing.stock import StockAnswers
from levelup_ov.testing.tracking import StatusAnswers
from levelup_ov.testing.translation import Translation
from levelup_ov.transport import net
from levelup_ov.transport import session as transport

_EXAMPLE_SAMPLE = '"a burger": Sample("LOCATION", Item("ITEM", 2, (Option("GROUP:OPTION"),)))'
_EXAMPLE_REFUSAL = '"sold out": Refusal("item_unavailable", Sample("LOCATION", Item("ITEM", 1)))'


class AdapterContract(
    Shape, Translation, Deliveries, Outcomes, Placing, Echoes, Pricing, Mixing, Secrecy, StatusAnswers, StockAnswers
):
    """What every adapter must do. Subclasses are called ``Test...`` and contain data, not tests.

    ``orders``: orders that the provider accepts, by name; with options, nested options, several items.
    ``refusals``: orders that it refuses, one for each of its reasons.
    ``delivery_address``: where the provider delivers, if not to the suite's own address in Boston.
    ``provider``: a fixture of the module that returns the :class:`~levelup_ov.testing.provider.Provider`.
    """

    orders: ClassVar[Mapping[str, Sample]] = {}
    refusals: ClassVar[Mapping[str, Refusal]] = {}

    @pytest.fixture
    def bench(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Bench:
        """The adapter with its provider. Attempts have no pauses, and orders may start at the last moment."""
        monkeypatch.setattr(transport, "BACKOFF", 0.0)
        monkeypatch.setattr(transport, "MIN_TIME_TO_PLACE", 0.05)
        clock = Clock()
        monkeypatch.setattr(net, "now", clock.now)
        monkeypatch.setattr(net, "sleep", clock.sleep)
        # One for all tests of a provider: its start-up, such as TLS, takes longer than most tests.
        if "bench" not in provider.kept:
            provider.kept["bench"] = Bench(provider)
        bench: Bench = provider.kept["bench"]
        return bench

    @pytest.fixture
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        """Each of the class's ``orders`` in turn."""
        if (name := request.param) is None:
            pytest.fail(f"TODO (EP-4): list `orders` that the provider accepts: {_EXAMPLE_SAMPLE}", pytrace=False)
        return self.orders[name]

    @pytest.fixture
    def refusal(self, request: pytest.FixtureRequest) -> Refusal:
        """Each of the class's ``refusals`` in turn."""
        if (name := request.param) is None:
            pytest.fail(f"TODO (ERR-2): list `refusals` of the provider: {_EXAMPLE_REFUSAL}", pytrace=False)
        return self.refusals[name]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run every test once for each order and refusal that it requests."""
        for fixture, given in (("sample", self.orders), ("refusal", self.refusals)):
            if fixture in metafunc.fixturenames:
                names: list[str | None] = [*given] or [None]
                metafunc.parametrize(fixture, names, indirect=True, ids=[name or "none given" for name in names])
