"""The service without its ledger, to see what the ledger costs: every submission is sent, nothing is recorded."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from levelup_ov.app import create_app
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Claimed


class ForgetfulClaims:
    """Grants every claim."""

    def claim(self, *, reference: Callable[[int], str], **_: Any) -> Claimed:
        return Claimed(str(uuid.uuid4()), reference(0))


class ForgetfulTransitions:
    """Writes nothing."""

    def begin_sending(self, *_: Any, **__: Any) -> None:
        pass

    def place(self, *_: Any, **__: Any) -> None:
        pass


class ForgetfulLedger(Ledger):
    """Has no database."""

    def __init__(self) -> None:
        super().__init__(Database("sqlite:///forgotten.db", pool_size=1))
        self.claims = ForgetfulClaims()  # type: ignore[assignment]
        self.transitions = ForgetfulTransitions()  # type: ignore[assignment]

    def reference_key(self, first: bytes) -> bytes:
        return first


app = create_app(ledger=ForgetfulLedger())
