"""Every provider has its page, of one form, and the README's table of abilities says what adapters and pages say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from levelup_ov.registry import BUILT_IN, Registry
from levelup_ov.scaffold.new import new_module
from scripts.matrix import DESCRIBED, PAGES, README, ROOT, fields, page, renewed

SECTIONS = (
    "Overview", "What the promise rests on", "Settings", "What is supported", "What is not", "Calls",
    "How it was verified",
)  # fmt: skip

every_provider = pytest.mark.parametrize("provider", sorted(BUILT_IN))


def sections(provider: str) -> dict[str, str]:
    """The text of a page by its headings, in their order."""
    _, _, _, *parts = re.split(r"^(\S.*)\n=+\n", page(provider), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def names_of_settings(section: str) -> set[str]:
    """What the first column of its table, or the terms of its list, name."""
    first = re.findall(r"^((?:``\w+``(?:, )?)+)(?: {2,}\S|$)", section, re.MULTILINE)
    return {name for names in first for name in re.findall(r"\w+", names)}


def test_a_missing_page_says_what_to_write() -> None:
    with pytest.raises(FileNotFoundError, match=r"docs/providers/acme\.rst is missing: .* `make matrix`"):
        page("acme")


def test_the_scaffold_writes_a_page_of_this_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "levelup_ov").mkdir()
    (tmp_path / "levelup_ov" / "registry.py").write_text((ROOT / "levelup_ov" / "registry.py").read_text())
    (tmp_path / "tests" / "providers").mkdir(parents=True)
    new_module("acme", tmp_path)
    monkeypatch.setattr("scripts.matrix.PAGES", tmp_path / "docs" / "providers")
    assert tuple(sections("acme")) == SECTIONS
    assert all(len(text.strip()) > 100 for text in sections("acme").values())
    assert names_of_settings(sections("acme")["Settings"]) == {"base_url", "api_key"}
    assert set(fields(page("acme"))) == set(DESCRIBED.values())


def test_there_is_a_page_for_each_provider_and_no_other() -> None:
    assert sorted(path.stem for path in PAGES.glob("*.rst")) == sorted(BUILT_IN)


@every_provider
def test_a_page_has_the_same_sections_as_all(provider: str) -> None:
    found = sections(provider)
    assert tuple(found) == SECTIONS
    assert all(len(text.strip()) > 100 for text in found.values())


@every_provider
def test_a_page_names_the_settings_that_the_adapter_declares(provider: str) -> None:
    declared = Registry().adapter_class(provider).settings
    assert names_of_settings(sections(provider)["Settings"]) == set(declared)


@every_provider
def test_the_example_of_a_page_is_an_account_of_this_provider(provider: str) -> None:
    block = sections(provider)["Settings"].partition(".. code-block:: toml\n")[2]
    example = re.match(r"(?:\n| +.*\n)+", block)
    assert example
    ((_, account),) = tomllib.loads(example[0])["accounts"].items()
    declared, given = Registry().adapter_class(provider).settings, account.get("settings", {})
    assert account["provider"] == provider and account["name"]
    assert {name for name, setting in declared.items() if setting.required} <= set(given) <= set(declared)
    assert all(value.startswith("env:") for name, value in given.items() if declared[name].secret)


@every_provider
def test_a_page_describes_the_abilities_that_no_class_declares(provider: str) -> None:
    found = fields(page(provider))
    assert list(found) == list(fields(sections(provider)["What is supported"]))
    assert set(found) == set(DESCRIBED.values())


def test_the_readme_has_the_table_of_abilities_as_it_is_now() -> None:
    readme = README.read_text(encoding="utf-8")
    assert renewed(readme) == readme, "`make matrix` writes it again"


def test_a_table_that_is_out_of_date_is_found() -> None:
    readme = README.read_text(encoding="utf-8")
    altered = readme.replace('"Orders for later (TIME-4)", "no"', '"Orders for later (TIME-4)", "yes"')
    assert altered != readme
    assert renewed(altered) == readme
