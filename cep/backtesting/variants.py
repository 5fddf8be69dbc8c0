"""Rules with several settings -> as few rule sets as possible, each of which is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import RuleSet
from cep.rules import Rules


@dataclass(frozen=True, slots=True)
class Merged:
    """Variants of rules as one rule set.

    `names`: number of a variant -> its patterns -> what they are called in the merged rules.
    """

    rules: Rules
    names: Mapping[int, Mapping[str, str]]


def merge(variants: Sequence[Rules]) -> list[Merged]:
    """Rule sets that differ only in patterns that nobody reads become one.

    Of each such pattern the merged rules hold every version once; features, aggregates and all else
    are shared. What differs in anything else stays apart: its rows would need other names wherever
    they are read.
    """
    groups: dict[RuleSet, list[int]] = {}
    for number, rules in enumerate(variants):
        groups.setdefault(_shared(rules), []).append(number)
    return [
        _merged({number: variants[number] for number in numbers}, shared)
        for shared, numbers in groups.items()
    ]


def _shared(rules: Rules) -> RuleSet:
    """The rules without the patterns that nobody reads."""
    read = {name for node in rules.unbound().nodes for name in node.reads}
    for feature in rules.rule_set.features:
        read |= {feature.stream, feature.source or feature.stream}
    kept = tuple(pattern for pattern in rules.patterns if pattern.name in read)
    return replace(rules.rule_set, patterns=kept)


def _merged(variants: Mapping[int, Rules], shared: RuleSet) -> Merged:
    renamed: dict[Pattern, str] = {pattern: pattern.name for pattern in shared.patterns}
    versions: dict[str, int] = {}
    names: dict[int, dict[str, str]] = {}
    for number, rules in variants.items():
        for pattern in rules.patterns:
            if pattern not in renamed:
                version = versions[pattern.name] = versions.get(pattern.name, 0) + 1
                renamed[pattern] = f"{pattern.name} #{version}"
        names[number] = {pattern.name: renamed[pattern] for pattern in rules.patterns}
    patterns = tuple(replace(pattern, name=name) for pattern, name in renamed.items())
    first = next(iter(variants.values()))
    merged = Rules(replace(shared, patterns=patterns), name=first.name, functions=first.functions)
    return Merged(merged, names)
