"""What is shipped, and what it is built and run with."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("adapters", "levelup_ov")
PINNED = re.compile(r"[A-Za-z0-9_.-]+(\[[a-z,]+\])?==[0-9][A-Za-z0-9.]*( +# .+)?")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def existing_packages() -> list[str]:
    found = [path.parent for top in PACKAGES for path in (ROOT / top).rglob("__init__.py")]
    return sorted(".".join(path.relative_to(ROOT).parts) for path in found)


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_the_list_of_packages_is_written_out_and_complete() -> None:
    assert setup_cfg()["options"]["packages"].split() == existing_packages()


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what is tracked."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in tracked_files():
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
         "--quiet", "--wheel-dir", target, source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (file,) = target.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> list[str]:
    """The names of the files in the wheel."""
    return zipfile.ZipFile(wheel_file).namelist()


def test_the_wheel_holds_our_two_packages_and_nothing_else(wheel: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    metadata = {top for top in tops if re.fullmatch(r"levelup_ov-[0-9.a-z]+\.dist-info", top)}
    assert len(metadata) == 1
    assert tops - metadata == set(PACKAGES)


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel: list[str]) -> None:
    expected = {file.relative_to(ROOT).as_posix() for file in tracked_files()}
    assert {name for name in expected if name.startswith(tuple(f"{top}/" for top in PACKAGES))} == {
        name for name in wheel if ".dist-info/" not in name
    }


def test_the_installed_wheel_has_command_registry_and_kit(wheel_file: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    bin = environment / "bin"

    def install(what: str) -> None:
        # With the pip that runs the tests: an empty environment has none.
        run(sys.executable, "-m", "pip", "--python", bin / "python", "install", "--quiet",
            "--disable-pip-version-check", "--no-compile", what)  # fmt: skip

    def run(*command: str | Path) -> str:
        # Only what is used is compiled, and once.
        compiles = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        ran = subprocess.run(command, cwd=tmp_path, env=compiles, capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    install(str(wheel_file))
    commands = re.findall(r"^  ([a-z][a-z-]*) ", run(bin / "levelup-ov", "--help"), re.MULTILINE)
    assert commands == (
        "adapters certify checkout config errors events ledger levelup menu orders rules run sandbox secret-key "
        "submissions".split()
    )
    assert "Pay with the other tender." in run(bin / "levelup-ov", "errors", "tender_not_accepted")
    assert "diner/levelup_ov_diner.py\n" in run(bin / "levelup-ov", "adapters", "new", "diner", "--package", "diner")
    assert run(bin / "python", "-c", "from levelup_ov.certify.contract import rules; print(rules()['TIME-6'].id)")
    registry = "from levelup_ov.registry import Registry; print(Registry(()).adapter_class('sandbox').__name__)"
    assert run(bin / "python", "-c", registry) == "SandboxAdapter\n"
    ours = "from importlib.metadata import files; print(*{file.parts[0] for file in files('levelup_ov')})"
    tops = {top for top in run(bin / "python", "-c", ours).split() if not top.endswith(".dist-info")}
    assert tops == {*PACKAGES, ".."}  # The command is in bin, beside the packages.

    install(f"{wheel_file}[testing]")
    assert run(bin / "python", "-c", "from levelup_ov.testing import AdapterContract; print('kit')") == "kit\n"


REQUIREMENTS = [file for file in tracked_files() if file.match("requirements*.txt")]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_requirements_are_pinned_and_name_no_index(path: Path) -> None:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    options = [line for line in lines if line.startswith("-")]
    assert all(re.fullmatch(r"-r [a-z./-]+", option) for option in options)
    assert [line for line in lines if line and line[0] not in "#-" and not PINNED.fullmatch(line)] == []


def test_requirements_pin_what_setup_cfg_allows() -> None:
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    needed = re.findall(r"^([A-Za-z0-9_.-]+)", setup_cfg()["options"]["install_requires"].strip(), re.MULTILINE)
    assert needed and set(needed) <= set(pins)


def test_every_library_that_is_imported_is_declared() -> None:
    options, extras = setup_cfg()["options"], setup_cfg()["options.extras_require"]
    text = "\n".join([options["install_requires"], *extras.values()])
    declared = {name.lower().replace("-", "_") for name in re.findall(r"^([A-Za-z0-9_.-]+)", text, re.MULTILINE)}
    # Its distributions share one name.
    declared = {"opentelemetry" if name.startswith("opentelemetry") else name for name in declared}
    imported = set()
    for path in (path for top in PACKAGES for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    assert imported - sys.stdlib_module_names - set(PACKAGES) == declared


@pytest.mark.parametrize("library", ["gunicorn", "psycopg", "urllib3"])
def test_libraries_with_overridden_private_parts_are_bounded(library: str) -> None:
    needed = setup_cfg()["options"]["install_requires"]
    assert re.search(rf"^{library}(\[[a-z]+\])?>=[0-9.]+,<\d+\.\d+$", needed, re.MULTILINE), needed


def test_no_tracked_file_names_a_package_registry() -> None:
    # Written with a bar in each, or this file would be the one that names them.
    hosts = "py|pi.org python|hosted.org npm|js.org npm|js.com deb|.debian.org".replace("|", "").split()
    options = "--index|-url --extra-index|-url --trusted|-host --find|-links PIP_INDEX|_URL".replace("|", "").split()
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in tracked_files()
        for word in hosts + options
        if word.encode() in file.read_bytes()
    ]
    assert found == []
