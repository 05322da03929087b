"""Grain: amplitudes of the two finest octaves, whatever the units, of what is complete."""

from __future__ import annotations

import numpy as np

from adiabat.formats.grain import FLOOR, grain


def wave(length):
    return 2 * np.sin(2 * np.pi * np.arange(128) / length) * np.ones((2, 128, 1))


def test_waves_are_in_their_octave():
    """A sine of amplitude 2 has a root mean square of the root of 2."""
    wide, top = grain(wave(3.0), 1.0)
    assert np.isclose(top, np.log(2) / 2, atol=0.02)
    assert wide < -4
    wide, top = grain(wave(6.0), 1.0)
    assert np.isclose(wide, np.log(2) / 2, atol=0.02)
    assert top < -4
    assert np.allclose(grain(np.zeros((40, 40)), 1.0), np.log(FLOOR))


def test_units_do_not_matter():
    noise = np.random.default_rng(0).standard_normal((3, 90, 70))
    assert np.allclose(grain(1e-9 * noise + 3e-6, 1e-9), grain(noise, 1.0), atol=1e-6)
    assert np.allclose(np.array(grain(noise, 4.0)) - grain(noise, 1.0), -np.log(4), atol=1e-3)


def test_windows_with_missing_cells_are_left_out():
    field = np.random.default_rng(0).standard_normal((64, 192))
    holed = field.copy()
    holed[3, 70] = np.nan
    assert grain(holed, 1.0) == grain(np.stack([field[:, :64], field[:, 128:]]), 1.0)
    holed[5, 5] = holed[5, 150] = np.nan  # now windows of half the size
    assert np.allclose(grain(holed, 1.0), grain(field, 1.0), atol=0.1)
    holed[::8, ::8] = np.nan
    assert grain(holed, 1.0) is None
    assert grain(field[:15], 1.0) is None
