"""The ablation: rows are added and not repeated, the table interpolates, JPEG 2000 stands beside."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from adiabat.training import ablation, ablation_judge, ablation_table
from adiabat.training.data import Fields
from adiabat.training.stream_data import Orographies

GRID = (np.linspace(-90, 90, 64), np.arange(128) * 2.8125)


def simulated(name, seed):
    rng = np.random.default_rng(seed)
    noise = np.cumsum(np.cumsum(rng.standard_normal((1, 1, 64, 128)), 2), 3)
    return Fields(name, (noise / noise.std()).astype(np.float32))


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(ablation, "SHORT", replace(ablation.SHORT, width=4, steps=4, batch=1, crop=32, levels=2))
    monkeypatch.setattr(ablation, "FULL", replace(ablation.SHORT, width=6))
    monkeypatch.setattr(
        ablation, "SHORT_SUBBAND", replace(ablation.SHORT_SUBBAND, rounds=(0.5, 0.5), views=4, steps=20, batch=64)
    )
    monkeypatch.setattr(ablation, "VIEWS", 2)
    monkeypatch.setattr(ablation, "STEPS", (0.05, 0.5))


def test_rows_are_unique_and_begin_with_the_first_seed():
    todo = ablation.rows(ablation.ROW_KINDS, [0, 1])
    assert len({(row.name, row.seed) for row in todo}) == len(todo) == 22
    assert [row.seed for row in todo] == [0] * 11 + [1] * 11
    assert [row.name for row in todo[:6]] == list(ablation.ROW_KINDS)
    assert {row.name for row in todo[6:9]} == {"vqvae+film", "hyperprior+film", "hyperprior-context"}
    assert {row.name for row in todo[9:11]} == {"vqvae+healpix", "subband+healpix"}
    full = ablation.rows(ablation.ROW_KINDS, [1, 2], full=True)
    assert [(row.name, row.seed) for row in full] == [("vqvae, full", 1), ("hyperprior, full", 1)]
    assert {"healpix", "full"} & ablation.Row("fsq").entry().keys() == set()
    assert ablation.Row("fsq", full=True).entry()["full"]


def test_the_reduced_configuration_is_small():
    from adiabat.training.latent_train import build
    from adiabat.training.layers import count_weights

    for row in ablation.rows(ablation.KINDS, [0]):
        assert count_weights(build(row.config())) <= 300_000


def material(healpix):
    fields = [simulated("a/T", 0), simulated("a/PHIS", 1)]
    orography = Orographies.among(fields)
    axes = dict.fromkeys(("a/T", "a/PHIS", "b/T"), GRID) if healpix else {}
    return ablation.Material(fields, ablation.held_out([simulated("b/T", 2)], orography, axes), orography, axes)


ROWS = [
    ablation.Row("fsq", film=True),
    ablation.Row("hyperprior"),
    ablation.Row("vqvae", healpix=True),
    ablation.Row("subband"),
    ablation.Row("subband", healpix=True),
    ablation.Row("vqvae", full=True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_run_once(row, short, tmp_path):
    if row.healpix:
        pytest.importorskip("ducc0")
    given = material(row.healpix)
    (test,) = given.tests
    assert test.static[0].any()
    assert test.wrap
    said = []
    options = {"work": tmp_path / "work", "minutes": 1.0, "say": said.append}
    log = ablation.add_rows(tmp_path / "log.json", [row], given, **options)
    assert json.loads((tmp_path / "log.json").read_text()) == log
    (made,) = log["rows"]
    assert made["bytes"] == ("estimated" if row.kind == "hyperprior" else "real")
    assert made.get("healpix", False) is row.healpix
    for how in ("plain", "refined"):
        (fine, small), *_, (coarse, large) = made["points"]["b/T"][how]
        assert fine < coarse
        assert small < large
        assert small > 0.9 * log.get("regridding", {"b/T": 0})["b/T"]
    assert made["points"]["b/T"]["refined"][0][0] > made["points"]["b/T"]["plain"][0][0]
    before = len(said)
    assert ablation.add_rows(tmp_path / "log.json", [row], given, **options) == log
    assert len(said) == before


def test_a_held_out_field_goes_to_strips_and_back():
    pytest.importorskip("ducc0")
    smooth = np.add.outer(20 * np.sin(np.radians(GRID[0])), np.zeros(128)) + 280
    field = ablation.HeldOut("s", smooth, np.zeros((2, 64, 128), np.float32), True, GRID)
    assert field.strips.shape == (4, 96, 32)
    assert np.abs(field.back(field.strips) - smooth).max() < 1e-3
    assert field.regridding < 1e-5
    with pytest.raises(ValueError, match="known axes"):
        replace(field, axes=None).strips  # noqa: B018


def test_a_coder_knows_what_it_can_code():
    from adiabat.training.latent_train import LatentTrainer

    trainer = LatentTrainer(ablation.Row("fsq").config(), None)
    with pytest.raises(TypeError, match="codebook with its codec"):
        ablation_judge.LatentCoder(trainer, None).code(np.zeros((1, 8, 8)), None, 1.0, refined=False, wrap=False)


def test_a_point_between_two():
    points = [[100, 0.01], [400, 0.04]]
    assert ablation_table.at_ratio(points, 200) == pytest.approx(0.02)
    assert ablation_table.at_ratio(points[::-1], 100) == pytest.approx(0.01)
    assert np.isnan(ablation_table.at_ratio(points, 500))


def test_the_table_has_mean_and_spread():
    points = {"x": {"plain": [[50, 0.01], [2000, 0.4]], "refined": [[50, 0.01], [2000, 0.2]]}}
    worse = {"x": {"plain": [[50, 0.02], [2000, 0.8]], "refined": [[50, 0.02], [2000, 0.4]]}}
    rows = [{"name": "fsq", "seed": s, "bytes": "real", "points": p} for s, p in ((0, points), (1, worse))]
    lines = list(ablation_table.table({"rows": rows, "peers": {"x": [[50, 0.01], [2000, 0.3]]}}, "x"))
    assert lines[0].startswith("x: RMSE")
    assert lines[1].startswith("JPEG 2000")
    assert lines[2].startswith("fsq, plain")
    assert lines[2].count("+-") == 4
    assert lines[2].endswith("real bytes, 2 seeds")


def test_jpeg_2000_gets_worse_with_the_ratio():
    pytest.importorskip("imagecodecs")
    (test,) = ablation.held_out([simulated("b/T", 2)], Orographies({}, {}))
    points = ablation_table.jpeg2000(test.values, (20, 60))
    assert points[0][0] < points[1][0]
    assert points[0][1] < points[1][1]


def test_orientations_are_read_from_coordinates(tmp_path):
    xr = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    for name, south_first, west in (("a", False, 0.0), ("b", True, -180.0)):
        latitude = np.linspace(-90, 90, 19) * (1 if south_first else -1)
        coordinates = {"latitude": latitude, "longitude": np.arange(36) * 10.0 + west}
        xr.Dataset({"t": (("latitude", "longitude"), np.zeros((19, 36), "f4"))}, coordinates).to_netcdf(
            tmp_path / f"{name}.nc"
        )
    assert ablation_judge.orientations([tmp_path]) == {"a/t": (False, 0), "b/t": (True, 18)}
