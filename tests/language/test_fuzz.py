"""Random and mutated texts into the parser: a rule set or a RuleError, nothing else.

CEP_FUZZ sets the number of texts; a normal test run takes a few thousand.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from cep.dsl import parse_rules
from cep.engine.errors import RuleError

COUNT = int(os.environ.get("CEP_FUZZ", "3000"))
HERE = Path(__file__).parent

WORDS = (
    "stream pattern from by match longest within between events define as where unless after skip "
    "no past last event to next row first select on timeout permute consecutive combinations gap "
    "until and or not in like is null case when then else end cast true timestamp lateness time "
    "text int a b c x y card 5 2.5 1e4 10 minutes second ms 'text' e'\\n' \"q n\" ( ) { } , ; . -> "
    "->> | ? * + = <> != < > <= >= - / % || == && ! -- ' \" [ # \u2019 \u00e9 \x00 \n count sum prev"
).split(" ")


def texts() -> list[str]:
    paths = sorted(HERE.glob("*/*.txt"))
    return [path.read_text(encoding="utf-8").split("\n---\n")[0] for path in paths]


def mutate(text: str, draw: random.Random) -> str:
    """Cut, double, swap or replace a few stretches of the text."""
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.randint(0, 12))
        insert = draw.choice(("", text[start:end] * 2, draw.choice(WORDS), chr(draw.randint(1, 999))))
        text = text[:start] + insert + text[end:]
    return text


def random_text(draw: random.Random, known: list[str]) -> str:
    kind = draw.random()
    if kind < 0.6:
        return mutate(draw.choice(known), draw)
    if kind < 0.8:
        words = draw.choices(WORDS, k=draw.randint(0, 25))
        return " ".join(("pattern p match", *words) if draw.random() < 0.7 else words)
    if kind < 0.95:
        return " ".join(draw.choices(" ".join(known).split(), k=draw.randint(1, 40)))
    return "".join(chr(draw.randint(0, 0x2FFF)) for _ in range(draw.randint(0, 60)))


def test_any_text_gives_rules_or_a_rule_error_with_a_message_and_a_place() -> None:
    draw, known = random.Random(20240611), texts()
    parsed = refused = 0
    for number in range(COUNT):
        text = random_text(draw, known)
        try:
            rules, _ = parse_rules(text)
        except RuleError as error:
            refused += 1
            assert all(problem.message and problem.span for problem in error.problems), text
            assert "^" in str(error), text
        except Exception as error:
            raise AssertionError(f"text {number}: {text!r}") from error
        else:
            parsed += 1
            assert parse_rules(str(rules))[0] == rules, text
    assert parsed > COUNT // 100
    assert refused > COUNT // 2
