"""The one place that names numba: `kernel` compiles a function, without the GIL, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call. A kernel allocates nothing, raises nothing and touches no Python object."""
    compiled: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    return compiled


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that becomes part of its callers.

    A call that passes the bundles of `layout` copies some two hundred words; on the path of every
    event that is most of the time (measured: 10 microseconds per event against 0.1).
    """
    compiled: Callable[P, R] = numba.njit(
        cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True
    )(function)
    return compiled
