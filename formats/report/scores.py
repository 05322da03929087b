"""What whole frames of the sample tell: the scores of ClimateBenchPress, power spectra, extremes.

Stage: beside measures, -> facts. Frames are thinned evenly to at most so many, and each result says how many it saw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.benchmark_scores import BenchmarkScores, score_benchmark
from adiabat.formats.extremes import Extreme, extremes
from adiabat.formats.isotropic_spectrum import FEWEST, radial_spectrum
from adiabat.formats.policy import Bound, is_target
from adiabat.formats.report.axes import Axes
from adiabat.formats.report.measures import Map, Piece
from adiabat.formats.sample import evenly
from adiabat.formats.spectrum import compare_spectra, ring_geometry

__all__ = ["Scores", "Spectrum", "extremes_of", "score_frames", "spectrum_of"]

Floats = NDArray[np.float64]
SCORED, IN_SPECTRUM = 120, 24  # frames, at most
VALUES = 1_100_000  # of them, where they are several: a frame of 721 x 1440
EXTREMES = 3  # of either kind
APART_KM = 500.0


@dataclass(frozen=True)
class Scores:
    """Scores of ClimateBenchPress, and of how many frames."""

    scores: BenchmarkScores
    frames: int


@dataclass(frozen=True)
class Spectrum:
    """Power of source, of decoded and of the error, mean of so many frames: arrays (wavenumber,)."""

    kind: str
    wavenumber: Floats
    source: Floats
    stored: Floats
    error: Floats
    frames: int


def score_frames(pieces: Sequence[Piece], axes: Axes, bound: Bound) -> Scores | None:
    """Score the frames; None where there are none."""
    whole = [piece for piece in pieces if piece.box.whole]
    if not whole or len(axes.frame) != 2:
        return None
    levels = False
    if len(whole) == 1 and np.prod(whole[0].source.shape[: -len(axes.frame)]) <= SCORED:
        parts = [axes.in_frames(each) for each in _arrays(whole[0])]
        levels = axes.profile is not None and bool(axes.leading) and axes.profile == axes.leading[-1]
    else:
        parts = list(_frames(whole, axes, SCORED))
    scores = score_benchmark(parts[0], parts[1], bound=_bound_of(bound, parts[2:]), levels=levels)
    return Scores(scores, int(np.prod(parts[0].shape[:-2])))


def _bound_of(bound: Bound, allowed: Sequence[NDArray[Any]]) -> Mapping[str, Any] | str | None:
    if bound == "lossless":
        return "lossless"
    if bound == "none" or is_target(bound) or not isinstance(bound, Mapping):
        return None
    if "rel" in bound:
        return {"rel": float(bound["rel"])}
    return {"abs": allowed[0]}


def _arrays(piece: Piece) -> list[NDArray[Any]]:
    allowed = [] if piece.allowed is None else [np.broadcast_to(piece.allowed, piece.source.shape)]
    return [piece.source, piece.stored, *allowed]


def _frames(whole: Sequence[Piece], axes: Axes, most: int) -> list[NDArray[Any]]:
    """At most so many frames of all pieces, evenly spaced: source, stored, and what is allowed; (frame, y, x) each."""
    sides: list[list[NDArray[Any]]] = []
    for piece in whole:
        parts = [axes.in_frames(each) for each in _arrays(piece)]
        sides.append([part.reshape(-1, *part.shape[-2:]) for part in parts])
    count = sum(len(parts[0]) for parts in sides)
    shape = sides[0][0].shape[1:]
    many = min(count, most, max(1, VALUES // math.prod(shape)))
    kept = evenly(count, many + 2 * (many < count))
    kept = kept[1:-1] if many < count else kept  # at the ends nothing is typical
    out = []
    for side in zip(*sides, strict=True):
        first, rows = 0, []
        for part in side:
            here = kept[(kept >= first) & (kept < first + len(part))] - first
            if part.shape[1:] == shape:
                rows.append(part[here])
            first += len(part)
        out.append(np.concatenate(rows))
    return out


def spectrum_of(pieces: Sequence[Piece], axes: Axes) -> Spectrum | None:
    """Mean power by wavenumber: of the sphere where the frames go all round it, otherwise in cycles a cell."""
    whole = [piece for piece in pieces if piece.box.whole]
    if not whole or len(axes.frame) != 2:
        return None
    source, stored = _frames(whole, axes, IN_SPECTRUM)[:2]
    known = np.isfinite(source) & np.isfinite(stored)
    kept = known.mean((1, 2)) > 0.5
    if not kept.any() or min(source.shape[1:]) < FEWEST:
        return None
    x, y = (np.where(known, each.astype(np.float64), np.nan)[kept] for each in (source, stored))
    error = np.where(np.isnan(y - x), 0.0, y - x)
    latitude, longitude = axes.latitude, axes.longitude
    if latitude is not None and longitude is not None and x.shape[1:] == (latitude.size, longitude.size):
        globe = ring_geometry(latitude, longitude) is not None
        if globe:
            return _by_degree(x, y, error, latitude, longitude)
    rings = [radial_spectrum(each) for each in (x, y, error)]
    source_power, stored_power, error_power = (power.reshape(-1, rings[0][0].size).mean(0) for _, power in rings)
    return Spectrum("wavenumber, cycles a cell", rings[0][0], source_power, stored_power, error_power, len(x))


def _by_degree(x: Floats, y: Floats, error: Floats, latitude: Floats, longitude: Floats) -> Spectrum:
    """Of frames that go round the globe, the mean left out."""
    found = compare_spectra(x, y, latitude, longitude)
    noise = compare_spectra(error, error, latitude, longitude).source
    wave = np.arange(found.source.shape[-1], dtype=np.float64)
    means = [each.reshape(-1, wave.size).mean(0)[1:] for each in (found.source, found.decoded, noise)]
    return Spectrum(found.kind, wave[1:], means[0], means[1], means[2], len(x))


def extremes_of(pieces: Sequence[Piece], axes: Axes, shown: Map | None) -> dict[str, list[Extreme]]:
    """Lowest and highest places of the frame that the map shows; none where it has no latitudes and longitudes."""
    if shown is None or axes.latitude is None or axes.longitude is None:
        return {}
    piece = next(
        piece
        for piece in pieces
        if all(part.start <= at < part.stop for part, at in zip(piece.box.region, shown.index, strict=True))
    )
    cut = [slice(None)] * len(axes.shape)
    for axis in axes.leading:
        at = shown.index[axis] - piece.box.start[axis]
        cut[axis] = slice(at, at + 1)
    source, stored = (axes.in_frames(each[tuple(cut)]).reshape(shown.shape) for each in (piece.source, piece.stored))
    if not (np.isfinite(source) & np.isfinite(stored)).any():
        return {}
    (top, left), (rows, columns) = shown.origin, shown.shape
    degrees = axes.latitude[top : top + rows], axes.longitude[left : left + columns]
    return {
        kind: extremes(source, stored, *degrees, kind=kind, count=EXTREMES, apart_km=APART_KM)
        for kind in ("min", "max")
    }
