"""Targets of whole streams and of the payloads of each codec.

A stream's input is its body: magic, length and checksum are made here. Seeds are the vectors of the specification.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from fuzz.framing import body_of, change_nested, change_stream, stream_of
from fuzz.oracle import ROOT, chosen, compare
from fuzz.section_targets import expect
from fuzz.target import Failure, Target
from numpy.typing import NDArray

from adiabat.codec import hvae_prior, subband_coder, volume
from adiabat.codec.decoding import decode_array
from adiabat.codec.description import describe
from adiabat.codec.errors import AdiabatError
from adiabat.codec.hvae_lattice import INPUTS, PASSES
from adiabat.codec.hyperprior_model import find_hyperprior
from adiabat.codec.integer_net import Layer
from adiabat.codec.models import find_model
from adiabat.codec.octets import write_varint
from adiabat.codec.statics import Static, read_statics, write_statics
from adiabat.codec.stream import Stream, element_count
from adiabat.codec.vq_field import decode_payload
from adiabat.codec.vq_model import find_vq_model

VECTORS = ROOT / "spec" / "vectors"
MOST = 1 << 13  # elements of an array that is decoded; of a larger one only the header is read


def _header(data: bytes) -> int:
    """What a stream says of itself; what is read is written again as it was."""
    whole = stream_of(data)
    try:
        stream = Stream.read(whole)
        describe(whole)
    except AdiabatError:
        return 0
    if stream.write() != whole:
        raise Failure("expected a stream that is written as it was read")
    return 0


def _whole(data: bytes) -> int:
    """Any bytes as a stream: hardly one gets past its checksum."""
    with contextlib.suppress(AdiabatError):
        decode_array(data)
    return 0


def _stream(data: bytes) -> int:
    """A stream decoded; one in many by the reference decoder too."""
    whole = stream_of(data)
    array: NDArray[np.floating] | None = None
    shown = False
    try:
        stream = Stream.read(whole)
        if element_count(stream.shape) > MOST:
            return 0
        shown = chosen(data)
        array = decode_array(whole, threads=1)
    except AdiabatError:
        pass
    if shown:
        compare(whole, array)
    return 0 if array is None else expect(array, stream.shape, stream.dtype)


def vectors(*, largest: int = 4096) -> Iterator[bytes]:
    """Bodies of the specification's valid streams, the small ones."""
    for path in sorted(VECTORS.glob("valid/*/stream.bin")):
        data = path.read_bytes()
        if len(data) <= largest:
            yield body_of(data)


def _vector_headers() -> Iterator[bytes]:
    for body in vectors():
        stream = Stream.read(stream_of(body))
        if sum(map(len, stream.sections.values())) < 256:
            yield body


SHAPES: tuple[tuple[int, ...], ...] = ((7, 9), (1, 1), (6, 4, 5), (2, 3, 3, 2), (1, 16), (33, 2, 2), (16, 24))


def _shaped(data: bytes) -> tuple[tuple[int, int, int], tuple[int, ...], int]:
    """Frames, leading axes and flags that the first byte of an input chooses."""
    first = data[0] if data else 0
    shape = SHAPES[first % len(SHAPES)]
    frames = (1, 1, *shape)
    return (int(np.prod(frames[:-2])), shape[-2], shape[-1]), shape[:-2] or (1,), first // len(SHAPES)


@cache
def _valid(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.random.default_rng(3).random(shape) < 0.7


def _setting(flags: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Arguments of a neural payload that flags choose: a mask or none, steps of either kind, a circle or not."""
    step, snap = ((256, 1), (64, 64))[flags >> 2 & 1]
    valid = _valid(shape) if flags & 2 else None
    return {"valid": valid, "step": step, "snap": snap, "wrap": bool(flags & 8), "model": find_model(), "threads": 1}


def _neural(data: bytes) -> int:
    """A neural payload, of version 1 or 2, with a mask or without."""
    shape, axes, flags = _shaped(data)
    try:
        decoded = volume.decode_frames(data[1:], shape, axes=axes, version=1 + (flags & 1), **_setting(flags, shape))
    except AdiabatError:
        return 0
    if max(map(abs, decoded.reshape(-1).tolist())) > volume.lattice.LIMIT:
        raise Failure(f"expected fine units up to {volume.lattice.LIMIT}, got {decoded}")
    return expect(decoded.astype(np.int64), shape, np.int64)


def _neural_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(5)
    for number, shape in enumerate(SHAPES):
        frames, axes, _ = _shaped(bytes([number]))
        for flags in (1, 3, 5, 9, 11):
            unit = 20 if flags & 4 else 2000
            target = np.rint(np.cumsum(rng.normal(size=frames), -1) * unit) * (64 if flags & 4 else 1)
            taper = volume.TAPER if flags == 1 and shape[0] % 2 else ()
            payload, _ = volume.encode_frames(target, axes=axes, taper=taper, **_setting(flags, frames))
            yield bytes([number + len(SHAPES) * flags]) + payload
    for path in sorted(VECTORS.glob("valid/*-neural/stream.bin")):
        stream = Stream.read(path.read_bytes())
        if stream.version == 1:
            yield bytes([3]) + stream.sections["payload"]


def _latent(data: bytes) -> int:
    """A payload of Hyperprior."""
    shape, _, flags = _shaped(data)
    try:
        decoded = subband_coder.decode(data[1:], shape, find_hyperprior(), wrap=bool(flags & 1), threads=1)
    except AdiabatError:
        return 0
    return expect(decoded, shape, np.int64)


def _latent_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(6)
    for number in range(len(SHAPES)):
        frames, _, _ = _shaped(bytes([number]))
        field = np.cumsum(rng.normal(size=frames), -1)
        for flags, step in ((0, 0.3), (1, 3.0), (1, 0.001)):
            analysis = subband_coder.Analysis(field, bool(flags), bool(flags))
            yield bytes([number + len(SHAPES) * flags]) + subband_coder.encode(analysis, step, find_hyperprior())[0]


def _vq(data: bytes) -> int:
    """A payload of VQ."""
    shape, axes, flags = _shaped(data)
    try:
        decoded = decode_payload(data[1:], shape, find_vq_model(), axes, wrap=bool(flags & 1), threads=1)
    except AdiabatError:
        return 0
    return expect(decoded, shape, np.float32)


def _vq_seeds() -> Iterator[bytes]:
    from adiabat.codec.vq_field import Setting, encode_field

    rng = np.random.default_rng(7)
    for number in range(len(SHAPES)):
        frames, axes, _ = _shaped(bytes([number]))
        for flags, step in ((0, 0.5), (1, 0.05)):
            setting = Setting(1 + number % 3)
            field = np.cumsum(rng.normal(size=frames), -1)
            made = encode_field(field, step, setting, find_vq_model(), axes, wrap=bool(flags), threads=1)
            yield bytes([number + len(SHAPES) * flags]) + made.payload


@cache
def _prior() -> hvae_prior.Prior:
    """A small random prior of latents."""
    rng, z = np.random.default_rng(8), 3
    sizes = (((INPUTS, 8), 30, 6), ((8, 3), 9, 0))
    layers = tuple(Layer(rng.integers(-top, top + 1, size).astype(np.int8), shift) for size, top, shift in sizes)
    linear = rng.integers(-3000, 3000, (len(PASSES), z, 4 + z)).astype(np.int16)
    scales = rng.integers(1, 5000, (len(PASSES), z)).astype(np.int32)
    return hvae_prior.Prior(linear, scales, layers, find_model().frequencies)


LATENTS = ((1, 4, 4), (2, 1, 3), (1, 17, 2))


def _hvae(data: bytes) -> int:
    """Latents of HVAE under a small prior."""
    first = data[0] if data else 0
    shape = LATENTS[first % 3]
    try:
        decoded = hvae_prior.read_latents(_prior(), data[1:], shape, (0.01, 1.0, 200.0)[first // 3 % 3])
    except AdiabatError:
        return 0
    return expect(decoded, (shape[0], 3, *shape[1:]), np.int64)


def _hvae_seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(9)
    for first in range(9):
        frames, rows, columns = LATENTS[first % 3]
        latents = rng.normal(size=(frames, 3, rows, columns)) * 10.0 ** (first // 3)
        yield bytes([first]) + hvae_prior.write_latents(_prior(), latents, (0.01, 1.0, 200.0)[first // 3])[0]


def _static(data: bytes) -> int:
    """The section that names static fields."""
    try:
        statics = read_statics(data)
    except AdiabatError:
        return 0
    if write_statics(statics) != data:
        raise Failure("expected static fields that are written as they were read")
    return 0


def _static_seeds() -> Iterator[bytes]:
    yield write_statics((Static("ab" * 32, 3, 4, 0.5),))
    yield write_statics(tuple(Static("cd" * 32, number, 1 << 20, -1.5) for number in range(4)))
    yield write_varint(1)


PARTS = "stream header description decoding domain frames paths bound bound_profile octets mask exceptions classical "
PARTS += "entropy words volume plan order side smoothing coarse_to_fine prediction subband_coder subband_walk wavelet "
PARTS += "hyperprior spectral_path spectra spectral latent_statics spectral_residual spectral_fields spectral_basis "
PARTS += "spectral_steps histogram loglinear statics vq vq_field vq_prior vq_contexts vq_transform hvae hvae_prior "
PARTS += "hvae_transform hvae_lattice"
MODULES = tuple(f"adiabat.codec.{name}" for name in PARTS.split())

STREAM_TARGETS = (
    Target("bytes", _whole, lambda: map(stream_of, vectors(largest=512)), MODULES, longest=1024),
    Target("header", _header, _vector_headers, MODULES[:9], longest=512),
    Target("stream", _stream, vectors, MODULES, change_stream),
    Target("neural", _neural, _neural_seeds, MODULES, change_nested, longest=2048),
    Target("latent", _latent, _latent_seeds, MODULES, change_nested, longest=2048),
    Target("vq", _vq, _vq_seeds, MODULES, change_nested, longest=2048),
    Target("hvae", _hvae, _hvae_seeds, MODULES, change_nested, longest=1024),
    Target("static", _static, _static_seeds, MODULES, longest=256),
)
