"""Rules that change a thousand times while events flow: nobody else notices."""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

import cep
from tests.simulation.changes import UNTOUCHED, Change, Changes, Source, is_same, told

CHANGES = int(os.environ.get("CEP_CHANGES", "1000"))
pytestmark = pytest.mark.filterwarnings("ignore::cep.RuleWarning")


def change(detector: cep.Detector, made: Change, is_wrong: bool) -> None:
    """What is refused leaves no trace."""
    if not is_wrong:
        made(detector)
        return
    before, rules = detector.snapshot(), detector.rules
    with pytest.raises(cep.RuleError):
        made(detector)
    assert is_same(before, detector.snapshot())
    assert detector.rules == rules


def test_a_thousand_changes_are_not_noticed_by_rules_that_stay() -> None:
    random = Random(1000)
    rules = UNTOUCHED.format(more="lateness 2 seconds")
    changes, source = Changes(random, rules), Source(random, late=True)
    detector, steady = cep.Detector(rules), cep.Detector(rules)
    refused, found, shadow = 0, Counter[str](), None
    for number in range(CHANGES):
        if number % 50 == 25:
            shadow = detector.shadow("\n".join([rules, *changes.active.values()]))
        elif number % 50 == 30 and shadow is not None:
            promote_or_stop(shadow, changes, promoted=number % 100 == 30)
        elif number % 50 == 40:
            detector = restarted(detector)
        elif shadow is None or not shadow.is_running:
            made, is_wrong = changes.next()
            change(detector, made, is_wrong)
            refused += is_wrong
        else:
            refuse_while_shadowed(detector)
        events = source.some(random.randrange(1, 4))
        result, expected = detector.process_batch(events), steady.process_batch(events)
        assert told(result) == told(expected), f"after {number} changes"
        found.update(row[0] for row in told(result))
    assert told(detector.finish()) == told(steady.finish())
    assert detector.status()["events"] == steady.status()["events"]
    assert detector.status()["streams"] == steady.status()["streams"]
    assert detector.status()["streams"]["s"]["late"] > CHANGES // 20
    assert refused > CHANGES // 6
    assert all(found[what] for what in ("kept", "silent", "above", "row", "timed out"))


def promote_or_stop(shadow: Any, changes: Changes, *, promoted: bool) -> None:
    assert shadow.error is None
    assert shadow.report().differences[0].only_old == 0
    if promoted:
        shadow.promote()
        changes.disabled.clear()  # its rules do not have them
    else:
        shadow.stop()


def refuse_while_shadowed(detector: cep.Detector) -> None:
    before = detector.snapshot()
    with pytest.raises(cep.StateError, match="shadow"):
        detector.disable("kept")
    assert is_same(before, detector.snapshot())


def restarted(detector: cep.Detector) -> cep.Detector:
    """Another one with the rules in force, the disabled ones and all state."""
    again = cep.Detector.from_snapshot(detector.snapshot())
    assert again.rules == detector.rules
    detector.close()
    return again


def test_threads_that_feed_events_do_not_notice_changes_either() -> None:
    rules = UNTOUCHED.format(more="by source")
    sources = [Source(Random(seed), seed) for seed in range(3)]
    fed: list[list[dict[str, Any]]] = [source.some(1) for source in sources]
    detector, steady = cep.Detector(rules), cep.Detector(rules)
    found = [told(detector.process_batch([event for (event,) in fed]))]
    is_over = Flag()

    def feed(source: Source) -> None:
        while not is_over.is_set():
            events = source.some(source.random.randrange(1, 5))
            fed[source.number] += events
            found.append(told(detector.process_batch(events)))

    threads = [Thread(target=feed, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    try:
        changes = Changes(Random(7), rules)
        for _ in range(CHANGES // 5):
            made, is_wrong = changes.next()
            if is_wrong:
                with pytest.raises(cep.RuleError):
                    made(detector)
            else:
                made(detector)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    found.append(told(detector.finish()))
    expected = [told(steady.process_batch([event for events in fed for event in events[:1]]))]
    expected += [told(steady.process_batch(events[1:])) for events in fed]
    expected.append(told(steady.finish()))
    assert detector.status()["events"] == sum(map(len, fed))
    assert in_any_order(found) == in_any_order(expected)


def in_any_order(found: list[list[Any]]) -> Counter[Any]:
    return Counter(row for several in found for row in several)
