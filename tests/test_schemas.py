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

from adiabat.codec import Pyramid
from adiabat.codec.zarr_plugin import PyramidCodec

SPEC = Path(__file__).parents[1] / "spec"
NUMCODECS = json.loads((SPEC / "schemas" / "numcodecs.json").read_text())
ZARR = json.loads((SPEC / "schemas" / "zarr_v3.json").read_text())
CONFIGURATION = ZARR["properties"]["configuration"]
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
]
BAD = [
    {},
    {"bound": "none"},
    {"bound": {"abs": 0}},
    {"bound": {"abs": -1.0}},
    {"bound": {"rel": "0.1"}},
    {"bound": {"abs": 0.1, "rel": 0.1}},
    {"bound": {}},
    {"bound": {"noise": 1}},
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


def test_schemas_are_schemas():
    for schema in (NUMCODECS, ZARR):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_both_schemas_say_the_same():
    numcodecs = copy.deepcopy(NUMCODECS["properties"])
    assert numcodecs.pop("id") == ZARR["properties"]["name"] == {"const": Pyramid.codec_id}
    assert numcodecs == CONFIGURATION["properties"]
    assert set(NUMCODECS["required"]) - {"id"} == set(CONFIGURATION["required"])


def test_constructors_schemas_and_prose_name_the_same_options():
    options = set(inspect.signature(Pyramid).parameters) - LOCAL
    assert options == set(inspect.signature(PyramidCodec).parameters) - LOCAL
    assert options == set(CONFIGURATION["properties"])
    prose = (SPEC / "README.md").read_text().split("## Configuration", 1)[1].split("\n## ")[0]
    assert options == set(re.findall(r"^\| `(\w+)` \|", prose, flags=re.MULTILINE))
    required = set(re.findall(r"^\| `(\w+)` \| [^|]* \| required \|", prose, flags=re.MULTILINE))
    assert required == set(CONFIGURATION["required"])
    for signature in (inspect.signature(Pyramid), inspect.signature(PyramidCodec)):
        missing = {name for name, p in signature.parameters.items() if p.default is inspect.Parameter.empty}
        assert missing == required


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


def test_threads_are_never_written():
    assert "threads" not in Pyramid(bound="lossless", threads=2).get_config()
    assert "threads" not in PyramidCodec(bound="lossless", threads=2).to_dict()["configuration"]


def test_defaults_are_not_written():
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
