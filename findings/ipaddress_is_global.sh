#!/bin/sh
# Python's ipaddress: addresses that lead to this host, or to a group, are "global".
#
# What one would guess: a service that fetches addresses which strangers name is safe if it connects only to those whose
# is_global is true. What happens: 6to4 and NAT64 addresses are global whatever address of IPv4 is inside of them, and
# so are multicast addresses. Behind a NAT64 gateway, 64:ff9b::7f00:1 and 64:ff9b::a9fe:a9fe are what they contain.
# What to do: accept of IPv6 only 2000::/3 without 2001::/32 and 2002::/16, and no multicast.
#
# Output seen on 2026-11-29:
#   6to4 of 127.0.0.1        2002:7f00:1::        is_global=True
#   NAT64 of 127.0.0.1       64:ff9b::7f00:1      is_global=True
#   NAT64 of 169.254.169.254 64:ff9b::a9fe:a9fe   is_global=True
#   multicast                224.0.0.1            is_global=True
#   loopback                 127.0.0.1            is_global=False
#   Python 3.11.7
#
# Exit status: 0 if it is still so, 1 if it has changed.
set -eu
python3 - <<'PYTHON'
import ipaddress
import sys

ADDRESSES = {
    "6to4 of 127.0.0.1": "2002:7f00:1::",
    "NAT64 of 127.0.0.1": "64:ff9b::7f00:1",
    "NAT64 of 169.254.169.254": "64:ff9b::a9fe:a9fe",
    "multicast": "224.0.0.1",
    "loopback": "127.0.0.1",
}
seen = []
for name, text in ADDRESSES.items():
    address = ipaddress.ip_address(text)
    print(f"{name:24} {text:20} is_global={address.is_global}")
    seen.append(address.is_global)
print(f"Python {sys.version.split()[0]}")
sys.exit(0 if seen == [True, True, True, True, False] else 1)
PYTHON
