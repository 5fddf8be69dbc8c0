"""The public API from a user's side: `typed_user` is checked against the installed wheel.

The wheel is the one that `CEP_WHEEL` names (`.ci/run` has built it), else it is built here. `cep`
comes from it, in a virtual environment of its own; what it depends on is lent by the one that runs
the tests.
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import cep
from cep.options import DetectorOptions

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "tests" / "typed_user"
HAS_TO_RUN = bool(os.environ.get("CEP_WHEEL"))


def run(*command: str | Path, cwd: Path = ROOT, path: str | None = None) -> tuple[bool, str]:
    """(whether it went well, what it said)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment if path is None else environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def is_missing(tool: str) -> bool:
    return not HAS_TO_RUN and find_spec(tool) is None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("CEP_WHEEL"):
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT)
    went_well, said = run(*pip)
    if not went_well:
        pytest.skip(f"no wheel without pip and what it downloads to build one: {said[-300:]}")
    return next(folder.glob("cep-*.whl"))


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with a `venv` beside it in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("user")
    venv = folder / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", venv)[0]
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install")
    assert run(*pip, "-q", "--no-deps", "--no-index", wheel) == (True, "")
    packages = sysconfig.get_path("purelib", vars={"base": str(venv)})
    (Path(packages) / "lent.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    found = run(venv / "bin" / "python", "-c", "import cep; print(cep.__file__)", cwd=folder)
    assert found == (True, f"{packages}/cep/__init__.py\n")
    return folder / "project"


@pytest.mark.skipif(is_missing("mypy"), reason="mypy is not installed (it comes with cep[dev])")
def test_mypy_has_nothing_to_say_about_a_users_project(project: Path) -> None:
    python = project.parent / "venv" / "bin" / "python"
    mypy = (sys.executable, "-m", "mypy", "--python-executable", python, ".")
    went_well, said = run(*mypy, cwd=project)
    assert went_well, said
    assert said.startswith("Success: no issues found in 6 source files"), said


@pytest.mark.skipif(is_missing("pyright"), reason="pyright is not installed (it is in cep[dev])")
def test_pyright_has_nothing_to_say_about_a_users_project(project: Path) -> None:
    venv = project.parent / "venv" / "bin"
    pyright = (sys.executable, "-m", "pyright", "--pythonpath", venv / "python", ".")
    went_well, said = run(*pyright, cwd=project, path=f"{venv}:{os.environ['PATH']}")
    assert went_well, said
    assert "0 errors, 0 warnings" in said


def test_mypy_notices_what_is_wrong_in_a_users_project(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    mistakes = (
        "cep.Detector.restore('state', '', worker=2)",
        "cep.compile('').run([]).matches[0].start.hour()",
        "cep.backtest(3, [], 'fraud')",
        "cep.Job([], '', cep.FileSink('out'), held_max='many')",
    )
    wrong = tmp_path / "wrong.py"
    wrong.write_text("\n".join(["import cep", *mistakes, ""]))
    python = project.parent / "venv" / "bin" / "python"
    mypy = (sys.executable, "-m", "mypy", "--config-file", project / "pyproject.toml")
    said = run(*mypy, "--python-executable", python, wrong, cwd=project)[1]
    assert [f"wrong.py:{line}: error" in said for line in (2, 3, 4, 5)] == [True] * 4, said


@pytest.mark.parametrize("name", ["rules", "detecting", "waiting", "judging", "jobs", "observing"])
def test_a_users_project_does_what_its_types_say(name: str, tmp_path: Path) -> None:
    main = import_module(f"tests.typed_user.user_{name}").main
    main(*[tmp_path / "state"][: len(inspect.signature(main).parameters)])


def test_options_that_are_handed_on_are_those_of_the_detector() -> None:
    parameters = inspect.signature(cep.Detector.__init__).parameters.values()
    named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert DetectorOptions.__optional_keys__ == named
