"""An account at a provider, as the accounts file has it, and the settings that its adapter declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from levelup_ov.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of an account's ``settings`` table in the accounts file.

    ``secret``: given only as ``env:NAME``, handed over as :class:`~levelup_ov.domain.secret.Secret`.
    ``url``: must be an absolute http(s) address; its trailing slash is removed.
    ``finds_orders``: decides where, or under what name, an order is looked up, as ``base_url`` always does. While it
    has another value than when an order was sent, "no such order" proves nothing (SUB-10). A digest of it is recorded.
    """

    meaning: str
    required: bool = False
    default: str | None = None
    secret: bool = False
    url: bool = False
    finds_orders: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """One entry of the accounts file, checked against the adapter's declared settings.

    ``time_zone``, ``accepts_tips`` and ``currency`` (ISO 4217) apply where the provider does not say.
    """

    name: str
    provider: str
    merchant_name: str
    settings: Mapping[str, str | Secret] = field(default_factory=dict)
    time_zone: str | None = None
    accepts_tips: bool | None = None
    currency: str | None = None

    def setting(self, name: str) -> str:
        """A setting's value, or the empty string; secrets are revealed, so only into a request."""
        value = self.settings.get(name, "")
        return value.reveal() if isinstance(value, Secret) else value
