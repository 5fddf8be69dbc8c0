"""The notebooks run from clean, and print what their files show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need: pip install 'cep[test]'")
pytest.importorskip("nbclient", reason="notebooks need: pip install 'cep[test]'")
pytest.importorskip("ipykernel", reason="notebooks need: pip install 'cep[test]'")

from notebooks.__main__ import executed, paths  # noqa: E402 - behind what it needs

# Times and speeds differ from run to run.
CHANGING = re.compile(r"in \d+\.\d+ s(, [\d,]+ events/s)?")


def printed(notebook: Any) -> list[str]:
    """What each cell prints, without what changes from run to run.

    What comes on stderr depends on the machine: whether kernels have to be compiled first.
    """
    found = []
    for cell in notebook.cells:
        outputs = [out for out in cell.get("outputs", ()) if out.output_type == "stream"]
        text = "".join(out.text for out in outputs if out.name == "stdout")
        found.append(CHANGING.sub("in ... s", text))
    return found


@pytest.mark.parametrize("path", paths(), ids=lambda path: str(Path(path).stem))
def test_it_runs_from_clean_and_prints_what_its_file_shows(path: Path) -> None:
    saved = nbformat.read(path, as_version=4)
    run = executed(path)
    assert printed(run) == printed(saved), "run: python -m notebooks --write"


def test_the_notebooks_are_there() -> None:
    assert [path.name[:2] for path in paths()] == ["01", "02", "03", "04", "05", "06"]
