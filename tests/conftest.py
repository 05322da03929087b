"""Fixtures of every test: where the real data lie, a warm demo field, the command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adiabat.codec import lattice, models
from adiabat.codec.integer_net import Layer

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, `ADIABAT_DATA` or ../shared/data; the test skips without it."""
    folder = Path(os.environ.get("ADIABAT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set ADIABAT_DATA")
    return folder


@pytest.fixture(scope="session")
def side_package() -> bytes:
    """The package of a model that sees references: small random networks beside cubic interpolation."""
    pytest.importorskip("onnx")
    from adiabat.training.export import IntegerNet, package

    rng, nets = np.random.default_rng(0), {}
    for number, name in enumerate(models.NETS):
        rule = lattice.PASSES[number % 3]
        inputs = rule.side_inputs if name in models.SIDE else rule.inputs
        sizes = (((inputs, 8), 30, 6), ((8, models.OUTPUTS), 9, 0))
        layers = tuple(Layer(rng.integers(-top, top + 1, size).astype(np.int8), shift) for size, top, shift in sizes)
        nets[name] = IntegerNet(layers, (64 * rule.taps).astype(np.int16))
    return package(nets, models.find_model().frequencies, {"name": "random"})


@pytest.fixture(scope="session")
def side_model(side_package: bytes) -> models.Model:
    """That model."""
    return models.load(side_package)


@pytest.fixture(scope="session")
def still_model(side_model: models.Model) -> models.Model:
    """The same without networks for references, as of format 1."""
    return replace(side_model, nets=side_model.nets[: len(models.STILL)])


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a fresh process, in an empty folder, so that nothing is imported already."""

    def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            timeout=300,
        )

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and nothing in memory."""
    from adiabat.codec import statics

    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)
    monkeypatch.setattr(statics, "_loaded", {})
    return tmp_path / "cache"
