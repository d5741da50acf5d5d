"""What the pages take from the code: tables of its data, and links from the ids of rules to the contract."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from levelup_ov.config import VARIABLES
from levelup_ov.domain.submission import TRANSITIONS
from levelup_ov.errors import KINDS
from levelup_ov.ledger.engine import COMPATIBILITY_TABLE, REVISIONS
from levelup_ov.metrics.families import FAMILIES
from levelup_ov.standins.sandbox.magic import CARDS, TOKENS

DOCS = Path(__file__).resolve().parent
MIGRATIONS = DOCS.parent / "levelup_ov" / "ledger" / "migrations" / "versions"
EXAMPLES = ("requests", "answers")
"""Directories that the contract page links into."""
TYPES = {
    "request": "Errors of the request",
    "provider": "Errors of the provider",
    "service": "Errors of the service",
}

_CONTRACT = (DOCS / "contract.rst").read_text(encoding="utf-8")
_RULES = dict(re.findall(r"^\.\. _([A-Z]+-\d+):\n\n\*\*.+\n((?:(?:    .*)?\n)+)", _CONTRACT, re.MULTILINE))
"""The text of each rule by its id."""
_RULE_ID = re.compile(rf"\b(?:{'|'.join(sorted({rule.rpartition('-')[0] for rule in _RULES}))})-\d+\b")
_NOT_LINKED = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title, nodes.target)

log = logging.getLogger(__name__)


def variables() -> Iterator[str]:
    """The environment variables of the service."""
    yield from _table("Variable", "Meaning", "Default", widths="34 50 16")
    yield from (_row(f"``{each.name}``", each.meaning, each.default and f"``{each.default}``") for each in VARIABLES)


def metrics() -> Iterator[str]:
    """What ``/metrics`` shows."""
    yield from _table("Metric", "Labels", "Meaning", widths="40 22 38")
    for name, family in FAMILIES.items():
        yield _row(f"``{name}``", ", ".join(family.labels), f"{family.kind}: {family.meaning}")


def magic_values() -> Iterator[str]:
    """What the sandbox does on request."""
    yield from _table("Value", "What happens", widths="30 70")
    yield from (_row(f"``{value}``", text) for value, text in {**TOKENS, **CARDS}.items())


def states() -> Iterator[str]:
    """How a submission's state changes."""
    yield from _table("From", "To", "When", widths="25 15 60")
    for change in TRANSITIONS.values():
        yield _row(", ".join(f"*{source}*" for source in change.sources), f"*{change.target}*", change.meaning)


def revisions() -> Iterator[str]:
    """The revisions of the ledger's schema, and the releases that work with each."""
    yield from _table("Revision", "What it adds or changes", "Releases that work with it", widths="12 58 30")
    for number in REVISIONS:
        (path,) = MIGRATIONS.glob(f"r{number}_*.py")
        source = path.read_text(encoding="utf-8")
        oldest = re.search(rf"INTO {COMPATIBILITY_TABLE} .*VALUES \('{number}', '(\d+)'\)", source)
        works = f"{oldest[1]} and later: it only adds" if oldest else f"{number} and later"
        yield _row(f"``{number}``", ast.get_docstring(ast.parse(source)) or "", works)


def errors() -> Iterator[str]:
    """Every error code, by its type."""
    for type, title in TYPES.items():
        yield from (title, "=" * len(title), "")
        for code, kind in KINDS.items():
            if kind.type == type:
                retry = "the same request may succeed later" if kind.retryable else "the same request fails again"
                rules = [rule for rule, text in _RULES.items() if f"``{code}``" in text]
                yield from (f".. _error-{code}:", "", f"``{code}`` ({kind.status})")
                yield from (f"    {kind.meaning}", "", f"    *Remedy*: {_literals(kind.remedy)}", "")
                yield from (f"    *Again*: {retry}." + (f" *Rules*: {', '.join(rules)}." if rules else ""), "")


def _table(*header: str, widths: str) -> Iterator[str]:
    cells = ", ".join(f'"{cell}"' for cell in header)
    yield from (".. csv-table::", f"   :header: {cells}", f"   :widths: {widths}", "")


def _row(*cells: str) -> str:
    return "   " + ", ".join(f'"{cell}"' for cell in cells)


def _literals(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"``\1``", text)


def _directive(lines: Callable[[], Iterator[str]]) -> type[SphinxDirective]:
    class FromCode(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            self.content = StringList(list(lines()), source=lines.__module__)
            return self.parse_content_to_nodes(allow_section_headings=True)

    return FromCode


def link_rules(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make each id of a rule a link to it."""
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if not _RULE_ID.search(text) or any(isinstance(node, _NOT_LINKED) for node in _upwards(text)):
            continue
        at, parts, last = parent.index(text), [], 0
        for match in _RULE_ID.finditer(text):
            if match[0] not in _RULES:
                log.warning("%s is not a rule of the contract", match[0], location=parent)
                continue
            address = "" if page == "contract" else app.builder.get_relative_uri(page, "contract")
            parts += [
                nodes.Text(text[last : match.start()]),
                nodes.reference("", match[0], refuri=f"{address}#{match[0].lower()}"),
            ]
            last = match.end()
        parent[at : at + 1] = [*parts, nodes.Text(text[last:])]


def _upwards(node: nodes.Node) -> Iterator[Any]:
    while (node := node.parent) is not None:
        yield node


def shorten_factories(*event: Any) -> tuple[str | None, str | None]:
    """Write a default that is new for each call as an ellipsis, so that the signature is readable."""
    signature, returned = event[-2:]
    return signature and signature.replace("<factory>", "..."), returned


def copy_examples(app: Sphinx, failure: Exception | None) -> None:
    """Copy the examples next to the contract page, which links to them."""
    if failure is None and app.builder.format == "html":
        for name in EXAMPLES:
            shutil.copytree(DOCS / name, Path(app.outdir) / name, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register it all with Sphinx."""
    tables = {
        "variables": variables,
        "metrics": metrics,
        "magic-values": magic_values,
        "submission-states": states,
        "schema-revisions": revisions,
        "error-codes": errors,
    }
    for name, lines in tables.items():
        app.add_directive(name, _directive(lines))
    app.connect("doctree-resolved", link_rules)
    app.connect("autodoc-process-signature", shorten_factories)
    app.connect("build-finished", copy_examples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
