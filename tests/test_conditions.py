"""What a coarse field tells the networks: nothing of units, scale or offset."""

from __future__ import annotations

import numpy as np

from adiabat.formats.conditions import GRAINS, MIDDLE, WIDTH, conditions, roughness


def made(shape=(10, 14)):
    return np.random.default_rng(0).standard_normal(shape).cumsum(-1).cumsum(-2)


def test_roughness():
    assert np.isclose(roughness(np.tile(np.arange(5.0), (2000, 1))), 1, rtol=0.36)  # half of the neighbours are equal
    assert roughness(np.array([[0.0, 3.0], [np.nan, 3.0]])) == np.sqrt(4.5)
    assert roughness(np.zeros((4, 4))) == 1.0


def test_what_is_told_of_grain():
    coarse = np.stack([made(), made()])
    known, unknown = ((MIDDLE + WIDTH, MIDDLE - 9 * WIDTH), (np.nan, np.nan))
    found = conditions(coarse, factor=4, scale=1.0, grain=np.array([known, unknown])).fine_inputs
    assert np.array_equal(np.unique(found[0, 2:].reshape(3, -1), axis=1)[:, 0], np.float32([1, -GRAINS, 1]))
    assert not found[1, 2:].any()
    assert np.array_equal(found[1], conditions(coarse[1], factor=4, scale=1.0).fine_inputs)


def test_units_do_not_matter():
    coarse = made()
    one = conditions(coarse, factor=4, scale=roughness(coarse))
    other = conditions(1e-6 * coarse + 5e-5, factor=4, scale=roughness(1e-6 * coarse))
    assert np.allclose(one.coarse_inputs, other.coarse_inputs, atol=1e-5)
    assert np.allclose(one.fine_inputs, other.fine_inputs, atol=1e-5)
    assert np.allclose(1e-6 * one.base + 5e-5, other.base)
    assert np.allclose(1e-6 * one.sigma, other.sigma)


def test_windows_are_local():
    """What is further than four coarse cells off changes nothing."""
    coarse = made((20, 20))
    changed = coarse.copy()
    changed[-1, -1] += 100.0
    for name in ("base", "sigma"):
        one, other = (getattr(conditions(each, factor=2, scale=1.0), name) for each in (coarse, changed))
        assert np.array_equal(one[:30, :30], other[:30, :30])
        assert not np.array_equal(one, other)
    one, other = (conditions(each, factor=2, scale=1.0) for each in (coarse, changed))
    assert np.array_equal(one.coarse_inputs[:, :15, :15], other.coarse_inputs[:, :15, :15])
    assert np.array_equal(one.fine_inputs[:, :30, :30], other.fine_inputs[:, :30, :30])


def test_flat_fields():
    found = conditions(np.full((6, 6), 3.0), factor=8, scale=1.0)
    assert np.allclose(found.base, 3.0)
    assert np.all(found.sigma > 0)
    assert np.isfinite(found.coarse_inputs).all()


def test_many_at_once():
    fields = np.stack([made(), 5 * made() + 1])
    scales = np.array([roughness(each) for each in fields])
    found = conditions(fields, factor=4, scale=scales[:, None, None])
    for number, (each, scale) in enumerate(zip(fields, scales, strict=True)):
        alone = conditions(each, factor=4, scale=scale)
        assert np.allclose(found.coarse_inputs[number], alone.coarse_inputs)
        assert np.allclose(found.fine_inputs[number], alone.fine_inputs)
