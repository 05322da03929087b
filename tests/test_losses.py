"""Losses against closed forms."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from adiabat.training import losses  # noqa: E402


def test_mse_counts_valid_pixels_only():
    x, x_hat = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert float(losses.mse(x_hat, x)) == pytest.approx(7.5)
    assert float(losses.mse(x_hat, x, torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]))) == 1
    assert float(losses.mse(x_hat, x, torch.zeros(1, 1, 2, 2))) == 0


def test_rate_distortion_is_a_sum():
    loss = losses.rate_distortion(torch.tensor(2.0), torch.tensor(50.0), 100, 0.1)
    assert float(loss) == pytest.approx(2.05)


def test_an_evened_loss_has_a_relative_gradient():
    for size in (0.1, 1.0, 100.0):
        x = torch.tensor(size, requires_grad=True)
        losses.evened(x).backward()
        assert float(x.grad) == pytest.approx(1 / (size + losses.EVEN))


def test_commitment_moves_the_encoder_only():
    y, y_hat = torch.tensor([1.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    losses.commitment(y, y_hat).backward()
    assert float(y.grad) == -4
    assert y_hat.grad is None


def test_the_rate_proxy_is_zero_of_zeros_and_grows():
    assert float(losses.rate_proxy(torch.zeros(1, 3, 4, 4))) == 0
    assert float(losses.rate_proxy(torch.tensor([1.0, 1.0, 1.0]).reshape(1, 3, 1, 1))) == pytest.approx(3.0)


def test_gradient_difference_of_a_slope():
    slope = torch.arange(5.0).repeat(4, 1)[None, None]
    assert float(losses.gradient_difference(slope, torch.zeros_like(slope))) == pytest.approx(16 / 31)
    assert float(losses.gradient_difference(slope + 7, slope)) == 0


def test_spectral_sees_a_halved_wave():
    x = torch.sin(torch.arange(64) * 2 * math.pi / 16).repeat(4, 1)[None, None] * 100
    assert float(losses.spectral(x, x)) == 0
    got = float(losses.spectral(x / 2, x))
    assert got == pytest.approx(math.log(4) ** 2 / 32, rel=0.2)


def test_hinge_losses():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 0.0])
    assert float(losses.hinge_discriminator(real, fake)) == pytest.approx(0.5)
    assert float(losses.hinge_generator(fake)) == 1
