"""What runs have told -> matches, timed-out runs and rows, with the events that they captured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cep.engine.algebra.plan import Node, NodeKind
from cep.engine.batch import EventBatch, Int64s
from cep.engine.operators.fed import Fed
from cep.engine.operators.match import MatchOperator
from cep.engine.results import EndedBatch, MatchBatch, Output
from cep.engine.runtime.derived import match_rows
from cep.engine.runtime.shard import Told
from cep.engine.state.chains import Chains
from cep.engine.state.event_store import EventStore


class Reporter:
    """Reports what the operators of one task find; `nodes` are theirs.

    `hidden`: fields that are in no match's events. `read`: names of nodes whose rows others read.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        operators: Sequence[MatchOperator],
        store: EventStore,
        hidden: Collection[str],
        read: Collection[str],
    ) -> None:
        self._nodes = nodes
        self._operators = operators
        self._store = store
        self._hidden = hidden
        self._read = read

    def report(self, told: Sequence[Told], fed: Fed | None = None) -> Output:
        """Matches and all else, operator by operator in their order; events must be stored."""
        output = Output()
        if not told:
            return output
        events = self._reported(np.concatenate([s for _, one in told for s in one.sequences]))
        for number, one in told:
            node, operator = self._nodes[number], self._operators[number]
            only_shown = bool(self._hidden) and node.kind is not NodeKind.RUNNING
            if len(one.matches.at_us):
                batch = events.batch(operator, one.matches, only_shown)
                self._add_matches(output, node, batch, one.matches, fed)
            if len(one.timeouts.at_us):
                output.timeouts.append(events.batch(operator, one.timeouts, only_shown))
            if len(one.ended.reason):
                dead = one.ended
                runs = events.batch(operator, dead.chains, only_shown)
                output.ended.append(
                    EndedBatch(runs, dead.state, dead.missing, dead.reason, dead.chains.cause)
                )
        return output

    def _add_matches(
        self, output: Output, node: Node, batch: MatchBatch, chains: Chains, fed: Fed | None
    ) -> None:
        if node.kind is NodeKind.PATTERN:
            output.matches.append(batch)
        if node.kind is not NodeKind.PATTERN or node.name in self._read:
            rows, errors = match_rows(node, batch, chains.cause, fed)
            output.rows.append(rows)
            output.errors += errors if node.kind is not NodeKind.PATTERN else []

    def _reported(self, sequences: Int64s) -> _Reported:
        sequences = np.sort(sequences)  # np.unique would hash: slower
        sequences = sequences[np.diff(sequences, prepend=-1) != 0]
        events = self._store.take(sequences)
        hidden = [name for name in events.table.schema.names if name in self._hidden]
        return _Reported(sequences, events, events.table.drop_columns(hidden))


@dataclass(frozen=True, slots=True)
class _Reported:
    """The events of all matches of one step, by sequence (sorted): taken once, shared by all.

    `shown`: their fields without those that are hidden.
    """

    sequences: Int64s
    events: EventBatch
    shown: pa.Table

    def batch(self, operator: MatchOperator, chains: Chains, only_shown: bool) -> MatchBatch:
        return MatchBatch(
            pattern=operator.pattern,
            variables=operator.variables,
            offsets=chains.offsets,
            variable=chains.variable,
            row=np.searchsorted(self.sequences, chains.sequence),
            at_us=chains.at_us,
            events=self.shown if only_shown else self.events.table,
            event_time_us=self.events.time_us,
            event_stream=self.events.stream,
            event_position=self.sequences,
        )
