"""HEALPix cells as images that a codec can predict across: four strips of three faces each.

Stage: between an array with all cells of a sphere along its last axis, in nested order, and the codec of its chunks.
Nested neighbours lie far apart in memory, so that along one axis nothing can be predicted. A strip is a northern face,
the equatorial one south-west of it and the southern one south-west of that: their edges are true ones, and values go on
across them. Cells are moved, never changed. Spec: `spec/healpix.md`.

Found through the entry points `numcodecs.codecs` (`HealpixStrips`) and `zarr.codecs` (`HealpixCodec`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import ArrayLike, NDArray
from zarr.abc.codec import ArrayArrayCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import NDBuffer
from zarr.core.chunk_grids import RegularChunkGrid
from zarr.core.common import parse_named_configuration

from adiabat.codec.faces import FACES, from_faces, side_of, to_faces

__all__ = ["STRIPS", "HealpixCodec", "HealpixStrips", "from_strips", "strip_shape", "to_strips"]

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
            side_of(FACES * nside**2)
        self.nside, self.dtype = nside, None if dtype is None else np.dtype(dtype).str

    def encode(self, buf: ArrayLike) -> NDArray[Any]:
        """Strips of an array (..., 12 nside^2) in C order."""
        values = np.asanyarray(buf)
        if not values.flags.c_contiguous:
            raise ValueError(f"{self.codec_id}: expected an array in C order, got another")
        if self.nside is not None and values.shape[-1:] != (FACES * self.nside**2,):
            raise ValueError(f"{self.codec_id}: expected {FACES * self.nside**2} cells, got shape {values.shape}")
        _check(values.shape)
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


@dataclass(frozen=True)
class HealpixCodec(ArrayArrayCodec):
    """The array-to-array codec of Zarr v3; it has no options.

    Examples
    --------
    >>> import zarr
    >>> array = zarr.create_array(
    ...     {}, shape=(2, 3072), chunks=(1, 3072), dtype="f4", compressors=None, filters=[{"name": "adiabat.healpix"}],
    ...     serializer={"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.1}}})
    >>> array[:] = np.linspace(250, 300, 6144, dtype="f4").reshape(2, 3072)
    >>> bool(np.abs(array[1] - np.linspace(250, 300, 6144)[3072:]).max() <= 0.1)
    True
    """

    is_fixed_size = True
    name: ClassVar[str] = "adiabat.healpix"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read the entry of ``zarr.json``."""
        _, configuration = parse_named_configuration(data, cls.name, require_configuration=False)
        if configuration:
            raise ValueError(f"{cls.name} has no options, got {sorted(configuration)}")
        return cls()

    def to_dict(self) -> dict[str, Any]:
        """Return the entry for ``zarr.json``."""
        return {"name": self.name}

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Refuse an array whose last axis is not all cells of a sphere in one chunk."""
        if isinstance(chunk_grid, RegularChunkGrid):
            _check(chunk_grid.chunk_shape)
            if shape[-1] > chunk_grid.chunk_shape[-1]:
                raise ValueError(
                    f"{self.name}: expected all cells of the last axis in one chunk, "
                    f"got {shape[-1]} in chunks of {chunk_grid.chunk_shape[-1]}"
                )

    def resolve_metadata(self, chunk_spec: ArraySpec) -> ArraySpec:
        """What the next codec sees."""
        return replace(chunk_spec, shape=strip_shape(chunk_spec.shape))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """The same."""
        return input_byte_length

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        return self._encode_sync(chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return self._decode_sync(chunk_data, chunk_spec)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        _check(chunk_data.shape)
        strips: Any = to_strips(chunk_data.as_numpy_array())
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(strips)

    def _decode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        cells: Any = from_strips(chunk_data.as_numpy_array().reshape(strip_shape(chunk_spec.shape)))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(cells)


def _check(shape: Sequence[int]) -> None:
    """Refuse chunks whose last axis is no sphere."""
    try:
        strip_shape(shape)
    except ValueError:
        raise ValueError(
            f"{HealpixStrips.codec_id}: expected chunks whose last axis is all 12 nside^2 cells of a sphere, "
            f"nside a power of two, got chunks of shape {tuple(shape)}"
        ) from None
