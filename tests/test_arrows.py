"""Imports run one way: what is inside knows nothing of what is around it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from scripts.architecture import ARROWS, BOXES, DRAWING, drawing

ROOT = Path(__file__).parents[1]

ORDER = (
    "domain", "errors", "sealing", "redaction", "personal", "observability", "welcome", "tracing", "transport",
    "ledger", "adapter", "registry", "config_mistakes", "accounts", "event_settings", "config", "events", "ordering",
    "checkout", "sessions", "screens", "standins", "metrics", "schemas", "blueprints", "ucp", "console", "certify",
    "scaffold", "cli", "workbench", "app", "gunicorn_worker", "gunicorn_conf", "__main__", "testing",
)  # fmt: skip
"""The parts of ``levelup_ov``, from the inside out; each may import those before it, none after it."""

INSIDE: Mapping[str, tuple[str, ...]] = {
    "transport": (
        "net", "deadline", "exchange", "json_object", "public_addresses", "connections", "in_process", "breaker",
        "response_cache", "redis_cache", "placement", "session",
        "auth", "cookies", "tap",
    ),
    "ledger": (
        "identity", "driver_errors", "disk", "limits", "postgresql", "boot_clock", "statements", "engine", "database",
        "batches", "tables", "records", "searches", "outbox", "references", "clocks", "sights", "rows",
        "submission_events", "matches", "claims", "restoring", "reading", "changes", "transitions", "absences",
        "findings", "ledger", "statuses", "menu_watches",
        "sessions", "event_deliveries", "webhooks", "operator_actions", "corrections", "browsing", "backup",
        "migrations",
    ),
    "ordering": (
        "addresses", "bounded_runs", "bulkhead", "kept_locations", "reported_orders", "session_secrets",
        "request_context", "metadata", "menu_changes", "placing", "prices", "attempts", "outcomes", "reconciling",
        "submissions", "locations", "tracking", "received_orders", "responses", "routing", "stock_and_pauses",
        "written_menus", "menus", "menu_watching", "submission_keys", "look_ups", "placed_orders", "service",
        "webhooks",
    ),
}  # fmt: skip
"""The same inside of three packages."""

ALLOWED: Mapping[str, frozenset[str]] = {
    "certify": frozenset({"domain", "errors", "certify"}),
    "screens": frozenset({"screens"}),
    "standins": frozenset({"domain", "errors", "screens", "standins"}),
    "schemas": frozenset({"domain", "errors", "schemas", ""}),
    "adapters": frozenset({"adapter"}),
}
"""Parts with a shorter list of their own; the empty name is ``levelup_ov`` itself, for its version."""

OWNERS: Mapping[str, frozenset[str]] = {
    "requests": frozenset({"transport"}),
    "urllib3": frozenset({"transport"}),
    "flask": frozenset(
        {"blueprints", "cli", "config_mistakes", "console", "app", "screens", "standins", "ucp", "workbench"}
    ),
    "marshmallow": frozenset({"schemas"}),
    "sqlalchemy": frozenset({"ledger", "checkout"}),
    "alembic": frozenset({"ledger"}),
    "redis": frozenset({"transport"}),
    "itsdangerous": frozenset({"console"}),
    "opentelemetry": frozenset({"tracing"}),
    "prometheus_client": frozenset({"metrics"}),
    "standardwebhooks": frozenset({"events"}),
    "http_sf": frozenset({"ucp"}),
    "http_message_signatures": frozenset({"ucp"}),
    "joserfc": frozenset({"ucp"}),
    "msgspec": frozenset({"schemas", "sessions", "ucp"}),
    "smtplib": frozenset({"events"}),
    "pytest": frozenset({"testing"}),
    "authlib": frozenset({"checkout"}),
}
"""Libraries that only some parts may know."""


def sources() -> dict[str, str]:
    """The text of every module of both packages, by its dotted name."""
    found = {}
    for path in [*ROOT.glob("levelup_ov/**/*.py"), *ROOT.glob("adapters/**/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


@cache
def statements(source: str) -> list[ast.AST]:
    """The imports in a text, anywhere in it."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imports(module: str, source: str, modules: Mapping[str, str]) -> Iterator[str]:
    """The dotted names that a module imports."""
    for node in statements(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                yield f"relative import in {module}"
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def part(name: str) -> str:
    """``levelup_ov.domain.money`` belongs to ``domain``, ``adapters.fftp`` to ``adapters``."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] if top == "levelup_ov" else top


def inward(module: str, imported: str) -> bool:
    """Whether an import within a package keeps to the order inside of it."""
    own, inner = part(module), INSIDE.get(part(module), ())
    if not inner or part(imported) != own or module == f"levelup_ov.{own}":
        return True
    source, target = (name.split(".")[2] if name.count(".") > 1 else "" for name in (module, imported))
    return {source, target} <= {*inner} and inner.index(target) <= inner.index(source)


def violations(modules: Mapping[str, str]) -> list[str]:
    """Every import that runs the wrong way, in words."""
    problems = []
    graph: dict[str, set[str]] = {}
    for module, source in modules.items():
        own, ours = part(module), module.startswith("levelup_ov")
        graph[module] = set()
        if ours and own and own not in ORDER:
            problems.append(f"{module}: give {own} its place in ORDER")
            continue
        for imported in imports(module, source, modules):
            top, target = imported.partition(".")[0], part(imported)
            if top == "levelup_ov":
                graph[module].add(imported)
                reachable = ALLOWED.get(own) or frozenset(ORDER[: ORDER.index(own) + 1] if own else ()) | {""}
                if target not in reachable or not inward(module, imported):
                    problems.append(f"{module} imports {imported}")
            elif top == "adapters" and imported.startswith(f"{module.partition('_')[0]}_"):
                graph[module].add(imported)  # a part of the same adapter, such as toast_menu of toast
            elif top == "adapters" or top.startswith("relative import"):
                problems.append(f"{module} imports {imported}")
            elif own not in OWNERS.get(top, {own}):
                problems.append(f"{module} imports {imported}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        problems.append(f"cycle: {' <- '.join(error.args[1])}")
    return problems


def test_all_imports_run_one_way() -> None:
    assert violations(sources()) == []


@pytest.mark.parametrize(
    "module, line",
    [
        ("levelup_ov.domain.money", "from levelup_ov.errors import Refused"),
        ("levelup_ov.domain.money", "def late():\n    import levelup_ov.ordering.service"),
        ("levelup_ov.errors", "from levelup_ov import transport"),
        ("levelup_ov.transport.session", "from levelup_ov.adapter import Adapter"),
        ("levelup_ov.transport.connections", "from levelup_ov.transport.session import Session"),
        ("levelup_ov.ledger.identity", "from levelup_ov.ledger import Ledger"),
        ("levelup_ov.ordering.service", "from levelup_ov.blueprints.http import json_response"),
        ("levelup_ov.ordering.service", "from flask import g"),
        ("levelup_ov.ordering.service", "import requests.exceptions"),
        ("levelup_ov.registry", "from adapters.fftp import FftpAdapter"),
        ("levelup_ov.registry", "import adapters"),
        ("levelup_ov.standins.sandbox.store", "from levelup_ov.transport.session import Reply"),
        ("levelup_ov.schemas.orders", "from levelup_ov.ordering.service import Service"),
        ("levelup_ov.domain.order", "from .money import Cents"),
        ("levelup_ov.novelty", "import json"),
        ("adapters.fftp", "from adapters.sandbox import SandboxAdapter"),
        ("adapters.fftp", "from levelup_ov.config import Settings"),
        ("adapters.fftp", "from levelup_ov.errors import Refused"),
        ("adapters.fftp", "import flask"),
        ("adapters.fftp", "from requests import Session"),
    ],
)
def test_an_import_the_wrong_way_is_found(module: str, line: str) -> None:
    assert any(problem.startswith(module) for problem in violations({**sources(), module: line}))


def test_a_cycle_is_found() -> None:
    looped = {
        "levelup_ov.domain.failure": "from levelup_ov.domain.money import Cents",
        "levelup_ov.domain.money": "from levelup_ov.domain import failure",
    }
    assert any(problem.startswith("cycle") for problem in violations({**sources(), **looped}))


def imports_between_boxes() -> set[tuple[str, str]]:
    modules = sources()
    of = {package: name for name, box in BOXES.items() for package in box.packages}
    found = {(part(name), part(other)) for name, text in modules.items() for other in imports(name, text, modules)}
    return {(of[a], of[b]) for a, b in found if a in of and b in of and of[a] != of[b]}


def reachable(arrows: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs of boxes between which a path of ``arrows`` leads."""
    pairs = set(arrows)
    while longer := {(a, d) for a, b in pairs for c, d in arrows if b == c} - pairs:
        pairs |= longer
    return pairs


def test_the_drawing_shows_imports_that_exist() -> None:
    assert {*ARROWS} - imports_between_boxes() == set()
    assert {package for box in BOXES.values() for package in box.packages} <= {*ORDER, "adapters"}


def test_every_import_between_boxes_is_an_arrow_or_a_path() -> None:
    found = imports_between_boxes()
    assert len(found) > 30
    assert found - reachable(ARROWS) == set()


def test_the_drawing_is_the_one_of_the_script() -> None:
    assert DRAWING.read_text(encoding="utf-8") == drawing(), "run `make architecture`"


def test_the_drawing_in_the_readme_is_a_part_of_it() -> None:
    lines = (ROOT / "README.rst").read_text(encoding="utf-8").splitlines()
    chain = "HTTP -> ordering -> adapter"
    (row,) = (number for number, line in enumerate(lines) if chain in line)
    start = lines[row].index("ordering")
    down = lines[row + 1].index("|", start)
    below = lines[row + 2].index("ledger")
    assert start <= down < start + len("ordering") and below <= down < below + len("ledger")
    assert {("http", "ordering"), ("ordering", "adapters"), ("ordering", "ledger")} <= {*ARROWS}
