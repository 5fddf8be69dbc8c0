"""What all tests share: hypothesis draws the same examples each time, kernels are compiled once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

AS_PYTHON = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@pytest.fixture(autouse=AS_PYTHON, scope="session")
def _numbers_behave_as_compiled() -> Iterator[None]:
    """Kernels run as plain Python: what overflows there on purpose is nothing to warn of."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(autouse=True, scope="session")
def _kernels_are_compiled_once() -> Iterator[None]:
    """Arrays of another layout, or ones that cannot be written to, would have it done again."""
    yield
    for module in ("chains", "features", "gather", "interning", "lookup", "partition", "runs"):
        loaded = sys.modules.get(f"cep.engine.kernels.{module}")
        for function in vars(loaded).values() if loaded else ():
            signatures = getattr(function, "signatures", [])
            entry = getattr(function, "targetoptions", {}).get("no_cpython_wrapper") is None
            assert not entry or len(signatures) <= 1, (function, signatures)


settings.register_profile("cep", derandomize=True, deadline=None)
settings.load_profile("cep")
