"""The state of sets -> a snapshot, parts of it, and the snapshots of several shards -> one state.

A snapshot has the keys that have state by code, for each key the first capture of each of its sets,
shape (k, states - 1), and captures as the kernel has them. A capture stands behind all that it
points at; no two keys point at the same one.
"""

from __future__ import annotations

import numpy as np

from cep.engine.batch import Int64s
from cep.engine.kernels import sets as kernels
from cep.engine.state.snapshot import Parts, Snapshot

LINKS = (kernels.EARLIER, kernels.NEXT)


def split(saved: Snapshot, owners: Int64s, count: int) -> list[Snapshot]:
    """The snapshot of the keys of each owner: key i is of owner owners[i], of so many."""
    heads, captures = saved["heads"], saved["captures"]
    owner_of = np.full(len(captures), -1, np.int64)
    held = heads >= 0
    owner_of[heads[held]] = np.repeat(owners, held.sum(axis=1))
    kernels.spread(captures, owner_of)
    parts = []
    for owner in range(count):
        keys, mine = np.flatnonzero(owners == owner), np.flatnonzero(owner_of == owner)
        number = np.full(len(captures), -1, np.int64)
        number[mine] = np.arange(len(mine))
        parts.append(
            {
                "codes": saved["codes"][keys],
                "heads": _renumbered(heads[keys], number),
                "captures": _relinked(captures[mine], number),
            }
        )
    return parts


def joined(parts: Parts) -> tuple[Int64s, Int64s, Int64s]:
    """(codes, heads, captures) of the keys that belong here, with the codes that they have now."""
    codes, heads, captures, base = [], [], [], 0
    for part, renamed in parts:
        now = renamed[part["codes"]]
        mine = now >= 0
        number = np.arange(base, base + len(part["captures"]))
        codes.append(now[mine])
        heads.append(_renumbered(part["heads"][mine], number))
        captures.append(_relinked(part["captures"], number))
        base += len(number)
    return np.concatenate(codes), np.concatenate(heads), np.concatenate(captures)


def _relinked(captures: Int64s, number: Int64s) -> Int64s:
    found = captures.copy()
    for link in LINKS:
        found[:, link] = _renumbered(captures[:, link], number)
    return found


def _renumbered(links: Int64s, number: Int64s) -> Int64s:
    """-1 stays."""
    if len(number) == 0:
        return links
    return np.where(links < 0, -1, number[links])
