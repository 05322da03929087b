"""Networks of the generated view: transfer encoder, regression mean, denoiser, and the baseline VAE.

Second of four: downscale_data -> **downscale_net** -> downscale -> downscale_export.

    coarse inputs --TransferEncoder--> features ---+--------------------+
                                                   v                    v
    fine inputs ----------------------------> UNet: m, log s ----> UNet: velocity of x at t

Norms are over the channels of one pixel, never over the field, so that what comes out somewhere depends on what is
near alone. Source of the whole: arXiv 2512.05139; of the residual form arXiv 2309.15214; of v: arXiv 2202.00512.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adiabat.codec.downscaler_model import COARSE_INPUTS, FINE_INPUTS
from adiabat.training.downscale_config import DownscaleConfig

__all__ = ["VAE", "Downscaler", "RecordNet", "TransferEncoder", "UNet", "angles"]

TIME = 64  # channels of the embedded time
HOLES = 1  # channels beside the coarse inputs: where stage 1 hides cells
SPREAD = (-5.0, 2.0)  # of log s
Z = 8  # channels of the VAE's latent


class PixelNorm(nn.Module):
    """Each pixel's channels over their root mean square, times a gain for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


class Block(nn.Module):
    """A residual block; `timed`: scaled and shifted by the embedded time. Starts as the identity."""

    def __init__(self, width: int, *, timed: bool = False, dilation: int = 1) -> None:
        super().__init__()
        self.norm1, self.norm2 = PixelNorm(width), PixelNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(TIME, 2 * width) if timed else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.film is not None and time is not None:
            scale, shift = self.film(time)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        out: Tensor = x + self.conv2(F.silu(h))
        return out


class TransferEncoder(nn.Module):
    """Coarse inputs (b, COARSE_INPUTS + HOLES, h, w) -> features (b, width, h, w), seen at h, h/2 and h/4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(COARSE_INPUTS + HOLES, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(3))
        self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Features of all scales, at the coarse resolution."""
        levels = [self.blocks[0](self.stem(x))]
        for block in self.blocks[1:]:
            half = F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False)
            levels.append(block(half))
        h: Tensor = levels.pop()
        for up, finer in zip(self.up, reversed(levels), strict=True):
            h = F.interpolate(h, scale_factor=2.0)[:, :, : finer.shape[2], : finer.shape[3]]
            h = up(torch.cat([finer, h], 1))
        return h


class RecordNet(nn.Module):
    """Stage 1: what hidden cells of a coarse field hold, or the field of the next step, where none is hidden."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = TransferEncoder(width)
        self.head = nn.Sequential(Block(width), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, COARSE_INPUTS + HOLES, h, w) -> (b, 1, h, w)."""
        out: Tensor = self.head(self.encoder(x))
        return out


class UNet(nn.Module):
    """At 1/2, 1/4 and 1/8 of the fine resolution, told of the coarse field's features at 1/4 and 1/8.

    Parameters
    ----------
    inputs, outputs : int
        Channels at the fine resolution; outputs start at zero.
    widths : tuple of three int
    features : int
    timed : bool
    """

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, ...], features: int, *, timed: bool = False):
        super().__init__()
        w1, w2, w3 = widths
        self.stem = nn.Conv2d(4 * inputs, w1, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(w1, w2, 1), nn.Conv2d(w2, w3, 1)])
        self.told = nn.ModuleList([nn.Conv2d(features, w2, 1), nn.Conv2d(features, w3, 1)])
        self.enter = nn.ModuleList(Block(w, timed=timed) for w in widths)
        self.middle = nn.ModuleList(Block(w3, timed=timed) for _ in range(2))
        self.up = nn.ModuleList([nn.Conv2d(w3 + w2, w2, 1), nn.Conv2d(w2 + w1, w1, 1)])
        self.leave = nn.ModuleList(Block(w, timed=timed) for w in (w2, w1))
        self.out = nn.Conv2d(w1, 4 * outputs, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, features: Tensor, time: Tensor | None = None) -> Tensor:
        """(b, inputs, H, W), features (b, features, h, w), time (b, TIME) -> (b, outputs, H, W)."""
        h1 = self.enter[0](self.stem(F.pixel_unshuffle(x, 2)), time)
        h2 = self.down[0](F.avg_pool2d(h1, 2))
        told = F.interpolate(features, size=h2.shape[2:])
        h2 = self.enter[1](h2 + self.told[0](told), time)
        h3 = self.down[1](F.avg_pool2d(h2, 2)) + self.told[1](F.avg_pool2d(told, 2))
        h3 = self.enter[2](h3, time)
        for block in self.middle:
            h3 = block(h3, time)
        h2 = self.leave[0](self.up[0](torch.cat([F.interpolate(h3, scale_factor=2.0), h2], 1)), time)
        h1 = self.leave[1](self.up[1](torch.cat([F.interpolate(h2, scale_factor=2.0), h1], 1)), time)
        return F.pixel_shuffle(self.out(h1), 2).float()


def angles(t: Tensor) -> tuple[Tensor, Tensor]:
    """Alpha and sigma at t in [0, 1], with three axes more: the cosine schedule."""
    phi = t[:, None, None, None] * (math.pi / 2)
    return torch.cos(phi), torch.sin(phi)


class Conditioned(nn.Module):
    """What stage 2 and its baseline have in common: the transfer encoder, and how m and log s are told apart."""

    encoder: TransferEncoder

    def features(self, coarse_inputs: Tensor) -> Tensor:
        """(b, COARSE_INPUTS, h, w) -> (b, features, h, w)."""
        none = torch.zeros_like(coarse_inputs[:, :HOLES])
        out: Tensor = self.encoder(torch.cat([coarse_inputs, none], 1))
        return out

    @staticmethod
    def spread(out: Tensor) -> Tensor:
        """M, and log s within its limits: (b, 2, H, W)."""
        m, spread = out.chunk(2, 1)
        return torch.cat([m, spread.clamp(*SPREAD)], 1)


class Downscaler(Conditioned):
    """Stage 2: the mean of what the coarse field leaves open, its spread, and the denoiser of the rest.

    All in units of the local scale: fine = base + sigma (m + s d).
    """

    def __init__(self, config: DownscaleConfig) -> None:
        super().__init__()
        self.encoder = TransferEncoder(config.features)
        self.mean_net = UNet(FINE_INPUTS, 2, config.mean, config.features)
        self.embed = nn.Sequential(nn.Linear(TIME, TIME), nn.SiLU(), nn.Linear(TIME, TIME), nn.SiLU())
        self.denoiser = UNet(FINE_INPUTS + 3, 1, config.denoiser, config.features, timed=True)

    def mean(self, features: Tensor, fine_inputs: Tensor) -> Tensor:
        """M and log s: (b, 2, H, W)."""
        return self.spread(self.mean_net(fine_inputs, features))

    def velocity(self, x: Tensor, t: Tensor, features: Tensor, fine_inputs: Tensor, mean: Tensor) -> Tensor:
        """V = alpha eps - sigma d at x = alpha d + sigma eps: (b, 1, H, W)."""
        rates = torch.exp(torch.linspace(0.0, math.log(1000.0), TIME // 2, device=t.device))
        phase = t[:, None] * rates
        time = self.embed(torch.cat([phase.sin(), phase.cos()], 1))
        out: Tensor = self.denoiser(torch.cat([x, fine_inputs, mean], 1), features, time)
        return out


class VAE(Conditioned):
    """The baseline: a conditional VAE of the residual, whose latent is at 1/8 of the fine resolution."""

    def __init__(self, config: DownscaleConfig) -> None:
        super().__init__()
        self.encoder = TransferEncoder(config.features)
        w = config.mean[-1]
        self.posterior = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(16 * (1 + FINE_INPUTS), w, 3, padding=1), Block(w),
            nn.AvgPool2d(2), Block(w), nn.Conv2d(w, 2 * Z, 1),
        )  # fmt: skip
        self.decoder = UNet(FINE_INPUTS, 2, config.denoiser, config.features + Z)

    def latent(self, residual: Tensor, fine_inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of z: (b, Z, H/8, W/8)."""
        mu, logvar = self.posterior(torch.cat([residual, fine_inputs], 1)).chunk(2, 1)
        return mu, logvar.clamp(-8, 4)

    def decode(self, z: Tensor, features: Tensor, fine_inputs: Tensor) -> Tensor:
        """M and log s of the residual: (b, 2, H, W)."""
        size = [side // 4 for side in fine_inputs.shape[2:]]
        told = torch.cat([F.interpolate(features, size=size), F.interpolate(z, size=size)], 1)
        return self.spread(self.decoder(fine_inputs, told))
