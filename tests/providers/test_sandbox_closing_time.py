"""Two orders that meet at a kitchen whose last slot of the day fills up: the contract suite blames no adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.standins.sandbox import create_sandbox, places
from levelup_ov.testing import AdapterContract, Provider, Sample
from levelup_ov.testing.harness import Bench
from levelup_ov.testing.mixing import Mixing
from levelup_ov.transport.session import Transport

LAST_SLOT = datetime(2026, 11, 29, 22, 25, tzinfo=timezone.utc)
"""17:25 in Boston: the order takes 20 minutes, and the kitchen's last slot is 17:45."""
ROOM = range(2, 8)
"""Orders for a slot, so that the last one fills up before, while and after the two meet."""


@pytest.fixture(scope="module", params=ROOM)
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    day = replace(places.PLACES["day"], capacity=request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(places.PLACES, "day", day)  # type: ignore[arg-type]
        engine = create_sandbox(tmp_path_factory.mktemp("sandbox") / "sandbox.db", clock=lambda: LAST_SLOT)
        transport = Transport(pool_size=1, in_process={"sandbox.internal": engine})
        account = Account("diner", "sandbox", "Sandbox Diner", {"api_key": Secret("sandbox")})
        yield Provider(SandboxAdapter, account, transport, list, clock=lambda: LAST_SLOT)
        engine.extensions["sandbox"].store.close()


class TestClosingTime:
    bench = AdapterContract.bench

    @pytest.mark.rule("META-11", "TIME-11")
    def test_an_order_loses_its_slot_to_another_one(self, bench: Bench) -> None:
        with pytest.raises(pytest.skip.Exception, match="the prices were right"):
            Mixing().test_two_orders_at_once_have_nothing_in_common(bench, Sample("day", Item("cookie", 1)))
