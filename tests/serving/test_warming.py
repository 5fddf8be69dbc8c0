"""What events need is compiled before the first one comes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cep
from cep.rules import check
from cep.serving.core import Core
from cep.serving.settings import Settings
from cep.serving.warming import warm
from tests.serving.process import ROOT, RULES, payment

EVENTS = 3_000


def compiled() -> Iterator[str]:
    """The kernels that this process has ready."""
    for module in list(sys.modules):
        if module.startswith("cep.engine.kernels."):
            for name, function in vars(sys.modules[module]).items():
                if getattr(function, "signatures", None):
                    yield f"{module}.{name}"


def main() -> None:
    """Print what events have needed beyond what was there, and how many matches there were."""
    settings = Settings(id_field="id", ahead=None)
    core = Core(check(RULES), settings)
    warm(check(RULES), core.options(check(RULES)))
    before = set(compiled())
    events = [json.dumps(payment(n, card=n % 7, amount=n % 100 + 1.0)) for n in range(EVENTS)]
    for event in events[:1_000]:
        core.take_event(event.encode(), None)
    for begin in range(1_000, EVENTS, 100):
        core.take_lines("\n".join(events[begin : begin + 100]).encode(), None)
    core.take_event(json.dumps(payment(80_000)).encode(), None)
    core.snapshot()
    print(json.dumps([sorted(set(compiled()) - before), core.detector.status()["matches"]]))


def test_events_find_all_compiled_that_they_need() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.test_warming"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    more, matches = json.loads(done.stdout)
    assert (more, matches > 100) == ([], True), done.stderr


def test_rules_with_tables_and_undeclared_streams_can_be_warmed() -> None:
    rules = check(
        "table cards (card int, most float) by card; stream payments time ts;"
        "pattern over from payments match t define t as amount > cards.most"
    )
    tables: dict[str, Any] = {"cards": [{"card": 1, "most": 2.0}]}
    warm(rules, {"tables": tables})
    detector = cep.Detector(rules, tables=tables)
    assert len(detector.process({"ts": "2025-03-03", "card": 1, "amount": 3.0})) == 1


if __name__ == "__main__":
    main()
