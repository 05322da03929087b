"""`VQ`: a vector-quantised latent codec for ratios of 30 to 2000: g_a, codebooks, a learned prior of indices, g_s.

    array -> frames -> mask -> holes -> g_a -> coarse field, as Pyramid codes one
                                            -> details -> code words -> indices, coded under P(index | decoded so far)
    stream -> coarse field, indices -> words -> g_s -> x_hat

The VQ-VAE of arXiv 2407.11666 with a transform whose linear, multi-resolution path is exact. Symbols are decoded by
integers only; `g_s` is a float network, so that decoded values may differ between machines by rounding (far less than
1e-4 of a standard deviation), and a bound is kept with that to spare. Spec: spec/vq.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.frames import frame_shape, leading_axes
from adiabat.codec.latent_choice import Candidate
from adiabat.codec.latent_codec import LatentCodec, candidate
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_target import Point, Target, search
from adiabat.codec.stream import Stream
from adiabat.codec.vq_field import LARGEST, Setting, decode_payload, encode_field
from adiabat.codec.vq_model import VQModel, find_vq_model

__all__ = ["VQ", "decode_latent"]

FIRST = 6.0  # first step to try, over the RMSE that is asked for
DRIFT = 2.0**-16  # of the largest anomaly: over ten times what runs of g_s were seen to differ by
COARSE_SIDE = 48  # pixels that the shorter side of the coarse field has at least, where the field is large enough
DEEPEST = 3


class VQ(LatentCodec):
    """Compress float arrays to a root mean square error or a ratio, by vector quantisation; with a bound too.

    Parameters and errors as of `LatentCodec`. The number of threads may change the last bits of decoded values.

    Examples
    --------
    >>> y, x = np.mgrid[0:96, 0:128] / 20
    >>> field = (280 + 10 * np.sin(x + np.sin(y)) * np.cos(y)).astype("f4")
    >>> codec = VQ(target={"rmse": 0.2})
    >>> data = codec.encode(field)
    >>> error = codec.decode(data) - field.astype("f8")
    >>> bool(np.sqrt((error**2).mean()) <= 0.2), len(data) < field.nbytes / 30
    (True, True)
    """

    codec_id: ClassVar[str] = "adiabat.vq"

    def latents(self, field: LatentField) -> VQLatents:
        """The encoder of one chunk."""
        return VQLatents(field, find_vq_model(self.model), self.threads)


@dataclass(frozen=True)
class VQLatents:
    """The encoder of one chunk: candidates at any step."""

    field: LatentField
    model: VQModel
    threads: int | None = None
    setting: Setting | None = None

    @cached_property
    def least(self) -> float:
        """The finest step that the field's float32 networks can take."""
        return 1.01 * float(np.abs(self.field.anomaly).max()) / LARGEST

    def meeting(self, target: Target) -> Candidate | None:
        """The candidate that meets a target; None where none does."""
        start = FIRST * target.size if target.kind == "rmse" else 0.05 * self.field.spread * (target.size / 30) ** 0.7
        found = search(self._point, target, self.field.frames.size, start=start, finer=self.least)
        return None if found is None else found.made

    def at(self, step: float) -> Candidate:
        """The candidate of one step, or of the finest that can be."""
        return self._point(max(step, self.least)).made

    def _point(self, step: float) -> Point[Candidate]:
        field, unit = self.field, float(np.float32(step))
        attempt = encode_field(
            field.anomaly, unit, self.setting or default_setting(field.frames.shape), self.model,
            leading_axes(field.layout.shape), wrap=field.wraps, threads=self.threads,
        )  # fmt: skip
        x_hat = _values(attempt.decoded, unit, field.centre)
        drift = DRIFT * float(np.abs(field.anomaly).max())
        made = candidate(
            field, VQ.codec_id, self.model.sha256, attempt.payload, unit, x_hat, centre=field.centre, drift=drift
        )
        return Point(unit, made, made.size, made.rmse)


def default_setting(shape: tuple[int, ...]) -> Setting:
    """How many levels a frame's size is worth."""
    side, levels = min(shape[1:]), 1
    while levels < DEEPEST and side >> levels + 1 >= COARSE_SIDE:
        levels += 1
    return Setting(levels)


def decode_latent(stream: Stream, threads: int | None = None) -> NDArray[np.float64]:
    """x_hat (frames, y, x) of a latent stream of this codec, before dtype, limits, residual and mask.

    Raises
    ------
    CorruptStreamError, ModelNotFoundError, ModelMismatchError
    """
    model = find_vq_model((stream.model or b"").hex())
    shape, axes = frame_shape(stream.shape), leading_axes(stream.shape)
    steps = decode_payload(stream.sections["payload"], shape, model, axes, wrap=stream.wrap, threads=threads)
    _, centre, step = stream.domain
    return _values(steps, float(step), float(centre))


def _values(steps: NDArray[np.float32], step: float, centre: float) -> NDArray[np.float64]:
    """From steps to the field's units."""
    return steps.astype(np.float64) * step + centre
