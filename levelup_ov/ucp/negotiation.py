"""Which capabilities an agent and this service share (UCP-2, UCP-3). Pure, except for the profile that is given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from levelup_ov.config_mistakes import is_loopback
from levelup_ov.ucp.agents import EXAMPLE, origins_of, parts_of, read_dictionary
from levelup_ov.ucp.problems import Rejected, outcome
from levelup_ov.ucp.versions import CAPABILITIES, ORDER, SUPPORTED

WEBHOOK = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
    r"(\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
"""An address that reaches its host as it is signed."""
LONGEST_WEBHOOK = 2_000


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent as its header names it: the address of its profile, and the version it uses (empty: not named)."""

    profile: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The names of the shared capabilities. ``webhook``: where the agent wants to be sent changes of its orders."""

    capabilities: frozenset[str]
    webhook: str | None = None

    def require(self, name: str) -> None:
        """:raises BusinessOutcome: ``capabilities_incompatible``: the two sides do not share this capability."""
        if name not in self.capabilities:
            raise outcome("capabilities_incompatible", f"the agent's profile does not declare {name}")

    def relevant(self, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Those of ``names`` that are shared, as a response declares them."""
        return {name: [CAPABILITIES[name].short()] for name in names if name in self.capabilities}


def read_agent(header: str | None, origins: Collection[str] = ()) -> Agent:
    """The header UCP-Agent: ``profile="https://..."``, and perhaps ``version="YYYY-MM-DD"`` (RFC 8941).

    ``origins``: those whose profiles are fetched; one of this host may have http there.

    :raises Rejected: ``invalid_profile_url``, or ``version_unsupported``.
    """
    if not header:
        raise _invalid(f"the header UCP-Agent is missing; send {EXAMPLE}")
    members = read_dictionary(header)
    if "profile" not in members:
        raise _invalid(f"UCP-Agent has no member profile; send {EXAMPLE}")
    return check_agent(members["profile"], members.get("version", ""), origins)


def check_agent(profile: object, version: object = "", origins: Collection[str] = ()) -> Agent:
    """An agent by the address of its profile. :raises Rejected: as :func:`read_agent`."""
    if not isinstance(profile, str) or not profile.isascii() or not profile.isprintable() or " " in profile:
        raise _invalid("the address of the profile is not a URL")
    try:
        address = urlsplit(profile)
        usable = bool(address.hostname) and address.port != 0 and "@" not in address.netloc
    except ValueError:
        usable = False
    if not usable or (address.scheme != "https" and parts_of(profile)[0] not in origins_of(origins)):
        raise _invalid("the address of the profile is not an https URL")
    if not isinstance(version, str):
        raise _unsupported("")
    if version:
        _check_version(version)
    return Agent(profile, version)


_EVERYTHING = Negotiated(frozenset(CAPABILITIES))


def negotiate(agent: Agent, profile: Mapping[str, Any] | None) -> Negotiated:
    """What the agent of a request may use: everything, unless its ``profile`` is fetched and says less.

    :raises Rejected: its profile cannot be used.
    :raises BusinessOutcome: ``capabilities_incompatible``.
    """
    if profile is None:
        return _EVERYTHING
    ucp = profile.get("ucp", profile)
    if not isinstance(ucp, Mapping) or not isinstance(ucp.get("version"), str):
        raise _malformed("it has no version")
    _check_version(ucp["version"])
    capabilities = ucp.get("capabilities", {})
    shared = _shared(_declared(capabilities))
    return Negotiated(shared, _webhook(capabilities[ORDER], agent.profile) if ORDER in shared else None)


def _webhook(entries: Iterable[Mapping[str, Any]], profile: str) -> str | None:
    """The address for changes of orders that a profile's order capability names, if it can be used.

    Only a profile of this host, which only development has, may name another address of this host.
    """
    for entry in entries:
        config = entry.get("config")
        url = config.get("webhook_url") if isinstance(config, Mapping) else None
        if not isinstance(url, str) or len(url) > LONGEST_WEBHOOK or not WEBHOOK.fullmatch(url):
            continue
        try:
            is_usable = urlsplit(url).port != 0
        except ValueError:
            continue  # a port, or an address in brackets, that there is not
        if is_usable and (url.startswith("https://") or (profile.startswith("http://") and is_loopback(url))):
            return url
    return None


def _shared(theirs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The intersection of UCP: same name, same version, and no extension without its parent."""
    shared = {name for name, own in CAPABILITIES.items() if own.version in theirs.get(name, ())}
    while orphans := {name for name in shared if (parent := CAPABILITIES[name].extends) and parent not in shared}:
        shared -= orphans
    if not shared:
        raise outcome("capabilities_incompatible", "the agent's profile shares no capability with this service")
    return frozenset(shared)


def _declared(capabilities: object) -> dict[str, frozenset[str]]:
    """The versions of each capability that a profile declares."""
    if not isinstance(capabilities, Mapping):
        raise _malformed("its capabilities are not an object")
    found = {}
    for name, entries in capabilities.items():
        if not isinstance(entries, list) or not all(
            isinstance(entry, Mapping) and isinstance(entry.get("version"), str) for entry in entries
        ):
            raise _malformed(f"its capability {name} is not a list of versions")
        found[str(name)] = frozenset(entry["version"] for entry in entries)
    return found


def _check_version(version: str) -> None:
    if version not in SUPPORTED:
        raise _unsupported(version)


def _unsupported(version: str) -> Rejected:
    words = f"version {version!r} of the protocol is not supported; this service supports {' and '.join(SUPPORTED)}"
    return Rejected("version_unsupported", words, 422)


def _invalid(words: str) -> Rejected:
    return Rejected("invalid_profile_url", words, 400)


def _malformed(words: str) -> Rejected:
    return Rejected("profile_malformed", f"the agent's profile cannot be used: {words}", 422)
