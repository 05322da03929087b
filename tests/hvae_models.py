"""A small model of 24 channels and spectra it can code, for the tests of HVAE: trained for no step, so a linear one."""

from __future__ import annotations

from functools import cache

import numpy as np

from adiabat.codec import hvae_model
from adiabat.codec.hvae_model import HVAEModel

CHANNELS, LATENTS = 24, 6


def spectra(shape=(64, 64), *, seed=0, channels=CHANNELS, noise=1e-3):
    """Radiance-like spectra (*shape, channels): four smooth maps of smooth spectra, in the exponent."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    wave = np.linspace(0, 1, channels)
    log = np.log(1e13) - 2 * (1 - wave) + np.zeros((*shape, 1))
    for part in range(4):
        ky, kx, phase = rng.uniform(0.02, 0.12), rng.uniform(0.02, 0.12), rng.uniform(0, 6)
        log = log + 0.4 / (part + 1) * np.sin(ky * y + kx * x + phase)[..., None] * np.cos(part * 3 * wave)
    return (np.exp(log) * (1 + noise * rng.standard_normal(log.shape))).astype(np.float32)


@cache
def tiles():
    """Eight of them, two held out."""
    from adiabat.training.hvae_data import _parted

    gases = ("no2", "o3", "hcho", "cloud_fraction")
    made = [{"radiance": spectra(seed=seed)} for seed in range(8)]
    for tile in made:
        log = np.log(tile["radiance"])
        tile |= {name: np.asarray(log[..., 3 * k] - log[..., 2 * k + 9], np.float32) for k, name in enumerate(gases)}
        tile["cloud_fraction"] = np.asarray(1 / (1 + np.exp(-tile["cloud_fraction"])), np.float32)
    return _parted([[tile] for tile in made])


@cache
def package(steps=0):
    """A package of kind "hvae"; needs torch and onnx."""
    import tempfile
    from pathlib import Path

    from adiabat.training.hvae_config import HVAEConfig
    from adiabat.training.hvae_prior import PriorConfig
    from adiabat.training.hvae_train import HVAETrainer, export

    with tempfile.TemporaryDirectory() as folder:
        config = HVAEConfig(channels=CHANNELS, widths=(16, 16, 8), z=LATENTS, wavelengths=0)
        trainer = HVAETrainer(config, Path(folder) / "run", tiles()[0])
        prior = PriorConfig(hidden=8, rounds=(0.5, 0.5), views=4, steps=40, batch=256)
        return export(
            trainer.model.eval(), tiles()[0], prior, Path(folder) / "model.zip", {"name": "test"}, lambda _: None
        )


@cache
def model() -> HVAEModel:
    """That model."""
    return hvae_model.load(package())
