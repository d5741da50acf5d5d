"""The service without its ledger, to see what the ledger costs: every submission is sent, nothing is recorded."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from levelup_ov.app import create_app
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed


class ForgetfulLedger(Ledger):
    """Grants every claim and writes nothing."""

    def reference_key(self, first: bytes) -> bytes:
        return first

    def claim(self, *, reference: Callable[[int], str], **_: Any) -> Claimed:  # type: ignore[override]
        return Claimed(str(uuid.uuid4()), reference(0))

    def begin_sending(self, *_: Any, **__: Any) -> None:
        pass

    def place(self, *_: Any, **__: Any) -> None:
        pass


app = create_app(ledger=ForgetfulLedger(Database("sqlite:///forgotten.db", pool_size=1)))
