"""The command ``levelup-ov`` without any configuration, and what it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from levelup_ov.__main__ import main
from levelup_ov.certify.contract import rules
from tests.servers.process import http

ROOT = Path(__file__).resolve().parents[1]


def paths(group: click.Group, *before: str) -> Iterator[list[str]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        yield [*before, name]
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from paths(command, *before, name)


EVERY_COMMAND = [[], *paths(main)]


def start(*arguments: str, directory: Path, **environ: str) -> subprocess.Popen[str]:
    """The command in a process of its own, in an empty environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "levelup_ov", *arguments], cwd=directory, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ},
    )  # fmt: skip


def line_of(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return line
    raise AssertionError("".join(said))


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_help_needs_no_configuration(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVELUP_OV_ENV", raising=False)
    shown = CliRunner().invoke(main, [*command, "--help"], prog_name="levelup-ov")
    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: {' '.join(['levelup-ov', *command])} ")


def flask(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", "--app", ROOT / "wsgi", *arguments]
    return subprocess.run(command, cwd=directory, text=True, capture_output=True, env={}, timeout=60)


@pytest.mark.parametrize("arguments", [["--help"], ["submissions", "list"], ["run"]], ids=" ".join)
def test_flask_prints_the_mistakes_and_no_traceback(arguments: list[str]) -> None:
    """``flask --app wsgi`` loads the service before it knows the commands that need it."""
    found = flask(*arguments)
    assert found.stderr.startswith("Error: the configuration has 4 mistakes:\n  - environment, LEVELUP_OV_ACCOUNTS: ")
    assert "Traceback" not in found.stdout + found.stderr
    assert found.stdout.startswith("Usage: ") == (found.returncode == 0) == (arguments == ["--help"])


def test_flask_knows_what_needs_no_configuration(tmp_path: Path) -> None:
    found = flask("adapters", "new", "acme", "--package", "acme", directory=tmp_path)
    assert found.returncode == 0
    assert found.stderr.startswith("now run: pytest acme/tests/")

    helped = flask("--help").stdout
    for command in EVERY_COMMAND[1:]:
        shown = " ".join(CliRunner().invoke(main, [*command, "--help"]).output.split())
        assert ("Needs no configuration." in shown) <= (command[0] in helped.split())


def unconfigured(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.chdir(directory)
    for name in [name for name in os.environ if name.startswith("LEVELUP_OV_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("command", ["cases", "reconcile"])
def test_a_scheduler_sees_that_checkout_is_not_configured(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """1 would mean that there are cases, or that something is unfinished."""
    unconfigured(monkeypatch, tmp_path)
    found = CliRunner().invoke(main, ["checkout", command], env={"LEVELUP_OV_ENV": "development"})
    assert (found.exit_code, found.stdout) == (78, "")
    assert found.stderr == "Error: web checkout is not configured: LEVELUP_OV_CHECKOUT_URL is not set\n"


@pytest.mark.parametrize(
    ("source", "status", "begins"),
    [
        ("nosuch", 2, "Error: there is no file nosuch, and it is not the id of a location"),
        ("menu.jsno", 78, "There is no file menu.jsno. It may be a location of the configured service, but:\nError: "),
        ("nosuch.json", 2, "Error: "),
    ],
)
def test_a_mistyped_menu_is_named_first(
    source: str, status: int, begins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unconfigured(monkeypatch, tmp_path)
    found = CliRunner().invoke(main, ["menu", "check", source])
    assert found.exit_code == status
    assert found.stderr.startswith(begins)


def test_short_helps_fit_a_terminal() -> None:
    for command in EVERY_COMMAND:
        shown = CliRunner().invoke(main, [*command, "--help"], terminal_width=80)
        assert not re.findall(r"^ .*\.\.\.$", shown.output, re.MULTILINE)


def test_the_list_says_what_each_command_says_of_itself() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    listed = dict(re.findall(r"^  ([a-z-]+) +(.+)$", shown.partition("Commands:")[2], re.MULTILINE))
    context = click.Context(main)
    own = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert listed == {name: command.get_short_help_str(200) for name, command in own.items() if command}


def test_the_list_loads_no_command() -> None:
    code = (
        "import sys; from levelup_ov.__main__ import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    modules = ran.stdout.splitlines()[-1].split()
    assert [name for name in modules if name.startswith(("levelup_ov.", "sqlalchemy"))] == [
        "levelup_ov.cli", "levelup_ov.__main__",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("submisions", "submissions"),
        ("rule", "rules"),
        ("submissions lst", "list"),
        ("submissions list --staet x", "--state"),
        ("rules TIME-44", "TIME-4"),
        ("errors orphan_optoin", "orphan_option"),
    ],
)
def test_a_misspelled_name_gets_a_suggestion(misspelled: str, meant: str) -> None:
    shown = CliRunner().invoke(main, misspelled.split())
    assert shown.exit_code == 2
    assert re.search(rf"[Dd]id you mean (one of: )?'?{meant}\b", shown.output)


def test_rules_prints_each_rule_of_the_contract() -> None:
    listed = CliRunner().invoke(main, ["rules"]).output.splitlines()
    assert [line.split()[0] for line in listed] == list(rules())
    for rule in rules().values():
        shown = " ".join(CliRunner().invoke(main, ["rules", rule.id.lower()]).output.split())
        assert shown == f"{rule.id} sources {', '.join(rule.sources)} text {' '.join(rule.text.split())}"


def test_what_needs_a_configuration_lists_its_mistakes(tmp_path: Path) -> None:
    with start("submissions", "list", directory=tmp_path) as process:
        assert line_of(process, "LEVELUP_OV_API_KEYS").startswith("  - environment, LEVELUP_OV_API_KEYS: is not set")
    assert process.returncode == 78


def test_the_sandbox_needs_no_configuration(tmp_path: Path) -> None:
    with start("sandbox", "--port", "0", directory=tmp_path) as process:
        try:
            address = line_of(process, "sandbox at").split()[-1]
            assert http("GET", f"{address}/v1/locations").status_code == 401
            assert (tmp_path / "instance").is_dir()
        finally:
            process.terminate()


def test_run_becomes_gunicorn_and_passes_its_options_on(tmp_path: Path) -> None:
    options, variables = ("run", "--bind", "127.0.0.1:0"), {"LEVELUP_OV_ENV": "development", "WEB_CONCURRENCY": "1"}
    with start(*options, directory=tmp_path, **variables) as process:
        try:
            address = line_of(process, "Listening at").partition("Listening at: ")[2].partition(" ")[0]
            assert http("GET", f"{address}/health").status_code == 200
        finally:
            process.terminate()  # the process itself is gunicorn: it stops without a rest
    assert process.returncode == 0
