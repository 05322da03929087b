"""Training of HVAE: shapes, losses, the linear start, data split by granule, and a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hvae_models import CHANNELS, spectra, tiles  # noqa: E402
from hvae_models import model as small_model  # noqa: E402

from adiabat.codec import hvae_model  # noqa: E402
from adiabat.codec.hvae import HVAE as Codec  # noqa: E402
from adiabat.training import hvae_data, hvae_export, hvae_table, hvae_train, probes  # noqa: E402
from adiabat.training.hvae import (  # noqa: E402
    HVAE,
    Attention,
    Posterior,
    ResBlock,
    kl_divergence,
    principal_rows,
    reconstruction_loss,
)
from adiabat.training.hvae_config import FULL, SMALL, HVAEConfig  # noqa: E402
from adiabat.training.hvae_prior import GAIN, PriorConfig, fit_linear, gains_of, latents_of  # noqa: E402

TINY = HVAEConfig(
    channels=CHANNELS, widths=(16, 16, 8), z=6, wavelengths=8, crop=16, batch=2, steps=12, save_every=4, tuned=0.0
)
PRIOR = PriorConfig(hidden=8, rounds=(0.5, 0.5), views=4, steps=20, batch=64)


def quiet(_):
    pass


def moved(model):
    """Branches that do something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for each in model.modules():
            if isinstance(each, ResBlock):
                each.conv2.weight.normal_(0, 0.1)
            if isinstance(each, Attention):
                each.project.weight.normal_(0, 0.1)
    return model.eval()


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (13, 7), (1, 2)])
def test_shapes_with_lengthening(size):
    model = HVAE(TINY)
    x = torch.randn(2, CHANNELS, *size)
    x_hat, posterior = model(x)
    assert x_hat.shape == x.shape
    assert posterior.mu.shape == posterior.logvar.shape == (2, 6, math.ceil(size[0] / 4), math.ceil(size[1] / 4))


def test_the_paper_s_sizes():
    """[1028 x 64 x 64] to [32 x 16 x 16], at the widths of the paper; the small one is what the card says."""
    assert (FULL.widths, FULL.z, FULL.kl, FULL.batch, FULL.steps) == ((512, 256, 128), 32, 1e-6, 32, 200_000)
    with torch.device("meta"):
        full = HVAE(replace(FULL, device="cpu"))
        x_hat, posterior = full(torch.empty(1, 1028, 64, 64))
    assert x_hat.shape == (1, 1028, 64, 64)
    assert posterior.mu.shape == (1, 32, 16, 16)
    assert 12e6 < sum(each.numel() for each in full.parameters()) < 28e6
    assert sum(each.numel() for each in HVAE(SMALL).parameters()) < 7e5


def test_losses_are_those_of_the_formulas():
    torch.manual_seed(0)
    x, x_hat, logvar = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5), torch.randn(3)
    by_hand = np.mean([
        abs(float(x_hat[b, c, i, j] - x[b, c, i, j])) / math.exp(logvar[c]) + float(logvar[c])
        for b in range(2) for c in range(3) for i in range(4) for j in range(5)
    ])  # fmt: skip
    assert float(reconstruction_loss(x_hat, x, logvar)) == pytest.approx(by_hand, rel=1e-5)
    q = torch.distributions.Normal(torch.full((1, 2, 3, 3), 0.7), 0.3)
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    got = kl_divergence(Posterior(q.mean, 2 * q.stddev.log()))
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def test_the_scale_of_errors_is_learned_where_the_loss_is_least():
    """Of |e| / s + ln s, s is the mean of |e|."""
    error = torch.rand(1, 1, 50, 50)
    logvar = torch.linspace(-3, 1, 401)
    losses = torch.stack([reconstruction_loss(error, 0 * error, value[None]) for value in logvar])
    assert float(logvar[losses.argmin()].exp()) == pytest.approx(float(error.mean()), rel=0.01)


def test_samples_of_the_posterior():
    torch.manual_seed(0)
    z = Posterior(torch.full((20000,), 2.0), torch.full((20000,), math.log(0.25))).sample()
    assert float(z.mean()) == pytest.approx(2, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, abs=0.02)


def test_a_linear_start_is_exact_where_it_can_be():
    """Spectra of rank 3, constant over blocks of 4 x 4 pixels: 48 numbers a block come down to 3."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 3, 8, 8)).repeat(4, 2).repeat(4, 3) * np.array([3, 1, 0.3])[:, None, None]
    x = torch.from_numpy(np.einsum("bkij,kc->bcij", maps, rng.standard_normal((3, CHANNELS)))).float()
    model = HVAE(TINY)
    model.start_linear(x)
    with torch.no_grad():
        x_hat = model.decode(model.encode(x).mu, (32, 32))
    assert float((x_hat - x).abs().max()) < 1e-3 * float(x.std())


def test_principal_rows_are_those_of_an_svd():
    x = (
        torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
        * torch.tensor([3, 2, 1, 1, 0.5])[:, None, None]
    )
    rows = principal_rows(x, 2, 7).double()
    vectors = torch.nn.functional.unfold(x, 2, stride=2).transpose(1, 2).reshape(-1, 20).double()
    _, _, right = torch.linalg.svd(vectors, full_matrices=False)
    assert float((rows @ right[:7].T).abs().diagonal().min()) > 1 - 1e-4
    assert torch.allclose(rows @ rows.T, torch.eye(7, dtype=torch.float64), atol=1e-5)


def test_graphs_equal_torch_with_and_without_attention():
    for attention in (True, False):
        model = moved(HVAE(replace(TINY, attention=attention)))
        model.decoder.blocks[0].scale.uniform_(0.1, 1)
        hvae_export.halved(model)
        graphs = {
            "g_a.onnx": hvae_export.encoder_graph(model.encoder),
            "g_s.onnx": hvae_export.decoder_graph(model.decoder),
        }
        hvae_export._check_equal(model, graphs)
        with torch.no_grad():
            model.encoder.to_mu.bias += 1
        with pytest.raises(ValueError, match=r"g_a\.onnx and torch differ"):
            hvae_export._check_equal(model, graphs)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    def trainer(name):
        return hvae_train.HVAETrainer(replace(TINY, tuned=0.5), tmp_path / name, tiles()[0])

    whole = trainer("whole")
    whole.run(whole.batches(), quiet)
    part = trainer("part")
    batches = part.batches()
    for _ in range(4):
        part.train_step(next(batches))
        part.step += 1
    part.save()
    again = trainer("part")
    again.run(again.batches(), quiet)
    assert again.step == whole.step == 12
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.log[-1]["bits"] > 0
    with pytest.raises(ValueError, match="another configuration"):
        hvae_train.HVAETrainer(TINY, tmp_path / "whole", tiles()[0]).resume()


def test_training_lowers_the_loss_and_the_package_codes(tmp_path):
    target = tmp_path / "model.zip"
    config = replace(TINY, steps=150, supervised=0.1, rate=1e-3)
    sha256 = hvae_train.train_hvae([], target, config, tiles=tiles(), prior=PRIOR, progress=quiet)
    assert sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    log = json.loads((tmp_path / "model.zip.log.json").read_text())
    assert np.mean([row["loss"] for row in log[-15:]]) < np.mean([row["loss"] for row in log[5:20]])
    assert log[-1]["probes"] < log[0]["probes"]
    model = hvae_model.load(target.read_bytes())
    assert model.manifest["recipe"]["steps"] == 150
    assert str(tmp_path) not in str(model.manifest)
    field = spectra(seed=30)
    codec = Codec(target={"ratio": 200}, model=str(target))
    assert hvae_table.relative_rmse(codec.decode(codec.encode(field)), field) < 0.3


def test_gains_make_the_error_they_stand_for():
    """Uniform noise of one gain in every latent gives about GAIN / sqrt(12) of relative error."""
    train, _ = tiles()
    model = HVAE(replace(TINY, wavelengths=0))
    model.start_linear(torch.from_numpy(np.stack(train.values).astype("f4")))
    latents = latents_of(model, train.values)
    gains = gains_of(model, latents, train.normal)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, latents.shape) * gains[:, None, None]

    def radiance(z):
        with torch.no_grad():
            u = model.decode(torch.from_numpy(z).float(), (64, 64)).numpy()
        return train.normal.back(np.moveaxis(u, 1, -1))

    plain = radiance(latents)
    relative = hvae_table.relative_rmse(radiance(latents + noise), plain)
    assert 0.5 < relative / (GAIN / math.sqrt(12)) < 1.5


def test_linear_prediction_is_that_of_least_squares():
    """A field that is the mean of its neighbours is predicted so; a channel that follows another one, by it."""
    rng = np.random.default_rng(0)
    first = 1000 * rng.standard_normal((40, 1, 16, 16))
    latents = np.concatenate([first, 2 * first + rng.standard_normal(first.shape)], 1)
    weights, scales = fit_linear(latents)
    assert abs(weights[-1, 1, 4] / 4096 - 2) < 0.05
    assert scales[-1, 0] > 100 * scales[-1, 1]
    smooth = 1000 * np.add.outer(np.arange(16.0), np.arange(16.0))[None, None] * rng.standard_normal((40, 1, 1, 1))
    weights, _ = fit_linear(smooth)
    assert abs(weights[10, 0, :4].sum() / 4096 - 1) < 0.06


def test_granules_are_split_before_statistics():
    made = [{"radiance": np.full((64, 64, 3), 10.0**k, "f4") * (1 + 0.1 * np.arange(3, dtype="f4"))} for k in range(10)]
    train, held = hvae_data._parted([[tile] for tile in made])
    assert (len(train.values), len(held.values)) == (8, 2)
    expected = np.mean([k for k in range(10) if k % 5]) * math.log(10)
    assert train.normal.mean[0] == pytest.approx(expected, rel=1e-5)
    assert held.normal is train.normal
    with pytest.raises(ValueError, match="expected tiles without holes"):
        hvae_data._parted([[made[0]]])


def test_crops_are_never_turned():
    """Rows and columns grow in every crop as they do in the tile."""
    y, x = np.mgrid[0:64, 0:64].astype("f4")
    part = hvae_data.Tiles(hvae_data.Normalisation(np.zeros(2, "f4"), np.ones(2, "f4"), 1.0, 10.0))
    part.values.append(np.stack([y / 64, x / 64]).astype("f2"))
    values, targets = next(part.crops(np.random.default_rng(0), count=5, side=16))
    assert values.shape == (5, 2, 16, 16)
    assert targets.shape == (5, 0, 16, 16)
    assert (np.diff(values[:, 0], axis=1) > 0).all()
    assert (np.diff(values[:, 1], axis=2) > 0).all()
    assert (np.rint(64 * values[:, 0, 0, 0]) % 4 == 0).all()


def test_targets_are_scaled_as_in_the_paper():
    x = np.array([0.0, 0.5, 1.0], "f4")
    got = hvae_data.target_norm("cloud_fraction", x)(x)
    assert np.allclose(1 / (1 + np.exp(-got)), 0.01 + 0.98 * x, atol=1e-6)
    o3 = hvae_data.target_norm("o3", np.array([1.0, 3.0], "f4"))(np.array([5.0], "f4"))
    assert o3[0] == pytest.approx(3)
    values = np.array([0.0, 1, 2, 3, 100], "f4")
    assert hvae_data.target_norm("no2", values)(values)[-1] == pytest.approx(np.arcsinh(100 / 1.4826), rel=1e-5)


def test_granules_of_files(tmp_path):
    xr = pytest.importorskip("xarray")
    for number in range(5):
        field = spectra((70, 80), seed=number)
        field[:3, :3] = np.nan
        band = xr.Dataset({"radiance": (("mirror_step", "xtrack", "spectral_channel"), field)})
        band.to_netcdf(tmp_path / f"{number}.nc", group="band_290_490_nm", engine="h5netcdf")
    train, held = hvae_data.open_granules(sorted(tmp_path.glob("*.nc")))
    assert min(len(train.values), len(held.values)) > 0
    assert all(np.isfinite(tile).all() for tile in train.values)
    with pytest.raises(ValueError, match="at least two granules"):
        hvae_data.open_granules([tmp_path / "0.nc"])


@pytest.mark.parametrize(
    "options", [{"widths": (9, 8, 8)}, {"z": 0}, {"steps": 0}, {"crop": 30}, {"tuned": 2.0}, {"rate": 0.0}], ids=str
)
def test_senseless_recipes_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        HVAEConfig(**options)


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(ValueError, match="got neither"):
        hvae_train.train_hvae([], tmp_path / "model.zip", TINY)


def test_principal_components_take_the_bytes_they_are_given(monkeypatch):
    monkeypatch.setattr(hvae_table, "TRIES", 5)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((CHANNELS, 8)))[0].astype("f4")
    train, _ = tiles()
    components = hvae_table.Components(basis, train.normal)
    x = hvae_table.radiance_of(train, 0)[:16, :16]
    for coder in ("hyperprior", "pyramid"):
        sizes = [components.at(x, size, coder)[0] for size in (150, 400)]
        assert sizes[0] <= 150
        assert sizes[0] < sizes[1] <= 400


def test_the_table_is_measured_and_printed(tmp_path, monkeypatch):
    for name, value in {"STEPS": (8.0,), "RATED": 1, "TRIES": 1, "SEEDS": (0,), "MAPS": 4, "COMPONENTS": 4}.items():
        monkeypatch.setattr(hvae_table, name, value)
    monkeypatch.setattr(hvae_table, "mlp_probe", probes.linear_probe)
    few = [
        replace(part, values=part.values[:2], targets={name: maps[:2] for name, maps in part.targets.items()})
        for part in tiles()
    ]
    said = []
    hvae_table.run(small_model(), (few[0], few[1]), tmp_path / "log.json", seed=None, say=said.append)
    log = json.loads((tmp_path / "log.json").read_text())
    assert log["rates"][0]["bytes"] > 0
    assert [row["spectra"] for row in log["probes"]] == ["original", "hvae", "pca"]
    assert said[-1].endswith(hvae_table.PAPER)
