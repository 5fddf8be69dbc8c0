"""A case -> rule text, as a person would write it for `cep.compile`."""

from __future__ import annotations

from cep.engine.algebra.plan import RuleSet
from tests.conformance.building import build_pattern, stream_of
from tests.conformance.loading import Case


def render(case: Case) -> str:
    """The stream and the pattern of a case, in the rule language.

    What the cases mean by default is spelled out: a repetition that is not greedy ends in `?` (one
    in all combinations says so where it is), and anything but skipping past the last event says so.
    """
    return str(RuleSet((stream_of(case),), (build_pattern(case),)))
