"""The environment and the accounts file, read once into frozen settings.

Every mistake is found before the first request, and all are reported at once: where it is, what is wrong,
what to do.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytz

from levelup_ov.adapter import Account, Adapter
from levelup_ov.domain.secret import Secret
from levelup_ov.ledger.engine import UPGRADE_COMMAND, LedgerUnavailable, SchemaMismatch, upgrade
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.registry import Registry, RegistryError, check_adapters_package

KEY_BYTES = 32
"""Length of a key of ``LEVELUP_OV_SECRET_KEYS``."""
DEVELOPMENT_API_KEY = "dev-key"
EMBEDDED_ACCOUNTS = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox Diner"
"""

_ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ACCOUNT_KEYS = ("provider", "name", "time_zone", "accepts_tips", "settings")
_MISSING_KEY_FILE = "secret-keys"


class ConfigError(click.ClickException):
    """The configuration is not sound; ``mistakes`` holds one line each."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"  - {mistake}" for mistake in self.mistakes)
        super().__init__(f"the configuration has {len(self.mistakes)} mistake(s):\n{lines}")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. ``unit`` and ``default`` are shown by ``config check`` and in the docs."""

    name: str
    meaning: str
    default: str = ""


VARIABLES = (
    Variable("LEVELUP_OV_ENV", "production or development", "production"),
    Variable("LEVELUP_OV_API_KEYS", "keys of the channel, comma-separated (EP-6)"),
    Variable("LEVELUP_OV_ACCOUNTS", "path of the accounts file"),
    Variable("LEVELUP_OV_ADAPTERS", "further adapters, comma-separated: NAME or NAME=module:Class"),
    Variable("LEVELUP_OV_SECRET_KEYS", "sealing keys, newest first, comma-separated (META-7)"),
    Variable("LEVELUP_OV_DATA_DIR", "directory for what the service keeps on disk", "instance"),
    Variable("LEVELUP_OV_VALIDATION_DEADLINE", "seconds for an order validation (SUB-6)", "14"),
    Variable("LEVELUP_OV_SUBMISSION_DEADLINE", "seconds for an order submission (SUB-6)", "25"),
    Variable("LEVELUP_OV_READING_DEADLINE", "seconds for menus and locations", "25"),
    Variable("LEVELUP_OV_LOCATIONS_TTL", "seconds for which the locations of an account are kept", "300"),
    Variable("LEVELUP_OV_FEES", "fees of a provider: add them to the total, or refuse (MONEY-9)", "add"),
    Variable("RESPONSE_ENVELOPE", "wrap answers in order_validation / order_submission (EP-10)", "true"),
    Variable("DATABASE_URL", "address of the ledger: postgresql://... for several processes and hosts (SUB-2)"),
    Variable("LEVELUP_OV_LEDGER", "sqlite accepts one host and a durable disk for the ledger, in the data directory"),
    Variable("REDIS_URL", "address of a Redis that keeps menus for all processes; unset, each has its own memory"),
    Variable("LEVELUP_OV_RECONCILE_GRACE", "seconds after its deadline for which a submission may be under way", "30"),
    Variable("LEVELUP_OV_ACCOUNT_SHARE", "percent of a worker's threads that one account may hold"),
    Variable("LEVELUP_OV_PROXY", "address of a proxy for all calls to providers"),
    Variable("LEVELUP_OV_CHECKOUT_URL", "base address of LevelUp's API; unset, there is no web checkout"),
    Variable("LEVELUP_OV_CHECKOUT_API_KEY", "the app's API key at LevelUp, its OAuth client id too"),
    Variable("LEVELUP_OV_CHECKOUT_CLIENT_SECRET", "the app's secret at LevelUp"),
    Variable("LEVELUP_OV_CHECKOUT_RETURN_URL", "public address of this service, to which LevelUp sends browsers back"),
    Variable("LEVELUP_OV_CHECKOUT_CHARGE_AGE", "seconds after which a charge that nobody waits for goes back", "600"),
    Variable("LEVELUP_OV_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", "INFO"),
    Variable("LEVELUP_OV_THREADS", "threads of each worker process", "64"),
    Variable("WEB_CONCURRENCY", "worker processes", "2"),
    Variable("PORT", "port that the service listens on", "8000"),
)


@dataclass(frozen=True, slots=True)
class CheckoutSettings:
    """LevelUp's API for web checkout, and what this service is there; addresses without a slash at the end.

    ``charge_age``: seconds after which a charge of unknown outcome that nobody asks for is given back.
    """

    url: str
    api_key: str
    client_secret: Secret
    return_url: str
    charge_age: float = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration; durations in seconds."""

    development: bool
    api_keys: tuple[Secret, ...]
    secret_keys: tuple[Secret, ...]
    accounts: Mapping[str, Adapter]
    data_dir: Path
    validation_deadline: float = 14.0
    submission_deadline: float = 25.0
    reading_deadline: float = 25.0
    locations_ttl: float = 300.0
    refuse_fees: bool = False
    response_envelope: bool = True
    ledger: Secret = Secret("sqlite://")
    redis: Secret | None = None
    reconcile_grace: float = 30.0
    account_threads: int = 64
    proxy: Secret | None = None
    checkout: CheckoutSettings | None = None
    log_level: str = "INFO"
    threads: int = 64
    workers: int = 2
    port: int = 8000
    accounts_source: str = field(default="the embedded sandbox")


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read everything.

    :raises ConfigError: with all mistakes at once.
    """
    return _Loader(os.environ if environ is None else environ).load()


def check_ledger(url: str) -> None:
    """Refuse to start over a ledger whose schema is not this release's; one that is down may come back.

    :raises ConfigError: it is missing, older or newer.
    """
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise ConfigError([f"the ledger {path} does not exist: run `{UPGRADE_COMMAND}`"])
    ledger = open_ledger(url)
    try:
        ledger.ready()
    except SchemaMismatch as mismatch:
        raise ConfigError([mismatch.message]) from None
    except LedgerUnavailable as failure:
        click.echo(f"warning: {failure.message}; submissions are refused until it is back", err=True)
    finally:
        ledger.close()


def upgrade_ledger(url: str) -> str | None:
    """What :func:`levelup_ov.ledger.engine.upgrade` does; a file that it makes is readable by its owner only.

    To be called before there are threads: the process has one mask for all of them.
    """
    mask = os.umask(0o077)
    try:
        return upgrade(url)
    finally:
        os.umask(mask)


def new_secret_key() -> str:
    """A fresh key for ``LEVELUP_OV_SECRET_KEYS``."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class _Loader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._mistakes: list[str] = []

    def load(self) -> Settings:
        self._check_names()
        development = self._choice("LEVELUP_OV_ENV", {"production": False, "development": True})
        data_dir = Path(self._value("LEVELUP_OV_DATA_DIR"))
        accounts, source = self._accounts(development)
        settings = Settings(
            development=development,
            api_keys=self._api_keys(development),
            secret_keys=self._secret_keys(development, data_dir),
            accounts=accounts,
            accounts_source=source,
            data_dir=data_dir,
            validation_deadline=self._number("LEVELUP_OV_VALIDATION_DEADLINE", 0.1, 600),
            submission_deadline=self._number("LEVELUP_OV_SUBMISSION_DEADLINE", 0.1, 600),
            reading_deadline=self._number("LEVELUP_OV_READING_DEADLINE", 0.1, 600),
            locations_ttl=self._number("LEVELUP_OV_LOCATIONS_TTL", 0, 86_400),
            refuse_fees=self._choice("LEVELUP_OV_FEES", {"add": False, "refuse": True}),
            response_envelope=self._choice("RESPONSE_ENVELOPE", {"true": True, "false": False, "1": True, "0": False}),
            ledger=self._ledger(development, data_dir),
            redis=self._redis(),
            reconcile_grace=self._number("LEVELUP_OV_RECONCILE_GRACE", 0.1, 86_400),
            account_threads=self._account_threads(len(accounts)),
            proxy=self._proxy(),
            checkout=self._checkout(development),
            log_level=self._choice(
                "LEVELUP_OV_LOG_LEVEL", {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR")}
            ),
            threads=int(self._number("LEVELUP_OV_THREADS", 1, 1024)),
            workers=int(self._number("WEB_CONCURRENCY", 1, 1024)),
            port=int(self._number("PORT", 0, 65_535)),
        )
        if self._mistakes:
            raise ConfigError(dict.fromkeys(self._mistakes))
        return settings

    def _mistake(self, where: str, wrong: str, remedy: str) -> None:
        self._mistakes.append(f"{where}: {wrong}; {remedy}")

    def _value(self, name: str) -> str:
        default = next(variable.default for variable in VARIABLES if variable.name == name)
        return self._environ.get(name, "").strip() or default

    def _check_names(self) -> None:
        known = [variable.name for variable in VARIABLES]
        for name in self._environ:
            if name.startswith("LEVELUP_OV_") and name not in known:
                self._mistake(f"environment, {name}", "is no setting", _did_you_mean(name, known))

    def _choice(self, name: str, choices: Mapping[str, Any]) -> Any:
        value = self._value(name)
        for known, meaning in choices.items():
            if value.lower() == known.lower():
                return meaning
        self._mistake(f"environment, {name}", f"is {value!r}", f"set it to one of: {', '.join(choices)}")
        return next(iter(choices.values()))

    def _number(self, name: str, low: float, high: float) -> float:
        value = self._value(name)
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            self._mistake(f"environment, {name}", f"is {value!r}", f"set it to a number from {low:g} to {high:g}")
            return low
        return number

    def _api_keys(self, development: bool) -> tuple[Secret, ...]:
        keys = _split(self._value("LEVELUP_OV_API_KEYS"))
        if not keys and development:
            keys = (DEVELOPMENT_API_KEY,)
        if not keys:
            self._mistake(
                "environment, LEVELUP_OV_API_KEYS",
                "is not set, and the service would be open to everybody (EP-6)",
                "set it to one or more long random keys, comma-separated",
            )
        if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
            self._mistake(
                "environment, LEVELUP_OV_API_KEYS", "holds a key that cannot stand in a header", "use printable ASCII"
            )
        return tuple(Secret(key) for key in keys)

    def _secret_keys(self, development: bool, data_dir: Path) -> tuple[Secret, ...]:
        where = "environment, LEVELUP_OV_SECRET_KEYS"
        keys = _split(self._value("LEVELUP_OV_SECRET_KEYS"))
        if not keys and development:
            keys = self._kept_keys(data_dir)
        elif not keys:
            self._mistake(
                where,
                "is not set, and what is sealed today could not be opened tomorrow (META-7)",
                "set it to the output of `python -m levelup_ov secret-key`, the same for all processes",
            )
        for position, key in enumerate(keys, start=1):
            try:
                sound = len(base64.b64decode(key, altchars=b"-_", validate=True)) == KEY_BYTES
            except (binascii.Error, ValueError):
                sound = False
            if not sound:
                self._mistake(
                    where,
                    f"key {position} is not {KEY_BYTES} bytes in base64",
                    "make one with `python -m levelup_ov secret-key`",
                )
        return tuple(Secret(key) for key in keys)

    def _kept_keys(self, data_dir: Path) -> tuple[str, ...]:
        """The development key, made once. Two processes that start at once end up with the same."""
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
            return _split(path.read_text())
        except OSError as error:
            self._mistake(
                f"directory {data_dir}",
                f"cannot keep the development key ({error.strerror})",
                "set LEVELUP_OV_DATA_DIR to a writable directory",
            )
            return ()

    def _ledger(self, development: bool, data_dir: Path) -> Secret:
        url, choice = self._value("DATABASE_URL"), self._value("LEVELUP_OV_LEDGER")
        if choice not in ("", "sqlite"):
            self._mistake("environment, LEVELUP_OV_LEDGER", f"is {choice!r}", "set it to sqlite, or leave it unset")
        if not url and choice != "sqlite" and not development:
            self._mistake(
                "environment, DATABASE_URL",
                "is not set, and on a disk that does not last the promise of one order would be lost (SUB-2)",
                "set it to postgresql://..., or set LEVELUP_OV_LEDGER=sqlite for one host with a durable disk",
            )
        if url and choice == "sqlite":
            self._mistake("environment, LEVELUP_OV_LEDGER", "is set beside DATABASE_URL", "set one of the two")
        url = url or f"sqlite:///{(data_dir / 'ledger.db').absolute()}"
        try:
            open_ledger(url).close()
        except ValueError as error:
            self._mistake("environment, DATABASE_URL", "is no address of a ledger", str(error))
        return Secret(url)

    def _redis(self) -> Secret | None:
        if not (url := self._value("REDIS_URL")):
            return None
        where = "environment, REDIS_URL"
        try:
            from levelup_ov.transport.redis_cache import RedisStore  # its library is an extra

            if not url.startswith(("redis://", "rediss://")):
                raise ValueError
            RedisStore(url, b"").close()
        except ImportError:
            self._mistake(where, "needs the library redis", "install levelup_ov[redis]")
        except ValueError:
            self._mistake(where, "is no address of a Redis", "write it as redis://host:port or rediss://host:port")
        return Secret(url)

    def _account_threads(self, accounts: int) -> int:
        """How many threads one account may hold: half of them, unless there is but one account."""
        threads = int(self._number("LEVELUP_OV_THREADS", 1, 1024))
        if not self._value("LEVELUP_OV_ACCOUNT_SHARE"):
            return threads if accounts <= 1 else max(threads // 2, 1)
        return max(threads * int(self._number("LEVELUP_OV_ACCOUNT_SHARE", 1, 100)) // 100, 1)

    def _proxy(self) -> Secret | None:
        value = self._value("LEVELUP_OV_PROXY")
        if value and not _is_url(value):
            self._mistake("environment, LEVELUP_OV_PROXY", "is no http(s) address", "set it to http://host:port")
        return Secret(value) if value else None

    def _checkout(self, development: bool) -> CheckoutSettings | None:
        """All four variables or none; outside development mode both addresses are https, as OAuth demands."""
        names = [f"LEVELUP_OV_CHECKOUT_{name}" for name in ("URL", "API_KEY", "CLIENT_SECRET", "RETURN_URL")]
        values = [self._value(name) for name in names]
        if not any(values):
            return None
        for name, value in zip(names, values, strict=True):
            if not value:
                self._mistake(f"environment, {name}", "is not set", "set all of LEVELUP_OV_CHECKOUT_*, or none")
            elif name.endswith("_URL"):
                if not _is_url(value) or urlsplit(value).query or urlsplit(value).fragment:
                    self._mistake(f"environment, {name}", "is no http(s) address", "write it as https://host")
                elif "@" in urlsplit(value).netloc:
                    self._mistake(f"environment, {name}", "holds credentials", "take them out of the address")
                elif not development and not value.startswith("https://") and not _is_loopback(value):
                    self._mistake(f"environment, {name}", "is not https", "write it as https://host")
            elif not value.isascii() or not value.isprintable():
                self._mistake(f"environment, {name}", "holds characters that no key has", "use printable ASCII")
        url, api_key, client_secret, return_url = values
        age = self._number("LEVELUP_OV_CHECKOUT_CHARGE_AGE", 0, 86_400)
        return CheckoutSettings(url.rstrip("/"), api_key, Secret(client_secret), return_url.rstrip("/"), age)

    def _accounts(self, development: bool) -> tuple[dict[str, Adapter], str]:
        try:
            check_adapters_package()
            registry = Registry(_split(self._value("LEVELUP_OV_ADAPTERS")))
        except RegistryError as error:
            self._mistake("environment, LEVELUP_OV_ADAPTERS", str(error), "correct or remove the entry")
            return {}, ""
        path = self._value("LEVELUP_OV_ACCOUNTS")
        if not path and not development:
            self._mistake(
                "environment, LEVELUP_OV_ACCOUNTS",
                "is not set",
                "set it to the path of the accounts file; LEVELUP_OV_ENV=development would serve the embedded sandbox",
            )
            return {}, ""
        source = path or "the embedded sandbox"
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8") if path else EMBEDDED_ACCOUNTS)
        except OSError as error:
            self._mistake(source, f"cannot be read ({error.strerror})", "correct LEVELUP_OV_ACCOUNTS")
            return {}, source
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self._mistake(source, f"is not TOML in UTF-8 ({error})", "correct the file")
            return {}, source
        return self._read_accounts(source, document, registry), source

    def _read_accounts(self, source: str, document: Mapping[str, Any], registry: Registry) -> dict[str, Adapter]:
        for key in document:
            if key != "accounts":
                self._mistake(f"{source}, {key}", "is no table of this file", "write accounts as [accounts.NAME]")
        tables = document.get("accounts", {})
        if not isinstance(tables, dict) or not tables:
            self._mistake(f"{source}, accounts", "names no account", "add a table [accounts.NAME]")
            return {}
        adapters = {}
        for name, table in tables.items():
            where = f"{source}, accounts.{name}"
            if not _ACCOUNT_NAME.fullmatch(name):
                self._mistake(
                    where, "is no name for an account", "use 1 to 32 of a-z, 0-9, - and _ (it stands in URLs, EP-7)"
                )
            elif not isinstance(table, dict):
                self._mistake(where, "is no table", "write it as [accounts.NAME]")
            elif (adapter := self._read_account(where, name, table, registry)) is not None:
                adapters[name] = adapter
        return adapters

    def _read_account(self, where: str, name: str, table: Mapping[str, Any], registry: Registry) -> Adapter | None:
        for key in table:
            if key not in _ACCOUNT_KEYS:
                self._mistake(f"{where}.{key}", "is no key of an account", _did_you_mean(key, _ACCOUNT_KEYS))
        self._check(
            f"{where}.name", table.get("name"), _is_text, "is missing or no text", "set it to the merchant's name"
        )
        self._check(
            f"{where}.time_zone",
            table.get("time_zone", "UTC"),
            _is_zone,
            "is no time zone",
            "use a name such as America/New_York",
        )
        self._check(
            f"{where}.accepts_tips",
            table.get("accepts_tips", True),
            _is_bool,
            "is not true or false",
            "write true or false",
        )
        provider = table.get("provider")
        if provider not in registry.names:
            known = ", ".join(registry.names)
            self._mistake(
                f"{where}.provider", f"is {provider!r}" if provider else "is missing", f"set it to one of: {known}"
            )
            return None
        try:
            adapter_class = registry.adapter_class(provider)
        except RegistryError as error:
            self._mistake(f"{where}.provider", str(error), "repair or remove the adapter")
            return None
        account = Account(
            name=name,
            provider=provider,
            merchant_name=str(table.get("name")),
            settings=self._read_settings(f"{where}.settings", table.get("settings", {}), adapter_class),
            time_zone=table.get("time_zone"),
            accepts_tips=table.get("accepts_tips"),
        )
        try:
            return adapter_class(account)
        except ValueError as error:
            self._mistake(f"{where}.settings", str(error), "correct the settings")
            return None

    def _read_settings(self, where: str, table: Any, adapter_class: type[Adapter]) -> dict[str, str | Secret]:
        declared = adapter_class.settings
        if not isinstance(table, dict):
            self._mistake(where, "is no table", "write it as [accounts.NAME.settings]")
            return {}
        for key in table:
            if key not in declared:
                self._mistake(f"{where}.{key}", "is no setting of this provider", _did_you_mean(key, declared))
        values: dict[str, str | Secret] = {}
        for key, setting in declared.items():
            value = table.get(key, setting.default)
            if value is None:
                if setting.required:
                    self._mistake(f"{where}.{key}", "is missing", f"set it: {setting.meaning}")
                continue
            if not _is_text(value):
                self._mistake(f"{where}.{key}", "is no text", "write it in quotes")
                continue
            given = key in table
            if value.startswith("env:"):
                variable = value.removeprefix("env:")
                value = self._environ.get(variable, "")
                if not value:
                    self._mistake(
                        f"{where}.{key}",
                        f"refers to {variable}, which is not set",
                        f"set the environment variable {variable}",
                    )
                    continue
            elif setting.secret and given:
                self._mistake(
                    f"{where}.{key}", "is a secret written into the file", 'write "env:NAME" and set the variable NAME'
                )
                continue
            if setting.url:
                if not _is_url(value):
                    self._mistake(f"{where}.{key}", "is no http(s) address", "write it as https://host/path")
                    continue
                if "@" in urlsplit(value).netloc:
                    # An address is shown and logged; and nothing would send these.
                    self._mistake(f"{where}.{key}", "holds credentials", "take them out of the address")
                    continue
                value = value.rstrip("/")
            values[key] = Secret(value) if setting.secret else value
        return values

    def _check(self, where: str, value: Any, sound: Callable[[Any], bool], wrong: str, remedy: str) -> None:
        if not sound(value):
            self._mistake(where, wrong, remedy)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    known = list(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {close[0]}?"
    return f"use one of: {', '.join(known)}" if known else "remove it"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_zone(value: Any) -> bool:
    return value in pytz.all_timezones_set if isinstance(value, str) else False


def _is_url(value: str) -> bool:
    try:
        url = urlsplit(value)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _is_loopback(value: str) -> bool:
    return urlsplit(value).hostname in ("127.0.0.1", "localhost", "::1")
