"""The one place that names numba: three ways to compile a function, without the GIL.

Only kernels can be called from Python. What they call has no way in for Python objects, which takes
longer to compile than most of these functions; calling one from Python ends the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event

F = TypeVar("F", bound=Callable[..., object])

njit: Callable[..., Any] = numba.njit  # whose own types leave some of its options out

# No reference counting: kernels own no memory. No errors raised: 1 / 0 is what IEEE 754 says.
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def sources_stamp() -> str:
    """A name for the present text of all kernels."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


STAMP = sources_stamp()


def kernel(function: F) -> F:
    """Compile on first call, cached on disk together with all that it calls.

    A kernel allocates nothing, raises nothing and touches no Python object. The cache watches only
    the kernel's own file, but names its files after the function: the stamp in the name keeps a
    kernel from going on with a helper that has changed in another file.
    """
    function.__qualname__ = f"{function.__qualname__}_{STAMP}"
    return cast(F, njit(cache=True, **OPTIONS)(function))


def helper(function: F) -> F:
    """A function for kernels to call."""
    return cast(F, njit(no_cpython_wrapper=True, **OPTIONS)(function))


def inlined(function: F) -> F:
    """A function that becomes part of the kernels and helpers that call it.

    A call that passes the bundles of `layout` copies some two hundred words; on the path of every
    event that is most of the time (measured: 10 microseconds per event against 0.1).
    """
    return cast(F, njit(no_cpython_wrapper=True, forceinline=True, **OPTIONS)(function))


class _AtFirst(event.Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: object) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: object) -> None:
        pass


@contextmanager
def when_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Inside, `tell` is called once, before something is compiled that is in no cache."""
    with event.install_listener("numba:compile", _AtFirst(tell)):
        yield
