"""House rules as tests: what may import what, what must not be called, what a file may look like.

`violations(path, text)` checks one file; the tests at the end plant one violation of every rule. A
line that has to break a rule says why behind `# tidy:`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", "benchmarks", "cep", "docs", "dsl", "engine", "examples", "notebooks", "tests")
SUFFIXES = (".cep", ".lark", ".md", ".py", ".toml", ".yml", "")  # "" is .ci/run
LINKS = ("cep/dsl", "cep/engine")  # the same files a second time

LINES_MAX = 600
JIT = "engine/kernels/jit.py"
IO = "engine/io/"
PRODUCT = ("cep", "dsl", "engine")

ALGEBRA = "cep.engine.algebra"  # what rules say: all that a language may know of the engine

Violation = tuple[int, str]


# -- what may import what --------------------------------------------------------------------------


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, inside functions too; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
            if node.level:
                yield node.lineno, "."


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def may_import(area: str, module: str) -> bool:
    if area == "engine":
        return not inside(module, "cep") or inside(module, "cep.engine")
    if area == "dsl":
        allowed = ("cep.dsl", ALGEBRA)
        return not inside(module, "cep") or any(inside(module, name) for name in allowed)
    if area == "engine/algebra":
        return not inside(module, "cep") or inside(module, ALGEBRA)
    if area == "notebooks":
        return not any(inside(module, f"cep.{below}") for below in ("dsl", "engine"))
    return True


def check_imports(path: str, tree: ast.AST) -> Iterator[Violation]:
    area = "engine/algebra" if path.startswith("engine/algebra/") else path.split("/")[0]
    for line, module in imports_of(tree):
        if module == ".":
            yield line, "import by the full name, not by a relative one"
        elif not may_import(area, module):
            yield line, f"{area}/ must not import {module}"
        elif inside(module, "numba") and area.split("/")[0] in PRODUCT and path != JIT:
            yield line, f"only {JIT} names numba"
        elif area.split("/")[0] in PRODUCT and module.split(".")[0] in (
            "marshal",
            "pickle",
            "random",
            "shelve",
        ):
            yield line, f"{module.split('.')[0]} must not be used"


# -- what must not be called -----------------------------------------------------------------------

CLOCKS = (
    "time.time",
    "time.time_ns",
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
)
NEVER = ("eval", "exec", "__import__")


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text, whatever stands before the first name that can be told."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def check_calls(path: str, tree: ast.AST) -> Iterator[Violation]:
    area = path.split("/")[0]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or area not in PRODUCT:
            continue
        name = dotted(node.func)
        if name in NEVER or (name == "compile" and area != "cep"):
            yield node.lineno, f"{name} must not be called"
        elif ".random." in name and not (name.endswith("random.default_rng") and node.args):
            yield node.lineno, f"{name} draws without a seed"
        elif path.startswith(IO):
            continue
        elif ".".join(name.split(".")[-2:]) in CLOCKS:
            yield node.lineno, f"only {IO} reads a clock: {name}"
        elif name == "open":
            yield node.lineno, f"only {IO} opens files"


# -- what a file may look like ---------------------------------------------------------------------

LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX)\b")  # tidy: the rule itself
MACHINE = re.compile(r"(?<![\w.~/:$}-])/(?:home|mnt|opt|root|tmp|Users|work)/")


def check_text(path: str, text: str) -> Iterator[Violation]:
    lines = text.splitlines()
    if path.endswith(".py") and len(lines) > LINES_MAX:
        yield len(lines), f"more than {LINES_MAX} lines"
    for number, line in enumerate(lines, 1):
        if LEFTOVERS.search(line):
            yield number, "something left undone"
        if MACHINE.search(line):
            yield number, "a path of one machine"


def violations(path: str, text: str) -> list[str]:
    """What is wrong with a file, as `path:line: message`. `path` is relative to the project."""
    found = list(check_text(path, text))
    if path.endswith(".py"):
        tree = ast.parse(text)
        checks: tuple[Callable[[str, ast.AST], Iterator[Violation]], ...]
        checks = (check_imports, check_calls)
        found += [violation for check in checks for violation in check(path, tree)]
    lines = text.splitlines()
    return [f"{path}:{n}: {what}" for n, what in sorted(found) if "# tidy:" not in lines[n - 1]]


def files() -> Iterator[str]:
    yield from (p.name for p in sorted(ROOT.iterdir()) if p.is_file() and p.suffix in SUFFIXES[1:6])
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            linked = any(name.startswith(link) for link in LINKS)
            if path.is_file() and not linked and path.suffix in SUFFIXES:
                yield name


# -- the tests -------------------------------------------------------------------------------------


def test_the_house_is_tidy() -> None:
    names = [name for name in files() if not name.endswith("LICENSE")]
    assert len(names) > 20
    assert [v for name in names for v in violations(name, (ROOT / name).read_text())] == []


def test_the_linked_folders_say_so_when_they_are_imported_under_a_second_name() -> None:
    for folder in ("dsl", "engine"):
        text = (ROOT / folder / "__init__.py").read_text()
        assert f'assert __name__ == "cep.{folder}"' in text


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("engine/bad.py", "import cep.dsl", "engine/ must not import cep.dsl"),
        ("engine/bad.py", "from cep import compile", "engine/ must not import cep.compile"),
        ("engine/bad.py", "def f():\n    import cep", "engine/ must not import cep"),
        ("engine/bad.py", "from . import pattern", "import by the full name"),
        (
            "engine/algebra/bad.py",
            "import cep.engine.columns.data",
            "engine/algebra/ must not import cep.engine.columns.data",
        ),
        ("dsl/bad.py", "from cep import engine", "dsl/ must not import cep.engine"),
        ("dsl/bad.py", "import cep.engine.kernels.jit", "dsl/ must not import cep.engine.kernels"),
        ("notebooks/bad.py", "from cep.engine import nfa", "notebooks/ must not import cep.engine"),
        (
            "engine/automaton/nfa.py",
            "from numba import njit",
            "only engine/kernels/jit.py names numba",
        ),
        ("cep/bad.py", "import numba", "only engine/kernels/jit.py names numba"),
        ("cep/bad.py", "import pickle", "pickle must not be used"),
        ("engine/io/bad.py", "from random import choice", "random must not be used"),
        ("dsl/bad.py", "eval('1')", "eval must not be called"),
        ("engine/io/bad.py", "exec('1')", "exec must not be called"),
        ("dsl/bad.py", "compile('1', '', 'eval')", "compile must not be called"),
        ("cep/bad.py", "numpy.random.rand(3)", "numpy.random.rand draws without a seed"),
        ("cep/bad.py", "np.random.default_rng()", "np.random.default_rng draws without a seed"),
        ("engine/time.py", "import time\ntime.time()", "only engine/io/ reads a clock: time.time"),
        ("cep/bad.py", "datetime.datetime.now()", "only engine/io/ reads a clock"),
        ("cep/bad.py", "open('x')", "only engine/io/ opens files"),
        ("tests/bad.py", "\n" * 601, "more than 600 lines"),
        ("docs/bad.md", "TODO: write this", "something left undone"),  # tidy: planted
        ("README.md", "cd /home/me/cep", "a path of one machine"),  # tidy: planted
    ],
)
def test_a_planted_violation_is_found(path: str, text: str, complaint: str) -> None:
    line = len(text.splitlines())
    (found,) = violations(path, text)
    assert found.startswith(f"{path}:{line}: {complaint}")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "dsl/good.py",
            "from cep.engine.algebra.pattern import Pattern\nimport cep.engine.algebra.errors",
        ),
        (
            "engine/good.py",
            "import cep.engine.automaton.nfa\nimport numpy\nimport re\nre.compile('x')",
        ),
        ("engine/kernels/jit.py", "from numba import njit"),
        ("engine/io/good.py", "import time\nopen('x')\ntime.time()"),
        ("cep/good.py", "from cep.dsl import parse\nnp.random.default_rng(7)\ntime.perf_counter()"),
        ("notebooks/good.py", "import cep\nfrom cep import compile"),
        ("benchmarks/good.py", "import time\ntime.time()\nopen('x')"),
        ("cep/good.py", "open('x')  # tidy: the reason"),
        ("docs/good.md", "see ../shared/data and https://example.org/home/page and $HOME/work/x"),
    ],
)
def test_what_is_allowed_is_not_complained_about(path: str, text: str) -> None:
    assert violations(path, text) == []
