"""Texts -> dense integer codes, and back; texts that nobody holds any more are forgotten."""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as _compute

from cep.engine.batch import Int64s
from cep.engine.state.snapshot import Snapshot

WRITTEN_AT_ONCE = 1 << 16
_NONE = np.empty(0, np.int64)
pc: Any = _compute  # the published stubs know neither half of the functions nor string arrays


def dictionary_parts(values: Any, rows: Int64s | None = None) -> tuple[Any, Int64s | None]:
    """A string or dictionary array, or these rows of it, as (texts, which of them each row has).

    The second is None where the texts are those of the rows already. Where a row is NULL, any.
    """
    if not pa.types.is_dictionary(values.type):
        return (values if rows is None else values.take(pa.array(rows))), None
    indices = values.indices
    if indices.null_count:
        indices = pc.fill_null(indices, 0)
    places = indices.to_numpy(zero_copy_only=False)
    places = places if rows is None else places[rows]
    return values.dictionary, places.astype(np.int64, copy=False)


class SeenDictionary:
    """Tells whether a dictionary is the one seen last; batches of one source often share theirs."""

    def __init__(self) -> None:
        self._last: Any = None
        self._place: tuple[object, ...] = ()

    def is_same(self, dictionary: Any) -> bool:
        """Whether this dictionary has the texts of the last one, which it replaces.

        O(1) where it is the same memory, else a comparison of bytes.
        """
        place = (
            len(dictionary),
            dictionary.offset,
            *(None if buffer is None else buffer.address for buffer in dictionary.buffers()),
        )
        same = place == self._place or (
            self._last is not None
            and self._last.type == dictionary.type
            and bool(self._last.equals(dictionary))
        )
        self._last, self._place = dictionary, place  # held: its memory is used for nothing else
        return same

    def forget(self) -> None:
        """The next one is a new one."""
        self._last, self._place = None, ()


class TextHolder(Protocol):
    """State that holds codes of texts: those in use, and what they are called from now on."""

    def used_texts(self) -> Int64s: ...
    def rename_texts(self, mapping: Int64s) -> None: ...


class TextCodes:
    """A code for every distinct text seen, until `keep` forgets those that are not named.

    Codes are 0..len - 1 in the order of arrival. What was there when `pin` was called last keeps
    its code for ever: constants of compiled programs.

    Threads may ask at the same time, for codes of the next events while those before are compared:
    so what is given out is not changed any more, and a code means the same in every later array of
    ranks. While `keep` is at work nobody else may be.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._code: dict[str, int] = {}
        self._texts: list[str] = []
        self.characters = 0  # of all of them
        self._pinned = 0
        self._order: Int64s = _NONE  # codes by text
        self._rank: Int64s = _NONE
        self._written: list[Any] = [pa.array([], pa.large_string())]  # the first of the texts
        self._seen = SeenDictionary()
        self._codes_seen: Int64s = _NONE  # of the dictionary seen last; -1: none

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def pinned(self) -> int:
        """How many codes, from 0 on, are never taken back."""
        return self._pinned

    def code(self, text: str) -> int:
        with self._lock:
            return self._code_of(text)

    def _code_of(self, text: str) -> int:
        found = self._code.setdefault(text, len(self._texts))
        if found == len(self._texts):
            self._texts.append(text)
            self.characters += len(text)
        return found

    def text(self, code: int) -> str:
        return self._texts[code]

    def encode(self, values: Any, rows: Int64s | None = None) -> Int64s:
        """Codes of a string or dictionary array, or of these rows of it; any code where it is NULL.

        A look-up in a dict for each distinct text of the rows; where the array has the same
        dictionary as the one before, only for those that were not asked for then.
        """
        texts, places = dictionary_parts(values, rows)
        if places is None:
            texts, places = dictionary_parts(texts.dictionary_encode())
            assert places is not None
            with self._lock:
                own = self._codes_of(texts)
            return own[places] if len(own) else np.zeros(len(places), np.int64)
        if len(texts) == 0:
            return np.zeros(len(places), np.int64)
        with self._lock:
            return self._codes_in(texts, places)

    def _codes_in(self, texts: Any, places: Int64s) -> Int64s:
        """Codes of these places of a dictionary, which is not empty."""
        if not self._seen.is_same(texts):
            self._codes_seen = np.full(len(texts), -1, np.int64)
        codes = self._codes_seen[places]
        if codes.min(initial=0) < 0:
            missing = places[codes < 0]
            asked = _distinct(missing, len(texts))
            self._codes_seen[asked] = self._codes_of(texts.take(pa.array(asked)))
            codes = self._codes_seen[places]
        return codes

    def _codes_of(self, texts: Any) -> Int64s:
        """Codes of a string array, text by text."""
        wanted = texts.to_pylist()
        if texts.null_count:
            wanted = [text or "" for text in wanted]
        found = list(map(self._code.get, wanted))
        if None in found:
            pairs = zip(wanted, found, strict=True)
            found = [self._code_of(text) if code is None else code for text, code in pairs]
            if len(self._texts) - self._count_written >= WRITTEN_AT_ONCE:
                self._write()  # so that little is left to do when a checkpoint stops everything
        return np.array(found, np.int64)

    def rank(self) -> Int64s:
        """Place of each code in the order of texts by code point.

        O(n) after a few new texts, O(n log n) after many, else O(1).
        """
        with self._lock:
            if len(self._rank) != len(self._texts):
                self._rank_all()
            return self._rank

    def _rank_all(self) -> None:
        order, size = self._order, len(self._texts)
        fresh = sorted(range(len(order), size), key=self._texts.__getitem__)
        if 8 * len(fresh) > size:
            fresh, order = sorted(range(size), key=self._texts.__getitem__), _NONE
        self._order = np.insert(order, self._places(order, fresh), fresh)
        rank = np.empty(size, np.int64)
        rank[self._order] = np.arange(size)
        self._rank = rank

    def _places(self, order: Int64s, codes: list[int]) -> list[int]:
        """Where in an order of texts these others belong."""
        texts = self._texts
        if not len(order):
            return [0] * len(codes)
        return [bisect_left(order, texts[code], key=texts.__getitem__) for code in codes]

    def array(self) -> Any:
        """All texts by code as an Arrow large_string array.

        Free where no text came since last time, else a copy of bytes and some work for each of
        the youngest.
        """
        with self._lock:
            self._write()
            if len(self._written) > 1:
                self._written = [pa.concat_arrays(self._written)]
            return self._written[0]

    @property
    def _count_written(self) -> int:
        return sum(map(len, self._written))

    def _write(self) -> None:
        """Turn texts that came since last time into an array of their own."""
        fresh = self._texts[self._count_written :]
        if fresh:
            self._written.append(pa.array(fresh, pa.large_string()))

    def texts(self, codes: Int64s) -> Any:
        """The texts of these codes as an Arrow string array."""
        return self.array().take(pa.array(codes)).cast(pa.string())

    # ------------------------------------------------------------------ forgetting

    def pin(self) -> None:
        """What has a code by now keeps it for ever."""
        self._pinned = len(self._texts)

    def keep(self, codes: Int64s) -> Int64s:
        """Forget all texts but the pinned ones and those with these codes (in any order).

        Returns for each old code the new one, -1 where its text is forgotten. Codes that were
        given out must be renamed by it.
        """
        written = self.array()
        kept = np.zeros(len(self._texts), np.bool_)
        kept[: self._pinned] = True
        kept[codes] = True
        mapping = np.where(kept, np.cumsum(kept) - 1, -1)
        texts = self._texts
        self._texts = [texts[i] for i in np.flatnonzero(kept).tolist()]
        self._code = {text: code for code, text in enumerate(self._texts)}
        self.characters = sum(map(len, self._texts))
        self._written = [written.filter(pa.array(kept))]
        self._order = self._rank = _NONE
        self._seen.forget()
        return mapping

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        """All texts by code."""
        return {"texts": pa.table({"text": self.array()})}

    def restore(self, snapshot: Snapshot) -> Int64s:
        """Give codes to the texts of a snapshot; the code that each of its codes has become.

        Texts that have a code already, such as constants, keep it.
        """
        with self._lock:
            return self._codes_of(snapshot["texts"].column("text").combine_chunks())


def _distinct(places: Int64s, size: int) -> Int64s:
    """The distinct numbers among 0..size - 1, in order; by marks where that is cheaper."""
    if size > 4 * len(places):
        return np.unique(places)
    marks = np.zeros(size, np.bool_)
    marks[places] = True
    return np.flatnonzero(marks)
