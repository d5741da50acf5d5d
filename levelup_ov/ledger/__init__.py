"""The durable record of submissions, by which the provider gets at most one order each (SUB-2 to SUB-5)."""

from levelup_ov.ledger.engine import LedgerUnavailable, SchemaMismatch
from levelup_ov.ledger.identity import Identity
from levelup_ov.ledger.ledger import (
    Claim,
    Claimed,
    InProgress,
    Ledger,
    Recorded,
    Reused,
    Submission,
    Superseded,
    TooEarly,
    Unknown,
    open_ledger,
)

__all__ = [
    "Claim",
    "Claimed",
    "Identity",
    "InProgress",
    "Ledger",
    "LedgerUnavailable",
    "Recorded",
    "Reused",
    "SchemaMismatch",
    "Submission",
    "Superseded",
    "TooEarly",
    "Unknown",
    "open_ledger",
]
