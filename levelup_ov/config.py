"""The environment, read once into frozen settings; :mod:`levelup_ov.accounts` reads the accounts file.

All mistakes are found before the first request and reported together: where they are, what is wrong, what to do.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import resource
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from levelup_ov.accounts import EMBEDDED_SOURCE, AccountsFile
from levelup_ov.adapter import Adapter
from levelup_ov.config_mistakes import (
    ConfigError,
    Mistakes,
    did_you_mean,
    fault_of_secret,
    is_loopback,
    is_url,
    shown,
    split,
)
from levelup_ov.domain.checkout import REFUND_TIME
from levelup_ov.domain.secret import Secret
from levelup_ov.event_settings import EventSettings, read_event_settings
from levelup_ov.ledger import disk
from levelup_ov.ledger.engine import UPGRADE_COMMAND, LedgerUnavailable, SchemaMismatch, open_engine, upgrade
from levelup_ov.ledger.ledger import Ledger, open_ledger
from levelup_ov.redaction import clean, in_address
from levelup_ov.registry import Registry, RegistryError, check_adapters_package
from levelup_ov.sealing import signing_key
from levelup_ov.transport.session import MIN_TIME_TO_PLACE

__all__ = [
    "DEVELOPMENT_API_KEY", "KEY_BYTES", "VARIABLES", "CheckoutSettings", "ConfigError", "Settings", "Variable",
    "check_ledger", "load_settings", "new_secret_key", "prepare_ledger", "upgrade_ledger",
]  # fmt: skip

KEY_BYTES = 32
"""Length of a key of ``LEVELUP_OV_SECRET_KEYS``."""
DEVELOPMENT_API_KEY = "dev-key"
SHORTEST_API_KEY = 8
"""The fewest characters of an API key outside development mode."""
SHORTEST_NAMED_KEY = 16
"""The fewest characters of a key of the console or of an agent: anybody on the network can try to guess these."""
FEWEST_CONNECTIONS = 2
"""Connections to PostgreSQL that a worker needs: one to record outcomes, one for everything else."""
COMMANDS = 3
"""Connections to PostgreSQL for commands, in addition to the workers: a release, a reconciliation, a person."""
DESCRIPTORS = 256
"""File descriptors of a process besides those of its threads and callers."""

_READ_ONLY = "is on a disk that is mounted read-only"
_MOUNT = "mount it for writing, or set LEVELUP_OV_DATA_DIR to a directory on another disk"
_MISSING_KEY_FILE = "secret-keys"
_FEWEST_BYTES = 8
"""The fewest different bytes of a random key: 32 random bytes have fewer once in 10 to the power of 20."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,39}")
_ADAPTER_ENTRY = re.compile(r"[\w-]+(=[\w.]+:[\w.]+)?")
_TILDE = ("starts with ~, which only a shell replaces", "write the whole path")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its meaning and default are shown in the docs.

    ``field``: the setting that ``read`` makes from its text; without one, the loader has a method for it.
    """

    name: str
    meaning: str
    default: str = ""
    field: str = ""
    read: Callable[[str], Any] | None = None


def _number(low: float, high: float, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise ValueError(f"set it to a number from {low:g} to {high:g}")
    return number


def _whole(low: int, high: int, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise ValueError(f"set it to a whole number from {low} to {high}")
    return int(text)


def _choice(choices: Mapping[str, Any], text: str) -> Any:
    for known, meaning in choices.items():
        if text.lower() == known.lower():
            return meaning
    raise ValueError(f"set it to one of: {', '.join(choices)}")


LEAST_WITH_CHECKOUT = 1 + MIN_TIME_TO_PLACE + REFUND_TIME
"""Seconds that charging, placing and a refund take at least."""
_seconds = partial(_number, 0.1, 600)
_placing = partial(_number, MIN_TIME_TO_PLACE + 0.5, 600)
_LEVELS = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}
_TRUE_OR_FALSE = {"true": True, "false": False, "1": True, "0": False}

VARIABLES = (
    Variable("LEVELUP_OV_ENV", "production or development", "production",
             "development", partial(_choice, {"production": False, "development": True})),
    Variable("LEVELUP_OV_API_KEYS", "keys of the channel, comma-separated (EP-6)"),
    Variable("LEVELUP_OV_METRICS_KEYS", "keys that may read /metrics and nothing else, comma-separated; the "
             "channel's may too"),
    Variable("LEVELUP_OV_CONSOLE_KEYS", "keys for the console at /console, comma-separated: NAME=key, the name of a "
             "person; unset, there is no console"),
    Variable("LEVELUP_OV_CONSOLE_WRITERS", "those of these names that may also reconcile, comma-separated; the others "
             "only read"),
    Variable("LEVELUP_OV_UCP_AGENTS", "keys of agents that order through UCP, comma-separated: NAME=key; unset, there "
             "is no UCP"),
    Variable("LEVELUP_OV_UCP_PROFILES", "hosts whose agents' profiles are fetched, comma-separated: HOST or HOST:PORT, "
             "over https; unset, none is"),
    Variable("LEVELUP_OV_UCP_URL", "public https address of this service, as agents reach it; production needs it for "
             "UCP"),
    Variable("LEVELUP_OV_UCP_LINKS", "pages that agents show to buyers, comma-separated: TYPE=address, such as "
             "privacy_policy=https://host/privacy"),
    Variable("LEVELUP_OV_UCP_SIGNING_KEYS", "P-256 keys that sign answers and webhooks to agents, newest first, "
             "comma-separated: DER in base64; unset, nothing is signed and there are no webhooks"),
    Variable("LEVELUP_OV_GUIDE_URL", "address of the built pages of these docs, for the console's links"),
    Variable("LEVELUP_OV_ACCOUNTS", "path of the accounts file"),
    Variable("LEVELUP_OV_ADAPTERS", "further adapters, comma-separated: NAME or NAME=module:Class"),
    Variable("LEVELUP_OV_SECRET_KEYS", "sealing keys, newest first, comma-separated (META-7)"),
    Variable("LEVELUP_OV_DATA_DIR", "directory for what the service keeps on disk", "instance"),
    Variable("LEVELUP_OV_VALIDATION_DEADLINE", "seconds for an order validation (SUB-6)", "14",
             "validation_deadline", _seconds),
    Variable("LEVELUP_OV_SUBMISSION_DEADLINE", "seconds for an order submission (SUB-6)", "25",
             "submission_deadline", _placing),
    Variable("LEVELUP_OV_READING_DEADLINE", "seconds for menus and locations", "25", "reading_deadline", _seconds),
    Variable("LEVELUP_OV_LOCATIONS_TTL", "seconds for which the locations of an account are kept", "300",
             "locations_ttl", partial(_number, 0, 86_400)),
    Variable("LEVELUP_OV_STOCK_TTL", "seconds for which stock of a location is kept (MENU-8); 0: not asked for", "0",
             "stock_ttl", partial(_number, 0, 3_600)),
    Variable("LEVELUP_OV_FEES", "fees of a provider: add them to the total, or refuse (MONEY-9)", "add",
             "refuse_fees", partial(_choice, {"add": False, "refuse": True})),
    Variable("RESPONSE_ENVELOPE", "wrap answers in order_validation / order_submission (EP-10)", "true",
             "response_envelope", partial(_choice, _TRUE_OR_FALSE)),
    Variable("DATABASE_URL", "address of the ledger: postgresql://... for several processes and hosts (SUB-2)"),
    Variable("LEVELUP_OV_LEDGER_CONNECTIONS", "maximum number of connections of each worker process to PostgreSQL", "8",
             "ledger_connections", partial(_whole, FEWEST_CONNECTIONS, 1024)),
    Variable("LEVELUP_OV_LEDGER", "sqlite accepts one host and a durable disk for the ledger, in the data directory"),
    Variable("REDIS_URL", "address of a Redis that keeps menus for all processes; unset, each has its own memory"),
    Variable("LEVELUP_OV_RECONCILE_GRACE", "seconds for which a submission may go on after its deadline", "30",
             "reconcile_grace", partial(_number, 0.1, 86_400)),
    Variable("LEVELUP_OV_ACCOUNT_SHARE", "maximum percentage of a worker's threads that one account may use"),
    Variable("LEVELUP_OV_PROXY", "address of a proxy for all calls to providers, receivers of events and agents"),
    Variable("LEVELUP_OV_CHECKOUT_URL", "base address of LevelUp's API; unset, there is no web checkout"),
    Variable("LEVELUP_OV_CHECKOUT_API_KEY", "the app's API key at LevelUp, its OAuth client id too"),
    Variable("LEVELUP_OV_CHECKOUT_CLIENT_SECRET", "the app's secret at LevelUp"),
    Variable("LEVELUP_OV_CHECKOUT_RETURN_URL", "public address of this service, to which LevelUp sends browsers back"),
    Variable("LEVELUP_OV_CHECKOUT_CHARGE_AGE", "seconds after which an abandoned charge is refunded", "600",
             "charge_age", partial(_number, 0, 86_400)),
    Variable("LEVELUP_OV_EVENTS_URL", "address that receives the channel's events; unset, none are recorded (EVT-1)"),
    Variable("LEVELUP_OV_EVENTS_SECRETS", "secrets that sign these events, newest first, comma-separated (EVT-7)"),
    Variable("LEVELUP_OV_OPERATOR", "https or e-mail address that is notified of what a person must do, for accounts "
             "without their own (EVT-8)"),
    Variable("LEVELUP_OV_OPERATOR_SECRETS", "secrets that sign requests to these addresses"),
    Variable("LEVELUP_OV_SMTP_URL", "mail server: smtps://user:password@host:465, or smtp:// with STARTTLS"),
    Variable("LEVELUP_OV_MAIL_FROM", "e-mail address that mail comes from"),
    Variable("LEVELUP_OV_TRACES_URL", "address of an OpenTelemetry collector, such as "
             "http://127.0.0.1:4318/v1/traces; unset, there are no traces"),
    Variable("LEVELUP_OV_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", "INFO", "log_level", partial(_choice, _LEVELS)),
    Variable("LEVELUP_OV_THREADS", "threads of each worker process", "64", "threads", partial(_whole, 1, 1024)),
    Variable("WEB_CONCURRENCY", "worker processes", "2", "workers", partial(_whole, 1, 1024)),
    Variable("PORT", "port that the service listens on", "8000", "port", partial(_whole, 0, 65_535)),
)  # fmt: skip
_BY_NAME = {variable.name: variable for variable in VARIABLES}


@dataclass(frozen=True, slots=True)
class CheckoutSettings:
    """LevelUp's API for web checkout, and this service's identity there; addresses without a trailing slash."""

    url: str
    api_key: str
    client_secret: Secret
    return_url: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration; durations in seconds. Defaults come from the variables."""

    development: bool
    api_keys: tuple[Secret, ...]
    metrics_keys: tuple[Secret, ...]
    console_keys: Mapping[str, Secret]
    console_writers: tuple[str, ...]
    agents: Mapping[str, Secret]
    agent_profiles: tuple[str, ...]
    agent_url: str
    agent_links: Mapping[str, str]
    agent_signing_keys: tuple[Secret, ...]
    guide_url: str
    traces_url: Secret | None
    secret_keys: tuple[Secret, ...]
    accounts: Mapping[str, Adapter]
    data_dir: Path
    validation_deadline: float
    submission_deadline: float
    reading_deadline: float
    locations_ttl: float
    stock_ttl: float
    refuse_fees: bool
    response_envelope: bool
    ledger: Secret
    ledger_connections: int
    redis: Secret | None
    reconcile_grace: float
    account_threads: int
    account_most: int
    proxy: Secret | None
    checkout: CheckoutSettings | None
    events: EventSettings
    charge_age: float
    log_level: str
    threads: int
    workers: int
    port: int
    accounts_source: str = field(default=EMBEDDED_SOURCE)

    def secrets(self) -> Iterator[Secret]:
        """Everything that must never leave the service, for :func:`levelup_ov.redaction.remember`."""
        yield from self.api_keys
        yield from self.metrics_keys
        yield from self.console_keys.values()
        yield from self.agents.values()
        yield from self.agent_signing_keys
        yield from self.secret_keys
        for address in (self.ledger, self.redis, self.proxy, self.traces_url):
            if address is not None:
                yield from in_address(address.reveal())
        if self.checkout is not None:
            yield self.checkout.client_secret
        yield from self.events.all_secrets()
        for adapter in self.accounts.values():
            for key, value in adapter.account.settings.items():
                if not isinstance(value, Secret):
                    yield from in_address(value) if adapter.settings[key].url else ()
                elif value.reveal() != adapter.settings[key].default:
                    yield value


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read everything.

    :raises ConfigError: with all mistakes at once.
    """
    return _Loader(os.environ if environ is None else environ).load()


def check_ledger(
    url: str,
    *,
    workers: int,
    connections: int,
    console: bool = False,
    look: Callable[[Ledger], None] | None = None,
) -> int:
    """Refuse to start with a ledger whose schema is not this release's; a ledger that is down may come back.

    Gives the connections that each of ``workers`` may have: ``connections``, or as many as the server has for it when
    commands, and the ``console`` of each worker, get theirs. ``look`` is called with a ledger that is ready.

    :raises ConfigError: the ledger is missing, older or newer, cannot exist, or gives too few connections.
    """
    path = ledger_file(url)
    if path is not None and not _has_content(path) and _mark(path).exists():
        raise _lost(path)
    if path is not None and not path.exists():
        raise ConfigError([f"the ledger {path} does not exist: run `{UPGRADE_COMMAND}`"])
    ledger = open_ledger(url)
    try:
        ledger.ready()
        if look is not None:
            look(ledger)
        most, others = ledger.database.most_connections(), COMMANDS + workers * console
        if most is None or workers * connections + others <= most:
            return connections
        share, given = (most - others) // workers, f"the ledger's database gives {most} connections"
        if share < FEWEST_CONNECTIONS:
            needed = f"{workers} workers need {FEWEST_CONNECTIONS} each, and commands {others}"
            raise ConfigError([f"{given}: {needed}; lower WEB_CONCURRENCY or take a larger database"])
        wrong = f"{workers} workers with {connections} each and commands with {others} need more"
        click.echo(f"warning: {given}: {wrong}; each worker takes {share}", err=True)
        return share
    except SchemaMismatch as mismatch:
        raise ConfigError([mismatch.message]) from None
    except LedgerUnavailable as failure:
        if failure.is_permanent:
            raise _unusable(failure) from None
        click.echo(f"warning: {failure.message}; submissions are refused until it is back", err=True)
    finally:
        ledger.close()
    return connections


def prepare_ledger(url: str) -> None:
    """Bring the ledger of development mode to the schema of this release.

    :raises ConfigError: it cannot be reached or written, or has a schema that this release does not know.
    """
    try:
        upgrade_ledger(url)
    except SchemaMismatch as mismatch:
        raise ConfigError([mismatch.message]) from None
    except LedgerUnavailable as failure:
        raise _unusable(failure) from None


def _unusable(failure: LedgerUnavailable) -> ConfigError:
    return ConfigError([f"{failure.message}; correct DATABASE_URL or the database"])


def upgrade_ledger(url: str, *, new: bool = True) -> str | None:
    """Run :func:`levelup_ov.ledger.engine.upgrade`; only its owner can read a file that it creates.

    Call it before starting threads, because the process has one file mode mask for all of them. ``new``: an empty
    ledger may replace a known one; a marker next to SQLite's file records that there was one.

    :raises ConfigError: it would replace a known ledger without ``new``.
    """
    path = ledger_file(url)
    mark = path and _mark(path)
    if path is not None and mark is not None and not new and mark.exists() and not _has_content(path):
        raise _lost(path)
    mask = os.umask(0o077)
    try:
        found = upgrade(url)
        if mark is not None:
            mark.touch()
        return found
    finally:
        os.umask(mask)


def _mark(path: Path) -> Path:
    """The file that shows that there was a ledger at ``path``."""
    return path.with_name(f"{path.name}.known")


def _lost(path: Path) -> ConfigError:
    wrong = f"the ledger {path} is missing, and a new one would not know the orders that were placed"
    return ConfigError(
        [f"{wrong}; restore it by `levelup-ov ledger restore COPY`, or start a new one: `{UPGRADE_COMMAND} --new`"]
    )


def ledger_file(url: str) -> Path | None:
    """The file of an SQLite ledger; None for other ledgers."""
    if not url.startswith("sqlite") or ":///" not in url:
        return None
    return Path(url.partition(":///")[2].partition("?")[0].removeprefix("file:"))


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def new_secret_key() -> str:
    """A fresh key for ``LEVELUP_OV_SECRET_KEYS``."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class _Loader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._found = Mistakes()

    def load(self) -> Settings:
        self._check_names()
        development: bool = self._read(_BY_NAME["LEVELUP_OV_ENV"])
        data_dir = self._data_dir()
        accounts, source, operators = self._accounts(development)
        api_keys = self._api_keys(development)
        metrics_keys = self._keys_of_callers("LEVELUP_OV_METRICS_KEYS", development)
        console_keys = self._named_keys("LEVELUP_OV_CONSOLE_KEYS", "person", development)
        secret_keys = self._secret_keys(development, data_dir)
        # In the order of the table, so that the mistakes come in that order.
        simple = {each.field: self._read(each) for each in VARIABLES if each.field and each.field != "development"}
        settings = Settings(
            development=development,
            api_keys=api_keys,
            metrics_keys=metrics_keys,
            console_keys=console_keys,
            console_writers=self._console_writers(console_keys),
            agents=self._named_keys("LEVELUP_OV_UCP_AGENTS", "agent", development),
            agent_profiles=self._agent_profiles(development),
            agent_url=self._agent_url(development),
            agent_links=self._agent_links(),
            agent_signing_keys=self._agent_signing_keys(),
            guide_url=self._guide_url(),
            traces_url=self._traces_url(),
            secret_keys=secret_keys,
            accounts=accounts,
            accounts_source=source,
            data_dir=data_dir,
            ledger=self._ledger(development, data_dir),
            redis=self._redis(),
            account_threads=self._account_threads(simple["threads"], len(accounts)),
            # Idle threads of other accounts may be borrowed, unless the share is set.
            account_most=self._account_threads(simple["threads"], 1),
            proxy=self._proxy(),
            checkout=self._checkout(development),
            events=read_event_settings(self._value, self._found.add, operators, accounts, development=development),
            **simple,
        )
        self._check_descriptors(settings.threads)
        if settings.checkout is not None and settings.submission_deadline < LEAST_WITH_CHECKOUT:
            wrong = f"is {settings.submission_deadline:g}, and leaves web checkout no time to place what it has charged"
            self._mistake("LEVELUP_OV_SUBMISSION_DEADLINE", wrong, f"set it to at least {LEAST_WITH_CHECKOUT:g}")
        self._check_reuse(settings)
        self._found.refuse()
        return settings

    def _mistake(self, name: str, wrong: str, remedy: str) -> None:
        self._found.add(f"environment, {name}", wrong, remedy)

    def _value(self, name: str) -> str:
        return self._environ.get(name, "").strip() or _BY_NAME[name].default

    def _read(self, variable: Variable) -> Any:
        """The value of a variable that has a reader; its default if the text is a mistake."""
        assert variable.read is not None
        value = self._value(variable.name)
        try:
            return variable.read(value)
        except ValueError as error:
            remedy = str(error)
            if value[:1] == value[-1:] and value[:1] in "\"'":
                remedy += ", without quotes"
            self._mistake(variable.name, f"is {shown(value)}", remedy)
            return variable.read(variable.default)

    def _check_names(self) -> None:
        known = list(_BY_NAME)
        for name in self._environ:
            bare, upper = name.upper().removeprefix("LEVELUP_OV_"), name.upper()
            if name in _BY_NAME:
                continue
            if upper in _BY_NAME and upper.startswith("LEVELUP_OV_"):
                self._mistake(name, "is not a known variable", f"did you mean {upper}?")
            elif upper.startswith("LEVELUP_OV_"):
                remedy = f"did you mean {bare}?" if bare in _BY_NAME else did_you_mean(name, known)
                self._mistake(name, "is not a known variable", remedy)

    def _data_dir(self) -> Path:
        path = Path(self._value("LEVELUP_OV_DATA_DIR"))
        if str(path).startswith("~"):
            self._mistake("LEVELUP_OV_DATA_DIR", *_TILDE)
        where, remedy = f"directory {path}", "set LEVELUP_OV_DATA_DIR to a writable directory"
        # The first part that exists decides whether the rest can be created in it.
        there = next((part for part in (path, *path.absolute().parents) if _exists(part)), Path("/"))
        if not there.is_dir():
            self._found.add(where, f"cannot be made or used ({there} is not a directory)", remedy)
        elif disk.is_read_only(there):
            self._found.add(where, f"{_READ_ONLY} ({there})", _MOUNT)
        elif not os.access(there, os.W_OK | os.X_OK):
            self._found.add(where, f"cannot be written by this user ({there})", remedy)
        return path

    def _api_keys(self, development: bool) -> tuple[Secret, ...]:
        name = "LEVELUP_OV_API_KEYS"
        keys = split(self._value(name))
        if not keys and development:
            keys = (DEVELOPMENT_API_KEY,)
        if not keys:
            self._mistake(
                name,
                "is not set; the service would be open to everybody (EP-6)",
                "set it to one or more long random keys, comma-separated",
            )
        return self._keys_of_callers(name, development, keys)

    def _keys_of_callers(self, name: str, development: bool, keys: tuple[str, ...] = ()) -> tuple[Secret, ...]:
        """Keys that come in a header; ``keys`` where there is a default."""
        keys = keys or split(self._value(name))
        if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
            self._mistake(name, "contains a key that is not valid in a header", "use printable ASCII")
        for position, key in enumerate(keys, start=1):
            if (fault := fault_of_secret(key)) is not None:
                self._mistake(name, f"key {position} {fault[0]}", fault[1])
            elif ";" in key:
                self._mistake(name, f"key {position} contains a semicolon", "separate keys by commas")
            elif len(key) < SHORTEST_API_KEY and not development:
                wrong = f"key {position} has fewer than {SHORTEST_API_KEY} characters and could be guessed"
                self._mistake(name, wrong, "set it to a long random key")
        self._check_repeated(name, keys)
        return tuple(Secret(key) for key in keys)

    def _named_keys(self, name: str, owner: str, development: bool) -> dict[str, Secret]:
        """Keys by the name of their ``owner``."""
        found = dict[str, Secret]()
        parts = [part.partition("=") for part in split(self._value(name))]
        for position, (label, _, key) in enumerate(parts, start=1):
            if not _LABEL.fullmatch(label) or not key:
                self._mistake(
                    name, f"entry {position} is not NAME=key", "write it as olive=KEY, with a long random key"
                )
            elif (fault := fault_of_secret(key)) is not None:
                self._mistake(name, f"the key of {label} {fault[0]}", fault[1])
            elif owner == "agent" and (not key.isascii() or " " in key):
                self._mistake(name, f"the key of {label} is not valid in a header", "use printable ASCII")
            elif len(key) < SHORTEST_NAMED_KEY and not development:
                wrong = f"the key of {label} has fewer than {SHORTEST_NAMED_KEY} characters and could be guessed"
                self._mistake(name, wrong, "set it to a long random key")
            elif label in found or Secret(key) in found.values():
                self._mistake(name, f"contains the name or the key of {label} twice", f"give each {owner} one key")
            else:
                found[label] = Secret(key)
        return found

    def _console_writers(self, keys: Mapping[str, Secret]) -> tuple[str, ...]:
        name = "LEVELUP_OV_CONSOLE_WRITERS"
        writers = split(self._value(name))
        for writer in writers:
            if writer not in keys:
                wrong = f"names {shown(writer)}, which has no key in LEVELUP_OV_CONSOLE_KEYS"
                self._mistake(name, wrong, did_you_mean(writer, list(keys)))
        return writers

    def _agent_profiles(self, development: bool) -> tuple[str, ...]:
        """Origins; those of this host only where somebody develops an agent."""
        name, remedy = "LEVELUP_OV_UCP_PROFILES", "write it as HOST or HOST:PORT"
        origins = tuple(each if "://" in each else f"https://{each}" for each in split(self._value(name).lower()))
        for origin in origins:
            host = origin.partition("://")[2]
            if not is_url(origin) or not re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?|\[[0-9a-f:.]+\](:[0-9]+)?", host):
                self._mistake(name, f"names {shown(host)}, which is not a host", remedy)
            elif not origin.startswith("https://") and not (development and is_loopback(origin)):
                self._mistake(name, f"names {shown(host)} without TLS", remedy)
        return origins

    def _agent_url(self, development: bool) -> str:
        """Without it, a request that names another host would get its addresses there."""
        name, value = "LEVELUP_OV_UCP_URL", self._value("LEVELUP_OV_UCP_URL")
        if not value and self._value("LEVELUP_OV_UCP_AGENTS") and not development:
            self._mistake(name, "is not set, but LEVELUP_OV_UCP_AGENTS is", "set it to https://host")
        if value and (not is_url(value) or "@" in value or "?" in value or "#" in value):
            self._mistake(name, "is not an http(s) address", "write it as https://host")
        elif value and not development and not value.startswith("https://"):
            self._mistake(name, "is not https", "write it as https://host")
        return value.rstrip("/")

    def _agent_links(self) -> dict[str, str]:
        name, found = "LEVELUP_OV_UCP_LINKS", dict[str, str]()
        for position, part in enumerate(split(self._value(name)), start=1):
            type, _, url = part.partition("=")
            if not re.fullmatch(r"[a-z][a-z_]{0,39}", type) or not is_url(url):
                self._mistake(
                    name, f"entry {position} is not TYPE=address", "write it as terms_of_service=https://host/x"
                )
            found[type] = url
        return found

    def _agent_signing_keys(self) -> tuple[Secret, ...]:
        name = "LEVELUP_OV_UCP_SIGNING_KEYS"
        keys = tuple(map(Secret, split(self._value(name))))
        for position, key in enumerate(keys, start=1):
            try:
                signing_key(key)
            except ValueError:
                remedy = (
                    "make one with `openssl ecparam -genkey -noout -name prime256v1 -outform DER | openssl base64 -A`"
                )
                self._mistake(name, f"key {position} is not a P-256 key as DER in base64", remedy)
        return keys

    def _guide_url(self) -> str:
        value = self._value("LEVELUP_OV_GUIDE_URL")
        if value and not is_url(value):
            self._mistake("LEVELUP_OV_GUIDE_URL", "is not an http(s) address", "write it as https://host/path")
        return value.rstrip("/")

    def _traces_url(self) -> Secret | None:
        """Hosted collectors have a key in the address now and then."""
        if not (value := self._value("LEVELUP_OV_TRACES_URL")):
            return None
        if not is_url(value):
            remedy = "write it as http://host:4318/v1/traces"
            self._mistake("LEVELUP_OV_TRACES_URL", "is not an http(s) address", remedy)
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
            needed = "install levelup_ov[opentelemetry]"
            self._mistake("LEVELUP_OV_TRACES_URL", "needs the libraries of OpenTelemetry", needed)
        return Secret(value)

    def _secret_keys(self, development: bool, data_dir: Path) -> tuple[Secret, ...]:
        name = "LEVELUP_OV_SECRET_KEYS"
        keys = split(self._value(name))
        if not keys and development:
            keys = self._kept_keys(data_dir)
        elif not keys:
            self._mistake(
                name,
                "is not set; values sealed now could not be opened after a restart (META-7)",
                "set it to the output of `levelup-ov secret-key`, the same for all processes",
            )
        for position, key in enumerate(keys, start=1):
            try:
                raw = base64.b64decode(key, altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                raw = b""
            remedy = "make one with `levelup-ov secret-key`"
            if len(raw) != KEY_BYTES:
                if key[:1] in "\"'":
                    remedy = "write it without quotes"
                self._mistake(name, f"key {position} is not {KEY_BYTES} bytes in base64", remedy)
            elif len(set(raw)) < _FEWEST_BYTES and not development:
                self._mistake(name, f"key {position} is not random", remedy)
        self._check_repeated(name, keys)
        return tuple(Secret(key) for key in keys)

    def _check_repeated(self, name: str, keys: tuple[str, ...]) -> None:
        if len(set(keys)) < len(keys):
            self._mistake(name, "contains a key twice", "remove one of the two")

    def _kept_keys(self, data_dir: Path) -> tuple[str, ...]:
        """The development key, created once. Two processes that start at the same time get the same key."""
        path = data_dir / _MISSING_KEY_FILE
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = data_dir / f".{_MISSING_KEY_FILE}.{os.getpid()}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(new_secret_key())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            return split(path.read_text())
        except OSError as error:
            self._found.add(
                f"directory {data_dir}",
                f"cannot keep the development key ({error.strerror})",
                "set LEVELUP_OV_DATA_DIR to a writable directory",
            )
            return ()

    def _ledger(self, development: bool, data_dir: Path) -> Secret:
        url, choice = self._value("DATABASE_URL"), self._value("LEVELUP_OV_LEDGER")
        if choice not in ("", "sqlite"):
            self._mistake("LEVELUP_OV_LEDGER", f"is {shown(choice)}", "set it to sqlite, or leave it unset")
        if not url and choice != "sqlite" and not development:
            self._mistake(
                "DATABASE_URL",
                "is not set; on a temporary disk, the record of placed orders would be lost (SUB-2)",
                "set it to postgresql://..., or set LEVELUP_OV_LEDGER=sqlite for one host with a durable disk",
            )
        if url and choice == "sqlite":
            self._mistake("LEVELUP_OV_LEDGER", "is set beside DATABASE_URL", "set one of the two")
        url = url or f"sqlite:///{(data_dir / 'ledger.db').absolute()}"
        if (fault := _fault_of_database(url)) is not None:
            self._mistake("DATABASE_URL", *fault)
            return Secret(url)
        try:
            open_engine(url, pool_size=1).dispose()
        except ValueError as error:
            self._mistake("DATABASE_URL", "is not a valid ledger URL", str(error))
        if (path := ledger_file(url)) is not None:
            if not path.is_absolute():
                wrong = f"is a path that depends on where a command is run ({path})"
                self._mistake("DATABASE_URL", wrong, "write it as sqlite:////absolute/path, with four slashes")
            self._check_file(path)
        return Secret(url)

    def _check_file(self, path: Path) -> None:
        """A ledger that another user created, such as root in a first try, is not writable."""
        for part in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if not _exists(part):
                continue
            if part.is_dir():
                self._found.add(f"ledger {part}", "is a directory", "name a file")
            elif disk.is_read_only(part):
                # Its directory is on the same disk.
                if not any(_READ_ONLY in mistake for mistake in self._found.found):
                    self._found.add(f"ledger {part}", _READ_ONLY, _MOUNT)
            elif not os.access(part, os.R_OK | os.W_OK):
                owner = part.stat().st_uid
                wrong = f"cannot be read and written by this user ({os.getuid()}); it belongs to user {owner}"
                self._found.add(f"ledger {part}", wrong, "change its owner, or run the service as that user")

    def _redis(self) -> Secret | None:
        if not (url := self._value("REDIS_URL")):
            return None
        remedy = "write it as redis://host:port or rediss://host:port"
        try:
            from levelup_ov.transport.redis_cache import RedisStore  # its library is an extra

            if not url.startswith(("redis://", "rediss://")):
                raise ValueError
            if not re.fullmatch(r"/?\d{0,4}", urlsplit(url).path):
                # The library would silently use database 0.
                self._mistake("REDIS_URL", "names a database that is not a number", f"{remedy}, /NUMBER after it")
            RedisStore(url, b"").close()
        except ImportError:
            self._mistake("REDIS_URL", "needs the library redis", "install levelup_ov[redis]")
        except ValueError:
            self._mistake("REDIS_URL", "is not a valid Redis URL", remedy)
        return Secret(url)

    def _account_threads(self, threads: int, accounts: int) -> int:
        """How many threads an account may use: half of them, unless there is only one account."""
        value = self._value("LEVELUP_OV_ACCOUNT_SHARE")
        if not value:
            return threads if accounts <= 1 else max(threads // 2, 1)
        try:
            share = _whole(1, 100, value)
        except ValueError as error:
            self._mistake("LEVELUP_OV_ACCOUNT_SHARE", f"is {shown(value)}", str(error))
            share = 100
        return max(threads * share // 100, 1)

    def _proxy(self) -> Secret | None:
        value = self._value("LEVELUP_OV_PROXY")
        if value and not is_url(value):
            self._mistake("LEVELUP_OV_PROXY", "is not an http(s) address", "set it to http://host:port")
        elif value and (urlsplit(value).path.strip("/") or urlsplit(value).query):
            self._mistake("LEVELUP_OV_PROXY", "has a path or a query", "set it to http://host:port")
        return Secret(value) if value else None

    def _checkout(self, development: bool) -> CheckoutSettings | None:
        """All four variables or none; outside development mode both addresses are https, as OAuth demands."""
        names = [f"LEVELUP_OV_CHECKOUT_{name}" for name in ("URL", "API_KEY", "CLIENT_SECRET", "RETURN_URL")]
        values = [self._value(name) for name in names]
        if not any(values):
            return None
        for name, value in zip(names, values, strict=True):
            if not value:
                self._mistake(name, "is not set", "set all of LEVELUP_OV_CHECKOUT_*, or none")
            elif name.endswith("_URL"):
                if not is_url(value) or urlsplit(value).query or urlsplit(value).fragment:
                    self._mistake(name, "is not an http(s) address", "write it as https://host")
                elif "@" in urlsplit(value).netloc:
                    self._mistake(name, "holds credentials", "take them out of the address")
                elif not development and not value.startswith("https://") and not is_loopback(value):
                    self._mistake(name, "is not https", "write it as https://host")
            elif not value.isascii() or not value.isprintable():
                self._mistake(name, "contains characters that are not valid in a key", "use printable ASCII")
            elif (fault := fault_of_secret(value)) is not None:
                self._mistake(name, *fault)
        url, api_key, client_secret, return_url = values
        return CheckoutSettings(url.rstrip("/"), api_key, Secret(client_secret), return_url.rstrip("/"))

    def _accounts(self, development: bool) -> tuple[dict[str, Adapter], str, dict[str, str]]:
        """The accounts, the name of their file, and the operators that it names."""
        enabled = split(self._value("LEVELUP_OV_ADAPTERS"))
        for entry in enabled:
            if not _ADAPTER_ENTRY.fullmatch(entry):
                wrong = f"has the entry {shown(entry)}"
                self._mistake("LEVELUP_OV_ADAPTERS", wrong, "write each as NAME or NAME=package.module:Class")
                return {}, "", {}
        try:
            check_adapters_package()
            registry = Registry(enabled)
        except RegistryError as error:
            self._mistake("LEVELUP_OV_ADAPTERS", clean(error.fault), clean(error.remedy))
            return {}, "", {}
        for entry in enabled:
            # Also adapters that no account uses yet: they would fail as soon as one does.
            try:
                registry.adapter_class(entry.partition("=")[0])
            except RegistryError as error:
                self._mistake("LEVELUP_OV_ADAPTERS", clean(error.fault), clean(error.remedy))
        path = self._value("LEVELUP_OV_ACCOUNTS")
        if not path and not development:
            self._mistake(
                "LEVELUP_OV_ACCOUNTS",
                "is not set",
                "set it to the path of the accounts file; LEVELUP_OV_ENV=development would serve the embedded sandbox",
            )
            return {}, "", {}
        file = AccountsFile(self._environ, self._found, registry, development=development)
        return file.read(path), path or EMBEDDED_SOURCE, file.operators

    def _check_descriptors(self, threads: int) -> None:
        """A thread may need three files: its caller, its provider, the ledger."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = 3 * threads + DESCRIPTORS
        if hard != resource.RLIM_INFINITY and hard < needed:
            wrong = f"is {threads}, and a process may open {hard} files but needs {needed}"
            self._mistake("LEVELUP_OV_THREADS", wrong, "lower it, or raise the limit (ulimit -Hn)")

    def _check_reuse(self, settings: Settings) -> None:
        """No key may be of two kinds."""
        keys = {key.reveal() for key in settings.api_keys}
        if keys & {key.reveal() for key in settings.metrics_keys}:
            wrong = "holds a key of LEVELUP_OV_API_KEYS, with which orders can be placed"
            self._mistake("LEVELUP_OV_METRICS_KEYS", wrong, "use another key")
        known = {key.reveal() for key in (*settings.api_keys, *settings.metrics_keys, *settings.secret_keys)}
        for name, named in (
            ("LEVELUP_OV_CONSOLE_KEYS", settings.console_keys),
            ("LEVELUP_OV_UCP_AGENTS", settings.agents),
        ):
            if known & {key.reveal() for key in named.values()}:
                self._mistake(name, "holds a key of another variable", "use another key")
            known |= {key.reveal() for key in named.values()}
        if keys & {key.reveal() for key in settings.secret_keys}:
            wrong = "contains a key of LEVELUP_OV_SECRET_KEYS, which the channel must not have"
            self._mistake("LEVELUP_OV_API_KEYS", wrong, "use another key")
        for name, adapter in settings.accounts.items():
            for key, value in adapter.account.settings.items():
                if isinstance(value, Secret) and value.reveal() in keys:
                    where = f"{settings.accounts_source}, accounts.{name}.settings.{key}"
                    self._found.add(where, "is a key of LEVELUP_OV_API_KEYS too", "use another key for the channel")


def _fault_of_database(url: str) -> tuple[str, str] | None:
    """The faults of a PostgreSQL address that its text shows."""
    if not url.startswith(("postgres://", "postgresql://", "postgresql+psycopg://")):
        return None
    rest = url.partition("://")[2]
    before, at, host = rest.rpartition("@")
    escape = "write % and the two hex digits for it: %40 for @, %2F for /, %3A for :, %23 for #, %3F for ?"
    if at and (any(character in before for character in "@/?#") or before.count(":") > 1):
        return "has a name or password with one of : / ? # @ that is not escaped", escape
    try:
        address = urlsplit(f"//{host}")
        port, database = address.port, address.path.strip("/")
    except ValueError:
        return (
            "has a port that is not a number from 0 to 65535",
            "write it as postgresql://user:password@host:5432/name",
        )
    if port == 0 or not database:
        return "names no database", "write it as postgresql://user:password@host/name"
    for name, value in parse_qsl(address.query):
        if name == "sslmode" and value not in _SSL_MODES:
            return f"has sslmode={shown(value)}", did_you_mean(value, _SSL_MODES)
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
