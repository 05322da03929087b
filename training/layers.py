"""Layers of the latent codecs: a wavelet pyramid that is exact from the start, and networks that correct it.

Second of five: stream_data -> **layers** -> hyperprior, vq -> latent_train -> vq_export.

`Analysis` (`g_a`) and `Synthesis` (`g_s`) are the CDF 9/7 wavelet, by pixel-unshuffle and one fixed convolution, with a
`Correction` beside it whose last layer starts at zero: an untrained model is the linear multi-resolution transform.
Fields are in units of the quantisation step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adiabat.codec.vq_transform import BANDS, HALO, KINDS, ROUND, WHOLE, Ends, band_ends, fold, kind_of, level_shapes

TAPS = 5  # of the fixed convolutions, in coefficients
REACH = 2  # coefficients that they see to each side
SMOOTHING = 5  # side of the box that is taken from LL before a network sees it
LIMIT = 2.0  # largest correction, in steps
CONVOLUTIONS = HALO - REACH - SMOOTHING // 2  # of a Correction, 3 x 3 each
SLOPE = 0.1  # of what is below zero

# CDF 9/7, halves from the centre on; norms of the synthesis functions close to 1. Cohen, Daubechies, Feauveau 1992.
LOW = (0.852698679008894, 0.377402855612831, -0.110624404418437, -0.023849465019557, 0.037828455506995)
HIGH = (0.788485616405583, -0.418092273221617, -0.040689417609164, 0.064538882628697)


def _symmetric(half: Sequence[float], alternate: bool) -> dict[int, float]:
    return {k: half[abs(k)] * (-1.0 if alternate and k % 2 else 1.0) for k in range(1 - len(half), len(half))}


def filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Analysis and synthesis along one axis, as (band, phase, tap) and (phase, band, tap), taps -2 .. 2 coefficients.

    Band 0 is smooth, centred on even samples, band 1 detail, on odd ones; phase is a sample's parity.
    """
    low, high = _symmetric(LOW, False), _symmetric(HIGH, False)
    back_low, back_high = _symmetric(HIGH, True), _symmetric(LOW, True)
    analysis, synthesis = np.zeros((2, 2, TAPS)), np.zeros((2, 2, TAPS))
    for tap in range(TAPS):
        for phase in range(2):
            ahead = 2 * (tap - REACH) + phase  # of the sample before the coefficient
            analysis[0, phase, tap] = low.get(ahead, 0.0)
            analysis[1, phase, tap] = high.get(ahead - 1, 0.0)
            behind = phase - 2 * (tap - REACH)  # of the coefficient before the sample
            synthesis[phase, 0, tap] = back_low.get(behind, 0.0)
            synthesis[phase, 1, tap] = back_high.get(behind - 1, 0.0)
    return analysis, synthesis


def wavelet_weights() -> tuple[Tensor, Tensor]:
    """Both directions as weights of a convolution, (4, 4, 5, 5): bands from phases and phases from bands."""
    out = []
    for weight in filters():
        both = np.einsum("apt,bqs->abpqts", weight, weight)  # rows, then columns
        out.append(torch.from_numpy(both.reshape(BANDS, BANDS, TAPS, TAPS)).float())
    return out[0], out[1]


def _take(x: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
    return x[..., torch.from_numpy(rows).to(x.device), :][..., torch.from_numpy(columns).to(x.device)]


def extend_field(x: Tensor, halo: int, *, wrap: bool) -> Tensor:
    """Extend (B, C, H, W) as `vq_transform.extend_field`: mirrored in y, mirrored or circular in x."""
    ends: Ends = (ROUND, ROUND) if wrap else (WHOLE, WHOLE)
    return _take(x, fold(x.shape[2], halo, (WHOLE, WHOLE)), fold(x.shape[3], halo, ends))


def extend_bands(y: Tensor, halo: int, *, wrap: bool) -> Tensor:
    """Extend LL and its bands (B, 4, H, W) as `vq_transform.extend_bands`."""
    parts = []
    for band in range(BANDS):
        rows, columns = band_ends(band, wrap=wrap)
        parts.append(_take(y[:, band], fold(y.shape[2], halo, rows), fold(y.shape[3], halo, columns)))
    return torch.stack(parts, 1)


def crop(x: Tensor, by: int) -> Tensor:
    """Leave out `by` rows and columns on each side."""
    return x[..., by : x.shape[-2] - by, by : x.shape[-1] - by] if by else x


class FiLM(nn.Module):
    """Feature-wise linear modulation by static channels, such as orography and pressure level; nothing at the start.

    Parameters
    ----------
    static, channels : int
    """

    def __init__(self, static: int, channels: int) -> None:
        super().__init__()
        self.modulation = nn.Conv2d(static, 2 * channels, 1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, static: Tensor) -> Tensor:
        """Modulate x (B, C, H, W) by static (B, S, H, W)."""
        scale, shift = self.modulation(static).chunk(2, 1)
        modulated: Tensor = x * (1 + scale) + shift
        return modulated


class Correction(nn.Module):
    """What to add to LL and its bands, in steps: three convolutions that see how LL bends, and the bands.

    Parameters
    ----------
    width : int
        Of its hidden layers.
    static : int
        Channels of static fields that modulate it; 0 for none.
    """

    def __init__(self, width: int, static: int = 0) -> None:
        super().__init__()
        sizes = [BANDS, *[width] * (CONVOLUTIONS - 1), BANDS]
        self.convolutions = nn.ModuleList(nn.Conv2d(inner, outer, 3) for inner, outer in pairwise(sizes))
        last = self.convolutions[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.film = FiLM(static, width) if static else None

    def forward(self, y: Tensor, static: Tensor | None = None) -> Tensor:
        """(B, 4, H, W) -> (B, 4, H - 2 by, W - 2 by), by = SMOOTHING // 2 + CONVOLUTIONS; static as large as y."""
        smooth, around = y[:, :1], SMOOTHING // 2
        bend = crop(smooth, around) - F.avg_pool2d(smooth, SMOOTHING, 1)
        x = torch.asinh(torch.cat([bend, crop(y[:, 1:], around)], 1))
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if number == 0 and self.film is not None and static is not None:
                x = self.film(x, crop(static, around + 1))
            if number < len(self.convolutions) - 1:
                x = F.leaky_relu(x, SLOPE)
        return LIMIT * torch.tanh(x / LIMIT)


class AnalysisStep(nn.Module):
    """A step of `g_a`, without borders: (B, 1, 2H + 4 HALO, 2W + 4 HALO) -> (B, 4, H, W)."""

    weight: Tensor

    def __init__(self, width: int, static: int = 0) -> None:
        super().__init__()
        self.register_buffer("weight", wavelet_weights()[0], persistent=False)
        self.correction = Correction(width, static) if width else None

    def forward(self, x: Tensor, static: Tensor | None = None) -> Tensor:
        """Bands of an extended field; `static` as large as the extended bands."""
        y = F.conv2d(F.pixel_unshuffle(x, 2), self.weight)
        inner = crop(y, HALO - REACH)
        if self.correction is None:
            return inner
        around = None if static is None else crop(static, REACH)
        return inner + crop(self.correction(y, around), HALO - REACH - SMOOTHING // 2 - CONVOLUTIONS)


class SynthesisStep(nn.Module):
    """A step of `g_s`, without borders: (B, 4, H + 2 HALO, W + 2 HALO) -> (B, 1, 2H, 2W)."""

    weight: Tensor

    def __init__(self, width: int, static: int = 0) -> None:
        super().__init__()
        self.register_buffer("weight", wavelet_weights()[1], persistent=False)
        self.correction = Correction(width, static) if width else None

    def forward(self, y: Tensor, static: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Field of extended bands; the correction counts `gain` times."""
        inner = crop(y, HALO - REACH)
        if self.correction is not None:
            inner = inner + gain * self.correction(y, static)
        return F.pixel_shuffle(F.conv2d(inner, self.weight), 2)


class Analysis(nn.Module):
    """`g_a`: steps of each kind, applied level by level.

    Parameters
    ----------
    width : int
        Of the corrections; 0 for the wavelet alone.
    static : int
        Channels of static fields.
    """

    def __init__(self, width: int, static: int = 0) -> None:
        super().__init__()
        self.steps = nn.ModuleList(AnalysisStep(width, static) for _ in range(KINDS))

    def forward(
        self, x: Tensor, levels: int, *, wrap: bool = False, static: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, H, W) -> LL (B, 1, h, w) of the last level, and of each level its bands (B, 3, ., .)."""
        details = []
        for level in range(1, levels + 1):
            around = wrap and x.shape[3] % 2 == 0
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
            extended = extend_field(x, 2 * HALO, wrap=around)
            known = None if static is None else static_at(static, (x.shape[2] // 2, x.shape[3] // 2), wrap=around)
            bands = self.steps[kind_of(level)](extended, known)
            x = bands[:, :1]
            details.append(bands[:, 1:])
        return x, details


class Synthesis(nn.Module):
    """`g_s`: the way back; parameters as of `Analysis`."""

    def __init__(self, width: int, static: int = 0) -> None:
        super().__init__()
        self.steps = nn.ModuleList(SynthesisStep(width, static) for _ in range(KINDS))

    def forward(
        self,
        smooth: Tensor,
        details: Sequence[Tensor],
        size: tuple[int, int],
        *,
        wrap: bool = False,
        static: Tensor | None = None,
        gain: float = 1.0,
    ) -> Tensor:
        """LL and bands -> (B, 1, *size)."""
        sizes = level_shapes(*size, len(details))
        for level in range(len(details), 0, -1):
            rows, columns = sizes[level - 1]
            around = wrap and columns % 2 == 0
            bands = extend_bands(torch.cat([smooth, details[level - 1]], 1), HALO, wrap=around)
            known = None if static is None else static_at(static, sizes[level], wrap=around)
            smooth = self.steps[kind_of(level)](bands, known, gain)[:, :, :rows, :columns]
        return smooth


def static_at(static: Tensor, size: tuple[int, int], *, wrap: bool) -> Tensor:
    """Static fields (B, S, H, W), averaged to a level's size and extended by HALO."""
    return extend_field(F.adaptive_avg_pool2d(static, size), HALO, wrap=wrap)


def count_weights(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(math.prod(weight.shape) for weight in module.parameters() if weight.requires_grad)
