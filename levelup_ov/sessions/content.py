"""The content of a session as one sealed text: all that its row does not say in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from levelup_ov.domain.tender import TenderKind
from levelup_ov.sealing import PREFIX, Sealer
from levelup_ov.sessions.model import Basket, LevelUpTender, Price, PricedLine, Problem


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed. ``metadata`` is that of the price's validation, for the submission.

    ``is_stale``: the basket must be priced again before it is completed. ``tender``: the kind of the tender that the
    session is being completed with; ``levelup``: its members, if it is LevelUp. A card is never here.
    ``ready_at``: when the order will be ready. ``slots`` and ``offered``: see :class:`CheckoutSession`. ``known``: what
    the menu says of the lines if they have no price.
    """

    basket: Basket
    location_name: str
    currency: str
    time_zone: str | None
    price: Price | None = None
    problems: tuple[Problem, ...] = ()
    changed: bool = False
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    is_stale: bool = False
    tender: str | None = None
    levelup: LevelUpTender | None = None
    ready_at: datetime | None = None
    tenders: tuple[TenderKind, ...] = ()
    fulfillments: tuple[str, ...] = ()
    accepts_tips: bool = False
    slots: tuple[datetime, ...] = ()
    offered: tuple[datetime, ...] = ()
    known: tuple[PricedLine, ...] = ()


_read = msgspec.json.Decoder(Content).decode
_write = msgspec.json.Encoder().encode


def seal(content: Content, sealer: Sealer, session: str) -> str:
    """The content of the session with this id, as :meth:`~levelup_ov.sealing.Sealer.seal` in base64's own alphabet."""
    # msgspec reads and writes base64 several times as fast as Python, and a content is kilobytes.
    sealed: str = msgspec.to_builtins(sealer.encrypt(_write(content), session))
    return PREFIX + sealed.rstrip("=")


def unseal(sealed: str, sealer: Sealer, session: str) -> Content | None:
    """The content that :func:`seal` wrote, in either alphabet of base64; None if it does not open.

    Members that an earlier release did not write have their defaults.
    """
    encoded = sealed.removeprefix(PREFIX).replace("-", "+").replace("_", "/")
    try:
        opened = sealer.decrypt(msgspec.convert(encoded + "=" * (-len(encoded) % 4), bytes), session)
    except ValueError:
        return None
    return None if opened is None else _read(opened)
