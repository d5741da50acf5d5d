"""Which messages of providers were acted on (EVT-9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, select

from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.statements import insert
from levelup_ov.ledger.tables import NOTICES, ago, present

_C = NOTICES.c
_MILLISECOND = timedelta(milliseconds=1)


class Notices:
    """The messages in a ledger's database. Its methods raise as those of the ledger do."""

    def __init__(self, ledger: Ledger, kept: timedelta) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self._kept = kept // _MILLISECOND
        prepare, now = ledger.database.prepare, present(ledger.clocks.own_clock)
        outdated = _C.seen_at < ago(ledger.clocks.own_clock, bindparam("kept", type_=BigInteger))
        this = _C.account == bindparam("account"), _C.notice == bindparam("notice")
        made = insert(NOTICES, is_postgresql=self._database.is_postgresql)
        self._known = prepare(select(_C.seen_at).where(*this))
        self._keep = prepare(made.values(seen_at=now).on_conflict_do_nothing(), "account", "notice")
        self._forget = prepare(delete(NOTICES).where(outdated))

    def knows(self, account: str, notice: str) -> bool:
        """Whether it was kept."""
        values = {"account": account, "notice": notice}
        return self._database.run(lambda cursor, _: self._known.first(cursor, values) is not None, single=True)

    def keep(self, account: str, notice: str) -> None:
        """Keep it, and forget those that are too old to be accepted again."""
        values = {"account": account, "notice": notice, "kept": self._kept, "now": self._ledger.clocks.now()}

        def work(cursor: Any, _again: bool) -> None:
            self._keep.run(cursor, values)
            self._forget.run(cursor, values)

        self._database.run(work)
