"""A real `cep serve` on a free port, and a client for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx

ROOT = Path(__file__).resolve().parents[2]
RULES = """
stream payments (id text, ts timestamp, card int, amount float) time ts;
pattern more from payments by card match a -> b within 1 hour
  define a as amount > 50, b as amount > a.amount
  select a.amount as first, b.amount as second;
"""
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain"}
END_SECONDS = 60


class Running:
    """A server that has begun to listen. `log`: the lines that it has said so far."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", module, *arguments]
        known = {"PYTHONPATH": str(ROOT)} | dict(os.environ) | dict(environment)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stderr=pipe, env=known, text=True)
        self.log: list[str] = []
        self.url = self._address()
        self._reader = Thread(target=lambda: self.log.extend(self._lines()), daemon=True)
        self._reader.start()

    def client(self, timeout: float = 60, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, headers=headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(END_SECONDS)
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def _lines(self) -> Iterator[str]:
        assert self.process.stderr is not None
        for line in self.process.stderr:  # noqa: UP028 - `yield from` closes it with the iterator
            yield line

    def _address(self) -> str:
        for line in self._lines():
            self.log.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                return found[1]
        raise AssertionError("".join(["the service has ended: ", *self.log]))


class Server(Running):
    """A `cep serve`."""

    def __init__(
        self, rules: Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        arguments = ("serve", str(rules), "--port", "0", *options)
        super().__init__("cep", *arguments, environment=environment or {})


@contextmanager
def served(
    folder: Path,
    *options: str,
    rules: str = RULES,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    path = folder / "rules.cep"
    path.write_text(rules)
    server = Server(path, *options, environment=environment)
    try:
        yield server
    finally:
        server.kill()


def payment(number: int, card: int = 1, amount: float = 60.0) -> dict[str, object]:
    """Payment number 0 is at midnight, each a second later than the one before."""
    time = f"2025-03-03T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
    return {"id": f"e{number}", "ts": time, "card": card, "amount": amount}
