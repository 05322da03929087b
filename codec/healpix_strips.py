"""HEALPix cells as images that a codec can predict across: four strips of three faces each.

Stage: between an array with all cells of a sphere along its last axis, in nested order, and the codec of its chunks.
Nested neighbours lie far apart in memory, so that along one axis nothing can be predicted. A strip is a northern face,
the equatorial one south-west of it and the southern one south-west of that: their edges are true ones, and values go on
across them. Cells are moved, never changed. Spec: `spec/healpix.md`.

Numcodecs finds `HealpixStrips` through an entry point; nothing here needs zarr. For Zarr v3 there is `healpix_plugin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.faces import FACES, from_faces, side_of, to_faces

__all__ = ["STRIPS", "HealpixStrips", "check_shape", "from_strips", "strip_shape", "to_strips"]

STRIPS = 4
ORDER = np.array([0, 4, 11, 1, 5, 8, 2, 6, 9, 3, 7, 10])  # faces of each strip, from the north
BACK = np.argsort(ORDER)


def to_strips(values: NDArray[Any]) -> NDArray[Any]:
    """Lay nested cells out as strips.

    Parameters
    ----------
    values : array, shape (..., 12 nside^2)

    Returns
    -------
    array, shape (..., 4, 3 nside, nside)
        Rows run to the south-west, columns to the south-east.

    Raises
    ------
    ValueError
        Other than all cells of a sphere.

    Examples
    --------
    >>> to_strips(np.arange(48))[0].tolist()  # faces 0, 4 and 11; the cell next to the north pole comes first
    [[3, 1], [2, 0], [19, 17], [18, 16], [47, 45], [46, 44]]
    """
    faces = to_faces(values)[..., ORDER, ::-1, ::-1]  # (..., strip and place, y, x)
    nside = faces.shape[-1]
    return np.ascontiguousarray(faces.swapaxes(-1, -2)).reshape(*faces.shape[:-3], STRIPS, 3 * nside, nside)


def from_strips(strips: NDArray[Any]) -> NDArray[Any]:
    """Undo `to_strips`: (..., 4, 3 nside, nside) to (..., 12 nside^2).

    Raises
    ------
    ValueError
        Another shape.

    Examples
    --------
    >>> values = np.arange(192)
    >>> bool((from_strips(to_strips(values)) == values).all())
    True
    """
    nside = strips.shape[-1] if strips.ndim >= 3 else 0
    if strips.shape[-3:] != (STRIPS, 3 * nside, nside) or nside < 1 or nside & (nside - 1):
        raise ValueError(f"expected (..., 4, 3 nside, nside) with nside a power of two, got shape {strips.shape}")
    faces = strips.reshape(*strips.shape[:-3], FACES, nside, nside).swapaxes(-1, -2)
    return from_faces(faces[..., BACK, ::-1, ::-1])


def strip_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of the strips of an array of cells; ValueError as of `to_strips`.

    Examples
    --------
    >>> strip_shape((24, 786432))
    (24, 4, 768, 256)
    """
    nside = side_of(shape[-1] if shape else 1)
    return (*shape[:-1], STRIPS, 3 * nside, nside)


class HealpixStrips(Codec):  # type: ignore[misc]
    """The filter of numcodecs and Zarr v2, of the same id as the Zarr v3 codec.

    Parameters
    ----------
    nside : int, optional
    dtype : str, optional
        As `numpy.dtype` reads it. Both are needed where the codec that follows gives bytes back and no array, as
        general compressors do; adiabat's own give arrays.

    Examples
    --------
    >>> codec = HealpixStrips()
    >>> cells = np.arange(2 * 48.0).reshape(2, 48)
    >>> codec.encode(cells).shape, bool((codec.decode(codec.encode(cells)) == cells).all())
    ((2, 4, 6, 2), True)
    """

    codec_id: ClassVar[str] = "adiabat.healpix"

    def __init__(self, nside: int | None = None, dtype: str | None = None) -> None:
        if nside is not None:
            if type(nside) is not int:
                raise TypeError(f"{self.codec_id}: expected an integer for nside, got {nside!r}")
            side_of(FACES * nside**2)
        self.nside, self.dtype = nside, None if dtype is None else np.dtype(dtype).str

    def encode(self, buf: ArrayLike) -> NDArray[Any]:
        """Strips of an array (..., 12 nside^2) in C order."""
        values = np.asanyarray(buf)
        if not values.flags.c_contiguous:
            raise ValueError(f"{self.codec_id}: expected an array in C order, got another")
        if self.nside is not None and values.shape[-1:] != (FACES * self.nside**2,):
            raise ValueError(f"{self.codec_id}: expected {FACES * self.nside**2} cells, got shape {values.shape}")
        check_shape(values.shape)
        return to_strips(values)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Undo `encode`, of an array of strips or of its bytes."""
        strips = np.asanyarray(buf)
        if strips.ndim < 3:
            if self.nside is None or self.dtype is None:
                raise ValueError(f"{self.codec_id}: expected nside and dtype for bytes, got {self.get_config()}")
            strips = np.frombuffer(buf, self.dtype).reshape(-1, *strip_shape((FACES * self.nside**2,)))
        cells = from_strips(strips)
        if out is None:
            return cells
        np.copyto(np.asarray(out).view(cells.dtype).reshape(cells.shape), cells)
        return out

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON."""
        options = {"nside": self.nside, "dtype": self.dtype}
        return {"id": self.codec_id} | {key: value for key, value in options.items() if value is not None}


def check_shape(shape: Sequence[int]) -> None:
    """Refuse chunks whose last axis is no sphere, as ValueError."""
    try:
        strip_shape(shape)
    except ValueError:
        raise ValueError(
            f"{HealpixStrips.codec_id}: expected chunks whose last axis is all 12 nside^2 cells of a sphere, "
            f"nside a power of two, got chunks of shape {tuple(shape)}"
        ) from None
