"""The operator's console, at ``/console``: what needs somebody, and what the ledger knows. It reads, and reconciles."""

from levelup_ov.console.views import blueprint

__all__ = ["blueprint"]
