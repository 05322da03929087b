"""The Zarr v3 face of `healpix_strips`: an array-to-array codec of the same name, ``adiabat.healpix``.

Stage: outermost, before one of the codecs of `zarr_plugin`. Zarr finds it through the entry point ``zarr.codecs``.
Spec: `spec/healpix.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from zarr.abc.codec import ArrayArrayCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import NDBuffer
from zarr.core.common import parse_named_configuration

from adiabat.codec.healpix_strips import STRIPS, check_shape, from_strips, strip_shape, to_strips

__all__ = ["HealpixCodec"]


@dataclass(frozen=True)
class HealpixCodec(ArrayArrayCodec):
    """The array-to-array codec of Zarr v3; it has no options.

    Examples
    --------
    >>> import numpy as np, zarr
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
        chunks = getattr(chunk_grid, "chunk_shape", None)  # irregular grids have none
        if chunks is not None:
            check_shape(chunks)
            if shape[-1] > chunks[-1]:
                raise ValueError(
                    f"{self.name}: expected all cells of the last axis in one chunk, "
                    f"got {shape[-1]} in chunks of {chunks[-1]}"
                )

    def resolve_metadata(self, chunk_spec: ArraySpec) -> ArraySpec:
        """What the next codec sees; Zarr 3.4 asks it of whole arrays, too, which may have fewer cells than chunks."""
        try:
            shape = strip_shape(chunk_spec.shape)
        except ValueError:
            shape = (*chunk_spec.shape[:-1], STRIPS, 0, 0)
        return replace(chunk_spec, shape=shape)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """The same."""
        return input_byte_length

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        return self._encode_sync(chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        return self._decode_sync(chunk_data, chunk_spec)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer | None:
        check_shape(chunk_data.shape)
        strips: Any = to_strips(chunk_data.as_numpy_array())
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(strips)

    def _decode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> NDBuffer:
        cells: Any = from_strips(chunk_data.as_numpy_array().reshape(strip_shape(chunk_spec.shape)))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(cells)
