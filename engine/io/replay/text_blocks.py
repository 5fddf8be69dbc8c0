"""A text file, from a byte on -> blocks of whole lines (JSON) or whole records (CSV)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

EndOf = Callable[[bytes], int]
"""Where the last whole line of some bytes ends: 0 where there is none."""


def blocks(stream: BinaryIO, size: int, end_of: EndOf, *, is_whole: bool) -> Iterator[bytes]:
    """Blocks of at least `size` bytes (but the last), each up to where a line ends.

    `is_whole`: nothing will be added to the file, so that what is left behind its last line end is
    a line as well. Else that is left alone: somebody may be in the middle of writing it.
    """
    rest = b""
    while data := stream.read(size):
        rest += data
        end = end_of(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest and is_whole:
        yield rest


def line_end(data: bytes) -> int:
    """Behind the last line feed; JSON text has none inside."""
    return data.rfind(b"\n") + 1


def record_end(delimiter: bytes) -> EndOf:
    r"""For CSV: line feeds inside quotes do not count. O(n), a search from behind without quotes.

    >>> record_end(b",")(b'a,"1\n2"\nb,"3\n')
    8
    """
    quoted = re.compile(rb'(?:\A|(?<=[\n\r%b]))"(?:[^"]++|"")*+(?:"|\Z)' % re.escape(delimiter))

    def end_of(data: bytes) -> int:
        if b'"' not in data:
            return line_end(data)
        end, begin = 0, 0
        for found in quoted.finditer(data):
            end = max(end, data.rfind(b"\n", begin, found.start()) + 1)
            begin = found.end()
        return max(end, data.rfind(b"\n", begin) + 1)

    return end_of


def records_behind_header(end_of: EndOf) -> EndOf:
    """Only where there is a record behind the first one, which is the header.

    The types of the columns are guessed from the records that come with it.
    """

    def end_behind(data: bytes) -> int:
        end = end_of(data)
        return end if end and end_of(data[: end - 1]) else 0

    return end_behind
