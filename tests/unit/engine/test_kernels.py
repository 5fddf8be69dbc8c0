"""The small kernels by themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from cep.engine.kernels import chains, interning, layout

KERNELS = Path(__file__).resolve().parents[3] / "engine" / "kernels"


def nodes(*rows: tuple[int, int, int]) -> layout.Int64s:
    """(parent, variable, sequence) of each node."""
    table = np.zeros((len(rows), layout.NODE_STATES + 1), np.int64)
    table[:, :3] = np.array(rows, np.int64).reshape(-1, 3)
    return table


def test_chains_are_read_from_their_last_node_to_their_first() -> None:
    held = nodes((-1, 0, 10), (0, 1, 11), (0, 1, 12), (2, 2, 15))
    last = np.array([3, 0, 1], np.int64)
    offsets = np.zeros(4, np.int64)
    chains.chain_lengths(held, last, offsets[1:])
    assert offsets.tolist() == [0, 3, 1, 2]
    offsets = np.cumsum(offsets)
    variable, sequence = np.zeros(6, np.int64), np.zeros(6, np.int64)
    chains.write_chains(held, last, offsets, variable, sequence)
    assert variable.tolist() == [0, 1, 2, 0, 0, 1]
    assert sequence.tolist() == [10, 12, 15, 10, 10, 11]


def test_encoding_stops_before_the_table_is_more_than_half_full() -> None:
    slots, known = np.full(4, -1, np.int64), np.zeros(4, np.int64)
    values, codes = np.array([5, 5, -6, 7, 5], np.int64), np.zeros(5, np.int64)
    assert interning.encode(values, 0, slots, known, 0, codes) == (3, 2)
    assert codes.tolist() == [0, 0, 1, 0, 0]
    assert known[:2].tolist() == [5, -6]


def test_rows_of_the_bundles_have_as_many_columns_as_their_names_say() -> None:
    assert layout.EDGE_FIELDS == layout.EDGE_FINALS_END + 1
    assert layout.STATE_FIELDS == layout.STATE_ACROSS + 1
    assert layout.SETTINGS == layout.DROPS_OLDEST + 1
    assert layout.EVENT_FIELDS == layout.EVENT_VALID + 1
    assert layout.COUNTERS == layout.BLOCKED + 1
    assert layout.RUN_FIELDS == layout.RUN_NEXT + 1
    assert layout.KEY_FIELDS == layout.KEY_TIMER + 1


def decorated(path: Path) -> dict[str, str]:
    """Each function of a file, and what it is decorated with."""
    functions = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    return {f.name: ast.unparse(f.decorator_list[0]) for f in functions if f.decorator_list}


def test_python_calls_nothing_that_has_no_way_in_for_python() -> None:
    kinds = {n: k for path in KERNELS.glob("*.py") for n, k in decorated(path).items()}
    assert {name for name, kind in kinds.items() if kind == "kernel"} == {
        "chain_lengths",
        "encode",
        "expire",
        "mark_chains",
        "mark_reachable",
        "process",
        "renumber_holders",
        "save_lists",
        "save_nodes",
        "schedule_all",
        "wake",
        "write_chains",
    }
    engine = [p for p in KERNELS.parent.rglob("*.py") if p.parent != KERNELS]
    modules = {path.stem for path in KERNELS.glob("*.py")} - {"__init__", "codes", "jit", "layout"}
    called = {
        node.attr
        for path in engine
        if "cep.engine.kernels" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules | {"kernels"}
    }
    assert {name for name in called if kinds.get(name, "kernel") != "kernel"} == set()
    assert "process" in called


@pytest.mark.parametrize("value", [layout.ZERO, layout.NEVER, layout.NO_EVENT, layout.CLOSING])
def test_constants_that_are_arguments_are_64_bit_words(value: object) -> None:
    assert isinstance(value, np.int64)
