"""Who calls through UCP, and the profile by which an agent says what it can do.

A caller is known by its key alone. A profile's address comes with the request, so anybody can write anything into it:
it is fetched only from hosts that the operator names, over https and from public addresses.
"""

from __future__ import annotations

import hmac
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import http_sf

from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Unanswered
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.response_cache import MemoryStore
from levelup_ov.transport.session import Reply, Session, Transport
from levelup_ov.ucp.problems import Rejected

PATIENCE = 3.0
"""Seconds for one profile, from its name to its last byte."""
LARGEST_PROFILE = 256 * 1024
"""Bytes of a profile."""
KEPT_FOR = 300.0
"""Seconds for which a profile is used before it is asked for again; UCP wants at least 60."""
KEPT_BYTES = 4 * 1024 * 1024
"""Bytes of profiles that each process keeps; the least used go first."""
LONGEST_HEADER = 2_000
EXAMPLE = 'profile="https://agent.example/profile.json"'
"""What the header UCP-Agent has, as errors show it."""

MOST_AT_ONCE = 4
"""How many requests of a process wait for profiles of one origin; the other threads are for everybody else."""
PAUSE = 10.0
"""Seconds for which an origin is not asked after it took too long."""

MOST_REMEMBERED, LARGEST_REMEMBERED = 64, 32 * 1024
"""How many profiles a process remembers in case their hosts do not answer, and bytes of each."""

_URL = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?([/?][a-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Headers(Protocol):
    """The headers of a request, by names in any case."""

    def get(self, key: str, default: str, /) -> str:
        """The value, or ``default``."""


class Agents:
    """The callers: ``keys`` by their names."""

    def __init__(self, keys: Mapping[str, Secret]) -> None:
        self._keys = {name: key.reveal().encode() for name, key in keys.items()}

    def name_of(self, headers: Headers) -> str | None:
        """Whose key a request has, in ``X-API-Key`` or ``Authorization: Bearer``; None: no caller's.

        Every key is compared, each in constant time. A request with two different keys belongs to no caller.
        """
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() in ("bearer", "token") else ""
        own = headers.get("X-API-Key", "").strip()
        candidate = f"{own}\0{token}" if own and token and own != token else own or token
        given = candidate.encode("utf-8", "replace")
        same = [name for name, key in self._keys.items() if hmac.compare_digest(given, key)]
        return same[0] if same else None


def read_dictionary(header: str) -> dict[str, str]:
    """The members of a header like ``profile="https://...", version="..."`` that are strings (RFC 8941, 3.2).

    Parameters count as members.

    :raises Rejected: ``invalid_profile_url``: it is not such a header.
    """
    if len(header) > LONGEST_HEADER:
        raise Rejected("invalid_profile_url", f"UCP-Agent has more than {LONGEST_HEADER} characters", 400)
    try:
        members: Any = http_sf.parse(header.encode("latin-1", "replace"), tltype="dictionary")
    except ValueError:
        raise Rejected(
            "invalid_profile_url", f"UCP-Agent is not a dictionary (RFC 8941); send {EXAMPLE}", 400
        ) from None
    found: dict[str, str] = {}
    for name, (value, parameters) in members.items():
        # Some write ``profile="..."; version="..."``: a parameter, not another member.
        texts = {name: value, **parameters}
        found |= {each: text for each, text in texts.items() if type(text) is str}
    return found


class Profiles:
    """Fetches agents' profiles from ``origins``, such as ``https://agents.example``; none of them: from nowhere.

    An origin with ``http`` is one of this host, which only development mode has. ``proxy``: the address of one for
    the others. ``public`` replaces what reaches them.
    """

    def __init__(self, origins: Iterable[str], *, proxy: str | None = None, public: Transport | None = None) -> None:
        self._origins = origins_of(origins)
        self._public = public or _transport(public_only=True, proxy=proxy)
        self._last: dict[str, Reply] = {}
        self._turns = {origin: threading.BoundedSemaphore(MOST_AT_ONCE) for origin in self._origins}
        self._paused_until = dict.fromkeys(self._origins, 0.0)
        self._local = _transport() if any(each.startswith("http:") for each in self._origins) else self._public

    def fetch(self, url: str) -> Mapping[str, Any] | None:
        """The profile at ``url``, or its last one if it cannot be fetched; None if its host is not one that is asked.

        :raises Rejected: ``profile_unreachable`` or ``profile_malformed``.
        """
        if not self._origins:
            return None
        origin, path = parts_of(url)
        if origin not in self._origins:
            return None
        # What is asked is what was compared, however it was written.
        url = origin + path
        if (pause := self._paused_until[origin] - time.monotonic()) > 0:
            return self._known(url, "its host took too long", retry_after=math.ceil(pause))
        if not self._turns[origin].acquire(blocking=False):
            return self._known(url, "other requests are waiting for its host", 503, retry_after=1)
        try:
            return self._ask(origin, url)
        finally:
            self._turns[origin].release()

    def _ask(self, origin: str, url: str) -> Mapping[str, Any]:
        began = time.monotonic()
        session = Session(
            self._public if url.startswith("https:") else self._local,
            "ucp",
            base_url="",
            headers={},
            error_from=lambda _: None,
            deadline=Deadline(PATIENCE),
        )
        try:
            with session:
                reply = session.get(url, cache_for=KEPT_FOR, check=lambda profile: profile.checked())
                profile = _profile_of(reply)
        except Unanswered as failure:
            if failure.code == "provider_protocol_error" and failure.status is None:
                words = f"the agent's profile is not a JSON object of at most {LARGEST_PROFILE} bytes"
                raise Rejected("profile_malformed", words, 422) from None
            if time.monotonic() - began > PATIENCE / 2:
                # It would hold up each of its agents' requests, and everybody whose requests wait for their threads.
                self._paused_until[origin] = time.monotonic() + PAUSE
            return self._known(
                url, f"status {failure.status}" if failure.status else failure.code.removeprefix("provider_")
            )
        self._remember(url, reply)
        return profile

    def _known(self, url: str, why: str, status: int = 424, *, retry_after: float | None = None) -> Mapping[str, Any]:
        """The last profile: a host that is down must not keep its agents from the orders that they have placed."""
        if (known := self._last.get(url)) is not None:
            return _profile_of(known)
        words = f"the agent's profile cannot be fetched ({why})"
        raise Rejected("profile_unreachable", words, status, retry_after=retry_after)

    def _remember(self, url: str, reply: Reply) -> None:
        if url not in self._last and len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        if len(reply.body) <= LARGEST_REMEMBERED:
            self._last[url] = reply


def _profile_of(reply: Reply) -> Mapping[str, Any]:
    profile: Mapping[str, Any] = reply.object().value
    return profile


def _transport(**how: Any) -> Transport:
    return Transport(pool_size=2, store=MemoryStore(KEPT_BYTES), max_answer=LARGEST_PROFILE, breaks=False, **how)


def parts_of(url: str) -> tuple[str, str]:
    """The origin of an address, the same for every spelling of it, and the rest; empty if it is not a plain address."""
    if (match := _URL.fullmatch(url)) is None:
        return "", ""
    scheme, host = match[1].lower(), match[2].lower().removesuffix(".")
    default = _DEFAULT_PORTS[scheme]
    port = int(match[3] or default)
    rest = match[4] or "/"
    return f"{scheme}://{host}" + (f":{port}" if port != default else ""), rest if rest[0] == "/" else f"/{rest}"


def origins_of(urls: Iterable[str]) -> frozenset[str]:
    """The origins of addresses, to be compared with those of :func:`parts_of`."""
    return frozenset(parts_of(each)[0] for each in urls) - {""}
