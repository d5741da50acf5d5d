"""What a Vendure shop shows, and what it refuses to show (ERR-3, LOC-3, MENU-6): asked of a real shop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.channel import Channel
from tests.providers.vendure_service import service
from tests.servers.vendure_server import VendureServer

CONGRESS, HARBOR = "boston.congress", "boston.harbor"
FAULT = (502, "provider_protocol_error")


@pytest.fixture
def channel(vendure: VendureServer, tmp_path: Path) -> Iterator[Channel]:
    """The service, which asks for the locations every time and has no menu yet."""
    with service(vendure, tmp_path, LEVELUP_OV_LOCATIONS_TTL="0") as app:
        yield Channel(app)


def menu_of(channel: Channel) -> dict[str, list[str]]:
    """The names of the items, each with its option groups."""
    menu = channel.get(f"/locations/{CONGRESS}/menu").json["menu"]
    items = [each["item"] for category in menu["categories"] for each in category["category"]["items"]]
    return {each["name"]: each["option_groups"] for each in items}


@pytest.mark.rule("ERR-3", "LOC-3", "EP-2", "MENU-3")
def test_a_refusal_of_a_read_is_the_shops_fault(
    channel: Channel, vendure: VendureServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = channel.get("/merchants/boston/locations").json["locations"]
    with vendure.renamed("harbor"):
        listed, menu = channel.get("/merchants/boston/locations"), channel.get(f"/locations/{HARBOR}/menu")
        assert channel.get(f"/locations/{CONGRESS}/menu").status == 200

    # The list that was read before serves; a refusal to show a menu is never that of an order (422).
    assert listed.json["locations"] == before
    assert menu.refusal[:2] == FAULT and menu.error["type"] == "provider"
    reported = [each for each in caplog.records if each.getMessage() == "location_not_read"]
    assert {(each.account, each.location, each.last_good_serves) for each in reported} == {("boston", HARBOR, True)}
    failures = channel.app.extensions["levelup_ov"].routing.directory.failures
    assert failures == {("boston", "provider_protocol_error"): len(reported)}
    assert channel.get(f"/locations/{HARBOR}/menu").status == 200


@pytest.mark.rule("ERR-3", "LOC-3", "EP-7")
def test_a_location_that_was_never_read_is_not_a_404(channel: Channel, vendure: VendureServer) -> None:
    with vendure.renamed("harbor"):
        listed = channel.get("/merchants/boston/locations").json["locations"]
        menu = channel.get(f"/locations/{HARBOR}/menu")

    assert [each["location"]["provider_id"] for each in listed] == [CONGRESS]
    assert menu.refusal[:2] == FAULT


@pytest.mark.rule("MENU-6", "ITEM-7")
def test_an_item_whose_choices_cannot_be_made_is_left_out(
    vendure: VendureServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def shown() -> dict[str, list[str]]:
        with service(vendure, tmp_path_factory.mktemp("menu")) as app:
            return menu_of(Channel(app))

    usual = shown()
    with vendure.offering("Platter", 2, ("Hummus", "Olives", "Feta")) as delete:
        assert len(shown()["Platter"]) == 1
        delete("Olives")
        assert "Platter" in shown()
        delete("Feta")
        assert shown() == usual


@pytest.mark.rule("ITEM-7", "META-5", "SUB-2")
def test_a_choice_that_staff_delete_before_the_submission(vendure: VendureServer, channel: Channel) -> None:
    """An order that was validated is refused, and so is one that is validated now; nothing is placed."""
    with vendure.offering("Platter", 0, ("Hummus", "Olives")) as delete:
        ordered = [{"item": {"provider_id": vendure.items["Platter"], "quantity": 1,
                             "options": [{"option": {"provider_id": vendure.options["Olives"]}}]}}]  # fmt: skip
        metadata = channel.validate(CONGRESS, items=ordered).order["metadata"]
        before = vendure.count_orders()
        delete("Olives")

        submitted = channel.submit(CONGRESS, items=ordered, metadata=metadata)
        validated = channel.validate(CONGRESS, items=ordered)

    assert submitted.refusal[:2] == (422, "item_unavailable")
    assert validated.refusal[:2] == (422, "unknown_option")
    assert vendure.count_orders() == before
