"""The words of the language in groups, and its names and numbers, for those who colour rules."""

from __future__ import annotations

from cep.dsl.lexer import BEGINNINGS
from cep.dsl.parser import grammar
from cep.dsl.values import SHORT_UNITS, TYPES, UNITS_US
from cep.engine.algebra.aggregates import AGGREGATES
from cep.engine.algebra.expression import CAPTURE_FUNCTIONS
from cep.engine.algebra.functions import FUNCTIONS

NAME = r"[^\W\d]\w*"
NUMBER = r"(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+(?:[eE][+-]?[0-9]+)?"
STATEMENTS = tuple(sorted(BEGINNINGS))
KEYWORDS = tuple(sorted({*grammar().keywords} - {*BEGINNINGS, "null"}))
CONSTANTS = ("false", "null", "true")
TYPE_NAMES = tuple(sorted(TYPES))
CALLED = tuple(sorted({*FUNCTIONS, *AGGREGATES, *CAPTURE_FUNCTIONS, "prev", "cast"}))
UNITS = tuple(sorted({*UNITS_US, *(f"{unit}s" for unit in UNITS_US), *SHORT_UNITS}))
