"""Isotropic spectra: variance kept, fields of known slope, waves in any direction, planes, holes, ensembles."""

from __future__ import annotations

import numpy as np
import pytest
from rough_fields import rough_field

from adiabat.formats.isotropic_spectrum import octave_bands, octave_power, octave_ratio, radial_spectrum


def test_octaves_of_white_noise_hold_its_variance_by_area():
    fields = np.random.default_rng(0).normal(size=(20, 96, 128))
    power = octave_power(fields).mean(0)
    bands = octave_bands(fields.shape)
    areas = np.pi * (bands[:, 1] ** 2 - bands[:, 0] ** 2)  # of the unit square of wavenumbers
    assert power == pytest.approx(areas, rel=0.06)


@pytest.mark.parametrize("slope", [2.0, 3.0, 4.0])
def test_a_field_of_known_slope(slope):
    fields = np.stack([rough_field(slope, (160, 240), seed) for seed in range(8)])
    steps = np.diff(np.log2(octave_power(fields).mean(0)))
    assert steps[1:] == pytest.approx(2 - slope, abs=0.25)  # the integral of k^(1 - slope) over an octave
    k, power = radial_spectrum(fields)
    inner = (k > 0.03) & (k < 0.45)
    fitted = np.polyfit(np.log(k[inner]), np.log(power.mean(0)[inner]), 1)[0]
    assert fitted == pytest.approx(1 - slope, abs=0.15)


@pytest.mark.parametrize("angle", [0, 30, 45, 90])
def test_a_wave_counts_alike_in_every_direction(angle):
    y, x = np.mgrid[:64, :96]
    phase = 2 * np.pi * 0.35 * (np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y)
    power = octave_power(np.sin(phase + 1))
    assert power[-1] == pytest.approx(0.5, rel=0.02)
    assert power[:-1].max() < 0.01
    k, ring = radial_spectrum(np.sin(phase + 1))
    assert k[ring.argmax()] == pytest.approx(0.35, abs=0.01)


def test_a_plane_has_no_power_and_adds_none():
    y, x = np.mgrid[:40, :60]
    field = np.random.default_rng(1).normal(size=(40, 60))
    plane = 280 + 0.7 * x - 1.3 * y
    assert octave_power(plane).max() < 1e-20
    assert octave_power(field + plane) == pytest.approx(octave_power(field), rel=1e-9)


def test_ratio_of_members_is_of_their_mean_power():
    rng = np.random.default_rng(2)
    truth, members = rng.normal(size=(48, 48)), 0.5 * rng.normal(size=(16, 48, 48))
    assert octave_ratio(truth, members)[-1] == pytest.approx(0.25, rel=0.1)
    assert octave_ratio(truth, members.mean(0))[-1] < 0.03
    assert octave_ratio(truth, truth).tolist() == [1.0] * len(octave_bands(truth.shape))


def test_smoothing_takes_the_top_octave_alone():
    truth = rough_field(3.0, (128, 128))
    smooth = sum(np.roll(truth, (i, j), (0, 1)) for i in (0, 1) for j in (0, 1)) / 4
    ratio = octave_ratio(truth, smooth)
    assert ratio[-1] < 0.4
    assert np.all(np.diff(ratio) < 0)
    assert ratio[0] > 0.97


def test_cells_missing_in_one_are_left_out_of_both():
    rng = np.random.default_rng(3)
    truth, other = rng.normal(size=(2, 40, 40))
    holes = rng.random(truth.shape) < 0.2
    gap = octave_ratio(np.where(holes, np.nan, truth), other)
    assert gap == pytest.approx(octave_ratio(truth, np.where(holes, np.inf, other)))
    assert np.isfinite(gap).all()
    assert octave_ratio(np.where(holes, np.nan, truth), truth).tolist() == pytest.approx([1.0] * gap.size)
    assert octave_power(np.full((8, 9), np.nan)).tolist() == [0.0]


def test_nothing_against_nothing_is_one_and_against_something_infinite():
    flat, noise = np.ones((16, 16)), np.random.default_rng(0).normal(size=(16, 16))
    assert octave_ratio(flat, flat).tolist() == [1.0, 1.0]
    assert np.isinf(octave_ratio(0 * flat, noise)).all()


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="at least 8 x 8"):
        octave_bands((7, 100))
    with pytest.raises(ValueError, match="one size"):
        octave_ratio(np.zeros((16, 16)), np.zeros((16, 17)))
    assert octave_bands((9, 16)).tolist() == [[0.25, 0.5]]
