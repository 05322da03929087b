"""`HVAE`: a latent codec for spectra, such as TEMPO's radiance: images whose last axis are 1028 wavelengths.

    array (..., y, x, channel) -> mask -> log, z-score, clip -> g_a -> y -> quantised -> coded under P(y | those before)
    stream -> integer networks: mean and spread of each y -> y_hat -> g_s -> x_hat

The variational autoencoder of arXiv 2511.18521, whose latents are really quantised and coded. Symbols are decoded by
integers only; `g_s` is a float network, so that decoded values may differ between machines by rounding, and a bound is
kept with that to spare. Spec: spec/hvae.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.context import ChunkContext
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.frames import frame_shape
from adiabat.codec.hvae_lattice import FINE
from adiabat.codec.hvae_model import HVAEModel, find_hvae
from adiabat.codec.hvae_prior import read_latents, write_latents
from adiabat.codec.hvae_transform import analyse, images_of, latent_size, synthesise
from adiabat.codec.latent_choice import EXPECTED, Candidate, choose
from adiabat.codec.latent_codec import LatentCodec, candidate
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_target import Point, Target, search
from adiabat.codec.stream import Stream

__all__ = ["HVAE", "decode_latent"]

LARGEST = float(1 << 20)  # of a latent, in steps
FINEST, COARSEST = 2.0**-7, 2.0**9  # steps over the gains: below, g_s gains nothing; above, nothing is left
GAIN = 0.01  # a step of one gain is about this share of the radiance
DRIFT = 2.0**-14  # of a normalised value: over ten times what runs of g_s were seen to differ by


class HVAE(LatentCodec):
    """Compress spectra to a root mean square error or a ratio, by a variational autoencoder; with a bound too.

    Parameters and errors as of `LatentCodec`; the last axis has as many channels as the model, 1028 for the shipped
    one. With a bound, other arrays are coded by Pyramid. The number of threads may change the last bits of values.

    Examples
    --------
    >>> codec = HVAE(target={"ratio": 2000})
    >>> codec.get_config()
    {'id': 'adiabat.hvae', 'target': {'ratio': 2000.0}}
    """

    codec_id: ClassVar[str] = "adiabat.hvae"

    def encode(self, array: ArrayLike, *, context: ChunkContext | None = None) -> bytes:
        """Encode one chunk (..., y, x, channel), as `LatentCodec.encode`.

        Raises
        ------
        ValueError
            If a target is asked for and the last axis has another number of channels than the model.
        """
        shape, channels, options = np.shape(array), find_hvae(self.model).channels, self._options
        if shape[-1:] != (channels,) and self.bound is None:
            raise ValueError(f"expected spectra of {channels} channels along the last axis, as the model was trained "
                             f"on, got shape {shape}: give a bound, or another codec")  # fmt: skip
        field = options.field(array, context)
        latents = self.latents(field) if field.codable and shape[-1:] == (channels,) else None
        if latents is not None and options.target is not None and options.bounded is None:
            found = latents.meeting(options.target)
            if found is not None and 4 * field.frames.size >= EXPECTED * found.size:
                return found.stream.write()  # at such ratios Pyramid, which would be tried else, never comes near
        return choose(field, options, latents, context)

    def latents(self, field: LatentField) -> HVAELatents:
        """The encoder of one chunk."""
        return HVAELatents(field, find_hvae(self.model), self.threads)


@dataclass(frozen=True)
class HVAELatents:
    """The encoder of one chunk: candidates at any step."""

    field: LatentField
    model: HVAEModel
    threads: int | None = None
    met: dict[tuple[str, float], Candidate | None] = dataclass_field(default_factory=dict)

    @cached_property
    def images(self) -> tuple[int, int, int, int]:
        """The chunk as images of spectra."""
        return images_of(self.field.layout.shape)

    @cached_property
    def latents(self) -> NDArray[np.float64]:
        """Of the chunk, (images, z, rows, columns), less their centres, in gains."""
        frames, valid, model = self.field.frames, self.field.valid, self.model
        x = frames.reshape(self.images)
        mask = None if valid is None else valid.reshape(self.images)
        z = analyse(x, mask, model.normal, model.g_a(self.threads))
        return (z - model.centres[:, None, None]) / model.gains[:, None, None].astype(np.float64)

    @cached_property
    def least(self) -> float:
        """The finest step over the gains."""
        return max(FINEST, 1.01 * float(np.abs(self.latents).max()) / LARGEST)

    @cached_property
    def unit(self) -> float:
        """About a uniform quantiser's step, in the array's units, that does what a step of one gain does."""
        return GAIN * math.sqrt(float(np.mean(self.field.values**2)))

    def meeting(self, target: Target) -> Candidate | None:
        """The candidate that meets a target; None where none does."""
        key = target.kind, target.size
        if key not in self.met:
            start = 2 * target.size / self.unit if target.kind == "rmse" else target.size / 500
            start = min(max(start, self.least), COARSEST)
            found = search(self._point, target, self.field.frames.size, start=start, finer=self.least)
            self.met[key] = None if found is None else found.made
        return self.met[key]

    def at(self, step: float) -> Candidate:
        """The candidate of a step in the array's units, or of the finest or coarsest that can be."""
        return self._point(step / self.unit).made

    def _point(self, step: float) -> Point[Candidate]:
        field, model = self.field, self.model
        step = float(np.float32(min(max(step, self.least), COARSEST)))
        payload, steps = write_latents(model.prior, self.latents / step, step)
        x_hat = _values(steps, step, self.images, model, self.threads).reshape(field.frames.shape)
        drift = math.expm1(DRIFT * float(model.normal.spread.max())) * float(np.abs(x_hat).max())
        made = candidate(field, HVAE.codec_id, model.sha256, payload, step, x_hat, centre=0.0, drift=drift)
        return Point(step, made, made.size, made.rmse)


def decode_latent(stream: Stream, threads: int | None = None) -> NDArray[np.float64]:
    """x_hat (frames, y, x) of a latent stream of this codec, before dtype, limits, residual and mask.

    Raises
    ------
    CorruptStreamError, ModelNotFoundError, ModelMismatchError
    """
    model = find_hvae((stream.model or b"").hex())
    images, (_, centre, step) = images_of(stream.shape), stream.domain
    if images[-1] != model.channels or centre or not FINEST / 2 <= float(step) <= COARSEST:
        raise CorruptStreamError(
            f"expected {model.channels} channels, centre 0 and a step from {FINEST / 2} to {COARSEST}, "
            f"got shape {stream.shape}, {centre}, {step}"
        )
    shape = images[0], latent_size(images[1]), latent_size(images[2])
    steps = read_latents(model.prior, stream.sections["payload"], shape, float(step))
    return _values(steps, float(step), images, model, threads).reshape(frame_shape(stream.shape))


def _values(
    steps: NDArray[np.int64], step: float, images: tuple[int, int, int, int], model: HVAEModel, threads: int | None
) -> NDArray[np.float64]:
    """From latents in units of the step to radiance (images, y, x, channels)."""
    gains = model.gains[:, None, None].astype(np.float64)
    z = steps * (gains * (step / FINE)) + model.centres[:, None, None]
    return synthesise(z.astype(np.float32), images, model.normal, model.g_s(threads))
