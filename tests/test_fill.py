"""`adiabat fill`, `adiabat compress --codec low-rank`, and the journal of a long selection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from adiabat.formats import cli_fill, low_rank, rank_selection
from adiabat.formats.errors import RequestError
from adiabat.formats.rank_selection import select_rank

COMMAND = [str(Path(sys.executable).with_name("adiabat"))]


@pytest.fixture
def adiabat(tmp_path):
    def run(*arguments, status=0):
        environment = {**os.environ, "ADIABAT_CACHE": str(tmp_path / "cache")}
        command = [*COMMAND, *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment)
        assert ran.returncode == status, ran.stderr + ran.stdout
        assert "Traceback" not in ran.stderr
        return ran

    return run


def gappy(days=120, rows=10, columns=12, seed=0):
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((n, 2)).cumsum(0) for n in (days, rows, columns)]
    values = np.einsum("ir,jr,kr->ijk", *parts) / 20 + 280 + 0.1 * rng.standard_normal((days, rows, columns))
    clouds = rng.standard_normal((days, rows + 6, columns + 6)).cumsum(1).cumsum(2)
    clouds = clouds[:, 6:, 6:] - clouds[:, :rows, :columns]
    return np.where(clouds > 0, values, np.nan).astype("f4"), values


@pytest.fixture
def source(tmp_path):
    pytest.importorskip("netCDF4")
    values, _ = gappy()
    time = xr.Variable("time", np.arange(120), {"units": "days since 2019-01-01", "calendar": "standard"})
    latitude = xr.Variable("lat", np.linspace(30, 40, 10), {"units": "degrees_north"})
    coordinates = {"time": time, "lat": latitude, "lon": np.arange(12.0)}
    cube = xr.DataArray(values, coordinates, ("time", "lat", "lon"), attrs={"units": "K"})
    xr.Dataset({"t": cube, "flag": cube.isnull().astype("i1")}).to_netcdf(tmp_path / "t.nc")
    return tmp_path / "t.nc"


def test_fill_finds_the_rank_and_says_what_it_did(adiabat, source, tmp_path):
    ran = adiabat("fill", source, "t.cp.zarr", "--sweeps", 8)
    assert "under clouds of other days" in ran.stderr
    assert 'xr.open_dataset("t.cp.zarr")' in ran.stdout
    found, truth = xr.open_dataset(tmp_path / "t.cp.zarr"), gappy()
    assert np.isfinite(found.t.values).all()
    assert found.time.dtype.kind == "M"
    assert found.t.attrs["units"] == "K"
    gap = np.isnan(truth[0])
    np.testing.assert_array_equal(found.t_observed.values, ~gap)
    climatology = np.broadcast_to(np.nanmean(truth[0], 0), gap.shape)
    error, plain = ((each - truth[1])[gap] for each in (found.t.values, climatology))
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(plain**2))
    assert not list(tmp_path.glob(".t.cp.zarr*"))


def test_fill_under_a_bound(adiabat, source, tmp_path):
    adiabat("fill", source, "t.cp.zarr", "--rank", 3, "--bound", "abs:0.2")
    found = xr.open_dataset(tmp_path / "t.cp.zarr", engine="adiabat")
    values = gappy()[0]
    seen = np.isfinite(values)
    assert np.abs(found.t.values.astype("f8") - values)[seen].max() <= 0.2


def test_verify_and_compress_see_low_rank_stores(adiabat, source, tmp_path):
    adiabat("fill", source, "t.cp.zarr", "--variable", "t", "--rank", 3, "--bound", "abs:0.2")
    assert "ok" in adiabat("verify", source, "t.cp.zarr", status=1).stdout  # flag is missing
    xr.open_dataset(source, decode_times=False)[["t"]].to_netcdf(tmp_path / "alone.nc")
    ran = adiabat("verify", "alone.nc", "t.cp.zarr")
    assert "abs:0.2" in ran.stdout
    adiabat("compress", "t.cp.zarr", "again.zarr", "--default-bound", "abs:0.1")
    values, again = gappy()[0], xr.open_zarr(tmp_path / "again.zarr").t.values
    np.testing.assert_array_equal(np.isnan(again), np.isnan(values))
    assert np.nanmax(np.abs(again.astype("f8") - values)) <= 0.3
    adiabat("fill", source, "free.cp.zarr", "--rank", 3)
    assert "was filled without a bound" in adiabat("verify", "alone.nc", "free.cp.zarr", status=1).stderr


def test_fill_refuses(adiabat, source, tmp_path):
    for arguments, match in (
        (["none.nc", "a.cp.zarr"], "does not exist"),
        ([source, "a.cp.zarr", "--rank", "many"], "is not a rank"),
        ([source, "a.cp.zarr", "--grid", 0.1], "on a grid already"),
        ([source, "a.cp.zarr", "--variable", "u"], "there is no float field 'u'"),
        ([source, "a.cp.zarr", "--rank", 2, "--bound", "rel:0.1"], "expected bound"),
        ([source, "a.cp.zarr", "--transform", "sqrt"], "expected transform"),
        ([source, "none/a.cp.zarr"], "there is no folder"),
    ):
        assert match in adiabat("fill", *arguments, status=2).stderr
    assert not list(tmp_path.glob("*.zarr"))


def test_low_rank_is_chosen_where_it_wins(adiabat, tmp_path):
    pytest.importorskip("netCDF4")
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((n, 2)).cumsum(0) for n in (90, 24, 30)]
    smooth = (np.einsum("ir,jr,kr->ijk", *parts) / 20 + 280).astype("f4")
    noise = rng.standard_normal((90, 24, 30)).astype("f4")
    dims = ("time", "lat", "lon")
    dataset = xr.Dataset({"smooth": (dims, smooth), "noise": (dims, noise), "flat": (("lat", "lon"), noise[0])})
    dataset.to_netcdf(tmp_path / "m.nc")
    ran = adiabat("compress", "m.nc", "m.cp.zarr", "--default-bound", "abs:0.5", "--codec", "low-rank")
    assert "noise: Pyramid alone takes fewer bytes" in ran.stderr
    found = xr.open_dataset(tmp_path / "m.cp.zarr")
    assert {"smooth", "smooth_observed", "noise", "flat"} <= set(found.data_vars)
    assert "noise_observed" not in found
    for name in dataset.data_vars:
        assert np.abs(found[name].values.astype("f8") - dataset[name].values).max() <= 0.5
    assert "smooth" in adiabat("inspect", "m.cp.zarr").stdout
    assert "low rank" in ran.stdout


def test_low_rank_that_never_wins_leaves_an_ordinary_store(adiabat, tmp_path):
    pytest.importorskip("netCDF4")
    noise = np.random.default_rng(0).standard_normal((40, 24, 30)).astype("f4")
    xr.Dataset({"noise": (("time", "lat", "lon"), noise)}).to_netcdf(tmp_path / "n.nc")
    adiabat("compress", "n.nc", "n.zarr", "--default-bound", "abs:0.1", "--codec", "low-rank")
    assert np.abs(xr.open_zarr(tmp_path / "n.zarr").noise.values - noise).max() <= 0.1
    adiabat("compress", "n.nc", "o.zarr", "--codec", "zip", status=2)
    adiabat("compress", "n.nc", "o.zarr", "--codec", "low-rank", "--tune", "rmse", status=2)


def test_finished_scores_are_not_computed_again(tmp_path, monkeypatch):
    values, _ = gappy()
    journal, options = tmp_path / "scores", {"ranks": (1, 2, 4), "ridges": (1.0, 10.0), "sweeps": 5}
    ticks = []

    def stop(sweep, state):
        ticks.append(sweep)
        if len(ticks) == 13:  # in the third fit
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_rank(values, journal=journal, tick=stop, **options)
    assert len(journal.read_text().splitlines()) == 3
    with journal.open("a") as file:
        file.write('{"rank": 4, "rid')  # cut short
    ticks.clear()
    resumed = select_rank(values, journal=journal, tick=lambda sweep, state: ticks.append(sweep), **options)
    assert len(ticks) == 4 * 5
    assert resumed == select_rank(values, **options)
    assert len(rank_selection._read(journal, json.loads(journal.read_text().splitlines()[0]))) == len(resumed.scores)


def test_a_journal_of_other_data_is_begun_anew(tmp_path):
    journal, options = tmp_path / "scores", {"ranks": (1,), "ridges": (1.0,), "sweeps": 3}
    select_rank(gappy()[0], journal=journal, **options)
    first = journal.read_text()
    other = select_rank(gappy(seed=5)[0], journal=journal, **options)
    assert journal.read_text() != first
    assert other.scores == select_rank(gappy(seed=5)[0], **options).scores
    assert json.loads(journal.read_text().splitlines()[1])["rank"] == 1


def test_the_selection_prefers_what_fills_best():
    values, _ = gappy()
    chosen = select_rank(values, ranks=(1, 2, 8), ridges=(1.0, 1e4), sweeps=10)
    assert chosen.ridge == 1.0
    assert chosen.rank >= 2
    assert min(chosen.scores.values()) == chosen.scores[chosen.rank, chosen.ridge]
    assert len(chosen.about()["rank_ridge_rmse"]) == len(chosen.scores)


def test_climatology_alone_is_chosen_and_said_where_there_is_nothing_else(tmp_path):
    rng, told = np.random.default_rng(0), []
    values = np.where(np.isfinite(gappy()[0]), rng.standard_normal((120, 10, 12)), np.nan).astype("f4")
    cube = xr.DataArray(values, dims=("time", "lat", "lon"), name="t")
    written = low_rank.write(cube, tmp_path / "t.cp.zarr", sweeps=5, progress=told.append)
    assert written.rank == 0
    assert told[0].startswith("climatology alone: RMSE")
    assert "climatology alone" in cli_fill.describe(written, tmp_path / "t.cp.zarr")[1]
    climatology = np.nanmean(values, 0)
    np.testing.assert_allclose(xr.open_dataset(tmp_path / "t.cp.zarr").t.values[5], climatology, atol=0.13)


@pytest.mark.parametrize("shape", [(120, 10, 12), (60, 6, 7)])
def test_no_ridge_removes_everything_of_a_small_cube(tmp_path, shape):
    """Where a ridge of 20 leaves nothing, a lesser one is found, whether the rank is given or not."""
    values, truth = gappy(*shape)
    cube = xr.DataArray(values, dims=("time", "lat", "lon"), name="t")
    for rank in ("auto", 5):
        written = low_rank.write(cube, tmp_path / f"{rank}.cp.zarr", rank=rank, sweeps=20)
        assert written.rank > 0
        error = (xr.open_dataset(tmp_path / f"{rank}.cp.zarr").t.values - truth)[np.isnan(values)]
        plain = (np.nanmean(values, 0) - truth)[np.isnan(values)]
        assert np.sqrt(np.mean(error**2)) < 0.6 * np.sqrt(np.mean(plain**2))


def test_no_clouds_to_hold_out():
    values, _ = gappy()
    with pytest.raises(RequestError, match="give --rank"):
        select_rank(values[:20])
    with pytest.raises(RequestError, match="2 axes"):
        select_rank(values[0])


def test_one_overpass_file_is_told_from_a_grid(source):
    cube = cli_fill.open_cube(source)
    assert cube.name == "t"


def test_fill_from_real_pixels(adiabat, data, tmp_path):
    pixels = data / "tropomi" / "orbits"
    if not pixels.is_dir():
        pytest.skip("no orbits")
    ran = adiabat("fill", pixels, "no2.cp.zarr", "--rank", 1, "--grid", 0.5, "--sweeps", 3, "--variable",
                  "NO2_slant_column_number_density")  # fmt: skip
    assert "observed" in ran.stdout
    assert "holds swaths" in adiabat("verify", next(pixels.rglob("*.nc")), "no2.cp.zarr", status=2).stderr
