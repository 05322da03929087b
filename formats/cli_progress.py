"""The bar that commands show while they work, and how they stop: between blocks, never inside one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text


class StoppedError(Exception):
    """Somebody pressed Ctrl-C, or the machine asked us to go."""


class Advance(Protocol):
    """Told of the name of what is worked at, how many more of its values are done, and the bytes these came to."""

    def __call__(self, name: str, values: int, written: int = 0) -> None:
        """Take note, or raise StoppedError."""


class RateColumn(ProgressColumn):
    """MB of float32 a second, and how many times smaller it gets."""

    def render(self, task: Task) -> Text:
        """As text; nothing before the first block."""
        written = task.fields.get("written", 0)
        rate = f"{4 * task.speed / 1e6:.0f} MB/s" if task.speed else ""
        return Text(", ".join(filter(None, (rate, f"ratio {4 * task.completed / written:.1f}" if written else ""))))


@contextmanager
def progress_bar(err: Console, verb: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on the error stream, where that is a terminal; stop only between blocks."""
    asked: list[int] = []
    sizes = {"written": 0}

    def advance(name: str, values: int, written: int = 0) -> None:
        if asked:
            raise StoppedError
        sizes["written"] += written
        progress.update(task, advance=values, written=sizes["written"], description=f"{verb} {name}" if name else None)

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        progress.update(task, description="stopping after this block")

    # Stopped within a block, Zarr's own threads would go on writing.
    numbers = (signal.SIGINT, signal.SIGTERM)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=err, transient=True, disable=not err.is_terminal, speed_estimate_period=120
    ) as progress:
        task = progress.add_task(verb, total=total)
        before = [signal.signal(number, stop) for number in numbers]
        try:
            yield advance
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
