"""Training in a few steps: repeatable, resumable, and what torch computes is what the codec runs."""

from __future__ import annotations

import dataclasses
import hashlib
import logging

import numpy as np
import pytest
from strategies import evolving

from adiabat.codec import Pyramid, entropy, lattice, models, volume
from adiabat.codec.integer_net import INPUT_ZERO, numpy_runner, onnx_runner

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from adiabat.training import data, export, samples, tables, train  # noqa: E402
from adiabat.training import pyramid as network  # noqa: E402

SMALL = train.Config(steps=16, views=4, keep=200, batch=64, hidden={"coarse": 8, "fine": 8}, rounds=(0.3, 0.3, 0.4))
NETS = models.NETS
VIEW = {"bounds": (-2, -1), "keep": 100}


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


@pytest.mark.parametrize("name", NETS)
def test_torch_is_the_integers_is_onnx(name):
    number = NETS.index(name)
    rule = lattice.PASSES[number % 3]
    width = rule.side_inputs if name in models.SIDE else rule.inputs
    torch.manual_seed(number)
    net = network.PyramidNet(rule.stencil, width, 24)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.randn_like(parameter) * 0.3
    inputs = np.random.default_rng(0).integers(0, 256, (500, width)).astype(np.uint8)
    made = net.integers()
    assert made.linear.dtype == np.int16
    expected = numpy_runner(made.layers)(inputs)
    for graph in (export.graph(made.layers), export.float_graph(made.layers)):
        assert (onnx_runner(graph)(inputs) == expected).all()
    forward = net(torch.from_numpy(inputs).float()).detach().numpy()
    assert (forward == expected >> 6).all()


@pytest.mark.parametrize("side", [False, True])
def test_gradients_reach_every_weight(side):
    view = data.View(evolving(3).astype("f4"), reach=2) if side else data.View(simulated()[:1])
    recorder = samples.record(models.find_model(), view, **VIEW, rng=np.random.default_rng(0))[-1]
    name, sample = recorder.samples[-1]
    rule = lattice.PASSES[2]
    inputs = rule.side_inputs if side else rule.inputs
    assert name == ("B-fine-side" if side else "B-fine")
    kept = len(sample["weight"])
    assert kept == (100 // 3 if side else 100)
    assert {key: value.shape for key, value in sample.items()} == {
        "inputs": (kept, inputs), "differences": (kept, rule.stencil),
        "target": (kept,), "ratio": (kept,), "octave": (kept,), "weight": (kept,),
    }  # fmt: skip
    net = network.PyramidNet(rule.stencil, inputs, 8)
    batch = network.Batch(**{key: torch.from_numpy(value).float() for key, value in sample.items()})
    network.loss(net, batch).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    assert net.linear.grad.abs().max() > 0


def test_samples_are_what_the_codec_computes(folder):
    model = models.find_model()
    np.save(folder / "c.npy", evolving().astype("f4"))
    fields = data.load([folder])
    rng, seen = np.random.default_rng(1), set()
    for view, _ in zip(data.views(fields, rng), range(12), strict=False):
        recorders = samples.record(model, view, **VIEW, rng=rng)
        assert sum(recorder.values for recorder in recorders) == np.isfinite(view.frames).sum()
        for recorder in recorders:
            assert recorder.bits(model.frequencies) > 0
            for name, sample in recorder.samples:
                seen.add(name)
                stencil = lattice.PASSES["DAB".index(name[0])].stencil
                inputs = sample["inputs"][:, :stencil].astype(float) - INPUT_ZERO
                expected = np.clip(sample["differences"].astype(float) * 32, -127, 127)
                assert np.abs(inputs - expected).max() <= 2
    assert seen == set(NETS)


@pytest.mark.parametrize("kind", ["frames", "frames with holes", "sequence", "sequence with a static field"])
def test_recording_walks_as_encoding_does(kind, monkeypatch):
    for share in ("LOSSLESS_SHARE", "TAPERED"):
        monkeypatch.setattr(samples, share, 0)
    known, put = [], volume.Frames.put

    def putting(self, group, *decoded):
        known.append((group.frames, *decoded))
        put(self, group, *decoded)

    monkeypatch.setattr(volume.Frames, "put", putting)
    model, reach = models.find_model(), 4 if kind.startswith("sequence") else 0
    frames, static, statics = evolving(9).astype("f4"), None, None
    if kind == "frames with holes":
        frames[:, :20, :9] = np.nan
    if kind == "sequence with a static field":
        static = simulated(4, (1, 40, 48))[0] * 1e4
        frames += 3 * static
    recorders = samples.record(
        model, data.View(frames, reach, static), bounds=(-2, -2), keep=0, rng=np.random.default_rng(0)
    )
    assert not any(recorder.samples for recorder in recorders)
    recorded, known[:] = known[:], []
    target, valid = np.empty(frames.shape), np.empty(frames.shape, bool)
    for (group, _, _), recorder in zip(recorded, recorders, strict=True):
        target[group], valid[group] = recorder.target, recorder.valid
    assert (valid == np.isfinite(frames)).all()
    if static is not None:
        gains = samples.static_gains(target, valid, static[None].astype(np.float64))
        assert gains.all()
        statics = samples.scale(static[None], gains)
    monkeypatch.setattr(volume, "choose", lambda *_: (0 if reach else None, reach))
    options = {"valid": valid, "step": 256, "snap": 1, "wrap": False, "model": model, "statics": statics}
    payload, _ = volume.encode_frames(target, **options)
    for one, other in zip(recorded, known, strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    bits = sum(recorder.bits(model.frequencies) for recorder in recorders)
    assert 8 * len(payload) == pytest.approx(bits, rel=0.05)


def test_views_with_frames_that_are_missing():
    """No two frames in a row have a pixel in common, so that there is no change from one to the next."""
    frames = evolving(3).astype("f4")
    frames[1] = np.nan
    for seed in range(8):
        recorders = samples.record(models.find_model(), data.View(frames, 2), **VIEW, rng=np.random.default_rng(seed))
        assert sum(recorder.values for recorder in recorders) == 2 * frames[0].size


def encoded_views(fields, tmp_path, count=8):
    trainer = train.Trainer(fields, SMALL, tmp_path / "checkpoint")
    return trainer.encode_views(count)[0]


def test_sequences_give_samples_for_networks_that_see_references(tmp_path):
    found = encoded_views([data.Fields("a", evolving(9).astype("f4")[:, None])], tmp_path)
    assert all(found[name] for name in NETS)
    assert all(sample["inputs"].shape[1] == lattice.PASSES[0].side_inputs for sample in found["D-fine-side"])


def test_data_without_sequences(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "a.npy", simulated(0, (1, 40, 56)))
    np.save(folder / "b.npy", simulated(1, (2, 30, 44)))
    fields = data.load([folder])
    found = encoded_views(fields, tmp_path)
    assert all(bool(found[name]) == (name in models.STILL) for name in NETS)
    said = []
    train.train_to(tmp_path / "m.zip", [folder], SMALL, progress=said.append)
    assert any("A-fine loss" in line for line in said)
    assert not any("-side" in line for line in said)
    assert models.find_model(tmp_path / "m.zip").sees_references
    codec, stack = Pyramid(bound={"abs": 50.0}, model=str(tmp_path / "m.zip")), evolving(5).astype("f4")
    assert np.abs(codec.decode(codec.encode(stack)) - stack).max() <= 50


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
    with pytest.raises(ValueError, match="two products may reach"):
        export.float_graph(tuple(layers))


def test_package_is_reproducible():
    model = models.find_model()
    nets = {
        name: export.IntegerNet(net.layers, net.linear.astype(np.int16))
        for name, net in zip(NETS, model.nets, strict=True)
    }
    package = export.package(nets, model.frequencies, {"name": "copy"})
    assert package == export.package(nets, model.frequencies, {"name": "copy"})
    again = models.load(package)
    assert again.manifest["format"] == models.FORMAT
    assert [(net.graph, net.float_graph) for net in again.nets] == [
        (export.graph(net.layers), export.float_graph(net.layers)) for net in model.nets
    ]
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
    np.save(tmp_path / "empty.npy", np.empty((0, 40, 40), "f4"))
    np.save(tmp_path / "many.npy", simulated(shape=(5, 25, 24, 30)).astype(">f8"))
    (tmp_path / "broken.nc").write_bytes(b"CDF no more")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    (tmp_path / "readme.txt").write_text("nothing")
    with caplog.at_level(logging.WARNING):
        fields = {each.name: each.values for each in data.load([tmp_path])}
    assert "broken.nc" in caplog.text
    assert "broken.npy" in caplog.text
    assert set(fields) == {"many", "fill"}
    assert fields["many"].dtype == np.float32
    assert fields["many"].shape == (5, 25, 24, 30)
    assert np.isnan(fields["fill"]).any()
    with pytest.raises(ValueError, match="expected gridded float variables"):
        data.load([tmp_path], leave_out=[".npy", ".nc"])


def test_netcdf_variables(tmp_path):
    pytest.importorskip("netCDF4")
    import xarray as xr

    field = (("time", "y", "x"), simulated())
    xr.Dataset({"t": field, "u": field, "n": (("y", "x"), np.ones((40, 56), int))}).to_netcdf(tmp_path / "a.nc")
    assert [each.name for each in data.load([tmp_path])] == ["a/t", "a/u"]


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((30, 40), (1, 1)),
        ((7, 30, 40), (7, 1)),
        ((1, 7, 1, 30, 40), (7, 1)),
        ((2, 3, 4, 30, 40), (2, 12)),
        ((200, 30, 40), (100, 1)),
        ((30, 7, 30, 40), (14, 7)),
        ((2, 200, 30, 40), (1, 200)),
    ],
)
def test_leading_axes(tmp_path, monkeypatch, shape, kept):
    monkeypatch.setattr(data, "MAX_VALUES", 100 * 30 * 40)
    array = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    np.save(tmp_path / "a.npy", array)
    (fields,) = data.load([tmp_path])
    assert fields.values.shape == (*kept, 30, 40)
    assert fields.grid == (30, 40)
    assert fields.count == np.prod(kept)
    assert (fields.values.reshape(-1) == array.reshape(-1)[: fields.values.size]).all()


def some_views(fields, count=60, seed=0):
    return [view for view, _ in zip(data.views(fields, np.random.default_rng(seed)), range(count), strict=False)]


def test_views(folder):
    views = some_views(data.load([folder]))
    for view in views:
        assert view.frames.dtype == np.float32
        assert view.frames.ndim == 3
        assert view.frames.flags.c_contiguous
        assert view.reach in (0, 2, 4, 8)
        assert view.static is None or view.static.shape == view.frames.shape[1:]
    assert {(40, 56), (56, 40)} <= {view.frames.shape[1:] for view in views}
    assert {0, 2, 4, 8} == {view.reach for view in views}


def test_views_have_statics_of_the_same_grid():
    """One field is another plus 5000, so that the two tell whether they were cut, turned and negated alike."""
    pattern = np.random.default_rng(0).integers(0, 1000, (100, 120)).astype("f4")
    other = simulated(3, (1, 30, 44))[0]
    arrays = {"a": pattern, "b": pattern + 5000, "c": other}
    grids = [data.Fields(name, values[None, None]) for name, values in arrays.items()]
    views = some_views(grids, 200)
    seen = set()
    for view in views:
        if view.static is None:
            continue
        assert set(view.frames.shape[1:]) != {30, 44}
        assert (np.abs(view.static - view.frames) == 5000).all()
        seen.add(int(view.static[0, 0] - view.frames[0, 0, 0]))
    assert seen == {-5000, 5000}
    assert any(set(view.frames.shape[1:]) == {30, 44} for view in views)
    assert all(view.static is None for view in some_views(grids[1:]))
    with_holes = [grids[0], data.Fields("holes", np.where(pattern > 900, np.nan, pattern)[None, None])]
    assert all(view.static is None or np.isfinite(view.static).all() for view in some_views(with_holes))


def test_sequences_follow_one_another_along_one_axis():
    """Values tell when and where: 10 000 a time step, 100 a level."""
    time, level = np.mgrid[:20, :7]
    pattern = np.random.default_rng(0).integers(0, 50, (40, 48))
    values = (10_000 * time + 100 * level)[..., None, None] + pattern
    views = some_views([data.Fields("a", values.astype("f4"))], 100)
    strides = set()
    for view in views:
        if view.reach:
            assert len(view.frames) >= 2
            (stride,) = np.unique(np.diff(view.frames, axis=0))
            strides.add(abs(int(stride)))
    assert strides <= {10_000, 20_000, 40_000, 100, 200, 300}
    assert {10_000, 100} <= strides
    assert 0.4 < np.mean([view.reach > 0 for view in views]) < 0.8


def test_no_sequences_of_two_frames():
    fields = [data.Fields("a", simulated(0, (2, 2, 30, 44))), data.Fields("b", simulated(1, (1, 1, 40, 56)))]
    assert all(view.reach == 0 for view in some_views(fields))
