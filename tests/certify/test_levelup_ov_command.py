"""The command ``levelup-ov`` as a person and a program meet it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from levelup_ov.__main__ import main
from levelup_ov.certify.report import UNSEEN
from levelup_ov.config import DEVELOPMENT_API_KEY
from levelup_ov.errors import KINDS
from tests.certify.serving import serving
from tests.certify.wrong import WRONG, Wrong, dangling, leaks, no_code, tip_in_total, validated

KEY = ["--key", DEVELOPMENT_API_KEY]
CARD = "4111111111111111"


def invoke(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.rule("ERR-1", "ERR-2", "ERR-3")
def test_every_error_is_explained(code: str) -> None:
    shown = " ".join(invoke("errors", code).stdout.split())
    kind = KINDS[code]
    facts = f"status {kind.status} type {kind.type} retryable {'yes' if kind.retryable else 'no'}"
    assert shown == f"{code} {facts} meaning {kind.meaning} remedy {kind.remedy}"


def test_all_errors_are_listed_and_an_unknown_one_gets_a_hint() -> None:
    assert [line.split()[0] for line in invoke("errors").stdout.splitlines()] == list(KINDS)
    unknown = invoke("errors", "tender_not_acepted")
    assert unknown.exit_code == 2 and "tender_not_accepted" in unknown.stderr


def test_an_adapter_is_created_without_an_application(tmp_path: Path) -> None:
    begun = invoke("adapters", "new", "diner", "--package", str(tmp_path))
    assert begun.exit_code == 0 and (tmp_path / "levelup_ov_diner.py").is_file()


def test_a_passing_run_ends_with_0_and_lists_every_rule(service: str) -> None:
    ran = invoke("certify", service, *KEY, "--location", "sandbox.congress", "--submit")
    assert ran.exit_code == 0, ran.output
    assert " ✓ TIME-6    pass " in ran.stdout
    assert "\n3 orders were placed:\n  sandbox.congress: " in ran.stdout
    assert "sandbox.congress: submissions" in ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr


def test_a_violation_is_shown_with_request_answer_and_the_rule(sound: Flask) -> None:
    with serving(Wrong(frozenset(), answer=validated(tip_in_total)).around(sound.wsgi_app)) as address:
        ran = invoke("certify", address, *KEY, "--location", "sandbox.congress")
    assert ran.exit_code == 1
    assert " ✗ MONEY-3   violation " in ran.stdout
    text = ran.stdout.partition("\nMONEY-3 violation\n")[2]
    assert "Tax and tip are not part of it" in text
    assert "✗ total excludes the tip" in text
    assert "sandbox.congress: 1200 with a tip, 1000 without" in text
    assert "> POST /locations/sandbox.congress/order_validations" in text and '"tip": 200' in text
    assert "< 200" in text and '"total": 1200' in text


def test_deviations_fail_only_if_asked_to(sound: Flask, tmp_path: Path) -> None:
    with serving(Wrong(frozenset(), answer=no_code).around(sound.wsgi_app)) as address:
        arguments = ["certify", address, *KEY, "--location", "sandbox.day", "--junit", str(tmp_path / "junit.xml")]
        mild = invoke(*arguments)
        mild_suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
        strict = invoke(*arguments, "--strict")
        strict_suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (mild.exit_code, strict.exit_code) == (0, 1)
    assert " ! ERR-1     deviation " in mild.stdout
    assert mild_suite.get("failures") == "0"
    failures = strict_suite.findall("testcase/failure")
    assert (
        [failure.get("type") for failure in failures]
        == ["deviation"]
        == ["deviation"] * int(strict_suite.get("failures", ""))
    )


def test_the_json_document_has_its_described_members(sound: Flask) -> None:
    with serving(Wrong(frozenset(), answer=dangling).around(sound.wsgi_app)) as address:
        ran = invoke("certify", address, *KEY, "--location", "sandbox.congress", "--json")
    document = json.loads(ran.stdout)
    assert list(document) == [
        "format", "service", "strict", "submitted", "status", "stopped", "locations", "locations_left_out",
        "requests", "seconds", "counts", "rule_counts", "not_judged", "orders", "rules",
    ]  # fmt: skip
    assert (document["format"], document["status"], ran.exit_code) == (1, 1, 1)
    assert document["locations"] == ["sandbox.congress"]
    assert sum(document["rule_counts"].values()) == len(document["rules"])
    assert sum(document["counts"].values()) == sum(len(rule["checks"]) for rule in document["rules"])
    assert {"rule": "PAY-4", "check": None, "reason": UNSEEN["PAY-4"]} in document["not_judged"]
    (broken,) = [rule for rule in document["rules"] if rule["result"] == "violation"]
    assert list(broken) == ["id", "sources", "text", "result", "reason", "checks"]
    assert broken["id"] == "MENU-3" and broken["text"].startswith("Categories have no price.")
    (check,) = [check for check in broken["checks"] if check["failures"]]
    assert list(check) == ["title", "grade", "result", "passes", "failures", "reasons"]
    (failure,) = check["failures"]
    assert list(failure) == ["location", "detail", "request", "answer"]
    assert failure["request"] == "GET /locations/sandbox.congress/menu"
    assert failure["answer"].startswith("200\n")
    assert sum(document["counts"].values()) == sum(len(rule["checks"]) for rule in document["rules"])


def test_junit_has_one_case_for_each_check(service: str, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    ran = invoke("certify", service, *KEY, "--location", "sandbox.notips", "--json", "--junit", str(file))
    suite = ElementTree.parse(file).getroot()
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests", "")) == sum(json.loads(ran.stdout)["counts"].values())
    assert {case.get("classname") for case in cases} >= {"EP-1", "TIME-10", "MONEY-3"}
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped")) > 0
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")


@pytest.mark.rule("ERR-4", "PAY-2")
def test_key_and_card_are_never_printed(sound: Flask, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    with serving(WRONG["an error contains the card"].around(sound.wsgi_app)) as address:
        arguments = ["certify", address, *KEY, "--location", "sandbox.card", "--submit", "--junit", str(file)]
        people, program = invoke(*arguments), invoke(*arguments, "--json")
    assert people.exit_code == program.exit_code == 1
    for text in (people.output, program.output, file.read_text()):
        assert "ERR-4" in text and "[test card]" in text
        assert CARD not in text and DEVELOPMENT_API_KEY not in text
    assert leaks is WRONG["an error contains the card"].answer


def test_credentials_that_a_service_returns_are_not_shown(sound: Flask) -> None:
    broken = Wrong(frozenset(), answer=validated(tip_in_total))
    with serving(broken.around(sound.wsgi_app)) as address:
        shown = invoke("certify", address, *KEY, "--location", "sandbox.account").stdout
    assert '"user_sandbox_' in shown and '": "[credential]"' in shown
    assert shown.count('"user_') == shown.count('"[credential]"')


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://127.0.0.1:9", *KEY], "cannot be reached"),
        (["SERVICE", "--key", "another"], "does not accept this key"),
        (["SERVICE"], "LEVELUP_CERTIFY_KEY"),
        (["nowhere", *KEY], "expected an address"),
        (["SERVICE", *KEY, "--location", "none"], "has no location none"),
        (["SERVICE", *KEY, "--max-requests", "30"], "limit of 30 requests"),
    ],
)
def test_what_could_not_run_ends_with_2(service: str, arguments: list[str], words: str) -> None:
    ran = invoke("certify", *[service if part == "SERVICE" else part for part in arguments])
    assert ran.exit_code == 2, ran.output
    assert words in ran.output


def test_the_key_may_come_from_the_environment(service: str) -> None:
    ran = invoke("certify", service, "--location", "sandbox.notips", LEVELUP_CERTIFY_KEY=DEVELOPMENT_API_KEY)
    assert ran.exit_code == 0, ran.output


def test_color_is_for_terminals_and_no_color_is_honored(service: str) -> None:
    command = [sys.executable, "-m", "levelup_ov", "certify", service, *KEY, "--location", "sandbox.notips"]
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    assert "\x1b[32m" in on_terminal(command, environ)
    assert "\x1b[32m" not in on_terminal(command, {**environ, "NO_COLOR": "1"})


def on_terminal(command: list[str], environ: dict[str, str]) -> str:
    """What a command prints on a terminal."""
    outer, inner = pty.openpty()
    with subprocess.Popen(command, stdout=inner, stderr=subprocess.DEVNULL, env=environ) as process:
        os.close(inner)
        printed = bytearray()
        try:
            while piece := os.read(outer, 65536):
                printed += piece
        except OSError:  # The end of a terminal whose other side is closed.
            pass
        os.close(outer)
    assert process.returncode == 0
    return printed.decode()
