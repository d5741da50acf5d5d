"""The bench for the suite's tests: one adapter, one provider, and a tap on the connection between them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levelup_ov.adapter import Account, Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Order, User
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, Tender
from levelup_ov.errors import KINDS, Refused
from levelup_ov.ordering.locations import Directory, RoutedLocation
from levelup_ov.ordering.placing import place_order
from levelup_ov.testing.provider import Provider, Sample
from levelup_ov.transport import net
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.tap import RECORDED_REFERENCE, Exchange, Fault, Tap, TappedSession, leaves

CARD = CreditCard(Secret("4111111111111111"), Secret("9173"), "01", "2035", "02114", "Robin Example")
"""A public test number; the CVV occurs nowhere else."""


@dataclass(slots=True)
class Run:
    """One use of the adapter: its result or failure, and its exchanges with the provider.

    ``order``: what was validated, submitted or looked up. ``traces``: what each placing call recorded. ``seconds`` is
    how long it took. ``placed``: how many orders the provider has more, where that was counted.
    """

    exchanges: list[Exchange]
    session: TappedSession
    value: Any = None
    failure: Failure | None = None
    order: Any = None
    traces: list[Mapping[str, Any] | None] = field(default_factory=list)
    seconds: float = 0.0
    placed: int | None = None

    @property
    def answer(self) -> Any:
        """The result; a failure fails the test."""
        assert self.failure is None, (
            f"EP-2 to EP-5: this must succeed, but failed with {self.failure!r}; {self.story()}"
        )
        return self.value

    @property
    def proves_no_order(self) -> bool:
        """Whether the failure says that it is proven that no order exists, so that the submission is free (SUB-5)."""
        refused = isinstance(self.failure, Refused) and getattr(self.failure, "proof", True)
        return refused or not self.session.placing

    @property
    def placing(self) -> list[Exchange]:
        """The calls that declared that they place the order."""
        return [exchange for exchange in self.exchanges if exchange.places_order]

    def story(self) -> str:
        """The exchanges, in one line."""
        listed = (f"{each.method} {each.path} -> {each.answer.status if each.answer else 'no answer'}"
                for each in self.exchanges)  # fmt: skip
        return f"calls: {'; '.join(listed) or 'none'}"


def _escaped(error: Exception, module: str, run: Run) -> str:
    """What is wrong with an exception that left the adapter of ``module``, and the last line of it that ran."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    frame, line = next((each for each in reversed(frames) if each[0].f_globals.get("__name__") == module), frames[-1])
    place = f"{Path(frame.f_code.co_filename).name}, line {line}, {frame.f_code.co_name}()"
    words = f"{type(error).__name__} left the adapter ({error}; {place})"
    if not run.exchanges:
        # Then no answer of the provider can be to blame.
        return f"{words} before it called the provider: repair the adapter"
    return f"{words}; an unusable answer must be raised as a Failure. Read answers with reply.object(). {run.story()}"


class Clock:
    """The transport's clock, which skips waits that only the suite would notice."""

    def __init__(self) -> None:
        self._now = net.now
        self._skipped = 0.0

    def now(self) -> float:
        """Replaces :func:`levelup_ov.transport.net.now`."""
        return self._now() + self._skipped

    def sleep(self, seconds: float) -> None:
        """Replaces :func:`levelup_ov.transport.net.sleep`."""
        self._skipped += max(seconds, 0.0)


class Bench:
    """Makes a new adapter for every use, unless one is given, so that no use remembers another."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        defaults = {name: setting.default for name, setting in provider.adapter.settings.items() if setting.default}
        given = {**defaults, **provider.account.settings}
        if missing := [
            name for name, setting in provider.adapter.settings.items() if setting.required and not given.get(name)
        ]:
            pytest.fail(f"the provider's account lacks the settings {', '.join(missing)}")
        self.account: Account = replace(provider.account, settings=given)
        self._tap = Tap(provider.transport)
        self._beside = Tap(provider.transport)

    def adapter(self) -> Adapter:
        """A new adapter for the provider's account."""
        return self.provider.adapter(self.account)

    def do(
        self,
        call: Callable[[Adapter, TappedSession], Any],
        *,
        order: Order | None = None,
        fault: Fault | None = None,
        seconds: float = 30.0,
        own: bool = False,
        adapter: Adapter | None = None,
        beside: bool = False,
    ) -> Run:
        """Use the adapter, with ``fault`` on the connection; ``own``: over its own connections, as the service does.

        ``adapter``: use this one, which may remember. ``beside``: another use is still running.
        An exception that is not a failure of the contract fails the test, except ``NotImplementedError``.
        """
        adapter = adapter or self.adapter()
        tap = self._beside if beside else self._tap
        run_traces: list[Mapping[str, Any] | None] = []
        session = TappedSession(
            tap, self.account.name, base_url=adapter.base_url, headers=adapter.headers(),
            error_from=adapter.error_from, deadline=Deadline(seconds), own=own, placement=Placement(run_traces.append),
        )  # fmt: skip
        run = Run(tap.begin(fault), session, order=order, traces=run_traces)
        began = net.now()
        try:
            run.value = call(adapter, session)
        except Failure as failure:
            run.failure = failure
            assert failure.code in KINDS, f"ERR-1: {failure.code!r} is not a code of levelup_ov.errors"
            assert failure.message, f"ERR-2: {failure.code} comes without a message"
        except (NotImplementedError, AssertionError):
            raise
        except Exception as error:
            raise AssertionError(f"ERR-3: {_escaped(error, type(adapter).__module__, run)}") from error
        finally:
            session.close()
        run.seconds = net.now() - began
        assert not session.held_back, (
            f"SUB-2: {session.held_back[0]} is sent again, although the call before it may have placed the order: let "
            f"the failure of the placing call pass. {run.story()}"
        )
        return run

    def validate(self, order: Order, fault: Fault | None = None, seconds: float = 30.0, **how: Any) -> Run:
        """One validation; ``how`` as in :meth:`do`."""
        return self.do(
            lambda adapter, session: adapter.validate_order(order, session),
            order=order, fault=fault, seconds=seconds, **how,
        )  # fmt: skip

    def submit(
        self, order: Order, tender: Tender, fault: Fault | None = None, seconds: float = 30.0, **how: Any
    ) -> Run:
        """One submission; ``how`` as in :meth:`do`."""
        return self.do(
            lambda adapter, session: adapter.submit_order(order, tender, session),
            order=order, fault=fault, seconds=seconds, own=True, **how,
        )  # fmt: skip

    def submit_as_service(self, order: Order, tender: Tender, fault: Fault | None = None) -> Run:
        """One submission, with the look-up of a refused order, as the service does it."""
        return self.do(
            lambda adapter, session: place_order(adapter, order, tender, session), order=order, fault=fault, own=True
        )

    def find(
        self, order: Order, trace: Mapping[str, Any] | None, fault: Fault | None = None, adapter: Adapter | None = None
    ) -> Run:
        """One look-up of the order's reference; ``adapter``: by this one."""
        reference = order.reference or ""
        return self.do(
            lambda adapter, session: adapter.find_order(order.location, reference, trace or {}, session),
            order=order,
            fault=fault,
            own=True,
            adapter=adapter,
        )

    def fence(self, order: Order, trace: Mapping[str, Any] | None) -> Run:
        """One fence of the order's reference."""
        reference = order.reference or ""
        return self.do(
            lambda adapter, session: adapter.fence_order(order.location, reference, trace or {}, session),
            order=order,
            own=True,
        )

    def status(self, order: Order, provider_order_id: str, fault: Fault | None = None) -> Run:
        """One request for the status of an order."""
        reference = order.reference or ""
        return self.do(
            lambda adapter, session: adapter.show_status(order.location, provider_order_id, reference, session),
            order=order,
            fault=fault,
            own=True,
        )

    def cancel(self, order: Order, provider_order_id: str, fault: Fault | None = None) -> Run:
        """One cancellation of an order; what it returns proves nothing."""
        reference = order.reference or ""
        return self.do(
            lambda adapter, session: adapter.cancel_order(order.location, provider_order_id, reference, session),
            order=order,
            fault=fault,
            own=True,
        )

    def places(self) -> dict[str, RoutedLocation]:
        """The locations as the service sees them, by the provider's own ids; read once."""
        kept = self.provider.kept
        if "places" not in kept:
            name = self.account.name
            found = self.do(lambda adapter, session: Directory({name: adapter}, 0.0).locations(adapter, session))
            kept["places"] = {place.location.provider_id: place for place in found.answer}
        places: dict[str, RoutedLocation] = kept["places"]
        return places

    def menu(self, location_id: str) -> Run:
        """The menu of a location, and the calls that it needs; read once."""
        location, key = self.place(location_id).location, ("menu", location_id)
        kept = self.provider.kept
        if key not in kept:
            shown = self.do(lambda adapter, session: adapter.show_menu(location, session))
            shown.answer
            kept[key] = shown
        run: Run = kept[key]
        return run

    def place(self, location_id: str) -> RoutedLocation:
        """The location of a sample."""
        places = self.places()
        assert location_id in places, f"the sample's location {location_id!r} is none of {', '.join(places)}"
        return places[location_id]

    def order(self, sample: Sample, **changes: Any) -> Order:
        """The sample as an order of a new guest, with a new reference."""
        email = f"robin.{uuid4().hex[:12]}@example.com"
        # A recording echoes the reference that it was made with.
        reference = uuid4().hex if self.provider.reacts else RECORDED_REFERENCE
        members = {"user": User("Robin", "Example", "+16175550123", email), "reference": reference,
                   "received_at": self.provider.clock(), **sample.members, **changes}  # fmt: skip
        return Order(self.place(sample.location).location, sample.items, **members)

    def needs_reactions(self) -> None:
        """Skip the test if the provider answers the same to every request."""
        if not self.provider.reacts:
            pytest.skip("recordings always answer the same; a stand-in could prove this")

    def held(self) -> int | None:
        """How many orders the provider has; None if it does not say."""
        return None if self.provider.orders is None else len(self.provider.orders())

    def content(self, provider_order_id: str) -> Sequence[str] | None:
        """The values of the provider's order with this id; None if it does not say, or has no such order."""
        for row in self.provider.orders() if self.provider.orders else ():
            found = list(leaves(_plain(row)))
            if provider_order_id in found:
                return found
        return None


def _plain(row: Any) -> Any:
    """A provider's row, of whatever type, as JSON."""
    if is_dataclass(row) and not isinstance(row, type):
        row = asdict(row)
    if isinstance(row, Mapping):
        return {name: _plain(value) for name, value in row.items()}
    if isinstance(row, (list, tuple)):
        return [_plain(value) for value in row]
    return row if isinstance(row, (str, int)) or not hasattr(row, "__dict__") else _plain(vars(row))
