"""Rule text -> pattern algebra: grammar, parser, checks with carets."""

assert __name__ == "cep.dsl", "a second import name means a second copy of every class"

from cep.dsl.parameters import Parameter, constant_of  # noqa: E402 - see above
from cep.dsl.parts import parse_duration, parse_expression, parse_select  # noqa: E402 - see above
from cep.dsl.rules import (  # noqa: E402 - not under a second name
    Reading,
    parse_rules,
    raise_errors,
    read_rules,
)

__all__ = [
    "Parameter",
    "Reading",
    "constant_of",
    "parse_duration",
    "parse_expression",
    "parse_rules",
    "parse_select",
    "raise_errors",
    "read_rules",
]
