"""Complex event processing in Python: patterns as text, events as tables, matches out.

>>> import cep
>>> rules = cep.compile("pattern rise match a b define a as true, b as price > a.price")
>>> print(rules.patterns[0].name)
rise
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cep.engine.errors import CepError, DataError, RuleError
from cep.engine.pattern import Pattern, Stream
from cep.rules import Rules, RuleWarning, compile, load  # noqa: A004 - `re.compile` does it as well

if TYPE_CHECKING:
    from cep.engine.io.callable_sink import CallableSink
    from cep.engine.io.file_sink import FileSink
    from cep.engine.io.replay.files import FileSource
    from cep.engine.io.replay.iterables import IterableSource
    from cep.job import Job
    from cep.job_options import JobError

__version__ = "0.1.0"

__all__ = [
    "CallableSink",
    "CepError",
    "DataError",
    "FileSink",
    "FileSource",
    "IterableSource",
    "Job",
    "JobError",
    "Pattern",
    "RuleError",
    "RuleWarning",
    "Rules",
    "Stream",
    "__version__",
    "compile",
    "load",
]

_ON_DEMAND = {
    "CallableSink": "cep.engine.io.callable_sink",
    "FileSink": "cep.engine.io.file_sink",
    "FileSource": "cep.engine.io.replay.files",
    "IterableSource": "cep.engine.io.replay.iterables",
    "Job": "cep.job",
    "JobError": "cep.job_options",
}


def __getattr__(name: str) -> Any:
    """What only some programs need is imported when they name it: the import costs time."""
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module 'cep' has no attribute {name!r}")
