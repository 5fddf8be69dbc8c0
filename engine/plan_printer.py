"""Rule sets -> canonical rule text, which parses to an equal rule set."""

from __future__ import annotations

from cep.engine.plan import RuleSet


def print_rules(rules: RuleSet) -> str:
    """Every statement, kind by kind."""
    return "\n\n".join(str(part) for part in (*rules.streams, *rules.patterns))
