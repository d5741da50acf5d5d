"""Who receives which event.

The service has one channel, so one receiver gets all of the channel's events. What a person must do goes to the
operator of the account, because restaurants have people of their own. An agent gets its own orders: each names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.event import OPERATOR_KIND, Event
from levelup_ov.domain.secret import Secret
from levelup_ov.event_settings import EventSettings

CHANNEL = "channel"
OPERATOR = "operator"
AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Receiver:
    """``name`` is in the outbox. ``group``: those that share the lanes of a deliverer.

    An agent has neither address nor secrets here: each order has its own.
    """

    name: str
    group: str
    address: Secret = Secret("")
    secrets: tuple[Secret, ...] = ()


class Receivers:
    """The receivers that are configured. ``has_agents``: agents may be among them."""

    def __init__(self, settings: EventSettings, *, has_agents: bool = False) -> None:
        self._has_agents = has_agents
        found = [
            Receiver(operator_of(account), OPERATOR, address, settings.operator_secrets)
            for account, address in settings.operators.items()
        ]
        if settings.url is not None:
            found.append(Receiver(CHANNEL, CHANNEL, settings.url, settings.secrets))
        self._by_name = {receiver.name: receiver for receiver in found}

    def get(self, name: str) -> Receiver | None:
        """The receiver with this name; None if it is not configured any more."""
        if self._has_agents and is_agent(name):
            return Receiver(name, AGENT)
        if (found := self._by_name.get(name)) is not None or not name.startswith(f"{OPERATOR}."):
            return found
        # Of an account that is not in the accounts file any more.
        default = self._by_name.get(operator_of(LEDGER_ACCOUNT))
        return default and replace(default, name=name)

    def route(self, event: Event) -> tuple[str, ...]:
        """The names of the receivers of an event."""
        if event.kind != OPERATOR_KIND and event.account == LEDGER_ACCOUNT:
            # The channel has not sent it: a site did, and asks on its own.
            return ()
        name = operator_of(event.account) if event.kind == OPERATOR_KIND else CHANNEL
        return (name,) if self.get(name) is not None else ()


def operator_of(account: str) -> str:
    """The name of an account's operator."""
    return f"{OPERATOR}.{account}"


def receiver_of(caller: str) -> str:
    """The name of an agent's receiver, whatever addresses it names: there are no more receivers than agents."""
    return f"{AGENT}.{caller}"


def is_agent(receiver: str) -> bool:
    """Whether it is an agent's: no operator can repair it, and the agent can read its order."""
    return receiver.startswith(f"{AGENT}.")
