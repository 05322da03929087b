"""Global fields as strips, views of them, and a short training run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("ducc0")

from adiabat.codec import hyperprior_model
from adiabat.codec.faces import centres, from_faces
from adiabat.codec.healpix_strips import to_strips
from adiabat.training import healpix_data
from adiabat.training.data import Fields
from adiabat.training.subband_train import SubbandConfig

EASTWARD = np.arange(128) * 2.8125
GAUSSIAN = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))


def harmonic(latitude, longitude):
    """Of low degree, so that any grid resolves it."""
    y, x = np.radians(latitude), np.radians(longitude)
    return 5 * np.sin(y) + 3 * np.cos(y) * np.cos(x - 0.3) + 280


def field(latitude, longitude, name="a/t"):
    values = harmonic(latitude[:, None], longitude[None])
    return Fields(name, np.stack([values, values + 1])[:, None].astype("f4"))


@pytest.mark.parametrize("latitude", [GAUSSIAN, GAUSSIAN[::-1], np.linspace(-90, 90, 64), np.linspace(90, -90, 64)])
@pytest.mark.parametrize("longitude", [EASTWARD, EASTWARD - 180])
def test_global_fields_become_strips(latitude, longitude):
    made = healpix_data.as_strips(field(latitude, longitude), (latitude, longitude))
    expected = to_strips(from_faces(harmonic(*centres(32))))
    assert made.values.shape == (2, 4, 96, 32)
    assert np.abs(made.values[0] - expected).max() < 1e-3
    assert np.abs(made.values[1] - expected - 1).max() < 1e-3


def test_other_fields_are_left_alone():
    whole = field(GAUSSIAN, EASTWARD)
    assert healpix_data.as_strips(whole, None) is None
    assert healpix_data.as_strips(whole, (GAUSSIAN / 2, EASTWARD)) is None
    assert healpix_data.as_strips(whole, (GAUSSIAN, EASTWARD[:64])) is None
    whole.values[0, 0, 5, 5] = np.nan
    assert len(healpix_data.as_strips(whole, (GAUSSIAN, EASTWARD)).values) == 1
    strips, others = healpix_data.split([whole, Fields("b/t", whole.values)], {"a/t": (GAUSSIAN, EASTWARD)})
    assert [each.name for each in strips] == ["a/t/nside 32"]
    assert [each.name for each in others] == ["b/t"]


def test_views_are_whole_spheres_or_windows(monkeypatch):
    monkeypatch.setattr(healpix_data, "LARGE", 32)
    strips, others = healpix_data.split(
        [field(GAUSSIAN, EASTWARD), field(GAUSSIAN, EASTWARD, "b/t")], {"a/t": (GAUSSIAN, EASTWARD)}
    )
    views = healpix_data.strip_views(strips, others, np.random.default_rng(0))
    shapes = set()
    for view in itertools.islice(views, 40):
        shapes.add(view.analysis.field.shape)
        assert abs(view.analysis.field.mean()) < 1e-9
        assert view.analysis.field.std() == pytest.approx(view.spread)
        assert not view.analysis.wrap
    assert (4, 96, 32) in shapes
    assert len(shapes) > 3


def test_a_short_run_writes_a_package(tmp_path):
    xr, rng = pytest.importorskip("xarray"), np.random.default_rng(0)
    noise = np.cumsum(np.cumsum(rng.standard_normal((2, 64, 128)), 1), 2)
    coordinates = {"lat": GAUSSIAN, "lon": EASTWARD}
    xr.Dataset({"t": (("time", "lat", "lon"), noise.astype("f4"))}, coordinates).to_netcdf(tmp_path / "a.nc")
    config, said = SubbandConfig(rounds=(0.5, 0.5), views=4, steps=20, batch=64), []
    sha = healpix_data.train(tmp_path / "h.zip", [tmp_path], config, progress=said.append)
    model = hyperprior_model.load((tmp_path / "h.zip").read_bytes())
    assert model.sha256 == sha
    assert model.manifest["name"] == "hyperprior_healpix"
    assert model.manifest["variables"] == ["a/t/nside 32"]
    assert said[0].startswith("1 global variables as strips, 0 of them large")
    with pytest.raises(ValueError, match="expected"):
        healpix_data.train(tmp_path / "none.zip", [tmp_path], config, leave_out=["a.nc"])


def test_the_shipped_model_is_found_by_its_name():
    model = hyperprior_model.find_hyperprior("hyperprior_healpix")
    assert model.manifest["name"] == "hyperprior_healpix"
    assert any(name.endswith("/nside 256") for name in model.manifest["variables"])
    assert model.sha256 != hyperprior_model.find_hyperprior().sha256
