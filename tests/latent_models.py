"""Small models with random networks for the latent codecs' tests: as good as any for what must hold of every model."""

from __future__ import annotations

from functools import cache

import numpy as np

from adiabat.codec import entropy, hyperprior_model
from adiabat.codec.hyperprior_model import HyperpriorModel
from adiabat.codec.integer_net import Layer
from adiabat.codec.models import find_model
from adiabat.codec.subband import INPUTS


def random_layers(rng, hidden=8):
    """Three layers whose outputs stay small enough for contexts to be sensible."""
    sizes = (((INPUTS, hidden), 30, 6), ((hidden, hidden), 20, 4), ((hidden, hyperprior_model.OUTPUTS), 9, 0))
    return tuple(Layer(rng.integers(-top, top + 1, size).astype(np.int8), shift) for size, top, shift in sizes)


@cache
def hyperprior_package(seed=0):
    """A package of kind "hyperprior": needs onnx."""
    from adiabat.training.export import integer_parts, manifest, npy, zipped

    rng = np.random.default_rng(seed)
    layers = {name: random_layers(rng) for name in hyperprior_model.NETS}
    nets = {name: {"shifts": [layer.shift for layer in net]} for name, net in layers.items()}
    about = {"format": hyperprior_model.FORMAT, "kind": hyperprior_model.KIND, "name": "random", "nets": nets}
    parts = {
        "manifest.json": manifest(about),
        "frequencies.npy": npy(find_model().frequencies),
        "shrink.npy": npy(rng.integers(-20, 60, (entropy.TABLES, 2)).astype(np.int16)),
    }
    for name, net in layers.items():
        parts |= integer_parts(name, net)
    return zipped(parts)


@cache
def hyperprior_model_of(seed=0) -> HyperpriorModel:
    """The model of that package."""
    return hyperprior_model.load(hyperprior_package(seed))
