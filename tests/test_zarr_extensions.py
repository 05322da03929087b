"""The pages and schemas for the registry of Zarr extensions: what the codecs have, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import zarr

SPEC = Path(__file__).parents[1] / "spec"
EXTENSIONS = SPEC / "zarr-extensions" / "codecs"
SCHEMAS = {
    "adiabat.pyramid": "zarr_v3", "adiabat.hyperprior": "latent_zarr_v3", "adiabat.vq": "latent_zarr_v3",
    "adiabat.hvae": "latent_zarr_v3", "adiabat.healpix": "healpix_zarr_v3", "adiabat.mask": "mask_zarr_v3",
}  # fmt: skip


def read(path):
    return json.loads(path.read_text())


def test_every_codec_of_zarr_v3_is_ready_for_the_registry():
    project = tomllib.loads((SPEC.parent / "pyproject.toml").read_text())
    registered = set(project["project"]["entry-points"]["zarr.codecs"])
    assert registered == set(SCHEMAS) == {path.name for path in EXTENSIONS.iterdir()}
    index = (EXTENSIONS.parent / "README.md").read_text()
    for name in registered:
        assert sorted(path.name for path in (EXTENSIONS / name).iterdir()) == ["README.md", "schema.json"]
        assert f"[{name}](codecs/{name}/README.md)" in index


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_of_the_registry_are_those_of_the_specification(name):
    registered, ours = read(EXTENSIONS / name / "schema.json"), read(SPEC / "schemas" / f"{SCHEMAS[name]}.json")
    jsonschema.Draft202012Validator.check_schema(registered)
    assert (
        registered.pop("title") == f"{name} as a Zarr v3 codec (array to {'array' if 'healpix' in name else 'bytes'})"
    )
    assert registered["properties"].pop("name") == {"const": name}
    names = ours["properties"].pop("name")
    assert name in names.get("enum", [names.get("const")])
    del ours["title"]
    assert registered == ours


@pytest.mark.parametrize("name", SCHEMAS)
def test_pages_of_the_registry_tell_every_option(name):
    text = (EXTENSIONS / name / "README.md").read_text()
    sections = ["Codec name", "Configuration parameters", "Example", "Format and algorithm", "Supported data types"]
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == [*sections, "Change log", "Current maintainers"]
    told = {
        option
        for line in re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
        for option in re.findall(r"`(\w+)`", line)
    }
    configuration = read(EXTENSIONS / name / "schema.json")["properties"]["configuration"]
    assert told == set(configuration.get("properties", {}))
    for option in configuration.get("required", ()):
        assert f"### `{option}` (Required)" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (EXTENSIONS / name / link).resolve().exists(), link


@pytest.mark.parametrize("name", SCHEMAS)
def test_examples_of_the_registry_make_arrays(name, tmp_path):
    """With zarr-python, which writes a chunk and reads it back; its metadata are valid against the schemas."""
    if name in ("adiabat.vq", "adiabat.hvae"):
        pytest.importorskip("onnxruntime")
    (block,) = re.findall(r"```json\n(.*?)```", (EXTENSIONS / name / "README.md").read_text(), flags=re.DOTALL)
    example = json.loads(block)
    shape = example["chunk_grid"]["configuration"]["chunk_shape"]
    is_mask = example["data_type"] == "bool"
    rest = {"zarr_format": 3, "node_type": "array", "shape": shape, "attributes": {}}
    rest |= {"chunk_key_encoding": {"name": "default"}, "fill_value": False if is_mask else "NaN"}
    (tmp_path / "zarr.json").write_text(json.dumps(example | rest))
    array = zarr.open_array(tmp_path, mode="r+")
    if is_mask:
        values = np.add.outer(np.arange(shape[0]), np.add.outer(np.arange(shape[1]), np.arange(shape[2]))) % 40 < 30
    else:
        values = np.exp(np.sin(np.linspace(0, 6, int(np.prod(shape)), dtype="f4"))).reshape(shape)
    array[...] = values
    decoded = array[...]
    # The bounds of the examples are 0.1 and 5 %; a mean error of 0.5 or a ratio of 100 keeps this field within 2.
    assert (decoded == values).all() if is_mask else np.abs(decoded - values).max() < 2
    for codec in json.loads(json.dumps(array.metadata.to_dict()))["codecs"]:
        jsonschema.validate(codec, read(EXTENSIONS / codec["name"] / "schema.json"))
    for codec in example["codecs"]:
        jsonschema.validate(codec, read(EXTENSIONS / codec["name"] / "schema.json"))
