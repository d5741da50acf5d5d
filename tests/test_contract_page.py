"""docs/contract.rst against the code, the tests and its own examples."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from werkzeug.test import TestResponse

from levelup_ov.app import create_app
from levelup_ov.config import DEVELOPMENT_API_KEY, load_settings
from levelup_ov.errors import KINDS
from levelup_ov.schemas import body
from levelup_ov.schemas.orders import OrderSubmissionSchema, OrderValidationSchema, read_submission, read_validation
from levelup_ov.schemas.responses import (
    LocationSchema,
    MenuSchema,
    SubmittedOrderSchema,
    TrackedOrderSchema,
    ValidatedOrderSchema,
)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "contract.rst").read_text(encoding="utf-8")

SOURCES = {"documents", "later edition", "decision"}
HEADS = re.findall(r"^\.\. _([A-Z]+-\d+):\n\n\*\*([A-Z]+-\d+)\*\* \(([a-z; ]+)\)\n    \S", PAGE, re.MULTILINE)
RULES = {rule: set(sources.split("; ")) for _, rule, sources in HEADS}
VALIDATION = "Members of an order validation and an order submission"
LINKED = {"answers", "requests"}
EXAMPLES = sorted(f"{path.parent.name}/{path.name}" for path in DOCS.glob("*/*.json") if path.parent.name in LINKED)


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


def gaps(rules: Set[str], cited: Set[str]) -> list[str]:
    """What is wrong between the rules of the page and those that tests cite."""
    found = {
        "rules without a test": rules - cited,
        "tests cite rules that the page does not have": cited - rules,
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


def fields_of(schema: Schema, path: str = "") -> Iterator[tuple[str, fields.Field[Any]]]:
    """All fields of a schema by their paths; the days of ``hours`` are not listed one by one."""
    for name, field in schema.fields.items():
        yield (below := f"{path}.{name}".removeprefix(".")), field
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested) and name != "hours":
            yield from fields_of(inner.schema, f"{below}[]" if inner is not field else below)


def table(title: str) -> dict[str, tuple[str, ...]]:
    """The rows of a table of the page by their first cell, which is a literal."""
    rows = PAGE.partition(f".. csv-table:: {title}")[2].partition("\n\n")[2].partition("\n\n")[0]
    cells = csv.reader((line.strip() for line in rows.splitlines()), skipinitialspace=True)
    return {first.strip("`"): tuple(rest) for first, *rest in cells}


def example(name: str) -> Any:
    return json.loads((DOCS / name).read_text(encoding="utf-8"))


def test_every_rule_has_a_test() -> None:
    problems = gaps(set(RULES), all_cited_rules(ROOT / "tests"))
    assert not problems, "\n".join(problems)


def test_a_rule_without_a_test_is_found() -> None:
    assert gaps({"A-1", "A-2"}, {"A-2"}) == ["rules without a test: A-1"]


def test_a_test_of_an_unknown_rule_is_found() -> None:
    assert gaps({"A-1"}, {"A-1", "A-9"}) == ["tests cite rules that the page does not have: A-9"]


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


def test_each_rule_appears_once_with_its_label_and_source() -> None:
    labels = re.findall(r"^\.\. _([A-Z]+-\d+):$", PAGE, re.MULTILINE)
    assert [label for label, _, _ in HEADS] == labels
    assert [rule for _, rule, _ in HEADS] == labels
    assert len(set(labels)) == len(labels)
    assert {source for sources in RULES.values() for source in sources} <= SOURCES


def test_the_rules_that_page_and_code_refer_to_exist() -> None:
    families = "|".join({rule.rpartition("-")[0] for rule in RULES})
    texts = [PAGE, *(path.read_text(encoding="utf-8") for path in (ROOT / "levelup_ov").rglob("*.py"))]
    named = {rule for text in texts for rule in re.findall(rf"\b(?:{families})-\d+", text)}
    assert named - set(RULES) == set()


def test_the_error_table_is_the_closed_list_of_the_code() -> None:
    assert table("The error codes") == {
        code: (str(kind.status), kind.type, "yes" if kind.retryable else "no", kind.meaning)
        for code, kind in KINDS.items()
    }


def test_the_tables_of_requests_are_the_schemas() -> None:
    validation, further = table(VALIDATION), table("Further members of an order submission")
    schema = dict(fields_of(OrderSubmissionSchema()))
    assert set(validation) == {path for path, _ in fields_of(OrderValidationSchema())}
    assert {*validation, *further} == set(schema)
    required = {path for path, (_, required, _) in (validation | further).items() if required == "yes"}
    assert required == {path for path, field in schema.items() if field.required}


@pytest.mark.parametrize(
    ("title", "schema"),
    [
        ("Members of the answer to an order validation", ValidatedOrderSchema),
        ("Members of the answer to an order submission", SubmittedOrderSchema),
        ("Members of the answer to an order status", TrackedOrderSchema),
        ("Members of a location", LocationSchema),
        ("Members of a menu", MenuSchema),
    ],
)
def test_the_tables_of_answers_are_the_schemas(title: str, schema: type[Schema]) -> None:
    of_page = {path: (True, kind.endswith("or null")) for path, (kind, _) in table(title).items()}
    assert of_page == {path: (field.required, field.allow_none) for path, field in fields_of(schema())}


def test_there_are_examples_and_the_page_shows_and_links_each() -> None:
    assert len(EXAMPLES) >= 8
    assert sorted(re.findall(r"^\.\. literalinclude:: (\S+)$", PAGE, re.MULTILINE)) == EXAMPLES
    assert sorted(re.findall(r"<(\S+\.json)>`__", PAGE)) == EXAMPLES


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("requests/")])
def test_an_example_request_is_valid_without_unknown_members(name: str) -> None:
    content = (DOCS / name).read_bytes()
    request = body.parse(content)
    (root,) = request
    {"order_validation": read_validation, "order_submission": read_submission}[root](content)
    assert set(members(request[root])) <= {*table(VALIDATION), *table("Further members of an order submission")}


@pytest.mark.parametrize("name", ["order_validation", "order_submission", "order_status"])
def test_an_example_of_an_answer_has_every_member(name: str) -> None:
    title = f"Members of the answer to an {name.replace('_', ' ')}"
    (members,) = example(f"answers/{name}.json").values()
    assert list(members) == list(table(title))


def test_the_example_of_an_error_is_one_the_service_can_give() -> None:
    error = example("answers/error.json")["error"]
    kind = KINDS[error["code"]]
    assert list(error) == ["type", "message", "code", "path", "retryable", "request_id"]
    assert (error["type"], error["retryable"]) == (kind.type, kind.retryable)


@pytest.fixture(name="client")
def _client(tmp_path: Path) -> FlaskClient:
    """A caller of the service in development mode, with the embedded sandbox."""
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path)}
    return create_app(load_settings(environ)).test_client()


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("requests/")])
def test_an_example_of_a_request_succeeds_as_it_is(client: FlaskClient, name: str) -> None:
    assert send(client, name).status_code == 200


@pytest.mark.rule("MONEY-8")
def test_the_worked_example_is_answered_as_the_page_shows(client: FlaskClient) -> None:
    amounts = {
        "total": 1000, "tax": 70, "tip": 200, "merchant_funded_discount": 100, "provider_funded_discount": 0,
    }  # fmt: skip
    shown = example("answers/order_validation.json")["order_validation"]
    answered = send(client, "requests/order_validation.json").get_json()["order_validation"]
    assert {name: shown[name] for name in amounts} == amounts
    assert {name: answered[name] for name in amounts} == amounts
    assert answered["available_at"] is shown["available_at"] is None
    assert answered["metadata"].keys() == shown["metadata"].keys()
    assert answered["ready_at"] == answered["soonest_available_at"]
    assert len(answered["ready_at"]) == len(shown["ready_at"])


def send(client: FlaskClient, name: str) -> TestResponse:
    location = "sandbox.card" if "card" in name else "sandbox.congress"
    (root,) = example(name)
    return client.post(
        f"/locations/{location}/{root}s",
        data=(DOCS / name).read_bytes(),
        content_type="application/json",
        headers={"Authorization": f"token {DEVELOPMENT_API_KEY}"},
    )
