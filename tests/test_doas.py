"""Slant columns by a linear fit: closed forms, what noise does to them, missing channels, and simulated tiles."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training.doas import UNITS, WINDOWS, Window, design, slant_columns
from adiabat.training.tempo_spectroscopy import ABSORBERS, RowTables

CHANNELS, ROWS, STEPS = 200, 2, 30


@pytest.fixture
def tables():
    """Made-up spectra that are far from each other."""
    rng = np.random.default_rng(1)
    wavelength = np.linspace(300, 500, CHANNELS) + np.array([[0.0], [0.3]])
    wiggle = [np.cumsum(rng.normal(size=(ROWS, CHANNELS)), 1) for _ in range(len(ABSORBERS) + 2)]
    sections = np.stack([0.1 * w / UNITS[name] for name, w in zip(ABSORBERS, wiggle, strict=False)], 1)
    irradiance = (3e14 * (1 + 0.1 * rng.random((ROWS, CHANNELS)))).astype("f4")
    return RowTables(wavelength, irradiance, wiggle[-1].astype("f4"), wiggle[-2].astype("f4"), sections)


def spectra(tables, window, truth, rng):
    """Radiances (STEPS, ROWS, CHANNELS) that are exactly what a fit in this window expects."""
    out = np.full((STEPS, ROWS, CHANNELS), 1e13)
    for row in range(ROWS):
        inside, matrix = design(tables, row, window)
        other = rng.normal(size=(STEPS, window.terms + 2)) * 0.01
        columns = truth[:, row] / [UNITS[name] for name in window.absorbers]
        out[:, row, inside] = tables.irradiance[row, inside] * np.exp(np.hstack([other, columns]) @ matrix.T)
    return out


@pytest.mark.parametrize("gas", sorted(WINDOWS))
def test_exact_columns_are_found(tables, gas):
    rng, window = np.random.default_rng(2), Window(350, 480, WINDOWS[gas].absorbers, WINDOWS[gas].gas)
    units = np.array([UNITS[name] for name in window.absorbers])
    truth = rng.random((STEPS, ROWS, len(units))) * units
    found = slant_columns(spectra(tables, window, truth, rng), tables, window)
    wanted = sum(truth[..., window.absorbers.index(name)] for name in window.gas)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-6 * units.min())


def test_missing_channels_change_nothing_without_noise(tables):
    rng, window = np.random.default_rng(3), Window(350, 480, ("o3", "hcho"), ("hcho",))
    light = spectra(tables, window, np.full((STEPS, ROWS, 2), 3e16), rng)
    light[:, 0, 90] = np.nan  # dead
    light[4, :, 80:100] = -1.0
    light[7, 1] = np.nan
    found = slant_columns(light, tables, window)
    assert np.isnan(found[7, 1])
    found[7, 1] = 3e16
    np.testing.assert_allclose(found, 3e16, rtol=1e-6)


def test_scatter_is_what_least_squares_says(tables):
    """Of a fit with noise s in the logarithm, the covariance is s^2 (A'A)^-1."""
    rng, window = np.random.default_rng(4), Window(350, 480, ("no2_cold", "no2_warm", "o4"), ("no2_cold", "no2_warm"))
    light = np.repeat(spectra(tables, window, np.full((STEPS, ROWS, 3), 1e16), rng)[:1], 4000, 0)
    found = slant_columns(light * np.exp(rng.normal(0, 1e-3, light.shape)), tables, window)
    for row in range(ROWS):
        covariance = 1e-6 * np.linalg.inv(design(tables, row, window)[1].T @ design(tables, row, window)[1])
        pick = np.array([0] * (window.terms + 2) + [1, 1, 0]) * 1e16
        assert found[:, row].std() == pytest.approx(np.sqrt(pick @ covariance @ pick), rel=0.05)
        exact = slant_columns(light[:1], tables, window)[0, row]
        assert found[:, row].mean() == pytest.approx(exact, abs=5 * found[:, row].std() / np.sqrt(4000))


def test_it_agrees_with_scipy(tables):
    optimise = pytest.importorskip("scipy.optimize")
    rng, window = np.random.default_rng(5), Window(350, 480, ("o3", "hcho", "o4"), ("hcho",))
    light = 1e13 * np.exp(rng.normal(0, 0.1, (2, ROWS, CHANNELS)))
    inside, matrix = design(tables, 1, window)
    wanted = (
        optimise.lsq_linear(matrix, np.log(light[0, 1, inside] / tables.irradiance[1, inside])).x[-2] * UNITS["hcho"]
    )
    assert slant_columns(light, tables, window)[0, 1] == pytest.approx(wanted, rel=1e-6)


def test_what_makes_no_sense_is_refused(tables):
    with pytest.raises(ValueError, match="expected radiance"):
        slant_columns(np.ones((2, 3, 4)), tables, WINDOWS["no2"])
    with pytest.raises(ValueError, match="expected more than 13 channels in 325 to 335 nm"):
        slant_columns(np.ones((1, ROWS, CHANNELS)), tables, Window(325, 335, WINDOWS["hcho"].absorbers, ("hcho",)))
    with pytest.raises(ValueError, match="expected a window"):
        Window(400, 300, ("o3",), ("o3",))
    with pytest.raises(ValueError, match="expected absorbers"):
        Window(300, 400, ("o3",), ("hcho",))


@pytest.mark.parametrize(("gas", "off"), [("no2", 0.06), ("o3", 0.02), ("hcho", 0.3)])
def test_columns_of_simulated_spectra_without_noise(data, gas, off):
    """The mean column lies near the simulator's own, which is at one wavelength and not over a window."""
    from adiabat.training.simulate_tempo import simulate_tiles
    from adiabat.training.tempo_blocks import tables_of
    from adiabat.training.tempo_spectroscopy import row_tables

    tile = simulate_tiles(1, size=8, seed=0, spectroscopy=data / "spectroscopy")
    fine = tables_of("band_290_490_nm", data / "spectroscopy")
    rows = tile["row"][0].astype(np.int64)
    found = slant_columns(tile["clean"][0], row_tables(fine, tile["wavelength"][0].astype("f8"), rows), WINDOWS[gas])
    truth = tile[f"{gas}_slant"][0]
    assert abs(found - truth).mean() < off * truth.mean()
