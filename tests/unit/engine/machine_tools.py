"""One program of the kernel's machine, run by itself over events that a run has captured."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from cep.engine.algebra.expression import DataType, Expression
from cep.engine.automaton.program import Instruction, Machine, compile_program, slots_needed
from cep.engine.automaton.tables import encode_programs
from cep.engine.kernels import layout
from cep.engine.kernels.capture import capture
from cep.engine.kernels.codes import Fault
from cep.engine.kernels.jit import kernel
from cep.engine.kernels.machine import holds
from cep.engine.state.interning import TextCodes
from tests.reference.expressions import Event, Value, evaluate

VARIABLES = ("a", "b")


@kernel
def capture_and_run(
    programs: layout.Programs, events: layout.Events, taken: layout.Int64s, arena: layout.Arena
) -> bool:
    """Event i is captured by variable taken[i]; the program runs on the event behind them."""
    node = layout.NO_EVENT
    for event in range(taken.size):
        node = capture(arena, programs, events, event, node, taken[event])
    return holds(arena, programs, events, taken.size, node, layout.ZERO)


def program_text(expression: Expression) -> list[str]:
    """The instructions of a bound expression, one per line."""
    return [instruction_text(i) for i in compile_program(expression, Machine(), TextCodes().code)]


def instruction_text(instruction: Instruction) -> str:
    i = instruction
    return f"{i.op.name.lower()} {i.to} {i.a} {i.b} {i.c}"


def run_program(
    expression: Expression, event: Event, taken: Sequence[tuple[str, Event]] = ()
) -> tuple[Value, Fault]:
    """The value that the machine computes for a bound expression, and its fault.

    Inputs, which are columns in the engine, are computed by the reference evaluator.
    """
    texts, machine = TextCodes(), Machine()
    program = compile_program(expression, machine, texts.code)
    programs = encode_programs([program], machine, VARIABLES)
    arena = _arena(len(taken), len(machine.registers), slots_needed(program) + 2)
    events = _events(machine, texts, [*(e for _, e in taken), event])
    variables = np.array([VARIABLES.index(variable) for variable, _ in taken], np.int64)
    capture_and_run(programs, events, variables, arena)
    word, null, fault = (int(w) for w in arena.slots[0])
    faults = [int(code) for _, _, code in arena.faults[: arena.counters[layout.FAULTS]]]
    assert faults == ([fault] if fault else [])
    return (None if null else value_of(word, expression.type, texts)), Fault(fault)


def expected_value(
    expression: Expression, event: Event, taken: Sequence[tuple[str, Event]] = ()
) -> Value:
    """What the reference evaluator computes."""
    captured: Mapping[str, list[Event]] = {
        name: [e for variable, e in taken if variable == name] for name in VARIABLES
    }
    return evaluate(expression, event, captured, [e for _, e in taken])


def word_of(value: Value, kind: DataType | None, texts: TextCodes) -> int:
    if isinstance(value, str):
        return texts.code(value)
    if kind is DataType.FLOAT:
        (word,) = struct.unpack("<q", struct.pack("<d", value))
        return int(word)
    return int(value or 0)


def value_of(word: int, kind: DataType | None, texts: TextCodes) -> Value:
    if kind is DataType.TEXT:
        return texts.text(word)
    if kind is DataType.FLOAT:
        (number,) = struct.unpack("<d", struct.pack("<q", word))
        return float(number)
    return bool(word) if kind is DataType.BOOLEAN else word


def _events(machine: Machine, texts: TextCodes, rows: Sequence[Event]) -> layout.Events:
    table = np.zeros((len(rows), layout.EVENT_FIELDS), np.int64)
    inputs = np.zeros((len(rows), len(machine.inputs)), np.int64)
    for at, row in enumerate(rows):
        table[at, layout.EVENT_SEQUENCE] = at
        for number, expression in enumerate(machine.inputs):
            value = evaluate(expression, row)
            if value is not None:
                inputs[at, number] = word_of(value, expression.type, texts)
                table[at, layout.EVENT_VALID] |= 1 << number
    return layout.Events(table, inputs, inputs.view(np.float64), texts.rank())


def _arena(nodes: int, registers: int, slots: int) -> layout.Arena:
    held = np.zeros((nodes, registers), np.int64)
    values = np.zeros((slots, 3), np.int64)
    counters = np.zeros(layout.COUNTERS, np.int64)
    counters[layout.START_CHILD] = -1
    nothing = np.zeros((0, 2), np.int64)
    return layout.Arena(
        counters=counters,
        runs=np.zeros((1, layout.RUN_FIELDS), np.int64),
        nodes=np.zeros((nodes, layout.NODE_STATES + 1), np.int64),
        registers=held,
        registers_f=held.view(np.float64),
        waiting=nothing,
        found=nothing,
        timed_out=nothing,
        ended=nothing,
        faults=np.zeros((8, 3), np.int64),
        done=nothing,
        heap=nothing,
        timers=nothing,
        slots=values,
        slots_f=values.view(np.float64),
    )
