"""The contract suite finds typical mistakes out, each by the test that is about it, naming the rule."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, parse

import pytest

from tests.testing_kit.broken import MISTAKES
from tests.testing_kit.mistake import Mistake
from tests.testing_kit.till_broken import TILL_MISTAKES

ROOT = Path(__file__).parents[2]
Said = tuple[str, str]
ALL = (*MISTAKES, *TILL_MISTAKES)
DRIVER = "tests/testing_kit/suite_of_broken.py"


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Said, Element]:
    """What the suite said about each broken adapter, by its class and the test."""
    report = tmp_path_factory.mktemp("mutations") / "report.xml"
    tests = [f"{DRIVER}::Test{mistake.adapter.__name__}::{mistake.found_by}" for mistake in ALL]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    cases = parse(report).getroot().iter("testcase")
    return {
        (case.get("classname", "").rpartition(".Test")[2], case.get("name", "").partition("[")[0]): failure
        for case in cases
        if (failure := case.find("failure")) is not None
    }


@pytest.mark.rule("EP-14", "ITEM-11", "META-11", "MONEY-10", "MONEY-11")
@pytest.mark.parametrize("mistake", ALL, ids=lambda each: f"{each.adapter.__name__} {each.found_by}")
def test_the_suite_finds_the_mistake_out(failures: Mapping[Said, Element], mistake: Mistake) -> None:
    said = failures.get((mistake.adapter.__name__, mistake.found_by))
    assert said is not None, "the suite passes this adapter"
    assert f"{mistake.rule}: " in said.get("message", "")


@pytest.mark.rule("ERR-4", "PAY-2")
def test_what_the_suite_says_holds_no_secret(failures: Mapping[Said, Element]) -> None:
    leaked = failures["LoggedCard", "test_secrets_stay_out_of_results_errors_and_logs"]
    said = f"{leaked.get('message')} {leaked.text}"
    assert "the card's number" in said and "4111" not in said


@pytest.mark.rule("ITEM-6")
def test_a_failing_assert_shows_values(failures: Mapping[Said, Element]) -> None:
    """Only rewritten asserts do, and those of an installed package are rewritten only on request."""
    said = failures["WrongCode", "test_a_refusal_has_its_code_and_leaves_nothing"].get("message", "")
    assert "assert 'order_refused' == 'unknown_item'" in said
