"""What `adiabat models list` and `show` print: the table of packages, and a card."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from adiabat.formats.model_zoo import ZooEntry

__all__ = ["print_card", "print_zoo"]

WIDE = 130  # columns of a terminal in which one line of a table has room for all
SHORT = 16  # digits of a hash that are shown, as many as streams keep


def print_zoo(console: Console, entries: Sequence[ZooEntry]) -> None:
    """A row for each; what is broken below the table."""
    sound = [entry for entry in entries if entry.problem is None]
    console.print(_table(sound) if console.width >= WIDE else _blocks(sound))
    for entry in entries:
        if entry.problem is not None:
            console.print(f"broken: {entry.file}: {entry.problem}", markup=False, emoji=False, soft_wrap=True)
    console.print("adiabat models show NAME tells more; adiabat models add FILE adds one", markup=False)


def print_card(console: Console, sha256: str, card: str | None) -> None:
    """The hash, and the card where there is one."""
    console.print(f"SHA-256 {sha256}")
    if card is None:
        console.print("no card: shipped packages alone have one")
    else:
        console.print(Markdown(card) if console.is_terminal else card, soft_wrap=not console.is_terminal)


def _table(entries: Sequence[ZooEntry]) -> Table:
    table = Table("name", "kind", "trained on", "gain", "bytes", "SHA-256", "licence", "where", show_lines=True)
    for column, fixed in zip(table.columns, (True, True, False, False, True, True, True, True), strict=True):
        column.no_wrap = fixed
    for entry in entries:
        facts = (entry.data, entry.gain, f"{entry.bytes:,}", entry.sha256[:SHORT], entry.licence, entry.place)
        table.add_row(*map(Text, (entry.name, entry.kind, *facts)))
    return table


def _blocks(entries: Sequence[ZooEntry]) -> RenderableType:
    """The same for a narrow terminal: a few lines for each."""
    lines: list[RenderableType] = []
    for entry in entries:
        table = Table.grid(padding=(0, 1))
        facts = f"{entry.kind}, {entry.bytes:,} bytes, SHA-256 {entry.sha256[:SHORT]}, {entry.licence}, {entry.place}"
        for what, fact in (("is", facts), ("trained on", entry.data), ("gain", entry.gain)):
            if fact != "-":
                table.add_row("", what, Text(fact.replace(", -", "")))
        lines += [Text(entry.name, style="bold"), table]
    return Group(*lines)
