"""Training in a few steps: repeatable, resumable, and what torch computes is what the codec runs."""

from __future__ import annotations

import dataclasses
import hashlib
import logging

import numpy as np
import pytest

from adiabat.codec import Pyramid, entropy, lattice, models
from adiabat.codec.integer_net import INPUT_ZERO, numpy_runner, onnx_runner

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from adiabat.training import data, export, samples, tables, train  # noqa: E402
from adiabat.training import pyramid as network  # noqa: E402

SMALL = train.Config(steps=16, views=4, keep=200, batch=64, hidden={"coarse": 8, "fine": 8}, rounds=(0.3, 0.3, 0.4))
NETS = models.NETS


def simulated(seed=0, shape=(3, 40, 56)):
    rng = np.random.default_rng(seed)
    field = np.cumsum(np.cumsum(rng.normal(size=shape), 1), 2) / 20 + rng.normal(size=shape) * 0.05
    return field.astype("f4")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with_holes = simulated(1)
    with_holes[:, :9, :9] = np.nan
    np.save(folder / "a.npy", simulated())
    np.savez(folder / "b.npz", holes=with_holes, small=np.zeros((3, 3), "f4"))
    return folder


def run(target, folder, config=SMALL, **options):
    return train.train_to(target, [folder], config, progress=lambda text: None, **options)


def test_same_command_same_hash_and_it_codes(folder, tmp_path):
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    sha256 = run(first, folder)
    assert sha256 == hashlib.sha256(first.read_bytes()).hexdigest() == run(second, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "first.zip", "second.zip"], (
        "nothing is left over"
    )
    model = models.find_model(first)
    assert model.manifest["variables"] == ["a", "b/holes"]
    assert model.manifest["recipe"]["steps"] == 16
    assert str(tmp_path) not in str(model.manifest)
    for field in simulated(5):
        codec = Pyramid(bound={"abs": 0.05}, model=str(first))
        assert np.abs(codec.decode(codec.encode(field)) - field).max() <= 0.05
    assert run(tmp_path / "third.zip", folder, dataclasses.replace(SMALL, seed=1)) != sha256


def test_what_is_left_out(folder, tmp_path):
    run(tmp_path / "out.zip", folder, leave_out=["b.npz"])
    manifest = models.find_model(tmp_path / "out.zip").manifest
    assert (manifest["variables"], manifest["left_out"]) == (["a"], ["b.npz"])


class Stopped(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_hash(folder, tmp_path, monkeypatch, rounds):
    whole = run(tmp_path / "whole.zip", folder)
    target, save = tmp_path / "stopped.zip", train.Trainer._save

    def stop(self, *arguments):
        save(self, *arguments)
        if arguments[0] == rounds:
            raise Stopped

    monkeypatch.setattr(train.Trainer, "_save", stop)
    with pytest.raises(Stopped):
        run(target, folder)
    monkeypatch.setattr(train.Trainer, "_save", save)
    assert not target.exists()
    said = []
    assert train.train_to(target, [folder], SMALL, progress=said.append) == whole
    assert any(f"going on after round {rounds - 1}" in line for line in said)
    assert not list(tmp_path.glob("stopped.zip.*"))


def test_a_checkpoint_of_another_recipe_is_refused(folder, tmp_path, monkeypatch):
    def stop(self, *arguments):
        save(self, *arguments)
        raise Stopped

    save = train.Trainer._save
    monkeypatch.setattr(train.Trainer, "_save", stop)
    with pytest.raises(Stopped):
        run(tmp_path / "out.zip", folder)
    with pytest.raises(ValueError, match="another recipe or data"):
        run(tmp_path / "out.zip", folder, dataclasses.replace(SMALL, rate=1e-3))
    with pytest.raises(ValueError, match="another recipe or data"):
        run(tmp_path / "out.zip", folder, leave_out=["b.npz"])


@pytest.mark.parametrize("options", [{"steps": 9}, {"views": 3}, {"threads": 0}])
def test_config_is_validated(options):
    with pytest.raises(ValueError, match="expected steps >= 10"):
        train.Config(**options)


@pytest.mark.parametrize("number", range(6))
def test_torch_is_the_integers_is_onnx(number):
    rule = lattice.PASSES[number % 3]
    torch.manual_seed(number)
    net = network.PyramidNet(rule.stencil, rule.inputs, 24)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.randn_like(parameter) * 0.3
    inputs = np.random.default_rng(0).integers(0, 256, (500, rule.inputs)).astype(np.uint8)
    made = net.integers()
    assert made.linear.dtype == np.int16
    expected = numpy_runner(made.layers)(inputs)
    assert (onnx_runner(export.graph(made.layers))(inputs) == expected).all()
    forward = net(torch.from_numpy(inputs).float()).detach().numpy()
    assert (forward == expected >> 6).all()


def test_gradients_reach_every_weight(folder):
    fields = data.load([folder])
    model = models.find_model()
    rng = np.random.default_rng(0)
    recorder = samples.record(model, fields[0].frames[:1], bounds=(-2, -1), keep=100, rng=rng)
    name, sample = recorder.samples[-1]
    rule = lattice.PASSES[2]
    assert name == "B-fine"
    assert {key: value.shape for key, value in sample.items()} == {
        "inputs": (100, rule.inputs), "differences": (100, rule.stencil),
        "target": (100,), "ratio": (100,), "octave": (100,), "weight": (100,),
    }  # fmt: skip
    net = network.PyramidNet(rule.stencil, rule.inputs, 8)
    batch = network.Batch(**{key: torch.from_numpy(value).float() for key, value in sample.items()})
    network.loss(net, batch).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    assert net.linear.grad.abs().max() > 0


def test_samples_are_what_the_codec_computes(folder):
    model = models.find_model()
    fields = data.load([folder])
    rng = np.random.default_rng(1)
    for view, _ in zip(data.views(fields, rng), range(4), strict=False):
        recorder = samples.record(model, view, bounds=(-2, -1), keep=50, rng=rng)
        assert recorder.values == np.isfinite(view).sum()
        assert recorder.bits(model.frequencies) > 0
        for name, sample in recorder.samples:
            stencil = lattice.PASSES["DAB".index(name[0])].stencil
            seen = sample["inputs"][:, :stencil].astype(float) - INPUT_ZERO
            expected = np.clip(sample["differences"].astype(float) * 32, -127, 127)
            assert np.abs(seen - expected).max() <= 2


def test_code_lengths_are_probabilities():
    q = torch.arange(-3000, 3001, dtype=torch.float64)
    for b in (0.03, 0.3, 1.0, 20.0):
        for p in network.probabilities(q, torch.full_like(q, b)):
            assert (p >= 0).all()
            assert float(p.sum()) == pytest.approx(1, abs=1e-6)


def test_tables():
    for probability in (tables.parametric(), tables.counted(np.zeros((entropy.TABLES, entropy.ALPHABET)))):
        entropy.Tables(tables.to_frequencies(probability))
    counts = np.zeros((entropy.TABLES, entropy.ALPHABET))
    counts[:, 3] = 1e9
    counted = tables.counted(counts)
    assert counted[:, 3] == pytest.approx(0.5, abs=1e-3), "symmetric"
    assert counted[:, entropy.ESCAPE - 1 - 3] == pytest.approx(0.5, abs=1e-3)


def test_export_refuses_what_is_not_exact():
    layers = list(models.find_model().nets[0].layers)
    layers[0] = dataclasses.replace(layers[0], weight=np.full_like(layers[0].weight, 127))
    with pytest.raises(ValueError, match="two products may reach"):
        export.graph(tuple(layers))


def test_package_is_reproducible():
    model = models.find_model()
    nets = {
        name: export.IntegerNet(net.layers, net.linear.astype(np.int16))
        for name, net in zip(NETS, model.nets, strict=True)
    }
    package = export.package(nets, model.frequencies, {"name": "copy"})
    assert package == export.package(nets, model.frequencies, {"name": "copy"})
    again = models.load(package)
    assert (again.frequencies == model.frequencies).all()
    assert all((a.linear == b.linear).all() for a, b in zip(again.nets, model.nets, strict=True))


def test_odd_files(tmp_path, caplog):
    np.save(tmp_path / "one.npy", np.zeros(900, "f4"))
    np.save(tmp_path / "small.npy", simulated(shape=(2, 23, 60)))
    np.save(tmp_path / "whole.npy", np.ones((40, 40), int))
    np.save(tmp_path / "constant.npy", np.ones((40, 40), "f4"))
    np.save(tmp_path / "missing.npy", np.full((40, 40), np.nan))
    np.save(tmp_path / "fill.npy", np.where(simulated(shape=(1, 30, 30)) > 0, simulated(shape=(1, 30, 30)), 1e20))
    np.save(tmp_path / "wide.npy", simulated(shape=(1, 30, 30)).astype("f8") * 1e200)
    np.save(tmp_path / "many.npy", simulated(shape=(5, 25, 24, 30)).astype(">f8"))
    (tmp_path / "broken.nc").write_bytes(b"CDF no more")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    (tmp_path / "readme.txt").write_text("nothing")
    with caplog.at_level(logging.WARNING):
        fields = {each.name: each.frames for each in data.load([tmp_path])}
    assert "broken.nc" in caplog.text
    assert "broken.npy" in caplog.text
    assert set(fields) <= {"many", "fill"}
    assert fields["many"].dtype == np.float32
    assert len(fields["many"]) <= data.MAX_FRAMES
    with pytest.raises(ValueError, match="expected gridded float variables"):
        data.load([tmp_path], leave_out=[".npy", ".nc"])


def test_netcdf_variables(tmp_path):
    pytest.importorskip("netCDF4")
    import xarray as xr

    field = (("time", "y", "x"), simulated())
    xr.Dataset({"t": field, "u": field, "n": (("y", "x"), np.ones((40, 56), int))}).to_netcdf(tmp_path / "a.nc")
    assert [each.name for each in data.load([tmp_path])] == ["a/t", "a/u"]


def test_views(folder):
    rng = np.random.default_rng(0)
    shapes = set()
    for view, _ in zip(data.views(data.load([folder]), rng), range(40), strict=False):
        assert view.dtype == np.float32
        assert view.ndim == 3
        assert view.flags.c_contiguous
        shapes.add(view.shape[1:])
    assert {(40, 56), (56, 40)} <= shapes
