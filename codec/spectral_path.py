"""The spectral path of a chunk: its limits, its spectra, and the checked stream of them.

Stage of `paths` around `spectral`. Spec: `spec/spectral.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.mask import Special
from adiabat.codec.octets import Reader
from adiabat.codec.spectra import Spectra, finished
from adiabat.codec.spectral import decode_spectra, encode_spectra
from adiabat.codec.stream import Stream

if TYPE_CHECKING:
    from adiabat.codec.paths import Chunk

__all__ = ["decode_chunk", "encode_chunk"]

FEWEST = 32  # channels and pixels, with which principal spectra may pay


def encode_chunk(chunk: Chunk) -> tuple[Stream, bool] | None:
    """Code a chunk that has an axis of channels; tell if every bit is kept. None where it cannot be, or cannot pay."""
    axis = chunk.channels or 0
    spectra = Spectra.of(chunk.layout.shape, axis)
    if min(spectra.channels, spectra.before * spectra.behind) < FEWEST:
        return None
    field, valid = chunk.field, None if chunk.valid is None else spectra.pixels(chunk.valid)
    coded = encode_spectra(spectra.pixels(field), _limits(chunk, spectra), valid=valid, image=spectra.image)
    if coded is None:
        return None
    payload, x_hat = coded
    values = finished(spectra.restore(x_hat), field.shape, field.dtype, chunk.valid_range)
    outside, asked = chunk.outside(values, chunk.bound), 1.0 if chunk.noise is None else chunk.noise.times
    sections = {"payload": bytes([axis]) + payload}
    return chunk.checked("spectral", sections, values, outside, ("noise", asked), domain=("spectral",))


def _limits(chunk: Chunk, spectra: Spectra) -> NDArray[np.float64]:
    """How far off each value may be: (channel, pixel) or (channel, 1)."""
    profile = chunk.bound.profile
    if chunk.noise is not None:
        return spectra.pixels(chunk.noise.limits)
    if profile is not None and profile.axis == chunk.channels:
        return profile.sizes[:, None]
    if chunk.bound.kind == "rel":
        with np.errstate(over="ignore", invalid="ignore"):  # signalling NaN
            return chunk.bound.size * np.abs(spectra.pixels(chunk.field).astype(np.float64))
    return np.full((spectra.channels, 1), chunk.bound.size)


def decode_chunk(stream: Stream, shape: tuple[int, int, int], special: Special | None) -> NDArray[np.floating]:
    """Values (frame, y, x) of a stream of the spectral path, before exceptions and the mask."""
    payload = stream.sections["payload"]
    axis = Reader(payload).u8()
    if axis >= len(stream.shape):
        raise CorruptStreamError(f"expected an axis of {stream.shape}, got {axis}")
    spectra = Spectra.of(stream.shape, axis)
    valid = None if special is None else spectra.pixels(special.valid)
    x_hat = decode_spectra(payload[1:], spectra.channels, spectra.image, valid=valid)
    return finished(spectra.restore(x_hat), shape, stream.dtype.newbyteorder("="), stream.valid_range)
