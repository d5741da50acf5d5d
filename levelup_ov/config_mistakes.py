"""Configuration mistakes: each says where it is, what is wrong and what to do, without repeating secrets (ERR-4)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from urllib.parse import urlsplit

import click
from flask.cli import NoAppException

from levelup_ov.domain.words import counted
from levelup_ov.redaction import clean, looks_like_key

_LONGEST = 32
"""The most characters of a value that a mistake repeats."""


class ConfigError(NoAppException):
    """The configuration has mistakes; ``mistakes`` has one line for each.

    Because of its base class ``flask --app wsgi --help`` prints no traceback. A wrong command line has another exit
    status.
    """

    exit_code = 78  # EX_CONFIG
    show = click.ClickException.show

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"  - {mistake}" for mistake in self.mistakes)
        super().__init__(f"the configuration has {counted(len(self.mistakes), 'mistake')}:\n{lines}")


class Mistakes:
    """Collects mistakes, so that all are reported at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str, wrong: str, remedy: str) -> None:
        """``where`` has no colon, so that the line can be split."""
        self.found.append(f"{where}: {wrong}; {remedy}")

    def refuse(self) -> None:
        """:raises ConfigError: there are any."""
        if self.found:
            raise ConfigError(dict.fromkeys(self.found))


def shown(value: str) -> str:
    """``value``, if it is safe to repeat; a value that may be a misplaced secret is only described."""
    if len(value) > _LONGEST or looks_like_key(value) or clean(value) != value:
        return f"a string of {len(value)} characters"
    return repr(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name."""
    known = list(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {close[0]}?"
    return f"use one of: {', '.join(known)}" if known else "remove it"


def split(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def is_text(value: object) -> bool:
    """Whether ``value`` is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_url(value: str) -> bool:
    """Whether ``value`` is an absolute http(s) address."""
    try:
        url = urlsplit(value)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def is_loopback(value: str) -> bool:
    """Whether an address stays on this host."""
    return urlsplit(value).hostname in ("127.0.0.1", "localhost", "::1")


def is_private(value: str) -> bool:
    """Whether an address stays on this host or, judging by its name, within a private network."""
    host = urlsplit(value).hostname or ""
    return is_loopback(value) or host.endswith((".internal", ".localhost"))


def fault_of_secret(value: str) -> tuple[str, str] | None:
    """The fault of a secret's value, and the remedy; None if there is no visible fault."""
    if not value.strip():
        return "is blank", "set it to the secret"
    if value != value.strip():
        return "starts or ends with blanks or a line break", "remove them, the secret does not have them"
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        return "contains control characters", "set it to the secret alone"
    if any("\udc80" <= character <= "\udcff" for character in value):
        return "is not UTF-8", "write it in UTF-8"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'`":
        return "is in quotes", "remove the quotes, they would be part of it"
    if is_placeholder(value):
        return "is a placeholder", "put the real value in its place"
    return None


def is_placeholder(value: str) -> bool:
    """Whether ``value`` is a placeholder from a template."""
    bare = value.strip().lower()
    words = ("changeme", "change-me", "change_me", "todo", "replace-me", "replaceme", "your-key", "your-api-key")
    wrapped = any(
        bare.startswith(begin) and bare.endswith(end) for begin, end in (("${", "}"), ("<", ">"), ("{{", "}}"))
    )
    return bare in words or wrapped or set(bare) == {"x"} or (bare.startswith("$") and bare[1:].isidentifier())
