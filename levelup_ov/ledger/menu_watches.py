"""What was last seen of each location's menu, and the events of what changed since (MENU-9).

A look is claimed by its time, so that hosts share the work. What is seen is recorded, with its events in the same
transaction, only if the row still has the mark that was read: two hosts that see one change report it once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Text, bindparam, select, update

from levelup_ov.domain.event import Event
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.statements import insert
from levelup_ov.ledger.tables import MENU_WATCHES, present

_W = MENU_WATCHES.c
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class SeenMenu:
    """A location's menu at one time.

    ``version`` is the provider's, None if it has none. ``menu`` and ``stock`` are digests. ``sold_out``: the ids that
    are, or were when they left the menu.
    """

    version: str | None
    menu: str
    stock: str
    sold_out: tuple[str, ...]
    paused: bool


@dataclass(frozen=True, slots=True)
class ClaimedLook:
    """A claimed look at a location's menu; ``before`` is None for the first one."""

    account: str
    location: str
    mark: str
    before: SeenMenu | None


class MenuWatches:
    """The menus in a ledger's database. Its methods raise as those of the ledger do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database
        now = present(ledger.clocks.own_clock)
        made = insert(MENU_WATCHES, is_postgresql=self._database.is_postgresql).values(asked_at=now)
        prepare = ledger.database.prepare
        self._claim = prepare(
            made.on_conflict_do_update(
                index_elements=["location"],
                set_={"mark": made.excluded.mark, "asked_at": made.excluded.asked_at},
                where=_W.asked_at <= now - bindparam("every", type_=BigInteger),
            ),
            "location", "account", "mark",
        )  # fmt: skip
        self._one = prepare(select(MENU_WATCHES).where(_W.location == bindparam("this")))
        self._asked = prepare(select(_W.location, _W.asked_at).where(_W.account == bindparam("account")))
        seen = ("version", "menu", "stock", "sold_out", "paused")
        self._record = prepare(
            update(MENU_WATCHES)
            .where(_W.location == bindparam("this"), _W.mark == bindparam("seen", type_=Text))
            .values({name: bindparam(f"new_{name}", type_=_W[name].type) for name in seen})
        )

    def asked(self, account: str) -> dict[str, int]:
        """When each location of an account was looked at last, in milliseconds since 1970."""
        rows = self._database.run(lambda cursor, _: self._asked.all(cursor, {"account": account}), single=True)
        return {row.location: row.asked_at for row in rows}

    def claim(self, account: str, location: str, every: timedelta) -> ClaimedLook | None:
        """Claim a look at a location's menu; None: the last one was less than ``every`` ago."""
        mark = uuid.uuid4().hex
        values = {"location": location, "account": account, "mark": mark}
        more = {"every": every // _MILLISECOND, "now": self._ledger.clocks.now()}

        def work(cursor: Any, _again: bool) -> ClaimedLook | None:
            self._claim.run(cursor, {**values, **more})
            row = self._one.first(cursor, {"this": location})
            # If the first try was committed, the second one finds its own mark.
            return ClaimedLook(account, location, mark, _seen(row)) if row.mark == mark else None

        return self._database.run(work)

    def record(self, look: ClaimedLook, seen: SeenMenu, events: Sequence[Event]) -> bool:
        """Record what was seen, and its events; False: another look was claimed since, which will see it."""
        values = {
            "this": look.location,
            "seen": look.mark,
            "new_version": seen.version,
            "new_menu": seen.menu,
            "new_stock": seen.stock,
            "new_sold_out": json.dumps(seen.sold_out),
            "new_paused": seen.paused,
        }

        def work(cursor: Any, _again: bool) -> bool:
            is_recorded = bool(self._record.run(cursor, values).rowcount)
            if is_recorded:
                for event in events:
                    self._ledger.outbox.record(cursor, event)
            return is_recorded

        return self._database.run(work)


def _seen(row: Any) -> SeenMenu | None:
    if row.menu is None:
        return None
    return SeenMenu(row.version, row.menu, row.stock, tuple(json.loads(row.sold_out)), bool(row.paused))
