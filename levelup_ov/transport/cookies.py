"""Carts in a cookie session: one cart's cookie, read from one answer and sent with the calls about that cart.

The transport stores no cookies: all orders of an account would share a cookie jar, and with it the cart.
"""

from __future__ import annotations

import re

from levelup_ov.errors import broken_protocol
from levelup_ov.transport.session import Reply


def cookie_of(reply: Reply, name: str) -> str:
    """The value of the cookie that an answer sets; send it as the header ``Cookie: name=value``.

    It opens the cart, so it is a secret: pass it to :meth:`Session.add_secret
    <levelup_ov.transport.session.Session.add_secret>`, and keep it in ``Quote.cart``, nowhere else.

    :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``: the answer sets no cookie with this name.
    """
    said = reply.headers.get("Set-Cookie", "")
    # Several are joined into one header, separated by commas; an Expires contains a comma as well.
    found = re.search(rf"(?:^|,\s*){re.escape(name)}=\"?([^\";,\s]+)", said)
    if found is None:
        raise broken_protocol(f"the provider's answer sets no cookie {name}")
    return found[1]
