"""Rule text -> pattern algebra: grammar, parser, checks with carets."""

assert __name__ == "cep.dsl", "a second import name means a second copy of every class"

from cep.dsl.parts import parse_duration, parse_expression, parse_select  # noqa: E402 - see above
from cep.dsl.rules import parse_rules  # noqa: E402 - not under a second name

__all__ = ["parse_duration", "parse_expression", "parse_rules", "parse_select"]
