"""`Hyperprior`: a latent codec for ratios of 30 to 2000, where an RMSE or a ratio is asked for, or a loose bound.

    array -> frames -> mask -> holes -> g_a (wavelet) -> y -> quantised -> coded under P(y | z), z the scale level above
    stream -> h_s (integer networks): mean and spread of y from all decoded so far -> y_hat -> g_s -> x_hat

The mean-scale hyperprior of learned compression (Balle et al. 2018, Minnen et al. 2018; arXiv 2407.11666 for the
atmosphere) with a transform whose linear, multi-resolution path is exact: a wavelet. What is learned are the
probabilities: each scale level is the hyper-latent of the next finer one. All of decoding is integers and one product
in float64, so that it gives the same bits everywhere. Spec: spec/hyperprior.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import subband_coder
from adiabat.codec.cached import cached_property
from adiabat.codec.frames import frame_shape
from adiabat.codec.hyperprior_model import HyperpriorModel, find_hyperprior
from adiabat.codec.latent_choice import Candidate
from adiabat.codec.latent_codec import LatentCodec, candidate
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_target import Point, Target, search
from adiabat.codec.stream import Stream
from adiabat.codec.wavelet import STEP
from adiabat.codec.workers import cores

__all__ = ["Hyperprior"]

FIRST = 8.0  # first step to try, over the RMSE that is asked for
LEAST = 0.5  # no step is tried below this share of it


class Hyperprior(LatentCodec):
    """Compress float arrays to a root mean square error or a ratio; with a bound too, if asked for.

    Parameters and errors as of `LatentCodec`.

    Examples
    --------
    >>> y, x = np.mgrid[0:64, 0:128] / 20
    >>> field = (280 + 10 * np.sin(y) * np.cos(x)).astype("f4")
    >>> codec = Hyperprior(target={"rmse": 0.2})
    >>> data = codec.encode(field)
    >>> bool(np.sqrt(np.mean((codec.decode(data) - field.astype("f8")) ** 2)) <= 0.2), field.nbytes // len(data) > 100
    (True, True)
    """

    codec_id: ClassVar[str] = "adiabat.hyperprior"

    def latents(self, field: LatentField) -> HyperpriorLatents:
        """The encoder of one chunk."""
        return HyperpriorLatents(field, find_hyperprior(self.model), cores(self.threads))


@dataclass(frozen=True)
class HyperpriorLatents:
    """The encoder of one chunk: candidates at any step."""

    field: LatentField
    model: HyperpriorModel
    threads: int

    @cached_property
    def analyses(self) -> dict[bool, subband_coder.Analysis]:
        """The transform, with and without a first level along x alone."""
        anomaly, wrap = self.field.anomaly, self.field.wraps
        return {first: subband_coder.Analysis(anomaly, wrap, first) for first in (False, True)}

    def centre(self, first: bool) -> float:
        """What to code the field from: with the top of the first frame at 0, it costs no bits."""
        top, _ = self.analyses[first].coefficients
        return float(np.float32(self.field.centre + float(top[0, 0, 0])))

    def meeting(self, target: Target) -> Candidate | None:
        """The candidate that meets a target at the least cost; None where none does."""
        start = FIRST * target.size if target.kind == "rmse" else 0.1 * self.field.spread * math.sqrt(target.size / 30)
        finer = LEAST * target.size if target.kind == "rmse" else 0.0
        first = self.field.wraps
        best = self._search(first, target, start, finer)
        if best is None:
            return None
        other = self._at(not first, best.step)
        if _cost(other, self.field) < _cost(best, self.field):
            best = self._search(not first, target, best.step, finer) or best
        return best.made

    def at(self, step: float) -> Candidate:
        """The candidate of one step."""
        return self._at(self.field.wraps, step).made

    def _search(self, first: bool, target: Target, start: float, finer: float) -> Point[Candidate] | None:
        return search(lambda step: self._at(first, step), target, self.field.frames.size, start=start, finer=finer)

    def _at(self, first: bool, step: float) -> Point[Candidate]:
        unit = float(np.float32(max(step, 2 * self.analyses[first].largest / subband_coder.TOP_LIMIT)))
        centre, analysis = self.centre(first), self.analyses[first]
        payload, integers = subband_coder.encode(
            analysis, unit, self.model, threads=self.threads, offset=centre - self.field.centre
        )
        x_hat = _values(integers, centre, unit)
        made = candidate(self.field, Hyperprior.codec_id, self.model.sha256, payload, unit, x_hat, centre=centre)
        return Point(unit, made, made.size, made.rmse)


def _cost(point: Point[Candidate], field: LatentField) -> float:
    """Lagrangian cost of a point, in squared steps."""
    return field.values.size * (point.rmse / point.step) ** 2 + 8 * subband_coder.LMBDA * point.size


def _values(integers: NDArray[np.int64], centre: float, unit: float) -> NDArray[np.float64]:
    return np.asarray(centre + integers * (unit / STEP), np.float64)


def decode_latent(stream: Stream, threads: int | None) -> NDArray[np.float64]:
    """x_hat of a latent stream: float64, shape (frames, y, x), before residual, dtype, limits and mask."""
    model = find_hyperprior((stream.model or b"").hex())
    _, centre, unit = stream.domain
    shape = frame_shape(stream.shape)
    integers = subband_coder.decode(stream.sections["payload"], shape, model, wrap=stream.wrap, threads=cores(threads))
    return _values(integers, float(centre), float(unit))
