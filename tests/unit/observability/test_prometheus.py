"""What Prometheus is told, against runs that were counted by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import cep
from cep.observability.prometheus import DetectorCollector
from cep.observability.readings import FAMILIES, Kind

RULES = """
stream s (id int, ts timestamp, k int, x float) time ts lateness 5 seconds;
pattern up from s by k match a -> b within 10 seconds
  define a as x > 1, b as x > a.x
  on timeout select a.id as id;
pattern tenfold from s by k match a b within 1 minute
  define a as true, b as x / a.x > 10;
aggregate tens from s window tumbling 10 seconds select count(*) as n;
"""
NOON_US = 1_741_003_200_000_000  # 2025-03-03 12:00
Told = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def event(id: int, second: int, x: float) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "ts": f"2025-03-03 12:{second // 60:02}:{second % 60:02}", "k": 1, "x": x}


def told(collector: Collector) -> Told:
    """(name, labels) -> value, as a scrape of these metrics alone reads them."""
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def plain(found: Told) -> dict[str, float]:
    """The values without labels, by name."""
    return {name: value for (name, labels), value in found.items() if not labels}


def of(found: Told, name: str) -> dict[str, float]:
    """The values of a metric with one label, by the value of that."""
    return {labels[0][1]: value for (n, labels), value in found.items() if n == name}


def worked() -> cep.Detector:
    """Seven events: a match of each pattern, a timeout, an error, a late and an implausible one."""
    clock_us = NOON_US + 100_000_000
    detector = cep.Detector(RULES, ahead=timedelta(minutes=5), clock=lambda: clock_us)
    detector.process(event(1, 0, 2.0))  # opens a run of `up`
    detector.process(event(2, 1, 30.0))  # ends it, and is ten times the one before
    detector.process(event(3, 2, 0.0))
    detector.process(event(4, 20, 2.0))  # divides by the 0 before; opens a run of `up`
    detector.process_batch([event(5, 40, 0.5), event(6, 41, 1000.0)])  # the run is out of time
    detector.process(event(7, 3, 9.0))  # late
    detector.process(event(8, 3599, 9.0))  # an hour ahead
    detector.advance_to("2025-03-03 12:00:50")
    return detector


def test_a_scrape_tells_what_was_counted_by_hand() -> None:
    found = told(DetectorCollector(worked()))
    assert plain(found) | {"cep_state_bytes": 0} == {
        "cep_events_total": 8,
        "cep_matches_total": 3,  # 1 -> 2; 1 2; 5 6
        "cep_timeouts_total": 1,  # the run that 4 opened
        "cep_rows_total": 3,  # at 0, 20 and 40 seconds
        "cep_late_events_total": 1,
        "cep_errors_total": 2,  # 0 / 0 at event 4, and the implausible one
        "cep_implausible_events_total": 1,
        "cep_refused_runs_total": 0,
        "cep_dropped_runs_total": 0,
        "cep_rules": 3,
        "cep_rules_unlisted": 0,
        "cep_open_runs": 1,  # by event 6
        "cep_held_events": 0,
        "cep_state_bytes": 0,
        "cep_watermark_lag_seconds": 50.0,
        "cep_checkpoint_failures_total": 0,
        "cep_checkpoint_duration_seconds_count": 0,
        "cep_checkpoint_duration_seconds_sum": 0,
        "cep_checkpoint_size_bytes_count": 0,
        "cep_checkpoint_size_bytes_sum": 0,
    }
    assert of(found, "cep_rule_matches_total") == {"up": 1, "tenfold": 2}
    assert of(found, "cep_rule_timeouts_total") == {"up": 1, "tenfold": 0}
    assert of(found, "cep_rule_rows_total") == {"tens": 3}
    assert of(found, "cep_rule_errors_total") == {"up": 0, "tenfold": 1, "tens": 0}
    assert of(found, "cep_rule_open_runs") == {"up": 1, "tenfold": 0}
    assert of(found, "cep_stream_events_total") == {"s": 7}
    assert of(found, "cep_stream_late_events_total") == {"s": 1}
    assert of(found, "cep_stream_watermark_lag_seconds") == {"s": 50.0}
    assert of(found, "cep_stream_idle") == {"s": 0}


def test_memory_is_told_by_what_it_is_for_and_by_rule() -> None:
    detector = worked()
    found = told(DetectorCollector(detector))
    parts, nodes = of(found, "cep_state_bytes"), detector.status()["nodes"]
    assert set(parts) == {"runs", "windows", "features", "events", "keys", "waiting"}
    assert parts["runs"] == nodes["up"]["bytes"] + nodes["tenfold"]["bytes"] > 0
    assert parts["windows"] == nodes["tens"]["bytes"] > 0
    assert of(found, "cep_rule_state_bytes") == {n: node["bytes"] for n, node in nodes.items()}


def test_calls_are_counted_by_what_was_called_and_by_how_long_they_took() -> None:
    detector = worked()
    with pytest.raises(cep.DataError):
        detector.process({"no": "such field"}, "z")
    found = told(DetectorCollector(detector))
    assert of(found, "cep_latency_seconds_count") == {
        "process": 6,
        "process_batch": 1,
        "advance_to": 1,
        "tick": 0,
        "snapshot": 0,
        "update": 0,
    }
    assert of(found, "cep_failed_calls_total")["process"] == 1
    buckets = [
        (float(dict(labels)["le"]), value)
        for (name, labels), value in found.items()
        if name == "cep_latency_seconds_bucket" and dict(labels)["call"] == "process"
    ]
    assert len(buckets) == 21
    assert buckets == sorted(buckets, key=lambda one: (one[0], one[1]))
    assert list(buckets[-1]) == [float("inf"), 6]
    assert found["cep_latency_seconds_sum", (("call", "process"),)] > 0


def test_checkpoints_are_timed_and_measured_and_failures_are_counted(tmp_path: Path) -> None:
    detector = worked()
    info = detector.checkpoint(tmp_path / "there")
    detector.savepoint(tmp_path / "there", "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(cep.CheckpointError):
        detector.checkpoint(tmp_path / "file")
    found = told(DetectorCollector(detector))
    assert plain(found)["cep_checkpoint_duration_seconds_count"] == 2
    assert plain(found)["cep_checkpoint_size_bytes_sum"] >= 2 * info.size_bytes - 64
    assert plain(found)["cep_checkpoint_failures_total"] == 1
    assert plain(found)["cep_last_checkpoint_timestamp_seconds"] == NOON_US / 1e6 + 100
    assert of(found, "cep_latency_seconds_count")["snapshot"] == 2


def test_an_update_keeps_the_counts_of_rules_that_stay_and_forgets_those_that_go() -> None:
    detector = worked()
    with pytest.raises(cep.RuleError):
        detector.update("pattern up from nowhere")
    detector.update("\n".join(RULES.splitlines()[:5]))
    found = told(DetectorCollector(detector))
    assert of(found, "cep_rule_matches_total") == {"up": 1}
    assert plain(found)["cep_matches_total"] == 3
    assert of(found, "cep_latency_seconds_count")["update"] == 1
    assert of(found, "cep_failed_calls_total")["update"] == 1
    detector.update(RULES)
    assert of(told(DetectorCollector(detector)), "cep_rule_matches_total")["tenfold"] == 0


def test_counters_begin_at_0_after_a_restore_while_the_status_goes_on(tmp_path: Path) -> None:
    detector = worked()
    detector.checkpoint(tmp_path)
    restored = cep.Detector.restore(tmp_path, RULES, clock=lambda: NOON_US)
    assert restored.status()["matches"] == 3
    assert restored.status()["nodes"]["tenfold"]["matches"] == 2
    restored.process(event(9, 60, 3000.0))
    restored.advance_to("2025-03-03 12:01:00")
    found = told(DetectorCollector(restored))
    assert (plain(found)["cep_events_total"], plain(found)["cep_matches_total"]) == (1, 0)
    assert of(found, "cep_stream_events_total") == {"s": 1}
    assert plain(found)["cep_rows_total"] == 0
    assert plain(found)["cep_implausible_events_total"] == 0
    assert restored.status()["events"] == 9


def test_a_counter_whose_state_was_lost_goes_on_from_0() -> None:
    limits = {"up": cep.Limit(runs_per_key=1)}
    first = cep.Detector(RULES, limits=limits)
    first.process_batch([event(1, 0, 5.0), event(2, 1, 3.0), event(3, 10, 0.0)])
    restored = cep.Detector.from_snapshot(first.snapshot(), RULES, limits=limits)
    collector = DetectorCollector(restored)
    assert plain(told(collector))["cep_refused_runs_total"] == 0
    restored.update(RULES.replace("x > a.x", "x > 1 + a.x"))  # its state begins anew
    assert plain(told(collector))["cep_refused_runs_total"] == 0
    restored.process_batch([event(4, 12, 5.0), event(5, 13, 3.0), event(6, 30, 0.0)])
    assert plain(told(collector))["cep_refused_runs_total"] == 1


def test_rules_beyond_the_most_have_no_series_and_are_counted() -> None:
    detector = worked()
    for rules_max, listed in ((2, {"up", "tenfold"}), (0, set())):
        found = told(DetectorCollector(detector, rules_max=rules_max))
        assert set(of(found, "cep_rule_errors_total")) == listed
        assert plain(found)["cep_rules"] == 3
        assert plain(found)["cep_rules_unlisted"] == 3 - rules_max
        assert plain(found)["cep_matches_total"] == 3
    with pytest.raises(cep.DataError, match="rules_max=-1"):
        DetectorCollector(detector, rules_max=-1)


def test_thousands_of_rules_have_a_bounded_number_of_series() -> None:
    pattern = "pattern p{} from s match a define a as x > {};\n"
    many = RULES.splitlines()[1] + "".join(pattern.format(n, n) for n in range(1_005))
    detector = cep.Detector(many)
    by_rule = [labels for (name, labels) in told(DetectorCollector(detector)) if "_rule_" in name]
    assert len(by_rule) == 5 * 1_000


def test_detectors_of_one_process_are_told_apart_by_labels() -> None:
    collector = DetectorCollector(worked(), {"detector": "one"})
    other = cep.Detector(RULES)
    collector.add(other, {"detector": "two"})
    assert of(told(collector), "cep_events_total") == {"one": 8, "two": 0}
    collector.remove(other)
    assert of(told(collector), "cep_events_total") == {"one": 8}


def test_labels_that_do_not_fit_are_refused() -> None:
    collector = DetectorCollector(worked(), {"detector": "one"})
    with pytest.raises(cep.DataError, match="all detectors have the same names: detector"):
        collector.add(worked(), {"service": "two"})
    with pytest.raises(cep.DataError, match="another detector has them"):
        collector.add(worked(), {"detector": "one"})
    with pytest.raises(cep.DataError, match="label 'rule': the metrics have one of that name"):
        DetectorCollector(worked(), {"rule": "x"})


def test_registering_reads_no_detector_and_refuses_a_second_collector() -> None:
    class Unreadable(cep.Detector):
        def status(self) -> dict[str, Any]:
            raise AssertionError("not asked for")

    registry = CollectorRegistry(auto_describe=True)
    registry.register(DetectorCollector(Unreadable(RULES)))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(DetectorCollector(Unreadable(RULES)))


def test_a_detector_that_nobody_has_fed_or_that_has_ended_can_be_scraped() -> None:
    undeclared = cep.Detector("pattern up match a define a as x > 1")
    assert plain(told(DetectorCollector(undeclared)))["cep_events_total"] == 0
    detector = worked()
    detector.finish()
    detector.close()
    found = plain(told(DetectorCollector(detector)))
    assert "cep_watermark_lag_seconds" not in found
    assert (found["cep_rows_total"], found["cep_open_runs"]) == (3, 0)


def test_names_and_units_follow_the_conventions() -> None:
    for family in FAMILIES:
        assert family.name.startswith("cep_")
        assert not family.name.endswith("_total")
        assert family.unit == "" or family.name.endswith(f"_{family.unit}")
        assert family.unit in ("", "seconds", "bytes")
        assert family.help[-1] == "."
        assert family.kind is not Kind.HISTOGRAM or family.unit
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
