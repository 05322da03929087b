"""The command, as it is typed: what it prints, refuses and returns."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.formats.cli import main
from adiabat.formats.demo import simulate_field

COMMAND = [str(Path(sys.executable).with_name("adiabat"))]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.nc"
    dataset = simulate_field((3, 37, 72))
    dataset["flag"] = (("lat", "lon"), np.ones((37, 72), "i1"))
    dataset.to_netcdf(path)
    return path


@pytest.fixture
def adiabat(tmp_path):
    def run(*arguments, status=0):
        command = [*COMMAND, *map(str, arguments)]
        environment = {**os.environ, "ADIABAT_CACHE": str(tmp_path / "cache")}
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment)
        assert ran.returncode == status, ran.stderr + ran.stdout
        assert "Traceback" not in ran.stderr
        return ran

    return run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """The command in this process, which spares its start: what it says on standard error when it ends with 2."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["adiabat", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return run


def test_version(adiabat):
    assert adiabat("--version").stdout.startswith("adiabat 0.")


def test_help_names_every_verb(adiabat):
    text = adiabat("--help").stdout
    assert all(verb in text for verb in ("demo", "compress", "verify", "inspect"))


def test_compress_verify_inspect(adiabat, source, tmp_path, python):
    ran = adiabat("compress", source, "out.zarr", "--bound", "temperature=abs:0.1", "--chunk", "time=2")
    assert "temperature" in ran.stdout
    assert "abs:0.1" in ran.stdout
    read = "import sys, xarray as xr; print(abs(xr.open_zarr(sys.argv[1]).temperature.values[:2]).max())"
    assert python(read, tmp_path / "out.zarr").returncode == 0
    checked = adiabat("verify", source, "out.zarr").stdout
    assert "temperature" in checked
    assert "ok" in checked
    inspected = adiabat("inspect", "out.zarr").stdout
    assert "adiabat.pyramid" in inspected
    assert "2 chunks described, 2 files in all" in inspected
    assert "payload" in inspected


def test_static_tune_and_volumes_from_end_to_end(adiabat, tmp_path):
    """Orography of another convention, on the command line, into the store, and to a reader elsewhere."""
    source, dataset = tmp_path / "large.nc", simulate_field((4, 91, 180))
    dataset.to_netcdf(source)
    ground = dataset.temperature[0].drop_vars("time").assign_coords(lon=(dataset.lon + 180) % 360 - 180)
    ground[::-1].sortby("lon").to_dataset(name="z").to_netcdf(tmp_path / "oro.nc")
    options = ["--bound", "temperature=abs:0.1", "--tune", "rmse", "--static", "oro.nc:z"]
    ran = adiabat("compress", source, "out.zarr", *options)
    assert "static field oro.nc:z is on the grid of temperature" in ran.stderr
    assert "4x91x180" in ran.stdout
    assert re.search("static field oro.nc:z helps (temperature|none of them: it explains nothing)", ran.stdout)
    assert "ok" in adiabat("verify", source, "out.zarr").stdout
    inspected = adiabat("inspect", "out.zarr").stdout
    assert re.search(r"frames +along time from up to [248] others, in 1 of 1 chunks", inspected)
    assert re.search(r"static +[0-9a-f]{64} \(oro.nc:z\) helps in [01] of 1 chunks", inspected)
    assert "tune      rmse, finer steps in 1 of 1 chunks" in inspected
    added = adiabat("models", "add", "out.zarr").stdout.strip()
    assert Path(added).parent == tmp_path / "cache"
    assert "static field" in adiabat("models", "list").stdout
    assert "got none: nothing to add" in adiabat("models", "add", "out.zarr/temperature", status=1).stderr


def test_command_is_in_the_history(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--default-bound", "rel:0.001")
    with xr.open_zarr(tmp_path / "out.zarr", chunks=None) as here:
        assert "adiabat compress" in here.attrs["history"]
        assert "--default-bound rel:0.001" in here.attrs["history"]


def test_no_bound_is_lossless_and_said_aloud(adiabat, source, tmp_path):
    ran = adiabat("compress", source, "out.zarr")
    assert "kept lossless, for want of a bound: temperature" in ran.stderr
    with xr.open_dataset(source) as there, xr.open_zarr(tmp_path / "out.zarr", chunks=None) as here:
        np.testing.assert_array_equal(here.temperature.values, there.temperature.values)


def test_verify_names_the_worst_place(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--bound", "temperature=abs:0.1")
    array = zarr.open_array(tmp_path / "out.zarr" / "temperature", mode="r+")
    # A store that promises more than it holds.
    array[1, 20, 30] = array[1, 20, 30] + 5
    ran = adiabat("verify", source, "out.zarr", status=1)
    assert re.search(r"temperature: \d+ of 7992 values break the bound", ran.stderr)
    assert "[time=1, lat=20, lon=30]" in ran.stderr
    assert "lat -10.0, lon 150.0" in ran.stderr
    assert "BROKEN" in ran.stdout


@pytest.mark.parametrize("variable", ["lat", "flag"])
def test_verify_catches_a_changed_coordinate_or_integer(adiabat, source, tmp_path, variable):
    adiabat("compress", source, "out.zarr", "--bound", "temperature=abs:0.1")
    array = zarr.open_array(tmp_path / "out.zarr" / variable, mode="r+")
    array[0] = 7
    assert f"{variable}: " in adiabat("verify", source, "out.zarr", status=1).stderr


def test_verify_catches_a_missing_variable(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--bound", "temperature=abs:0.1")
    with xr.open_dataset(source) as dataset:
        dataset.assign(other=dataset.temperature * 2).to_netcdf(tmp_path / "more.nc")
    assert "other: is missing" in adiabat("verify", "more.nc", "out.zarr", status=1).stderr


REFUSED = [
    (["--bound", "temp=abs:0.1"], "there is no variable 'temp'; bounds can be given for: temperature"),
    (["--bound", "temperature=0.1"], "'0.1' is not a bound: write abs:0.1"),
    (["--bound", "abs:0.1"], "'abs:0.1' does not name a variable"),
    (["--default-bound", "abs:-1"], "'abs:-1' is not a bound"),
    (["--bound", "lat=abs:1"], "lat is a coordinate, and coordinates are kept exactly"),
    (["--bound", "flag=abs:1"], "flag holds int8, not floats"),
    (["--chunk", "time"], "'time' is not a chunk length: write --chunk time=24"),
    (["--chunk", "level=2"], "there is no dimension 'level' to chunk; the dimensions: time, lat, lon"),
    (["--group", "PRODUCT"], "cannot be read"),
    (["--tune", "best"], "'best' is not a way to tune: write --tune bytes or --tune rmse"),
    (["--static", "none.nc"], "none.nc does not exist"),
    (["--static", "source.nc:temperature"], "to name numbers on two axes, got float32 on axes 3 x 37 x 72"),
    (["--static", "source.nc:oro"], "there is no variable 'oro' in source.nc; it holds: temperature, flag"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_wrong_request_gets_one_sentence(refused, source, tmp_path, options, message):
    said = refused("compress", source, "out.zarr", *options)
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out.zarr").exists()


def test_files_that_are_not_there_or_not_data(adiabat, refused, source, tmp_path):
    assert "none.nc does not exist" in adiabat("compress", "none.nc", "out.zarr", status=2).stderr
    (tmp_path / "text.nc").write_text("hello")
    assert "neither NetCDF, GRIB nor Zarr" in refused("compress", "text.nc", "out.zarr")
    (tmp_path / "cut.nc").write_bytes(source.read_bytes()[:4000])
    assert "cut.nc cannot be read" in refused("compress", "cut.nc", "out.zarr")
    assert "is not a Zarr store" in refused("inspect", "text.nc")
    assert "there is no folder" in refused("compress", source, "a/b/out.zarr")
    assert "are the same" in refused("compress", source, source, "--overwrite")


def test_an_existing_store_is_kept_unless_told(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--default-bound", "abs:1")
    ran = adiabat("compress", source, "out.zarr", "--default-bound", "abs:0.1", status=2)
    assert "exists already; --overwrite replaces it" in ran.stderr
    adiabat("compress", source, "out.zarr", "--default-bound", "abs:0.1", "--overwrite")
    note = json.loads((tmp_path / "out.zarr" / "temperature" / "zarr.json").read_text())["attributes"]["adiabat"]
    assert json.loads(note)["bound"] == {"abs": 0.1}


def test_a_damaged_store_fails_in_one_sentence(adiabat, source, tmp_path):
    adiabat("compress", source, "out.zarr", "--bound", "temperature=abs:0.1")
    chunk = next(file for file in (tmp_path / "out.zarr" / "temperature" / "c").rglob("*") if file.is_file())
    data = chunk.read_bytes()
    chunk.write_bytes(data[: len(data) // 2])
    ran = adiabat("verify", source, "out.zarr", status=1)
    assert len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_keeps_what_is_done(adiabat, tmp_path, number):
    folder = tmp_path / "sub"
    folder.mkdir()
    dataset = simulate_field((2, 181, 360))
    many = xr.concat([dataset.assign_coords(time=dataset.time + 2 * i) for i in range(24)], "time")
    many.to_netcdf(tmp_path / "long.nc")
    arguments = ["compress", "long.nc", "sub/out.zarr", "--default-bound", "abs:0.01", "--chunk", "time=4"]
    with subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not list(folder.glob("out.zarr.partial/journal/*/*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(running.pid, number)
        _, message = running.communicate(timeout=60)
    assert running.returncode == 130, message
    assert re.search(r"stopped; \d+ of \d+ blocks are done; the same command goes on from there", message)
    assert "Traceback" not in message
    assert [path.name for path in folder.iterdir()] == ["out.zarr.partial"]
    assert "nobody is writing it now" in adiabat("status", "sub/out.zarr").stdout
    adiabat(*arguments)
    assert [path.name for path in folder.iterdir()] == ["out.zarr"]
    adiabat("verify", "long.nc", "sub/out.zarr")
