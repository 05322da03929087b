"""The best that a peer does at a bound, at an RMSE or at a ratio: over its modes and layouts, each decoded and checked.

Stage: evaluation, between `peer` and `compare`. Fields have no holes here; `valid` says which values count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.errors import first_line
from adiabat.formats.peers.peer import LAYOUTS, Array, Mode, Peer

__all__ = ["Found", "at_bound", "at_ratio", "at_rmse", "search", "warm_up"]

AIMED = 0.0025  # how far below its target an error may lie
ENCODES = 12  # at most, for one target
TOLERANCE = 1 + 1e-6  # on a peer's bound

Measure = Callable[[NDArray[Any]], float]  # an error of what was decoded
Pause = Callable[[], None]


@dataclass(frozen=True)
class Found:
    """What a mode came to in a layout: bytes, the array it gives back, its error, and the seconds of both ways."""

    size: int
    decoded: NDArray[Any]
    error: float
    encode_s: float
    decode_s: float
    mode: str = ""
    layout: str = ""
    parameter: float = 0.0


@cache
def warm_up(mode: Mode) -> None:
    """Import and load what the mode needs, so that this is not taken for its speed."""
    y, x = np.ogrid[0:48, 0:64]
    field = np.stack([(280 + np.sin(y / 9 + k) * np.cos(x / 7)).astype(np.float32) for k in range(3)])
    for layout in mode.layouts:
        for part in LAYOUTS[layout](field):
            try:
                mode.decode(mode.encode(part, 20.0 if mode.start is None else 0.05), part.shape)
            except Exception:  # told when it is meant seriously
                return


class _PeerError(Exception):
    """A foreign codec raised something; the message is its first line."""


def _run(mode: Mode, parts: list[Array], parameter: float, field: Array, measure: Measure) -> Found:
    began = time.perf_counter()
    try:
        blobs = [mode.encode(part, parameter) for part in parts]
        between = time.perf_counter()
        back = [mode.decode(blob, part.shape) for blob, part in zip(blobs, parts, strict=True)]
    except Exception as error:  # what foreign codecs raise is not ours to know
        raise _PeerError(first_line(error)) from error
    ended = time.perf_counter()
    decoded = np.concatenate([part.ravel() for part in back]).reshape(field.shape)
    size = sum(map(len, blobs))
    return Found(size, decoded, measure(decoded), between - began, ended - between, mode.name, "", parameter)


def search(
    run: Callable[[float], Found], target: float, start: float, pause: Pause | None = None
) -> tuple[Found | None, Found]:
    """Fewest bytes with an error at or just below the target: secants in logarithms, within a bracket.

    Parameters
    ----------
    run : callable
        Of a parameter that grows with the error.
    target : float
        The error wanted.
    start : float
        The first parameter tried.
    pause : callable, optional
        Called before each encoding; may raise to stop.

    Returns
    -------
    best : Found or None
        None if the target was never reached.
    last : Found
        Of the last parameter tried.

    Examples
    --------
    >>> run = lambda p: Found(int(1000 / p), np.zeros(1), p**1.5, 0.0, 0.0, parameter=p)
    >>> best, _ = search(run, 8.0, 1.0)
    >>> 7.98 < best.error <= 8.0
    True
    """
    low, high = (-math.inf, 0.0), (math.inf, 0.0)  # parameter and how far off, of the nearest on each side
    at, side, best = math.log(start), 0.0, None
    for encode in range(ENCODES):
        if pause is not None:
            pause()
        found = run(math.exp(at))
        off = math.log(max(found.error, 1e-9 * target) / target) + AIMED / 2
        if found.error <= target and (best is None or found.size < best.size):
            best = found
        again, side = side * off > 0, off  # twice on one side: count the other end for half, or it stays for ever
        if off < 0:
            low, high = (at, off), (high[0], high[1] / 2 if again else high[1])
        else:
            low, high = (low[0], low[1] / 2 if again else low[1]), (at, off)
        if abs(off) <= AIMED / 2 or high[0] - low[0] < 1e-3:
            break
        if math.isinf(high[0] - low[0]):  # further each time, and past the root
            at -= min(max(off, -1.0), 1.0) + math.copysign(0.04, off) * 2**encode
        else:
            share = min(max(low[1] / (low[1] - high[1]), 0.05), 0.95) if encode < 7 else 0.5
            at = low[0] + share * (high[0] - low[0])
    return best, found


def at_bound(
    modes: Iterable[Mode], field: Array, bound: float, largest: Measure, pause: Pause | None = None
) -> tuple[Found | None, list[str]]:
    """Fewest bytes that keep the bound; where nothing keeps it, what oversteps it least.

    Parameters
    ----------
    modes : iterable of Mode
    field : NDArray[np.float32], shape (..., y, x)
    bound : float
        What modes are asked for.
    largest : callable
        The largest error of what was decoded, in units of the bound.
    pause : callable, optional
        Called before each encoding.

    Returns
    -------
    Found or None
        Its error is in units of the bound; None if every mode failed.
    list of str
        Why modes failed, a line each.
    """

    def tried(mode: Mode, parts: list[Array]) -> Found:
        if not mode.searched:
            return _run(mode, parts, bound, field, largest)
        best, last = search(lambda p: _run(mode, parts, p, field, largest), 1.0, (mode.start or 1.0) * bound, pause)
        return best or last

    tries, failed = _try(modes, field, tried, pause)
    kept = [found for found in tries if found.error <= TOLERANCE]
    best = min(kept, key=lambda found: found.size) if kept else min(tries, key=lambda found: found.error, default=None)
    return best, failed


def at_rmse(
    peer: Peer, field: Array, target: float, rmse: Measure, pause: Pause | None = None
) -> tuple[Found | None, list[str]]:
    """Fewest bytes at or just below an RMSE; None if it is never reached."""
    ratios: list[float] = []  # a mode that is asked for a ratio begins at what the modes before it reached

    def tried(mode: Mode, parts: list[Array]) -> Found | None:
        start = max(ratios, default=20.0) if mode.start is None else mode.start * target
        best, _ = search(lambda p: _run(mode, parts, p, field, rmse), target, start, pause)
        ratios.extend([] if best is None else [field.nbytes / best.size])
        return best

    tries, failed = _try(peer.rmse, field, tried, pause)
    return min(tries, key=lambda found: found.size, default=None), failed


def at_ratio(
    peer: Peer, field: Array, ratio: float, rmse: Measure, pause: Pause | None = None
) -> tuple[Found | None, list[str]]:
    """Lowest RMSE at about a ratio."""
    tries, failed = _try(peer.fixed, field, lambda mode, parts: _run(mode, parts, ratio, field, rmse), pause)
    return min(tries, key=lambda found: found.error, default=None), failed


def _try(
    modes: Iterable[Mode], field: Array, attempt: Callable[[Mode, list[Array]], Found | None], pause: Pause | None
) -> tuple[list[Found], list[str]]:
    """Each mode in each of its layouts; what foreign codecs raise is told, and not passed on."""
    out, failed = [], []
    for mode in modes:
        warm_up(mode)
        for layout in mode.layouts_for(field):
            if pause is not None:
                pause()
            try:
                found = attempt(mode, LAYOUTS[layout](field))
            except _PeerError as error:
                failed.append(f"{mode.name}, {layout}: {error}"[:200])
                continue
            if found is not None:
                out.append(replace(found, layout=layout))
    return out, failed
