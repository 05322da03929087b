"""The simulator against closed forms: geometry, slit, layers, noise, files; and its own determinism."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import netCDF4
import numpy as np
import pytest
from tempo_tables import write_tables

from adiabat.training import simulate_tempo, tempo_instrument, tempo_radiative, tempo_scene, tempo_spectroscopy
from adiabat.training.simulate_tempo import simulate_granule, simulate_irradiance, simulate_tile, simulate_tiles
from adiabat.training.tempo_blocks import simulate_blocks, tables_of

UV = "band_290_490_nm"
NOON = datetime(2024, 6, 1, 18, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("spectroscopy"))


@pytest.fixture(scope="module")
def small(tables):
    return simulate_tiles(2, size=12, channels=257, seed=5, spectroscopy=tables)


def view(rows=6, steps=5):
    numbers = np.arange(900, 900 + rows)
    where = tempo_scene.geometry(np.arange(steps, dtype=float), numbers.astype(float), NOON)
    return where, tempo_scene.random_scene(where, np.random.default_rng(7)), numbers


def light(where, scene, numbers, tables, channels=1028):
    (block,) = simulate_blocks(where, scene, numbers, channels=channels, spectroscopy=tables)
    return block


# Formulas


def test_rayleigh_is_within_a_percent_of_the_formula_of_hansen_and_travis():
    nm = np.linspace(290, 740, 50)
    um = nm / 1e3
    theirs = 0.008569 * um**-4 * (1 + 0.0113 * um**-2 + 0.00013 * um**-4)
    np.testing.assert_allclose(tempo_radiative.rayleigh(nm), theirs, rtol=0.01)


def test_air_to_vacuum_for_the_sodium_line():
    assert tempo_spectroscopy.to_vacuum(np.array([588.995]))[0] == pytest.approx(589.1583, abs=2e-4)


def test_the_slit_is_half_as_high_at_half_its_width():
    for width in (0.57, 0.62):
        assert tempo_spectroscopy.slit(np.array([-width / 2, 0, width / 2]), width) == pytest.approx([0.5, 1, 0.5])


def test_thin_air_lets_everything_through_and_no_light_is_made():
    cosine = np.array([0.3, 0.6, 1.0])
    assert tempo_radiative.transmittance(np.zeros(3), cosine) == pytest.approx(1)
    depth = np.linspace(0.01, 2, 20)[:, np.newaxis]
    assert (np.diff(tempo_radiative.transmittance(depth, cosine), axis=0) < 0).all()
    white = tempo_radiative._reflected(np.full((20, 3), 1.0), depth, cosine, cosine)  # a white ground under clear air
    assert white.max() < 1.1


def test_columns_above_grow_downwards_to_the_whole():
    _, scene, _ = view()
    flat = {key: getattr(scene, key)[:, 0] for key in scene.__dataclass_fields__}
    scene = tempo_scene.Scene(**flat)
    levels = [tempo_radiative.columns_above(np.full(5, p), scene, scene.height) for p in np.linspace(0, 1, 30)]
    assert (np.diff([level[:, [0, 3, 4, 5, 6]] for level in levels], axis=0) >= 0).all()
    ground = tempo_radiative.columns_above(scene.height, scene, scene.height)
    np.testing.assert_allclose(ground[:, 4], scene.no2_troposphere)
    np.testing.assert_allclose(ground[:, 0], scene.o3, rtol=0.03)  # a hundredth or two lies below the ground


# Geometry


def test_below_the_satellite_the_view_is_vertical():
    row = 1023.5 + tempo_scene.MIDDLE_ANGLE / tempo_scene.ROW_ANGLE
    where = tempo_scene.geometry(np.zeros(1), np.array([row]), NOON)
    assert (where.latitude[0, 0], where.longitude[0, 0]) == pytest.approx((0, -91), abs=1e-6)
    assert where.viewing_zenith[0, 0] == pytest.approx(0, abs=1e-6)


def test_zenith_angles_follow_from_the_triangle_of_satellite_pixel_and_centre():
    where = tempo_scene.geometry(np.array([-300.0, 0, 250]), np.array([200.0, 1000, 2000]), NOON)
    away = np.arccos(np.cos(np.deg2rad(where.latitude)) * np.cos(np.deg2rad(where.longitude + 91)))
    expected = np.arctan2(np.sin(away), np.cos(away) - tempo_scene.EARTH / tempo_scene.ORBIT)
    np.testing.assert_allclose(np.deg2rad(where.viewing_zenith), expected, atol=1e-9)
    southward = where.viewing_azimuth[:, 1]
    assert (np.sign(southward - 180) == [1, 0, -1]).all()  # seen from the east of the satellite it stands west of south


def test_the_sun_is_highest_where_it_should_be():
    where = tempo_scene.geometry(
        np.zeros(1), np.array([1400.0]), datetime(2024, 6, 20, 18, 4, tzinfo=UTC)
    )  # noon at 91 W
    assert where.solar_zenith[0, 0] == pytest.approx(where.latitude[0, 0] - 23.4, abs=0.6)
    with pytest.raises(ValueError, match="expected steps and rows that look at the Earth"):
        tempo_scene.geometry(np.array([-1500.0]), np.array([0.0]), NOON)


def test_places_are_those_of_a_real_granule(data):
    import xarray as xr

    path = data / "tempo" / "TEMPO_NO2_L2_V03_20240601T210934Z_S012G01_subsetted.nc4"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    with xr.open_dataset(path, group="geolocation", decode_times=False) as real:
        rows, steps = np.arange(400, 2048, 200), np.arange(0, 132, 26)
        lat, lon = real["latitude"].values[np.ix_(steps, rows)], real["longitude"].values[np.ix_(steps, rows)]
    where = tempo_scene.geometry(steps - 555.0, rows.astype(float), NOON)
    assert np.abs(where.latitude - lat).max() < 2  # ours is a sphere
    assert np.abs(where.longitude - lon).max() < 2.5


# Fields and instrument


def test_random_fields_have_the_spectrum_asked_for():
    for power in (2.4, 3.4):
        slopes = []
        for seed in range(12):
            field = tempo_scene.random_field((128, 128), power, np.random.default_rng(seed))
            assert (field.mean(), field.std()) == pytest.approx((0, 1), abs=1e-9)
            window = np.hanning(128)[:, np.newaxis] * np.hanning(128)
            spectrum = np.abs(np.fft.fft2(field * window)) ** 2
            along, across = (np.fft.fftfreq(128) / size for size in tempo_scene.KILOMETRES)
            wavenumber = np.hypot(along[:, np.newaxis], across)
            part = (wavenumber > 0.02) & (wavenumber < 0.09)
            slopes.append(np.polyfit(np.log(wavenumber[part]), np.log(spectrum[part]), 1)[0])
        assert np.mean(slopes) == pytest.approx(-power, abs=0.25)


def test_a_row_of_the_detector_is_the_same_whichever_rows_are_asked_for():
    some = tempo_instrument.detector(np.array([3, 700, 2047]), channels=50)
    one = tempo_instrument.detector(np.array([700]), channels=50)
    for name in ("wavelength", "gain", "electrons", "dead"):
        np.testing.assert_array_equal(getattr(some, name)[1], getattr(one, name)[0])
    assert (np.diff(some.wavelength) > 0).all()
    every = tempo_instrument.detector(np.arange(0, 2048, 128))
    assert 290 < every.wavelength.min() < every.wavelength.max() < 496
    assert every.gain.std() == pytest.approx(tempo_instrument.ROW_GAIN, rel=0.5)
    with pytest.raises(ValueError, match="expected a band of"):
        tempo_instrument.detector(np.array([3]), band="blue")
    with pytest.raises(ValueError, match="expected rows within 0 to 2047"):
        tempo_instrument.detector(np.array([2048]))


def test_noise_is_that_of_electrons_and_the_error_that_of_what_was_measured():
    clean = np.full((20, 30, 40), 1.5e13, np.float32)
    electrons = np.full((30, 40), 1e-7, np.float32)
    radiance, error = tempo_instrument.measured(clean, electrons, np.random.default_rng(0))
    expected = np.sqrt(1.5e6 + tempo_instrument.READ**2) / 1e-7
    residual = (radiance - clean) / expected
    assert (residual.mean(), residual.std()) == pytest.approx((0, 1), abs=0.03)
    np.testing.assert_allclose(error, np.sqrt(radiance * 1e-7 + tempo_instrument.READ**2) / 1e-7, rtol=1e-5)


def test_faults_are_flagged_and_nothing_else_is_touched():
    rng = np.random.default_rng(1)
    radiance = np.full((1000, 64, 10), 1e13, np.float32)
    radiance[3, 4, 5] = 2e14
    before, dead = radiance.copy(), np.zeros((64, 10), bool)
    dead[7, 8] = True
    flags = tempo_instrument.faults(radiance, np.full_like(radiance, 1e10), dead, rng)
    masks = tempo_instrument.MASKS
    assert (flags[:, 7, 8] & masks["bad_pixel"] != 0).all()
    assert flags[3, 4, 5] & masks["saturated"]
    np.testing.assert_array_equal(radiance != before, (flags & masks["transient_pixel"] != 0) & (radiance != before))
    whole = (flags & masks["missing_data"] != 0).all(-1)
    assert whole.mean() == pytest.approx(tempo_instrument.LOST, rel=0.8)


# Light


def test_the_sun_is_convolved_and_its_slope_is_a_derivative(tables):
    fine = tables_of(UV, tables)
    raw = np.loadtxt(tables / "sao2010.txt")
    inside = (raw[:, 0] > 300) & (raw[:, 0] < 480)
    seen = np.interp(raw[inside, 0], fine.wavelength, fine.narrow[0])
    assert seen.mean() == pytest.approx(raw[inside, 1].mean(), rel=1e-3)
    np.testing.assert_allclose(fine.narrow[1], np.gradient(np.log(fine.narrow[0]), fine.wavelength), atol=1e-3)


def test_slant_columns_are_derivatives_of_the_radiance(tables):
    where, scene, numbers = view()
    scene = replace(scene, o3_temperature=0 * scene.o3)
    before = light(where, scene, numbers, tables)
    channel = {gas: np.argmin(abs(before.detector.wavelength[0] - nm)) for gas, nm in tempo_radiative.GASES.items()}
    sections = tempo_spectroscopy.row_tables(tables_of(UV, tables), before.detector.wavelength, numbers).sections
    changes = {"o3": ("o3", 0), "no2_troposphere": ("no2", 4), "hcho": ("hcho", 5)}
    for name, (gas, place) in changes.items():
        step = 0.01 if gas == "o3" else 2.0
        changed = {name: getattr(scene, name) * (1 + step)}
        after = light(where, replace(scene, **changed), numbers, tables)
        at = channel[gas]
        fall = np.log(before.radiance[..., at] / after.radiance[..., at])
        rise = after.slant[gas] - before.slant[gas]
        np.testing.assert_allclose(fall, rise * sections[:, place, at], rtol=0.03, atol=2e-6)


def test_more_gas_means_less_light_and_a_cloud_hides_what_lies_below(tables):
    where, scene, numbers = view()
    clear = replace(scene, cloud_fraction=0 * scene.o3)
    overcast = replace(
        scene, cloud_fraction=1 + 0 * scene.o3, cloud_top=0.3 + 0 * scene.o3, cloud_albedo=0.8 + 0 * scene.o3
    )
    darker = replace(clear, no2_troposphere=20 * clear.no2_troposphere)
    assert (light(where, darker, numbers, tables).radiance <= light(where, clear, numbers, tables).radiance).all()
    hidden, seen = (light(where, each, numbers, tables).slant["hcho"] for each in (overcast, clear))
    assert hidden.max() < 0.1 * seen.min()


def test_reflectance_of_a_dark_ground_is_that_of_air(tables):
    where, scene, numbers = view()
    nothing = 0 * scene.o3
    bare = replace(scene, o3=nothing, no2_stratosphere=nothing, no2_troposphere=nothing, hcho=nothing, aerosol=nothing,
                   cloud_fraction=nothing, brightness=nothing, height=1 + nothing, ring=nothing)  # fmt: skip
    block = light(where, bare, numbers, tables)
    sun = np.cos(np.deg2rad(where.solar_zenith))[..., np.newaxis]
    reflectance = np.pi * block.radiance / (sun * block.irradiance * block.detector.gain)
    at = np.argmin(abs(block.detector.wavelength[0] - 440))
    depth = tempo_radiative.rayleigh(block.detector.wavelength[:, at])
    view_cosine = np.cos(np.deg2rad(where.viewing_zenith))
    once = 0.75 * (1 + where.scattering**2) * depth / (4 * sun[..., 0] * view_cosine)
    assert (reflectance[..., at] / once).min() > 0.8  # thinned by its own depth, and scattered again
    assert (reflectance[..., at] / once).max() < 1.2
    assert reflectance.max() < 0.6


def test_tiles_are_what_they_say(small):
    assert small["radiance"].shape == small["clean"].shape == small["radiance_error"].shape == (2, 12, 12, 257)
    assert small["wavelength"].shape == (2, 12, 257)
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in small.values())
    assert all((small[name] > 0).all() for name in ("clean", "no2", "o3", "hcho", "no2_slant", "o3_slant"))
    assert small["cloud_fraction"].min() >= 0
    assert small["cloud_fraction"].max() <= 1
    residual = (small["radiance"] - small["clean"]) / small["radiance_error"]
    assert (residual.mean(), residual.std()) == pytest.approx((0, 1), abs=0.02)


def test_a_tile_is_the_same_however_many_are_made(small, tables):
    one = simulate_tile(5, 1, size=12, channels=257, spectroscopy=tables)
    later = simulate_tiles(1, size=12, channels=257, seed=5, first=1, workers=1, spectroscopy=tables)
    for name, values in small.items():
        np.testing.assert_array_equal(values[1], one[name])
        np.testing.assert_array_equal(values[1], later[name][0])
    assert (small["radiance"][0] != small["radiance"][1]).any()
    with pytest.raises(ValueError, match="expected at least 1 tile"):
        simulate_tiles(0, spectroscopy=tables)


def test_real_spectra_have_the_stated_signal_to_noise_and_size(data):
    tiles = simulate_tiles(3, size=8, seed=11, spectroscopy=data / "spectroscopy")
    wavelength, clean = tiles["wavelength"][0, 4], tiles["clean"]
    signal = np.median(clean / tiles["radiance_error"], axis=(0, 1, 2))
    assert signal[wavelength < 296].max() < 150
    assert 600 < signal[(wavelength > 330) & (wavelength < 490)].mean() < 2500
    assert 3e12 < clean.mean() < 6e13  # photons s-1 cm-2 nm-1 sr-1; about 2e13 is what is published
    dip = np.log(clean[..., np.argmin(abs(wavelength - 393.48))] / clean[..., np.argmin(abs(wavelength - 391.0))])
    assert dip.max() < -0.4  # the calcium line, in vacuum


# Files


def test_a_granule_has_the_product_s_layout_and_says_that_it_is_simulated(tables, tmp_path):
    told = []
    path = simulate_granule(tmp_path / "g.nc", mirror_steps=3, xtrack=20, channels=40, seed=2, spectroscopy=tables,
                            clean=True, say=told.append)  # fmt: skip
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        assert file.simulated == 1
        assert file.title.startswith("SIMULATED TEMPO_RAD_L1")
        assert "simulated" in file.history
        assert file["time"].units == "seconds since 1980-01-06T00:00:00Z"
        for name in tempo_instrument.BANDS:
            band = file[name]
            assert band.simulated == 1
            assert band["radiance"].dimensions == ("mirror_step", "xtrack", "spectral_channel")
            assert band["radiance"].shape == (3, 20, 40)
            assert band["radiance"].units == "photons/s/cm^2/nm/sr"
            assert band["pixel_quality_flag"].dtype == np.uint16
            assert band["nominal_wavelength"].dimensions == ("xtrack", "spectral_channel")
            assert band["latitude_bounds"].shape == (3, 20, 4)
            inside = band["latitude_bounds"][:].min(-1) < band["latitude"][:]
            assert inside.all()
            flags, values = band["pixel_quality_flag"][:], band["radiance"][:]
            np.testing.assert_array_equal(values == np.float32(-1e30), flags & 1 != 0)
        truth = file["simulated_truth"]
        assert set(truth.variables) >= {"no2", "o3", "hcho", "no2_slant", "o3_slant", "hcho_slant", "cloud_fraction"}
        good = file[f"{UV}/pixel_quality_flag"][:] == 0
        off = (file[f"{UV}/radiance"][:] - truth[f"{UV}/radiance_clean"][:]) / file[f"{UV}/radiance_error"][:]
        assert off[good].std() == pytest.approx(1, abs=0.05)
    assert told[-1] == "band_540_740_nm: 20 of 20 rows"
    again = simulate_granule(tmp_path / "h.nc", mirror_steps=3, xtrack=20, channels=40, seed=2, spectroscopy=tables)
    with netCDF4.Dataset(path) as one, netCDF4.Dataset(again) as two:
        np.testing.assert_array_equal(one[f"{UV}/radiance"][:].filled(), two[f"{UV}/radiance"][:].filled())


def test_an_irradiance_is_the_sun_through_the_same_slit(tables, tmp_path):
    path = simulate_irradiance(tmp_path / "i.nc", xtrack=8, channels=60, spectroscopy=tables)
    with netCDF4.Dataset(path) as file:
        assert file.title.startswith("SIMULATED TEMPO_IRR_L1")
        band = file[UV]
        sun = np.interp(band["nominal_wavelength"][:], *np.loadtxt(tables / "sao2010.txt").T)
        np.testing.assert_allclose(band["irradiance"][0].filled(np.nan), sun, rtol=0.15)
        assert np.ma.median(band["irradiance"][:] / band["irradiance_error"][:]) > 1000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"band": "green"}, "expected a band of"),
        ({"xtrack": 3000}, "expected at least 1 mirror step and 1 to 2048 rows"),
        ({"start": datetime(2024, 6, 1, 5, tzinfo=UTC)}, "expected the sun within 80 degrees"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_a_sentence(tables, tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        simulate_granule(tmp_path / "g.nc", **{"mirror_steps": 2, "xtrack": 4, "spectroscopy": tables, **options})
    assert not (tmp_path / "g.nc").exists()


def test_without_reference_spectra_the_way_to_them_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ADIABAT_DATA", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="set ADIABAT_DATA"):
        simulate_tiles(1, size=4)
    with pytest.raises(SystemExit) as stopped:
        simulate_tempo.main([str(tmp_path / "g.nc"), "--mirror-steps", "1", "--xtrack", "2"])
    assert stopped.value.code == 1
    assert "expected reference spectra in" in capsys.readouterr().err
    (tmp_path / "none" / "spectroscopy").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"expected the reference spectrum .*sao2010.txt"):
        simulate_tiles(1, size=4)


def test_the_command_writes_both_files(tables, tmp_path, capsys):
    simulate_tempo.main([str(tmp_path / "g.nc"), "--mirror-steps", "2", "--xtrack", "3", "--channels", "20", "--band",
                         "290_490", "--spectroscopy", str(tables), "--irradiance", str(tmp_path / "i.nc")])  # fmt: skip
    assert "3 of 3 rows" in capsys.readouterr().err
    with netCDF4.Dataset(tmp_path / "g.nc") as file:
        assert list(file.groups) == [UV, "simulated_truth"]
    assert (tmp_path / "i.nc").exists()
