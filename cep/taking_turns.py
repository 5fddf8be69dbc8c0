"""One call at a time: threads that share an object wait for each other, and so does a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
R = TypeVar("R")
Shared = TypeVar("Shared", bound="TakingTurns")


class TakingTurns:
    """What has methods that are `one_at_a_time`.

    A fork waits until no thread is in one of them, so that the child has an object between two
    calls; `forked` is True there.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.forked = False
        _shared.add(self)

    def take_turns_with(self, other: TakingTurns) -> None:
        """Have the lock of another one, which belongs to it: a fork cares for that one alone."""
        _shared.discard(self)
        self.lock = other.lock

    def forget_threads(self) -> None:
        """Called in the child of a fork, where the threads of the parent are not."""


def one_at_a_time(
    method: Callable[Concatenate[Shared, P], R],
) -> Callable[Concatenate[Shared, P], R]:
    """A method during which no other of the object is at work on another thread."""

    @wraps(method)
    def waiting(self: Shared, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return waiting


_shared: WeakSet[TakingTurns] = WeakSet()
_waited_for: list[TakingTurns] = []


def _before_fork() -> None:
    _waited_for[:] = list(_shared)
    for each in _waited_for:
        each.lock.acquire()


def _in_parent() -> None:
    for each in reversed(_waited_for):
        each.lock.release()
    _waited_for.clear()


def _in_child() -> None:
    for each in _waited_for:
        each.lock = RLock()
        each.forked = True
        each.forget_threads()
    _waited_for.clear()


_register: Any = getattr(os, "register_at_fork", None)  # not where there is no fork
if _register is not None:
    _register(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
