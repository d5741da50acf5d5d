"""The durable record of submissions, which ensures at most one order for each (SUB-2 to SUB-5)."""

from levelup_ov.ledger.engine import LedgerUnavailable, SchemaMismatch
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.ledger.records import (
    AlreadyPlaced,
    Claim,
    Claimed,
    InProgress,
    Reused,
    Submission,
    Superseded,
    TooEarly,
    Unknown,
)

__all__ = [
    "AlreadyPlaced",
    "Claim",
    "Claimed",
    "Identity",
    "InProgress",
    "Ledger",
    "LedgerUnavailable",
    "Reused",
    "SchemaMismatch",
    "Submission",
    "Superseded",
    "TooEarly",
    "Unknown",
    "open_ledger",
]
