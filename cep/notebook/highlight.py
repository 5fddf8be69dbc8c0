"""Rules in colours: a lexer for Pygments, which notebooks, Sphinx and terminals use.

Whether a word is a keyword depends on where it stands; here it is one wherever it could be, but
behind a dot. Registered as `cep`, for files `*.cep`.
"""

from __future__ import annotations

import re
from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

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


class RulesLexer(RegexLexer):  # type: ignore[misc] # Pygments has no types
    """Colours for the rule language."""

    name = "CEP rules"
    aliases: ClassVar[list[str]] = ["cep"]
    filenames: ClassVar[list[str]] = ["*.cep"]
    url = ""
    flags = re.IGNORECASE

    tokens: ClassVar = {
        "root": [
            (r"\s+", Whitespace),
            (r"--[^\n\r]*", Comment.Single),
            (r"'(?:[^'\r\n]|'')*'", String.Single),
            (r'"(?:[^"\r\n]|"")*"', Name),
            (rf"\${NAME}", Name.Variable.Global),
            (rf"({NUMBER})(\s+)({'|'.join(UNITS)})\b", bygroups(Number, Whitespace, Name.Constant)),
            (NUMBER, Number),
            (rf"(\.)(\s*)({NAME})", bygroups(Punctuation, Whitespace, Name.Attribute)),
            (words(CALLED, prefix=r"\b", suffix=r"(?=\s*\()"), Name.Function),
            (words(STATEMENTS, prefix=r"\b", suffix=r"\b"), Keyword.Declaration),
            (words(CONSTANTS, prefix=r"\b", suffix=r"\b"), Keyword.Constant),
            (words(KEYWORDS, prefix=r"\b", suffix=r"\b"), Keyword),
            (words(TYPE_NAMES, prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (NAME, Name),
            (r"->>|->|<>|!=|<=|>=|\|\||[-+*/%=<>?|]", Operator),
            (r"[(){},.;]", Punctuation),
            (r".", Error),
        ]
    }
