"""The convolutional mean-scale hyperprior, and its factorised sibling, on the wavelet pyramid; for the ablation only.

Third of five: layers -> vq | **hyperprior** -> latent_train. The shipped `Hyperprior` codec is another model
(`adiabat.codec.hyperprior`); this one is what the papers describe, with a transform that is linear from the start.

    x -> g_a -> y -> quantise -> y_hat -> g_s -> x_hat        LL of the last level is coded apart, as in `vq`
                y -> h_a -> z -> quantise -> h_s -> mean and scale of y

Source: Balle et al. 2018 (arXiv 1802.01436); Minnen et al. 2018 (arXiv 1809.02736); checkerboard after He et al. 2021
(arXiv 2103.15306); gain vectors after Cui et al. 2021 (arXiv 2003.02012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adiabat.training.latent_config import LatentConfig
from adiabat.training.layers import SLOPE, Analysis, Synthesis

NODES = 4  # of each gain vector, over the range of steps
HIDDEN = 40  # channels of the hyper networks
LATENT = 16  # channels of z
COARSE = 1.5  # step of LL over that of the details
LEAST = 1e-9  # probability
PACE = 20.0  # logarithms of scales are learned so many times faster than weights: they have far to go
SCALES = (-4.0, 6.0)  # of the natural logarithm of a scale


def pack(details: Sequence[Tensor]) -> Tensor:
    """Bands of levels 1, 2, ... n as channels (B, 4^n - 1, h, w) on the coarsest grid."""
    top = len(details)
    return torch.cat([F.pixel_unshuffle(each, 2 ** (top - level)) for level, each in enumerate(details, 1)], 1)


def unpack(y: Tensor, levels: int) -> list[Tensor]:
    """Undo `pack`."""
    parts = torch.split(y, [3 * 4 ** (levels - level) for level in range(1, levels + 1)], 1)
    return [F.pixel_shuffle(part, 2 ** (levels - level)) for level, part in enumerate(parts, 1)]


def bits_of(r: Tensor, log_scale: Tensor) -> Tensor:
    """Code lengths of residuals under logistic distributions; also of noisy ones."""
    b = torch.exp(log_scale.clamp(*SCALES))
    size = -r.abs()  # symmetric: the lower tail is the exact one
    p = torch.sigmoid((size + 0.5) / b) - torch.sigmoid((size - 0.5) / b)
    return -torch.log2(p.clamp(min=LEAST))


def straight_round(x: Tensor) -> Tensor:
    """Round forward, pass the gradient backward."""
    return x + (x.round() - x).detach()


class GainVectors(nn.Module):
    """Relative steps of the channels, by the step: nodes that are interpolated, all one at the start.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(NODES, channels))

    def forward(self, place: Tensor) -> Tensor:
        """Gains (B, C, 1, 1) at places (B,) from 0, the finest step, to 1, the coarsest."""
        return torch.exp(interpolated(self.log_gain, place))[:, :, None, None]


def interpolated(nodes: Tensor, place: Tensor) -> Tensor:
    """Values (B, C) between nodes (NODES, C)."""
    at = place.clamp(0, 1) * (len(nodes) - 1)
    low = at.floor().clamp(max=len(nodes) - 2).long()
    part = (at - low)[:, None]
    return nodes[low] * (1 - part) + nodes[low + 1] * part


class HyperAnalysis(nn.Sequential):
    """`h_a`: what y holds, four times coarser."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, HIDDEN, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(HIDDEN, HIDDEN, 3, stride=2, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(HIDDEN, LATENT, 3, stride=2, padding=1, padding_mode="replicate"),
        )


class HyperSynthesis(nn.Sequential):
    """`h_s`: hidden channels for the parameters of y."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(LATENT, HIDDEN, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(SLOPE),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(SLOPE),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1, padding_mode="replicate"),
        )


@dataclass
class Reconstruction:
    """A pass through the model; bits_y and bits_z are the model's own estimate."""

    x_hat: Tensor
    bits_y: Tensor
    bits_z: Tensor
    y_hat: Tensor

    @property
    def bits(self) -> Tensor:
        """Estimated bits of all details."""
        return self.bits_y + self.bits_z


@dataclass
class Prior:
    """Mean and log-scale of y before its context, the bits of z, and what the context's pass needs."""

    mean: Tensor
    log_scale: Tensor
    bits_z: Tensor
    base: Tensor
    hidden: Tensor | None


class Hyperprior(nn.Module):
    """The mean-scale hyperprior; `kind="factorised"` has neither z nor context.

    Parameters
    ----------
    config : LatentConfig
    """

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config, self.levels = config, config.levels
        self.g_a = Analysis(config.analysis, config.static)
        self.g_s = Synthesis(config.width, config.static)
        channels = 4**config.levels - 1
        self.gain = GainVectors(channels)
        self.log_scale = nn.Parameter(torch.zeros(NODES, channels))
        self.context: nn.Conv2d | None = None
        if config.kind == "factorised":
            return
        self.h_a, self.h_s = HyperAnalysis(channels + 1), HyperSynthesis()
        self.z_log_scale = nn.Parameter(torch.zeros(1, LATENT, 1, 1))
        self.z_mean = nn.Parameter(torch.zeros(1, LATENT, 1, 1))
        if config.context:
            self.context = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        seen = HIDDEN + 1 + (channels if config.context else 0)
        self.parameters_of_y = nn.Sequential(
            nn.Conv2d(seen, 2 * HIDDEN, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(2 * HIDDEN, 2 * channels, 1)
        )
        nn.init.zeros_(self.parameters_of_y[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.parameters_of_y[2].bias)  # type: ignore[arg-type]

    def forward(
        self,
        x: Tensor,
        place: Tensor,
        *,
        static: Tensor | None = None,
        threshold: float = 0.0,
        wrap: bool = False,
        coarse: Callable[[Tensor], Tensor] = torch.round,
    ) -> Reconstruction:
        """Fields in steps through the model.

        Parameters
        ----------
        x : Tensor, shape (B, 1, H, W)
        place : Tensor, shape (B,)
            Of the step in the range of steps, 0 to 1.
        static : Tensor, shape (B, S, H, W), optional
        threshold : float
            Rounding towards the mean beyond one half: refinement at encode time.
        wrap : bool
        coarse : function
            What becomes of LL of the last level, outside training.
        """
        size = (x.shape[2], x.shape[3])
        whole = 4 * 2**self.levels
        x = F.pad(x, (0, -size[1] % whole, 0, -size[0] % whole), mode="replicate")
        if static is not None:
            static = F.pad(static, (0, -size[1] % whole, 0, -size[0] % whole), mode="replicate")
        wrap = wrap and x.shape[3] == size[1]
        smooth, details = self.g_a(x, self.levels, wrap=wrap, static=static)
        smooth_hat = smooth + COARSE * (torch.rand_like(smooth) - 0.5) if self.training else coarse(smooth)
        gain = self.gain(place)
        y = pack(details) * gain
        prior = self._prior(y, smooth_hat, place)
        mean, log_scale = self._second_pass(y, prior)
        residual = self._round(y - mean, threshold)
        noisy = y - mean + torch.rand_like(y) - 0.5 if self.training else residual
        bits_y = bits_of(noisy, log_scale).sum()
        y_hat = mean + residual
        x_hat = self.g_s(smooth_hat, unpack(y_hat / gain, self.levels), x.shape[2:], wrap=wrap, static=static)
        return Reconstruction(x_hat[:, :, : size[0], : size[1]], bits_y, prior.bits_z, y_hat)

    def _round(self, r: Tensor, threshold: float) -> Tensor:
        if threshold:
            return r.sign() * (r.abs() + 0.5 - threshold).floor().clamp(min=0)
        return straight_round(r)

    def _prior(self, y: Tensor, smooth: Tensor, place: Tensor) -> Prior:
        """What is known of y before any of it."""
        base = interpolated(PACE * self.log_scale, place)[:, :, None, None]
        if self.config.kind == "factorised":
            return Prior(torch.zeros_like(y), base.expand_as(y), y.new_zeros(()), base, None)
        bend = torch.asinh(smooth - F.avg_pool2d(F.pad(smooth, (2, 2, 2, 2), mode="replicate"), 5, 1))
        z = self.h_a(torch.cat([torch.asinh(y), bend], 1)) - self.z_mean
        noisy = z + torch.rand_like(z) - 0.5 if self.training else z.round()
        bits_z = bits_of(noisy, PACE * self.z_log_scale).sum()
        hidden = torch.cat([self.h_s(straight_round(z) + self.z_mean), bend], 1)
        blank = [torch.zeros_like(y)] if self.context is not None else []
        mean, log_scale = self.parameters_of_y(torch.cat([hidden, *blank], 1)).chunk(2, 1)
        return Prior(mean, log_scale + base, bits_z, base, hidden)

    def _second_pass(self, y: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of y, where there is a context the black fields of the checkerboard seen by the white."""
        if prior.hidden is None or self.context is None:
            return prior.mean, prior.log_scale
        rows, columns = (torch.arange(n, device=y.device) for n in y.shape[2:])
        black = ((rows[:, None] + columns) % 2 == 0).to(y.dtype)
        known = (straight_round(y - prior.mean) + prior.mean) * black
        around = self.context(torch.asinh(known))
        mean, log_scale = self.parameters_of_y(torch.cat([prior.hidden, around], 1)).chunk(2, 1)
        white = 1 - black
        return prior.mean * black + mean * white, prior.log_scale * black + (log_scale + prior.base) * white
