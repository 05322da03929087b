"""Codes fields held out with what a row of the ablation has trained: bytes, and the error on the field's own grid.

Under ablation: **ablation_judge** (fields, how they are coded) -> ablation (rows, log) -> ablation_table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adiabat.codec import subband_coder
from adiabat.codec.healpix_strips import from_strips
from adiabat.codec.hyperprior_model import HyperpriorModel
from adiabat.codec.models import find_model
from adiabat.codec.volume import TAPER, encode_frames
from adiabat.codec.vq_choice import LMBDA
from adiabat.codec.vq_contexts import UNIT
from adiabat.codec.vq_field import FINENESS, STEP, Setting, encode_field
from adiabat.codec.vq_model import VQModel
from adiabat.codec.wavelet import STEP as FINE
from adiabat.formats.healpix_transform import LatLonGrid, harmonic_to_latlon
from adiabat.training import data
from adiabat.training.healpix_data import Axes, as_strips, axes_of
from adiabat.training.hyperprior import Hyperprior
from adiabat.training.latent_train import LatentTrainer
from adiabat.training.stream_data import Orographies
from adiabat.training.vq import VQVAE

THRESHOLD = 0.2  # of refined rounding, for kinds whose rate is not searched word by word
HEADER = 60  # bytes of a stream beside its payload

Frames = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """A field (y, x) that no row was trained on.

    Attributes
    ----------
    name : str
    values : NDArray[np.float64], shape (y, x)
    static : NDArray[np.float32], shape (2, y, x)
        The orography of its grid, normalised.
    wrap : bool
    axes : latitudes and longitudes, degrees, or None where not known
    """

    name: str
    values: Frames
    static: NDArray[np.float32]
    wrap: bool
    axes: Axes | None = None

    @cached_property
    def strips(self) -> Frames:
        """The field as strips of HEALPix faces, (4, 3 nside, nside)."""
        made = as_strips(data.Fields(self.name, self.values.astype(np.float32)[None, None]), self.axes)
        if made is None:
            raise ValueError(f"expected a global field with known axes, got {self.name} of shape {self.values.shape}")
        strips: Frames = made.values[0].astype(np.float64)
        return strips

    def back(self, strips: Frames) -> Frames:
        """Strips on the field's own grid."""
        if self.axes is None:
            raise ValueError(f"expected a field with known axes, got {self.name}")
        field: Frames = harmonic_to_latlon(from_strips(strips), LatLonGrid(*self.axes))
        return field

    @property
    def regridding(self) -> float:
        """RMSE over the standard deviation of going to HEALPix and back, without any compression."""
        return _rms(self.back(self.strips) - self.values) / float(self.values.std())


def held_out(
    fields: Sequence[data.Fields], orography: Orographies, axes: Mapping[str, Axes] | None = None
) -> list[HeldOut]:
    """First frames of fields, with the orography that the training data have of their grid."""
    out = []
    for each in fields:
        frame = each.values[0, 0].astype(np.float64)
        if np.isfinite(frame).all():
            wrap = each.grid[1] >= 1.9 * each.grid[0]
            out.append(HeldOut(each.name, frame, orography.static(each), wrap, (axes or {}).get(each.name)))
    return out


class Coder(Protocol):
    """What a row has trained."""

    def code(self, x: Frames, field: HeldOut, step: float, *, refined: bool, wrap: bool) -> tuple[float, Any]:
        """Bytes of frames in steps, and what a decoder makes of them; step: over the standard deviation."""


def point(coder: Coder, field: HeldOut, step: float, *, refined: bool, healpix: bool = False) -> tuple[float, float]:
    """Ratio and RMSE, over the field's standard deviation, of a step over that deviation.

    The ratio is of the field's own grid as float32, and so is the error: with `healpix` it holds that of regridding.
    """
    centre, unit = float(field.values.mean()), float(field.values.std()) * step
    frames = field.strips if healpix else field.values[None]
    with torch.no_grad():
        size, x_hat = coder.code(
            (frames - centre) / unit, field, step, refined=refined, wrap=field.wrap and not healpix
        )
    decoded = field.back(x_hat * unit + centre) if healpix else x_hat[0] * unit + centre
    return 4 * field.values.size / (HEADER + size), step * _rms(decoded - field.values) / unit


@dataclass(frozen=True)
class LatentCoder:
    """Of the convolutional kinds; `codec` is that of a codebook kind.

    Bytes of codebook kinds are real; of the others those of the coarse field are, and the rest is the model's estimate.
    """

    trainer: LatentTrainer
    codec: VQModel | None

    def code(self, x: Frames, field: HeldOut, step: float, *, refined: bool, wrap: bool) -> tuple[float, Any]:
        """See `Coder`."""
        model = self.trainer.model.cpu().eval()
        static = torch.from_numpy(field.static)[None] if self.trainer.config.film else None
        if isinstance(model, VQVAE) and self.codec is not None:
            return self._words(model, self.codec, x, static, refined, wrap)
        if not isinstance(model, Hyperprior):
            raise TypeError(f"expected a hyperprior, or a codebook with its codec, got {type(model).__name__}")
        return self._estimate(model, x, static, step, refined, wrap)

    def _words(
        self, model: VQVAE, codec: VQModel, x: Frames, static: Tensor | None, refined: bool, wrap: bool
    ) -> tuple[float, Any]:
        """Real bytes, and the field by torch, which knows FiLM."""
        setting = Setting(self.trainer.config.levels, lmbda=LMBDA if refined else 0.0)
        made = encode_field(x, 1.0, setting, codec, (len(x),), wrap=wrap, threads=1)
        details = [torch.from_numpy(each.astype(np.float32) / UNIT) for each in made.details]
        x_hat = model.g_s(torch.from_numpy(made.smooth)[:, None], details, made.size, wrap=wrap, static=static)
        return len(made.payload), x_hat[:, 0].numpy().astype(np.float64)

    def _estimate(
        self, model: Hyperprior, x: Frames, static: Tensor | None, step: float, refined: bool, wrap: bool
    ) -> tuple[float, Any]:
        """Real bytes of the coarse field, the model's estimate of the details."""
        config, coarse = self.trainer.config, list[int]()
        place = torch.full((len(x),), (math.log10(step) - config.finest) / (config.coarsest - config.finest))
        made = model(
            torch.from_numpy(x.astype(np.float32))[:, None], place, static=static, wrap=wrap,
            threshold=THRESHOLD if refined else 0.0, coarse=lambda smooth: _coarse(smooth, coarse.append),
        )  # fmt: skip
        return float(made.bits) / 8 + coarse[0], made.x_hat[:, 0].numpy().astype(np.float64)


def _coarse(smooth: Tensor, tell: Callable[[int], None]) -> Tensor:
    """A coarse field as Pyramid codes it; `tell` is told its bytes."""
    fine = Setting(1).fineness / (FINENESS * STEP)
    payload, decoded = encode_frames(
        smooth[:, 0].numpy().astype(np.float64) / fine, valid=None, step=STEP, snap=1, wrap=False,
        model=find_model(), axes=(len(smooth),), taper=TAPER, threads=1,
    )  # fmt: skip
    tell(len(payload))
    return torch.from_numpy((decoded * fine).astype(np.float32))[:, None]


@dataclass(frozen=True)
class SubbandCoder:
    """Of the codec Hyperprior: real bytes."""

    model: HyperpriorModel

    def code(self, x: Frames, field: HeldOut, step: float, *, refined: bool, wrap: bool) -> tuple[float, Any]:
        """See `Coder`."""
        analysis = subband_coder.Analysis(x, wrap, wrap)
        lmbda = subband_coder.LMBDA if refined else 0.0
        payload, integers = subband_coder.encode(analysis, 1.0, self.model, lmbda=lmbda)
        return len(payload), integers / FINE


def orientations(folders: Sequence[Path]) -> dict[str, tuple[bool, int]]:
    """How NetCDF fields lie on a grid from 90 N southwards and from 0 E eastwards, by name: flipped, columns east."""
    return {
        name: (
            bool(latitude[0] < latitude[-1]),
            round(float(longitude[0] % 360) / abs(float(longitude[1] - longitude[0]))),
        )
        for name, (latitude, longitude) in axes_of(folders).items()
    }


def _rms(error: Frames) -> float:
    return float(np.sqrt(np.mean(error**2)))
