"""Rule text (or patterns built in Python) -> `Rules`, which run on data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cep.engine.algebra.aggregates import (
    NO_FUNCTIONS,
    AggregateFunction,
    Functions,
    functions_by_name,
)
from cep.engine.algebra.errors import DataError, Problem, RuleError, render_problem
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Pattern, Stream, StreamField
from cep.engine.algebra.plan import Dataflow, NodeKind, RuleSet, Table
from cep.engine.dataflow.build import base_streams, build_dataflow
from cep.engine.dataflow.tables import versions_of
from cep.engine.io.clock import now_seconds
from cep.engine.results import Output
from cep.progress import Progress, followed
from cep.results.values import counted

if TYPE_CHECKING:
    from cep.bounded import BoundRun
    from cep.dsl import Parameter, Reading
    from cep.engine.automaton.explain import Explanation, Graph
    from cep.results.result import Result
    from cep.whynot.answer import WhyNot

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


@runtime_checkable
class Unfinished(Protocol):
    """A pattern of `cep.builder` that nobody has called `build()` on yet."""

    def build(self) -> Pattern: ...


Built = Pattern | Unfinished


class RuleWarning(UserWarning):
    """Something in a rule that is allowed but probably not meant."""


def compile(  # noqa: A001 - the name that `re.compile` made familiar
    rules: str | Built | RuleSet | Iterable[Built],
    *,
    name: str = "<rules>",
    functions: Iterable[AggregateFunction] = (),
    parameters: Mapping[str, Any] = NO_PARAMETERS,
) -> Rules:
    """Check rules and make them ready to run.

    `rules` is text, a pattern (`cep.builder` makes them), or several. `name` is what messages call
    the text. `functions` are aggregate functions of your own. `parameters`: values for those that
    the text declares; the others have their defaults. Raises RuleError with every independent
    mistake; doubtful things are RuleWarnings.
    """
    compiled = check(rules, name=name, functions=functions, parameters=parameters)
    for warning in compiled.warnings:
        text = render_problem(warning, compiled.text, name)
        warnings.warn(text.removeprefix("warning: "), RuleWarning, stacklevel=2)
    return compiled


def load(path: str | os.PathLike[str], *, parameters: Mapping[str, Any] = NO_PARAMETERS) -> Rules:
    """`compile` the text of a file (UTF-8). Raises DataError where the file cannot be read."""
    from cep.engine.io.text_files import read_text

    return compile(read_text(os.fspath(path)), name=os.fspath(path), parameters=parameters)


def as_rules(rules: Rules | str | Built | RuleSet | Iterable[Built]) -> Rules:
    """Checked rules as they are, anything else compiled."""
    return rules if isinstance(rules, Rules) else compile(rules)


def check(
    rules: str | Built | RuleSet | Iterable[Built],
    *,
    name: str = "<rules>",
    functions: Iterable[AggregateFunction] = (),
    parameters: Mapping[str, Any] = NO_PARAMETERS,
) -> Rules:
    """`compile`, with the warnings only in `Rules.warnings`."""
    from cep.dsl import Reading, raise_errors, read_rules

    known = functions_by_name(functions)
    if isinstance(rules, str):
        text: str | None = rules
        reading = read_rules(rules, name, known, parameters)
    elif parameters:
        message = "rules built in Python have no parameters: put the values in where you build them"
        raise RuleError([Problem(message)], name=name)
    else:
        text, rule_set = None, _rule_set(rules)
        reading = Reading(rule_set, _validate(rule_set, name))
    rows = (*reading.rules.patterns, *reading.rules.aggregates, *reading.rules.joins)
    if not rows and not reading.has_errors:
        raise RuleError([Problem("the rules have no pattern", hint="add one")], text, name)
    flow, problems = _bind_what_was_read(reading, known)
    raise_errors([*reading.problems, *problems], text, name)
    doubts = (*reading.problems, *(problem for problem in problems if problem.warning))
    return Rules(reading.rules, doubts, text, name, known, reading.parameters, flow)


def _bind_what_was_read(reading: Reading, functions: Functions) -> tuple[Dataflow, list[Problem]]:
    """Problems of names and types. What could not be read causes none: its streams are open."""
    rules = reading.rules
    streams = base_streams(rules, reading.lost)
    for stream, feature in reading.lost_features:
        known = streams.get(stream, Stream(stream))
        if known.fields:
            lost = StreamField(feature, DataType.NULL)
            streams[stream] = replace(known, fields=(*known.fields, lost))
    heads = [pattern.span for pattern in rules.patterns]
    heads += [aggregate.span for aggregate in rules.aggregates]
    heads += [join.span for join in rules.joins] + [feature.span for feature in rules.features]
    flow, problems = build_dataflow(rules, streams, functions)
    return flow, [p for p in problems if p.span in heads or not reading.is_follow_up(p)]


def _rule_set(rules: Built | RuleSet | Iterable[Built]) -> RuleSet:
    if isinstance(rules, RuleSet):
        return rules
    several = (rules,) if isinstance(rules, Pattern | Unfinished) else tuple(rules)
    return RuleSet(patterns=tuple(p if isinstance(p, Pattern) else p.build() for p in several))


def _validate(rules: RuleSet, name: str) -> list[Problem]:
    """What the parser does for text."""
    from cep.dsl.check import check_rules
    from cep.engine.algebra.validation_plan import validate_rules

    problems = [*validate_rules(rules), *check_rules(rules)]
    _raise_errors(problems, None, name)
    return problems


def _raise_errors(problems: Iterable[Problem], text: str | None, name: str) -> None:
    errors = [problem for problem in problems if not problem.warning]
    if errors:
        raise RuleError(errors, text, name)


class Rules:
    """Checked rules. Made by `cep.compile` and `cep.load`; runs as often as you like.

    `patterns` and `streams` are what the rules say, `warnings` what is doubtful in them, `text` the
    source where there is one, `parameters` what it declares with the values in force. Holds no
    state of a run.
    """

    def __init__(
        self,
        rules: RuleSet,
        warnings: tuple[Problem, ...] = (),
        text: str | None = None,
        name: str = "<rules>",
        functions: Functions = NO_FUNCTIONS,
        parameters: Iterable[Parameter] = (),
        flow: Dataflow | None = None,
    ) -> None:
        self._rules = rules
        self.parameters: Mapping[str, Parameter] = {each.name: each for each in parameters}
        self.warnings = warnings
        self.name = name
        self.text = str(rules) if text is None else text
        self.functions = functions
        self._source = text
        self._declared = base_streams(rules)
        self._problems: list[Problem] = []  # of names and types; `check` has told them
        if flow is None:
            flow, self._problems = build_dataflow(rules, self._declared, functions)
        self._unbound = flow

    @property
    def rule_set(self) -> RuleSet:
        """Everything that the rules say, statement by statement."""
        return self._rules

    def with_parameters(self, **values: Any) -> Rules:
        """The same rules with other values for some parameters; the others keep theirs.

        Raises RuleError for a name that the rules do not declare, and for a value that does not
        fit. Takes as long as `compile`, some milliseconds.
        """
        given = {name: each.value for name, each in self.parameters.items()}
        return check(
            self._rules if self._source is None else self._source,
            name=self.name,
            functions=self.functions.values(),
            parameters=given | values,
        )

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return self._rules.patterns

    @property
    def names(self) -> tuple[str, ...]:
        """The patterns, aggregates and joins."""
        return tuple(node.name for node in self._unbound.nodes)

    @property
    def row_names(self) -> tuple[str, ...]:
        """The aggregates and joins, whose rows are in `Result.tables`."""
        return tuple(n.name for n in self._unbound.nodes if n.kind is not NodeKind.PATTERN)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The declared streams."""
        return self._rules.streams

    @property
    def contents(self) -> str:
        """How many statements there are of each kind: '2 patterns, 1 stream'."""
        made = self._rules
        kinds = {
            "pattern": made.patterns,
            "aggregate": made.aggregates,
            "join": made.joins,
            "feature": made.features,
            "stream": made.streams,
            "table": made.tables,
            "parameter": tuple(self.parameters),
        }
        return ", ".join(counted(len(found), kind) for kind, found in kinds.items() if found)

    def __str__(self) -> str:
        return str(self._rules)

    def __repr__(self) -> str:
        return f"<Rules: {', '.join(node.name for node in self._unbound.nodes)}>"

    def _repr_html_(self) -> str:
        from cep.display.rules import rules_html

        return rules_html(self)

    @property
    def base_streams(self) -> tuple[Stream, ...]:
        """The streams that must be given, as declared; without fields where the data say.

        A table with a time is one: of its versions.
        """
        versions = {table.name: table for table in self._rules.tables}
        return tuple(
            versions_of(versions[stream.name], self._declared)
            if stream.name in versions
            else self._declared[stream.name]
            for stream in self._unbound.streams
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables without a time that are looked up, and must be given."""
        read = {lookup.table for lookup in self._unbound.lookups}
        return tuple(table for table in self._rules.tables if table.name in read)

    def bind(self, streams: Iterable[Stream]) -> Dataflow:
        """The rules met with streams that have all their fields, the `base_streams` among them.

        A table may be there too: its fields are then those. Raises RuleError where the rules do not
        fit.
        """
        known = self._declared | {stream.name: stream for stream in streams}
        flow, problems = self._unbound, self._problems
        if known != self._declared:
            flow, problems = build_dataflow(self._rules, known, self.functions)
        _raise_errors(problems, self._source, self.name)
        return flow

    def unbound(self) -> Dataflow:
        """The rules without knowing what events look like: for empty results."""
        return self._unbound

    def run(
        self,
        data: Any,
        *,
        end_of_stream: bool = True,
        progress: Progress | bool | None = None,
        workers: int = 1,
        trace: bool = False,
    ) -> Result:
        """All matches in the data.

        `data`: a pandas, polars or pyarrow table, anything with `__arrow_c_stream__`, a list of
        dicts, a path (Parquet, CSV, JSON lines; a directory or glob of them), or for several
        streams a dict from stream name to any of these; tables that are looked up stand in it, too.
        `workers`: threads that share the keys. Read in batches: memory holds a batch (with threads
        a few), the open runs and the result. `end_of_stream`: no event follows, so absences and
        timeouts at the end are decided; with False they stay open. `progress`: True shows a bar
        (tqdm), a function is called with (rows read, rows in all or None) per batch. `trace`:
        `Result.attempts` tells how far runs came that became no match; it takes memory for each of
        them. Raises RuleError where the rules do not fit the columns, DataError where the data
        cannot be read.
        """
        begun = now_seconds()
        output, events = Output(), 0
        with followed(progress) as tell:
            run = self.open_run(data, workers, trace)
            for part, rows in run.steps(end_of_stream, tell):
                output.extend(part)
                events += rows
        return run.execution.result(output, events, now_seconds() - begun, run.feed.notes)

    def stream(
        self,
        data: Any,
        *,
        end_of_stream: bool = True,
        progress: Progress | bool | None = None,
        workers: int = 1,
    ) -> Iterator[Result]:
        """`run`, as one Result per batch of input: memory does not grow with the matches."""
        begun = now_seconds()
        said: list[str] = []
        with followed(progress) as tell:
            run = self.open_run(data, workers)
            for output, rows in run.steps(end_of_stream, tell):
                now = now_seconds()
                notes = [note for note in run.feed.notes if note not in said]
                said += notes
                yield run.execution.result(output, rows, now - begun, notes)
                begun = now_seconds()

    def count(
        self,
        data: Any,
        *,
        end_of_stream: bool = True,
        progress: Progress | bool | None = None,
        workers: int = 1,
    ) -> dict[str, int]:
        """How many matches each pattern has in the data.

        Arguments and errors as of `run`, whose matches these would be. Where `explain` says `sets`,
        none of them is made: billions take no longer than a few, and what is held are the events
        that some condition holds for. DataError for more than 2**62.
        """
        counts = {node.name: 0 for node in self._unbound.nodes if node.kind is NodeKind.PATTERN}
        with followed(progress) as tell:
            run = self.open_run(data, workers, counted=True)
            for part, _ in run.steps(end_of_stream, tell):
                for batch in part.matches:
                    counts[batch.pattern.name] += len(batch)
        return counts | run.execution.runtime.counts()

    def why_not(
        self,
        data: Any,
        *,
        key: Any = None,
        around: Any = None,
        pattern: str | None = None,
        limit: int = 5,
    ) -> WhyNot:
        """The attempts that came nearest to a match: what each lacked, what ended it.

        `data` as for `run`, to the end of the stream. `key`: of one key only (a tuple for several
        fields); without it the near misses of all keys are ranked, fewest events missing first.
        `around`: a time (datetime, or text), or a pair of times: attempts that were open then.
        `pattern`: of this one only; else `limit` near misses of each. What would have helped is
        tried on the key's own events: `NearMiss.suggestions` says of each whether it is enough.
        Reads the data once or twice, and holds the events of the keys in question. Raises DataError
        for a pattern, key or time that cannot be.
        """
        from cep.whynot.search import why_not

        return why_not(self, data, key=key, around=around, pattern=pattern, limit=limit)

    def explain(self, data: Any = None) -> Explanation:
        """How the patterns are run: automata, and what is evaluated where. `str()` is text.

        With `data`, types that the rules leave open are those of the data.
        """
        from cep.engine.automaton.explain import explain

        flow = self._unbound if data is None else self.open_run(data).execution.flow
        return explain([n.plan for n in flow.nodes if isinstance(n.plan, Pattern)], flow.streams)

    def graph(self, pattern: str) -> Graph:
        """The automaton of one pattern as nodes and edges, whatever is wrong with the others.

        KeyError: no such pattern. RuleError: it cannot be run.
        """
        from cep.engine.automaton.explain import explain

        bound = {n.name: n.plan for n in self._unbound.nodes if n.kind is NodeKind.PATTERN}
        if pattern not in bound:
            raise KeyError(f"no pattern {pattern!r}; the rules have: {', '.join(bound)}")
        plan = bound[pattern]
        assert isinstance(plan, Pattern)
        return explain([plan], self._unbound.streams).graph(pattern)

    def open_run(
        self, data: Any, workers: int = 1, traced: bool = False, counted: bool = False
    ) -> BoundRun:
        """The rules met with the data, for those that read what the engine hands out as arrays."""
        from cep.bounded import BoundRun
        from cep.engine.ingest.feed import open_feed
        from cep.execution import Execution

        given, tables = self.by_name(data)
        feed = open_feed(given, self.base_streams)
        if feed.is_void:
            return BoundRun(feed, Execution.of_nothing(self, traced))
        execution = Execution.start(
            self,
            feed.streams,
            feed.schema,
            feed.own_fields,
            tables=tables,
            workers=workers,
            traced=traced,
            counted=counted,
        )
        return BoundRun(feed, execution)

    def by_name(self, data: Any) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """(base stream -> its data, table that is looked up -> its rows), both as they were given.

        Raises DataError where the data are not those that the rules read.
        """
        given, tables = self._apart(data)
        return self._by_stream(given, [stream.name for stream in self.base_streams]), tables

    def _apart(self, data: Any) -> tuple[Any, dict[str, Any]]:
        """(what is given for streams, what is given for tables)."""
        names = {table.name for table in self.tables}
        if not names or not isinstance(data, Mapping):
            return data, {}
        tables = {name: given for name, given in data.items() if name in names}
        return {name: given for name, given in data.items() if name not in names}, tables

    def _by_stream(self, data: Any, names: Sequence[str]) -> Mapping[str, Any]:
        """Stream name -> input. DataError where the two do not go together."""
        if not isinstance(data, Mapping):
            if len(names) == 1:
                return {names[0]: data}
            message = (
                f"the rules read {len(names)} streams ({', '.join(names)}), each needs its data"
            )
            raise DataError(
                f"{message}: a dict from stream to data, or --input STREAM=FILE for each"
            )
        if names == [""]:
            if len(data) == 1:
                return {"": next(iter(data.values()))}
            given = ", ".join(map(str, data))
            message = f"{len(data)} streams are given ({given}), but no pattern says `from` which"
            raise DataError(message)
        self._check_names(data, names)
        return data

    def _check_names(self, data: Mapping[str, Any], names: Sequence[str]) -> None:
        from cep.engine.io.source import did_you_mean

        known = [*names, *(stream.name for stream in self.streams)]
        for name in data:
            if name not in known:
                near = did_you_mean(name, known) or ";"
                raise DataError(
                    f"no pattern reads a stream {name!r}{near} read: {', '.join(names)}"
                )
        missing = [name for name in names if name not in data]
        if missing:
            raise DataError(
                f"no data for stream {missing[0]!r}; given: {', '.join(data) or 'none'}"
            )
