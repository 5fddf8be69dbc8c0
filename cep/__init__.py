"""Complex event processing in Python: patterns as text, events as tables, matches out.

>>> import cep
>>> rules = cep.compile("pattern rise match a b define a as true, b as price > a.price")
>>> print(rules.patterns[0].name)
rise
"""

from cep.engine.errors import CepError, DataError, RuleError
from cep.engine.pattern import Pattern, Stream
from cep.rules import Rules, RuleWarning, compile, load  # noqa: A004 - `re.compile` does it as well

__version__ = "0.1.0"

__all__ = [
    "CepError",
    "DataError",
    "Pattern",
    "RuleError",
    "RuleWarning",
    "Rules",
    "Stream",
    "__version__",
    "compile",
    "load",
]
