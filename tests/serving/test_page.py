"""The commands of docs/service.md do what the page shows, in its order, on one service."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serving.process import ROOT, Server

PAGE = (ROOT / "docs" / "service.md").read_text()
COMMANDS = re.compile(r"^```sh\n(.*?)^```$(?:\n+^```output\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def block(kind: str) -> str:
    """The first block of a kind."""
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page shows curl")
def test_the_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.cep").write_text(block("cep"))
    _, _, *arguments = shlex.split(block("sh serve"))
    server = Server(Path(arguments[0]), *arguments[1:])
    try:
        blocks = COMMANDS.findall(PAGE)
        assert len(blocks) > 4
        for commands, shown in blocks:
            here = commands.replace("localhost:8000", server.url.removeprefix("http://"))
            done = subprocess.run(["bash", "-c", here], stdout=subprocess.PIPE, text=True)
            if shown:
                assert done.stdout.rstrip() == shown.rstrip()
            else:
                assert '"broken_count": 1' in done.stdout
    finally:
        server.kill()
