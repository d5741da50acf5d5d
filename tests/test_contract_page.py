"""docs/contract.rst against the code, the tests and its own examples."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.errors import KINDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "contract.rst").read_text(encoding="utf-8")

OPEN_RULES = frozenset({"SUB-2", "SUB-3", "SUB-4", "SUB-5", "PAY-4", "META-8"})
"""Rules that are not served yet: they need no test, and leave this list with their first one."""

SOURCES = {"documents", "later edition", "decision", "open"}
HEADS = re.findall(r"^\.\. _([A-Z]+-\d+):\n\n\*\*([A-Z]+-\d+)\*\* \(([a-z; ]+)\)\n    \S", PAGE, re.MULTILINE)
RULES = {rule: set(sources.split("; ")) for _, rule, sources in HEADS}
EXAMPLES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.json"))


def cited_rules(source: str) -> set[str]:
    """The rule ids that the marks of a test module cite: on tests, classes, parameters or in ``pytestmark``.

    :raises ValueError: an id is not written out, so that it could not be found here.
    """
    tree = ast.parse(source)
    not_tests = {
        id(mark)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test")
        for mark in node.decorator_list
    }
    rules: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("mark.rule") or id(node) in not_tests:
            continue
        for argument in node.args:
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                raise ValueError(f"line {node.lineno}: write the ids of the rules out: {ast.unparse(node)}")
            rules.add(argument.value)
    return rules


def all_cited_rules(folder: Path) -> set[str]:
    return {rule for path in folder.rglob("*.py") for rule in cited_rules(path.read_text(encoding="utf-8"))}


def gaps(rules: Set[str], cited: Set[str], still_open: Set[str]) -> list[str]:
    """What is wrong between the rules of the page and those that tests cite."""
    found = {
        "rules without a test": rules - cited - still_open,
        "tests cite rules that the page does not have": cited - rules,
        "open rules have tests: take them off OPEN_RULES": cited & still_open,
    }
    return [f"{problem}: {', '.join(sorted(ids))}" for problem, ids in found.items() if ids]


def members(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all members in the notation of the page; what is inside ``metadata`` is free."""
    if isinstance(value, list):
        for element in value:
            yield from members(element, f"{path}[]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield (below := f"{path}.{name}".removeprefix("."))
            if name != "metadata":
                yield from members(inner, below)


def example(name: str) -> Any:
    return json.loads((DOCS / name).read_text(encoding="utf-8"))


def test_every_rule_has_a_test() -> None:
    problems = gaps(set(RULES), all_cited_rules(ROOT / "tests"), OPEN_RULES)
    assert not problems, "\n".join(problems)


def test_a_rule_without_a_test_is_found() -> None:
    assert gaps({"A-1", "A-2", "A-3"}, {"A-2"}, {"A-3"}) == ["rules without a test: A-1"]


def test_a_test_of_an_unknown_rule_is_found() -> None:
    assert gaps({"A-1"}, {"A-1", "A-9"}, set()) == ["tests cite rules that the page does not have: A-9"]


def test_a_test_of_an_open_rule_is_found() -> None:
    assert gaps({"A-1"}, {"A-1"}, {"A-1"}) == ["open rules have tests: take them off OPEN_RULES: A-1"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@pytest.mark.rule('A-1', 'A-2')\ndef test_it(): ...", {"A-1", "A-2"}),
        ("@pytest.mark.rule('A-1')\nclass TestIt: ...", {"A-1"}),
        ("class TestIt:\n    @pytest.mark.rule('A-1')\n    def test_it(self): ...", {"A-1"}),
        ("pytestmark = pytest.mark.rule('A-1')", {"A-1"}),
        ("pytestmark = [pytest.mark.other('A-2'), pytest.mark.rule('A-1')]", {"A-1"}),
        ("CASES = [pytest.param(1, marks=pytest.mark.rule('A-1'))]", {"A-1"}),
        ("from pytest import mark\n@mark.rule('A-1')\ndef test_it(): ...", {"A-1"}),
        ("@pytest.mark.rule('A-1')\ndef helper(): ...", set()),
        ("'@pytest.mark.rule(A-1)'  # pytest.mark.rule('A-1')", set()),
    ],
)
def test_marks_are_read_wherever_pytest_reads_them(source: str, expected: set[str]) -> None:
    assert cited_rules(source) == expected


def test_an_id_that_is_not_written_out_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1: write the ids"):
        cited_rules("pytestmark = pytest.mark.rule(*IDS)")


def test_each_rule_stands_once_under_its_own_label_with_its_source() -> None:
    labels = re.findall(r"^\.\. _([A-Z]+-\d+):$", PAGE, re.MULTILINE)
    assert [label for label, _, _ in HEADS] == labels
    assert [rule for _, rule, _ in HEADS] == labels
    assert len(set(labels)) == len(labels)
    assert {source for sources in RULES.values() for source in sources} <= SOURCES
    assert all(sources - {"open"} for sources in RULES.values())


def test_the_page_marks_the_open_rules() -> None:
    assert {rule for rule, sources in RULES.items() if "open" in sources} == OPEN_RULES


def test_the_rules_that_page_and_code_refer_to_exist() -> None:
    families = "|".join({rule.rpartition("-")[0] for rule in RULES})
    texts = [PAGE, *(path.read_text(encoding="utf-8") for path in (ROOT / "levelup_ov").rglob("*.py"))]
    named = {rule for text in texts for rule in re.findall(rf"\b(?:{families})-\d+\b", text)}
    assert named - set(RULES) == set()


def test_the_error_table_is_the_closed_list_of_the_code() -> None:
    rows = re.findall(r'^   "``([a-z_]+)``", (\d{3}), (\w+), (yes|no), "(.+)"$', PAGE, re.MULTILINE)
    expected = [
        (code, str(kind.status), kind.type, "yes" if kind.retryable else "no", kind.meaning)
        for code, kind in KINDS.items()
    ]
    assert rows == expected


def test_there_are_examples_and_the_page_shows_and_links_each() -> None:
    assert len(EXAMPLES) >= 8
    assert sorted(re.findall(r"^\.\. literalinclude:: (\S+)$", PAGE, re.MULTILINE)) == EXAMPLES
    assert sorted(re.findall(r"<(\S+\.json)>`__", PAGE)) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_only_members_that_the_page_has(name: str) -> None:
    (body,) = example(name).values()
    table = set(re.findall(r'^   "``([^`]+)``", "', PAGE, re.MULTILINE))
    assert name == "answers/error.json" or set(members(body)) <= table


def test_the_answers_have_every_member_of_their_tables() -> None:
    titles = {
        "answers/order_validation.json": "Members of the answer to an order validation",
        "answers/order_submission.json": "Members of the answer to an order submission",
    }
    for name, title in titles.items():
        rows = PAGE.partition(title)[2].partition("\n\n")[2].partition("\n\n")[0]
        (body,) = example(name).values()
        assert list(body) == re.findall(r'^   "``([^`]+)``"', rows, re.MULTILINE)


def test_the_example_of_an_error_is_one_the_service_can_give() -> None:
    error = example("answers/error.json")["error"]
    kind = KINDS[error["code"]]
    assert list(error) == ["type", "message", "code", "path", "retryable", "request_id"]
    assert (error["type"], error["retryable"]) == (kind.type, kind.retryable)


def test_the_example_of_a_validation_is_the_worked_example() -> None:
    asked = example("requests/order_validation.json")["order_validation"]
    answered = example("answers/order_validation.json")["order_validation"]
    assert (asked["tip"], asked["merchant_funded_discount"]) == (200, 100)
    assert (answered["total"], answered["tax"], answered["tip"]) == (1000, 70, 200)
    assert (answered["merchant_funded_discount"], answered["provider_funded_discount"]) == (100, 0)
