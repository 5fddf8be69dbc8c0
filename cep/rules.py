"""Rule text (or patterns built in Python) -> `Rules`, which run on data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cep.engine.binding import bind_pattern
from cep.engine.errors import DataError, Problem, RuleError, render_problem
from cep.engine.io.clock import now_seconds
from cep.engine.pattern import Pattern, Stream
from cep.engine.plan import Dataflow, RuleSet, flow_of
from cep.engine.results import Output

if TYPE_CHECKING:
    from cep.dsl import Reading
    from cep.engine.explain import Explanation
    from cep.engine.ingest import Feed
    from cep.execution import Execution
    from cep.result import Result

Progress = Callable[[int, "int | None"], None]


@runtime_checkable
class Unfinished(Protocol):
    """A pattern of `cep.builder` that nobody has called `build()` on yet."""

    def build(self) -> Pattern: ...


Built = Pattern | Unfinished


class RuleWarning(UserWarning):
    """Something in a rule that is allowed but probably not meant."""


def compile(  # noqa: A001 - the name that `re.compile` made familiar
    rules: str | Built | RuleSet | Iterable[Built], *, name: str = "<rules>"
) -> Rules:
    """Check rules and make them ready to run.

    `rules` is text, a pattern (`cep.builder` makes them), or several. `name` is what messages call
    the text. Raises RuleError with every independent mistake; doubtful things are RuleWarnings.
    """
    compiled = check(rules, name=name)
    for warning in compiled.warnings:
        text = render_problem(warning, compiled.text, name)
        warnings.warn(text.removeprefix("warning: "), RuleWarning, stacklevel=2)
    return compiled


def load(path: str | os.PathLike[str]) -> Rules:
    """`compile` the text of a file (UTF-8). Raises DataError where the file cannot be read."""
    from cep.engine.io.text_files import read_text

    return compile(read_text(os.fspath(path)), name=os.fspath(path))


def as_rules(rules: Rules | str | Built | RuleSet | Iterable[Built]) -> Rules:
    """Checked rules as they are, anything else compiled."""
    return rules if isinstance(rules, Rules) else compile(rules)


def check(rules: str | Built | RuleSet | Iterable[Built], *, name: str = "<rules>") -> Rules:
    """`compile`, with the warnings only in `Rules.warnings`."""
    from cep.dsl import Reading, raise_errors, read_rules

    if isinstance(rules, str):
        text: str | None = rules
        reading = read_rules(rules, name)
    else:
        text, rule_set = None, _rule_set(rules)
        reading = Reading(rule_set, _validate(rule_set, name))
    if not reading.rules.patterns and not reading.has_errors:
        raise RuleError([Problem("the rules have no pattern", hint="add one")], text, name)
    patterns, problems = _with_streams(reading.rules, reading.lost)
    problems += _bind_what_was_read(reading, patterns)
    raise_errors([*reading.problems, *problems], text, name)
    doubts = (*reading.problems, *(problem for problem in problems if problem.warning))
    return Rules(reading.rules, patterns, doubts, text, name)


def _bind_what_was_read(reading: Reading, patterns: Sequence[Pattern]) -> list[Problem]:
    """Problems of names and types. What could not be read causes none: its streams are open."""
    declared = {stream.name: stream for stream in reading.rules.streams}
    unknown = [stream for stream in _open_streams(patterns) if stream.name not in declared]
    if declared:
        unknown = [s for s in unknown if not s.name or s.name in reading.lost]
    streams = (*declared.values(), *unknown)
    problems = []
    for pattern in patterns:
        problems += [
            problem
            for problem in _bind((pattern,), streams)[1]
            if problem.span == pattern.span or not reading.is_follow_up(problem)
        ]
    return problems


def _rule_set(rules: Built | RuleSet | Iterable[Built]) -> RuleSet:
    if isinstance(rules, RuleSet):
        return rules
    several = (rules,) if isinstance(rules, Pattern | Unfinished) else tuple(rules)
    return RuleSet(patterns=tuple(p if isinstance(p, Pattern) else p.build() for p in several))


def _validate(rules: RuleSet, name: str) -> list[Problem]:
    """What the parser does for text."""
    from cep.dsl.check import check_rules
    from cep.engine.validation_plan import validate_rules

    problems = [*validate_rules(rules), *check_rules(rules)]
    _raise_errors(problems, None, name)
    return problems


def _raise_errors(problems: Iterable[Problem], text: str | None, name: str) -> None:
    errors = [problem for problem in problems if not problem.warning]
    if errors:
        raise RuleError(errors, text, name)


def _with_streams(
    rules: RuleSet, lost: frozenset[str]
) -> tuple[tuple[Pattern, ...], list[Problem]]:
    """Patterns without `from` read the only stream that the rules name, where there is just one."""
    named = [stream.name for stream in rules.streams]
    read = [name for pattern in rules.patterns for name in pattern.streams]
    named += [name for name in read if not rules.streams or name in lost]
    names = tuple(dict.fromkeys(named))
    if not names:
        return rules.patterns, []
    problems, patterns = [], []
    for pattern in rules.patterns:
        if not pattern.streams and len(names) > 1:
            message = f"pattern {pattern.name!r} does not say which stream it reads"
            hint = f"write `from` and one or more of: {', '.join(names)}"
            problems.append(Problem(message, pattern.span, hint))
            patterns.append(pattern)
        else:
            patterns.append(pattern if pattern.streams else replace(pattern, streams=names))
    return tuple(patterns), problems


def _names(patterns: Iterable[Pattern]) -> list[str]:
    """The streams that are read, in the order in which the patterns name them."""
    return list(dict.fromkeys(name for p in patterns for name in p.streams or ("",)))


def _open_streams(patterns: Iterable[Pattern]) -> list[Stream]:
    """Where no stream is declared, whichever the patterns name; the data will bring the fields."""
    return [Stream(name) for name in _names(patterns)]


def _bind(
    patterns: Sequence[Pattern], streams: Sequence[Stream]
) -> tuple[tuple[Pattern, ...], list[Problem]]:
    by_name = {stream.name: stream for stream in streams}
    pairs = [bind_pattern(pattern, by_name) for pattern in patterns]
    return tuple(bound for bound, _ in pairs), [p for _, problems in pairs for p in problems]


@dataclass(frozen=True, slots=True)
class _Run:
    """Rules met with bounded data: everything is bound, nothing has been read."""

    feed: Feed
    execution: Execution

    def steps(self, end_of_stream: bool, progress: Progress | None) -> Iterator[tuple[Output, int]]:
        """(what came out, rows read) per batch, and once more for the end of the stream."""
        if self.feed.is_void:
            yield Output(), 0
            return
        runtime = self.execution.runtime
        done = 0
        for step in self.feed.read():
            output = runtime.process(step.batch) if len(step.batch) else Output()
            output.errors[:0] = step.errors
            done += step.rows
            if progress is not None:
                progress(done, self.feed.rows)
            yield output, step.rows
        if end_of_stream:
            yield runtime.finish(), 0


class Rules:
    """Checked rules. Made by `cep.compile` and `cep.load`; runs as often as you like.

    `patterns` and `streams` are what the rules say, `warnings` what is doubtful in them, `text` the
    source where there is one. Holds no state of a run.
    """

    def __init__(
        self,
        rules: RuleSet,
        patterns: tuple[Pattern, ...],
        warnings: tuple[Problem, ...] = (),
        text: str | None = None,
        name: str = "<rules>",
    ) -> None:
        self._rules = rules
        self._resolved = patterns
        self.warnings = warnings
        self.name = name
        self.text = str(rules) if text is None else text
        self._source = text

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return self._rules.patterns

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The declared streams."""
        return self._rules.streams

    def __str__(self) -> str:
        return str(self._rules)

    def __repr__(self) -> str:
        return f"<Rules: {', '.join(pattern.name for pattern in self.patterns)}>"

    def run(
        self, data: Any, *, end_of_stream: bool = True, progress: Progress | None = None
    ) -> Result:
        """All matches in the data.

        `data`: a pandas, polars or pyarrow table, anything with `__arrow_c_stream__`, a list of
        dicts, a path (Parquet, CSV, JSON lines; a directory or glob of them), or for several
        streams a dict from stream name to any of these. Read in batches: memory holds a batch, the
        open runs and the result. `end_of_stream`: no event follows, so absences and timeouts at the
        end are decided; with False they stay open. `progress(rows_read, rows_in_all or None)` is
        called per batch. Raises RuleError where the rules do not fit the columns, DataError where
        the data cannot be read.
        """
        begun = now_seconds()
        run = self._open(data)
        output, events = Output(), 0
        for part, rows in run.steps(end_of_stream, progress):
            output.extend(part)
            events += rows
        run.execution.close()
        return run.execution.result(output, events, now_seconds() - begun, run.feed.notes)

    def stream(
        self, data: Any, *, end_of_stream: bool = True, progress: Progress | None = None
    ) -> Iterator[Result]:
        """`run`, as one Result per batch of input: memory does not grow with the matches."""
        begun = now_seconds()
        run = self._open(data)
        said: list[str] = []
        for output, rows in run.steps(end_of_stream, progress):
            now = now_seconds()
            notes = [note for note in run.feed.notes if note not in said]
            said += notes
            yield run.execution.result(output, rows, now - begun, notes)
            begun = now_seconds()
        run.execution.close()

    def explain(self, data: Any = None) -> Explanation:
        """How the patterns are run: automata, and what is evaluated where. `str()` is text.

        With `data`, types that the rules leave open are those of the data.
        """
        from cep.engine.explain import explain

        if data is not None:
            flow = self._open(data).execution.flow
            patterns = [n.plan for n in flow.nodes if isinstance(n.plan, Pattern)]
            return explain(patterns, flow.streams)
        return explain(_bind(self._resolved, self.base_streams)[0], self.base_streams)

    @property
    def base_streams(self) -> tuple[Stream, ...]:
        """The streams that must be given, as declared; without fields where the data say."""
        return tuple(self._stream(name) for name in _names(self._resolved))

    def bind(self, streams: Sequence[Stream]) -> Dataflow:
        """The rules met with streams that have all their fields, in the order of `base_streams`.

        Raises RuleError where they do not fit.
        """
        patterns, problems = _bind(self._resolved, streams)
        _raise_errors(problems, self._source, self.name)
        return flow_of(patterns, streams)

    def unbound(self) -> Dataflow:
        """The rules without knowing what events look like: for empty results."""
        return flow_of(_bind(self._resolved, self.base_streams)[0], self.base_streams)

    def _open(self, data: Any) -> _Run:
        from cep.engine.ingest import open_feed
        from cep.execution import Execution

        streams = self.base_streams
        feed = open_feed(self._by_stream(data, [stream.name for stream in streams]), streams)
        if feed.is_void:
            return _Run(feed, Execution.of_nothing(self))
        return _Run(feed, Execution.start(self, feed.streams, feed.schema, feed.own_fields))

    def _stream(self, name: str) -> Stream:
        return next((s for s in self.streams if s.name == name), Stream(name))

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
