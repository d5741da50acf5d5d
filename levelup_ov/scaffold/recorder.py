"""Recording a flow against an account's live provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from levelup_ov.adapter import Adapter
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.location import Location
from levelup_ov.domain.menu import Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import LevelUp
from levelup_ov.domain.words import counted
from levelup_ov.ordering.locations import Directory
from levelup_ov.redaction import in_address
from levelup_ov.scaffold.recording import SECRET_HEADER, Redactor, write_recording
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Transport
from levelup_ov.transport.tap import Tap, TappedSession

SOMEBODY = User("Robin", "Example", "+16175550123", "robin@example.com")
DEADLINE = 30.0
"""Seconds for each step."""


class Recorder:
    """One flow: locations, menu, stock if the adapter reports it, a validation and, on request, a submission.

    ``allowed``: members to keep in addition to those that are always kept.
    """

    def __init__(self, adapter: Adapter, transport: Transport, directory: Path, allowed: Sequence[str] = ()) -> None:
        self._adapter = adapter
        self._tap = Tap(transport)
        self._directory = directory
        self._redactor = Redactor(allowed)

    def record(self, location_id: str | None, *, submit: bool) -> Iterator[str]:
        """Run the flow, at the first location unless one is named; yields a line after each step.

        A placed order is real: somebody may cook it.

        :raises levelup_ov.domain.failure.Failure: the provider's refusal; the step is still recorded.
        :raises ValueError: unknown location, nothing to order, or something that must not be recorded.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        name = self._adapter.account.name
        directory = Directory({name: self._adapter}, 0.0)
        places = self._step("1_locations", lambda session: directory.locations(self._adapter, session))
        yield f"1_locations.json: {counted(len(places), 'location')}"
        found = [place.location for place in places if location_id in (None, place.location.provider_id)]
        if not found:
            raise ValueError(f"account {name} has no location {location_id!r}")
        location: Location = found[0]
        menu = self._step("2_menu", lambda session: self._adapter.show_menu(location, session))
        yield f"2_menu.json: the menu of {location.name}"
        if self._adapter.reports_stock:
            self._step("2_stock", lambda session: self._adapter.show_stock(location, session))
            yield "2_stock.json: what is sold out there"
        order = Order(location, (simplest_item(menu),), SOMEBODY, datetime.now(timezone.utc), reference=uuid4().hex)
        self._redactor.order = order
        quote = self._step("3_validation", lambda session: self._adapter.validate_order(order, session))
        yield f"3_validation.json: {order.items[0].provider_id} for {quote.consumer_pays} cents"
        if submit:
            placed = self._step("4_submission", lambda session: self._adapter.submit_order(order, LevelUp(), session))
            yield f"4_submission.json: order {placed.order_id} was placed"

    def _step(self, name: str, call: Callable[[TappedSession], Any]) -> Any:
        exchanges = self._tap.begin()
        session = TappedSession(
            self._tap, self._adapter.account.name, base_url=self._adapter.base_url, headers=self._adapter.headers(),
            error_from=self._adapter.error_from, deadline=Deadline(DEADLINE), own=True,
        )  # fmt: skip
        try:
            return call(session)
        except Failure as failure:
            raise Failure(failure.code, f"{name}: {failure.message}") from failure
        finally:
            session.close()
            secrets = [*self._secrets(), *session.secrets]
            write_recording(self._directory / f"{name}.json", exchanges, self._redactor, secrets)

    def _secrets(self) -> Iterator[Secret]:
        """All secrets of the account, wherever they are stored."""
        yield from (value for value in self._adapter.account.settings.values() if isinstance(value, Secret))
        yield from in_address(self._adapter.base_url)
        for name, value in self._adapter.headers().items():
            if SECRET_HEADER.search(name):
                yield from (Secret(part) for part in value.split() if len(part) >= 6)


def simplest_item(menu: Menu) -> Item:
    """The cheapest item that is not free, with its minimum of options.

    :raises ValueError: the menu has no such item.
    """
    groups = {group.provider_id: group for group in menu.option_groups}
    items = sorted((item for category in menu.categories for item in category.items if item.price),
                   key=lambda item: item.price or 0)  # fmt: skip
    for item in items:
        return Item(item.provider_id, 1, tuple(_needed(item, groups)))
    raise ValueError("the menu has no item that costs something")


def _needed(owner: MenuItem | MenuOption, groups: dict[str, OptionGroup]) -> Iterator[Option]:
    for group_id in owner.option_groups:
        group = groups[group_id]
        least = max(group.minimum_choices, group.minimum_unique_options or 0)
        for option in group.options[:least]:
            yield Option(option.provider_id)
            yield from _needed(option, groups)
