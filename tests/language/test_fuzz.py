"""Random and mutated texts into the parser: a rule set or a RuleError, nothing else.

CEP_FUZZ sets the number of texts; a normal test run takes a few thousand.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

from cep.dsl import parse_rules
from cep.engine.algebra.errors import RuleError
from cep.rules import check

COUNT = int(os.environ.get("CEP_FUZZ", "3000"))
HERE = Path(__file__).parent

LINES = (
    "stream pattern from by match longest within between events define as where unless after skip",
    "no past last event to next row first select on timeout permute consecutive combinations gap",
    "until and or not in like is null case when then else end cast true timestamp lateness time",
    "optional greedy optional greedy combinations until with within {2,4} {3,} + * ? ? ( ) ->",
    "table feature aggregate join on over all excluding current window tumbling sliding cumulating",
    "session count every offset discarding early having then idle lateness by sum(x) count(*)",
    "text int a b c x y card 5 2.5 1e4 10 minutes second ms 'text' e'\\n' \"q n\" ( ) { } , ; . ->",
    "->> | ? * + = <> != < > <= >= - / % || == && ! -- ' \" [ # \u2019 \x00 \n count sum prev",
)
BEGINNINGS = (
    *("pattern p match", "pattern p match", "stream s", "table t", "feature f on s as sum(x) over"),
    *("aggregate a from s by k", "aggregate a from s window", "join j from a, b", "join j"),
)
WORDS = tuple(word for line in LINES for word in line.split(" "))


def texts() -> list[str]:
    paths = sorted(HERE.glob("*/*.txt"))
    return [path.read_text(encoding="utf-8").split("\n---\n")[0] for path in paths]


def mutate(text: str, draw: random.Random) -> str:
    """Cut, double, swap or replace a few stretches of the text."""
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.randint(0, 12))
        insert = draw.choice(
            ("", text[start:end] * 2, draw.choice(WORDS), chr(draw.randint(1, 999)))
        )
        text = text[:start] + insert + text[end:]
    return text


def random_text(draw: random.Random, known: list[str]) -> str:
    kind = draw.random()
    if kind < 0.6:
        return mutate(draw.choice(known), draw)
    if kind < 0.8:
        words = draw.choices(WORDS, k=draw.randint(0, 25))
        return " ".join((draw.choice(BEGINNINGS), *words) if draw.random() < 0.7 else words)
    if kind < 0.95:
        return " ".join(draw.choices(" ".join(known).split(), k=draw.randint(1, 40)))
    return "".join(chr(draw.randint(0, 0x2FFF)) for _ in range(draw.randint(0, 60)))


def test_any_text_gives_rules_or_a_rule_error_with_a_message_and_a_place() -> None:
    draw, known = random.Random(20240611), texts()
    refused = sum(is_refused(random_text(draw, known)) for _ in range(COUNT))
    assert COUNT // 2 < refused < COUNT - COUNT // 100


def is_refused(text: str) -> bool:
    """Whether the text is no rule file; anything but rules that print well or errors fails."""
    try:
        with suppress(RuleError):
            check(text)
        rules, _ = parse_rules(text)
    except RuleError as refusal:
        error = refusal
    except Exception as crash:
        raise AssertionError(f"a text that is neither rules nor refused: {text!r}") from crash
    else:
        assert parse_rules(str(rules))[0] == rules, text
        return False
    assert all(problem.message and problem.span for problem in error.problems), text
    assert "^" in str(error), text
    return True
