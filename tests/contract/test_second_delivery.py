"""The placing call is delivered twice, and one of the deliveries is refused."""

from __future__ import annotations

import pytest

from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import Refused, Unanswered
from tests.channel import Answer, Channel
from tests.contract.conftest import MakeFake
from tests.contract.fakes import DoublingAdapter, DoublingFencer

Both = tuple[DoublingAdapter, Channel]


@pytest.fixture
def both(request: pytest.FixtureRequest, fake: MakeFake) -> Both:
    """The provider and a service in front of it."""
    name = getattr(request, "param", "DoublingAdapter")
    provider, channel = fake(LEVELUP_OV_ADAPTERS=f"fake=tests.contract.fakes:{name}")
    assert isinstance(provider, DoublingAdapter)
    return provider, channel


def submit(channel: Channel) -> Answer:
    return channel.submit("fake.one", order_number="1")


@pytest.mark.rule("SUB-2", "SUB-8")
@pytest.mark.parametrize("both", ["DoublingAdapter", "DoublingFence", "DoublingFencer"], indirect=True)
def test_an_order_that_the_provider_has_is_placed(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    provider, channel = both
    assert submit(channel).order["order_id"] == "A-1"
    again = submit(channel)
    assert (again.order["order_id"], again.headers["Idempotency-Replayed"]) == ("A-1", "true")
    assert len(provider.made) == 1
    assert provider.traces == [{"cart": "c-1"}]
    assert caplog.messages.count("refused_order_was_placed") == 1


@pytest.mark.rule("SUB-2", "SUB-5")
def test_a_refusal_counts_if_the_provider_has_no_order(both: Both) -> None:
    provider, channel = both
    provider.makes = False
    assert submit(channel).refusal[:2] == (422, "item_unavailable")
    assert len(provider.traces) == 1


@pytest.mark.rule("SUB-2", "SUB-5", "SUB-8")
@pytest.mark.parametrize(
    "answer", [Unanswered("provider_timeout", "no answer", sent=True), Refused("order_refused", "no"), ValueError("?")]
)
def test_it_is_unknown_if_nobody_can_say(both: Both, answer: Exception) -> None:
    provider, channel = both
    provider.look_up = answer
    assert submit(channel).refusal[:2] == (504, "outcome_unknown")
    provider.look_up = None
    assert submit(channel).order["order_id"] == "A-1"
    assert len(provider.made) == 1


@pytest.mark.rule("SUB-8", "SUB-10", "SUB-12")
@pytest.mark.parametrize("both", ["DoublingFencer"], indirect=True)
@pytest.mark.parametrize(
    "fence", [None, Unanswered("provider_timeout", "no answer", sent=True), Refused("order_refused", "no")]
)
def test_the_other_delivery_is_fenced_where_that_is_possible(both: Both, fence: Exception | None) -> None:
    provider, channel = both
    assert isinstance(provider, DoublingFencer)
    provider.makes, provider.fence = False, fence
    if fence is not None:
        # Without its fence, the refusal proves nothing. The next request begins with a fence.
        assert submit(channel).refusal[:2] == (504, "outcome_unknown")
        provider.fence = None
    assert submit(channel).refusal[:2] == (422, "item_unavailable")
    assert len(provider.fenced) == (1 if fence is None else 3)


@pytest.mark.rule("SUB-2", "SUB-8")
def test_what_is_found_must_be_the_order(both: Both) -> None:
    """A look-up that returns another guest's order is not believed."""
    provider, channel = both
    provider.makes = False
    theirs = Placed("A-7", "A-7", reference="of-another")
    provider.find_order = lambda *_: theirs  # type: ignore[method-assign]
    assert submit(channel).refusal[:2] == (504, "outcome_unknown")
