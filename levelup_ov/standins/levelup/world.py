"""The made-up world: apps, merchants, locations, campaigns, and the users that it starts with.

Everything here is public; none of it guards anything but made-up orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from levelup_ov.standins.levelup.funds import Programme

PERMISSIONS: Mapping[str, str] = {
    "create_orders": "Charge your account for orders that you place",
    "read_user_basic_info": "Read your name and e-mail address",
    "read_user_orders": "Read the orders you have made",
    "manage_user_addresses": "Read your addresses and add new ones",
    "manage_user_campaigns": "Read your campaigns and take part in them for you",
    "create_first_credit_card": "Let you add your first card within 24 hours",
    "manage_merchant_orders": "Take and refund orders for your business",
}
"""What an app can ask for, in the words of the approval page."""

MERCHANT_PERMISSION = "manage_merchant_orders"
FIRST_CARD_PERMISSION = "create_first_credit_card"
USER_PERMISSIONS = frozenset(PERMISSIONS) - {MERCHANT_PERMISSION}

GOOD_CARD = "4111 1111 1111 1111"
"""Any number with a correct check digit is charged, but for the next."""
DECLINED_CARD = "4000 0000 0000 0002"
"""Can be added; every charge is declined."""
LOST_ANSWER_CARD = "4000 0000 0000 0119"
"""Is charged, but the connection drops instead of the answer: the order exists, and nobody was told."""


REFUND_TIPS: Mapping[int, str] = {
    9901: "is refused: it is too old to be refunded",
    9902: "is refused: it is disputed",
    9903: "is refused: its payment never succeeded",
    9904: "is refused: nobody knows such an order",
    9905: "is accepted (202) and made, without saying when",
    9906: "is accepted (202) and never made",
    9907: "gives a part back",
}
"""What becomes of the refund of an order by its tip, in cents."""


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
class Location:
    id: int
    merchant_id: int
    name: str
    street_address: str
    locality: str
    region: str
    postal_code: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """``kinds``: the representation types under which it can be read."""

    id: int
    merchant_id: int
    title: str
    offer: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merchant:
    """``manager_confirmation``: the code without which it refunds nothing; None: none is needed."""

    id: int
    name: str
    programme: Programme
    manager_confirmation: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit that a user starts with; ``merchant_id`` is None for global credit."""

    kind: Literal["credit", "gift_card", "global"]
    merchant_id: int | None
    cents: int


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
    addresses: tuple[Address, ...] = ()
    grants: tuple[Grant, ...] = ()


ADDRESS_TYPES = ("billing", "home", "other", "payment", "shipping", "work", "delivery")

SHOP_APP = App(1, "Sample Shop", "standin-api-key", "standin-client-secret")
OTHER_APP = App(
    2, "Another Shop", "another-api-key", "another-client-secret", ("https://another.example/callback",), None
)

MERCHANTS: Mapping[int, Merchant] = {
    merchant.id: merchant
    for merchant in (
        Merchant(1, "Beacon Sandwiches", Programme("spend", 5000, 500)),
        Merchant(2, "Harbor Coffee", Programme("visit", 5, 300), manager_confirmation="4321"),
    )
}

LOCATIONS: Mapping[int, Location] = {
    location.id: location
    for location in (
        Location(11, 1, "Beacon Sandwiches, Congress Street", "101 Congress Street", "Boston", "MA", "02110"),
        Location(12, 1, "Beacon Sandwiches, Elm Street", "20 Elm Street", "Somerville", "MA", "02144"),
        Location(21, 2, "Harbor Coffee, Pier Four", "4 Pier Road", "Boston", "MA", "02210"),
    )
}

CAMPAIGNS: Mapping[int, Campaign] = {
    campaign.id: campaign
    for campaign in (
        Campaign(101, 1, "Spend and save", "Spend $50.00, get $5.00.", ("basic_v1", "spend_based_loyalty_v1")),
        Campaign(102, 1, "Welcome", "Some users start with credit at Beacon Sandwiches.", ("basic_v1",)),
        Campaign(201, 2, "Fifth visit", "Every fifth visit, get $3.00.", ("basic_v1", "visit_based_loyalty_v1")),
    )
}

PEOPLE = (
    Person(
        1, "ada@example.com", "ada-password", "Ada", "Example", "A card that works, credit and two addresses.",
        GOOD_CARD,
        addresses=(
            Address("home", "7 Garden Street", "Apartment 3", "Cambridge", "MA", "02138"),
            Address("work", "1 Federal Street", None, "Boston", "MA", "02110"),
        ),
        grants=(Grant("credit", 1, 200), Grant("global", None, 100)),
    ),
    Person(
        2, "ben@example.com", "ben-password", "Ben", "Example", "A card that is declined, and a little credit.",
        DECLINED_CARD,
        addresses=(Address("home", "12 Hill Road", None, "Boston", "MA", "02108"),),
        grants=(Grant("credit", 1, 150),),
    ),
    Person(3, "cleo@example.com", "cleo-password", "Cleo", "Example", "No card, no credit, no address."),
    Person(
        4, "dora@example.com", "dora-password", "Dora", "Example", "A card that works and a gift card.",
        GOOD_CARD,
        grants=(Grant("gift_card", 1, 1000),),
    ),
    Person(
        5, "eve@example.com", "eve-password", "Eve", "Example", "A card that is charged, but the answer gets lost.",
        LOST_ANSWER_CARD,
    ),
    Person(
        6, "owner@beacon.example", "beacon-password", "Olive", "Owner", "Owns Beacon Sandwiches.", merchant_id=1
    ),
    Person(7, "owner@harbor.example", "harbor-password", "Otto", "Owner", "Owns Harbor Coffee.", merchant_id=2),
)  # fmt: skip
