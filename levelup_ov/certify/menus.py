"""Menus to check, from a service, an address or a file (MENU-3)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from levelup_ov.certify import endpoints
from levelup_ov.certify.client import CannotRun, Client, RoundTrip
from levelup_ov.certify.conversation import Conversation
from levelup_ov.certify.report import Report
from levelup_ov.certify.wire_menu import problems
from levelup_ov.domain.secret import Secret

_REQUESTS, _SECONDS = 1000, 300.0


def check(source: str, key: Secret | None, locations: Sequence[str] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each menu's name and what breaks a rule in it.

    ``source``: a file, the address of a menu (``.../menu``), or the address of a service, whose menus are all read,
    or only those of ``locations``.

    :raises CannotRun: there is no menu to read.
    """
    if urlsplit(source).scheme not in ("http", "https"):
        yield source, problems(_file(source))
        return
    base, slash, tail = source.rstrip("/").partition("/locations/")
    try:
        client = Client(base, key, requests=_REQUESTS, seconds=_SECONDS)
    except ValueError as error:
        raise CannotRun(str(error)) from None
    with closing(client):
        paths = [f"/locations/{tail}"] if slash else [f"/locations/{id}/menu" for id in _ids(client, key, locations)]
        for path in paths:
            exchange = client.send("GET", path)
            yield path, _problems(exchange)


def _ids(client: Client, key: Secret | None, locations: Sequence[str]) -> list[str]:
    if locations:
        return list(locations)
    talk = Conversation(client, Report(), key or Secret(""))
    merchants = endpoints.read_merchants(talk)
    ids = [place.id for merchant in merchants for place in endpoints.read_locations(talk, merchant)]
    if not ids:
        raise CannotRun("the service lists no locations")
    return ids


def _problems(exchange: RoundTrip) -> tuple[str, ...]:
    if exchange.ok:
        return problems(exchange.json)
    if exchange.error.get("code") == "menu_invalid":
        # The service has checked it already, and reports the same messages.
        return tuple(str(exchange.error.get("message")).split("; "))
    raise CannotRun(f"the menu cannot be read: {exchange.words}")


def _file(name: str) -> Any:
    try:
        return json.loads(Path(name).read_bytes())
    except OSError as error:
        raise CannotRun(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CannotRun(f"{name} is not JSON: {error}") from None
