"""Runs the notebooks from clean, each in a kernel of its own.

    python -m notebooks                     all of them; fails where a cell does
    python -m notebooks 01 05 --write       these, and keeps the outputs in the files
    python -m notebooks --html DIR          as pages, light and dark, to look at

With `--write` figures are kept as pictures (that needs Kaleido and a Chromium), so that they can be
seen where no script runs. Those of cells with a tag `picture-NAME` go to docs/pictures, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
PICTURES_FOLDER = FOLDER.parent / "docs" / "pictures"
CELL_SECONDS = 300
PICTURES = """
import logging

import plotly.io

for name in ("choreographer", "kaleido"):  # what they say of a browser is no output of a cell
    logging.getLogger(name).setLevel(logging.CRITICAL)
plotly.io.renderers["png"].width, plotly.io.renderers["png"].scale = 900, 1.5
plotly.io.renderers.default = "png"
"""
PAGES = 'import plotly.io\nplotly.io.renderers.default = "notebook"\n'
PLAIN = 'import plotly.io\nplotly.io.renderers.default = "plotly_mimetype"\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """The number of notebooks that failed."""
    asked = _parser().parse_args(arguments)
    failed = 0
    for path in paths(asked.names):
        try:
            if asked.html is not None:
                write_pages(path, Path(asked.html))
            else:
                run = executed(path, PICTURES if asked.write else PLAIN)
                if asked.write:
                    nbformat.write(run, path)
                    write_pictures(run)
            print(f"{path.name}: passed")
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name}: FAILED\n{error}", file=sys.stderr)
    return failed


def paths(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks whose names begin like one of these; all without names."""
    return [
        path
        for path in sorted(FOLDER.glob("*.ipynb"))
        if not names or any(path.name.startswith(name) for name in names)
    ]


def executed(path: Path, startup: str = PLAIN) -> Any:
    """The notebook with the outputs of a run from clean. Raises CellExecutionError.

    `startup` is Python that the kernel runs first.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder, _environment(_settings(Path(folder), startup)):
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    notebook.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": _LANGUAGE})
    return notebook


_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_LANGUAGE = {"name": "python"}  # no version: a run with another one changes nothing


def _settings(folder: Path, startup: str) -> dict[str, str]:
    """What the kernel finds in its environment: our sources, a profile with the first commands."""
    profile = folder / "ipython" / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00-startup.py").write_text(startup)
    known = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": os.pathsep.join(known)}


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The environment that kernels inherit, changed for a while."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write_pictures(run: Any) -> None:
    """What other pages show of an executed notebook."""
    for cell in run.cells:
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith("picture-"):
                (image,) = [out.data["image/png"] for out in cell.outputs if "data" in out]
                target = PICTURES_FOLDER / f"{tag.removeprefix('picture-')}.png"
                target.write_bytes(b64decode(image))


def write_pages(path: Path, folder: Path) -> None:
    """The executed notebook as two pages: NAME.light.html and NAME.dark.html."""
    from nbconvert import HTMLExporter

    folder.mkdir(parents=True, exist_ok=True)
    notebook = executed(path, PAGES)
    for theme in ("light", "dark"):
        exporter = HTMLExporter(theme=theme)
        page, _ = exporter.from_notebook_node(notebook)
        (folder / f"{path.stem}.{theme}.html").write_text(page)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m notebooks", description="Run the notebooks.")
    parser.add_argument("names", nargs="*", help="beginnings of file names; none: all notebooks")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the files")
    parser.add_argument("--html", metavar="DIR", help="write pages, light and dark, to look at")
    return parser


if __name__ == "__main__":
    sys.exit(main())
