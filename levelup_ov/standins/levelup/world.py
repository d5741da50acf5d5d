"""The made-up world: apps, merchants, locations, campaigns, and the users that it starts with.

Everything here is public; none of it guards anything but made-up orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from levelup_ov.standins.levelup.funds import Program

PERMISSIONS: Mapping[str, str] = {
    "create_orders": "Charge your account for orders that you place",
    "read_user_basic_info": "Read your name and e-mail address",
    "edit_user_basic_info": "Change your name, e-mail address and password",
    "read_user_orders": "Read the orders you have made",
    "manage_user_addresses": "Read your addresses and add new ones",
    "manage_user_campaigns": "Read your campaigns and take part in them for you",
    "read_qr_code": "Show the code with which you pay",
    "create_first_credit_card": "Let you add your first card within 24 hours",
    "manage_user_payment_methods": "Read, add and remove the cards that you pay with",
    "manage_merchant_orders": "Take and refund orders for your business",
    "give_merchant_funded_credit": "Give credit on behalf of your business",
    "read_customer_list": "Read who your customers are",
    "read_merchant_locations": "Read the locations of your business",
    "read_merchant_transaction_history": "Read the orders of your business",
}
"""What an app can ask for, in the words of the approval page. The names are those of LevelUp's pages and tools."""

MERCHANT_PERMISSION = "manage_merchant_orders"
MERCHANT_PERMISSIONS = frozenset(
    {
        MERCHANT_PERMISSION, "give_merchant_funded_credit", "read_customer_list", "read_merchant_locations",
        "read_merchant_transaction_history",
    }
)  # fmt: skip
FIRST_CARD_PERMISSION = "create_first_credit_card"
CARDS_PERMISSION = "manage_user_payment_methods"
EDITING_PERMISSION = "edit_user_basic_info"
SHORTEST_PASSWORD = 8
MAINTENANCE = "maintenance"
"""The switch that makes the API answer 503."""
ACCOUNT_PERMISSION = "manage_account"
"""Ours, and no app can ask for it: what the token of a person's own login may do, by the phone libraries."""
USER_PERMISSIONS = frozenset(PERMISSIONS) - MERCHANT_PERMISSIONS

GOOD_CARD = "4111 1111 1111 1111"
"""Any number with a correct check digit is charged, but for the next."""
DECLINED_CARD = "4000 0000 0000 0002"
"""Can be added; every charge is declined."""
LOST_ANSWER_CARD = "4000 0000 0000 0119"
"""Is charged, but the connection drops instead of an answer: the order exists without anybody knowing."""


REFUND_TIPS: Mapping[int, str] = {
    9901: "is refused: it is too old to be refunded",
    9902: "is refused: it is disputed",
    9903: "is refused: its payment never succeeded",
    9904: "is refused: no such order is known",
    9905: "is accepted (202) and made, without saying when",
    9906: "is accepted (202) and never made",
    9907: "gives a part back",
    9908: "was made by somebody else before",
}
"""What becomes of the refund of an order by its tip, in cents."""
SILENT_TIP = 9911
SILENCE = timedelta(seconds=20)
"""An order with this tip is charged, but for so long no answer says so."""


@dataclass(frozen=True, slots=True)
class App:
    """``api_key`` is also the OAuth ``client_id``. A loopback redirect URI is registered for any port."""

    id: int
    name: str
    api_key: str
    client_secret: str
    redirect_uris: tuple[str, ...] = ()
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformLocation:
    """``gateway_id``: its id at the gateway, where an order-ahead service serves it.

    ``hours`` are words; ``opens`` are the gateway's own times of each day. ``tips``: whether it takes them on pickup.
    ``scheduling``: whether it takes orders for later; None where no validation has shown it yet.
    """

    id: int
    merchant_id: int
    name: str
    street_address: str | None
    locality: str | None
    region: str | None
    postal_code: str | None
    latitude: float | None = None
    longitude: float | None = None
    phone: str | None = None
    extended_address: str | None = None
    hours: str | None = "Mon - Sun 9am - 9pm"
    updated_at: str = "2014-06-01T00:00:00Z"
    gateway_id: str | None = None
    time_zone: str | None = None
    opens: Mapping[str, Any] | None = None
    tips: bool = False
    pickup: bool = False
    scheduling: bool | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """``value``: cents that it is worth; ``kinds``: the representation types under which it can be read."""

    id: int
    merchant_id: int
    title: str
    offer: str
    value: int
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlatformMerchant:
    """``manager_confirmation``: the code without which it refunds nothing; None: none is needed."""

    id: int
    name: str
    program: Program
    manager_confirmation: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit that a user starts with or is given; ``merchant_id`` is None for global credit.

    ``expires_at``: seconds since 1970. ``cents`` are negative for value that was taken off a gift card.
    """

    kind: Literal["credit", "gift_card", "global"]
    merchant_id: int | None
    cents: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """``type`` is one of :data:`ADDRESS_TYPES`."""

    type: str
    street_address: str
    extended_address: str | None
    locality: str
    region: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class Person:
    """A user that the world starts with. ``merchant_id``: the merchant that they own."""

    id: int
    email: str
    password: str
    first_name: str
    last_name: str
    about: str
    card: str | None = None
    merchant_id: int | None = None
    phone: str | None = None
    addresses: tuple[Address, ...] = ()
    grants: tuple[Grant, ...] = ()


def owner_login(merchant_id: int) -> tuple[str, str]:
    """E-mail address and password of who owns a merchant of the gateway."""
    return f"owner-{merchant_id}@gateway.example", f"owner-{merchant_id}-password"


ADDRESS_TYPES = ("billing", "home", "other", "payment", "shipping", "work", "delivery")

SHOP_APP = App(1, "Sample Shop", "standin-api-key", "standin-client-secret")
OTHER_APP = App(
    2, "Another Shop", "another-api-key", "another-client-secret", ("https://another.example/callback",), None
)

MERCHANTS: Mapping[int, PlatformMerchant] = {
    merchant.id: merchant
    for merchant in (
        PlatformMerchant(1, "Beacon Sandwiches", Program("spend", 5000, 500)),
        PlatformMerchant(2, "Harbor Coffee", Program("visit", 5, 300), manager_confirmation="4321"),
    )
}

LOCATIONS: Mapping[int, PlatformLocation] = {
    location.id: location
    for location in (
        PlatformLocation(11, 1, "Beacon Sandwiches, Congress Street", "101 Congress Street", "Boston", "MA", "02110",
                 42.3576, -71.0571, "(617) 555-0111"),
        PlatformLocation(12, 1, "Beacon Sandwiches, Elm Street", "20 Elm Street", "Somerville", "MA", "02144",
                 42.3947, -71.1227, "(617) 555-0112"),
        PlatformLocation(21, 2, "Harbor Coffee, Pier Four", "4 Pier Road", "Boston", "MA", "02210",
                 42.3519, -71.0446, "(617) 555-0121"),
    )
}  # fmt: skip

CAMPAIGNS: Mapping[int, Campaign] = {
    campaign.id: campaign
    for campaign in (
        Campaign(101, 1, "Spend and save", "Spend $50.00, get $5.00.", 500, ("basic_v1", "spend_based_loyalty_v1")),
        Campaign(102, 1, "Welcome", "Some users start with credit at Beacon Sandwiches.", 200, ("basic_v1",)),
        Campaign(201, 2, "Fifth visit", "Every fifth visit, get $3.00.", 300, ("basic_v1", "visit_based_loyalty_v1")),
    )
}

PEOPLE = (
    Person(
        1, "ada@example.com", "ada-password", "Ada", "Example", "A card that works, credit and two addresses.",
        GOOD_CARD, phone="(617) 555-0141",
        addresses=(
            Address("home", "7 Garden Street", "Apartment 3", "Cambridge", "MA", "02138"),
            Address("work", "1 Federal Street", None, "Boston", "MA", "02110"),
        ),
        grants=(Grant("credit", 1, 200), Grant("global", None, 100)),
    ),
    Person(
        2, "ben@example.com", "ben-password", "Ben", "Example", "A card that is declined, and a little credit.",
        DECLINED_CARD, phone="(617) 555-0142",
        addresses=(Address("home", "12 Hill Road", None, "Boston", "MA", "02108"),),
        grants=(Grant("credit", 1, 150),),
    ),
    Person(3, "cleo@example.com", "cleo-password", "Cleo", "Example", "No card, no credit, no address.",
           phone="(617) 555-0143"),
    Person(
        4, "dora@example.com", "dora-password", "Dora", "Example", "A card that works and a gift card.",
        GOOD_CARD, phone="(617) 555-0144",
        grants=(Grant("gift_card", 1, 1000),),
    ),
    Person(
        5, "eve@example.com", "eve-password", "Eve", "Example", "A card that is charged, but the answer gets lost.",
        LOST_ANSWER_CARD, phone="(617) 555-0145",
    ),
    Person(
        6, "owner@beacon.example", "beacon-password", "Olive", "Owner", "Owns Beacon Sandwiches.", merchant_id=1
    ),
    Person(7, "owner@harbor.example", "harbor-password", "Otto", "Owner", "Owns Harbor Coffee.", merchant_id=2),
)  # fmt: skip
