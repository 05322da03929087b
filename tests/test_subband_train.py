"""Training of Hyperprior's networks: the same command gives the same hash, stopped or not; stores are read by chunk."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import zarr
from latent_cases import rmse, smooth

from adiabat.codec import Hyperprior
from adiabat.codec.hyperprior_model import find_hyperprior

subband_train = pytest.importorskip("adiabat.training.subband_train")

SMALL = subband_train.SubbandConfig(
    hidden={"coarse": 8, "fine": 8}, rounds=(0.3, 0.3, 0.4), views=4, keep=300, steps=20, batch=64
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "a.npy", np.stack([smooth((48, 96), seed=seed) for seed in range(3)]))
    return folder


def run(target, folder, config=SMALL, **options):
    return subband_train.train_hyperprior(target, [folder], config, progress=lambda text: None, **options)


def test_same_command_same_hash_and_it_codes(folder, tmp_path):
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    sha256 = run(first, folder)
    assert sha256 == hashlib.sha256(first.read_bytes()).hexdigest() == run(second, folder)
    model = find_hyperprior(first)
    assert model.manifest["variables"] == ["a"]
    assert str(tmp_path) not in str(model.manifest)
    field = smooth((40, 80), seed=5)
    codec = Hyperprior(target={"rmse": 0.2}, model=str(first))
    assert rmse(field, codec.decode(codec.encode(field))) <= 0.2


class Stopped(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_hash(folder, tmp_path, monkeypatch, rounds):
    whole = run(tmp_path / "whole.zip", folder)
    target, save = tmp_path / "stopped.zip", subband_train.SubbandTrainer._save

    def stop(self, *arguments):
        save(self, *arguments)
        if arguments[0] == rounds:
            raise Stopped

    monkeypatch.setattr(subband_train.SubbandTrainer, "_save", stop)
    with pytest.raises(Stopped):
        run(target, folder)
    monkeypatch.setattr(subband_train.SubbandTrainer, "_save", save)
    assert not target.exists()
    assert run(target, folder) == whole
    assert not list(tmp_path.glob("stopped.zip.*"))


def test_a_checkpoint_of_another_recipe_is_refused(folder, tmp_path, monkeypatch):
    save = subband_train.SubbandTrainer._save

    def stop(self, *arguments):
        save(self, *arguments)
        raise Stopped

    monkeypatch.setattr(subband_train.SubbandTrainer, "_save", stop)
    with pytest.raises(Stopped):
        run(tmp_path / "out.zip", folder)
    with pytest.raises(ValueError, match="another recipe or data"):
        run(tmp_path / "out.zip", folder, dataclasses.replace(SMALL, rate=1e-3))


def test_a_store_is_read_one_chunk_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "arco.zarr"
    group = zarr.open_group(path, mode="w")
    shape, chunks = (5, 3, 33, 64), (1, 3, 33, 64)
    array = group.create_array("temperature", shape=shape, chunks=chunks, dtype="f4")
    array[:] = np.stack([[smooth((33, 64), seed=3 * t + k) for k in range(3)] for t in range(5)])
    asked, read = [], zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: asked.append(key) or read(self, key))
    run(tmp_path / "out.zip", path)
    assert asked
    assert all(isinstance(key, int) for key in asked)
    assert find_hyperprior(tmp_path / "out.zip").manifest["variables"] == ["arco.zarr/temperature"]


def test_a_store_without_fields_is_named(tmp_path):
    zarr.open_group(tmp_path / "none.zarr", mode="w")
    with pytest.raises(ValueError, match="float variables of 3 axes or more"):
        run(tmp_path / "out.zip", tmp_path / "none.zarr")


@pytest.mark.parametrize("change", [{"steps": 1}, {"views": 0}, {"threads": 0}])
def test_recipes_that_make_no_sense_are_named(change):
    with pytest.raises(ValueError, match="expected steps"):
        dataclasses.replace(SMALL, **change)
