"""The service, a platform and a site for each test; time is moved by hand, for service and ledger alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import open_ledger
from tests.channel import Clock
from tests.checkout.site import HOST, LOGIN, PAYMENT, VARIABLES, Line, Site
from tests.standin.visitors import LevelUp

MakeSite = Callable[..., Site]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelup_ov.transport.session.BACKOFF", 0)
    monkeypatch.setattr("levelup_ov.ordering.reconciling.CONFIRMED_AFTER", 0)


@dataclass(frozen=True)
class Connected:
    """The data of a service and a platform, with a merchant and a user who are connected."""

    directory: Path
    merchant: str
    user: str


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Connected:
    """Made once, since people take their time to sign in."""
    directory = tmp_path_factory.mktemp("connected")
    levelup = LevelUp(directory / "levelup.db")
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(directory / "data")}
    site = _site(environ, Clock(), levelup, Line(levelup.app))
    found = Connected(directory, site.connect_merchant(), site.connect_user())
    levelup.store.close()
    return found


def _site(environ: dict[str, str], clock: Clock, levelup: LevelUp, line: Line) -> Site:
    settings = load_settings({**VARIABLES, **environ})
    upgrade(settings.ledger.reveal())
    ledger = open_ledger(settings.ledger.reveal(), clock=clock)
    app = create_app(settings, clock=clock, ledger=ledger, in_process={HOST: line, **line.others})
    return Site(app, levelup, line, settings.data_dir / "sandbox.db")


@pytest.fixture
def levelup(tmp_path: Path, connected: Connected) -> Iterator[LevelUp]:
    shutil.copytree(connected.directory, tmp_path, dirs_exist_ok=True)
    levelup = LevelUp(tmp_path / "levelup.db")
    yield levelup
    levelup.store.close()


@pytest.fixture
def make_site(environ: dict[str, str], clock: Clock, levelup: LevelUp) -> MakeSite:
    """The service with further environment variables; all share their data and the platform."""
    line = Line(levelup.app)
    return lambda **variables: _site({**environ, **variables}, clock, levelup, line)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


@pytest.fixture
def merchant(connected: Connected) -> str:
    """Beacon Sandwiches."""
    return connected.merchant


@pytest.fixture
def user(connected: Connected) -> str:
    """Ada, who has a card that works and 200 cents of credit at Beacon."""
    return connected.user


@dataclass(frozen=True)
class Way:
    """A way to use LevelUp: how its user is connected."""

    name: str
    connect: Callable[[Site], str]


def _by_request(site: Site) -> str:
    user = site.request_permissions()["id"]
    site.answer_request(1)
    site.post(f"/users/{user}/poll")
    return user


def _of_record(site: Site) -> str:
    user = site.create_user()["id"]
    site.add_card(user)
    return user


WAYS = (
    Way("method of payment", lambda site: site.connect_user(permissions=PAYMENT)),
    Way("method of payment, by a permissions request", _by_request),
    Way("login and payment", lambda site: site.connect_user(permissions=LOGIN)),
    Way("account of record", _of_record),
)


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def payer(request: pytest.FixtureRequest, site: Site) -> str:
    """A user who is connected in each of the ways in turn, and can pay."""
    return request.param.connect(site)
