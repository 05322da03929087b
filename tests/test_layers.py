"""The wavelet pyramid: exact without training, against PyWavelets' filters; corrections start at nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from adiabat.codec import vq_transform  # noqa: E402
from adiabat.training import layers  # noqa: E402

SHAPES = [(64, 96), (37, 50), (7, 13), (1, 1), (2, 3), (1, 40)]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("width", [0, 4])
def test_an_untrained_pyramid_is_the_identity(size, wrap, width):
    torch.manual_seed(0)
    x = torch.randn(2, 1, *size)
    g_a, g_s = layers.Analysis(width), layers.Synthesis(width)
    with torch.no_grad():
        smooth, details = g_a(x, 3, wrap=wrap)
        back = g_s(smooth, details, size, wrap=wrap)
    assert [tuple(each.shape[2:]) for each in details] == vq_transform.level_shapes(*size, 3)[1:]
    assert float((back - x).abs().max()) < 1e-5


def test_filters_are_biorthogonal():
    analysis, synthesis = layers.filters()
    taps = layers.TAPS
    product = np.zeros((2, 2, 2 * taps - 1))
    for shift in range(taps):
        for back in range(taps):
            # analysis reads coefficient - 2 + shift, synthesis sample block - 2 + back
            product[:, :, shift + back] += np.einsum("ap,pb->ab", analysis[:, :, shift], synthesis[:, :, back])
    expected = np.zeros_like(product)
    expected[:, :, taps - 1] = np.eye(2)
    assert np.abs(product - expected).max() < 1e-12


def test_constants_and_slopes_have_no_detail():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    _, details = layers.Analysis(0)((3 + 0.5 * y - 0.25 * x)[None, None], 2)
    inner = [layers.crop(each, 4) for each in details]
    assert max(float(each.abs().max()) for each in inner) < 1e-4
    constant, nothing = layers.Analysis(0)(torch.full((1, 1, 48, 64), 5.0), 2)
    assert torch.allclose(constant, torch.tensor(20.0))  # a gain of 2 a level
    assert max(float(each.abs().max()) for each in nothing) < 1e-5


def test_a_synthesis_function_has_a_norm_of_about_one():
    for level in (1, 2, 3):
        for band in range(3):
            details = [torch.zeros(1, 3, 64 >> each, 64 >> each) for each in range(1, level + 1)]
            details[-1][0, band, (64 >> level) // 2, (64 >> level) // 2] = 1
            smooth = torch.zeros(1, 1, 64 >> level, 64 >> level)
            assert 0.9 < float(layers.Synthesis(0)(smooth, details, (64, 64)).norm()) < 1.1


def test_a_field_that_wraps_has_no_seam():
    torch.manual_seed(1)
    x = torch.randn(1, 1, 32, 64)
    g_a = layers.Analysis(0)
    _, details = g_a(x, 2, wrap=True)
    _, rolled = g_a(x.roll(16, 3), 2, wrap=True)
    for level, (one, other) in enumerate(zip(details, rolled, strict=True), 1):
        assert torch.allclose(one.roll(16 >> level, 3), other, atol=1e-5)


def test_film_does_nothing_at_first_and_something_later():
    torch.manual_seed(0)
    correction = layers.Correction(8, static=2)
    y, static = torch.randn(1, 4, 24, 24), torch.randn(1, 2, 24, 24)
    assert float(correction(y, static).detach().abs().max()) == 0
    torch.nn.init.normal_(correction.convolutions[-1].weight)
    without = correction(y, None)
    assert torch.equal(correction(y, static), without)
    torch.nn.init.normal_(correction.film.modulation.weight)
    assert not torch.equal(correction(y, static), without)
    assert float(correction(y, static).detach().abs().max()) <= layers.LIMIT


def test_numpy_and_torch_extend_alike():
    x = np.random.default_rng(0).standard_normal((2, 6, 10)).astype(np.float32)
    for wrap in (False, True):
        ours = vq_transform.extend_field(x, 5, wrap=wrap)
        assert (layers.extend_field(torch.from_numpy(x)[:, None], 5, wrap=wrap)[:, 0].numpy() == ours).all()
        y = np.random.default_rng(0).standard_normal((2, 4, 6, 10)).astype(np.float32)
        ours = vq_transform.extend_bands(y, 8, wrap=wrap)
        assert (layers.extend_bands(torch.from_numpy(y), 8, wrap=wrap).numpy() == ours).all()


def test_weights_are_counted():
    assert layers.count_weights(torch.nn.Linear(3, 4)) == 16
