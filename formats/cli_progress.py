"""The bar that commands show while they work, and how they stop: between blocks, never inside one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class StoppedError(Exception):
    """Somebody pressed Ctrl-C, or the machine asked us to go."""


@contextmanager
def progress_bar(err: Console, verb: str, total: int | None) -> Iterator[Callable[[str, int], None]]:
    """Show a bar on the error stream, where that is a terminal; stop only between blocks."""
    asked: list[int] = []

    def advance(name: str, values: int) -> None:
        if asked:
            raise StoppedError
        progress.update(task, advance=values, description=f"{verb} {name}")

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        progress.update(task, description="stopping after this block")

    # Stopped within a block, Zarr's own threads would go on writing what is being removed.
    numbers = (signal.SIGINT, signal.SIGTERM)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(verb, total=total)
        before = [signal.signal(number, stop) for number in numbers]
        try:
            yield advance
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
