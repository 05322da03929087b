"""The Zarr v3 codec ``adiabat.mask``: which cells were observed, one adaptive binary decision a cell.

Stage: beside the factors of a low-rank store. Bit-packed, the mask of a gappy cube would outweigh the factors. Here
each cell is predicted from ten neighbours already known (`CONTEXT`) and coded by a binary arithmetic coder, all in
integers.
Spec: `spec/low_rank.md`, "The mask".
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numba
import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import parse_named_configuration

from adiabat.codec.errors import CorruptStreamError, TruncatedStreamError, UnsupportedVersionError
from adiabat.codec.zarr_plugin import UNNAMED, named, place_of

__all__ = ["MaskCodec", "decode_mask", "encode_mask"]

VERSION = 1
HEAD = 5  # version, CRC-32
CONTEXT = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2), (-2, -1), (-2, 1))  # (row, column)
CONTEXTS = 1 << len(CONTEXT)
MARGIN = 2  # rows above, columns to either side: cells beyond the frame count as not observed
FAST, SLOW = 4, 7  # a probability moves by 2**-rate of the way, in either of two estimates
LEAST = 32  # of 65536: neither bit is ever thought less likely

_ROWS = np.array([row for row, _ in CONTEXT])
_COLUMNS = np.array([column for _, column in CONTEXT])


def encode_mask(observed: NDArray[np.bool_]) -> bytes:
    """Encode a mask.

    Parameters
    ----------
    observed : NDArray[np.bool_], shape (..., y, x)
        Leading axes are frames.

    Returns
    -------
    bytes

    Examples
    --------
    >>> observed = np.tile(np.arange(64) < 40, (16, 32, 1))
    >>> data = encode_mask(observed)
    >>> len(data) < 100, bool((decode_mask(data, observed.shape) == observed).all())
    (True, True)
    """
    frames = _framed(np.asarray(observed, bool))
    out = np.empty(2 * frames.size + 64, np.uint8)  # a cell costs at most 11 bits, and hardly ever above 1
    body = out[: _encode(_padded(frames), _ROWS, _COLUMNS, out)].tobytes()
    return bytes([VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body


def decode_mask(data: bytes, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Undo `encode_mask` for an array of this shape.

    Raises
    ------
    TruncatedStreamError, UnsupportedVersionError, CorruptStreamError
    """
    if len(data) < HEAD:
        raise TruncatedStreamError(f"expected at least {HEAD} bytes of a mask, got {len(data)}")
    if data[0] != VERSION:
        raise UnsupportedVersionError(f"expected a mask of version {VERSION}, got {data[0]}")
    body = data[HEAD:]
    if zlib.crc32(body) != int.from_bytes(data[1:HEAD], "little"):
        raise CorruptStreamError("expected the checksum of the mask, got another")
    frames = _framed(np.zeros(shape, bool))
    padded = _padded(frames)
    _decode(np.frombuffer(body, np.uint8), _ROWS, _COLUMNS, padded)
    return padded[:, MARGIN:, MARGIN : MARGIN + frames.shape[2]].reshape(shape).astype(bool)


def _framed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """View as (frame, y, x)."""
    wide = mask.reshape((1,) * (2 - mask.ndim) + mask.shape) if mask.ndim < 2 else mask
    return wide.reshape(int(np.prod(wide.shape[:-2])), *wide.shape[-2:])


def _padded(frames: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.pad(frames.view(np.uint8), ((0, 0), (MARGIN, 0), (MARGIN, MARGIN)))


@numba.njit(nogil=True, cache=True)
def _young():  # type: ignore[no-untyped-def]
    """Two estimates of each context's probability, of 65536, and how many cells it has seen."""
    estimates = np.full((CONTEXTS, 3), 32768, np.int64)
    estimates[:, 2] = 0
    return estimates


@numba.njit(nogil=True, cache=True)
def _context(padded, t, y, x, rows, columns):  # type: ignore[no-untyped-def]
    """Which neighbours of a cell were observed, a bit for each."""
    context = np.int64(0)
    for k in range(rows.size):
        context |= np.int64(padded[t, y + rows[k], x + columns[k]]) << k
    return context


@numba.njit(nogil=True, cache=True)
def _adapt(estimates, context, bit):  # type: ignore[no-untyped-def]
    """Move both estimates of a context towards the bit, faster while it is young."""
    seen = estimates[context, 2]
    for which, rate in ((0, FAST), (1, SLOW)):
        shift = min(seen + 1, rate)
        old = estimates[context, which]
        estimates[context, which] = old + ((65536 - old) >> shift) if bit else old - (old >> shift)
    estimates[context, 2] = min(seen + 1, SLOW)


@numba.njit(nogil=True, cache=True)
def _split(estimates, context, low, high):  # type: ignore[no-untyped-def]
    """The last number of the part of low .. high that stands for an observed cell."""
    p = min(max((estimates[context, 0] + estimates[context, 1]) >> 1, LEAST), 65536 - LEAST)
    span = high - low
    return low + (span >> 16) * p + (((span & 0xFFFF) * p) >> 16)


@numba.njit(nogil=True, cache=True)
def _encode(padded, rows, columns, out):  # type: ignore[no-untyped-def]
    estimates = _young()
    low, high, count = np.int64(0), np.int64(0xFFFFFFFF), 0
    for t in range(padded.shape[0]):
        for y in range(MARGIN, padded.shape[1]):
            for x in range(MARGIN, padded.shape[2] - MARGIN):
                context = _context(padded, t, y, x, rows, columns)
                middle = _split(estimates, context, low, high)
                if padded[t, y, x]:
                    high = middle
                else:
                    low = middle + 1
                _adapt(estimates, context, padded[t, y, x])
                while (low ^ high) >> 24 == 0:
                    out[count] = high >> 24
                    count += 1
                    low, high = (low << 8) & 0xFFFFFFFF, (high << 8) & 0xFFFFFFFF | 0xFF
    for size in range(1, 5):  # the fewest bytes that, followed by zeros, lie within
        last = (high >> (32 - 8 * size)) << (32 - 8 * size)
        if last >= low:
            for k in range(size):
                out[count] = (last >> (24 - 8 * k)) & 0xFF
                count += 1
            break
    return count


@numba.njit(nogil=True, cache=True)
def _decode(data, rows, columns, padded):  # type: ignore[no-untyped-def]
    estimates = _young()
    low, high, at, code = np.int64(0), np.int64(0xFFFFFFFF), 4, np.int64(0)
    for k in range(4):
        code = code << 8 | (np.int64(data[k]) if k < data.size else 0)
    for t in range(padded.shape[0]):
        for y in range(MARGIN, padded.shape[1]):
            for x in range(MARGIN, padded.shape[2] - MARGIN):
                context = _context(padded, t, y, x, rows, columns)
                middle = _split(estimates, context, low, high)
                bit = code <= middle
                if bit:
                    high = middle
                    padded[t, y, x] = 1
                else:
                    low = middle + 1
                _adapt(estimates, context, bit)
                while (low ^ high) >> 24 == 0:
                    low, high = (low << 8) & 0xFFFFFFFF, (high << 8) & 0xFFFFFFFF | 0xFF
                    code = (code << 8) & 0xFFFFFFFF | (np.int64(data[at]) if at < data.size else 0)
                    at += 1


@dataclass(frozen=True)
class MaskCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """The array-to-bytes codec of Zarr v3; it has no options."""

    is_fixed_size = False
    name: ClassVar[str] = "adiabat.mask"

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
        """Refuse an array that is not of bool."""
        if dtype.to_native_dtype() != np.dtype(bool):
            raise TypeError(f"{self.name} keeps bool, got {dtype.to_native_dtype()}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise: the size is known only when it is written."""
        raise NotImplementedError

    async def encode(self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]) -> list[Buffer | None]:
        """Encode a batch of chunks, off the event loop."""
        pairs = list(chunks_and_specs)
        return await asyncio.to_thread(lambda: [None if c is None else self._encode_sync(c, s) for c, s in pairs])

    async def decode(self, chunks_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]) -> list[NDBuffer | None]:
        """Decode a batch of chunks, off the event loop."""
        pairs = list(chunks_and_specs)
        return await asyncio.to_thread(lambda: [None if c is None else self._decode_sync(c, s) for c, s in pairs])

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return (await self.encode([(chunk_data, chunk_spec)]))[0]

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _decode_partial_single(self, byte_getter: Any, selection: Any, chunk_spec: ArraySpec) -> NDBuffer | None:
        """Decode a whole chunk, whose place Zarr tells here alone."""
        data = await byte_getter.get(prototype=chunk_spec.prototype)
        if data is None:
            return None
        return (await asyncio.to_thread(self._decode_sync, data, chunk_spec, place_of(byte_getter)))[selection]

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return chunk_spec.prototype.buffer.from_bytes(encode_mask(chunk_data.as_numpy_array()))

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec, place: str = UNNAMED) -> NDBuffer:
        mask: Any = named(place, lambda: decode_mask(chunk_data.to_bytes(), chunk_spec.shape))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(mask)
