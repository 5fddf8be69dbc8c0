"""A job -> what a process of its own says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class WrongOutputError(Exception):
    """The engine found something else than it should have."""


def measured(
    worker: str, job: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The numbers that `python -m WORKER JOB` prints as its last line."""
    done = subprocess.run(
        [sys.executable, "-m", worker, json.dumps(job)],
        env={**os.environ, **ONE_THREAD, **(environment or {})},
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    numbers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return numbers
