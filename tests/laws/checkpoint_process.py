"""A process that does nothing but write checkpoints; a test kills it.

    python -m tests.laws.checkpoint_process DIRECTORY LENGTH

The newest checkpoint's value n (or 0) is where it begins. It prints `start n`, then for each
checkpoint n + 1, n + 2, ... that is durable its value. LENGTH is how many numbers each holds.
"""

from __future__ import annotations

import sys
from itertools import count

import numpy as np

from cep.engine.checkpoint.background import CheckpointWriter
from cep.engine.checkpoint.store import CheckpointInfo, CheckpointStore
from cep.engine.state.snapshot import Snapshot


def state(value: int, length: int) -> Snapshot:
    parts = [np.full(length, value), np.full(value % 7, value)]
    return {"value": value, "length": length, "parts": parts}


def main(directory: str, length: int) -> None:
    with CheckpointStore(directory, keep=2) as store, CheckpointWriter(store) as writer:
        restored = store.latest()
        start = restored.snapshot["value"] if restored else 0
        print("start", start, flush=True)
        for value in count(start + 1):

            def say(_: CheckpointInfo, value: int = value) -> None:
                print(value, flush=True)

            writer.submit(state(value, length), say)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
