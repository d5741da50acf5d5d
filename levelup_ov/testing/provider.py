"""What a partner says of a provider: how it is reached, orders that it takes, and orders that it refuses."""

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

    ``account``: its settings as the accounts file would give them; what they leave out has its declared default.
    ``transport``: how it is reached; by default over HTTP. ``Transport(pool_size=1, in_process={"host": app})``
    reaches a WSGI application, :class:`~levelup_ov.transport.tap.Playback` plays recordings.
    ``orders``: all orders that the provider holds, where it can tell; the suite counts them. Each as the provider
    shows it, with its id and its lines (an object or list of JSON): the suite then compares what is held, too.
    ``reacts``: False for recordings, which answer the same whatever is asked.
    ``clock``: the provider's present, as an aware time.
    ``dearer``: makes everything cost more for the time of a ``with`` block, where the provider can be told to.
    ``kept``: what the suite found out about the provider, so that no test asks for it again.
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

    ``at_submission``: it can be priced, and is refused when it is placed.
    """

    code: str
    sample: Sample
    at_submission: bool = False
