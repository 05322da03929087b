"""Derived fields: against solid-body rotation and spherical harmonics with closed derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adiabat.formats.derived_fields import (
    EARTH_TURN,
    RADIUS,
    divergence,
    geostrophic_wind,
    minima,
    vorticity,
)


def sphere(rows, columns, north_first=True):
    latitude = np.linspace(90, -90, rows) if north_first else np.linspace(-90, 90, rows)
    return latitude, np.arange(columns) * 360 / columns


def harmonic(latitude, longitude):
    """cos^3 phi sin phi cos 3 lambda, of degree 4: itself and its derivatives, to phi and to lambda over cos phi."""
    phi, lam = np.radians(latitude)[:, None], np.radians(longitude)
    c, s = np.cos(phi), np.sin(phi)
    return (
        c**3 * s * np.cos(3 * lam),
        (c**4 - 3 * c**2 * s**2) * np.cos(3 * lam),
        -3 * c**2 * s * np.sin(3 * lam),
    )


@pytest.mark.parametrize("north_first", [True, False])
@pytest.mark.parametrize("shift", [0.0, -180.0])
def test_solid_body_rotation(north_first, shift):
    latitude, longitude = sphere(181, 360, north_first)
    wind = 30 * np.cos(np.radians(latitude))[:, None] * np.ones(360)
    expected = 2 * 30 * np.sin(np.radians(latitude))[1:-1, None] / RADIUS
    turned = vorticity(wind, 0 * wind, latitude, longitude + shift)[1:-1]
    assert np.allclose(turned, expected, rtol=3e-4, atol=1e-12)
    assert np.allclose(divergence(0 * wind, wind, latitude, longitude + shift)[1:-1], -expected, rtol=3e-4, atol=1e-12)
    assert np.abs(divergence(wind, 0 * wind, latitude, longitude)[1:-1]).max() < 1e-15


def errors_of_harmonic(rows, columns):
    latitude, longitude = sphere(rows, columns)
    field, by_phi, by_lam = harmonic(latitude, longitude)
    # Streamfunction and velocity potential of degree 4: the Laplacian is -4 * 5 / a^2 of it.
    expected = -20 / RADIUS * field
    found = (
        vorticity(-by_phi, by_lam, latitude, longitude),
        divergence(by_lam, by_phi, latitude, longitude),
    )
    still = (vorticity(by_lam, by_phi, latitude, longitude), divergence(-by_phi, by_lam, latitude, longitude))
    assert all(np.isnan(each[[0, -1]]).all() and not np.isnan(each[1:-1]).any() for each in found)
    inner = np.abs(latitude) <= 80  # nearer to the poles the error is of first order: the cosine shrinks with the step
    return [
        *(np.abs((each - expected)[inner]).max() * RADIUS for each in found),
        *(np.abs(each[inner]).max() * RADIUS for each in still),
    ]


def test_spherical_harmonic_and_second_order():
    coarse, fine = errors_of_harmonic(91, 180), errors_of_harmonic(181, 360)
    assert max(coarse) < 0.05  # where the largest vorticity is 20 * 0.325
    assert all(3.5 < a / b < 4.6 for a, b in zip(coarse, fine, strict=True) if b > 1e-9)


def test_geostrophic_wind_of_a_zonal_flow_and_of_a_wave():
    latitude, longitude = sphere(361, 720)
    field, by_phi, by_lam = harmonic(latitude, longitude)
    scale, phi = 3e4, np.radians(latitude)[:, None]
    u, v = geostrophic_wind(scale * (field + np.cos(phi) ** 2), latitude, longitude)
    away = np.abs(latitude) >= 10
    turn = np.where(away[:, None], 2 * EARTH_TURN * np.sin(phi) * RADIUS, np.nan)
    away[[0, -1]] = False
    zonal = -scale * (by_phi - 2 * np.cos(phi) * np.sin(phi))
    assert np.allclose(u[away], (zonal / turn)[away], atol=0.03)
    assert np.allclose(v[away], (scale * by_lam / turn)[away], atol=0.03)
    assert np.abs(v[away]).max() > 20
    assert np.isnan(u[~away]).all()
    assert np.isnan(v[~away]).all()
    near, _ = geostrophic_wind(field, latitude, longitude, equator=5)
    assert np.isfinite(near[np.abs(latitude) == 5]).all()


def test_a_region_is_derived_as_the_globe_is_but_for_its_edge():
    latitude, longitude = sphere(181, 360)
    _, by_phi, by_lam = harmonic(latitude, longitude)
    whole = vorticity(-by_phi, by_lam, latitude, longitude)
    rows, columns = slice(20, 60), np.r_[340:360, 0:30]  # across the meridian of Greenwich
    part = vorticity(*(each[rows, columns] for each in (-by_phi, by_lam)), latitude[rows], longitude[columns])
    assert np.allclose(part[1:-1, 1:-1], whole[rows, columns][1:-1, 1:-1], rtol=1e-9, atol=1e-18)
    assert np.allclose(part, whole[rows, columns], atol=3e-3 / RADIUS * 20)


def test_gaussian_latitudes_leading_axes_and_holes():
    latitude = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    longitude = np.arange(128) * 360 / 128
    field, by_phi, by_lam = harmonic(latitude, longitude)
    stack = [np.stack([each, 2 * each]) for each in (-by_phi, by_lam)]
    found = vorticity(*stack, latitude, longitude)
    assert np.allclose(found[1], 2 * found[0])
    inner = np.abs(latitude) < 80
    assert np.allclose(found[0, inner], -20 / RADIUS * field[inner], atol=0.12 / RADIUS)
    assert np.isfinite(found).all()
    stack[0][0, 30, 40] = np.nan  # u: its neighbours to the north and to the south
    assert set(zip(*map(list, np.nonzero(np.isnan(vorticity(*stack, latitude, longitude)))), strict=True)) >= {
        (0, 29, 40),
        (0, 31, 40),
    }
    assert np.isnan(vorticity(*stack, latitude, longitude)).sum() <= 3


def test_minima_are_depressions_and_not_slopes():
    latitude, longitude = sphere(181, 360)
    phi, lam = latitude[:, None], longitude
    slope = 1013 - np.abs(phi) / 3 + 0 * lam  # lowest at the poles, and no depression

    def low(at, size):
        across = ((lam - at[1] + 180) % 360 - 180) * np.cos(np.radians(phi))
        return -size * np.exp(-((phi - at[0]) ** 2 + across**2) / 12)

    field = slope + low((20, 0), 40) + low((-50, 200), 20) + low((40, 100), 3)
    found = minima(np.stack([field, slope]), latitude, longitude, depth=5)
    assert [each.index for each in found] == [(0,), (0,)]
    assert {(round(each.place[0]), each.place[1]) for each in found} == {(20, 0.0), (-50, 200.0)}
    deepest = max(found, key=lambda each: each.depth)
    assert deepest.place == (20, 0)
    assert deepest.value == pytest.approx(1013 - 20 / 3 - 40, abs=0.1)
    # Mean of a Gaussian over a disc: 2 s^2 / r^2 of its size, s^2 = 6 square degrees and r = 500 km.
    radius = math.degrees(500e3 / RADIUS)
    assert deepest.depth == pytest.approx(40 * (1 - 12 / radius**2 * (1 - math.exp(-(radius**2) / 12))), rel=0.05)
    assert minima(np.full((181, 360), 5.0), latitude, longitude, depth=1) == []
    assert minima(np.full((181, 360), np.nan), latitude, longitude, depth=1) == []
    field[70, 0] = np.nan  # the middle is lost: a neighbour stands in
    assert any(each.place[1] in (0, 1, 359) for each in minima(field, latitude, longitude, depth=5))


def test_shapes_that_do_not_fit():
    latitude, longitude = sphere(5, 8)
    field = np.zeros((5, 8))
    with pytest.raises(ValueError, match=r"three points or more along both, got \(8, 5\)"):
        geostrophic_wind(field.T, latitude, longitude)
    with pytest.raises(ValueError, match="three points"):
        vorticity(field[:2], field[:2], latitude[:2], longitude)
    with pytest.raises(ValueError, match="both components in one shape"):
        divergence(field, np.zeros((2, 5, 8)), latitude, longitude)
