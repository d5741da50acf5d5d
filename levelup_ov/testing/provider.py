"""A partner's description of a provider: how to reach it, orders that it accepts, and orders that it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from levelup_ov.adapter import Account, Adapter
from levelup_ov.domain.order import Item
from levelup_ov.domain.tender import LevelUp, Tender
from levelup_ov.transport.session import Transport


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Provider:
    """A provider or a stand-in, and the account that the suite orders with.

    ``account``: its settings as in the accounts file; missing settings have their declared defaults.
    ``transport``: how it is reached; by default over HTTP. ``Transport(pool_size=1, in_process={"host": app})``
    reaches a WSGI application, :class:`~levelup_ov.transport.tap.Playback` plays recordings.
    ``orders``: all orders of the provider, if it can list them; the suite counts them. If each is in the provider's
    form, with its id and its lines (an object or list of JSON), the suite also compares the contents.
    ``reacts``: False for recordings, which answer the same to every request.
    ``clock``: the provider's current time, aware.
    ``dearer``: makes everything cost more during a ``with`` block, if the provider can do that.
    ``kept``: what the suite has read from the provider, so that it reads it only once.
    """

    adapter: type[Adapter]
    account: Account
    transport: Transport = field(default_factory=lambda: Transport(pool_size=1))
    orders: Callable[[], Sequence[Any]] | None = None
    reacts: bool = True
    clock: Callable[[], datetime] = _now
    dearer: Callable[[], AbstractContextManager[Any]] | None = None
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


class Sample:
    """An order as data: what is ordered at which location, by the ids of the menu.

    ``tender``: how it is paid, LevelUp by default. ``members``: any other members of
    :class:`~levelup_ov.domain.order.Order`, such as ``user`` or ``special_instructions``.
    """

    def __init__(self, location: str, *items: Item, tender: Tender = LevelUp(), **members: Any) -> None:
        self.location = location
        self.items = items
        self.tender = tender
        self.members: Mapping[str, Any] = members


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that the provider refuses, and the code of :mod:`levelup_ov.errors` that says why.

    ``at_submission``: it can be priced, but is refused when it is placed.
    """

    code: str
    sample: Sample
    at_submission: bool = False
