"""Complex event processing in Python: patterns as text, events as tables, matches out.

>>> import cep
>>> rules = cep.compile("pattern rise match a b define a as true, b as price > a.price")
>>> print(rules.patterns[0].name)
rise
"""

from typing import TYPE_CHECKING, Any

from cep.engine.algebra.aggregates import AggregateFunction
from cep.engine.algebra.errors import CepError, DataError, RuleError, StateError
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.checkpoint.errors import CheckpointError, CheckpointWarning
from cep.rules import Rules, RuleWarning, compile, load  # noqa: A004 - `re.compile` does it as well

if TYPE_CHECKING:
    from cep.backtesting.backtest import Backtest
    from cep.backtesting.run import backtest
    from cep.backtesting.sweep import Sweep, sweep
    from cep.callbacks import CallbackError
    from cep.detector import Detector
    from cep.engine.io.callable_sink import CallableSink
    from cep.engine.io.file_sink import FileSink
    from cep.engine.io.replay.files import FileSource
    from cep.engine.io.replay.iterables import IterableSource
    from cep.engine.state.limits import Limit
    from cep.jobs.job import Job
    from cep.jobs.options import JobError
    from cep.results.result import Result

__version__ = "0.1.0"

__all__ = [
    "AggregateFunction",
    "Backtest",
    "CallableSink",
    "CallbackError",
    "CepError",
    "CheckpointError",
    "CheckpointWarning",
    "DataError",
    "DataType",
    "Detector",
    "FileSink",
    "FileSource",
    "IterableSource",
    "Job",
    "JobError",
    "Limit",
    "Pattern",
    "Result",
    "RuleError",
    "RuleWarning",
    "Rules",
    "StateError",
    "Stream",
    "Sweep",
    "__version__",
    "backtest",
    "compile",
    "load",
    "sweep",
]

# What runs events needs the compiled kernels, for which `cep check` and `cep --help` do not wait.
_LATER = {
    "Backtest": "cep.backtesting.backtest",
    "CallableSink": "cep.engine.io.callable_sink",
    "CallbackError": "cep.callbacks",
    "Detector": "cep.detector",
    "FileSink": "cep.engine.io.file_sink",
    "FileSource": "cep.engine.io.replay.files",
    "IterableSource": "cep.engine.io.replay.iterables",
    "Job": "cep.jobs.job",
    "JobError": "cep.jobs.options",
    "Limit": "cep.engine.state.limits",
    "Result": "cep.results.result",
    "Sweep": "cep.backtesting.sweep",
    "backtest": "cep.backtesting.run",
    "sweep": "cep.backtesting.sweep",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'cep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext cep` does: there is a cell magic `%%cep NAME`."""
    from cep.notebook.magic import load

    load(shell)
