"""Rules met with bounded data: what `Rules.run` and `Rules.stream` go through."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from cep.engine.batch import EventBatch
from cep.engine.ingest.feed import Feed, Ingested
from cep.engine.results import Output
from cep.execution import Execution
from cep.progress import Progress


@dataclass(frozen=True, slots=True)
class BoundRun:
    """Everything is bound, nothing has been read."""

    feed: Feed
    execution: Execution

    def steps(self, end_of_stream: bool, progress: Progress | None) -> Iterator[tuple[Output, int]]:
        """(what came out, rows read) per batch, and once more for the end of the stream."""
        if self.feed.is_void:
            yield Output(), 0
            return
        runtime = self.execution.runtime
        done = 0
        ahead: deque[Ingested] = deque()
        try:
            for output in runtime.process_all(self._read(ahead)):
                step = ahead.popleft()
                output.errors[:0] = step.errors
                done += step.rows
                if progress is not None:
                    progress(done, self.feed.rows)
                yield output, step.rows
            if end_of_stream:
                yield runtime.finish(), 0
        finally:
            self.execution.close()

    def _read(self, ahead: deque[Ingested]) -> Iterator[EventBatch]:
        """Batches of the input; what else belongs to each waits in `ahead`."""
        for step in self.feed.read():
            ahead.append(step)
            yield step.batch
