"""A sample shop that takes payments through web checkout."""

from levelup_ov.standins.shop.app import over_http, shop

__all__ = ["over_http", "shop"]
