"""Creates an adapter from templates: a module in this checkout, or a separate distribution."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from levelup_ov.adapter import INTERFACE_VERSION
from levelup_ov.registry import BUILT_IN

RECORDINGS = ("1_locations.json", "2_menu.json", "3_validation.json", "4_submission.json")

_TEMPLATES: Traversable = files(__package__) / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TABLE = re.compile(r"^BUILT_IN: .*?^\}", re.MULTILINE | re.DOTALL)


class ScaffoldError(Exception):
    """The adapter cannot be created; the message says why. Nothing was written."""


def new_module(name: str, checkout: Path) -> list[Path]:
    """Create the adapter ``name`` in a checkout; returns the written files.

    :raises ScaffoldError: a bad name, not a checkout, or an existing file.
    """
    registry = checkout / "levelup_ov" / "registry.py"
    if not registry.is_file() or not (checkout / "tests" / "providers").is_dir():
        raise ScaffoldError(f"{checkout} is not a checkout of levelup_ov: use --package to write a distribution")
    values = _values(name, module=f"adapters.{name}", recordings=f"recordings/{name}")
    tests = checkout / "tests" / "providers"
    written = _write({
        checkout / "adapters" / f"{name}.py": _filled("adapter.py.tmpl", values),
        checkout / "docs" / "providers" / f"{name}.rst": _filled("provider_page.rst.tmpl", values),
        tests / f"test_{name}_contract.py": _filled("test_contract.py.tmpl", values),
        **dict(_recordings(tests / "recordings" / name)),
    })  # fmt: skip
    text = registry.read_text(encoding="utf-8")
    line = f'    "{name}": "adapters.{name}:{values["class_name"]}",\n'
    table = _TABLE.search(text)
    assert table is not None
    registry.write_text(text[: table.end() - 1] + line + text[table.end() - 1 :], encoding="utf-8")
    return [*written, registry]


def new_package(name: str, directory: Path) -> list[Path]:
    """Create the adapter ``name`` as a distribution in ``directory``; returns the written files.

    :raises ScaffoldError: a bad name, or an existing file.
    """
    values = _values(name, module=f"levelup_ov_{name}", recordings="recordings")
    tests = directory / "tests"
    return _write({
        directory / "setup.cfg": _filled("package/setup.cfg.tmpl", values),
        directory / "ruff.toml": _filled("package/ruff.toml.tmpl", values),
        directory / "setup.py": _filled("package/setup.py.tmpl", values),
        directory / "README.rst": _filled("package/README.rst.tmpl", values),
        directory / f"{values['module']}.py": _filled("adapter.py.tmpl", values),
        tests / f"test_{name}_contract.py": _filled("test_contract.py.tmpl", values),
        **dict(_recordings(tests / "recordings")),
    })  # fmt: skip


def _values(name: str, *, module: str, recordings: str) -> Mapping[str, str]:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ScaffoldError(f"{name!r} is not a valid adapter name: lower-case letters, digits and single underscores")
    if name in BUILT_IN:
        raise ScaffoldError(f"adapter {name!r} exists already: {BUILT_IN[name]}")
    words = name.split("_")
    title = " ".join(word.capitalize() for word in words)
    short = title.replace(" ", "")
    return {
        "name": name, "title": title, "module": module, "recordings": recordings, "short_class": short,
        "class_name": f"{short}Adapter", "interface_version": str(INTERFACE_VERSION),
        "upper": name.upper(), "distribution": f"levelup_ov-{'-'.join(words)}",
        "bar": "=" * len(title), "underline": "=" * len(f"{title} for levelup_ov"),
    }  # fmt: skip


def _filled(template: str, values: Mapping[str, str]) -> str:
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def _recordings(directory: Path) -> Iterator[tuple[Path, str]]:
    for name in RECORDINGS:
        yield directory / name, (_TEMPLATES / "recordings" / name).read_text(encoding="utf-8")


def _write(texts: Mapping[Path, str]) -> list[Path]:
    if existing := [str(path) for path in texts if path.exists()]:
        raise ScaffoldError(f"{', '.join(existing)} would be overwritten")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)
