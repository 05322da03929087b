"""Targets in place of bounds, from the command line to the store and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from latent_cases import rmse, smooth

from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.policy import format_bound, is_target, parse_bound


@pytest.fixture
def source(tmp_path):
    lat, lon = np.linspace(90, -90, 61), np.arange(120) * 3.0
    stack = np.stack([smooth((61, 120), seed=seed) for seed in range(3)])
    fields = {name: (("time", "lat", "lon"), stack + k) for k, name in enumerate("tuw")}
    path = tmp_path / "source.nc"
    xr.Dataset(fields, {"lat": lat, "lon": lon, "time": [0, 1, 2]}).to_netcdf(path)
    return path


@pytest.fixture
def adiabat(tmp_path):
    def run(*arguments, status=0):
        command = [str(Path(sys.executable).with_name("adiabat")), *map(str, arguments)]
        environment = {**os.environ, "ADIABAT_CACHE": str(tmp_path / "cache")}
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment)
        assert ran.returncode == status, ran.stderr + ran.stdout
        return ran.stdout + ran.stderr

    return run


def test_compress_verify_inspect(adiabat, source, tmp_path):
    said = adiabat(
        "compress", source, "out.zarr", "--bound", "t=rmse:0.2", "--bound", "u=ratio:40", "--bound", "w=abs:0.1"
    )
    assert "rmse:0.2" in said
    with xr.open_zarr(tmp_path / "out.zarr") as store, xr.open_dataset(source) as original:
        assert rmse(original.t, store.t) <= 0.2
        assert np.abs(store.w - original.w).max() <= 0.1
        assert json.loads(store.t.attrs["adiabat"])["codec"] == "adiabat.hyperprior"
    checked = adiabat("verify", source, "out.zarr")
    assert checked.count("ok") == 3
    shown = adiabat("inspect", "out.zarr")
    assert "adiabat.hyperprior" in shown
    assert "none: a target was asked for" in shown
    assert "ratio:40" in shown


def test_a_store_that_misses_its_error_is_seen(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--default-bound", "rmse:0.3")
    with xr.open_dataset(source) as original:
        changed = original.load().assign(t=original.t + 1)
    changed.to_netcdf(tmp_path / "changed.nc")
    assert "has an RMSE of" in adiabat("verify", tmp_path / "changed.nc", "out.zarr", status=1)


@pytest.mark.parametrize("text", ["rmse:0", "rmse:x", "ratio:-3", "mae:1"])
def test_what_is_no_target_is_named(adiabat, source, text):
    assert "is not a bound" in adiabat("compress", source, "out.zarr", "--default-bound", text, status=2)


def test_what_is_no_codec_is_named(adiabat, source):
    said = adiabat("compress", source, "out.zarr", "--default-bound", "rmse:1", "--codec", "jpeg", status=2)
    assert "is not a codec" in said


def test_targets_are_read_and_written():
    assert parse_bound("rmse:0.5") == {"rmse": 0.5}
    assert format_bound(parse_bound("ratio:300")) == "ratio:300"
    assert is_target({"ratio": 3}), is_target("lossless") is False


def test_a_summary_measures_an_rmse():
    summary = ErrorSummary({"rmse": 2.0})
    summary.add(np.zeros((2, 3)), np.full((2, 3), 3.0))
    assert summary.used == pytest.approx(1.5)
    assert summary.violations == 0
