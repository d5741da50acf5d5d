"""Carts on a cookie session: the cookie of one cart, read from one answer and sent with the calls about that cart.

The transport keeps no cookies: a jar would be shared by all orders of an account, and with it the cart.
"""

from __future__ import annotations

import re

from levelup_ov.errors import broken_protocol
from levelup_ov.transport.session import Reply


def cookie_of(reply: Reply, name: str) -> str:
    """The value of the cookie that an answer sets; send it as the header ``Cookie: name=value``.

    It opens the cart, so it is a secret: give it to :meth:`Session.conceal
    <levelup_ov.transport.session.Session.conceal>`, and keep it in ``Quote.cart``, nowhere else.

    :raises levelup_ov.errors.Unanswered: ``provider_protocol_error``: the answer sets none of this name.
    """
    said = reply.headers.get("Set-Cookie", "")
    # Several are in one header by now, separated by commas; an Expires has a comma as well.
    found = re.search(rf"(?:^|,\s*){re.escape(name)}=\"?([^\";,\s]+)", said)
    if found is None:
        raise broken_protocol(f"the provider's answer sets no cookie {name}")
    return found[1]
