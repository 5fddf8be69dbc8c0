"""Jobs -> what a process of their own says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class WrongOutputError(Exception):
    """The engine found something else than it should have."""


def measured(
    worker: str,
    jobs: Sequence[Mapping[str, Any]],
    environment: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The numbers that `python -m WORKER JOB...` prints, a line for each job."""
    done = subprocess.run(
        [sys.executable, "-m", worker, *map(json.dumps, jobs)],
        env={**os.environ, **ONE_THREAD, **(environment or {})},
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()[-len(jobs) :]]
