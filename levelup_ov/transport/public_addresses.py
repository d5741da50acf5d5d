"""Which addresses belong to the public internet. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_GLOBAL = IPv6Network("2000::/3")
"""All of IPv6 that is assigned to networks. Outside of it are this host, links, sites, groups and NAT64."""
_TRANSLATED = tuple(map(IPv6Network, ("2001::/32", "2002::/16")))
"""Teredo and 6to4, whose addresses contain one of IPv4, of any kind."""
_RESERVED = ip_network("192.0.0.0/24"), IPv6Network("3fff::/20")
"""For protocols and for documentation. Not every release of Python 3.11 knows them."""
_RELAYS = ip_network("192.88.99.0/24")


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet: not private, shared, local, reserved or translated."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if any(parsed in network for network in _RESERVED):
        return False
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not parsed.is_multicast and parsed not in _RELAYS
    return _is_public6(parsed)


def _is_public6(address: IPv6Address) -> bool:
    return (
        address.scope_id is None
        and address.is_global
        and address in _GLOBAL
        and not any(address in network for network in _TRANSLATED)
    )
