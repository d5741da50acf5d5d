"""Certification: acts as the channel, and checks any service that claims to implement the contract.

Every check belongs to a rule and has one of two grades. A failed check is a *violation* if LevelUp's documents or
their later edition ask for it, or if it would cost a user money or an order. It is a *deviation* if another form was
possible and this project chose one: statuses and codes of errors, ETags, names. ``--strict`` treats both alike.

This package imports only ``domain`` and the list of errors from this project, and has its own HTTP client.
"""

from levelup_ov.certify.client import CannotRun
from levelup_ov.certify.run import Plan, RunResult, run

__all__ = ["CannotRun", "Plan", "RunResult", "run"]
