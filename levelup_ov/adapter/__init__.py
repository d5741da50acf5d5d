"""Everything that an adapter may import. Everything else may change without notice.

:mod:`~levelup_ov.adapter.interface` is what an adapter implements. The other names are what it works with.
"""

from levelup_ov.adapter.account import Account, Setting
from levelup_ov.adapter.delivery import PostalArea, check_address, check_minimum
from levelup_ov.adapter.interface import INTERFACE_VERSION, Adapter, Recovery
from levelup_ov.adapter.notice import Notice
from levelup_ov.adapter.webhook_signature import NotGenuine, check_signature
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import (
    WEEKDAYS,
    Hours,
    Location,
    Span,
    Weekday,
    opening_hours,
    read_each,
    unknown_hours,
)
from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.money import Cents, from_decimal, is_cents, percentage, to_decimal
from levelup_ov.domain.opening import next_opening
from levelup_ov.domain.options import DELIMITER, MAX_DEPTH, Choice, Option, decode_path, encode_path, flatten, nest
from levelup_ov.domain.order import DeliveryAddress, Item, Order, User
from levelup_ov.domain.orderable import can_be_chosen, orderable
from levelup_ov.domain.outcome import AddressDecides, Fee, Placed, Quote, line_prices
from levelup_ov.domain.phone import Phone, read_phone
from levelup_ov.domain.ready_time import SLOT_WINDOW, Ready, in_minutes, localize, soonest_slot, to_wire
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import OrderStatus, Stage
from levelup_ov.domain.stock import Stock
from levelup_ov.domain.tender import CreditCard, LevelUp, Tender, TenderKind
from levelup_ov.domain.timetable import Timetable
from levelup_ov.errors import ReferenceFenced, Refused, Unanswered, broken_protocol, check_basket, reading
from levelup_ov.transport.auth import Login
from levelup_ov.transport.cookies import cookie_of
from levelup_ov.transport.json_object import JSONObject
from levelup_ov.transport.session import Reply, Session

__all__ = [
    "DELIMITER", "INTERFACE_VERSION", "MAX_DEPTH", "SLOT_WINDOW", "WEEKDAYS", "Account", "Adapter",
    "AddressDecides", "Category", "CategoryGroup", "Cents", "Choice", "CreditCard", "DeliveryAddress", "Failure",
    "Fee", "Hours", "Item", "JSONObject", "LevelUp", "Location", "Login", "Menu", "MenuItem", "MenuOption",
    "NotGenuine", "Notice", "Option", "OptionGroup", "Order", "OrderStatus", "Phone", "Placed", "PostalArea",
    "Quote", "Ready", "Recovery", "ReferenceFenced", "Refused", "Reply", "Secret", "Session", "Setting", "Span",
    "Stage", "Stock", "Tender", "TenderKind", "Timetable", "Unanswered", "User", "Weekday", "broken_protocol",
    "can_be_chosen", "check_address", "check_basket", "check_minimum", "check_signature", "cookie_of",
    "decode_path", "encode_path", "flatten", "from_decimal", "in_minutes", "is_cents", "line_prices", "localize",
    "nest", "next_opening", "opening_hours", "orderable", "percentage", "read_each", "read_phone", "reading",
    "soonest_slot", "to_decimal", "to_wire", "unknown_hours",
]  # fmt: skip
