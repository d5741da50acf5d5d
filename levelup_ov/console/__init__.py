"""The operator's console, at ``/console``: what needs attention, and what the ledger knows. It can reconcile."""

from levelup_ov.console.views import blueprint

__all__ = ["blueprint"]
