"""What a fuzz target is, and what counts as a failure of one.

A target takes bytes, gives them to a parser, and raises where the parser does what it must not: raise anything but the
errors that it documents, warn, give an array of another dtype or shape than announced, take more time or memory than
is stated here, or touch a file.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 5.0  # that one input may take
MEMORY_BASE = 64 << 20  # bytes by which the peak of memory may grow, whatever the input
MEMORY_MULTIPLE = 64  # and, beside them, times the bytes of the input and of the array that it announces


class Failure(AssertionError):
    """A parser did what it must not."""


@dataclass(frozen=True)
class Target:
    """One parser and how to reach it.

    Parameters
    ----------
    name : str
    run : function of bytes
        Gives the input to the parser; returns how many bytes the array has that it announces; raises where it fails.
    seeds : function
        Inputs to begin with.
    modules : tuple of str
        Modules whose functions are instrumented.
    mutate : function of (data, size, seed, change), optional
        Makes another input; `change(part, size)` is libFuzzer's own mutation of a part.
    longest : int
        Bytes of the longest input.
    """

    name: str
    run: Callable[[bytes], int]
    seeds: Callable[[], Iterable[bytes]]
    modules: tuple[str, ...]
    mutate: Callable[[bytes, int, int, Callable[[bytes, int], bytes]], bytes] | None = None
    longest: int = 4096

    def check(self, data: bytes, *, timed: bool = True) -> None:
        """Run one input; raises where the parser fails."""
        before, start = _peak(), time.perf_counter()
        _opened.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            announced = self.run(data)
        seconds, grown = time.perf_counter() - start, _peak() - before
        if _opened:
            raise Failure(f"expected no file but the program's own, got {_opened}")
        if timed and seconds > SECONDS:
            raise Failure(f"expected at most {SECONDS} s, got {seconds:.1f} s")
        allowed = MEMORY_BASE + MEMORY_MULTIPLE * (len(data) + announced)
        if grown > allowed:
            raise Failure(f"expected at most {allowed >> 20} MiB more, got {grown >> 20} MiB")


_opened: list[tuple[str, str]] = []  # what an input had opened, outside the places where the program's own files lie
_OWN = tuple(str(place) for place in (sys.prefix, sys.base_prefix, Path(__file__).parents[2], tempfile.gettempdir()))


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note files that are opened, changed or run: what is written at all, and what is read elsewhere."""
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        name = os.path.realpath(path) if isinstance(path, str) else ""
        if (isinstance(path, str) and not name.startswith(_OWN)) or (writes and not _compiled(name)):
            _opened.append((str(path), str(mode)))
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "subprocess.Popen", "os.system", "socket.connect"):
        _opened.extend([] if _compiled(str(arguments[0])) else [(event, str(arguments))])


def _compiled(name: str) -> bool:
    """Whether it is what Python and numba keep of code."""
    return "__pycache__" in name or "adiabat-fuzz-numba" in name or name.startswith("/dev/")


sys.addaudithook(_watch)


def _peak() -> int:
    """Bytes of the largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
