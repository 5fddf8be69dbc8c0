"""A path -> the text of a rule file."""

from __future__ import annotations

from pathlib import Path

from cep.engine.algebra.errors import DataError


def read_text(path: str) -> str:
    """The file's text, UTF-8. Raises DataError that says why it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
