"""Lines of JSON -> columns by Arrow's reader, where nothing in them can hurt it.

Arrow follows nested values as deep as they go, which ends the process, takes texts that are no
UTF-8 for texts, and values behind one another for lines. So lines are looked at before it does.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

DEPTH_MAX = 32  # of nested values, and of braces and brackets in texts, on one line
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, NEWLINE = b"{}[\n"

Unexpected = Literal["infer", "ignore", "error"]


def columns_of_lines(
    body: bytes,
    schema: pa.Schema | None,
    unexpected: Unexpected = "infer",
    *,
    has_blanks: bool = False,
) -> pa.Table | None:
    """A row for each line; None where each line has to be looked at by itself.

    Lines hold an object and nothing else. `has_blanks`: there may be blanks around it, and empty
    lines, which are no rows. `unexpected`: what becomes of fields that `schema` has not.
    """
    lines = _count_flat(body)
    if not lines and has_blanks:
        body = _without_blanks(body)
        lines = _count_flat(body)
    if not lines or not _is_utf8(body):
        return None
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    try:
        table = pj.read_json(io.BytesIO(body), pj.ReadOptions(block_size=len(body)), options)
    except pa.ArrowException:
        return None
    return table if table.num_rows == lines else None


def _without_blanks(body: bytes) -> bytes:
    return b"\n".join(line for line in map(bytes.strip, body.split(b"\n")) if line)


def _count_flat(body: bytes) -> int:
    """The number of lines where each begins with `{`, ends with `}` and nests but a little, else 0.

    Where all lines begin and end so, none can go on behind its end: `{` may follow nothing there.
    """
    data = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    if not body.endswith(b"\n"):
        ends = np.append(ends, len(data))
    begins = np.concatenate([[0], ends[:-1] + 1])
    if not len(ends) or (ends - begins < len("{}")).any():
        return 0
    if (data[begins] != OPEN_OBJECT).any() or (data[ends - 1] != CLOSE_OBJECT).any():
        return 0
    opens = (data == OPEN_OBJECT) | (data == OPEN_LIST)
    is_nested = np.count_nonzero(opens) > len(ends) + DEPTH_MAX
    if is_nested and np.add.reduceat(opens, begins, dtype=np.int32).max() > DEPTH_MAX:
        return 0
    return len(ends)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
