"""The README is held to the code: the commands that people type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.channel import Channel

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def test_the_make_targets_of_the_readme_exist() -> None:
    named = set(re.findall(r"``?make ([a-z-]+)|^    make ([a-z-]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"levelup-ov ([a-z]+(?: [a-z]+)?)", README))))
def test_the_commands_of_the_readme_exist(command: str, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "levelup_ov", *command.split(), "--help"]
    ran = subprocess.run(arguments, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0 and "Usage" in ran.stdout, ran.stderr


def test_the_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"``([\w./-]+\.(?:rst|md)|docs/)``|@(docs/[\w./]+)", README)
    assert named
    for path in named:
        assert (ROOT / (path[0] or path[1])).exists(), path


def test_the_links_of_the_readme_lead_to_files() -> None:
    targets = re.findall(r"\s<([\w./]+)>`__", README)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).is_file()] == []


def test_the_readme_shows_what_the_service_answers(channel: Channel) -> None:
    client, shown = channel.app.test_client(), re.sub(r"T\d\d:\d\d", "T", re.sub(r"\d{4}-\d\d-\d\d", "", README))

    def post(kind: str, body: str) -> TestResponse:
        headers = {"Authorization": "token dev-key", "Content-Type": "application/json", "Idempotency-Key": "first"}
        data = (ROOT / "docs" / "requests" / body).read_text(encoding="utf-8")
        return client.post(f"/locations/sandbox.congress/{kind}", data=data, headers=headers)

    length = int(re.findall(r"cut -c1-(\d+)", README)[0])
    answers = [post("order_validations", "order_validation.json").text[:length]]
    answers += [post("order_submissions", "order_submission_levelup.json").text for _ in range(2)]
    for answer in answers:
        assert re.sub(r"T\d\d:\d\d", "T", re.sub(r"\d{4}-\d\d-\d\d", "", answer)) + "\n" in shown


def test_the_files_that_contributing_names_exist() -> None:
    page = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    named = re.findall(r"``((?:levelup_ov|docs|tests|bench|scripts)/[a-z_0-9./]+)``", page)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.split()) <= 850
