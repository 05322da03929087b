"""Probes: what is linear they find, what is not the MLP finds, what is not there none finds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hvae_models import CHANNELS, tiles  # noqa: E402

from adiabat.training import probes  # noqa: E402
from adiabat.training.hvae_config import HVAEConfig  # noqa: E402

TINY = HVAEConfig(channels=CHANNELS, widths=(16, 16, 8), z=6, wavelengths=0, crop=16, batch=2, steps=5, save_every=5)


def places(count=3000, seed=0):
    x = np.random.default_rng(seed).standard_normal((count, 5)).astype("f4")
    return x, (2 * x[:, 0] - x[:, 3] + 7).astype("f4"), (x[:, 0] * x[:, 1]).astype("f4")


def test_linear_probes_find_what_is_linear_and_no_more():
    x, linear, product = places()
    again = places(1000, seed=1)
    assert probes.r_squared(again[1], probes.linear_probe(x, linear, again[0])) > 0.999
    assert probes.r_squared(again[2], probes.linear_probe(x, product, again[0])) < 0.05


def test_the_linear_probe_is_least_squares():
    x, linear, _ = places(400)
    noisy = linear + np.random.default_rng(2).standard_normal(400).astype("f4")
    at = np.random.default_rng(3).integers(0, 400, 400)
    wanted = np.linalg.lstsq(np.hstack([x[at], np.ones((400, 1))]), noisy[at], rcond=None)[0]
    got = probes.linear_probe(x, noisy, x, seed=3)
    assert np.allclose(got, np.hstack([x, np.ones((400, 1))]) @ wanted, atol=0.01)


def test_mlps_find_products():
    x, _, product = places()
    again = places(1000, seed=1)
    assert probes.r_squared(again[2], probes.mlp_probe(x, product, again[0], steps=250)) > 0.8


def test_nothing_is_found_in_noise():
    x, _, _ = places()
    y = np.random.default_rng(5).standard_normal(3000).astype("f4")
    assert probes.r_squared(y[:500], probes.linear_probe(x[500:], y[500:], x[:500])) < 0.02


def test_a_run_adds_rows_and_repeats_none(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "STEPS", 5)
    monkeypatch.setattr(probes, "PROBES", {"linear": probes.linear_probe})
    monkeypatch.setattr(probes, "SEEDS", (0, 1))
    monkeypatch.setattr(probes, "COMPONENTS", 8)
    said, out = [], tmp_path / "log.json"
    configs = {"one": TINY, "two": replace(TINY, z=4, attention=False)}
    options = {"minutes": 5.0, "configs": configs, "say": said.append}
    probes.run(["one"], tiles(), tmp_path / "work", out, **options)
    first = json.loads(out.read_text())["rows"]
    assert len(first) == 3 * 4 * 2
    probes.run(["one", "two"], tiles(), tmp_path / "work", out, **options)
    rows = json.loads(out.read_text())["rows"]
    assert rows[: len(first)] == first
    assert len(rows) == len(first) + 2 * 4 * 2  # spectra as measured are probed once
    table = said[-1].splitlines()
    assert table[0].startswith("| model | input | probe | no2")
    assert len(table) == 2 + 3 + 2
    found = {row["target"]: row["r2"] for row in first if row["input"] == "original" and row["seed"] == 0}
    assert found["no2"] > 0.9


def test_places_average_four_by_four_pixels():
    from adiabat.training.hvae import HVAE

    train, _ = tiles()
    got = probes.places_of(HVAE(TINY).eval(), train, None, {"no2": lambda x: x})
    assert got.inputs["latent"].shape == (6 * 256, 6)
    assert got.inputs["original"].shape == (6 * 256, CHANNELS)
    assert got.targets["no2"][1] == pytest.approx(float(train.targets["no2"][0][:4, 4:8].mean()), rel=1e-5)
    wanted = train.values[0][:, :4, 4:8].astype("f4").mean((1, 2))
    assert np.allclose(got.inputs["original"][1], wanted, atol=1e-5)


def test_columns_in_which_nothing_varies_count_nothing():
    x, linear, _ = places(600)
    again = places(200, seed=1)
    dead, alive = np.full((600, 1), 3.0, "f4"), np.linspace(-9, 9, 200, dtype="f4")[:, None]
    got = probes.linear_probe(np.hstack([x, dead]), linear, np.hstack([again[0], alive]))
    assert probes.r_squared(again[1], got) > 0.99
