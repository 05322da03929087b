"""`HVAE`'s network: the encoder and decoder of arXiv 2511.18521, their loss, and a linear start.

First of four: **hvae** -> hvae_train -> hvae_prior -> hvae_export. Radiance is normalised (log, z-score, clip) with the
wavelength channels first. Three levels of residual blocks with group norm and GELU, 2 x 2 convolutions of stride 2
between them, self-attention in the bottleneck, a diagonal Gaussian posterior; the decoder is the mirror image. The
maps between the channels and the first width are 1 x 1 convolutions, where the paper's code has 3 x 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adiabat.training.hvae_config import BLOCK, GROUPS, HALVINGS, HVAEConfig

__all__ = ["HVAE", "Attention", "Decoder", "Encoder", "Posterior", "ResBlock", "kl_divergence", "reconstruction_loss"]

HEADS = 4
BRANCH = 0.1  # of a channel's spread: what a residual branch adds to it counts so much
LOGVAR = -9.0  # of the posterior at the start
LOGVARS = -20.0, 4.0  # where it may lie


class Posterior(NamedTuple):
    """q(z | x): mean and logarithm of the variance, (B, z, H / 4, W / 4)."""

    mu: Tensor
    logvar: Tensor

    def sample(self) -> Tensor:
        """Z = mu + exp(logvar / 2) eps, differentiable in both."""
        return self.mu + torch.exp(0.5 * self.logvar) * torch.randn_like(self.mu)


class ResBlock(nn.Module):
    """x + scale conv(gelu(norm(conv(gelu(norm(x)))))); the second convolution starts at zero.

    scale, by channel, does not learn: a linear start sets it to a share of how much each channel varies, so that
    steps of the optimiser, which are of one size, harm no small direction.
    """

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(width, 1, 1))
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        h = self.conv1(F.gelu(self.norm1(x)))
        out: Tensor = x + self.scale * self.conv2(F.gelu(self.norm2(h)))
        return out


class Attention(nn.Module):
    """Self-attention of all places with one another, in four heads; its projection starts at zero; scale as above."""

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(width, 1, 1))
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv, self.project = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        batch, width, height, columns = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, HEADS, width // HEADS, height * columns)
        q, k, v = (qkv[:, part].transpose(2, 3) for part in range(3))  # (B, heads, places, width / heads)
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(width // HEADS), -1)
        mixed = (weights @ v).transpose(2, 3).reshape(batch, width, height, columns)
        out: Tensor = x + self.scale * self.project(mixed)
        return out


class Encoder(nn.Module):
    """x (B, C, H, W), normalised, to the posterior's moments (B, 2 z, H / 4, W / 4)."""

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(config.channels, widths[0], 1)
        self.blocks = nn.ModuleList(ResBlock(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 2, 2) for i in range(HALVINGS))
        self.attention = Attention(widths[-1]) if config.attention else nn.Identity()
        self.to_mu, self.to_logvar = nn.Conv2d(widths[-1], config.z, 1), nn.Conv2d(widths[-1], config.z, 1)
        nn.init.zeros_(self.to_logvar.weight)
        nn.init.constant_(self.to_logvar.bias, LOGVAR)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Posterior:
        """H and W are multiples of 4."""
        h = self.conv_in(x)
        for level, block in enumerate(self.blocks):
            h = block(h)
            if level < HALVINGS:
                h = self.down[level](h)
        h = self.attention(h)
        return Posterior(self.to_mu(h), self.to_logvar(h).clamp(*LOGVARS))


class Decoder(nn.Module):
    """z (B, z, H / 4, W / 4) to x_hat (B, C, H, W), normalised."""

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        widths = config.widths
        self.from_z = nn.Conv2d(config.z, widths[-1], 1)
        self.attention = Attention(widths[-1]) if config.attention else nn.Identity()
        self.blocks = nn.ModuleList(ResBlock(width) for width in reversed(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2) for i in reversed(range(HALVINGS)))
        self.conv_out = nn.Conv2d(widths[0], config.channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Mirror image of the encoder."""
        x_hat: Tensor = self.conv_out(self.features(z))
        return x_hat

    def features(self, z: Tensor) -> Tensor:
        """What `conv_out` maps to the wavelengths, (B, widths[0], H, W)."""
        h: Tensor = self.attention(self.from_z(z))
        for level, block in enumerate(self.blocks):
            h = block(h)
            if level < HALVINGS:
                h = self.up[level](h)
        return h


class HVAE(nn.Module):
    """Encoder, decoder and the learned logarithm of the error's scale, by channel.

    Parameters
    ----------
    config : HVAEConfig
    """

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.logvar = nn.Parameter(torch.full((config.channels,), -1.0))

    def encode(self, x: Tensor) -> Posterior:
        """Posterior of x (B, C, H, W) of any H and W: lengthened by its last rows and columns to multiples of 4."""
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
        posterior: Posterior = self.encoder(padded)
        return posterior

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """x_hat (B, C, *size)."""
        x_hat: Tensor = self.decoder(z)
        return x_hat[:, :, : size[0], : size[1]]

    def forward(self, x: Tensor) -> tuple[Tensor, Posterior]:
        """x_hat of a sample of the posterior, and the posterior."""
        posterior = self.encode(x)
        return self.decode(posterior.sample(), (x.shape[2], x.shape[3])), posterior

    @torch.no_grad()
    def start_linear(self, x: Tensor) -> None:
        """Start as the principal components of these tiles (B, C, H, W), level by level: an orthogonal transform.

        Residual branches and attention start at zero, so that encoder and decoder are the maps between the levels.
        """
        encoder, decoder = self.encoder, self.decoder
        steps: list[tuple[nn.Module, nn.Module]] = [(encoder.conv_in, decoder.conv_out)]
        steps += [(encoder.down[level], decoder.up[HALVINGS - 1 - level]) for level in range(HALVINGS)]
        steps += [(encoder.to_mu, decoder.from_z)]
        h, scale = x, 1.0
        for number, (forth, back) in enumerate(steps):
            weight = forth.weight
            assert isinstance(weight, Tensor)
            assert isinstance(forth, nn.Conv2d)
            rows = principal_rows(h, weight.shape[2], weight.shape[0])
            scale = 1.0 if number else float((_patches(h, 1) @ rows[0]).std())
            weight.copy_((rows / scale).reshape(weight.shape))
            transposed = (rows * scale).reshape(weight.shape)
            back.weight.copy_(transposed.transpose(0, 1) if isinstance(back, nn.Conv2d) else transposed)  # type: ignore[operator]
            nn.init.zeros_(forth.bias)  # type: ignore[arg-type]
            nn.init.zeros_(back.bias)  # type: ignore[arg-type]
            h = forth(h)
        self._scale_branches(x, h)
        error = (self.decoder(h) - x).abs().mean((0, 2, 3))
        self.logvar.copy_(torch.log(error + 1e-4))

    def _scale_branches(self, x: Tensor, z: Tensor) -> None:
        """Let each residual branch count as a share of what it is added to varies by."""

        def watch(module: nn.Module, inputs: tuple[Tensor]) -> None:
            assert isinstance(module.scale, Tensor)
            module.scale.copy_(BRANCH * inputs[0].std((0, 2, 3))[:, None, None] + 1e-6)

        branches = [each for each in self.modules() if isinstance(each, ResBlock | Attention)]
        handles = [branch.register_forward_pre_hook(watch) for branch in branches]
        self.encoder(x)
        self.decoder(z)
        for handle in handles:
            handle.remove()


def _patches(x: Tensor, side: int) -> Tensor:
    """Blocks of side x side pixels as vectors (blocks, C side side), in the order of a convolution's weights."""
    if side == 1:
        return x.movedim(1, -1).reshape(-1, x.shape[1])
    return F.unfold(x, side, stride=side).transpose(1, 2).reshape(-1, x.shape[1] * side * side)


def principal_rows(x: Tensor, side: int, count: int) -> Tensor:
    """The first principal directions of blocks about zero, (count, C side side), orthonormal; zeros if too few."""
    vectors = _patches(x, side).double()
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    rows = torch.zeros(count, vectors.shape[1], dtype=torch.float64)
    found = directions.flip(1).T[:count]
    rows[: len(found)] = found * torch.sign(found.sum(1, keepdim=True) + 1e-12)
    return rows.float().to(x.device)


def reconstruction_loss(x_hat: Tensor, x: Tensor, logvar: Tensor) -> Tensor:
    """Mean of |x_hat - x| / exp(logvar) + logvar, the logarithm of the scale learned by channel: paper's loss."""
    scale = logvar[:, None, None]
    loss: Tensor = ((x_hat - x).abs() * torch.exp(-scale) + scale).mean()
    return loss


def kl_divergence(posterior: Posterior) -> Tensor:
    """KL(q(z | x), N(0, 1)), summed over latent channels, averaged over places.

    Examples
    --------
    >>> zero = torch.zeros(1, 3, 2, 2)
    >>> float(kl_divergence(Posterior(zero, zero)))
    0.0
    """
    mu, logvar = posterior
    loss: Tensor = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    return loss
