"""Where the commands print: figures and tables on the output, everything else on the error stream."""

from __future__ import annotations

import sys

from rich.console import Console

# In a pipe nothing is folded to the width of a terminal.
out = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
