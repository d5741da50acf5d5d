"""What an adapter may report between two menus: optional parts of :class:`~levelup_ov.adapter.interface.Adapter`."""

from __future__ import annotations

from typing import ClassVar

from levelup_ov.domain.location import Location
from levelup_ov.domain.stock import Stock
from levelup_ov.transport.session import Session


class ReportsBetweenMenus:
    """Stock, and versions of menus; an adapter that can report one declares it and writes the method."""

    reports_stock: ClassVar[bool] = False
    """Whether :meth:`show_stock` is implemented (MENU-8)."""
    versions_menus: ClassVar[bool] = False
    """Whether :meth:`show_menu_version` is implemented (MENU-9)."""

    def show_stock(self, location: Location, session: Session) -> Stock:
        """What is sold out now, whatever a cached menu says; called only where :attr:`reports_stock`.

        One call where the provider can; within about two seconds.
        """
        raise LookupError(f"{type(self).__name__} reports no stock")

    def show_menu_version(self, location: Location, session: Session) -> str:
        """What changes whenever the menu does, such as a time; one call, only where :attr:`versions_menus`.

        It may be one for a location or for the whole account. If two locations have the same one, answers that both
        read, such as the account's catalog, are fetched only once for it.
        """
        raise LookupError(f"{type(self).__name__} has no versions of menus")
