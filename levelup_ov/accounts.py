"""The accounts file: TOML, read once into adapters; all mistakes are reported together."""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytz

from levelup_ov.adapter import Account, Adapter, Setting
from levelup_ov.config_mistakes import (
    Mistakes,
    did_you_mean,
    fault_of_secret,
    is_private,
    is_text,
    is_url,
    shown,
)
from levelup_ov.domain.money import WITHOUT_CENTS
from levelup_ov.domain.secret import Secret
from levelup_ov.redaction import clean, scrub
from levelup_ov.registry import Registry, RegistryError

# pytz would open the files of all 600 zones before it says whether there is one; its package has them all.
os.environ.setdefault("PYTZ_SKIPEXISTSCHECK", "1")

EMBEDDED_ACCOUNTS = """
[accounts.sandbox]
provider = "sandbox"
name = "Sandbox Diner"
"""
EMBEDDED_SOURCE = "the embedded sandbox"
MOST_ACCOUNTS = 10_000
"""EP-1 returns all accounts in one response, and each has menus, connections and a share of the threads."""

_ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ACCOUNT_KEYS = ("provider", "name", "time_zone", "accepts_tips", "currency", "operator", "settings")
_CURRENCY = re.compile(r"[A-Z]{3}")
_LONGEST_NAME = 200
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAFE_VARIABLE = re.compile(r"[A-Z]{1,15}(?:_(?:[A-Z]{1,15}|\d{1,3}))*\d{0,2}")
"""Usual names of variables. Any other text may be the secret itself, so it is never repeated."""


class AccountsFile:
    """Reads accounts. ``environ`` resolves ``env:NAME``; ``found`` collects the mistakes."""

    def __init__(self, environ: Mapping[str, str], found: Mistakes, registry: Registry, *, development: bool) -> None:
        self._environ = environ
        self._found = found
        self._registry = registry
        self._development = development
        self.operators: dict[str, str] = {}
        """The addresses that are notified of what a person must do (EVT-8), by account."""

    def read(self, path: str) -> dict[str, Adapter]:
        """The accounts of the file at ``path``, by name; the embedded sandbox if ``path`` is empty."""
        source = path or EMBEDDED_SOURCE
        try:
            # Some editors start a file with a byte order mark.
            document = tomllib.loads(Path(path).read_text(encoding="utf-8-sig") if path else EMBEDDED_ACCOUNTS)
        except (OSError, ValueError) as error:
            if isinstance(error, (tomllib.TOMLDecodeError, UnicodeDecodeError)):
                self._found.add(source, *_fault_of_text(Path(path), error))
            else:
                reason = error.strerror if isinstance(error, OSError) else "not a path"
                remedy = "correct LEVELUP_OV_ACCOUNTS"
                if path.startswith("~"):
                    reason, remedy = "only a shell replaces ~", "write the whole path into LEVELUP_OV_ACCOUNTS"
                elif not Path(path).is_absolute():
                    reason = f"{reason} in {Path.cwd()}"
                self._found.add(source, f"cannot be read ({reason})", remedy)
            return {}
        return self._read_accounts(source, document)

    def _read_accounts(self, source: str, document: Mapping[str, Any]) -> dict[str, Adapter]:
        for key in document:
            if key != "accounts":
                self._found.add(f"{source}, {_key(key)}", "is not a known table", "write accounts as [accounts.NAME]")
        tables = document.get("accounts", {})
        if not isinstance(tables, dict) or not tables:
            self._found.add(f"{source}, accounts", "does not name any account", "add a table [accounts.NAME]")
            return {}
        if len(tables) > MOST_ACCOUNTS:
            wrong = f"names {len(tables)} accounts; GET /merchants returns all of them at once"
            remedy = f"run a service for each {MOST_ACCOUNTS} of them"
            self._found.add(f"{source}, accounts", wrong, remedy)
            return {}
        adapters = {}
        for name, table in tables.items():
            where = f"{source}, accounts.{_key(name)}"
            if not _ACCOUNT_NAME.fullmatch(name):
                wrong, remedy = "is not a name for an account", "use 1 to 32 of a-z, 0-9, - and _ (it is in URLs, EP-7)"
                self._found.add(where, wrong, remedy)
            elif not isinstance(table, dict):
                self._found.add(where, "is not a table", "write it as [accounts.NAME]")
            elif (adapter := self._read_account(where, name, table)) is not None:
                adapters[name] = adapter
        return adapters

    def _read_account(self, where: str, name: str, table: Mapping[str, Any]) -> Adapter | None:
        for key in table:
            if key not in _ACCOUNT_KEYS:
                remedy = did_you_mean(key, _ACCOUNT_KEYS)
                if key in self._settings_of(table.get("provider")):
                    remedy = f"write it under [accounts.{name}.settings]"
                self._found.add(f"{where}.{_key(key)}", "is not a key of an account", remedy)
        for key, sound, wrong, remedy, missing in _CHECKS:
            if not sound(table.get(key, missing)):
                self._found.add(f"{where}.{key}", wrong, remedy)
        if operator := self._operator(f"{where}.operator", table.get("operator", "")):
            self.operators[name] = operator
        provider = table.get("provider")
        if not isinstance(provider, str) or provider not in self._registry.names:
            wrong = f"is {shown(str(provider))}" if provider else "is missing"
            remedy = f"set it to one of: {', '.join(self._registry.names)}"
            if offer := isinstance(provider, str) and self._registry.offer(provider):
                remedy = f"{offer} provides it but is not enabled: add {provider} to LEVELUP_OV_ADAPTERS"
            self._found.add(f"{where}.provider", wrong, remedy)
            return None
        try:
            adapter_class = self._registry.adapter_class(provider)
        except RegistryError as error:
            words = clean(error.fault)
            if known := next((mistake for mistake in self._found.found if words in mistake), ""):
                place = known.partition(":")[0].removeprefix("environment, ")
                self._found.add(f"{where}.provider", f"adapter {provider!r} cannot be used", f"see {place}")
            else:
                self._found.add(f"{where}.provider", words, clean(error.remedy))
            return None
        settings = self._read_settings(f"{where}.settings", table.get("settings", {}), adapter_class)
        priced_in, shown_in = settings.get("currency"), table.get("currency")
        if priced_in in WITHOUT_CENTS:
            wrong = "has no cents, and all amounts of the channel are hundredths (MONEY-1)"
            self._found.add(f"{where}.settings.currency", wrong, "such a restaurant cannot be served")
        elif isinstance(priced_in, str) and isinstance(shown_in, str) and priced_in != shown_in:
            wrong = f"is {shown(shown_in)}, and settings.currency is {shown(priced_in)}"
            self._found.add(f"{where}.currency", wrong, "write the currency of the restaurant's prices into both")
        account = Account(
            name=name,
            provider=provider,
            merchant_name=str(table.get("name")),
            settings=settings,
            time_zone=table.get("time_zone"),
            accepts_tips=table.get("accepts_tips"),
            currency=table.get("currency"),
        )
        try:
            return adapter_class(account)
        except ValueError as error:
            secrets = [value for value in settings.values() if isinstance(value, Secret)]
            self._found.add(f"{where}.settings", scrub(str(error), secrets), "correct the settings")
            return None
        except (Exception, SystemExit) as error:
            secrets = [value for value in settings.values() if isinstance(value, Secret)]
            source = self._registry.source(provider)
            words = scrub(f"{source} cannot be started: {type(error).__name__}: {error}", secrets)
            self._found.add(f"{where}.provider", words, f"repair {self._registry.owner(provider)}")
            return None

    def _settings_of(self, provider: Any) -> Mapping[str, Setting]:
        """What the adapter for ``provider`` declares; nothing if there is none that can be used."""
        try:
            return self._registry.adapter_class(provider).settings
        except (RegistryError, KeyError, TypeError):
            return {}

    def _read_settings(self, where: str, table: Any, adapter_class: type[Adapter]) -> dict[str, str | Secret]:
        declared = adapter_class.settings
        if not isinstance(table, dict):
            self._found.add(where, "is not a table", "write it as [accounts.NAME.settings]")
            return {}
        for key in table:
            if key not in declared:
                wrong, remedy = "is not a setting of this provider", did_you_mean(key, declared)
                self._found.add(f"{where}.{_key(key)}", wrong, remedy)
        values: dict[str, str | Secret] = {}
        for key, setting in declared.items():
            if (value := self._read_setting(f"{where}.{key}", table.get(key), setting)) is not None:
                values[key] = Secret(value) if setting.secret else value
        self._check_transport(where, values, table, declared)
        return values

    def _read_setting(self, where: str, given: Any, setting: Setting) -> str | None:
        """The value of a setting; None if it is missing or a mistake."""
        value = setting.default if given is None else given
        if value is None:
            if setting.required:
                self._found.add(where, "is missing", f"set it: {setting.meaning}")
            return None
        if not is_text(value):
            self._found.add(where, "is not a string", "write it in quotes")
            return None
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            value = self._referred(where, variable)
            if value is not None:
                # What is wrong now is wrong there.
                where = f"{where}, from the variable {variable}"
        elif setting.secret and given is not None:
            self._found.add(where, "is a secret written into the file", 'write "env:NAME" and set the variable NAME')
            return None
        if value is not None and (fault := fault_of_secret(value)) is not None:
            self._found.add(where, *fault)
            return None
        return self._address(where, value) if setting.url and value is not None else value

    def _operator(self, where: str, value: Any) -> str | None:
        """The address of an account's operator; its key may be in its path, so it may come from a variable."""
        if not isinstance(value, str):
            self._found.add(where, "is not a string", "write it in quotes")
            return None
        return self._referred(where, value.removeprefix("env:")) if value.startswith("env:") else value.strip()

    def _referred(self, where: str, variable: str) -> str | None:
        if not _VARIABLE.fullmatch(variable):
            self._found.add(where, "does not name a variable", 'write "env:NAME", without blanks')
            return None
        value = self._environ.get(variable, "")
        if not value:
            is_safe = len(variable) <= 48 and _SAFE_VARIABLE.fullmatch(variable)
            name = variable if is_safe else "a variable"
            self._found.add(where, f"refers to {name}, which is not set", "set the environment variable that it names")
            return None
        return value

    def _address(self, where: str, value: str) -> str | None:
        if not is_url(value):
            self._found.add(where, "is not an http(s) address", "write it as https://host/path")
            return None
        address = urlsplit(value)
        if "@" in address.netloc:
            # An address is shown and logged, and credentials in it would not be sent anyway.
            self._found.add(where, "holds credentials", "take them out of the address")
            return None
        if address.query or address.fragment or "?" in value or "#" in value:
            self._found.add(where, "has a query or a fragment, and paths are appended to it", "end it before ? and #")
            return None
        return value.rstrip("/")

    def _check_transport(
        self,
        where: str,
        values: Mapping[str, str | Secret],
        given: Mapping[str, Any],
        declared: Mapping[str, Setting],
    ) -> None:
        """Secrets must not travel unencrypted, except within this host or a private network."""
        if self._development or not any(declared[key].secret and key in given for key in values):
            return
        for key, value in values.items():
            if declared[key].url and isinstance(value, str) and value.startswith("http:") and not is_private(value):
                wrong = "is not https, and the account's secrets would travel unencrypted"
                self._found.add(f"{where}.{key}", wrong, "write it as https://host/path")


def _fault_of_text(path: Path, error: ValueError) -> tuple[str, str]:
    """What is wrong with a file that is not TOML in UTF-8, and the remedy."""
    begins = path.read_bytes()[:2]
    if begins in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in begins:
        # As some editors, and PowerShell's >, write it.
        return "is text in UTF-16, not in UTF-8", "save it as UTF-8"
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not TOML in UTF-8 (line {line} has other bytes)", "save it as UTF-8"
    text = path.read_text(encoding="utf-8-sig").lstrip()
    if text.startswith("{") or re.match(r"(---|accounts:)\s", text):
        return "is JSON or YAML, not TOML", "write accounts as [accounts.NAME]"
    return f"is not TOML in UTF-8 ({clean(str(error))})", "correct the file"


def _key(name: str) -> str:
    """A key of the file, safe to print: a secret may have been written there by mistake."""
    quoted = shown(name)
    return name if quoted == repr(name) else quoted


def _is_merchant_name(value: Any) -> bool:
    return is_text(value) and len(value) <= _LONGEST_NAME and value.isprintable()


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_zone(value: Any) -> bool:
    """Names such as EST and Etc/GMT+5 have no daylight saving time, so they are wrong for half of the year."""
    fixed = isinstance(value, str) and re.fullmatch(r"EST|MST|HST|(Etc/)?GMT[+-][1-9][0-9]?", value)
    return value in pytz.all_timezones_set and not fixed if isinstance(value, str) else False


def _is_currency(value: Any) -> bool:
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None and value not in WITHOUT_CENTS


_CHECKS: tuple[tuple[str, Callable[[Any], bool], str, str, Any], ...] = (
    ("name", _is_merchant_name, "is missing or is not a one-line string", "set it to the merchant's name", None),
    ("time_zone", _is_zone, "is not a time zone", "use a name such as America/New_York", "UTC"),
    ("accepts_tips", _is_bool, "is not true or false", "write true or false", True),
    ("currency", _is_currency, "is not a currency with cents", "use a code of ISO 4217 such as USD (MONEY-1)", "USD"),
)
"""Keys of an account: the check, the fault, the remedy, and the value to use if the key is missing."""
