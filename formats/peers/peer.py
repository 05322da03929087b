"""What a peer is: another project's compressor, the ways to ask it for a quality, and the layouts it may be given.

Stage: evaluation, below `compare`. A mode turns one array and one parameter into bytes, and bytes back into the array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAYOUTS", "Array", "Mode", "Peer", "Shape"]

Array = NDArray[np.float32]
Shape = tuple[int, ...]


def _frames(field: Array) -> list[Array]:
    return [np.ascontiguousarray(frame) for frame in field.reshape(-1, *field.shape[-2:])]


LAYOUTS: dict[str, Callable[[Array], list[Array]]] = {
    "frames": _frames,
    "volume": lambda field: [field.reshape(-1, *field.shape[-2:])],
    "tall": lambda field: [field.reshape(-1, field.shape[-1])],  # one image, the frames below each other
}


@dataclass(frozen=True)
class Mode:
    """One way to ask a peer for a quality.

    Parameters
    ----------
    name : str
    encode : callable
        Of an array (y, x) or (frame, y, x), float32 without holes, and the parameter; returns all bytes.
    decode : callable
        Of those bytes and the array's shape.
    layouts : tuple of str
        Of `LAYOUTS`: the first for single frames; for stacks all of them are tried.
    start : float or None
        To meet an RMSE, the parameter is searched from this many times the RMSE wanted; None: it is a ratio.
    searched : bool
        Whether it holds a largest error only by a search, the parameter being an error that grows with it.
    """

    name: str
    encode: Callable[[Array, float], bytes]
    decode: Callable[[bytes, Shape], NDArray[Any]]
    layouts: tuple[str, ...] = ("frames", "volume")
    start: float | None = 1.0
    searched: bool = False

    def layouts_for(self, field: Array) -> tuple[str, ...]:
        """Layouts worth trying: those of a single frame are all the same.

        Examples
        --------
        >>> mode = Mode("raw", lambda x, _: x.tobytes(), lambda data, shape: np.frombuffer(data, "f4").reshape(shape))
        >>> mode.layouts_for(np.zeros((4, 5), "f4")), mode.layouts_for(np.zeros((3, 4, 5), "f4"))
        (('frames',), ('frames', 'volume'))
        """
        return self.layouts if field.ndim > 2 else self.layouts[:1]


@dataclass(frozen=True)
class Peer:
    """A compressor of another project.

    Parameters
    ----------
    name : str
        As it is typed after ``--peers``.
    modules : tuple of str
        What must be importable.
    install : str
        What to type where it is not.
    packages : tuple of str
        Distributions whose versions are told.
    bounded : tuple of Mode
        Their parameter is the largest absolute error.
    relative : tuple of Mode
        Their parameter is the largest error over each value's magnitude; where there are none, `bounded` ones are given
        the logarithms.
    rmse : tuple of Mode
        Ways to meet an RMSE.
    fixed : tuple of Mode
        Their parameter is the ratio wanted.
    lossless : tuple of Mode
        Their parameter is ignored.
    most : int or None
        Values beyond which it is so slow that ``all`` leaves it out; asked for by name, it runs all the same.
    """

    name: str
    modules: tuple[str, ...]
    install: str
    packages: tuple[str, ...] = ()
    bounded: tuple[Mode, ...] = ()
    relative: tuple[Mode, ...] = ()
    rmse: tuple[Mode, ...] = ()
    fixed: tuple[Mode, ...] = ()
    lossless: tuple[Mode, ...] = ()
    most: int | None = None

    def missing(self) -> str | None:
        """Why it cannot be used here, in one sentence; None where it can."""
        lacking = [module for module in self.modules if find_spec(module) is None]
        return f"{self.name} needs {' and '.join(lacking)}: {self.install}" if lacking else None
