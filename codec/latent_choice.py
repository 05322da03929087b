"""Which stream a latent codec writes: latents alone, latents with a residual, or Pyramid.

Stage of the latent codecs between their candidates and the stream: the smallest that keeps what was asked for, after it
was decoded. Spec: spec/hyperprior.md, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.bound import Bound, violations
from adiabat.codec.context import ChunkContext
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_options import LatentOptions
from adiabat.codec.latent_target import Point, Target, search
from adiabat.codec.pyramid import Pyramid
from adiabat.codec.stream import Stream

__all__ = ["Candidate", "Latents", "choose", "with_residual"]

EXPECTED = 10  # single frames beyond this ratio are always smaller as latents: Pyramid is not tried
RESIDUALS = (2.0, 6.0)  # steps, over a bound, whose residuals are tried
LOOSEST = 2.0  # standard deviations; under a looser bound there is next to nothing to code

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A stream, what it decodes to before dtype, limits and mask, its bytes and its error."""

    stream: Stream
    x_hat: Floats
    size: int
    rmse: float
    drift: float = 0.0  # how far x_hat may lie from this on another machine


class Latents(Protocol):
    """What a latent codec makes of a chunk."""

    def meeting(self, target: Target) -> Candidate | None:
        """The candidate that meets a target at the least cost; None where none does."""

    def at(self, step: float) -> Candidate:
        """The candidate of one quantisation step."""


def choose(
    field: LatentField, options: LatentOptions, latents: Latents | None, context: ChunkContext | None = None
) -> bytes:
    """The stream to write; latents is None where the chunk has nothing that a transform can take."""
    target = options.target
    if options.bounded is not None:
        return _bounded(field, options, latents, context)
    if target is None or latents is None:
        return options.plain.encode(_array(field), context=context)
    found = latents.meeting(target)
    best = None if found is None else (found.size, found.rmse, found.stream.write())
    many, ratio = len(field.frames) > 1, 0.0 if found is None else 4 * field.frames.size / found.size
    if found is None or many or ratio < EXPECTED:
        other = _pyramid(field, options, target, context)
        if other is not None and (best is None or _better(target, other, best)):
            best = other
    if best is None:
        return _coarsest(field, options, latents)
    return best[2]


def _better(target: Target, one: tuple[int, float, bytes], other: tuple[int, float, bytes]) -> bool:
    return one[0] < other[0] if target.kind == "rmse" else one[1] < other[1]


def _array(field: LatentField) -> NDArray[np.floating]:
    return field.layout.restore(field.frames)


def _pyramid(
    field: LatentField, options: LatentOptions, target: Target, context: ChunkContext | None
) -> tuple[int, float, bytes] | None:
    """Pyramid at the bound that meets the target."""
    array = _array(field)

    def make(bound: float) -> Point[bytes]:
        shared = {key: value for key, value in options.plain.get_config().items() if key not in ("id", "bound")}
        codec = Pyramid(bound={"abs": bound}, tune="rmse", threads=options.plain.threads, **shared)
        data = codec.encode(array, context=context)
        rmse = field.rmse(field.layout.frames(codec.decode(data)))
        return Point(bound, data, len(data), rmse)

    start = 2.5 * target.size if target.kind == "rmse" else 0.1 * field.spread
    least = target.size if target.kind == "rmse" else 0.0  # an RMSE is at most the bound
    found = search(make, target, field.frames.size, start=min(start, LOOSEST * field.spread), finer=least)
    if found is None and target.kind == "rmse":
        found = make(target.size)
    return None if found is None else (found.size, found.rmse, found.made)


def _coarsest(field: LatentField, options: LatentOptions, latents: Latents) -> bytes:
    """The smallest stream there is, where no stream is as small as was asked for."""
    with_mean = latents.at(64 * field.spread).stream.write()
    loose = Pyramid(
        bound={"abs": 64 * field.spread}, fill_value=options.fill_value, valid_range=options.valid_range
    )  # fmt: skip
    return min(with_mean, loose.encode(_array(field)), key=len)


def _bounded(
    field: LatentField, options: LatentOptions, latents: Latents | None, context: ChunkContext | None
) -> bytes:
    """The smallest of Pyramid alone and of latents with a residual; that meets an RMSE too, if one is asked for."""
    pyramid = options.bounded or options.plain
    array, bound = _array(field), Bound.parse(pyramid.bound)
    tries = [pyramid.encode(array, context=context)]
    profiled = context is not None and context.profile is not None
    if latents is not None and bound.kind == "abs" and not profiled and bound.size < LOOSEST * field.spread:
        made = (with_residual(latents.at(step * bound.size), field, bound, options) for step in RESIDUALS)
        tries += [data for data in made if data is not None]
    target = options.target
    if target is not None and target.kind == "rmse":
        rmse = [field.rmse(field.layout.frames(pyramid.decode(data))) for data in tries]
        tries = [data for data, error in zip(tries, rmse, strict=True) if error <= target.size]
        if not tries:  # an error is at most its bound
            size = min(bound.size, target.size) if bound.kind == "abs" else target.size
            narrower = Pyramid.from_config(pyramid.get_config() | {"bound": {"abs": size}})
            tries = [narrower.encode(array, context=context)]
    return min(tries, key=len)


def with_residual(made: Candidate, field: LatentField, bound: Bound, options: LatentOptions) -> bytes | None:
    """A candidate's stream with its residual under a bound; None where that does not keep it."""
    frames = field.frames
    valid = np.isfinite(frames) if field.valid is None else field.valid
    with np.errstate(over="ignore", invalid="ignore"):  # next to the largest number there is, and signalling NaN
        residual = np.where(valid, frames.astype(np.float64) - made.x_hat, 0.0).astype(frames.dtype)
        ulp = float(np.spacing(frames.dtype.type(np.abs(field.values).max(initial=0.0))))
    slack = 2 * ulp + made.drift
    if not slack < bound.size / 2:
        return None
    nested = Pyramid(bound={"abs": bound.size - slack}, wrap=field.wraps, threads=options.plain.threads)
    data = nested.encode(residual)
    decoded = field.finished(made.x_hat + nested.decode(data).astype(np.float64))
    if violations(frames, decoded, field.valid, replace(bound, size=bound.size - made.drift)).any():
        return None
    sections = {**made.stream.sections, "residual": data}
    return replace(made.stream, bound=("abs", bound.size), sections=sections).write()
