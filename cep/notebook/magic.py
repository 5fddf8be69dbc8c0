"""`%load_ext cep`: the cell magic `%%cep NAME`, which makes rules of the text of a cell."""

from __future__ import annotations

import sys
from keyword import iskeyword
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, magics_class

from cep.engine.algebra.errors import RuleError, render_problem
from cep.notebook.matcher import IDENTIFIER, RuleMatcher
from cep.rules import Rules, check


class CellError(RuleError):
    """The mistakes of a cell, shown below it as they are: no traceback leads to where they are."""

    def __init__(self, error: RuleError) -> None:
        super().__init__(error.problems, error.source, error.name)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return str(self).splitlines()


@magics_class
class RuleMagics(Magics):
    """The magics of this package."""

    @cell_magic
    def cep(self, line: str, cell: str) -> Rules | None:
        """Make rules of the cell: %%cep NAME, and then NAME is what cep.compile makes of it.

        Mistakes are shown below the cell, and NAME stays what it was. Without a NAME the rules are
        what the cell shows.
        """
        name = line.strip()
        if name and (not name.isidentifier() or iskeyword(name)):
            raise UsageError(f"%%cep {name}: this is no name for a variable")
        try:
            rules = check(cell, name=name or "<cell>")
        except RuleError as error:
            raise CellError(error) from None
        for warning in rules.warnings:
            print(render_problem(warning, cell, rules.name), file=sys.stderr)
        if not name or self.shell is None:
            return rules
        self.shell.user_ns[name] = rules
        return None


def load(shell: InteractiveShell) -> None:
    """What `%load_ext cep` does; a second time it replaces what it did."""
    register: Any = shell.register_magics
    register(RuleMagics)
    matchers = shell.Completer.custom_matchers
    ours = [m for m in matchers if getattr(m, "matcher_identifier", "") == IDENTIFIER]
    matchers[:] = [*(m for m in matchers if m not in ours), RuleMatcher(shell.user_ns).match]
