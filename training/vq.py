"""VQ-VAE, FSQ and VQ-GAN on the wavelet pyramid: codebooks learned by moving averages, or a fixed grid.

Third of five: layers -> **vq** | hyperprior -> latent_train -> vq_export. The codec that runs the result is
`adiabat.codec.vq`.

Each place of each level has a vector (HL, LH, HH) in quantisation steps. The finest codebook covers a ball of a few
steps; what is larger takes words of coarser codebooks first (residual quantisation). FSQ is the same with grids in
place of learned words. The variable rate is the step: the model never sees another unit.

Source: van den Oord et al. 2017 (arXiv 1711.00937), moving averages and dead words after Razavi et al. 2019
(arXiv 1906.00446); FSQ after Mentzer et al. 2023 (arXiv 2309.15505); VQ-GAN after Esser et al. 2020 (arXiv 2012.09841).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from adiabat.codec.vq_contexts import STAGES, WORDS
from adiabat.codec.vq_transform import KINDS, kind_of
from adiabat.training.latent_config import LatentConfig
from adiabat.training.layers import Analysis, Synthesis

RATIO = 4.0  # of one codebook's spacing to the next finer one's
BALL = 3.7  # largest norm, in its spacing, that a codebook of 256 words covers
COARSE = 1.5  # step of LL over that of the details
DECAY = 0.99
DEAD = 0.02  # of the even share of use: words used less start anew
BINS = (0.5, 2.0, 8.0)  # magnitudes of the vector above, in steps, between tables of running code lengths


def ball(words: int) -> NDArray[np.float32]:
    """The integer vectors (words, 3) nearest to zero, which comes first."""
    axis = np.arange(-8, 9)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    order = np.lexsort((*grid.T, (grid**2).sum(1)))
    return grid[order[:words]].astype(np.float32)


def cube(levels: int) -> NDArray[np.float32]:
    """All vectors (levels^3, 3) of small integers, zero first."""
    axis = np.arange(levels) - levels // 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return grid[np.argsort((grid**2).sum(1), kind="stable")].astype(np.float32)


@dataclass
class Quantised:
    """What a quantiser makes of a level: vectors, words of the finest codebook, estimated bits of all."""

    y_hat: Tensor  # (B, 3, H, W)
    words: Tensor  # (B, H, W)
    bits: Tensor


class VectorQuantiser(nn.Module):
    """Codebooks of 3-vectors, finest first; word 0 of each is zero and stays so.

    Parameters
    ----------
    config : LatentConfig
        Its kind, words and fsq_levels.
    """

    books: Tensor
    counts: Tensor
    sums: Tensor
    usage: Tensor

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.fixed = config.kind == "fsq"
        words = cube(config.fsq_levels) if self.fixed else ball(config.words)
        ratio = float(config.fsq_levels) if self.fixed else RATIO
        self.count, self.lmbda = len(words), config.lmbda
        self.reach = config.fsq_levels / 2 if self.fixed else BALL * (config.words / WORDS) ** (1 / 3)
        self.spacing = [ratio**stage for stage in range(STAGES)]
        books = torch.from_numpy(np.stack([words * spacing for spacing in self.spacing]))
        self.register_buffer("books", books)
        self.register_buffer("counts", torch.ones(STAGES, self.count))
        self.register_buffer("sums", books.clone())
        self.register_buffer("usage", torch.ones(KINDS, len(BINS) + 1, self.count))

    def size(self, vectors: Tensor) -> Tensor:
        """Magnitude (N,) of vectors (N, 3): the largest part for a grid, the norm for a ball."""
        return vectors.abs().amax(1) if self.fixed else vectors.norm(dim=1)

    def forward(self, y: Tensor, above: Tensor | None, level: int) -> Quantised:
        """Quantise the bands (B, 3, H, W) of a level; `above` holds the next coarser level's, quantised."""
        vectors = y.detach().permute(0, 2, 3, 1).reshape(-1, 3)
        bins = self._bins(y, above)
        usage = self.usage[kind_of(level)]
        lengths = -torch.log2(usage / usage.sum(1, keepdim=True))
        coarse = self._coarse(vectors)
        rest = vectors - coarse
        index = self._nearest(rest, lengths, bins)
        chosen = self.books[0][index]
        bits = lengths[bins, index].sum() + 8 * (coarse != 0).any(1).sum()
        if self.training:
            self._learn(0, rest, index)
            flat = torch.bincount(bins * self.count + index, minlength=usage.numel()).reshape(usage.shape)
            usage.mul_(DECAY).add_(flat * (1 - DECAY)).clamp_(min=1e-4)
        shape = (y.shape[0], y.shape[2], y.shape[3])
        y_hat = (coarse + chosen).reshape(*shape, 3).permute(0, 3, 1, 2)
        return Quantised(y + (y_hat - y).detach(), index.reshape(shape), bits)

    def _bins(self, y: Tensor, above: Tensor | None) -> Tensor:
        """Which running table each vector has, by the magnitude of the one above it."""
        if above is None:
            return torch.full((y.shape[0] * y.shape[2] * y.shape[3],), len(BINS), device=y.device)
        norm = above.detach().norm(dim=1).repeat_interleave(2, 1).repeat_interleave(2, 2)
        return torch.bucketize(norm[:, : y.shape[2], : y.shape[3]].reshape(-1), torch.tensor(BINS, device=y.device))

    def _nearest(self, vectors: Tensor, lengths: Tensor, bins: Tensor) -> Tensor:
        """Index of the word of least distortion plus rate in the finest codebook."""
        book = self.books[0]
        parts = []
        for part, at in zip(torch.split(vectors, 1 << 15), torch.split(bins, 1 << 15), strict=True):
            parts.append(((book * book).sum(1) - 2 * part @ book.T + self.lmbda * lengths[at]).argmin(1))
        return torch.cat(parts)

    def _coarse(self, vectors: Tensor) -> Tensor:
        """What words of coarser codebooks say of vectors beyond the finest one's reach."""
        out, size = torch.zeros_like(vectors), self.size(vectors)
        for stage in range(STAGES - 1, 0, -1):
            far = size > self.reach * self.spacing[stage - 1]
            if not far.any():
                continue
            rest = vectors[far] - out[far]
            book = self.books[stage]
            index = ((book * book).sum(1) - 2 * rest @ book.T).argmin(1)
            out[far] = out[far] + book[index]
            if self.training:
                self._learn(stage, rest, index)
        return out

    def _learn(self, stage: int, vectors: Tensor, index: Tensor) -> None:
        """Move words towards the vectors they stand for; start dead ones anew at vectors of this batch."""
        if self.fixed:
            return
        counts, sums = self.counts[stage], self.sums[stage]
        counts.mul_(DECAY).add_(torch.bincount(index, minlength=self.count) * (1 - DECAY))
        sums.mul_(DECAY).index_add_(0, index, vectors * (1 - DECAY))
        dead = counts[1:] < DEAD * counts[1:].mean()
        far = torch.nonzero(self.size(vectors) > self.spacing[stage]).flatten()
        if dead.any() and len(far) >= 8 * self.count and not stage:
            at = 1 + torch.nonzero(dead).flatten()
            pick = far[torch.randperm(len(far), device=far.device)[: len(at)]]
            counts[at], sums[at] = counts[1:].mean(), vectors[pick] * counts[1:].mean()
        alive = counts[1:] > 1e-3
        self.books[stage, 1:][alive] = sums[1:][alive] / counts[1:][alive][:, None]


def perplexity(counts: Tensor) -> tuple[float, float]:
    """Two to the entropy of the words' use, and the share of words that are used at all."""
    share = counts / counts.sum().clamp(min=1e-9)
    entropy = -(share * share.clamp(min=1e-12).log2()).sum()
    return float(2**entropy), float((counts >= 0.5).float().mean())


@dataclass
class Reconstruction:
    """A pass through a model. bits: estimated, of the details only; words: of the finest codebook, by level."""

    x_hat: Tensor
    bits: Tensor
    y: list[Tensor]
    y_hat: list[Tensor]
    words: list[Tensor]


class VQVAE(nn.Module):
    """`g_a`, a quantiser and `g_s`; FSQ and VQ-GAN too, which differ in the quantiser and in training.

    Parameters
    ----------
    config : LatentConfig
    """

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.levels = config.levels
        self.g_a = Analysis(config.analysis, config.static)
        self.g_s = Synthesis(config.width, config.static)
        self.quantiser = VectorQuantiser(config)

    def forward(self, x: Tensor, *, wrap: bool = False, static: Tensor | None = None) -> Reconstruction:
        """Fields (B, 1, H, W) in steps -> what a decoder would give; LL is rounded, as its codec would."""
        smooth, y = self.g_a(x, self.levels, wrap=wrap, static=static)
        if self.training:
            smooth_hat = smooth + COARSE * (torch.rand_like(smooth) - 0.5)
        else:
            smooth_hat = COARSE * (smooth / COARSE).round()
        y_hat: list[Tensor] = []
        words: list[Tensor] = []
        bits = x.new_zeros(())
        for level in range(self.levels, 0, -1):
            quantised = self.quantiser(y[level - 1], y_hat[0] if y_hat else None, level)
            y_hat.insert(0, quantised.y_hat)
            words.insert(0, quantised.words)
            bits = bits + quantised.bits
        size = (x.shape[2], x.shape[3])
        return Reconstruction(self.g_s(smooth_hat, y_hat, size, wrap=wrap, static=static), bits, y, y_hat, words)


class Discriminator(nn.Module):
    """Tells decoded patches from real ones: verdicts (B, 1, h, w) on fields (B, 1, H, W) of standard deviation 1.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = (1, width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for inner, outer in pairwise(sizes):
            layers += [spectral_norm(nn.Conv2d(inner, outer, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """One verdict for each patch of about 30 pixels."""
        verdicts: Tensor = self.layers(x)
        return verdicts


def patches(x: Tensor, like: Tensor) -> Tensor:
    """Fields (B, 1, H, W) with the mean and standard deviation of `like` taken out, each by itself."""
    centre = like.mean((1, 2, 3), keepdim=True)
    scale = like.std((1, 2, 3), keepdim=True).clamp(min=1 / math.sqrt(12))
    return (x - centre) / scale
