"""The service as operators run it. Development mode would record each call for the workbench, too."""

from __future__ import annotations

from bench.order import API_KEY
from levelup_ov.config import new_secret_key

PRODUCTION = {
    "LEVELUP_OV_ENV": "production",
    "LEVELUP_OV_API_KEYS": API_KEY,
    "LEVELUP_OV_SECRET_KEYS": new_secret_key(),
    "LEVELUP_OV_LEDGER": "sqlite",
}

UPGRADE = ("flask", "--app", "wsgi", "ledger", "upgrade")
"""The module that makes the ledger's tables, in this build and in older ones."""
