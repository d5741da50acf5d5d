"""The contract suite that every adapter inherits; needs the extra ``testing``.

A test of an adapter is a subclass of :class:`AdapterContract` with some orders, some refusals, and a fixture
``provider`` that says how to reach the provider::

    @pytest.fixture(scope="module")
    def provider():
        with acme_server() as server:
            yield Provider(AcmeAdapter, Account("acme", "acme", "Acme", {"base_url": server.url}))

    class TestAcme(AdapterContract):
        orders = {"a burger with fries": Sample("main", Item("burger", 2, (Option("side:fries"),)))}
        refusals = {"sold out": Refusal("item_unavailable", Sample("main", Item("cookie", 1)))}
"""

from __future__ import annotations

import pytest

# Before importing the modules: otherwise the asserts of an installed package have no details.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "harness",
            "shape",
            "steps",
            "translation",
            "deliveries",
            "outcomes",
            "placing",
            "identity",
            "pricing",
            "mixing",
            "secrecy",
            "tracking",
            "stock",
        )
    )
)

from levelup_ov.testing.provider import Provider, Refusal, Sample  # noqa: E402
from levelup_ov.testing.suite import AdapterContract  # noqa: E402
from levelup_ov.transport.session import Transport  # noqa: E402
from levelup_ov.transport.tap import Playback  # noqa: E402

__all__ = ["AdapterContract", "Provider", "Playback", "Refusal", "Sample", "Transport"]
