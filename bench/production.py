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

_UPGRADE = "from wsgi import app; app.test_cli_runner().invoke(args=['ledger', 'upgrade'], catch_exceptions=False)"
UPGRADE = ("-c", _UPGRADE)
"""What makes the ledger's tables, in this build and in older ones: `flask` would look for this build's commands."""
