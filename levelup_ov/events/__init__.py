"""Events on their way out: to the channel, and to the operators of restaurants."""

from levelup_ov.events.deliverer import LANES, Deliverer
from levelup_ov.events.receivers import Receivers
from levelup_ov.events.sending import Sender

__all__ = ["EVENTS", "LANES", "Deliverer", "Receivers", "Sender"]

EVENTS = "levelup_ov.events"
"""The extension of the application that has the deliverer, for the server and the command."""
