"""Scores of fields on a globe: against closed forms, a loop over pixels, scipy and healpy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from adiabat.formats import metrics
from adiabat.formats.metrics import (
    area_weights,
    compare_spectra,
    extremes,
    extremes_table,
    great_circle_km,
    negatives,
    score_field,
    spherical_spectrum,
    zonal_spectrum,
)
from adiabat.formats.spectrum import ring_geometry

LATITUDE, LONGITUDE = np.linspace(90, -90, 61), np.arange(0, 360, 3.0)
SHAPE = (LATITUDE.size, LONGITUDE.size)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def harmonic(degree, order, latitude=LATITUDE, longitude=LONGITUDE):
    """Real part of Y_lm times sqrt(4 pi) (times sqrt 2 for m > 0): mean square 1 over the sphere."""
    special = pytest.importorskip("scipy.special", reason="scipy evaluates the spherical harmonics")
    colatitude = np.radians(90 - latitude)[:, None]
    y = special.sph_harm_y(degree, order, colatitude, np.radians(longitude)[None]).real
    return y * math.sqrt(4 * math.pi) * (math.sqrt(2) if order else 1)


# Means, maxima, shares


def test_every_public_name_is_there():
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__


def test_scores_equal_a_loop_over_pixels():
    source, decoded = noise(3, 2, 7, 8), noise(3, 2, 7, 8, seed=1)
    latitude = np.linspace(80, -70, 7)
    source[0, 1, 2, 3], decoded[0, 1, 4, 4], decoded[0, 1, 0, 0] = np.nan, np.nan, np.inf
    found = score_field(source, decoded, latitude, np.arange(8), thresholds={"one": 1.0, "two": 2.0})
    for at in np.ndindex(3, 2):
        error, weight = [], []
        for i, j in np.ndindex(7, 8):
            a, b = source[at][i, j], decoded[at][i, j]
            if math.isfinite(a) and math.isfinite(b):
                error.append(b - a)
                weight.append(math.cos(math.radians(latitude[i])))
        total = math.fsum(weight)
        square = math.fsum(w * e * e for w, e in zip(weight, error, strict=True)) / total
        assert found.rmse[at] == pytest.approx(math.sqrt(square), rel=1e-12)
        absolute = math.fsum(w * abs(e) for w, e in zip(weight, error, strict=True)) / total
        assert found.mae[at] == pytest.approx(absolute, rel=1e-12)
        bias = math.fsum(w * e for w, e in zip(weight, error, strict=True)) / total
        assert found.bias[at] == pytest.approx(bias, rel=1e-9)
        assert found.maximum[at] == max(map(abs, error))
        assert found.beyond["one"][at] == pytest.approx(np.mean([abs(e) > 1 for e in error]))
        assert found.beyond["two"][at] == pytest.approx(np.mean([abs(e) > 2 for e in error]))
    assert found.compared.tolist() == [[56, 53], [56, 56], [56, 56]]
    assert found.unpaired.tolist() == [[0, 3], [0, 0], [0, 0]]


def test_constant_error_of_float32_fields_is_exact():
    source = np.full(SHAPE, 1e8, "f4")
    found = score_field(source, source + np.float32(8), LATITUDE)
    sizes = (found.rmse, found.mae, found.bias, found.maximum, found.percentile)
    assert [float(size) for size in sizes] == pytest.approx([8.0] * 5, rel=1e-14)
    assert found.rmse.shape == ()


def test_error_of_sine_of_latitude_has_mean_square_one_third():
    latitude = np.linspace(90, -90, 721)
    error = np.tile(np.sin(np.radians(latitude))[:, None], 4)
    found = score_field(np.zeros_like(error), error, latitude)
    assert float(found.rmse) == pytest.approx(math.sqrt(1 / 3), rel=1e-5)
    assert float(found.mae) == pytest.approx(0.5, rel=1e-5)
    assert abs(float(found.bias)) < 1e-15


def test_percentile_is_exceeded_by_one_pixel_in_a_thousand():
    error = np.random.default_rng(2).permutation(np.arange(100_000.0)).reshape(100, 1000)
    found = score_field(np.zeros_like(error), error, np.linspace(89, -89, 100))
    assert float(found.percentile) == pytest.approx(99_899.001)
    assert np.mean(error > found.percentile) == 0.001


def test_nothing_to_compare_is_nan_and_poles_alone_count():
    empty = score_field(np.full((2, 3), np.nan), np.zeros((2, 3)), np.array([10.0, 0.0]))
    assert np.isnan([empty.rmse, empty.maximum]).all()
    assert (int(empty.compared), int(empty.unpaired)) == (0, 6)
    source, decoded = np.array([[1.0, np.nan]]), np.array([[3.0, np.nan]])
    assert float(score_field(source, decoded, np.array([90.0])).rmse) == 2


def test_table_and_numbers_for_json():
    found = score_field(np.zeros((2, 3, 4)), np.ones((2, 3, 4)), np.array([60.0, 0, -60]), thresholds={"half": 0.5})
    head, first, second = found.table().splitlines()
    assert head.split() == ["field", "rmse", "mae", "bias", "max", "p99.9", ">", "half", "unpaired"]
    assert (first.split()[0], second.split()[0]) == ("0", "1")
    assert first.split()[-3:] == ["100", "%", "0"]
    numbers = json.loads(json.dumps(found.as_dict()))
    assert numbers["rmse"] == pytest.approx([1, 1])
    assert numbers["beyond"] == {"half": [1.0, 1.0]}
    with pytest.raises(ValueError, match="expected 2 labels, got 1"):
        found.table(["one"])


@pytest.mark.parametrize(
    ("source", "decoded", "latitude", "longitude"),
    [
        (np.zeros((3, 4)), np.zeros((3, 5)), np.zeros(3), None),
        (np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(4), None),
        (np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(3), np.zeros(3)),
        (np.zeros(4), np.zeros(4), np.zeros(4), None),
    ],
)
def test_shapes_that_do_not_fit(source, decoded, latitude, longitude):
    with pytest.raises(ValueError, match="expected two arrays"):
        score_field(source, decoded, latitude, longitude)


def test_latitudes_in_radians_beyond_the_poles_or_in_two_axes():
    assert area_weights(np.array([90, -90.0])).tolist() == [0, 0]
    for wrong in (np.array([91.0]), np.array([np.nan]), np.zeros((2, 2))):
        with pytest.raises(ValueError, match="expected latitudes in degrees"):
            area_weights(wrong)


def test_negatives_are_counted_by_field():
    source = np.array([[[1.0, -1.0, np.nan, 0.0]], [[2.0, 2.0, 2.0, 2.0]]])
    decoded = np.array([[[-0.5, -2.0, -9.0, -0.0]], [[2.0, 2.0, 0.0, 1.0]]])
    found = negatives(source, decoded)
    assert (found.source.tolist(), found.decoded.tolist(), found.new.tolist()) == ([1, 0], [2, 0], [1, 0])
    assert (found.lowest_source.tolist(), found.lowest_decoded.tolist()) == ([-1.0, 0.0], [-2.0, 0.0])
    with pytest.raises(ValueError, match="of one shape"):
        negatives(source, decoded[:1])


# Spectra


@pytest.mark.parametrize(
    ("latitude", "name"),
    [
        (np.linspace(-90, 90, 61), "CC"),
        (np.linspace(90, -90, 721).astype("f4"), "CC"),
        (np.linspace(89.5, -89.5, 180), "F1"),
        (np.degrees(np.arcsin(np.polynomial.legendre.leggauss(32)[0])), "GL"),
        (np.linspace(60, -60, 61), None),
        (np.linspace(90, -90, 61)[np.r_[1, 0, 2:61]], None),
        (np.full(61, np.nan), None),
    ],
)
def test_grids_are_known_by_their_latitudes(latitude, name):
    assert ring_geometry(latitude, LONGITUDE) == name
    assert ring_geometry(latitude[::-1], LONGITUDE) == name


def test_grids_are_known_by_their_longitudes():
    for longitude in (LONGITUDE - 180, LONGITUDE[::-1], (LONGITUDE + 90) % 360, LONGITUDE + 0.3):
        assert ring_geometry(LATITUDE, longitude) == "CC"
    closed_twice = np.linspace(0, 360, 121)
    for longitude in (LONGITUDE / 2, closed_twice, np.r_[LONGITUDE[:-1], 300.0], LONGITUDE[None], LONGITUDE[:2]):
        assert ring_geometry(LATITUDE, longitude) is None


@pytest.mark.parametrize(("degree", "order"), [(0, 0), (1, 1), (7, 3), (30, 30), (58, 0)])
@pytest.mark.parametrize("shift", [0, 17])
def test_one_harmonic_has_its_power_in_one_degree(degree, order, shift):
    pytest.importorskip("ducc0", reason="spectra by degree need ducc0")
    power = spherical_spectrum(np.roll(harmonic(degree, order), shift, 1)[::-1], LATITUDE, LONGITUDE)
    expected = np.eye(60)[degree]
    np.testing.assert_allclose(power, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["CC", "F1", "GL"])
def test_spectrum_sums_to_the_mean_square_on_every_grid(name):
    pytest.importorskip("ducc0", reason="spectra by degree need ducc0")
    latitude = {
        "CC": np.linspace(90, -90, 40),
        "F1": np.linspace(87.75, -87.75, 40),
        "GL": np.degrees(np.arcsin(np.polynomial.legendre.leggauss(40)[0])),
    }[name]
    field = 280 + 3 * harmonic(5, 2, latitude) + 0.5 * harmonic(20, 20, latitude)
    power = spherical_spectrum(field.astype("f4"), latitude, LONGITUDE)
    assert power[[0, 5, 20]] == pytest.approx([280**2, 9, 0.25], rel=1e-5)
    assert power.sum() == pytest.approx(280**2 + 9.25, rel=1e-7)


def test_spectrum_agrees_with_healpy():
    healpy = pytest.importorskip("healpy", reason="the oracle")
    pytest.importorskip("ducc0", reason="spectra by degree need ducc0")
    top, rng = 20, np.random.default_rng(3)
    alm = rng.standard_normal(healpy.Alm.getsize(top)) + 1j * rng.standard_normal(healpy.Alm.getsize(top))
    alm[: top + 1] = alm[: top + 1].real
    field = np.zeros(SHAPE)
    special = pytest.importorskip("scipy.special")
    for degree in range(top + 1):
        for order in range(degree + 1):
            y = special.sph_harm_y(degree, order, np.radians(90 - LATITUDE)[:, None], np.radians(LONGITUDE)[None])
            field += (alm[healpy.Alm.getidx(top, degree, order)] * y).real * (2 if order else 1)
    expected = healpy.alm2cl(alm) * (2 * np.arange(top + 1) + 1) / (4 * math.pi)
    found = spherical_spectrum(field, LATITUDE, LONGITUDE)
    np.testing.assert_allclose(found[: top + 1], expected, rtol=1e-10)
    assert found[top + 1 :].max() < 1e-20


@pytest.mark.parametrize("columns", [120, 121])
def test_zonal_spectrum_is_parsevals(columns):
    field = 5 + noise(2, 61, columns)
    power = zonal_spectrum(field, LATITUDE)
    assert power.shape == (2, columns // 2 + 1)
    weights = np.cos(np.radians(LATITUDE))
    expected = ((field**2).mean(-1) * weights).sum(-1) / weights.sum()
    np.testing.assert_allclose(power.sum(-1), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["degree", "zonal wavenumber"])
def test_halved_small_scales_show_in_their_octaves(kind):
    if kind == "degree":
        pytest.importorskip("ducc0", reason="spectra by degree need ducc0")
    # A sectoral harmonic's degree is its zonal wavenumber.
    large, small = harmonic(3, 3), harmonic(20, 20)
    source = np.stack([large + small, 2 * large + small])
    decoded = np.stack([large + small / 2, 2 * large + small])
    found = compare_spectra(source, decoded, LATITUDE, LONGITUDE, kind=kind)
    assert found.kind == kind
    assert found.bands == [(1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, {"degree": 59}.get(kind, 60))]
    np.testing.assert_allclose(found.octaves[:, [1, 4]], [[1, 0.25], [1, 1]], rtol=1e-9)
    np.testing.assert_allclose(found.ratio[:, [3, 20]], [[1, 0.25], [1, 1]], rtol=1e-9)
    rows = found.table().splitlines()
    assert len(rows) == 7
    assert rows[5].split() == ["16", "to", "31", "0.2500", "1.0000"]


def test_spectra_fall_back_openly():
    half = compare_spectra(noise(31, 120), noise(31, 120), LATITUDE[:31], LONGITUDE)
    assert half.kind == "zonal wavenumber"
    with pytest.raises(ValueError, match="expected a global regular"):
        compare_spectra(noise(31, 120), noise(31, 120), LATITUDE[:31], LONGITUDE, kind="degree")
    with pytest.raises(ValueError, match="expected kind"):
        compare_spectra(noise(*SHAPE), noise(*SHAPE), LATITUDE, LONGITUDE, kind="wavelet")
    with pytest.raises(ValueError, match="of one shape"):
        compare_spectra(noise(*SHAPE), noise(1, *SHAPE), LATITUDE, LONGITUDE)
    with pytest.raises(ValueError, match="got shape"):
        zonal_spectrum(noise(*SHAPE), LATITUDE[1:])


def test_missing_values_leave_both_spectra_alike():
    source = noise(*SHAPE)
    decoded = source.copy()
    source[3, 4], decoded[10] = np.nan, np.inf
    found = compare_spectra(source, decoded, LATITUDE, LONGITUDE, kind="zonal wavenumber")
    assert np.isfinite(found.source).all()
    np.testing.assert_array_equal(found.ratio, 1)
    nothing = compare_spectra(source * np.nan, decoded, LATITUDE, LONGITUDE, kind="zonal wavenumber")
    np.testing.assert_array_equal(nothing.octaves, 1)


def test_power_out_of_nothing_is_infinitely_more():
    found = compare_spectra(np.zeros(SHAPE), noise(*SHAPE), LATITUDE, LONGITUDE, kind="zonal wavenumber")
    assert np.isinf(found.ratio).all()


def test_spectrum_without_ducc0_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ducc0", None)
    with pytest.raises(ImportError, match=r'pip install "adiabat\[healpix\]"'):
        spherical_spectrum(noise(*SHAPE), LATITUDE, LONGITUDE)


# Extremes


def bump(latitude, longitude, width=5.0):
    """A hill of height 1 on the sphere, its width in degrees of great circle."""
    phi, lam = np.radians(LATITUDE)[:, None], np.radians(LONGITUDE)[None]
    at, along = math.radians(latitude), math.radians(longitude)
    cosine = np.sin(phi) * math.sin(at) + np.cos(phi) * math.cos(at) * np.cos(lam - along)
    return np.exp(-0.5 * (np.degrees(np.arccos(np.clip(cosine, -1, 1))) / width) ** 2)


def test_distances_on_the_globe():
    quarter = math.pi / 2 * 6371.0088
    assert great_circle_km((0, 0), (90, 123)) == pytest.approx(quarter)
    assert great_circle_km((0, 350), (0, 80)) == pytest.approx(quarter)
    assert great_circle_km((10, 20), (10, 380)) == pytest.approx(0, abs=1e-9)
    assert great_circle_km((0, 0), (1e-6, 0)) == pytest.approx(6371.0088 * math.radians(1e-6), rel=1e-9)


def test_extremes_are_found_moved_and_weakened():
    places = [(48.0, 0.0), (-30.0, 357.0), (60.0, 120.0), (-90.0, 0.0)]
    depths = [50.0, 40.0, 30.0, 20.0]
    source = 1013 - sum(d * bump(*p) for d, p in zip(depths, places, strict=True))
    moved = [(48.0, 357.0), (-33.0, 357.0), (60.0, 120.0), (-90.0, 0.0)]
    decoded = 1013 - sum((d - 5) * bump(*p) for d, p in zip(depths, moved, strict=True))
    found = extremes(source, decoded, LATITUDE, LONGITUDE, kind="min", count=4, apart_km=1500)
    assert [each.place for each in found[:3]] == places[:3]
    assert [each.decoded_place for each in found[:3]] == moved[:3]
    assert found[3].place[0] == found[3].decoded_place[0] == -90
    assert [each.difference for each in found] == pytest.approx([5] * 4, abs=1e-6)
    expected = [great_circle_km(a, b) for a, b in zip(places, moved, strict=True)]
    assert [each.distance_km for each in found] == pytest.approx(expected, abs=1e-6)
    assert expected[1] == pytest.approx(6371.0088 * math.radians(3))
    head, *lines = extremes_table(found).splitlines()
    assert "km apart" in head
    assert lines[1].split()[:4] == ["30.00", "S", "357.00", "E"]


def test_one_system_is_one_extreme_and_not_its_flank():
    source = 30 * bump(20, 60, 12) + 10 * bump(-40, 240) + 0.2 * noise(*SHAPE)
    found = extremes(source, source, LATITUDE, LONGITUDE, kind="max", count=5, apart_km=900)
    assert great_circle_km(found[0].place, (20, 60)) < 500
    assert great_circle_km(found[1].place, (-40, 240)) < 500
    assert all(each.value < 1.5 for each in found[2:])
    assert all(each.distance_km == 0 for each in found)


@pytest.mark.parametrize("apart_km", [1.0, 700.0, 2500.0, 30000.0])
@pytest.mark.parametrize("columns", [24, 18])
def test_extremes_equal_a_search_through_all_pairs(apart_km, columns):
    latitude, longitude = LATITUDE[::4], LONGITUDE[::5][:columns]
    field = noise(latitude.size, columns, seed=5)
    field[[0, -1]] = field[[0, -1], :1]  # each pole one value
    places = [(float(a), float(b)) for a in latitude for b in longitude]
    phi, lam = np.radians(places).T
    haversine = np.sin((phi - phi[:, None]) / 2) ** 2
    haversine += np.cos(phi) * np.cos(phi[:, None]) * np.sin((lam - lam[:, None]) / 2) ** 2
    apart = 2 * 6371.0088 * np.arcsin(np.sqrt(haversine))
    values = field.ravel()
    highest = [i for i in np.argsort(-values, kind="stable") if not (values[apart[i] <= apart_km] > values[i]).any()]
    expected = []
    for i in highest:
        if all(apart[i, j] > apart_km for j in expected):
            expected.append(i)
    found = extremes(field, field, latitude, longitude, kind="max", count=10, apart_km=apart_km)
    assert [each.place for each in found] == [places[i] for i in expected[:10]]


def test_extremes_of_levels_keep_their_index_and_holes_stay_out():
    source = np.stack([bump(0, 30), bump(0, 90)])
    decoded = source.copy()
    decoded[1, 30, 30] = np.nan
    found = extremes(source, decoded, LATITUDE, LONGITUDE, kind="max", count=1)
    assert [each.index for each in found] == [(0,), (1,)]
    assert found[0].place == (0, 30)
    assert found[1].place != (0, 90)
    assert extremes(source * np.nan, decoded, LATITUDE, LONGITUDE, kind="max") == []


def test_constant_and_flattened_fields_do_not_move():
    flat = np.zeros(SHAPE)
    (found,) = extremes(flat, flat, LATITUDE, LONGITUDE, kind="max", count=1)
    assert (found.distance_km, found.difference) == (0, 0)
    (found,) = extremes(bump(30, 90), flat, LATITUDE, LONGITUDE, kind="max", count=1)
    assert (found.place, found.distance_km, found.difference) == ((30, 90), 0, -1)


def test_counterpart_on_a_slope_is_the_highest_nearby():
    slope = np.repeat(LATITUDE[:, None], LONGITUDE.size, 1)  # highest at the pole, far away
    (found,) = extremes(bump(30, 90), slope, LATITUDE, LONGITUDE, kind="max", count=1, apart_km=2000)
    assert found.decoded_place == (36, 90)  # two rows of 334 km; the third lies beyond 1000 km


def test_longitudes_that_do_not_close():
    part = bump(0, 30)[:, :20]
    (found,) = extremes(part, part, LATITUDE, LONGITUDE[:20], kind="max", count=1)
    assert found.place == (0, 30)


def test_extremes_refuse_what_does_not_fit():
    field = bump(0, 30)
    with pytest.raises(ValueError, match="expected two arrays"):
        extremes(field, field[1:], LATITUDE, LONGITUDE, kind="max")
    with pytest.raises(ValueError, match="expected kind 'min' or 'max'"):
        extremes(field, field, LATITUDE, LONGITUDE, kind="median")
    with pytest.raises(ValueError, match="count >= 1"):
        extremes(field, field, LATITUDE, LONGITUDE, kind="max", count=0)
