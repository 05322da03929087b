"""`adiabat compare`, as it is typed: what it prints, writes, refuses; and beside score.py's rules on real data."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest
import typer
import xarray as xr

from adiabat.formats import cli_compare
from adiabat.formats.errors import RequestError

pytest.importorskip("netCDF4")
PLAIN = ("--peers", "bitround+zstd,linear+zstd")


@pytest.fixture
def adiabat(tmp_path, monkeypatch, capsys):
    """Run the command as typed, in this process; return what it printed, and on the error stream."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(cli_compare.compare)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["adiabat compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            app()
        assert not stopped.value.code
        return capsys.readouterr()

    return run


@pytest.fixture
def field(tmp_path):
    y, x = np.meshgrid(np.linspace(0, 7, 40), np.linspace(0, 9, 60), indexing="ij")
    values = np.stack([280 + 9 * np.sin(y + k / 9) * np.cos(x) for k in range(4)]).astype("f4")
    dims = ("time", "lat", "lon")
    dataset = xr.Dataset({"count": (dims, values.astype("i4")), "blob": (dims, values, {"units": "K"})})
    dataset["msl"] = (dims, 100 * values + 7e4, {"units": "Pa"})
    dataset.to_netcdf(tmp_path / "a.nc")
    return values


def test_table_files_and_advice(adiabat, field, tmp_path):
    pytest.importorskip("matplotlib")
    outputs = ("--json", "a.json", "--csv", "a.csv", "--plot", "a.png")
    said = adiabat("a.nc", "--bound", "abs:0.1", "--bound", "rel:0.001", *PLAIN, *outputs)
    assert "blob is compared: --variable chooses another" in said.err
    assert "abs:0.1 K: equal largest error" in said.out
    assert "adiabat's best ratio over the best peer's:" in said.out
    assert "Which one? Use " in said.out
    read = json.loads((tmp_path / "a.json").read_text())
    assert (read["name"], read["units"], read["shape"]) == ("blob", "K", [4, 40, 60])
    rows = {(row["codec"], row["asked"]): row for row in read["rows"]}
    assert len(rows) == 6
    assert all(row["kept"] for row in rows.values())
    assert f"{rows['pyramid', 'abs:0.1']['ratio']:.1f}" in said.out
    with open(tmp_path / "a.csv") as lines:
        assert [row["codec"] for row in csv.DictReader(lines)] == [row["codec"] for row in read["rows"]]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_bounds_that_nobody_gave(adiabat, field):
    said = adiabat("a.nc", "--variable", "msl", *PLAIN)
    assert "as is recommended for it" in said.err
    said = adiabat("a.nc", "--variable", "blob", "--select", "time=0", *PLAIN)
    assert "bounds of about 1, 0.1 and 0.01 % of the range" in said.err
    assert said.out.count("equal largest error") == 3


def test_peers_that_are_missing_are_said(adiabat, field, monkeypatch):
    from adiabat.formats import compare

    monkeypatch.setattr(compare, "absent", lambda: {"ebcc": "ebcc needs x: pip install x"})
    monkeypatch.setattr(compare, "available", lambda: {})
    said = adiabat("a.nc", "--bound", "abs:0.1")
    assert "not compared: ebcc needs x: pip install x" in said.out
    assert "Use adiabat (pyramid) at abs:0.1: nothing else kept what was asked." in said.out


def test_a_sample_is_taken_and_said(adiabat, tmp_path, monkeypatch):
    from adiabat.formats import compare_field

    monkeypatch.setattr(compare_field.sampled, "__defaults__", (2400,))
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((9, 40, 60)).astype("f4"))
    said = adiabat("a.npy", "--bound", "abs:0.1", *PLAIN)
    assert "a sample, axis_0=4:5, 2,400 of 21,600 values: --all takes all of them" in said.err
    assert "a sample" not in adiabat("a.npy", "--all", "--bound", "abs:0.1", *PLAIN).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.nc", "--bound", "0.1"), "'0.1' is not a bound"),
        (("a.nc", "--variable", "v"), "there is no variable 'v'"),
        (("a.nc", "--peers", "nobody"), "there is no peer 'nobody'"),
        (("a.nc", "--json", "no/where.json"), "there is no folder no to write where.json into"),
        (("a.nc", "--climatebenchpress", "--rmse"), "has its own bounds"),
        (("b.nc",), "does not exist"),
    ],
)
def test_requests_that_make_no_sense(adiabat, field, arguments, message):
    with pytest.raises(RequestError, match=message):
        adiabat(*arguments)


def test_climatebenchpress(adiabat, field, tmp_path):
    said = adiabat("a.nc", "--climatebenchpress", *PLAIN, "--json", "s.json", "--csv", "s.csv")
    assert "a.nc: msl, 4 x 40 x 60" in said.out
    assert "mean_sea_level_pressure of era5-tiny" in said.out
    rows = json.loads((tmp_path / "s.json").read_text())
    assert {row["variable"] for row in rows} == {"msl"}
    assert sorted({row["asked"] for row in rows}) == ["abs:1.46686", "abs:6.03827", "abs:7.93513"]
    assert all(row["satisfies_bound"] for row in rows)
    assert {row["codec"] for row in rows} == {"pyramid", "hyperprior", "vq", "bitround+zstd", "linear+zstd"}
    with open(tmp_path / "s.csv") as lines:
        assert len(list(csv.DictReader(lines))) == len(rows) == 15
    said = adiabat("a.nc", "--climatebenchpress", "--variable", "blob", *PLAIN)
    assert "0.01, 0.1 and 1 % of the range" in said.out


def test_as_score_has_it_on_real_data(adiabat, data, tmp_path):
    """Best of the layouts of score.py's three peers, and Pyramid's ratio, computed here by themselves."""
    imagecodecs, sz = pytest.importorskip("imagecodecs"), pytest.importorskip("pysz")
    from adiabat.codec import Pyramid

    file = data / "era5" / "tl31_37levels_1959-01-02.nc"
    with xr.open_dataset(file, decode_times=False) as dataset:
        x = np.ascontiguousarray(dataset["temperature"].values.squeeze()[..., :8, :, :], np.float32)
    part = ("--variable", "temperature", "--select", "level=0:8")
    adiabat(file, *part, "--bound", "abs:0.5", "--peers", "sz3,jpegxl", "--json", "s.json")
    rows = {row["codec"]: row for row in json.loads((tmp_path / "s.json").read_text())["rows"]}
    assert rows["pyramid"]["size"] == len(Pyramid(bound={"abs": 0.5}).encode(x))
    volume = x.reshape(-1, *x.shape[-2:])
    config = sz.szConfig()
    config.errorBoundMode, config.absErrorBound, config.openmp = sz.szErrorBoundMode.ABS, 0.5, False
    whole = sz.sz.compress(volume, config)[0].nbytes
    frames = sum(sz.sz.compress(np.ascontiguousarray(frame), config)[0].nbytes for frame in volume)
    assert rows["sz3"]["size"] == min(whole, frames)
    assert rows["sz3"]["layout"] == ("volume" if whole < frames else "frames")

    def image(values):
        low, step = float(values.min()), 2 * (0.5 - float(np.spacing(np.abs(values).max())))
        index = np.rint((values.astype("f8") - low) / step).astype(np.uint16)
        return 16 + len(imagecodecs.jpegxl_encode(index, lossless=True, effort=7))

    assert rows["jpegxl"]["size"] == min(image(volume.reshape(-1, volume.shape[-1])), sum(map(image, volume)))
