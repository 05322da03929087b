"""The Zarr v3 faces of the codecs: array-to-bytes codecs of the same names, such as ``adiabat.pyramid``.

Stage: outermost. Zarr hands over one chunk, always of the full chunk shape (edge chunks arrive
padded with the array's fill value), and gets the bytes of one stream (``spec/stream.md``) back.
Zarr finds these classes through the entry point ``zarr.codecs``; nobody has to import them. The default
pipeline calls ``encode`` and ``decode`` with batches, newer pipelines call ``_encode_sync``, and
sharding may call either, so that all three forms are written out here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import parse_named_configuration

from adiabat.codec.bound import Bound
from adiabat.codec.errors import AdiabatError
from adiabat.codec.frames import frames_in
from adiabat.codec.stream import Stream

T = TypeVar("T")
UNNAMED = "a chunk (adiabat verify --deep STORE tells which)"  # where Zarr hands over bytes alone


@dataclass(frozen=True)
class ChunkCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """What all of them do: hand chunks to the codec of the same name, in all the forms that Zarr asks for."""

    is_fixed_size = False
    name: ClassVar[str]
    home: ClassVar[str]  # module and class of the codec

    bound: dict[str, Any] | str | None = None
    valid_range: tuple[float | None, float | None] | None = None
    fill_value: float | None = None
    wrap: bool | None = None
    model: str | None = None
    threads: int | None = field(default=None, compare=False)
    static: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.valid_range is not None:
            object.__setattr__(self, "valid_range", tuple(self.valid_range))
        codec = self._codec(self.fill_value)  # raises what is wrong with the options
        for option in self._options():
            if option in ("bound", "static", "target"):
                object.__setattr__(self, option, getattr(codec, option))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the codec from its entry in ``zarr.json``."""
        configuration: dict[str, Any] = dict(parse_named_configuration(data, cls.name)[1])
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry for ``zarr.json``: what is not a default, never ``threads``."""
        configuration = self._codec(self.fill_value).get_config()
        del configuration["id"]
        return {"name": self.name, "configuration": configuration}

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Refuse an array that is not of floats, or whose chunks bounds along an axis do not fit.

        Zarr calls it when the array is made, opened and resized; not inside shards, where `encode` refuses.
        """
        native = dtype.to_native_dtype()
        if native.kind != "f" or native.itemsize > 8:
            raise TypeError(
                f"{self.name} compresses float16, float32 and float64; this array is {native}. "
                "Leave the serializer out for it: Zarr's own compression keeps it exactly."
            )
        profile = None if self.bound is None else Bound.parse(self.bound).profile
        chunk = getattr(chunk_grid, "chunk_shape", None)  # irregular grids have none
        if profile is not None and chunk is not None:
            axis = profile.on(chunk).axis or 0
            if shape[axis] > chunk[axis]:
                raise ValueError(
                    f"{self.name}: bounds along axis {axis} need that axis to be one chunk; "
                    f"this array has shape {shape} and chunks of {chunk}"
                )

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise: the size of a stream is known only when it is written."""
        raise NotImplementedError

    async def encode(self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]) -> list[Buffer | None]:
        """Encode a batch of chunks, off the event loop; an absent chunk stays absent."""
        pairs = list(chunks_and_specs)
        return await asyncio.to_thread(
            lambda: [None if chunk is None else self._encode_sync(chunk, s) for chunk, s in pairs]
        )

    async def decode(self, chunks_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]) -> list[NDBuffer | None]:
        """Decode a batch of chunks, off the event loop; an absent chunk stays absent."""
        pairs = list(chunks_and_specs)
        return await asyncio.to_thread(
            lambda: [None if data is None else self._decode_sync(data, s) for data, s in pairs]
        )

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return (await self.encode([(chunk_data, chunk_spec)]))[0]

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _decode_partial_single(self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec) -> NDBuffer | None:
        """Decode the frames that a selection needs, and those that they are predicted from."""
        data = await byte_getter.get(prototype=chunk_spec.prototype)
        if data is None:
            return None
        frames = frames_in(selection, chunk_spec.shape)
        chunk = await asyncio.to_thread(self._decode_sync, data, chunk_spec, frames, place_of(byte_getter))
        return chunk[selection]

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        chunk = chunk_data.as_numpy_array()
        marker = self.fill_value
        if marker is None and _is_padded(chunk, chunk_spec.fill_value):
            marker = float(chunk_spec.fill_value)
        # The stream's own byte order is Zarr's business here: the metadata knows only "float32".
        chunk = np.asarray(chunk, dtype=chunk.dtype.newbyteorder("="), order="C")
        data = self._codec(marker).encode(chunk)
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(
        self,
        chunk_data: Buffer,
        chunk_spec: ArraySpec,
        frames: NDArray[np.int64] | None = None,
        place: str = UNNAMED,
    ) -> NDBuffer:
        chunk = named(place, lambda: self._decode_bytes(chunk_data.to_bytes(), chunk_spec, frames))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(chunk)

    def _decode_bytes(self, data: bytes, chunk_spec: ArraySpec, frames: NDArray[np.int64] | None) -> Any:
        stream = Stream.read(data)
        dtype = chunk_spec.dtype.to_native_dtype().newbyteorder("=")
        if (stream.dtype.newbyteorder("="), stream.shape) != (dtype, tuple(chunk_spec.shape)):
            raise ValueError(
                f"{self.name}: this chunk holds {stream.dtype.newbyteorder('=')} of shape {stream.shape}, "
                f"but the Zarr metadata say {dtype} of shape {tuple(chunk_spec.shape)}"
            )
        return self._codec(self.fill_value).decode(data, frames=frames).astype(dtype, copy=False)

    def _options(self) -> list[str]:
        """Names of the codec's options."""
        return [each.name for each in fields(self)]

    def _codec(self, fill_value: float | None) -> Any:
        # Nothing is kept in the instance: it pickles, and forked workers share nothing.
        module, name = self.home.split(":")
        options = {option: getattr(self, option) for option in self._options()}
        return getattr(import_module(module), name)(**options | {"fill_value": fill_value})


@dataclass(frozen=True)
class PyramidCodec(ChunkCodec):
    """Compress every chunk of a Zarr v3 array under a bound.

    Parameters
    ----------
    bound : ``{"abs": x}``, ``{"abs": [x, ...], "axis": k}``, ``{"rel": r}`` or ``"lossless"``
        What every decoded value keeps to: ``|x - x_hat| <= x`` in the units of the array, the same
        with a bound for each index along an axis that is one chunk, ``|x - x_hat| <= r |x|``, or bit for bit.
    valid_range : (lo, hi), optional
        Decoded values are clipped to this interval.
    fill_value : float, optional
        A marker in the data, restored exactly and kept out of the prediction. The array's own
        fill value is recognised without this where Zarr has padded a chunk with it.
    wrap : bool, optional
        Whether the last axis closes on itself. None: seen from the data.
    tune : {"bytes", "rmse"}
        What to save within the bound.
    static : list of str, optional
        SHA-256 of static fields of a chunk's size.
    model : str, optional
        Model id or SHA-256 to encode with. None: the shipped one.
    threads : int, optional
        Threads of one call in this process; never written to the store.

    Examples
    --------
    >>> import numpy as np, zarr
    >>> array = zarr.create_array(
    ...     {}, shape=(64, 128), chunks=(64, 128), dtype="f4", compressors=None,
    ...     serializer={"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.1}}})
    >>> field = np.linspace(250, 300, 64 * 128, dtype="f4").reshape(64, 128)
    >>> array[:] = field
    >>> bool(np.abs(array[:] - field).max() <= 0.1)
    True
    """

    name: ClassVar[str] = "adiabat.pyramid"
    home: ClassVar[str] = "adiabat.codec.pyramid:Pyramid"

    tune: str = "bytes"
    channels: int | None = None


@dataclass(frozen=True)
class HyperpriorCodec(ChunkCodec):
    """Compress every chunk to an RMSE or a ratio.

    Parameters
    ----------
    target : ``{"rmse": x}`` or ``{"ratio": r}``, optional
        Of each chunk, unweighted.
    bound : optional
        As for `PyramidCodec`; one of target and bound, or both.
    valid_range, fill_value, wrap, model, threads, static : optional
        As for `PyramidCodec`.
    """

    name: ClassVar[str] = "adiabat.hyperprior"
    home: ClassVar[str] = "adiabat.codec.hyperprior:Hyperprior"

    target: dict[str, float] | None = None


@dataclass(frozen=True)
class VQCodec(ChunkCodec):
    """Compress every chunk to an RMSE or a ratio, with a codebook; parameters as of `HyperpriorCodec`."""

    name: ClassVar[str] = "adiabat.vq"
    home: ClassVar[str] = "adiabat.codec.vq:VQ"

    target: dict[str, float] | None = None


@dataclass(frozen=True)
class HVAECodec(ChunkCodec):
    """Compress every chunk of spectra to an RMSE or a ratio; parameters as of `HyperpriorCodec`."""

    name: ClassVar[str] = "adiabat.hvae"
    home: ClassVar[str] = "adiabat.codec.hvae:HVAE"

    target: dict[str, float] | None = None


def _is_padded(chunk: NDArray[np.floating[Any]], fill_value: Any) -> bool:
    """Tell whether the far end of some axis holds nothing but `fill_value`, as Zarr pads it.

    NaN needs no marker: the mask of the stream takes care of it.
    """
    if fill_value is None or not np.isfinite(fill_value) or chunk.size == 0:
        return False
    ends = (np.take(chunk, -1, axis=axis) for axis in range(chunk.ndim) if chunk.shape[axis] > 1)
    return any(bool(np.all(end == fill_value)) for end in ends)


def place_of(byte_getter: Any) -> str:
    """Where Zarr takes a chunk from, in words: its key and store, or its place in a shard.

    Parameters
    ----------
    byte_getter : object
        What Zarr gives `ArrayBytesCodecPartialDecodeMixin`; which attributes it has differs between Zarr's versions.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> place_of(SimpleNamespace(path="t2m/c/3/0/0", store="file:///data/store.zarr"))
    't2m/c/3/0/0 in /data/store.zarr'
    >>> place_of(SimpleNamespace(chunk_coords=(1, 0)))
    'chunk (1, 0) of a shard (adiabat verify --deep STORE tells which)'
    """
    path, store = getattr(byte_getter, "path", None), getattr(byte_getter, "store", None)
    if isinstance(path, str) and store is not None:
        return f"{path} in {str(store).removeprefix('wrapping-').removeprefix('file://')}"
    coordinates = getattr(byte_getter, "chunk_coords", None)
    return UNNAMED if coordinates is None else UNNAMED.replace("a chunk", f"chunk {tuple(coordinates)} of a shard")


def named(place: str, decode: Callable[[], T]) -> T:
    """What `decode` gives; what it raises, of the same class, with the chunk's place before the message.

    Raises
    ------
    AdiabatError, ValueError
    """
    try:
        return decode()
    except AdiabatError as error:
        raise type(error)(f"{place}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
