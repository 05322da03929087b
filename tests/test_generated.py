"""Recipes and marks of generated variables."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import xarray as xr

from adiabat.codec.errors import CorruptStreamError, UnsupportedVersionError
from adiabat.formats import (
    block_means,
    compress,
    conditions,
    grain,
    low_rank,
    noise_field,
    perceptual,
    sampler,
    stitching,
    tile_inputs,
)
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import MARK, RECIPE, Recipe, attributes_of, recipes_of, refuse_generated

SPEC = Path(__file__).parents[1] / "spec"
SCHEMA = json.loads((SPEC / "schemas" / "generated_recipe.json").read_text())
GOOD = Recipe(model="ab" * 32, factor=4, shape=(40, 60), scale=0.5, samples=3, seed=7)
TEXTURE = Recipe(model="ab" * 32, factor=8, shape=(40, 60), scale=0.5, kind="texture", bound=0.1)
OTHERS = [
    {},
    {"kind": "mean", "samples": 1},
    {"persistence": "frozen", "wrap": True},
    {"persistence": 6, "non_negative": True, "seed": 2**63 - 1},
    {"grain": (-1.25, 0.5)},
    {"grain": (-1.25, 0.5), "gains": (0.75, 0.5)},
]
BAD = [
    {"model": "ab"},
    {"model": "AB" * 32},
    {"factor": 1},
    {"factor": True},
    {"shape": (40,)},
    {"shape": (0, 4)},
    {"scale": 0.0},
    {"scale": float("nan")},
    {"scale": float("inf")},
    {"kind": "data"},
    {"kind": "mean"},  # of three samples
    {"seed": -1},
    {"seed": 2**63},
    {"samples": 0},
    {"steps": 0},
    {"steps": 2.5},
    {"persistence": -1},
    {"persistence": "always"},
    {"persistence": True},
    {"grain": (-1.0,)},
    {"grain": (-1.0, 0.0, 1.0)},
    {"gains": (1.0, 0.0)},
    {"gains": (1.0,)},
    {"gains": (1.0, 1.0), "kind": "mean", "samples": 1},
    {"bound": 0.1},  # of samples
    {"kind": "texture", "samples": 1},  # without a bound
    {"kind": "texture", "samples": 1, "bound": 0.0},
]


@pytest.mark.parametrize("change", OTHERS)
def test_recipes_survive_json_and_the_schema(change):
    recipe = replace(GOOD, **change)
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("change", BAD, ids=str)
def test_what_is_no_recipe_is_refused_by_code_and_schema(change):
    with pytest.raises(ValueError, match="expected"):
        replace(GOOD, **change)
    note = json.loads(GOOD.to_json()) | json.loads(json.dumps(change))
    if change.get("scale") != change.get("scale") or change.get("scale") == float("inf"):
        return  # JSON has no such number
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(note, SCHEMA)


def test_schema_and_recipe_have_the_same_keys():
    assert set(SCHEMA["properties"]) == set(json.loads(GOOD.to_json()))
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2}', GOOD.to_json()[:-1], GOOD.to_json().replace("7", "-7")]
)
def test_broken_recipes_are_refused(text):
    with pytest.raises(CorruptStreamError, match="is no recipe"):
        Recipe.from_json(text)


def test_grain_is_finite():
    with pytest.raises(ValueError, match="grain"):
        replace(GOOD, grain=(-1.0, float("nan")))


def test_unknown_keys_and_other_versions_are_refused():
    note = json.loads(GOOD.to_json())
    with pytest.raises(CorruptStreamError, match="wind"):
        Recipe.from_json(json.dumps(note | {"wind": 1}))
    for version in (0, 3):
        with pytest.raises(UnsupportedVersionError, match=f"version 1 or 2, got {version}: upgrade adiabat"):
            Recipe.from_json(json.dumps(note | {"version": version}))


def test_recipes_of_version_1_knew_neither_grain_nor_gains():
    note = json.loads(GOOD.to_json()) | {"version": 1}
    with pytest.raises(CorruptStreamError, match="version 1"):
        Recipe.from_json(json.dumps(note))
    del note["grain"], note["gains"]
    assert Recipe.from_json(json.dumps(note)) == replace(GOOD, grain=None, gains=None)


def test_shapes_and_promises():
    assert (GOOD.fine_shape, GOOD.promised) == ((160, 240), "no bound")
    assert (TEXTURE.fine_shape, TEXTURE.promised) == ((40, 60), "abs:0.2")


@pytest.mark.parametrize("recipe", [GOOD, replace(GOOD, kind="mean", samples=1), TEXTURE])
def test_marks(recipe):
    stored = {"units": "K", "long_name": "temperature", "comment": "by Ann.", "adiabat": "{}", RECIPE: "{}",
              "valid_max": 300.0, "standard_name": "air_temperature"}  # fmt: skip
    marked = attributes_of("t", stored, recipe)
    assert marked[MARK] == 1
    assert (marked["adiabat_seed"], marked["adiabat_steps"]) == (recipe.seed, recipe.steps)
    assert (marked["adiabat_model"], marked["adiabat_bound"]) == (recipe.model, recipe.promised)
    assert marked["comment"].startswith("Not data:")
    assert marked["comment"].endswith("by Ann.")
    assert marked["long_name"] == "temperature (generated)"
    assert (marked["units"], marked["standard_name"]) == ("K", "air_temperature")
    assert not {"adiabat", RECIPE, "valid_max"} & set(marked)
    assert Recipe.from_json(marked["adiabat_recipe"]) == recipe


def test_recipes_of_stored_arrays():
    stored = xr.Variable(("y", "x"), np.zeros((40, 60)), {RECIPE: GOOD.to_json()})
    made = xr.Variable(("y", "x"), np.zeros((40, 60)), attributes_of("t", stored.attrs, GOOD))
    assert recipes_of({"t": stored, "u": made}) == {"t": GOOD}
    with pytest.raises(RequestError, match=r"frames of \(39, 60\), but its recipe is for \(40, 60\)"):
        recipes_of({"t": stored[1:]})
    other = xr.Variable(("y", "x"), np.zeros((40, 60)), {RECIPE: replace(GOOD, factor=8).to_json()})
    with pytest.raises(RequestError, match="of one kind, factor"):
        recipes_of({"t": stored, "u": other})


@pytest.fixture
def made():
    values = np.linspace(0, 1, 600, dtype="f4").reshape(1, 20, 30)
    return xr.DataArray(values, dims=("time", "lat", "lon"), name="t", attrs=attributes_of("t", {"units": "K"}, GOOD))


def test_generated_values_are_not_stored_as_data(made, tmp_path):
    refuse_generated([made], allowed=True)
    for write in (
        lambda: refuse_generated([made]),
        lambda: compress(made.to_dataset(), tmp_path / "t.zarr", default_bound={"abs": 0.1}),
        lambda: low_rank.write(made, tmp_path / "t.cp.zarr", rank=1),
    ):
        with pytest.raises(RequestError, match="t was generated by a model and is no data"):
            write()
    assert not list(tmp_path.iterdir())


def test_stored_by_permission_they_keep_their_marks(made, tmp_path):
    compress(made.to_dataset(), tmp_path / "t.zarr", default_bound={"abs": 0.1}, allow_generated=True)
    stored = xr.open_zarr(tmp_path / "t.zarr").t
    assert {key: stored.attrs[key] for key in made.attrs} == made.attrs
    with pytest.raises(RequestError, match="--allow-generated"):
        compress(stored.to_dataset(), tmp_path / "u.zarr", default_bound={"abs": 0.1})


def test_the_specification_names_the_numbers_of_the_code():
    text = " ".join((SPEC / "generated.md").read_text().split())
    told = {
        rf"{stitching.GRID} ceil\(N / \({stitching.GRID} max\(1, round\(N / {stitching.TILE}\)": "tiles",
        rf"The halo is {stitching.HALO} cells": "halo",
        rf"on {tile_inputs.NEAR} cells more .* features on {tile_inputs.SURROUND} more": "surroundings",
        rf"conditions on {tile_inputs.MARGIN} coarse cells more": "margin",
        rf"into the first over {stitching.BLEND} cells": "blend",
        rf"from t1 = {sampler.FIRST} down to tn = {sampler.LAST};": "times",
        rf"blocks of {noise_field.BLOCK} x {noise_field.BLOCK} fine cells": "noise",
        rf"\({conditions.FLAT} scale\)\^2": "least local scale",
        rf"mean of q over {conditions.NEAR} x {conditions.NEAR} cells": "window of the local scale",
        rf"mean of c over {conditions.WIDE} x {conditions.WIDE} cells": "window of the mean",
        rf"/ local, -{conditions.LIMIT:g}, {conditions.LIMIT:g}\)": "limit",
        rf"clip\(\(g1 \+ {-conditions.MIDDLE}\) / {conditions.WIDTH}, -{conditions.GRAINS:g}, ": "grain",
        rf"windows of up to {grain.WINDOW} x {grain.WINDOW} cells": "windows of the grain",
        rf"/ r \+ {grain.FLOOR:.5f}\)": "least grain",
        rf"t0 = min\({perceptual.LATEST}, .* / \({perceptual.SPREAD} scale\)": "start of texture",
        rf"/ s, -{perceptual.LIMIT:g}, {perceptual.LIMIT:g}\)": "limit of texture",
        rf"x = alpha d0 \+ {perceptual.GAIN} sigma_t noise": "noise of texture",
        r"Within each tile, twice" if block_means.PASSES == 2 else "passes": "passes",
    }
    assert not [name for pattern, name in told.items() if not re.search(pattern, text)]
