"""The command line: `cep run`, `cep serve`, `cep check`, `cep explain`, `cep version`.

Exit codes: 0 done, 1 the rules or the data are wrong, 2 wrong usage, 130 interrupted. Messages go
to stderr, matches to stdout or `--output`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
except ImportError as error:  # the extra is missing: say so instead of a traceback
    raise SystemExit("the command line needs more packages: pip install 'cep[cli]'") from error

from cep.cli_serve import serve
from cep.engine.algebra.errors import CepError, render_problem
from cep.engine.io.text_files import read_text
from cep.jobs.guarantee import Guarantee
from cep.rules import Rules, check

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find patterns in streams of events.",
)


class Format(StrEnum):
    """What matches are written as."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


RulesFile = Annotated[str, typer.Argument(metavar="RULES", help="A file of rules.")]
_INPUT = typer.Option(
    "--input",
    "-i",
    metavar="[STREAM=]FILE",
    help="Parquet, CSV or JSONL; a directory or glob of them; - is JSONL from stdin.",
)
Inputs = Annotated[list[str], _INPUT]
OptionalInputs = Annotated[list[str] | None, _INPUT]
OutputFile = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Write all matches there.")
]
TimeoutsFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write runs that ran out of time there.")
]
ErrorsFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write events with errors there.")
]
RowsFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--rows", metavar="NAME=FILE", help="Write the rows of an aggregate or join there."
    ),
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", "-f", help="Else the ending of --output, or a table.")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Never end: read on as files grow and new ones appear.")
]
CheckpointDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="Keep state there, and go on from it.")
]
Every = Annotated[
    str, typer.Option(metavar="TIME", help='Between two checkpoints: "10 seconds", "5000 rows".')
]
GuaranteeOption = Annotated[
    Guarantee | None, typer.Option(help="Of a job; else the strongest that holds.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter of the rules this value."),
]
Limit = Annotated[int, typer.Option(min=0, help="How many matches the table shows.")]


@app.command()
def run(
    rules: RulesFile,
    inputs: Inputs,
    output: OutputFile = None,
    timeouts: TimeoutsFile = None,
    errors: ErrorsFile = None,
    rows: RowsFiles = None,
    format_: FormatOption = None,
    limit: Limit = 20,
    follow: Follow = False,
    checkpoint_dir: CheckpointDir = None,
    every: Every = "10 seconds",
    guarantee: GuaranteeOption = None,
    set_: SetOption = None,
) -> None:
    """Run rules on data: a summary and the first matches, or all matches into a file.

    With --follow or --checkpoint-dir it is a job, which can be stopped (also by SIGKILL) and run
    again to go on where it was; --output, --timeouts, --errors and --rows are then directories.
    """
    from cep.display.terminal import Tally, progress_bar, show_matches, show_rows, show_summary

    compiled = read_rules(rules, set_)
    data = data_of(inputs)
    derived = _named_rows(rows or [], compiled)
    if follow or checkpoint_dir is not None:
        from cep.cli_job import JobOptions, run_job

        tables = {"matches": output, "timeouts": timeouts, "errors": errors, **derived}
        options = JobOptions(follow, checkpoint_dir, every, guarantee, tables, format_)
        run_job(compiled, data, options)
        return
    paths = {"matches": output, "timeouts": timeouts, "errors": errors, **derived}
    sinks = _sinks(paths, format_)
    is_on_stdout = "matches" in sinks and output is None
    tally = Tally(0 if is_on_stdout else limit)
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar(Console(stderr=True)))
        for result in compiled.stream(data, progress=progress):
            tally.add(result)
            for name, sink in sinks.items():
                table = result.tables[name] if name in derived else getattr(result, name).to_arrow()
                sink.write(table, stack)
    console = Console(stderr=is_on_stdout)
    show_matches(console, tally.first)
    show_rows(console, tally.first_rows)
    shown, total = len(tally.first), sum(tally.matches.values())
    if 0 < shown < total:
        console.print(f"... the first {shown:,} of {total:,} matches")
    show_summary(console, tally)
    for name, sink in sinks.items():
        if sink.path is not None:
            text = f"{name} written to {sink.path}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Sink:
    """Where one table goes, bit by bit; opened with the first bit, for that has the columns."""

    path: str | None  # None: stdout
    format: Format
    writer: Any = None

    def write(self, table: Any, stack: ExitStack) -> None:
        from cep.engine.io.writers import TextWriter, open_writer

        if self.writer is None and self.path is None:
            self.writer = TextWriter(sys.stdout, self.format.value)
        elif self.writer is None:
            opened = open_writer(str(self.path), table.schema, self.format.value)
            self.writer = stack.enter_context(opened)
        self.writer.write(table)


def _sinks(paths: Mapping[str, str | None], wanted: Format | None) -> dict[str, Sink]:
    """A sink for every table that goes somewhere. Wrong combinations are wrong usage."""
    from cep.engine.io.writers import format_of

    output = paths["matches"]
    if output is None and wanted is Format.PARQUET:
        raise typer.BadParameter("a Parquet file needs --output FILE", param_hint="--format")
    if output is not None and wanted is Format.TABLE:
        raise typer.BadParameter("a table is for the terminal only", param_hint="--format")
    sinks = {}
    if output is not None or wanted not in (None, Format.TABLE):
        sinks["matches"] = Sink(output, wanted or Format(format_of(str(output))))
    for name, path in paths.items():
        if name != "matches" and path is not None:
            sinks[name] = Sink(path, Format(format_of(path)))
    return sinks


def _named_rows(texts: list[str], rules: Rules) -> dict[str, str]:
    """NAME=FILE -> a file for the rows of each aggregate or join that is named."""
    found = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in rules.row_names:
            known = ", ".join(rules.row_names) or "none"
            message = f"{text!r}: write NAME=FILE; the rules have the aggregates and joins: {known}"
            raise typer.BadParameter(message, param_hint="--rows")
        found[name] = path
    return found


@app.command("check")
def check_command(rules: RulesFile) -> None:
    """Say whether rules are right, and where they are not."""
    typer.echo(f"OK: {read_rules(rules).contents}")


@app.command()
def explain(rules: RulesFile, inputs: OptionalInputs = None) -> None:
    """Show how each pattern is run: its automaton, and what is evaluated where."""
    compiled = read_rules(rules)
    typer.echo(str(compiled.explain(data_of(inputs) if inputs else None)))


app.command()(serve)


@app.command()
def version() -> None:
    """Print the version."""
    from cep import __version__

    typer.echo(__version__)


def read_rules(path: str, values: list[str] | None = None) -> Rules:
    """The rules of a file; what is doubtful in them goes to stderr. `values`: `NAME=VALUE` each."""
    rules = check(read_text(path), name=path)
    if values:
        rules = rules.with_parameters(**_values(values, rules))
    for warning in rules.warnings:
        typer.echo(render_problem(warning, rules.text, path), err=True)
    return rules


def _values(texts: list[str], rules: Rules) -> dict[str, Any]:
    """Values of parameters, written as in rules; texts and durations without quotes."""
    from cep.dsl import constant_of

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("$")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
        parameter = rules.parameters.get(name)
        found[name] = value if parameter is None else constant_of(value.strip(), parameter.type)
    return found


_NAMED = re.compile(r"([A-Za-z_]\w*)=(.+)")


def data_of(inputs: list[str]) -> Any:
    """One path, or a dict from stream name to path."""
    if len(inputs) == 1 and not _NAMED.fullmatch(inputs[0]):
        return inputs[0]
    named = {}
    for text in inputs:
        found = _NAMED.fullmatch(text)
        if found is None:
            message = f"{text!r}: with several inputs each needs its stream: STREAM=FILE"
            raise typer.BadParameter(message, param_hint="--input")
        if found[1] in named:
            message = f"stream {found[1]!r} twice; a glob or a directory joins several files"
            raise typer.BadParameter(message, param_hint="--input")
        named[found[1]] = found[2]
    return named


def main() -> None:
    """The entry point: what is wrong becomes a message and an exit code, not a traceback."""
    try:
        app()
    except CepError as error:
        text = str(error)
        typer.echo(text if _is_rendered(text) else f"error: {text}", err=True)
        raise SystemExit(1) from None


def _is_rendered(text: str) -> bool:
    """Problems of rules come with their place and kind already."""
    return re.match(r"(.+:\d+:\d+: )?(error|warning): ", text) is not None


if __name__ == "__main__":
    main()
