"""``levelup-ov menu watch``: changed menus, sold-out items and paused locations become events, each once (MENU-9)."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.domain.stock import Stock
from levelup_ov.errors import Unanswered
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.event_deliveries import EventDeliveries
from tests.channel import Clock
from tests.contract.fakes import MENU, FakeAdapter
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.rule("MENU-9")

ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
"""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


class Kitchen:
    """A provider with a version of its menu; ``calls`` counts what it was asked for, on all hosts."""

    def __init__(self) -> None:
        self.menu: Any = MENU
        self.stock: Stock | Exception = Stock()
        self.version = "1"
        self.calls: Counter[str] = Counter()

    def serve(self, app: Flask, *, versions: bool = True) -> None:
        adapter = app.extensions["levelup_ov.settings"].accounts["fake"]
        assert isinstance(adapter, FakeAdapter)

        def reported(name: str) -> Callable[..., Any]:
            def answer(*_: Any) -> Any:
                self.calls[name] += 1
                value = getattr(self, name)
                if isinstance(value, Exception):
                    raise value
                return value

            return answer

        members = {
            "show_menu": reported("menu"),
            "show_stock": reported("stock"),
            "show_menu_version": reported("version"),
        }
        vars(adapter).update(members, reports_stock=True, versions_menus=versions)


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture
def make_host(environ: dict[str, str], clock: Clock, tmp_path: Path, kitchen: Kitchen) -> Callable[..., Flask]:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    more = {
        "LEVELUP_OV_ACCOUNTS": str(tmp_path / "accounts.toml"),
        "LEVELUP_OV_ADAPTERS": "fake=tests.contract.fakes:FakeAdapter",
    }

    def make(**how: Any) -> Flask:
        app = create_app(load_settings({**environ, **more}), clock=clock)
        app.extensions["levelup_ov"].submissions.ledger.outbox.route = lambda event: ("channel",)
        kitchen.serve(app, **how)
        return app

    return make


def watch(app: Flask, *options: str) -> Result:
    result = app.test_cli_runner().invoke(args=["menu", "watch", "--every", "0", *options])
    assert not isinstance(result.exception, Exception), result.output
    return result


def events(app: Flask) -> list[tuple[str, dict[str, Any]]]:
    """All events, with their own members."""
    found = EventDeliveries(app.extensions["levelup_ov"].submissions.ledger).find(limit=100)
    data = [(each.kind, json.loads(each.data)) for each in reversed(found)]
    return [(kind, {name: value for name, value in members.items() if not name.endswith("tion_id") and
                    name != "merchant_id"}) for kind, members in data]  # fmt: skip


def first_item(kitchen: Kitchen) -> str:
    id: str = kitchen.menu.categories[0].items[0].provider_id
    return id


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("version", ["1\0{}", "x" * 20_000 + "{}"], ids=["U+0000", "long"])
def test_any_version_is_one(
    environ: dict[str, str], make_host: Callable[..., Flask], kitchen: Kitchen, request: pytest.FixtureRequest,
    database: str, version: str,
) -> None:  # fmt: skip
    if database == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        environ["DATABASE_URL"] = postgres.url(postgres.create_database())
        upgrade(environ["DATABASE_URL"])
    app = make_host()
    kitchen.version = version.format(1)
    for _ in range(2):
        assert "1 checked, 0 changed" in watch(app).stderr
    assert (kitchen.calls["menu"], kitchen.calls["version"]) == (1, 2)
    kitchen.menu, kitchen.version = replace(MENU, name="Another menu"), version.format(2)
    assert "1 checked, 1 changed" in watch(app).stderr
    ((kind, data),) = events(app)
    assert kind == "menu.changed" and len(data["version"]) < 100
    app.extensions["levelup_ov"].submissions.ledger.close()


def test_each_change_is_one_event(make_host: Callable[..., Flask], kitchen: Kitchen) -> None:
    app = make_host()
    assert "1 checked, 0 changed" in watch(app).stderr and events(app) == []
    item = first_item(kitchen)
    kitchen.stock = Stock(frozenset({item}), paused=True)
    assert f"item.sold_out item_id={item}, sold_out=True" in watch(app).stdout
    watch(make_host())
    kitchen.stock = Stock()
    kitchen.menu, kitchen.version = replace(MENU, name="Another menu"), "2"
    watch(make_host())
    watch(app)
    assert events(app) == [
        ("item.sold_out", {"item_id": item, "sold_out": True}),
        ("location.paused", {"paused": True}),
        ("menu.changed", {"version": "2"}),
        ("item.sold_out", {"item_id": item, "sold_out": False}),
        ("location.paused", {"paused": False}),
    ]


@pytest.mark.parametrize("stays_sold_out", [True, False])
def test_what_left_the_menu_is_not_on_sale(
    make_host: Callable[..., Flask], kitchen: Kitchen, stays_sold_out: bool
) -> None:
    app = make_host(versions=False)
    item, (first, *others) = first_item(kitchen), MENU.categories
    watch(app)
    kitchen.stock = Stock(frozenset({item}))
    watch(app)
    kitchen.menu = replace(MENU, categories=(replace(first, items=first.items[1:]), *others))
    for stock in (kitchen.stock, Stock()):
        # Some providers forget that it is sold out.
        kitchen.stock = stock
        watch(app)
    told = [each for each in events(app) if each[0] == "item.sold_out"]
    assert told == [("item.sold_out", {"item_id": item, "sold_out": True})]
    kitchen.menu, kitchen.stock = MENU, Stock(frozenset({item} if stays_sold_out else ()))
    watch(app)
    told = [members["sold_out"] for kind, members in events(app) if kind == "item.sold_out"]
    assert told == ([True] if stays_sold_out else [True, False])
    kitchen.stock = Stock()
    watch(app)
    told = [members["sold_out"] for kind, members in events(app) if kind == "item.sold_out"]
    assert told == [True, False]


def test_an_unchanged_menu_is_not_read_again(make_host: Callable[..., Flask], kitchen: Kitchen) -> None:
    for _ in range(4):
        watch(make_host())
    assert kitchen.calls == {"version": 4, "stock": 4, "menu": 1}
    kitchen.calls.clear()
    for _ in range(2):
        watch(make_host(versions=False))
    assert kitchen.calls == {"stock": 2, "menu": 2}


def test_hosts_share_the_looks(make_host: Callable[..., Flask], kitchen: Kitchen) -> None:
    watch(make_host())
    kitchen.version, kitchen.menu = "2", replace(MENU, name="Another menu")
    hosts = [make_host() for _ in range(3)]
    for host in hosts:
        host.test_cli_runner().invoke(args=["menu", "watch"])
    assert kitchen.calls["version"] == 1 and events(hosts[0]) == []
    for host in hosts:
        watch(host)
    assert [kind for kind, _ in events(hosts[0])] == ["menu.changed"]


def test_locations_take_turns(make_host: Callable[..., Flask], clock: Clock) -> None:
    app, asked = make_host(), []
    adapter = app.extensions["levelup_ov.settings"].accounts["fake"]
    adapter.locations = [replace(adapter.locations[0], provider_id=str(number)) for number in range(5)]
    vars(adapter)["show_stock"] = lambda location, _: asked.append(location.provider_id) or Stock()
    for _ in range(3):
        time.sleep(0.002)  # looks are dated to the millisecond
        watch(app, "--limit", "2")
    assert asked[:4] == ["0", "1", "2", "3"] and asked[4] == "4"


def test_two_hosts_that_see_one_change_report_it_once(make_host: Callable[..., Flask], kitchen: Kitchen) -> None:
    one, other = make_host(), make_host()
    watch(one)
    kitchen.version, kitchen.menu = "2", replace(MENU, name="Another menu")
    # The other host looks while the first one is still waiting for its menu.
    adapter = one.extensions["levelup_ov.settings"].accounts["fake"]
    slowly = adapter.show_menu

    def meanwhile(*arguments: Any) -> Any:
        watch(other)
        return slowly(*arguments)

    vars(adapter)["show_menu"] = meanwhile
    watch(one)
    assert [kind for kind, _ in events(one)] == ["menu.changed"]


@pytest.mark.parametrize("code", ["provider_timeout", "provider_protocol_error"])
def test_a_provider_that_fails_changes_nothing(make_host: Callable[..., Flask], kitchen: Kitchen, code: str) -> None:
    app = make_host()
    watch(app)
    kitchen.stock = Unanswered(code, "no stock", sent=True)
    failed = watch(app)
    assert failed.exit_code == 1 and code in failed.stdout and events(app) == []
    kitchen.stock = Stock()
    assert watch(app).exit_code == 0 and events(app) == []


@pytest.mark.rule("MENU-8")
def test_what_a_provider_cannot_say_now_is_not_a_change(make_host: Callable[..., Flask], kitchen: Kitchen) -> None:
    app = make_host()
    kitchen.stock = Stock(items=frozenset({first_item(kitchen)}))
    watch(app)
    kitchen.stock = Stock(unread=Unanswered("provider_timeout", "no counts", sent=True))
    assert watch(app).exit_code == 1 and events(app) == []
    # Without a permission it never says more.
    kitchen.stock = Stock(unread=Unanswered("provider_credentials_refused", "no permission", sent=False))
    assert watch(app).exit_code == 0
    assert events(app) == [("item.sold_out", {"item_id": first_item(kitchen), "sold_out": False})]
