"""Which adapter class serves which provider name.

There are three sources: the built-in table; ``LEVELUP_OV_ADAPTERS`` entries ``name=module:Class``; and entry points of
the group ``levelup_ov.adapters``, but only those that ``LEVELUP_OV_ADAPTERS`` lists by name. Nothing that merely
happens to be installed is run.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from levelup_ov import __version__
from levelup_ov.adapter import INTERFACE_VERSION, Adapter, Recovery, Setting
from levelup_ov.domain.location import Fulfillment
from levelup_ov.domain.status import STAGES
from levelup_ov.domain.tender import TenderKind

BUILT_IN: Mapping[str, str] = {
    "fftp": "adapters.fftp:FftpAdapter",
    "sandbox": "adapters.sandbox:SandboxAdapter",
    "square": "adapters.square:SquareAdapter",
    "vendure": "adapters.vendure:VendureAdapter",
    "toast": "adapters.toast:ToastAdapter",
}
ENTRY_POINT_GROUP = "levelup_ov.adapters"
_CHOSEN = (
    ("tenders", "what orders are paid with", get_args(TenderKind)),
    ("fulfillments", "how orders reach the customer", get_args(Fulfillment)),
)
"""Sets that an adapter declares, what they mean, and what they may have."""


class RegistryError(Exception):
    """An adapter cannot be used; ``fault`` says which, from where, and why, ``remedy`` what to do."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}: {remedy}")
        self.fault = fault
        self.remedy = remedy


class Registry:
    """Provider names and their adapter classes, loaded when first asked for.

    ``enabled``: the entries of ``LEVELUP_OV_ADAPTERS``.

    :raises RegistryError: an entry names nothing installed, or a name that is taken.
    """

    def __init__(self, enabled: tuple[str, ...] = ()) -> None:
        self._references = dict(BUILT_IN)
        self._sources: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._classes: dict[str, type[Adapter]] = {}
        installed = _installed({entry for entry in enabled if "=" not in entry})
        for entry in enabled:
            name, _, reference = entry.partition("=")
            if name in self._references:
                if not reference and name in BUILT_IN and name not in installed:
                    continue
                other = _described(installed[name]) if not reference and name in installed else repr(entry)
                claims = f"by {self._sources.get(name, self._references[name])} and by {other}"
                remedy = "give yours another name" if name in BUILT_IN else "take one out of LEVELUP_OV_ADAPTERS"
                raise RegistryError(f"adapter {name!r} is claimed twice: {claims}", remedy)
            if not reference and name not in installed:
                found = ", ".join(sorted({point.name for point in _offered()})) or "none"
                raise RegistryError(
                    f"adapter {name!r} is enabled, but no installed distribution offers it",
                    f"install one that does, or take the name out of LEVELUP_OV_ADAPTERS (offered are: {found})",
                )
            self._references[name] = reference or installed[name].value
            if not reference:
                self._sources[name] = _described(installed[name])
                self._owners[name] = _owner(installed[name])

    @property
    def names(self) -> tuple[str, ...]:
        """All provider names that an account may use."""
        return tuple(sorted(self._references))

    def offer(self, name: str) -> str:
        """The installed distribution that provides ``name`` but is not enabled; empty if there is none."""
        found = [] if name in self._references else [point for point in _offered() if point.name == name]
        return " and ".join(_owner(point) for point in found)

    def adapter_class(self, name: str) -> type[Adapter]:
        """The adapter class for ``name``.

        :raises RegistryError: it cannot be imported, is not an adapter, was built for another interface, or contradicts
            itself.
        """
        if name not in self._classes:
            self._classes[name] = self._load(name)
        return self._classes[name]

    def owner(self, name: str) -> str:
        """Who has to repair the adapter for ``name``: its distribution, or its module."""
        return self._owners.get(name, self._references[name].partition(":")[0])

    def distribution(self, name: str) -> str:
        """The distribution and version that the adapter for ``name`` comes from, or its module."""
        return f"levelup_ov {__version__}" if self._references[name] == BUILT_IN.get(name) else self.owner(name)

    def source(self, name: str) -> str:
        """The adapter for ``name``, with its class and the distribution that it comes from."""
        return f"adapter {name!r} ({self._sources.get(name, self._references[name])})"

    def _load(self, name: str) -> type[Adapter]:
        reference, source, owner = self._references[name], self.source(name), self.owner(name)
        module_name, _, class_name = reference.partition(":")
        try:
            module = importlib.import_module(module_name)
            found = getattr(module, class_name)
        except (Exception, SystemExit) as error:
            raise RegistryError(
                f"{source} cannot be imported: {type(error).__name__}: {error}", f"repair {owner}, or uninstall it"
            ) from error
        if not (isinstance(found, type) and issubclass(found, Adapter)):
            raise RegistryError(f"{source} is not a subclass of levelup_ov.adapter.Adapter", f"correct {owner}")
        if problem := _misfit(found, owner) or _contradiction(found):
            fault, _, remedy = problem.partition(": ")
            raise RegistryError(f"{source}: {fault}", remedy or f"correct {owner}")
        return found


def _misfit(adapter: type[Adapter], owner: str) -> str:
    """Why an adapter does not fit this interface; empty if it does."""
    remedy = "read what changed, run the contract suite, and write "
    remedy += f"interface_version = {INTERFACE_VERSION} into {adapter.__name__}"
    said_by = next((base for base in adapter.__mro__ if "interface_version" in vars(base)), None)
    if said_by is None:
        return f"it does not say which interface it was built for: {remedy}"
    if _top(said_by) != _top(adapter):
        # After an upgrade of the other one, it would be true of that one only.
        return f"its interface_version is inherited from {said_by.__module__}.{said_by.__name__}: {remedy}"
    version = vars(said_by)["interface_version"]
    if type(version) is not int:
        return f"interface_version = {version!r} is not a number: {remedy}"
    if version != INTERFACE_VERSION:
        return (
            f"it was built for interface version {version}, this service has {INTERFACE_VERSION}: install a release "
            f"of {owner} that was built for {INTERFACE_VERSION}, or a levelup_ov that has {version}"
        )
    for name, meaning, known in _CHOSEN:
        given = getattr(adapter, name, None)
        if not isinstance(given, (frozenset, set)) or not given or not given <= set(known):
            example = f'{name} = frozenset({{"{known[0]}"}})'
            return f"{name} must say {meaning}: write, for example, {example}; known are {', '.join(known)}"
    if adapter.recovery not in get_args(Recovery):
        return f"recovery must be {' or '.join(get_args(Recovery))}"
    settings = adapter.settings.values() if isinstance(adapter.settings, Mapping) else [None]
    if not all(isinstance(each, Setting) for each in settings):
        return "settings must give a Setting for each key"
    if not all(isinstance(each.finds_orders, bool) for each in settings if each is not None):
        return "finds_orders of a Setting must be True or False"
    return ""


def _top(adapter: type) -> str:
    """The top-level package or module of a class: what is installed and upgraded as one."""
    return adapter.__module__.partition(".")[0]


def _contradiction(adapter: type[Adapter]) -> str:
    """The contradiction in what an adapter declares; empty if there is none."""
    statement, fences = adapter.echoes_nothing, adapter.fences
    declared = any("echoes_nothing" in vars(base) for base in adapter.__mro__ if base is not Adapter)
    if not isinstance(statement, str) or (declared and not statement.strip()):
        return (
            "echoes_nothing must quote where the provider documents that it does not return the reference; "
            "if it does return it, remove the declaration and give it as Placed.reference"
        )
    if not isinstance(fences, bool):
        return "fences must be True or False"
    if not isinstance(adapter.needs_trace, bool):
        return "needs_trace must be True or False"
    if not isinstance(adapter.voids_cards, bool):
        return "voids_cards must be True or False"
    if adapter.voids_cards and not fences:
        return "voids_cards says what a fence proves, so it needs fences = True"
    if fences != (adapter.fence_order is not Adapter.fence_order):
        return "fences = True and fence_order() go together: declare both or neither"
    words = adapter.order_status
    if not isinstance(words, Mapping) or not all(stage in STAGES for stage in words.values()):
        return f"order_status must map the provider's words to stages, each one of {', '.join(STAGES)}"
    if bool(words) != (adapter.show_status is not Adapter.show_status):
        return "order_status and show_status() go together: declare both or neither"
    if adapter.cancels != (adapter.cancel_order is not Adapter.cancel_order):
        return "cancels = True and cancel_order() go together: declare both or neither"
    if adapter.cancels and not words:
        return "cancels needs order_status, since only a status proves that an order was canceled: declare it"
    return ""


def abilities(adapter: type[Adapter]) -> tuple[str, ...]:
    """What an adapter declares that it can do, in words."""
    can = {
        "schedules": adapter.schedules,
        "creates customer accounts": adapter.creates_customer_accounts,
        "finds lost orders": adapter.recovery == "look_up",
        "repeats safely": adapter.recovery == "replay",
        "fences": adapter.fences,
        "reports status": bool(adapter.order_status),
        "cancels": adapter.cancels,
        "reports stock": adapter.reports_stock,
        "reports versions": adapter.versions_menus,
        "takes webhooks": adapter.takes_notices is not Adapter.takes_notices,
    }
    kinds = (", ".join(sorted(adapter.tenders)), ", ".join(sorted(adapter.fulfillments)))
    return (*kinds, ", ".join(ability for ability, declared in can.items() if declared))


def offered_names() -> tuple[str, ...]:
    """The names of the adapters that installed distributions provide, enabled or not."""
    return tuple(sorted({point.name for point in _offered()}))


def check_adapters_package() -> None:
    """Make sure that ``adapters`` is our package: the public index has another one with that name.

    :raises RegistryError: it is not.
    """
    package = importlib.import_module("adapters")
    if not getattr(package, "LEVELUP_OV_ADAPTERS", False):
        raise RegistryError(
            f"the package 'adapters' at {package.__file__} is not levelup_ov's",
            "uninstall the distribution called 'adapters' from this environment",
        )


def _installed(names: set[str]) -> dict[str, EntryPoint]:
    """The entry points of these names. :raises RegistryError: two distributions claim one."""
    found: dict[str, EntryPoint] = {}
    for point in _offered() if names else ():
        if point.name not in names:
            continue
        if point.name in found:
            owners = f"{_described(found[point.name])} and by {_described(point)}"
            remedy = f"uninstall one, or name the class: LEVELUP_OV_ADAPTERS={point.name}=MODULE:CLASS"
            raise RegistryError(f"adapter {point.name!r} is claimed twice: by {owners}", remedy)
        found[point.name] = point
    return found


def _offered() -> list[EntryPoint]:
    """The entry points of installed distributions. A broken distribution has none."""
    return list(entry_points(group=ENTRY_POINT_GROUP))


def _described(point: EntryPoint) -> str:
    """The reference of an entry point, and the distribution that it comes from."""
    return f"{point.value} of {_owner(point)}" if point.dist else point.value


def _owner(point: EntryPoint) -> str:
    """The distribution of an entry point, with its version."""
    if point.dist is None:
        return "an unknown distribution"
    # Not dist.name: since Python 3.13 it warns, and will raise, where there are no metadata.
    found: Any = point.dist.metadata or {}
    name, version = found.get("Name"), found.get("Version")
    return f"{name} {version}" if name and version else "a distribution without metadata"
