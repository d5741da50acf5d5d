"""The settings of events: who receives them, with which secrets they are signed, and how mail is sent."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from levelup_ov.config_mistakes import fault_of_secret, is_loopback, is_url, split
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.secret import Secret
from levelup_ov.redaction import in_address

EVENTS = "levelup_ov.events"
"""The extension of the application that has the deliverer, for the server and the command; None without receivers."""
PREFIX = "whsec_"
"""How the secrets of the Standard Webhooks start."""
MOST_SECRETS = 2
"""While secrets are replaced, a receiver has the old one or the new one: events are signed with both."""
_KEY_BYTES = range(24, 65)
"""The lengths that the Standard Webhooks recommend."""
_EMAIL = re.compile(r"[^\s@<>,;:\"]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,200}[A-Za-z0-9])?")
_ADDRESS = "write it as https://host/path"

Report = Callable[[str, str, str], None]
"""Takes a mistake: where, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """``url`` receives the channel's events; ``operators`` are addresses of the web or of e-mail, by account.

    Addresses are secrets: many a receiver has its key in the path. ``smtp``: the mail server's address.
    """

    url: Secret | None = None
    secrets: tuple[Secret, ...] = ()
    operators: Mapping[str, Secret] = field(default_factory=dict)
    operator_secrets: tuple[Secret, ...] = ()
    smtp: Secret | None = None
    mail_from: str = ""

    @property
    def is_on(self) -> bool:
        """Whether anybody receives anything."""
        return self.url is not None or bool(self.operators)

    def all_secrets(self) -> Iterator[Secret]:
        """Everything that must never leave the service."""
        yield from (*self.secrets, *self.operator_secrets)
        yield from (each for each in (self.url, *self.operators.values()) if each is not None and not is_email(each))
        if self.smtp is not None:
            yield from in_address(self.smtp.reveal())


def is_email(address: Secret) -> bool:
    """Whether an address is one of e-mail."""
    return _EMAIL.fullmatch(address.reveal()) is not None


def read_event_settings(
    value: Callable[[str], str], report: Report, operators: Mapping[str, str], accounts: Mapping[str, object],
    *, development: bool,
) -> EventSettings:  # fmt: skip
    """``value`` gives the text of a variable; ``operators`` are those that the accounts file names, by account."""

    def mistake(name: str, wrong: str, remedy: str) -> None:
        report(f"environment, {name}", wrong, remedy)

    url, default = value("LEVELUP_OV_EVENTS_URL"), value("LEVELUP_OV_OPERATOR")
    secrets = _secrets("LEVELUP_OV_EVENTS_SECRETS", value, mistake)
    operator_secrets = _secrets("LEVELUP_OV_OPERATOR_SECRETS", value, mistake)
    if url and (fault := _fault_of_address(url, development)):
        mistake("LEVELUP_OV_EVENTS_URL", *fault)
    if url and not secrets:
        mistake("LEVELUP_OV_EVENTS_SECRETS", "is not set", "set it to the output of `levelup-ov events secret`")
    if {each.reveal() for each in secrets} & {each.reveal() for each in operator_secrets}:
        mistake("LEVELUP_OV_OPERATOR_SECRETS", "holds a secret of LEVELUP_OV_EVENTS_SECRETS", "use another one")
    # Charges that go to no restaurant have no account of their own.
    named = {account: operators.get(account, default) for account in (*accounts, LEDGER_ACCOUNT)}
    addresses = {account: address for account, address in named.items() if address}
    for address in {default, *addresses.values()} - {""}:
        place = "LEVELUP_OV_OPERATOR, or an account's operator"
        if _EMAIL.fullmatch(address):
            if not value("LEVELUP_OV_SMTP_URL") or not value("LEVELUP_OV_MAIL_FROM"):
                mistake(place, "is an e-mail address", "set LEVELUP_OV_SMTP_URL and LEVELUP_OV_MAIL_FROM")
        elif fault := _fault_of_address(address, development):
            mistake(place, *fault)
        elif not operator_secrets:
            mistake(place, "needs LEVELUP_OV_OPERATOR_SECRETS", "set it to the output of `levelup-ov events secret`")
    smtp, mail_from = value("LEVELUP_OV_SMTP_URL"), value("LEVELUP_OV_MAIL_FROM")
    if smtp and not _is_smtp(smtp):
        remedy = "write it as smtps://user:password@host:465, or smtp:// for a server that offers STARTTLS"
        mistake("LEVELUP_OV_SMTP_URL", "is not the address of a mail server", remedy)
    if mail_from and not _EMAIL.fullmatch(mail_from):
        mistake("LEVELUP_OV_MAIL_FROM", "is not an e-mail address", "write it as name@host")
    return EventSettings(
        url=Secret(url) if url else None,
        secrets=secrets,
        operators={account: Secret(address) for account, address in addresses.items()},
        operator_secrets=operator_secrets,
        smtp=Secret(smtp) if smtp else None,
        mail_from=mail_from,
    )


def mail_server(address: str) -> tuple[str, int, str, str, bool]:
    """Host, port, user, password of a mail server's address, and whether TLS starts with the connection."""
    url = urlsplit(address)
    immediately = url.scheme == "smtps"
    port = url.port or (465 if immediately else 587)
    return url.hostname or "", port, unquote(url.username or ""), unquote(url.password or ""), immediately


def _secrets(name: str, value: Callable[[str], str], mistake: Report) -> tuple[Secret, ...]:
    given = split(value(name))
    for position, text in enumerate(given, start=1):
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith(PREFIX) or len(key) not in _KEY_BYTES:
            wrong = f"secret {position} is not {PREFIX} and 24 to 64 bytes in base64"
            mistake(name, wrong, "make one with `levelup-ov events secret`")
        elif (fault := fault_of_secret(text)) is not None:
            mistake(name, f"secret {position} {fault[0]}", fault[1])
    if len(given) > MOST_SECRETS:
        mistake(name, f"has {len(given)} secrets", "keep the newest and the one before it")
    return tuple(Secret(text) for text in given)


def _fault_of_address(address: str, development: bool) -> tuple[str, str] | None:
    """Only https, also within a private network: what is reported names orders."""
    if not is_url(address):
        return "is not an https address", _ADDRESS
    if "@" in urlsplit(address).netloc or "#" in address:
        return "holds credentials or a fragment", "take them out of the address"
    if not development and not address.startswith("https://") and not is_loopback(address):
        return "is not https", _ADDRESS
    return None


def _is_smtp(address: str) -> bool:
    try:
        url = urlsplit(address)
        return url.scheme in ("smtp", "smtps") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
