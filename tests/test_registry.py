"""Which adapter serves a name, and everything that can be wrong with one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from levelup_ov import __version__
from levelup_ov import registry as registry_module
from levelup_ov.adapter import INTERFACE_VERSION, Adapter
from levelup_ov.cli.adapters import adapters
from levelup_ov.config import ConfigError, load_settings
from levelup_ov.registry import BUILT_IN, ENTRY_POINT_GROUP, Registry, RegistryError, check_adapters_package


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An importable module called ``partner_adapter`` with one sound adapter in it."""
    found = ModuleType("partner_adapter")
    members = {"interface_version": INTERFACE_VERSION, "tenders": frozenset({"levelup"})}
    found.Partner = type("Partner", (Adapter,), members)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "partner_adapter", found)
    return found


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[EntryPoint]:
    """The entry points of all installed distributions."""
    points = [EntryPoint("partner", "partner_adapter:Partner", ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [p for p in points if p.group == group])
    return points


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_adapter_can_be_loaded(name: str) -> None:
    found = Registry().adapter_class(name)
    assert issubclass(found, Adapter)
    assert f"{found.__module__}:{found.__name__}" == BUILT_IN[name]


def test_what_is_installed_is_not_enabled_by_that(installed: list[EntryPoint]) -> None:
    assert Registry().names == tuple(sorted(BUILT_IN))
    assert "partner" in Registry(("partner",)).names


def test_only_what_the_operator_lists_is_imported(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("other", "no_such_module:Other", ENTRY_POINT_GROUP))
    registry = Registry(("partner",))
    assert registry.adapter_class("partner").__name__ == "Partner"
    assert "other" not in registry.names


def test_an_adapter_may_be_named_by_module_and_class(module: ModuleType) -> None:
    registry = Registry(("mine=partner_adapter:Partner",))
    assert registry.adapter_class("mine") is module.Partner
    assert registry.adapter_class("mine") is registry.adapter_class("mine")


def test_listing_a_built_in_adapter_changes_nothing(installed: list[EntryPoint]) -> None:
    assert Registry(("sandbox",)).names == Registry().names


def refused(*enabled: str, load: str | None = None) -> str:
    with pytest.raises(RegistryError) as caught:
        registry = Registry(enabled)
        if load is not None:
            registry.adapter_class(load)
    return str(caught.value)


def test_a_name_that_no_distribution_offers(installed: list[EntryPoint]) -> None:
    assert "'vanished'" in refused("vanished") and "no installed distribution" in refused("vanished")


def test_a_name_claimed_by_two_distributions(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("partner", "rival_adapter:Rival", ENTRY_POINT_GROUP))
    message = refused("partner")
    assert "claimed twice" in message
    assert "partner_adapter:Partner" in message and "rival_adapter:Rival" in message


@pytest.mark.parametrize(
    "enabled",
    [("sandbox=partner_adapter:Partner",), ("partner", "partner=elsewhere:Other"), ("a=x:X", "a=y:Y")],
)
def test_a_name_claimed_twice_in_the_list(installed: list[EntryPoint], enabled: tuple[str, ...]) -> None:
    assert "claimed twice" in refused(*enabled)


@pytest.mark.parametrize("reference", ["no_such_module:Partner", "partner_adapter:Missing", "partner_adapter", ":X"])
def test_an_import_that_fails_names_adapter_and_place(module: ModuleType, reference: str) -> None:
    message = refused(f"mine={reference}", load="mine")
    assert "'mine'" in message and reference in message and "cannot be imported" in message


@pytest.mark.parametrize("body", ["1 / 0", "def broken(:", "raise SystemExit(3)"])
def test_a_module_that_raises_is_reported_and_survived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str
) -> None:
    (tmp_path / "explosive_adapter.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    assert "cannot be imported" in refused("mine=explosive_adapter:Mine", load="mine")


@pytest.mark.parametrize("found", [object(), object, "Partner", Adapter.__init__])
def test_not_an_adapter(module: ModuleType, found: Any) -> None:
    module.Partner = found  # type: ignore[attr-defined]
    assert "not a subclass" in refused("mine=partner_adapter:Partner", load="mine")


@pytest.mark.parametrize("version", [INTERFACE_VERSION + 1, INTERFACE_VERSION - 1])
def test_an_adapter_built_for_another_interface(module: ModuleType, version: int) -> None:
    module.Partner.interface_version = version
    message = refused("mine=partner_adapter:Partner", load="mine")
    assert f"interface version {version}" in message and str(INTERFACE_VERSION) in message


def test_an_adapter_that_does_not_say_its_interface(module: ModuleType) -> None:
    module.Partner = type("Partner", (Adapter,), {"tenders": frozenset({"levelup"})})  # type: ignore[attr-defined]
    message = refused("mine=partner_adapter:Partner", load="mine")
    assert f"write interface_version = {INTERFACE_VERSION} into Partner" in message and "contract suite" in message


@pytest.mark.rule("PAY-3")
@pytest.mark.parametrize("tenders", [None, frozenset(), frozenset({"gold"}), "levelup"])
def test_an_adapter_without_tenders(module: ModuleType, tenders: Any) -> None:
    members = {"interface_version": INTERFACE_VERSION} | ({} if tenders is None else {"tenders": tenders})
    module.Partner = type("Partner", (Adapter,), members)  # type: ignore[attr-defined]
    assert 'tenders = frozenset({"levelup"})' in refused("mine=partner_adapter:Partner", load="mine")


ADAPTER = """from levelup_ov.adapter import Adapter

class Shop(Adapter):
    interface_version = {version}
    tenders = frozenset({{"levelup"}})
"""


@pytest.fixture
def distribute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Installs a distribution with an adapter ``shop`` in a module of its own."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(name: str, source: str, metadata: str = "Metadata-Version: 2.1\nName: {0}\nVersion: 1.2\n") -> None:
        module = f"shop_of_{name}"
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nshop = {module}:Shop\n")
        if metadata:
            (info / "METADATA").write_text(metadata.format(name))

    return made


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ADAPTER.format(version=INTERFACE_VERSION - 1), "install a release of acme 1.2 that was built for"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero: repair acme 1.2"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3: repair acme 1.2, or uninstall it"),
        (
            ADAPTER.format(version=INTERFACE_VERSION).replace("tenders", "tender"),
            "tenders must say what orders are paid",
        ),
        (
            ADAPTER.format(version=0).replace("interface_version", "version"),
            "does not say which interface it was built",
        ),
        ("Shop = 17", "is not a subclass of levelup_ov.adapter.Adapter: correct acme 1.2"),
        ("", "has no attribute 'Shop': repair acme 1.2"),
        ("import no_such_library", "No module named 'no_such_library': repair acme 1.2"),
    ],
)
def test_a_broken_distribution_is_named_with_a_remedy(distribute: Callable[..., None], source: str, words: str) -> None:
    distribute("acme", source)
    message = refused("shop", load="shop")
    assert "adapter 'shop'" in message and "of acme 1.2" in message and words in message


def test_two_distributions_with_one_name_are_both_named(distribute: Callable[..., None]) -> None:
    for name in ("acme", "rival"):
        distribute(name, ADAPTER.format(version=INTERFACE_VERSION))
    message = refused("shop")
    assert "of acme 1.2" in message and "of rival 1.2" in message and "uninstall one" in message
    assert Registry(("shop=shop_of_acme:Shop",)).adapter_class("shop").__module__ == "shop_of_acme"


def test_a_distribution_without_metadata_stops_nothing(distribute: Callable[..., None]) -> None:
    distribute("broken", "1 / 0", "")
    assert "sandbox" in Registry().names
    assert "adapter 'shop'" in refused("shop", load="shop")


def test_a_broken_adapter_is_explained_once(distribute: Callable[..., None], tmp_path: Path) -> None:
    distribute("acme", "1 / 0")
    accounts = tmp_path / "accounts.toml"
    accounts.write_text("".join(f'[accounts.{name}]\nprovider = "shop"\nname = "Shop"\n' for name in ("one", "two")))
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_ACCOUNTS": str(accounts), "LEVELUP_OV_ADAPTERS": "shop"}
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    assert str(caught.value).count("ZeroDivisionError") == 1
    # One remedy, and no general one behind it.
    assert str(caught.value).count("repair") == 1
    assert str(caught.value).count("adapter 'shop' cannot be used; see LEVELUP_OV_ADAPTERS") == 2


def test_an_installed_adapter_that_is_not_enabled_is_offered(distribute: Callable[..., None], tmp_path: Path) -> None:
    distribute("acme", ADAPTER.format(version=INTERFACE_VERSION))
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[accounts.main]\nprovider = "shop"\nname = "Shop"\n')
    with pytest.raises(ConfigError) as caught:
        load_settings({"LEVELUP_OV_ENV": "development", "LEVELUP_OV_ACCOUNTS": str(accounts)})
    assert "acme 1.2 provides it but is not enabled: add shop to LEVELUP_OV_ADAPTERS" in str(caught.value)


def listed(enabled: str = "") -> Result:
    return CliRunner().invoke(adapters, ["list"], env={"LEVELUP_OV_ADAPTERS": enabled})


def test_adapters_are_listed_with_what_they_can_do(distribute: Callable[..., None]) -> None:
    distribute("acme", ADAPTER.format(version=INTERFACE_VERSION))
    found = listed()
    assert found.exit_code == 0
    lines = dict(line.split(": ", 1) for line in found.output.splitlines())
    assert lines.pop("shop") == "acme 1.2; not enabled: add shop to LEVELUP_OV_ADAPTERS"
    assert lines.keys() == BUILT_IN.keys()
    assert lines["sandbox"].startswith(
        f"levelup_ov {__version__}; interface {INTERFACE_VERSION}; credit_card, levelup; "
    )
    assert "takes webhooks" in lines["toast"] and "takes webhooks" not in lines["fftp"]
    declared = listed("shop").output.splitlines()
    assert f"shop: acme 1.2; interface {INTERFACE_VERSION}; levelup; pickup; finds lost orders" in declared


def test_an_adapter_that_cannot_be_used_is_listed_as_such(distribute: Callable[..., None]) -> None:
    distribute("acme", "1 / 0")
    found = listed("shop")
    assert found.exit_code == 1 and "sandbox: " in found.output
    assert "shop: cannot be used: " in found.output and "repair acme 1.2, or uninstall it" in found.output
    nobody = listed("nobody")
    assert nobody.exit_code == 1 and "no installed distribution offers it" in nobody.output


def _fence(*_: Any) -> None:
    """Fences nothing, and reports nothing."""


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"echoes_nothing": ""}, "echoes_nothing must quote"),
    "blank": ({"echoes_nothing": " \n"}, "echoes_nothing must quote"),
    "not a text": ({"echoes_nothing": True}, "give it as Placed.reference"),
    "none": ({"echoes_nothing": None}, "echoes_nothing must quote"),
    "fence not declared": ({"fence_order": _fence}, "declare both or neither"),
    "fence not written": ({"fences": True}, "declare both or neither"),
    "status not declared": ({"show_status": _fence}, "order_status and show_status() go together"),
    "status not written": ({"order_status": {"done": "ready"}}, "order_status and show_status() go together"),
    "a stage of its own": ({"order_status": {"done": "done"}, "show_status": _fence}, "each one of placed, accepted"),
    "no table": ({"order_status": True, "show_status": _fence}, "each one of placed, accepted"),
    "cancels not declared": ({"cancel_order": _fence}, "cancels = True and cancel_order() go together"),
    "cancels not written": ({"cancels": True}, "cancels = True and cancel_order() go together"),
    "cancels without a proof": ({"cancels": True, "cancel_order": _fence}, "cancels needs order_status"),
    "fences not a boolean": ({"fences": "yes", "fence_order": _fence}, "fences must be True or False"),
}


@pytest.mark.rule("SUB-8", "SUB-10")
@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_an_adapter_that_contradicts_itself(module: ModuleType, case: str) -> None:
    members, words = CONTRADICTIONS[case]
    module.Partner = type("Partner", (module.Partner,), members)  # type: ignore[attr-defined]
    message = refused("mine=partner_adapter:Partner", load="mine")
    assert "'mine'" in message and words in message


@pytest.mark.rule("SUB-8", "SUB-10")
def test_an_adapter_that_declares_soundly(module: ModuleType) -> None:
    members = {"echoes_nothing": "guide, section 4: no reference", "fences": True, "fence_order": _fence,
               "order_status": {"done": "ready"}, "show_status": _fence,
               "cancels": True, "cancel_order": _fence}  # fmt: skip
    module.Partner = type("Partner", (module.Partner,), members)  # type: ignore[attr-defined]
    assert Registry(("mine=partner_adapter:Partner",)).adapter_class("mine") is module.Partner


def test_our_own_adapters_package_passes() -> None:
    check_adapters_package()


def test_a_stranger_called_adapters_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ModuleType("adapters")
    stranger.__file__ = "/somewhere/site-packages/adapters/__init__.py"
    monkeypatch.setitem(sys.modules, "adapters", stranger)
    with pytest.raises(RegistryError, match="/somewhere/site-packages/adapters/__init__.py.*uninstall"):
        check_adapters_package()
