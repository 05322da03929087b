"""Chunk <-> ordered 2-D frames, and whether the last axis closes on itself.

First stage of encoding, last of decoding. Spec: `spec/stream.md`, "Frames".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from adiabat.codec.target import Fine

__all__ = ["Layout", "find_wrap", "frame_shape", "frames_in", "leading_axes", "slabs"]

ADVICE = "use Zarr's bytes codec with zstd, or numcodecs.Zstd, for it"
SLAB = 1 << 17
SEAM_COLUMNS = 16  # interior steps looked at
SEAM_PAIRS = 8  # fewest pixel pairs over the seam that may decide
SEAM_FACTOR = 1.5


@dataclass(frozen=True)
class Layout:
    """How an array lies in memory: enough to give back exactly what came in.

    Parameters
    ----------
    dtype : numpy dtype
        float16, float32 or float64, byte order included.
    shape : tuple of int
        Of the array; `()` for 0-d.
    fortran : bool
        Whether the array is contiguous in Fortran order and not in C order.

    Examples
    --------
    >>> field = np.arange(6, dtype=">f4").reshape(2, 3, order="F")
    >>> layout = Layout.of(field)
    >>> back = layout.restore(layout.frames(field))
    >>> back.dtype.str, back.flags.f_contiguous, bool((back == field).all())
    ('>f4', True, True)
    """

    dtype: np.dtype[np.floating]
    shape: tuple[int, ...]
    fortran: bool = False

    @classmethod
    def of(cls, array: NDArray[np.floating]) -> Layout:
        """Note the layout of an array.

        Raises
        ------
        TypeError
            If its dtype is not float16, float32 or float64, saying what to use instead.
        """
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError("expected an ordinary array, got a masked one: use array.filled(nan)")
        if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
            raise TypeError(f"expected float16, float32 or float64, got {array.dtype}: {ADVICE}")
        flags = array.flags
        return cls(array.dtype, array.shape, flags.f_contiguous and not flags.c_contiguous)

    @property
    def native(self) -> np.dtype[np.floating]:
        """The dtype in this machine's byte order."""
        return self.dtype.newbyteorder("=")

    def frames(self, array: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values as native C-contiguous (frame, y, x), a view where it can be one."""
        return np.ascontiguousarray(array, self.native).reshape(frame_shape(self.shape))

    def restore(self, frames: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return frames as the array that came in: its shape, byte order and memory order."""
        array = frames.reshape(self.shape).astype(self.dtype, copy=False)
        return np.asfortranarray(array) if self.fortran else np.ascontiguousarray(array).reshape(self.shape)


def frame_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (frames, y, x) of a shape: axes of length 1 dropped, the last two kept, the rest counted.

    Parameters
    ----------
    shape : tuple of int
        Of an array.

    Returns
    -------
    tuple of three int

    Examples
    --------
    >>> frame_shape((4, 1, 721, 1440, 1)), frame_shape((7,)), frame_shape(())
    ((4, 721, 1440), (1, 1, 7), (1, 1, 1))
    """
    axes = [length for length in shape if length != 1]
    padded = [1, 1, *axes]
    return math.prod(padded[:-2]), padded[-2], padded[-1]


def leading_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Lengths of the axes that `frame_shape` counts frames over, at least one.

    Examples
    --------
    >>> leading_axes((24, 1, 5, 41, 41)), leading_axes((41, 41))
    ((24, 5), (1,))
    """
    return tuple(length for length in shape if length != 1)[:-2] or (1,)


def slabs(shape: tuple[int, int, int]) -> list[slice]:
    """Runs of frames of about SLAB values, so that what is made of each on the way stays small.

    Examples
    --------
    >>> slabs((3, 1 << 16, 1))
    [slice(0, 2, None), slice(2, 4, None)]
    """
    step = max(1, SLAB // max(1, shape[1] * shape[2]))
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def frames_in(selection: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Numbers of the frames that a selection of an array of this shape touches.

    Examples
    --------
    >>> frames_in((slice(1, 3), 0, slice(None), 5), (4, 2, 10, 10)).tolist()
    [2, 4]
    """
    numbers = np.arange(frame_shape(shape)[0], dtype=np.int64)
    inner = list(shape)
    kept = [axis for axis, length in enumerate(shape) if length != 1][-2:]
    for axis in kept:
        inner[axis] = 1
    return np.unique(np.broadcast_to(numbers.reshape(inner), shape)[selection])


def find_wrap(target: Fine, valid: NDArray[np.bool_] | None, tolerance: float) -> bool:
    """See whether x wraps: the step over the seam looks like a step inside.

    Medians of absolute differences are compared, the seam's with that of sixteen interior columns. The tolerance,
    of the size of the bound, makes the answer the same for the field and for what is decoded from it.

    Parameters
    ----------
    target : Target or NDArray[np.float64], shape (frame, y, x)
        The field in any unit.
    valid : NDArray[np.bool_] or None, shape (frame, y, x)
        Pixels that count; None for all.
    tolerance : float
        In the unit of `target`.

    Returns
    -------
    bool

    Examples
    --------
    >>> angle = np.arange(64) * 2 * np.pi / 64
    >>> find_wrap(np.sin(angle + np.arange(9)[:, None])[None], None, 0.0)
    True
    >>> find_wrap(np.tile(np.arange(64.0), (9, 1))[None], None, 0.0)
    False
    """
    frames, height, width = target.shape
    if width < 8 or frames * height < SEAM_PAIRS:
        return False
    rows = np.divmod(np.arange(0, frames * height, max(1, frames * height // 4096)), height)
    flat, good = target[rows], None if valid is None else valid[rows]
    columns = np.linspace(0, width - 2, min(SEAM_COLUMNS, width - 1)).astype(np.intp)
    inside = _median_step(flat, good, columns, columns + 1)
    seam = _median_step(flat, good, np.array([width - 1]), np.array([0]))
    if seam is None or inside is None:
        return False
    return seam <= SEAM_FACTOR * inside + tolerance


def _median_step(
    flat: NDArray[np.float64],
    good: NDArray[np.bool_] | None,
    left: NDArray[np.intp],
    right: NDArray[np.intp],
) -> float | None:
    """Median |difference| of two sets of columns where both count; None where fewer than eight pairs do."""
    steps = np.abs(flat[:, left] - flat[:, right])
    if good is not None:
        steps = steps[good[:, left] & good[:, right]]
    return float(np.median(steps)) if steps.size >= SEAM_PAIRS else None
