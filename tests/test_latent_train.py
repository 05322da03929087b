"""The training loop of the latent models: a few steps of each kind, going on where it was killed, the export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from adiabat.codec import vq_contexts, vq_model  # noqa: E402
from adiabat.codec.vq import VQ  # noqa: E402
from adiabat.training import hyperprior, latent_train, vq, vq_export, vq_graphs, vq_train  # noqa: E402
from adiabat.training.data import Fields  # noqa: E402
from adiabat.training.latent_config import KINDS, LatentConfig  # noqa: E402
from adiabat.training.stream_data import from_fields  # noqa: E402

SMALL = LatentConfig(width=4, steps=6, batch=2, crop=32, save_every=3, levels=2, tune=3)


def quiet(text):
    pass


def simulated(seed=0):
    rng = np.random.default_rng(seed)
    noise = np.cumsum(np.cumsum(rng.standard_normal((2, 1, 48, 96)), 2), 3).astype(np.float32)
    return [Fields("a/T", noise), Fields("a/PHIS", np.cumsum(noise[:1], 2))]


def batches(trainer, seed=0):
    return from_fields(simulated(seed), trainer.rng, count=trainer.config.batch, crop=trainer.config.crop)


def trained(config, path, **options):
    trainer = latent_train.LatentTrainer(config, path, **options)
    trainer.run(batches(trainer), quiet)
    return trainer


def weights(trainer):
    return torch.cat([each.flatten().float() for each in trainer.model.state_dict().values()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("film", [False, True])
def test_every_kind_trains_a_few_steps(kind, film, tmp_path):
    start = weights(latent_train.LatentTrainer(replace(SMALL, kind=kind, film=film), tmp_path / "none"))
    trainer = trained(replace(SMALL, kind=kind, film=film), tmp_path / "m.checkpoint")
    assert trainer.step == 6
    assert len(trainer.log) == 6
    assert all(np.isfinite(list(row.values())).all() for row in trainer.log)
    assert not torch.equal(weights(trainer), start)
    assert torch.isfinite(weights(trainer)).all()


@pytest.mark.parametrize("kind", ["vqgan", "hyperprior"])
def test_a_killed_run_ends_as_an_uninterrupted_one(kind, tmp_path):
    config = replace(SMALL, kind=kind)
    whole = trained(config, tmp_path / "whole")
    first = latent_train.LatentTrainer(config, tmp_path / "parts")
    stop = iter(range(4))

    def some():
        for crops in batches(first):
            if next(stop, None) is None:
                raise KeyboardInterrupt
            yield crops

    with pytest.raises(KeyboardInterrupt):
        first.run(some(), quiet)
    again = trained(config, tmp_path / "parts")
    assert again.step == 6
    assert torch.equal(weights(again), weights(whole))
    assert again.log == whole.log


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    trained(SMALL, tmp_path / "c")
    with pytest.raises(ValueError, match="another configuration"):
        latent_train.LatentTrainer(replace(SMALL, seed=1), tmp_path / "c").resume()


def test_a_run_may_be_limited_in_time(tmp_path):
    trainer = trained(replace(SMALL, steps=10_000), tmp_path / "c", minutes=1e-3)
    assert 0 < trainer.step < 1000
    assert trainer.done >= 1


@pytest.mark.parametrize(
    "change", [{"kind": "pca"}, {"levels": 0}, {"words": 300}, {"fsq_levels": 4}, {"finest": 1.0}, {"steps": 0},
               {"crop": 4}, {"lmbda": -1.0}],
)  # fmt: skip
def test_senseless_configurations_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        replace(SMALL, **change)


def test_train_vq_writes_a_package_that_the_codec_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(latent_train.data, "load", lambda folders, leave_out=(): simulated())
    target = tmp_path / "m.zip"
    sha256 = vq_train.train_vq([tmp_path], target, SMALL, views=3, progress=quiet)
    model = vq_model.load(target.read_bytes())
    assert model.sha256 == sha256
    assert model.manifest["recipe"]["steps"] == 6
    vq_model.check_graphs(model)
    assert len(json.loads((tmp_path / "m.zip.log.json").read_text())) == 9
    field = simulated(1)[0].values[0, 0]
    codec = VQ(target={"ratio": 30}, model=str(target))
    decoded = codec.decode(codec.encode(field))
    assert np.sqrt(((decoded - field) ** 2).mean()) < 0.5 * field.std()
    again = tmp_path / "again.zip"
    assert vq_train.train_vq([tmp_path], again, SMALL, views=3, progress=quiet) == sha256
    with pytest.raises(ValueError, match="expected a kind"):
        vq_train.train_vq([tmp_path], again, replace(SMALL, kind="hyperprior"))


def test_onnx_equals_torch_after_training(tmp_path):
    """The exporter compares them itself; a graph of other weights is found out."""
    trainer = trained(replace(SMALL, analysis=4), tmp_path / "c")
    for step in trainer.model.g_a.steps:
        vq_graphs.analysis_graph(step)
    step = trainer.model.g_s.steps[0]
    data = vq_graphs.synthesis_graph(step)
    with torch.no_grad():
        step.correction.convolutions[0].weight += 0.5
    with pytest.raises(ValueError, match="differ"):
        vq_graphs._check_equal(data, step, (1, 4, 24, 28), np.array([0.5], np.float32))


def test_codebooks_start_as_lattices():
    ball, cube = vq.ball(256), vq.cube(5)
    assert (ball[0] == 0).all()
    assert len({tuple(word) for word in ball}) == 256
    assert np.linalg.norm(ball, axis=1).max() == 4
    assert len({tuple(word) for word in cube}) == 125
    assert np.abs(cube).max() == 2


def test_a_quantiser_finds_the_nearest_word_without_rate(tmp_path):
    config = replace(SMALL, lmbda=0.0)
    quantiser = vq.VectorQuantiser(config).eval()
    y = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = quantiser(y, None, 1)
    assert torch.allclose(made.y_hat, y.round(), atol=1e-5)
    far = quantiser(30 * y, None, 1)
    assert float((far.y_hat - 30 * y).abs().max()) < 2.5


def test_dead_words_start_anew():
    torch.manual_seed(0)
    quantiser = vq.VectorQuantiser(SMALL).train()
    for _ in range(3):
        quantiser.counts[0, 1:] = 1.0
        quantiser.counts[0, 7] = 0.0
        before = quantiser.books[0, 7].clone()
        quantiser(5 * torch.randn(1, 3, 64, 64), None, 1)
    assert not torch.equal(quantiser.books[0, 7], before)
    assert (quantiser.books[:, 0] == 0).all()


def test_perplexity():
    assert vq.perplexity(torch.ones(8)) == pytest.approx((8, 1))
    assert vq.perplexity(torch.tensor([5.0, 0, 0, 0])) == pytest.approx((1, 0.25))


def test_pack_and_unpack():
    details = [torch.randn(2, 3, 32 >> level, 48 >> level) for level in (0, 1, 2)]
    packed = hyperprior.pack(details)
    assert packed.shape == (2, 63, 8, 12)
    assert all(torch.equal(one, other) for one, other in zip(hyperprior.unpack(packed, 3), details, strict=True))


def test_code_lengths_are_of_a_distribution():
    r = torch.arange(-200, 201).double()
    for log_scale in (-3.0, 0.0, 2.0):
        bits = hyperprior.bits_of(r, torch.tensor(log_scale).double())
        assert float((2.0**-bits).sum()) == pytest.approx(1, abs=1e-6)


def test_an_untrained_hyperprior_only_quantises():
    x = 20 * torch.randn(1, 1, 40, 56, generator=torch.Generator().manual_seed(0))
    model = hyperprior.Hyperprior(replace(SMALL, kind="hyperprior")).eval()
    with torch.no_grad():
        made = model(x, torch.tensor([0.5]))
        threshold = model(x, torch.tensor([0.5]), threshold=0.2)
    assert made.x_hat.shape == x.shape
    assert 0.2 < float((made.x_hat - x).square().mean().sqrt()) < 0.4
    assert float(threshold.bits) < float(made.bits)


def test_tables_lean_on_their_neighbours():
    counts = np.zeros((vq_contexts.TABLES, vq_contexts.LETTERS))
    counts[:, 0], counts[3, 5] = 100, 1000
    frequencies = vq_export.tables(counts)
    assert (frequencies.sum(1, dtype=np.int64) == 1 << vq_contexts.PRECISION).all()
    assert frequencies[3].argmax() == 5
    assert frequencies[6, 5] > frequencies[100, 5]
