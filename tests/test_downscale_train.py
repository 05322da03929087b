"""Networks of the generated view: their data, losses, stages, export, and the table of variants."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import conditions

pytest.importorskip("torch", reason="training needs torch")

import torch

from adiabat.codec.downscaler_model import COARSE_INPUTS, FINE_INPUTS, load
from adiabat.codec.errors import ModelMismatchError
from adiabat.training import domain, downscale, downscale_data, downscale_table
from adiabat.training.data import Fields
from adiabat.training.downscale_config import DownscaleConfig
from adiabat.training.downscale_judge import judge, walk
from adiabat.training.downscale_net import VAE, Downscaler, RecordNet, angles
from adiabat.training.downscale_table import Material, add_rows, table

TINY = DownscaleConfig(features=4, mean=(4, 4, 4), denoiser=(4, 4, 4), steps=8, batch=1, save_every=4)


def field(seed=0, *, side=40, frames=8, roughness=1.0):
    """A series that moves, red in space."""
    rng = np.random.default_rng(seed)
    waves = rng.standard_normal((side, side)).cumsum(0).cumsum(1)
    moving = np.stack([np.roll(waves, step, 1) for step in range(frames)])
    noise = roughness * rng.standard_normal(moving.shape)
    return Fields(f"field{seed}", (moving + noise).astype(np.float32)[:, None])


@pytest.fixture(scope="module")
def fields():
    return [field(0), field(1, side=72, frames=1)]


def test_last_in_time_is_kept_apart():
    series = field(frames=16)
    (train,), (test,) = (downscale_data.last_in_time([series], kept=kept) for kept in (False, True))
    assert np.array_equal(test.values, series.values[12:])
    assert np.array_equal(train.values, series.values[:10])
    single = field(frames=1)
    assert downscale_data.last_in_time([single], kept=False) == [single]
    assert downscale_data.last_in_time([single], kept=True) == []


def test_pairs_give_back_the_fine_field(fields):
    stream = downscale_data.pairs(fields, np.random.default_rng(0), batch=2, factors=(4, 8))
    for _ in range(6):
        batch = next(stream)
        found = batch.conditions
        fine = found.base + found.sigma * batch.residual[:, 0]
        factor = found.base.shape[-1] // found.coarse_inputs.shape[-1]
        again = conditions(block_means(fine, factor), factor=factor, scale=1.0)
        assert factor in (4, 8)
        assert batch.residual.shape[2:] == found.base.shape[1:] == found.fine_inputs.shape[2:]
        assert all(side % downscale_data.MULTIPLE == 0 for side in batch.residual.shape[2:])
        assert np.allclose(again.base, found.base, atol=1e-4 * np.ptp(fine))


def test_grain_is_told_of_most_crops(fields):
    stream = downscale_data.pairs(fields[:1], np.random.default_rng(0), batch=4, factors=(4,))
    planes = np.concatenate([next(stream).conditions.fine_inputs[:, 2:] for _ in range(20)])
    assert np.all(np.ptp(planes, axis=(2, 3)) == 0)
    known = planes[:, 2, 0, 0] == 1
    assert 0.5 < known.mean() < 0.9
    assert not planes[~known].any()
    told = np.unique(planes[known][:, :2, 0, 0], axis=0)
    assert 1 < len(told) <= fields[0].count  # one of each frame


def test_records_hide_cells_or_ask_for_the_next(fields):
    stream = downscale_data.records(fields, np.random.default_rng(1), batch=2, factors=(4,))
    kinds = set()
    for _ in range(12):
        batch = next(stream)
        hidden = batch.inputs[:, 3:]
        kinds.add(bool(hidden.any()))
        if hidden.any():
            assert np.array_equal(hidden, batch.weight)
            assert np.all(batch.inputs[:, :1][hidden > 0] == 0)
            assert np.array_equal(batch.inputs[:, :1][hidden == 0], batch.wanted[hidden == 0])
        else:
            assert np.all(batch.weight == 1)
    assert kinds == {True, False}


def test_missing_values_are_not_drawn():
    holey, full = field(side=80), field(side=40)
    holey.values[:, :, :6, :6] = full.values[:, :, :6, :6] = np.nan
    with pytest.raises(ValueError, match="without missing values"):
        next(downscale_data.pairs([full], np.random.default_rng(0), batch=2, factors=(4,)))
    batch = next(downscale_data.pairs([holey], np.random.default_rng(0), batch=2, factors=(4,)))
    assert np.isfinite(batch.residual).all()


def test_no_network_looks_at_the_whole_field():
    """A change in one corner leaves the other as it is: norms are over channels."""
    torch.manual_seed(0)
    net = Downscaler(replace(TINY, features=8, denoiser=(8, 8, 8)))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    coarse, fine, x = (
        torch.randn(1, COARSE_INPUTS, 48, 8),
        torch.randn(1, FINE_INPUTS, 192, 32),
        torch.randn(1, 1, 192, 32),
    )
    changed = coarse.clone()
    changed[:, :, :2] += 5
    with torch.no_grad():
        outs = []
        for each in (coarse, changed):
            features = net.features(each)
            mean = net.mean(features, fine)
            outs.append(net.velocity(x, torch.tensor([0.5]), features, fine, mean))
    assert torch.equal(outs[0][:, :, -16:], outs[1][:, :, -16:])
    assert not torch.equal(outs[0], outs[1])


def test_velocity_of_the_cosine_schedule():
    alpha, sigma = angles(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(alpha.square() + sigma.square(), torch.ones(3, 1, 1, 1))
    assert torch.allclose(alpha.flatten(), torch.tensor([1.0, 0.5**0.5, 0.0]), atol=1e-6)


@pytest.mark.parametrize("kind", ["record", "ddpm", "vae"])
def test_losses_fall(kind, fields, tmp_path):
    """The same batch again and again is learnt."""
    config = replace(
        TINY, kind=kind, encoder="scratch", steps=60, features=8, mean=(8, 8, 8), denoiser=(8, 8, 8), rate=5e-3
    )
    trainer = downscale.DownscaleTrainer(config, tmp_path / "c")
    make = downscale_data.records if kind == "record" else downscale_data.pairs
    batch = next(make(fields, np.random.default_rng(0), batch=1, factors=(4,)))
    losses = []
    for trainer.step in range(60):
        losses.append(trainer.train_step(batch)["loss"])
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.02


def test_what_becomes_of_the_encoder(fields, tmp_path):
    torch.manual_seed(1)
    record = RecordNet(TINY.features)
    batch = next(downscale_data.pairs(fields, np.random.default_rng(0), batch=1, factors=(4,)))
    stem = record.encoder.stem.weight
    for encoder in ("frozen", "fine-tuned", "scratch"):
        trainer = downscale.DownscaleTrainer(replace(TINY, encoder=encoder), tmp_path / encoder, record=record)
        ours = trainer.model.encoder.stem.weight
        assert torch.equal(ours, stem) == (encoder != "scratch")
        before = ours.detach().clone()
        for trainer.step in range(3):
            trainer.train_step(batch)
        assert torch.equal(ours, before) == (encoder == "frozen")
    with pytest.raises(ValueError, match="an encoder that is frozen needs stage 1"):
        downscale.DownscaleTrainer(TINY, tmp_path / "none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downscale")
    for number in range(2):
        np.save(folder / f"field{number}.npy", field(number).values)
    target, said = folder / "model.zip", []
    sha256 = downscale.train_downscale([folder], target, TINY, progress=said.append)
    return folder, target, sha256, said


def test_both_stages_to_a_package(trained):
    folder, target, sha256, said = trained
    model = load(target.read_bytes())
    assert model.sha256 == sha256
    assert model.factors == (4, 8)
    assert model.manifest["domain"]["distance"] == 0
    assert any("record: " in line for line in said)
    assert any("ddpm: " in line for line in said)
    assert {path.name for path in folder.glob("model*")} >= {
        "model.zip", "model.zip.record.checkpoint", "model.zip.ddpm.checkpoint",
        "model.ddpm.zip.log.json", "model.record.zip.log.json",
    }  # fmt: skip
    assert json.loads((folder / "model.ddpm.zip.log.json").read_text())[-1]["step"] == TINY.steps


def test_graphs_give_what_torch_gives(trained):
    _, target, *_ = trained
    model = load(target.read_bytes())
    rng = np.random.default_rng(0)
    for factor, height, width in ((4, 24, 40), (8, 48, 32)):
        coarse = rng.standard_normal((2, COARSE_INPUTS, height // factor, width // factor)).astype(np.float32)
        fine = rng.standard_normal((2, FINE_INPUTS, height, width)).astype(np.float32)
        x, t = rng.standard_normal((2, 1, height, width)).astype(np.float32), np.array([0.1, 0.9], np.float32)
        features = model.features(coarse)
        mean = model.mean(features, fine)
        velocity = model.velocity(x, t, features, fine, mean)
        assert features.shape == (2, TINY.features, *coarse.shape[2:])
        assert mean.shape == (2, 2, height, width)
        assert velocity.shape == x.shape
        alone = model.velocity(x[1:], t[1:], features[1:], fine[1:], mean[1:])
        assert np.allclose(alone, velocity[1:], atol=1e-5)


def test_a_run_goes_on(trained, tmp_path):
    """Stopped half way and started again: the same weights."""
    folder, *_ = trained
    fields = downscale.last_in_time(downscale.data.load([folder]), kept=False)
    states = []
    for name, stops in (("whole", (8,)), ("halves", (4, 8))):
        for steps in stops:
            trainer = downscale.DownscaleTrainer(replace(TINY, encoder="scratch"), tmp_path / name)
            trainer.resume()
            stream = downscale_data.pairs(fields, trainer.rng, batch=1, factors=(4,))
            while trainer.step < steps:
                trainer.train_step(next(stream))
                trainer.step += 1
            trainer.save()
        states.append(trainer.averaged.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_domains():
    """Of red fields and of noise, each of many fields, so that chance does not decide."""
    red, other_red = ([field(seed + start, roughness=0.0) for seed in range(12)] for start in (0, 20))
    rough = [field(seed, roughness=40.0) for seed in range(12)]
    same, other = (domain.compare(each, red, factors=(4,)) for each in (other_red, rough))
    assert same.says == "similar"
    assert other.distance > 3 * same.distance
    assert other.says != "similar"
    assert domain.compare(red, red, factors=(4,)) == domain.Verdict(0.0, 0.0)


def test_a_domain_that_is_too_different(caplog):
    far = domain.Verdict(0.9, 0.2)
    with pytest.raises(ValueError, match=r"too different: W1 0.900.*force it"):
        far.check()
    far.check(force=True)
    assert "may not help" in caplog.text


def test_a_package_of_another_kind(trained):
    from adiabat.codec.models import find

    with pytest.raises(ModelMismatchError, match="kind downscaler"):
        load(find("pyramid"))


def test_a_config_that_makes_no_sense():
    for change in ({"kind": "gan"}, {"factors": (3,)}, {"mean": (1, 2)}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            replace(TINY, **change)


def test_judging():
    torch.manual_seed(0)
    tests = [field(3)]
    found = judge(Downscaler(TINY), tests, 4)
    assert set(found) == {"mean", "sample", "mean of 16"}
    assert set(judge(VAE(replace(TINY, kind="vae")), tests, 4)) == {"sample", "mean of 16"}
    # Nothing was learnt: the mean is the interpolated field, and samples are of unit spread about it.
    assert found["sample"]["rmse"] > found["mean of 16"]["rmse"] > found["mean"]["rmse"]
    assert found["sample"]["top_octave"] > found["mean"]["top_octave"]


def test_a_walk_of_a_network_that_foresees_no_change():
    net = RecordNet(TINY.features)
    torch.nn.init.zeros_(net.head[1].weight)
    torch.nn.init.zeros_(net.head[1].bias)
    found = walk(net, field(side=72, frames=31).values[:, 0], 4)
    assert found["rmse"] == found["persistence"]
    assert len(found["autocorrelation"]) == len(found["truth"]) == 11


def test_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(downscale_table, "REDUCED", replace(TINY, factors=(4,)))
    own, other = [field(0)], [field(1)]
    material = Material({"own": own, "other": other, "walk": own}, own, [field(2, side=72, frames=31)])
    log_path, said = tmp_path / "log.json", []
    log = add_rows(log_path, material, work=tmp_path, seeds=range(2), minutes=1.0, say=said.append)
    assert len(log["rows"]) == 10
    lines = list(table(log))
    assert sum("VAE: sample" in line for line in lines) == 1
    assert all("(" in line for line in lines if "frozen: mean" in line)
    assert any(line.startswith("record of other: domains are") for line in lines)
    said.clear()
    assert add_rows(log_path, material, work=tmp_path, seeds=range(2), minutes=1.0, say=said.append) == log
    assert said == []
