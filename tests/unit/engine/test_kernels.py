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


def test_the_first_event_and_the_sum_of_a_chain_are_told_without_copying_it() -> None:
    held = nodes((-1, 0, 10), (0, 1, 11), (0, 1, 12), (2, 2, 15))
    first, total = np.zeros(3, np.int64), np.zeros(3, np.int64)
    chains.chain_firsts(held, np.array([3, 0, 1], np.int64), first, total)
    assert first.tolist() == [10, 10, 10]
    assert total.tolist() == [37, 10, 21]


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
    assert layout.EVENT_FIELDS == layout.EVENT_CONSTANTS + 1
    assert layout.COUNTERS == layout.KEY_IN_HAND + 1
    assert layout.END_FIELDS == layout.END_REASON + 1
    assert layout.RUN_FIELDS == layout.RUN_NEXT + 1
    assert layout.KEY_FIELDS == layout.KEY_TIMER + 1


def decorated(path: Path) -> dict[str, str]:
    """Each function of a file, and what it is decorated with."""
    functions = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    return {f.name: ast.unparse(f.decorator_list[0]) for f in functions if f.decorator_list}


def called_kernels(path: Path) -> set[tuple[str, str]]:
    """(module, function) of what a file calls of the kernels, by the names that it imports."""
    tree = ast.parse(path.read_text())
    modules = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "cep.engine.kernels"
        for alias in node.names
    }
    return {
        (modules[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
    }


def test_python_calls_nothing_that_has_no_way_in_for_python() -> None:
    kinds = {path.stem: decorated(path) for path in KERNELS.glob("*.py")}
    python = [path for path in KERNELS.parent.rglob("*.py") if path.parent != KERNELS]
    called = {found for path in python for found in called_kernels(path)}
    wrong = [(m, f) for m, f in called if kinds.get(m, {}).get(f, "kernel") != "kernel"]
    assert wrong == []
    assert ("runs", "process") in called


@pytest.mark.parametrize("value", [layout.ZERO, layout.NEVER, layout.NO_EVENT, layout.CLOSING])
def test_constants_that_are_arguments_are_64_bit_words(value: object) -> None:
    assert isinstance(value, np.int64)
