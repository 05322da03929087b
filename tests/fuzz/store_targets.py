"""Targets beside streams and models: low-rank stores, recipes of generated views, records, configurations."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import zarr
from fuzz.json_changes import DEEP, change_json
from fuzz.target import Failure, Target
from numcodecs.registry import get_codec
from zarr.registry import get_codec_class
from zarr.storage import MemoryStore

from adiabat.codec.errors import AdiabatError
from adiabat.codec.healpix_strips import HealpixStrips
from adiabat.formats.generated import Recipe, attributes_of
from adiabat.formats.journal import Record
from adiabat.formats.low_rank_layout import MARKER, VIEWS, write_group
from adiabat.formats.low_rank_store import StoredArray
from adiabat.formats.observed_mask import decode_mask, encode_mask
from adiabat.formats.quantised_factors import Quantised
from adiabat.training.anomaly import Anomaly


def _observed(data: bytes) -> int:
    """The mask of a low-rank store, with the checksum that belongs to it."""
    shape = ((3, 4, 5), (1, 1), (0, 3), (9,), (2, 1, 16))[data[0] % 5] if data else ()
    body = data[2:]
    whole = data[1:2] + zlib.crc32(body).to_bytes(4, "little") + body
    try:
        mask = decode_mask(whole, shape)
    except AdiabatError:
        return 0
    if mask.shape != shape or mask.dtype != np.dtype(bool):
        raise Failure(f"expected bool {shape}, got {mask.dtype} {mask.shape}")
    again = decode_mask(encode_mask(mask), shape)
    if not np.array_equal(again, mask):
        raise Failure("expected a mask that is written to be read again")
    return mask.nbytes


def _observed_seeds() -> Iterator[bytes]:
    for number, shape in enumerate(((3, 4, 5), (1, 1), (0, 3), (9,), (2, 1, 16))):
        data = encode_mask(np.random.default_rng(number).random(shape) < 0.7)
        yield bytes([number, data[0]]) + data[5:]


@cache
def _variable() -> zarr.Group:
    """A small low-rank variable in memory."""
    rng = np.random.default_rng(0)
    factors = [rng.integers(-9, 9, (n, 2)).astype(np.int8) for n in (5, 4, 3)]
    small = Quantised(np.array([0.5, 0.25], np.float32), factors, 0.1)
    anomaly = Anomaly("none", np.ones((4, 3), np.float32), 2.0, np.zeros(5, np.float32))
    return write_group(
        zarr.open_group(MemoryStore(), mode="w"), "x", dims=("time", "y", "x"), dtype=np.dtype("f4"), small=small,
        anomaly=anomaly, attributes={"units": "K"}, observed=rng.random((5, 4, 3)) < 0.5,
    )  # fmt: skip


class _Noted:
    """The group of a variable with another note."""

    def __init__(self, note: object) -> None:
        self.attrs, self.path = {MARKER: note}, "x"
        self.get = _variable().get


def _low_rank(data: bytes) -> int:
    """The note of a low-rank variable, and its values where the note is taken."""
    try:
        note = json.loads(data)
    except (ValueError, RecursionError):
        return 0
    try:
        stored = StoredArray(_Noted(note), ("", *VIEWS)[len(data) % 5])  # type: ignore[arg-type]
    except (AdiabatError, ValueError) as error:
        if isinstance(error, ValueError) and "view" not in str(error):
            raise
        return 0
    try:
        values = stored.outer([np.arange(min(size, 2)) for size in stored.shape])
        stored.points([np.zeros(min(size, 1), np.int64) for size in stored.shape])
        stored.chunks  # noqa: B018
    except AdiabatError:
        return 0
    if values.dtype != stored.dtype or values.dtype.kind not in "fb":
        raise Failure(f"expected {stored.dtype}, got {values.dtype}")
    return 0


def _low_rank_seeds() -> Iterator[bytes]:
    yield json.dumps(_variable().attrs[MARKER]).encode()
    yield json.dumps(_variable().attrs[MARKER] | {"transform": "log", "floor": 0.5, "bound": {"abs": 1.0}}).encode()


def _recipe(data: bytes) -> int:
    """A recipe, and all that is made of one before a model is asked for."""
    try:
        recipe = Recipe.from_json(data.decode("utf-8", "surrogateescape"))
    except AdiabatError:
        return 0
    marks = attributes_of("x", {"units": "K"}, recipe)
    if Recipe.from_json(recipe.to_json()) != recipe or not all(type(each) is int for each in recipe.fine_shape):
        raise Failure(f"expected whole lengths and a recipe that is read as written, got {recipe}")
    json.dumps(marks, allow_nan=False)
    np.zeros(1).reshape((1,) * len(recipe.fine_shape))
    float(recipe.scale), bool(recipe.wrap)
    return 0


def _recipe_seeds() -> Iterator[bytes]:
    common: dict[str, Any] = {"model": "ab" * 32, "factor": 4, "shape": (40, 60), "scale": 0.5}
    yield Recipe(**common, samples=3, seed=7, grain=(0.1, 0.2), gains=(1.0, 1.5)).to_json().encode()
    yield Recipe(**common, kind="mean", persistence="frozen").to_json().encode()
    yield Recipe(**common, kind="texture", bound=0.25, wrap=True).to_json().encode()
    yield b"[" * 3000


def _record(data: bytes) -> int:
    """A line of a journal."""
    try:
        record = Record.from_json(data.decode("utf-8", "surrogateescape"))
    except (ValueError, TypeError, KeyError):
        return 0
    if Record.from_json(record.to_json()) != record:
        raise Failure(f"expected a record that is read as it was written, got {record}")
    record.start, record.array  # noqa: B018
    return 0


def _record_seeds() -> Iterator[bytes]:
    yield Record("t2m/24.0.0", (48, 9, 9), 100, "ab" * 8, 10, 9, 0.1, 0.5, 1.0, 2.0, 3.0).to_json().encode()
    yield b"[" * DEEP


CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {"id": "adiabat.pyramid", "bound": {"abs": 0.1}, "valid_range": [0, None], "fill_value": -999.0, "wrap": True},
    {"id": "adiabat.pyramid", "bound": {"abs": [0.1, 0.2], "axis": -1}, "static": ["ab" * 32], "model": "x"},
    {"id": "adiabat.pyramid", "bound": {"noise": 1}, "tune": "rmse", "channels": 0, "threads": 1},
    {"id": "adiabat.hyperprior", "target": {"rmse": 0.2}, "bound": "lossless"},
    {"id": "adiabat.vq", "target": {"ratio": 300}},
    {"id": "adiabat.hvae", "target": {"ratio": 300}, "bound": {"rel": 0.1}},
    {"id": "adiabat.healpix", "nside": 4, "dtype": "<f4"},
)  # fmt: skip


def _configuration(data: bytes) -> int:
    """A codec's configuration, of numcodecs and of Zarr v3."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return 0
    if not isinstance(given, dict) or given.get("id") not in [each["id"] for each in CONFIGURATIONS]:
        return 0
    try:
        codec = get_codec(given)
    except (ValueError, TypeError):
        pass
    else:
        plain = json.loads(json.dumps(codec.get_config(), allow_nan=False))
        if get_codec(plain).get_config() != codec.get_config():
            raise Failure(f"expected a configuration that is read as it was written, got {plain}")
    name, options = given["id"], {key: value for key, value in given.items() if key != "id"}
    try:
        again = get_codec_class(name).from_dict({"name": name, "configuration": options})
    except (ValueError, TypeError):
        return 0
    json.dumps(again.to_dict(), allow_nan=False)
    return 0


def _configuration_seeds() -> Iterator[bytes]:
    yield from (json.dumps(each).encode() for each in CONFIGURATIONS)


def _strips(data: bytes) -> int:
    """Cells of a sphere from bytes."""
    first = data[0] if data else 0
    codec = HealpixStrips((1, 2, 4, 3)[first % 3], ("<f4", ">f8", "<i2")[first // 3 % 3])
    try:
        cells = codec.decode(data[1:])
    except ValueError:
        return 0
    if codec.encode(np.ascontiguousarray(cells)).tobytes() != data[1:]:
        raise Failure("expected cells that are moved back where they were")
    return int(cells.nbytes)


def _strips_seeds() -> Iterator[bytes]:
    for first in range(9):
        nside, size = (1, 2, 4)[first % 3], (4, 8, 2)[first // 3]
        yield bytes([first]) + bytes(12 * nside**2 * size % 4096)


CODECS = (
    "arguments",
    "bound",
    "bound_profile",
    "latent_options",
    "latent_codec",
    "latent_target",
    "pyramid",
    "zarr_plugin",
)
CODECS += ("healpix_strips", "faces")
FORMATS = ("generated", "journal", "low_rank_layout", "low_rank_store", "observed_mask", "factor_sums", "low_rank")
MODULES = (*(f"adiabat.codec.{name}" for name in CODECS), *(f"adiabat.formats.{name}" for name in FORMATS))

STORE_TARGETS = (
    Target("observed", _observed, _observed_seeds, MODULES, longest=256),
    Target("low_rank", _low_rank, _low_rank_seeds, MODULES, change_json, longest=2048),
    Target("recipe", _recipe, _recipe_seeds, MODULES, change_json),
    Target("record", _record, _record_seeds, MODULES, change_json, longest=DEEP),
    Target("configuration", _configuration, _configuration_seeds, MODULES, change_json),
    Target("strips", _strips, _strips_seeds, MODULES, longest=2048),
)
