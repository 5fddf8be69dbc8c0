"""Rules in colours: a TextMate grammar, which VS Code, JetBrains, Sublime and others read.

`python -m cep.notebook.textmate` prints it; docs/cep.tmLanguage.json is what it printed last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cep.notebook.vocabulary import (
    CALLED,
    CONSTANTS,
    KEYWORDS,
    NAME,
    NUMBER,
    STATEMENTS,
    TYPE_NAMES,
    UNITS,
)


def grammar() -> dict[str, Any]:
    """The grammar as JSON has it; the first of the patterns that fits wins."""
    return {
        "name": "CEP rules",
        "scopeName": "source.cep",
        "fileTypes": ["cep"],
        "patterns": [
            _scope("comment.line.double-dash", r"--.*$"),
            _scope("string.quoted.single", r"'(?:[^']|'')*'"),
            _scope("variable.other.quoted", r'"(?:[^"]|"")*"'),
            _scope("variable.parameter", rf"\${NAME}"),
            _scopes(rf"({NUMBER})\s+({'|'.join(UNITS)})\b", "constant.numeric", "constant.unit"),
            _scope("constant.numeric", NUMBER),
            _scopes(rf"\.\s*({NAME})", "variable.other.member"),
            _scope("support.function", rf"{_words(CALLED)}(?=\s*\()"),
            _scope("keyword.declaration", _words(STATEMENTS)),
            _scope("constant.language", _words(CONSTANTS)),
            _scope("keyword.control", _words(KEYWORDS)),
            _scope("storage.type", _words(TYPE_NAMES)),
            _scope("variable.other", NAME),
            _scope("keyword.operator", r"->>|->|<>|!=|<=|>=|\|\||[-+*/%=<>?|]"),
        ],
    }


def _words(words: Sequence[str]) -> str:
    return rf"(?i)\b(?:{'|'.join(words)})\b"


def _scope(name: str, match: str) -> dict[str, str]:
    return {"name": f"{name}.cep", "match": match}


def _scopes(match: str, *names: str) -> dict[str, Any]:
    captures = {str(place): {"name": f"{name}.cep"} for place, name in enumerate(names, 1)}
    return {"match": match, "captures": captures}


def text() -> str:
    """The grammar as the file has it."""
    return json.dumps(grammar(), indent=2) + "\n"


if __name__ == "__main__":
    print(text(), end="")
