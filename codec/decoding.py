"""Streams -> frames, by whatever path and codec they were made.

First stage of decoding after the stream: **decoding** -> paths' values, or a latent codec's. Spec: `spec/stream.md`.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy
from numpy.typing import NDArray

from adiabat.codec.bound import domain_from
from adiabat.codec.bound_profile import Profile, ProfileDomain
from adiabat.codec.classical import decode_classical
from adiabat.codec.domain import Domain, OrderedDomain, Range, cast, clip, with_low_words
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.exceptions import correct
from adiabat.codec.frames import Layout, frame_shape, leading_axes, slabs
from adiabat.codec.mask import Special, read_plane
from adiabat.codec.octets import unpack, unshuffle
from adiabat.codec.statics import fine_statics, read_statics
from adiabat.codec.stream import Stream

if TYPE_CHECKING:
    from adiabat.codec.side import Decoded

__all__ = ["decode_array", "decode_stream", "values_of"]


def decode_array(
    data: object,
    out: NDArray[np.floating] | None = None,
    *,
    threads: int | None = None,
    frames: NDArray[np.int64] | None = None,
) -> Any:
    """The array of a stream, or `out` filled with it: what every codec's `decode` does, as `Pyramid.decode` says."""
    stream = Stream.read(ensure_bytes(data))
    size = math.prod(stream.shape) * stream.dtype.itemsize
    if out is not None and ensure_ndarray(out).nbytes != size:  # before a header has more set aside than there is room
        raise ValueError(
            f"expected room for {stream.dtype} of shape {stream.shape}, got {ensure_ndarray(out).nbytes} bytes"
        )
    layout = Layout(stream.dtype, stream.shape, stream.fortran)
    array = layout.restore(decode_stream(stream, threads, frames))
    if isinstance(out, np.ndarray) and out.shape == array.shape:
        np.copyto(out, array)
        return out
    return array if out is None else ndarray_copy(array, out)


def decode_stream(
    stream: Stream, threads: int | None = None, only: NDArray[np.int64] | None = None
) -> NDArray[np.floating]:
    """Decode a parsed stream to frames.

    Parameters
    ----------
    stream : Stream
    threads : int, optional
        For the network.
    only : NDArray[np.int64], optional
        Frames that are wanted; the others may be anything.

    Returns
    -------
    NDArray[np.floating], shape (frame, y, x)
        In native byte order.

    Raises
    ------
    CorruptStreamError, ModelNotFoundError
    """
    dtype = stream.dtype.newbyteorder("=")
    shape, sections = frame_shape(stream.shape), dict(stream.sections)
    special = None
    if "mask" in sections:
        special = Special.read(sections["mask"], shape, dtype)
    payload = sections["payload"]
    size = shape[0] * shape[1] * shape[2]
    if stream.path == "raw":
        values = unshuffle(unpack(payload, size * dtype.itemsize), dtype).reshape(shape).copy()
    elif stream.path == "latent":
        values = _decode_latent(stream, threads)
    elif stream.path == "constant":
        if len(payload) != dtype.itemsize:
            raise CorruptStreamError(f"expected a payload of {dtype.itemsize} bytes, got {len(payload)}")
        values = np.full(shape, np.frombuffer(payload, dtype.newbyteorder("<"))[0], dtype)
    elif stream.path == "spectral":
        values = import_module("adiabat.codec.spectral_path").decode_chunk(stream, shape, special)
    else:
        decoded = _decode_integers(stream, shape, special, threads, only)
        domain = _domain(stream)
        values = values_of(domain, decoded, dtype, sections, stream.valid_range)
    if "exceptions" in sections:
        values = correct(values, sections["exceptions"])
    return values if special is None else special.restore(values)


# Who decodes a latent stream, by its codec.
LATENT = {f"adiabat.{name}": f"adiabat.codec.{name}" for name in ("hyperprior", "vq", "hvae")}


def _decode_latent(stream: Stream, threads: int | None) -> NDArray[np.floating]:
    """x_hat of a latent codec, with what static fields explain and the residual, where there are."""
    from adiabat.codec.latent_statics import explained

    x_hat: NDArray[np.float64] = import_module(LATENT[stream.codec]).decode_latent(stream, threads)
    if "static" in stream.sections:
        statics = read_statics(stream.sections["static"])
        with np.errstate(over="ignore", invalid="ignore"):  # gains may be anything
            x_hat = x_hat + explained(statics, (x_hat.shape[1], x_hat.shape[2]))
    if "residual" in stream.sections:
        residual = Stream.read(stream.sections["residual"])
        if frame_shape(residual.shape) != x_hat.shape or residual.path == "latent":
            raise CorruptStreamError(f"expected a residual of shape {x_hat.shape}, got {residual.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            x_hat = x_hat + decode_stream(residual, threads).astype(np.float64)
    return clip(cast(x_hat, stream.dtype.newbyteorder("=")), stream.valid_range)


def _domain(stream: Stream) -> Domain:
    profile = None
    if "bounds" in stream.sections:
        profile = Profile.read(stream.sections["bounds"], stream.shape, int(stream.bound[1]))
    return domain_from(stream.domain, profile)


def _decode_integers(
    stream: Stream,
    shape: tuple[int, int, int],
    special: Special | None,
    threads: int | None,
    only: NDArray[np.int64] | None,
) -> Decoded:
    domain, payload = _domain(stream), stream.sections["payload"]
    if stream.path == "classical":
        return decode_classical(payload, shape, domain.step)
    from adiabat.codec.models import find_model
    from adiabat.codec.volume import decode_frames

    return decode_frames(
        payload, shape, valid=None if special is None else special.valid, step=domain.step,
        snap=domain.snap, wrap=stream.wrap, model=find_model((stream.model or b"").hex()),
        axes=leading_axes(stream.shape), version=stream.version, threads=threads, only=only,
        statics=fine_statics(read_statics(stream.sections.get("static")), shape[1:]),
    )  # fmt: skip


def values_of(
    domain: Domain,
    decoded: Decoded,
    dtype: np.dtype[np.floating],
    sections: dict[str, bytes],
    limits: Range,
) -> NDArray[np.floating]:
    """From decoded integers to values, before exceptions and the mask; shared by encoder and decoder."""
    values = np.empty(decoded.shape, dtype)
    for part in [slice(None)] if isinstance(domain, ProfileDomain) else slabs(values.shape):
        values[part] = domain.from_fine(decoded[part].astype(np.int64, copy=False), dtype)
    if "signs" in sections:
        values[read_plane(sections["signs"], decoded.shape)] *= -1
    if "low_words" in sections:
        low = unshuffle(unpack(sections["low_words"], 4 * values.size), np.dtype(np.uint32))
        values = with_low_words(values, low)
    return values if isinstance(domain, OrderedDomain) else clip(values, limits)
