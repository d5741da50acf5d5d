"""Certification: the channel's side of the contract, played against any service that claims to speak it.

Every check belongs to a rule and is of one of two grades. A failed one is a *violation* where the documents or
their later edition ask for it, or where it would cost a user money or an order; it is a *deviation* where another
form was possible and this project chose one: statuses and codes of errors, ETags, names. ``--strict`` makes no
difference between them.

It knows of this project only ``domain`` and the list of errors, and speaks HTTP by itself.
"""

from levelup_ov.certify.client import CannotRun
from levelup_ov.certify.run import Outcome, Plan, run

__all__ = ["CannotRun", "Outcome", "Plan", "run"]
