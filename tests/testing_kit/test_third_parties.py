"""Adapters of installed distributions: what stops the boot says which distribution, and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from levelup_ov.adapter import INTERFACE_VERSION
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.registry import ENTRY_POINT_GROUP, Registry, RegistryError

Install = Callable[..., None]

ADAPTER = """
from levelup_ov.adapter import Adapter

class Partner(Adapter):
    interface_version = {version}
    tenders = frozenset({{"levelup"}})
"""
SOUND = ADAPTER.format(version=INTERFACE_VERSION)
HEIR = "from adapters.sandbox import SandboxAdapter\nclass Partner(SandboxAdapter): ..."
"""After an upgrade of its base, the number would be true of that one only."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one adapter where the interpreter finds it."""

    def build(distribution: str, module: str, source: str, name: str = "partner") -> None:
        site = tmp_path / distribution
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{name} = {module}:Partner\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)

    return build


def test_an_installed_adapter_serves_once_it_is_enabled(install: Install) -> None:
    install("acme-ordering", "acme_enabled", ADAPTER.format(version=INTERFACE_VERSION))

    assert Registry(("partner",)).adapter_class("partner").__name__ == "Partner"


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("acme_broken", "1 / 0", "cannot be imported: ZeroDivisionError"),
        ("acme_empty", "", "cannot be imported: AttributeError"),
        ("acme_other", "Partner = dict", "is not a subclass of levelup_ov.adapter.Adapter"),
        ("acme_old", ADAPTER.format(version=0), f"interface version 0, this service has {INTERFACE_VERSION}"),
        ("acme_text", ADAPTER.format(version=f"'{INTERFACE_VERSION}'"), "interface_version = '2' is not a number"),
        ("acme_heir", HEIR, "is inherited from adapters.sandbox.SandboxAdapter: read what changed"),
        ("acme_word", f"{SOUND}    fulfillments = 'pickup'", "fulfillments must say how orders reach the customer"),
        ("acme_later", f"{SOUND}    recovery = 'later'", "recovery must be look_up or replay"),
        ("acme_keys", f"{SOUND}    settings = {{'key': 'secret'}}", "settings must give a Setting for each key"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_its_distribution(
    install: Install, module: str, source: str, why: str
) -> None:
    install("acme-ordering", module, source)

    with pytest.raises(RegistryError) as caught:
        Registry(("partner",)).adapter_class("partner")

    assert f"adapter 'partner' ({module}:Partner of acme-ordering 1.2)" in str(caught.value)
    assert why in str(caught.value)


def test_a_name_claimed_by_two_distributions_stops_the_boot(install: Install) -> None:
    install("acme-ordering", "acme_one", "")
    install("rival-ordering", "rival_one", "")

    with pytest.raises(RegistryError, match="claimed twice") as caught:
        Registry(("partner",))

    assert "acme-ordering 1.2" in str(caught.value) and "rival-ordering 1.2" in str(caught.value)
    assert "partner" not in Registry().names


def test_a_built_in_name_claimed_twice_stops_the_boot(install: Install) -> None:
    install("rival-ordering", "rival_sandbox", "", name="sandbox")

    with pytest.raises(RegistryError, match="by adapters.sandbox:SandboxAdapter and by .*rival-ordering 1.2"):
        Registry(("sandbox",))
    assert "sandbox" in Registry().names


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("acme_explosive", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("acme_abstract", SOUND, "cannot be started: TypeError: Can't instantiate abstract class Partner"),
        (
            "acme_stops",
            HEIR.replace("...", f"interface_version = {INTERFACE_VERSION}; __init__ = lambda *_: {{}}['license']"),
            "cannot be started: KeyError: 'license'",
        ),
    ],
)
def test_the_boot_reports_it_like_every_mistake(
    install: Install, tmp_path: Path, module: str, source: str, why: str
) -> None:
    install("acme-ordering", module, source)
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.boston]\nprovider = "partner"\nname = "Boston"\n')
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path / "data")}

    with pytest.raises(ConfigError, match="acme-ordering 1.2") as caught:
        load_settings({**environ, "LEVELUP_OV_ADAPTERS": "partner", "LEVELUP_OV_ACCOUNTS": str(accounts)})
    assert why in str(caught.value)


def test_only_the_testing_kit_needs_pytest() -> None:
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "import levelup_ov.app, levelup_ov.transport.tap, levelup_ov.cli.adapters\n"
        "try:\n    import levelup_ov.testing\nexcept ImportError:\n    print('needs the extra')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "needs the extra", done.stderr
