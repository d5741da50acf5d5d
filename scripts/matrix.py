"""The README's table of what each provider can do: from the adapters' declarations and the providers' pages.

``make matrix`` rewrites it. An adapter declares what the service acts upon; the rest is in its page of
``docs/providers``, in the list of fields at the head of *What is supported*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from levelup_ov.adapter import Adapter
from levelup_ov.registry import BUILT_IN, Registry

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.rst"
PAGES = ROOT / "docs" / "providers"

DECLARED: Mapping[str, Callable[[type[Adapter]], str]] = {
    "LevelUp as tender (PAY-1)": lambda adapter: _yes("levelup" in adapter.tenders),
    "Single-use card (PAY-2)": lambda adapter: _yes("credit_card" in adapter.tenders),
    "Customer accounts (META-6)": lambda adapter: _yes(adapter.creates_customer_accounts),
    "Orders for later (TIME-4)": lambda adapter: _yes(adapter.schedules),
    "Delivery (EP-12)": lambda adapter: _yes("delivery" in adapter.fulfillments),
    "Order status (STAT-1)": lambda adapter: _yes(bool(adapter.order_status)),
    "Cancellation (STAT-6)": lambda adapter: _yes(adapter.cancels),
    "Sold out between menus (MENU-8)": lambda adapter: _yes(adapter.reports_stock),
    "A lost answer (SUB-5)": lambda adapter: {"look_up": "look-up", "replay": "replay"}[adapter.recovery],
}
"""Abilities that the adapter's class declares."""
DESCRIBED: Mapping[str, str] = {
    "Time slots (TIME-5)": "Time slots",
    "Nested options (ITEM-3)": "Nested options",
    "Tips (MONEY-4)": "Tips",
    "Merchant-funded discount (MONEY-5)": "Merchant-funded discount",
    "Verified against": "Verified against",
}
"""Abilities, and the field of the provider's page that describes each."""

_TABLE = re.compile(r'(?<=\n)\.\. csv-table::\n   :header: "Ability", .*?(?=\n\S)', re.DOTALL)


def page(provider: str) -> str:
    """The text of a provider's page.

    :raises FileNotFoundError: there is none yet; it says what to do.
    """
    path = PAGES / f"{provider}.rst"
    if not path.exists():
        raise FileNotFoundError(
            f"docs/providers/{provider}.rst is missing: every adapter of the registry has a page, with the sections of "
            "docs/providers/fftp.rst. Write it, then run `make matrix` for the README's table of abilities"
        )
    return path.read_text(encoding="utf-8")


def fields(text: str) -> dict[str, str]:
    """The list of fields in a page."""
    return dict(re.findall(r"^:([A-Z][^:\n]*): (.+)$", text, re.MULTILINE))


def table() -> Iterator[str]:
    """The lines of the table.

    :raises KeyError: a page lacks one of the fields.
    """
    registry, providers = Registry(), sorted(BUILT_IN)
    yield ".. csv-table::"
    yield f"   :header: {_row('Ability', *providers)}"
    yield ""
    for ability, cell in DECLARED.items():
        yield "   " + _row(ability, *(cell(registry.adapter_class(provider)) for provider in providers))
    for ability, field in DESCRIBED.items():
        yield "   " + _row(ability, *(fields(page(provider))[field] for provider in providers))


def renewed(readme: str) -> str:
    """``readme`` with the table as it is now.

    :raises ValueError: it has no such table, or several.
    """
    lines = "\n".join(table()) + "\n"
    renewed, count = _TABLE.subn(lambda _: lines, readme)
    if count != 1:
        raise ValueError(f"{count} tables of abilities")
    return renewed


def _yes(ability: bool) -> str:
    return "yes" if ability else "no"


def _row(*cells: str) -> str:
    return ", ".join(f'"{cell}"' for cell in cells)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
