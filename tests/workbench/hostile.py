"""The sandbox, whose texts do what they can to a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Location, Menu, Order, Quote, Session
from levelup_ov.domain.location import Listed

SCRIPT = "<script>document.title = 'taken over'</script>"
PICTURE = '"><img src=x onerror="document.title = \'taken over\'">'
RIGHT_TO_LEFT = "\u202eمرحبا\u202e txt"
EMOJI = "🍔👩‍🍳🏳️‍🌈"
HUGE = "soup" * 2500


class WrongAdapter(SandboxAdapter):
    """It reports a tip that no guest gave, against MONEY-4."""

    interface_version = 2

    def validate_order(self, order: Order, session: Session) -> Quote:
        quote = super().validate_order(order, session)
        return replace(quote, tip=(quote.tip or 0) + 1, charged=None)


class HostileAdapter(SandboxAdapter):
    """Everything works, only the names are hostile."""

    interface_version = 2

    def list_locations(self, session: Session) -> Sequence[Location]:
        found = super().list_locations(session)
        return Listed([replace(found[0], name=SCRIPT, street_address=RIGHT_TO_LEFT, locality=HUGE)])

    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = super().show_menu(location, session)
        names = iter((SCRIPT, PICTURE, RIGHT_TO_LEFT, EMOJI, HUGE))
        categories = [
            replace(
                category,
                name=f"{category.name} {SCRIPT}",
                items=tuple(replace(item, name=next(names, EMOJI), description=PICTURE) for item in category.items),
            )
            for category in menu.categories
        ]
        groups = [
            replace(group, name=PICTURE, options=tuple(replace(option, name=HUGE) for option in group.options))
            for group in menu.option_groups
        ]
        return replace(menu, categories=tuple(categories), option_groups=tuple(groups))
