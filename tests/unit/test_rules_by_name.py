"""Statements added, replaced, disabled, enabled and removed by name; what `rules` says of them."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

import cep
from cep.builder import pattern, var

RULES = """
stream s (ts timestamp, key int, x int, m text) time ts;
parameter $low int = 1;
feature total on s as sum(x) over 1 hour by key;
pattern p from s by key match a -> b within 1 hour define a as x = $low, b as x = 2;
pattern q from p match m define m as true;
aggregate counts from s by key window tumbling 5 minutes select key, count(*) as n;
pattern r from s by key match a define a as total > 100;
"""
Q = "pattern q from p match m define m as true;"


def event(minute: int, x: int) -> dict[str, Any]:
    return {"ts": f"2025-01-01 00:{minute:02}:00", "key": 1, "x": x}


def ticking() -> Any:
    """A clock that goes a second further whenever it is read."""
    now = iter(range(10**6, 10**10, 10**6))
    return lambda: next(now)


def states(detector: cep.Detector) -> dict[str, tuple[int, str]]:
    return {each.name: (each.version, each.state) for each in detector.rules}


def names(result: cep.Result) -> list[str]:
    return sorted(match.pattern for match in result)


def test_what_is_added_begins_and_the_others_go_on() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(0, 1))
    restored = detector.add("pattern t from s match a define a as x = 2")
    assert (restored.kept, restored.new) == (["counts", "p", "r", "q", "total"], ["t"])
    assert names(detector.process(event(1, 2))) == ["p", "q", "t"]


def test_patterns_built_in_python_are_added_and_replaced() -> None:
    detector = cep.Detector(pattern("p", key="key").match(var("a").where("x = 1")))
    detector.add(pattern("q", key="key").match(var("a").where("x = 2")))
    detector.process(event(0, 1))
    detector.replace([pattern("q", key="key").match(var("a").where("x = 3"))])
    assert names(detector.process_batch([event(1, 2), event(2, 3), event(3, 1)])) == ["p", "q"]
    assert states(detector) == {"p": (1, "active"), "q": (2, "active")}


def test_what_is_replaced_by_the_same_in_other_words_keeps_state_and_version() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(0, 1))
    same = "-- better\npattern p from s by key match a -> b\nwithin 60 minutes"
    detector.replace(f"{same} define a as x = $low, b as x = 2")
    assert detector.rules["p"].version == 1
    assert detector.rules["p"].text.startswith("-- better")
    assert names(detector.process(event(1, 2))) == ["p", "q"]


def test_what_is_replaced_by_something_else_is_the_next_version_and_begins_anew() -> None:
    detector = cep.Detector(RULES, clock=ticking())
    before = detector.rules["p"]
    detector.process(event(0, 1))
    restored = detector.replace("pattern p from s by key match a -> b define a as x=1, b as x=2")
    assert (restored.fresh, restored.new) == (["p", "q"], [])
    assert states(detector)["p"] == (2, "active")
    assert detector.rules["p"].since > before.since
    assert states(detector)["q"] == (1, "active")
    assert len(detector.process(event(1, 2))) == 0


def test_what_is_disabled_lets_go_of_its_state_and_begins_anew_when_enabled() -> None:
    detector = cep.Detector(RULES)
    detector.process(event(0, 1))
    assert detector.disable("q", "p").dropped == ["p", "q"]
    assert states(detector)["p"] == (1, "disabled")
    assert len(detector.process(event(1, 2))) == 0
    assert detector.enable("p", "q").new == ["p", "q"]
    assert len(detector.process(event(2, 2))) == 0
    assert names(detector.process_batch([event(3, 1), event(4, 2)])) == ["p", "q"]


def test_disabling_what_is_disabled_changes_nothing() -> None:
    detector = cep.Detector(RULES, clock=ticking())
    detector.disable("q")
    before = detector.rules
    assert str(detector.disable("q")) == "nothing"
    assert detector.rules == before


def test_what_is_removed_is_forgotten() -> None:
    detector = cep.Detector(RULES)
    assert detector.remove("r", "total on s").dropped == ["r", "total"]
    assert list(states(detector)) == ["s", "$low", "p", "q", "counts"]


def test_a_disabled_statement_stays_so_over_updates_that_have_it() -> None:
    detector = cep.Detector(RULES)
    detector.disable("q")
    detector.update(RULES.replace("= 2", "= 3").replace("m as true", "m as true "))
    assert states(detector)["p"] == (2, "active")
    assert states(detector)["q"] == (1, "disabled")
    detector.update(RULES.replace(Q, Q.replace("true", "false")))
    assert states(detector)["q"] == (2, "disabled")
    detector.update(RULES.replace(Q, ""))
    assert "q" not in states(detector)


def test_what_was_replaced_while_disabled_runs_once_it_is_enabled() -> None:
    detector = cep.Detector(RULES)
    detector.disable("r")
    with pytest.raises(cep.RuleError, match="no field 'y'"):
        detector.replace("pattern r from s match a define a as y > 1")
    detector.replace("pattern r from s match a define a as x = 9")
    assert len(detector.process(event(0, 9))) == 0
    detector.enable("r")
    assert names(detector.process(event(1, 9))) == ["r"]


REFUSED = {
    "add": [
        ("pattern p match a", "there is a pattern 'p' already"),
        ("pattern r2 from s match a define a as y > 1", "<rules>:1:39: error: no field 'y'"),
        ("pattern", "<rules>:1:8: error: the pattern has no name"),
        ("-- nothing", "there is no statement in the text"),
    ],
    "replace": [
        (
            "pattern pp match a",
            "there is no pattern 'pp' among the rules\n  hint: did you mean 'p'?",
        ),
        ("feature total on t as sum(x) over all", "no feature 'total on t'.*'total on s'"),
        ("\n pattern p from s match a define a as y > 1", "<rules>:2:39: error: no field 'y'"),
        ("stream s (ts timestamp, key int) time ts", "<rules>:4:27: error: no field 'x'"),
        ("pattern", "<rules>:1:8: error: the pattern has no name"),
    ],
    "remove": [
        ("total", "feature 'total on s' cannot be removed: it is read by pattern 'r'"),
        ("$low", "parameter '[$]low' cannot be removed: it is read by pattern 'p'"),
        ("s", "stream 's' cannot be removed: it is read by feature 'total on s', pattern 'p'"),
        ("conts", "there is no 'conts' among the rules\n  hint: did you mean 'counts'?"),
    ],
    "disable": [
        ("p", "pattern 'p' cannot be disabled: it is read by pattern 'q'"),
        ("total", "feature 'total on s' is not run for itself"),
        ("x", "there is no 'x' among the rules"),
    ],
    "enable": [("x", "there is no 'x' among the rules")],
}


@pytest.mark.parametrize(
    ("how", "what", "message"),
    [(how, what, message) for how, cases in REFUSED.items() for what, message in cases],
)
def test_what_is_refused_says_why_and_changes_nothing(how: str, what: str, message: str) -> None:
    detector = cep.Detector(RULES, clock=ticking())
    detector.process(event(0, 1))
    before = detector.rules, detector.rules.current, detector.status()
    with pytest.raises(cep.RuleError, match=f"(?s){message}"):
        getattr(detector, how)(what)
    assert detector.measured.failed == {"update": 1}
    assert (detector.rules, detector.rules.current, detector.status()) == before
    assert names(detector.process(event(1, 2))) == ["p", "q"]


def test_something_must_be_left_to_run() -> None:
    detector = cep.Detector("pattern p match a define a as x = 1")
    with pytest.raises(cep.RuleError, match="no pattern, aggregate or join would be left to run"):
        detector.disable("p")
    with pytest.raises(cep.RuleError, match="no statement is named"):
        detector.remove()


def test_what_an_update_reads_of_a_disabled_statement_is_refused() -> None:
    detector = cep.Detector(RULES)
    detector.disable("q")
    reader = "pattern t from q match a define a as true"
    with pytest.raises(cep.RuleError, match="pattern 'q' is disabled: it is read by pattern 't'"):
        detector.update(RULES + reader)
    with pytest.raises(cep.RuleError, match="there is a disabled pattern 'q' already"):
        detector.add("pattern q from s match a define a as true")


def test_features_of_the_same_name_are_told_apart_by_their_streams() -> None:
    detector = cep.Detector("""
stream s (ts timestamp, x int) time ts; stream t (ts timestamp, x int) time ts;
feature n on s as count(*) over all; feature n on t as count(*) over all;
pattern p from s match a define a as n > 3; pattern q from t match a define a as n > 3;
""")
    with pytest.raises(cep.RuleError, match="'n' may be feature 'n on s' and feature 'n on t'"):
        detector.remove("n")


@pytest.mark.filterwarnings("ignore:.*never read:cep.RuleWarning")
def test_a_feature_that_nobody_reads_may_go() -> None:
    detector = cep.Detector(RULES.replace("total > 100", "x > 100"))
    detector.remove("total")
    assert "total on s" not in states(detector)


def test_a_warning_tells_of_new_statements_only() -> None:
    with pytest.warns(cep.RuleWarning, match="never read"):
        detector = cep.Detector(RULES + "feature n on s as count(*) over all;")
    detector.disable("q")
    with pytest.warns(cep.RuleWarning, match="<rules>:1:29: .*variable 'b' has no definition"):
        detector.add("pattern t from s match a -> b within 1 hour define a as x = 1")


def test_values_of_parameters_stay_until_the_parameter_is_replaced() -> None:
    detector = cep.Detector(cep.compile(RULES, parameters={"low": 5}))
    detector.add("pattern t from s match a define a as x = $low")
    assert names(detector.process(event(0, 5))) == ["t"]
    detector.replace("parameter $low int = 7")
    assert states(detector)["t"] == (2, "active")
    assert names(detector.process_batch([event(1, 5), event(2, 7)])) == ["t"]


def test_functions_of_the_users_own_stay() -> None:
    function = cep.AggregateFunction(
        "largest",
        create=lambda: 0.0,
        add=lambda state, value: max(state, value),
        merge=max,
        result=lambda state: state,
        type=cep.DataType.FLOAT,
    )
    rules = "stream s (ts timestamp, x float) time ts;" + (
        "aggregate n from s window tumbling 1 minute select largest(x) as top;"
    )
    detector = cep.Detector(cep.compile(rules, functions=[function]))
    detector.add("pattern p from n match a define a as top > 3")
    found = detector.process_batch([event(0, 4), event(2, 1)])
    assert names(found) == ["p"]


def test_limits_functions_and_tables_wait_for_what_is_disabled() -> None:
    counted: list[int] = []
    rules = RULES + (
        "table merchants (m text, risk int) by m;"
        "pattern t from s by key match a -> b define a as merchants.risk > 1, b as x = 3;"
    )
    limit = cep.Limit(runs_per_key=1)
    detector = cep.Detector(
        rules,
        tables={"merchants": [{"m": "a", "risk": 1}]},
        limits={"t": limit},
        on={"counts": lambda table: counted.append(table.num_rows)},
    )
    detector.disable("counts", "t")
    detector.reload("merchants", [{"m": "a", "risk": 2}])
    detector.process(event(0, 1))
    detector.enable("counts", "t")
    detector.process_batch([event(6, 1) | {"m": "a"}, event(7, 1) | {"m": "a"}, event(12, 0)])
    assert counted == [1]
    assert detector.status()["nodes"]["t"]["refused_runs"] == 1
    snapshot = detector.snapshot()
    with pytest.raises(cep.DataError, match="limits: no pattern 'nix'"):
        cep.Detector.from_snapshot(snapshot, rules, limits={"nix": limit})


def test_what_is_given_for_disabled_statements_is_no_mistake_after_a_restart() -> None:
    detector = cep.Detector(RULES, limits={"p": cep.Limit(runs=5)}, on={"counts": print})
    detector.disable("counts", "q", "p")
    restored = cep.Detector.from_snapshot(
        detector.snapshot(), RULES, limits={"p": cep.Limit(runs=5)}, on={"counts": print}
    )
    assert states(restored)["counts"] == (1, "disabled")
    restored.enable("counts", "p")


def test_a_table_comes_with_the_pattern_that_looks_it_up() -> None:
    detector = cep.Detector(RULES)
    detector.add(
        "table merchants (m text, risk int) by m;"
        "pattern t from s match a define a as merchants.risk > 1;",
        tables={"merchants": [{"m": "a", "risk": 2}]},
    )
    assert names(detector.process(event(0, 5) | {"m": "a"})) == ["t"]
    with pytest.raises(cep.RuleError, match="'merchants' cannot be removed: it is read by"):
        detector.remove("merchants")
    detector.remove("merchants", "t")


def test_versions_go_through_a_checkpoint(tmp_path: Any) -> None:
    clock = ticking()
    detector = cep.Detector(cep.compile(RULES, parameters={"low": 7}), clock=clock)
    detector.process(event(0, 7))
    detector.replace("pattern r from s match a define a as x = 9")
    detector.add("pattern t from s match a define a as x = 8")
    detector.disable("counts")
    detector.checkpoint(tmp_path)
    restored = cep.Detector.restore(tmp_path, clock=clock)
    assert restored.rules == detector.rules
    assert restored.rules.text == detector.rules.text
    assert names(restored.process_batch([event(1, 2), event(2, 9), event(3, 8)])) == [
        "p",
        "q",
        "r",
        "t",
    ]


def test_rules_of_another_process_go_on_counting(tmp_path: Any) -> None:
    clock = ticking()
    detector = cep.Detector(RULES, clock=clock)
    detector.process(event(0, 1))
    since = detector.rules["p"].since
    changed = RULES.replace("total > 100", "total > 99")
    with pytest.warns(cep.RuleWarning, match="r has changed"):
        restored = cep.Detector.from_snapshot(detector.snapshot(), changed, clock=clock)
    assert states(restored)["r"] == (2, "active")
    assert restored.rules["p"].since == since


def test_a_snapshot_from_before_there_were_versions_has_its_rules_all_the_same() -> None:
    snapshot = cep.Detector(RULES).snapshot()
    for name in ("statements", "parameters"):
        del snapshot[name]
    assert len(cep.Detector.from_snapshot(snapshot).rules) == 7


def test_rules_are_listed_as_text_as_a_table_and_in_a_notebook() -> None:
    detector = cep.Detector(RULES, clock=ticking())
    detector.disable("q")
    assert str(detector.rules).splitlines() == [
        "name        kind       version  since                state",
        "s           stream     1        1970-01-01 00:00:01  active",
        "$low        parameter  1        1970-01-01 00:00:01  active",
        "total on s  feature    1        1970-01-01 00:00:01  active",
        "p           pattern    1        1970-01-01 00:00:01  active",
        "q           pattern    1        1970-01-01 00:00:02  disabled",
        "counts      aggregate  1        1970-01-01 00:00:01  active",
        "r           pattern    1        1970-01-01 00:00:01  active",
    ]
    assert repr(detector.rules) == "<RuleVersions: 7 statements>"
    assert detector.rules.to_pandas()["state"].tolist().count("active") == 6
    assert detector.rules.to_polars()["text"][3].startswith("pattern p from s")
    shown = "".join(fromstring(detector.rules._repr_html_()).itertext())
    assert "7 statements" in shown
    assert "qpattern11970-01-01 00:00:02disabled" in shown


def test_a_version_is_found_by_name_and_by_number() -> None:
    rules = cep.Detector(RULES).rules
    assert rules["total"] == rules["total on s"] == rules[2]
    assert [each.name for each in rules[-2:]] == ["counts", "r"]
    with pytest.raises(KeyError, match="no statement 'conts'; did you mean 'counts'"):
        rules["conts"]
    assert len({rules, cep.Detector(RULES, clock=ticking()).rules}) == 2
