"""What the state of a part of the engine looks like from outside: a tree of arrays and values.

`snapshot()` of a state hands out copies that nobody changes any more, so that another thread may
write them down while events go on. `engine.checkpoint` turns the tree into bytes and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.batch import Int64s

Array = npt.NDArray[np.generic]
Leaf = Array | pa.Table | int | float | str | bytes | bool | None
Value = Any  # Leaf, a list of values, or a Snapshot: mypy has no recursive types worth their cost
Snapshot = dict[str, Value]

Parts = Sequence[tuple[Mapping[str, Value], Int64s]]
"""Snapshots of the same state in other shards, each with what has become of its key codes.

In a pair (snapshot, codes), `codes[c]` is the code that key c of the snapshot has now, -1 where the
key belongs to another shard.
"""
