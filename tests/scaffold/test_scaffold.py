"""A new scaffold runs at once, says what to write next, and can be certified once that is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from werkzeug.serving import WSGIRequestHandler, make_server

from levelup_ov.cli.adapters import new
from levelup_ov.registry import BUILT_IN
from levelup_ov.standins.sandbox import create_sandbox

ROOT = Path(__file__).parents[2]
FILLED = Path(__file__).parent / "filled"
TYPES = ROOT / ".mypy_cache" / "scaffold"
"""What mypy knows of ``levelup_ov``, kept: reading it takes most of its time."""
RULE = re.compile(r"TODO \((?:[A-Z]+-\d+)")


def run(command: list[str], directory: Path, path: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    known = {"PYTHONPATH": str(path), "MYPYPATH": str(path), "MYPY_CACHE_DIR": str(TYPES)}
    environment = {**os.environ, **known, **variables}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )


def begin(*arguments: str) -> str:
    done = CliRunner().invoke(new, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def outcomes(directory: Path, test: str, path: Path = ROOT, **variables: str) -> Mapping[str, str]:
    """The suite's tests that failed, and what each said; all others passed, or were skipped for a reason."""
    report = directory / "report.xml"
    run(["pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", test], directory, path, **variables)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    assert len(cases) > 25
    found = {}
    for case in cases:
        for problem in (*case.findall("failure"), *case.findall("error")):
            found[case.get("name", "")] = f"{problem.get('message')} {problem.text}"
    return found


def check_todos(found: Mapping[str, str]) -> None:
    """Nothing fails but what is still to be written, and every message names the rule that asks for it."""
    assert found and {name: said for name, said in found.items() if not RULE.search(said)} == {}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("package") / "diner"
    begin("diner", "--package", str(directory))
    return directory


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a checkout needs for the module form."""
    directory = tmp_path_factory.mktemp("checkout")
    for part in ("levelup_ov", "adapters"):
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
    for settings in ("setup.cfg", "ruff.toml"):
        shutil.copy(ROOT / settings, directory)
    (directory / "tests" / "providers").mkdir(parents=True)
    begin("acme_foods", "--checkout", str(directory))
    return directory


def test_a_package_says_what_to_write_next(package: Path) -> None:
    check_todos(outcomes(package, "tests/test_diner_contract.py"))


def test_a_package_is_clean_and_can_be_installed(package: Path) -> None:
    for tool in (["ruff", "check", "--no-cache"], ["mypy", "."]):
        done = run(tool, package)
        assert done.returncode == 0, done.stdout + done.stderr
    built = run(["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."], package)
    assert built.returncode == 0, built.stderr
    assert [path.name for path in (package / "dist").iterdir()] == ["levelup_ov_diner-0.1.0-py3-none-any.whl"]


def test_a_package_serves_once_it_is_enabled(package: Path) -> None:
    program = (
        "from levelup_ov.registry import Registry\n"
        "print(Registry(('diner',)).adapter_class('diner').__name__, 'diner' in Registry().names)"
    )
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], cwd=package, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": f"{ROOT}:{package}"}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["DinerAdapter", "False"], done.stderr


def test_a_module_says_what_to_write_next(checkout: Path) -> None:
    check_todos(outcomes(checkout, "tests/providers/test_acme_foods_contract.py", checkout))


def test_a_module_is_clean_and_registered(checkout: Path) -> None:
    for tool in (["ruff", "check"], ["mypy", "adapters/acme_foods.py"]):
        done = run(tool, checkout, checkout)
        assert done.returncode == 0, done.stdout + done.stderr
    program = "from levelup_ov.registry import Registry; print(Registry().adapter_class('acme_foods').__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, env={"PYTHONPATH": str(checkout)}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "AcmeFoodsAdapter", done.stderr
    lines = (checkout / "levelup_ov" / "registry.py").read_text().splitlines()
    assert set(lines) - set((ROOT / "levelup_ov" / "registry.py").read_text().splitlines()) == {
        '    "acme_foods": "adapters.acme_foods:AcmeFoodsAdapter",'
    }


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """The sandbox provider on a port."""
    application = create_sandbox(tmp_path / "sandbox.db", key="canary-key")
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(5)
    server.server_close()
    application.extensions["sandbox"].store.close()


@pytest.mark.rule("EP-4", "EP-5", "SUB-2")
def test_a_package_that_is_filled_in_becomes_certified(tmp_path: Path, engine: str) -> None:
    begin("diner", "--package", str(tmp_path / "diner"))
    shutil.copy(FILLED / "levelup_ov_diner.py", tmp_path / "diner")
    shutil.copy(FILLED / "diner_contract.py", tmp_path / "diner" / "tests" / "test_diner_contract.py")

    assert outcomes(tmp_path / "diner", "tests", DINER_URL=engine) == {}
    for tool in (["ruff", "check", "--no-cache"], ["mypy", "."]):
        done = run(tool, tmp_path / "diner")
        assert done.returncode == 0, done.stdout + done.stderr
    below_imports = (FILLED / "levelup_ov_diner.py").read_text().partition("\nfrom levelup_ov")[2].partition(")\n")[2]
    assert len(below_imports.splitlines()) <= 150
    assert len((FILLED / "diner_contract.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("name", ["Acme", "acme-foods", "1st", "class", "", "acme__foods", *BUILT_IN])
def test_a_name_that_cannot_be_used_writes_nothing(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(new, [name, "--package", str(tmp_path / "made")])

    assert done.exit_code == 1 and "Error: " in done.output
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    begin("acme", "--package", str(tmp_path))
    (tmp_path / "levelup_ov_acme.py").write_text("mine")

    done = CliRunner().invoke(new, ["acme", "--package", str(tmp_path)])

    assert done.exit_code == 1 and "would be overwritten" in done.output
    assert (tmp_path / "levelup_ov_acme.py").read_text() == "mine"


def test_without_a_checkout_the_package_form_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(new, ["acme", "--checkout", str(tmp_path)])

    assert done.exit_code == 1 and "--package" in done.output
    assert list(tmp_path.iterdir()) == []
