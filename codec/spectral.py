"""Spectra: hundreds of channels a pixel, predicted from a few coefficients; what is left is mostly noise.

A path of `pyramid`, where an axis of the chunk is said to hold channels. Spec: `spec/spectral.md`.

    x (channel, pixel), and how far off each value may be
      | spectral_fit    mean and principal spectra W of this chunk, coefficients n (component, row, column)
      | spectral_basis  y = n W, in integers
      | spectral_steps  d(y): how long a step is where the prediction is y, since noise goes with brightness
      | spectral_search n moved to where n and q together take fewest bits (encoder only)
      | q = round((x - y) / d)
      | spectral_residual  symbols q under histograms of their own
    and back: x_hat = scale (y + q d)

W, n and the steps are integer fields (`spectral_fields`). No network has a part in it: a stream needs no model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.spectral_basis import Basis
from adiabat.codec.spectral_fields import read_fields, write_fields
from adiabat.codec.spectral_fit import fit_basis
from adiabat.codec.spectral_residual import ResidualReader, ResidualWriter
from adiabat.codec.spectral_search import improved
from adiabat.codec.spectral_steps import Steps

__all__ = ["decode_spectra", "encode_spectra"]

MAX_COMPONENTS = 255
MAX_CHANNELS = 1 << 16  # so that what is done channel by channel has an end
LARGEST = 2**31 - 1  # magnitude of a symbol

Floats = NDArray[np.float64]


def encode_spectra(
    x: NDArray[np.floating],
    limits: Floats,
    *,
    valid: NDArray[np.bool_] | None,
    image: tuple[int, int],
) -> tuple[bytes, Floats] | None:
    """Code spectra so that nearly every value lies within its limit; the others are the caller's to store.

    Parameters
    ----------
    x : NDArray[np.floating], shape (channel, pixel)
        Finite where valid; anything elsewhere.
    limits : NDArray[np.float64], shape (channel, pixel) or (channel, 1)
        How far off each value may be, in the units of x; not above zero, or not finite, where nobody knows.
    valid : NDArray[np.bool_] or None, shape (channel, pixel)
        What is coded; None for all.
    image : tuple of two int
        Rows and columns of the pixels.

    Returns
    -------
    tuple of bytes and NDArray[np.float64], or None
        The payload and what a decoder gives before it is rounded to a dtype; None where spectra of this range and these
        limits cannot be coded so.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # values far out of range end as exceptions
        return _encode(x, limits, valid, image) if len(x) <= MAX_CHANNELS else None


def _encode(
    x: NDArray[np.floating], limits: Floats, valid: NDArray[np.bool_] | None, image: tuple[int, int]
) -> tuple[bytes, Floats] | None:
    fitted = fit_basis(x, limits, valid=valid, image=image)
    if fitted is None:
        return None
    basis, n = fitted.basis, fitted.coefficients
    steps = Steps.fit(fitted.scales, limits, valid, lambda part: basis.predict(n, part))
    n = improved(x, n, basis, steps, valid=valid, image=image)
    writer, x_hat = ResidualWriter(), np.empty(x.shape)
    for part in _parts(x.shape):
        y, s = basis.predict(n, part), steps.scale[part, None]
        d = steps.lengths(y, part)
        q = np.rint((x[part] / s - y) / d)
        coded = np.abs(q) <= LARGEST  # not so of NaN
        q[~coded if valid is None else ~(coded & valid[part])] = 0
        writer.take(q.astype(np.int32), None if valid is None else valid[part])
        x_hat[part] = s * (y + q * d)
    sections = [
        write_fields(steps.integers[:, None]),
        write_fields(n.reshape(len(n), *image)),
        write_fields(basis.rows[:, None]),
        writer.payload(),
    ]
    whole = [each for each in sections if each is not None]
    if len(whole) < len(sections):
        return None
    head = write_varint(len(n)) + basis.write_exponents()
    return head + b"".join(write_varint(len(each)) + each for each in whole), x_hat


def decode_spectra(
    payload: bytes,
    channels: int,
    image: tuple[int, int],
    *,
    valid: NDArray[np.bool_] | None,
) -> Floats:
    """Undo `encode_spectra`: float64 (channel, pixel); CorruptStreamError if the payload is none."""
    reader, pixels = Reader(payload), image[0] * image[1]
    if channels > MAX_CHANNELS:
        raise CorruptStreamError(f"expected at most {MAX_CHANNELS} channels, got {channels}")
    count = reader.varint(min(MAX_COMPONENTS, channels, pixels))
    exponents = Basis.read_exponents(reader, count)
    steps = Steps.read(_section(reader, (4, 1, channels))[:, 0])
    n = _section(reader, (count, *image)).reshape(count, pixels)
    basis = Basis(_section(reader, (count + 1, 1, channels))[:, 0], exponents)
    basis.check(n)
    residual = ResidualReader(reader.take(reader.varint()), channels)
    reader.end()
    x_hat = np.empty((channels, pixels))
    for part in _parts(x_hat.shape):
        y = basis.predict(n, part)
        q = residual.give(part, pixels, None if valid is None else valid[part])
        with np.errstate(over="ignore", under="ignore"):
            x_hat[part] = steps.scale[part, None] * (y + q * steps.lengths(y, part))
    residual.finish()
    return x_hat


def _section(reader: Reader, shape: tuple[int, int, int]) -> NDArray[np.int64]:
    return read_fields(reader.take(reader.varint()), shape)


def _parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Runs of channels of about 2 million values, so that what is made of each stays small."""
    run = max(1, (1 << 21) // max(1, shape[1]))
    for start in range(0, shape[0], run):
        yield slice(start, min(start + run, shape[0]))
