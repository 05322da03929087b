"""Losses of the latent codecs. Errors are in quantisation steps, so that one weight serves all rates.

Used by latent_train. Source: rate-distortion after Balle et al. 2018 (arXiv 1802.01436); commitment after van den Oord
et al. 2017 (arXiv 1711.00937); hinge and its use after Esser et al. 2020 (arXiv 2012.09841).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EVEN = 0.02  # added to a loss that the logarithm is nearly taken of


def mse(x_hat: Tensor, x: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean square error over the valid pixels."""
    error = (x_hat - x) ** 2
    if valid is None:
        return error.mean()
    return (error * valid).sum() / valid.sum().clamp(min=1)


def rate_distortion(distortion: Tensor, bits: Tensor, values: int, lmbda: float) -> Tensor:
    """Distortion, in squared steps, and `lmbda` times the bits a value (`bits` is of all values)."""
    return distortion + lmbda * bits / values


def evened(loss: Tensor) -> Tensor:
    """A loss whose gradient is relative, so that smooth and rough fields, coarse and fine steps count alike."""
    return loss / (loss.detach() + EVEN)


def commitment(y: Tensor, y_hat: Tensor) -> Tensor:
    """How far the encoder is from the words chosen; pulls the encoder only."""
    return ((y - y_hat.detach()) ** 2).mean()


def rate_proxy(y: Tensor) -> Tensor:
    """About the bits that vectors (B, 3, H, W), in steps, will take: indices give the encoder no gradient."""
    bits: Tensor = 1.5 * torch.log2(1 + y.square().sum(1)).sum()
    return bits


def gradient_difference(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbours, of fields (B, C, H, W)."""
    error = x_hat - x
    along_y, along_x = error.diff(dim=2).abs(), error.diff(dim=3).abs()
    return (along_y.sum() + along_x.sum()) / max(1, along_y.numel() + along_x.numel())


def spectral(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean square difference of the logarithms of the mean power along x, by wavenumber, the mean left out."""
    power = [torch.fft.rfft(each, dim=3).abs().square().mean((0, 1, 2))[1:] for each in (x_hat, x)]
    loss: Tensor = ((power[0] + EVEN).log() - (power[1] + EVEN).log()).square().mean()
    return loss


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Loss of a discriminator's verdicts on real and decoded patches."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def hinge_generator(fake: Tensor) -> Tensor:
    """What the decoder is told by them."""
    return -fake.mean()
