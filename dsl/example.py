"""One mistake and what to say about it: the form of dsl/examples*.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One mistake and its statements.

    `any_token`: the message fits whatever the unexpected token is. `caret_before`: the caret stands
    under the token before it. `anywhere`: it fits in statements of every kind, else in those of the
    kind that its texts are.
    """

    message: str
    hint: str
    texts: tuple[str, ...]
    any_token: bool = False
    caret_before: bool = False
    anywhere: bool = False
