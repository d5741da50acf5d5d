"""A stand-in for the retired LevelUp platform: its API, its pages, and a small made-up world.

Real enough to connect, charge and refund against, but no money moves. Where the platform's documents say nothing, the
stand-in decides:

- ``POST /oauth2/token`` takes the form of RFC 6749 and adds ``user_id`` to its answer. ``GET /v15/managed_locations``
  shows the owner of a merchant's token.
  ``POST /oauth2/revoke`` (RFC 7009) and ``DELETE /v15/access_tokens`` revoke a token.
- ``POST /v15/completed_orders`` has the root member ``completed_order``.
- An accepted permissions request shows a ``token`` when it is read, and has it in the callback.
- ``POST /v15/credit_card_pages`` (user token with ``create_first_credit_card``, body optional
  ``{"credit_card_page": {"redirect_uri"}}``) answers ``{"credit_card_page": {"url", "expires_at"}}``: the page of
  ours on which the user types the card, good for an hour. ``GET /v15/credit_cards`` lists it.
- Merchant-funded credit is the discount of an order; a gift card and global credit pay before the card does.
- Loyalty, credit and progress are sums over the orders that are not refunded.
"""

from levelup_ov.standins.levelup.ahead import HttpGateway
from levelup_ov.standins.levelup.app import REDIRECT_URIS, create_levelup
from levelup_ov.standins.levelup.server import levelup_server
from levelup_ov.standins.shop.app import over_http

__all__ = ["REDIRECT_URIS", "HttpGateway", "create_levelup", "levelup_server", "over_http"]
