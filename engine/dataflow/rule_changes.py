"""Fingerprints of the rules before and now, and what was saved -> which statements go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TypeVar

from cep.engine.dataflow.tasks import TaskPlan
from cep.engine.operators.features.restore import Member, state_of
from cep.engine.state.restoring import Restored
from cep.engine.state.snapshot import Value

Prints = Mapping[str, Value]  # of `engine.dataflow.fingerprint`
Statement = TypeVar("Statement", str, Member)


class RuleChanges:
    """What becomes of each statement.

    `kept_nodes` and `kept_features` have the same fingerprint and are found in what was saved. What
    a changed feature is computed from may move the statements that read it to another task, in
    which there is nothing of theirs: these start afresh.
    """

    def __init__(
        self,
        before: Prints,
        now: Prints,
        tasks: Mapping[str, Value],
        plans: Sequence[TaskPlan],
    ) -> None:
        self._before, self._now = before, now
        self._tasks = tasks
        same_nodes = _same(before["nodes"], now["nodes"])
        self.kept_nodes = {
            node.name
            for plan in plans
            for node in plan.nodes
            if node.name in same_nodes
            and plan.name in tasks
            and node.name in tasks[plan.name]["nodes"]["states"]
        }
        kinds = ("features", "hidden")
        same = [_same(_members(before[kind]), _members(now[kind])) for kind in kinds]
        gone = {owner for owner in now["nodes"] if owner not in self.kept_nodes}
        self._same_features = same[0] | {m for m in same[1] if m[1].rpartition("#")[0] not in gone}
        self.kept_features = {
            member
            for plan in plans
            for saved in (self.features_of(plan),)
            if saved is not None
            for member in state_of(saved["states"], self._of(plan))
        }

    @property
    def gone_fields(self) -> set[str]:
        """Fields that features made and no feature makes any more."""
        kinds = ("features", "hidden")
        before, now = (
            {name for kind in kinds for _, name in _members(prints[kind])}
            for prints in (self._before, self._now)
        )
        return before - now

    def _of(self, plan: TaskPlan) -> set[Member]:
        """The features of a task that are the same."""
        return {(f.stream, f.name) for f in plan.features} & self._same_features

    def features_of(self, plan: TaskPlan) -> Mapping[str, Value] | None:
        """Where the features of a task were saved: in the same, else in one that had most of them.

        Tasks that read the same stream compute the same features, each for itself.
        """
        if plan.name in self._tasks:
            return _features(self._tasks[plan.name])
        wanted = self._of(plan)
        found = [_features(task) for task in self._tasks.values()]
        counts = [len(state_of(saved["states"], wanted)) for saved in found]
        return found[counts.index(max(counts))] if max(counts, default=0) else None

    def report(self) -> Restored:
        """By name; of features of the same name, with their stream: `n on payments`."""
        found = Restored()
        _sort(found, self._before["nodes"], self._now["nodes"], self.kept_nodes, str)
        before, now = _members(self._before["features"]), _members(self._now["features"])
        nodes = {*self._before["nodes"], *self._now["nodes"]}
        names = Counter([*nodes, *(name for _, name in {**before, **now})])

        def label(member: Member) -> str:
            stream, name = member
            return name if names[name] == 1 or not stream else f"{name} on {stream}"

        _sort(found, before, now, self.kept_features, label)
        return found


def _features(task: Mapping[str, Value]) -> Mapping[str, Value]:
    features: Mapping[str, Value] = task["features"]
    return features


def _members(prints: Mapping[str, Mapping[str, str]]) -> dict[Member, str]:
    return {(stream, name): p for stream, named in prints.items() for name, p in named.items()}


def _same(before: Mapping[Statement, str], now: Mapping[Statement, str]) -> set[Statement]:
    return {statement for statement, p in now.items() if before.get(statement) == p}


def _sort(
    found: Restored,
    before: Iterable[Statement],
    now: Iterable[Statement],
    kept: Container[Statement],
    label: Callable[[Statement], str],
) -> None:
    """Put the labels of the statements where they belong, in their order."""
    known = set(before)
    for statement in now:
        went_on = found.kept if statement in kept else found.fresh
        (went_on if statement in known else found.new).append(label(statement))
    found.dropped += [label(statement) for statement in before if statement not in set(now)]
