"""Constructor, prose table and JSON schemas name the same options, and say the same of them."""

from __future__ import annotations

import copy
import inspect
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from adiabat.codec import HVAE, Hyperprior, Pyramid
from adiabat.codec.vq import VQ
from adiabat.codec.zarr_plugin import HVAECodec, HyperpriorCodec, PyramidCodec, VQCodec

SPEC = Path(__file__).parents[1] / "spec"
NUMCODECS = json.loads((SPEC / "schemas" / "numcodecs.json").read_text())
ZARR = json.loads((SPEC / "schemas" / "zarr_v3.json").read_text())
CONFIGURATION = ZARR["properties"]["configuration"]
LATENT_NUMCODECS = json.loads((SPEC / "schemas" / "latent_numcodecs.json").read_text())
LATENT_ZARR = json.loads((SPEC / "schemas" / "latent_zarr_v3.json").read_text())
LATENT_CONFIGURATION = LATENT_ZARR["properties"]["configuration"]
LATENT = [(Hyperprior, HyperpriorCodec), (VQ, VQCodec), (HVAE, HVAECodec)]
LOCAL = {"threads"}  # changes speed only, so it is never written

GOOD = [
    {"bound": "lossless"},
    {"bound": {"abs": 0.1}},
    {"bound": {"abs": [0.1]}},
    {"bound": {"abs": [0.1, 2, 0.5], "axis": -1}},
    {"bound": {"rel": 1e-3}, "wrap": True},
    {"bound": {"abs": 2}, "valid_range": [None, 1.5], "fill_value": -9999, "wrap": False, "model": "pyramid"},
    {"bound": {"abs": 0.1}, "tune": "rmse"},
    {"bound": "lossless", "tune": "bytes", "static": []},
    {"bound": {"abs": [0.1]}, "static": ["0123456789abcdef" * 4] * 4},
    {"bound": {"noise": 0.25}},
    {"bound": {"noise": 1}, "channels": -1},
    {"bound": {"rel": 0.1}, "channels": 0},
]
BAD = [
    {},
    {"bound": "none"},
    {"bound": {"abs": 0}},
    {"bound": {"abs": -1.0}},
    {"bound": {"rel": "0.1"}},
    {"bound": {"abs": 0.1, "rel": 0.1}},
    {"bound": {}},
    {"bound": {"noise": 0}},
    {"bound": {"noise": [1, 2]}},
    {"bound": {"noise": 1, "axis": 0}},
    {"bound": "lossless", "channels": 0.5},
    {"bound": "lossless", "channels": "wavelength"},
    {"bound": "lossless", "channels": True},
    {"bound": {"abs": []}},
    {"bound": {"abs": [0.1, 0]}},
    {"bound": {"abs": [[0.1]]}},
    {"bound": {"abs": ["0.1"]}},
    {"bound": {"abs": [0.1], "axis": 0.5}},
    {"bound": {"abs": [0.1], "axis": "level"}},
    {"bound": {"abs": 0.1, "axis": 0}},
    {"bound": {"rel": [0.1]}},
    {"bound": {"axis": 0}},
    {"bound": 0.1},
    {"bound": "lossless", "valid_range": [0.0]},
    {"bound": "lossless", "valid_range": "01"},
    {"bound": "lossless", "fill_value": "nan"},
    {"bound": "lossless", "wrap": "yes"},
    {"bound": "lossless", "model": 3},
    {"bound": "lossless", "tune": "psnr"},
    {"bound": "lossless", "tune": None},
    {"bound": "lossless", "static": "ab" * 32},
    {"bound": "lossless", "static": ["ab" * 31]},
    {"bound": "lossless", "static": ["AB" * 32]},
    {"bound": "lossless", "static": ["orography"]},
    {"bound": "lossless", "static": [32]},
    {"bound": "lossless", "static": ["ab" * 32] * 5},
    {"bound": "lossless", "level": 9},
]
LATENT_GOOD = [
    {"target": {"rmse": 0.1}},
    {"target": {"ratio": 300}, "wrap": True, "valid_range": [0, None], "fill_value": -9999.0, "model": "hyperprior"},
    {"target": {"ratio": 1.5}, "bound": {"abs": 2}},
    *[options for options in GOOD if not {"tune", "channels"} & set(options)],
]
LATENT_BAD = [
    {},
    {"wrap": True},
    {"target": None},
    {"target": 300},
    {"target": {}},
    {"target": {"rmse": 0}},
    {"target": {"rmse": -1}},
    {"target": {"ratio": "300"}},
    {"target": {"rmse": True}},
    {"target": {"psnr": 40}},
    {"target": {"rmse": 0.1, "ratio": 300}},
    {"target": {"rmse": 0.1}, "tune": "rmse"},
    *[options for options in BAD if "bound" in options],
]


def test_schemas_are_schemas():
    for schema in (NUMCODECS, ZARR, LATENT_NUMCODECS, LATENT_ZARR):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_both_schemas_say_the_same():
    numcodecs = copy.deepcopy(NUMCODECS["properties"])
    assert numcodecs.pop("id") == ZARR["properties"]["name"] == {"const": Pyramid.codec_id}
    assert numcodecs == CONFIGURATION["properties"]
    assert set(NUMCODECS["required"]) - {"id"} == set(CONFIGURATION["required"])
    numcodecs = copy.deepcopy(LATENT_NUMCODECS["properties"])
    ids = [codec.codec_id for codec, _ in LATENT]
    assert numcodecs.pop("id") == LATENT_ZARR["properties"]["name"] == {"enum": ids}
    assert numcodecs == LATENT_CONFIGURATION["properties"]
    assert LATENT_NUMCODECS["anyOf"] == LATENT_CONFIGURATION["anyOf"]


def test_what_codecs_share_is_the_same_in_their_schemas():
    latent = copy.deepcopy(LATENT_CONFIGURATION["properties"])
    del latent["target"]
    assert latent == {name: CONFIGURATION["properties"][name] for name in latent}


def prose_of(heading):
    """The table of options under a heading of the chapter on configuration: names, and which are required."""
    prose = (SPEC / "README.md").read_text().split(f"\n### {heading}\n", 1)[1].split("\n##")[0]
    names = re.findall(r"^\| `(\w+)` \|", prose, flags=re.MULTILINE)
    return set(names), set(re.findall(r"^\| `(\w+)` \| [^|]* \| required \|", prose, flags=re.MULTILINE))


def test_constructors_schemas_and_prose_name_the_same_options():
    options = set(inspect.signature(Pyramid).parameters) - LOCAL
    assert options == set(inspect.signature(PyramidCodec).parameters) - LOCAL
    assert options == set(CONFIGURATION["properties"])
    names, required = prose_of("adiabat.pyramid")
    assert names == options
    assert required == set(CONFIGURATION["required"])
    parameters = inspect.signature(Pyramid).parameters
    assert required == {name for name, p in parameters.items() if p.default is inspect.Parameter.empty}


@pytest.mark.parametrize(("codec", "zarr"), LATENT)
def test_latent_codecs_have_the_options_of_their_schema(codec, zarr):
    options = set(inspect.signature(codec).parameters) - LOCAL
    assert options == set(inspect.signature(zarr).parameters) - LOCAL
    assert options == set(LATENT_CONFIGURATION["properties"])
    assert prose_of("adiabat.hyperprior, adiabat.vq, adiabat.hvae") == (options, set())
    assert zarr.name == codec.codec_id


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_what_codecs_write_is_valid(options):
    config = Pyramid(**options).get_config()
    jsonschema.validate(config, NUMCODECS)
    jsonschema.validate({"id": Pyramid.codec_id, **options}, NUMCODECS)
    entry = json.loads(
        json.dumps(PyramidCodec.from_dict({"name": Pyramid.codec_id, "configuration": options}).to_dict())
    )
    jsonschema.validate(entry, ZARR)
    assert {"id": entry["name"], **entry["configuration"]} == config


@pytest.mark.parametrize("options", BAD, ids=str)
def test_what_schemas_refuse_codecs_refuse(options):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": Pyramid.codec_id, **options}, NUMCODECS)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": Pyramid.codec_id, "configuration": options}, ZARR)
    with pytest.raises((TypeError, ValueError)):
        Pyramid(**options)
    with pytest.raises((TypeError, ValueError)):
        PyramidCodec.from_dict({"name": Pyramid.codec_id, "configuration": options}).to_dict()


@pytest.mark.parametrize(("codec", "zarr"), LATENT)
@pytest.mark.parametrize("options", LATENT_GOOD, ids=str)
def test_what_latent_codecs_write_is_valid(codec, zarr, options):
    config = codec(**options).get_config()
    jsonschema.validate(config, LATENT_NUMCODECS)
    jsonschema.validate({"id": codec.codec_id, **options}, LATENT_NUMCODECS)
    assert codec.from_config(config).get_config() == config
    entry = json.loads(json.dumps(zarr.from_dict({"name": codec.codec_id, "configuration": options}).to_dict()))
    jsonschema.validate(entry, LATENT_ZARR)
    assert {"id": entry["name"], **entry["configuration"]} == config


@pytest.mark.parametrize(("codec", "zarr"), LATENT)
@pytest.mark.parametrize("options", LATENT_BAD, ids=str)
def test_what_latent_schemas_refuse_latent_codecs_refuse(codec, zarr, options):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": codec.codec_id, **options}, LATENT_NUMCODECS)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": codec.codec_id, "configuration": options}, LATENT_ZARR)
    if options == {"target": None}:
        options = {}  # what a constructor cannot tell from it
    with pytest.raises((TypeError, ValueError)):
        codec(**options)
    with pytest.raises((TypeError, ValueError)):
        zarr.from_dict({"name": codec.codec_id, "configuration": options}).to_dict()


def test_threads_are_never_written():
    assert "threads" not in Pyramid(bound="lossless", threads=2).get_config()
    assert "threads" not in PyramidCodec(bound="lossless", threads=2).to_dict()["configuration"]
    for codec, zarr in LATENT:
        assert "threads" not in codec(target={"rmse": 1}, threads=2).get_config()
        assert "threads" not in zarr(target={"rmse": 1}, threads=2).to_dict()["configuration"]


def test_defaults_are_not_written():
    for codec, _ in LATENT:
        assert set(codec(target={"ratio": 300}).get_config()) == {"id", "target"}
    options = {"bound": "lossless", "tune": "bytes", "static": []}
    assert set(Pyramid(**options).get_config()) == {"id", "bound"}
    assert set(PyramidCodec(**options).to_dict()["configuration"]) == {"bound"}


def test_numbers_of_numpy_become_json():
    config = Pyramid(
        bound={"abs": np.float32(0.5)}, fill_value=np.float64(3), valid_range=(np.float32(0), None)
    ).get_config()
    jsonschema.validate(json.loads(json.dumps(config)), NUMCODECS)
    bound = {"abs": np.array([0.5, 2], "f4"), "axis": np.int64(1)}
    for config in (Pyramid(bound=bound).get_config(), PyramidCodec(bound=bound).to_dict()["configuration"]):
        assert json.loads(json.dumps(config))["bound"] == {"abs": [0.5, 2.0], "axis": 1}
