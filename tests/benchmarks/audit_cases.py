"""Random cases of the bound audit: arrays of every kind, and codecs with every bound, each made again from two numbers.

Beside `bound_audit`. All data are simulated.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from audit_fields import FAMILIES, laid_out, values, with_special

from adiabat.codec import HVAE, VQ, ChunkContext, Hyperprior, Pyramid, statics

CODECS = {"pyramid": Pyramid, "hyperprior": Hyperprior, "vq": VQ, "hvae": HVAE}
STATIC_SHAPE = (40, 48)
HVAE_CHANNELS = 1028
EXTREMES = (5e-324, 1e-320, 2.2250738585072014e-308, 1e-45, 1e-30, 1e30, 1e300, 8.98846567431158e307, 1.7e308)

SHAPES = (
    (), (1,), (0,), (3, 0, 2), (0, 4), (1, 1, 1, 1, 1), (1, 1), (97, 1), (1, 97), (5, 1, 7), (1, 3, 1, 4, 1), (2, 2),
    (2, 3, 2, 3, 4), (33, 9), (8, 8), (16, 16), (9, 8, 8), (127,), (2, 61),
)  # fmt: skip
LARGE = ((7919,), (101, 103), (64, 64), (3, 37, 41), (5, 2, 24, 32), (2, 2, 2, 16, 17), (257, 31), (12, 20, 24))

Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """One array, and how it is encoded.

    Parameters
    ----------
    codec : str
        A key of CODECS.
    options : dict
        Arguments of the codec.
    array : NDArray[np.floating]
    told : dict
        Arguments of the ChunkContext; empty for none.
    family : str
        Of the field.
    legitimate : str
        What a refusal must say; empty where none is due.
    """

    codec: str
    options: dict[str, Any]
    array: np.ndarray
    told: dict[str, Any] = field(default_factory=dict)
    family: str = ""
    legitimate: str = ""

    def made(self, threads: int = 1) -> Any:
        """The codec."""
        return CODECS[self.codec](**self.options, threads=threads)

    def encoded(self) -> bytes:
        """The stream."""
        context = {"context": ChunkContext(**self.told)} if self.told else {}
        return bytes(self.made().encode(self.array, **context))


def statics_in(folder: Path) -> None:
    """Put the cases' static field where codecs find it."""
    y, x = np.mgrid[: STATIC_SHAPE[0], : STATIC_SHAPE[1]]
    data = statics.static_file(1000 * np.sin(x / 5) * np.cos(y / 4))
    (folder / f"{hashlib.sha256(data).hexdigest()}{statics.SUFFIX}").write_bytes(data)
    os.environ["ADIABAT_MODELS"] = str(folder)


def static_names() -> list[str]:
    """SHA-256 of the static fields there are; none without `statics_in`."""
    folder = os.environ.get("ADIABAT_MODELS")
    return sorted(path.stem for path in Path(folder).glob(f"*{statics.SUFFIX}")) if folder else []


def draw(seed: int, number: int) -> Case:
    """The case of this number."""
    rng = np.random.default_rng([seed, number])
    codec = str(rng.choice(list(CODECS), p=[0.974, 0.016, 0.009, 0.001]))
    with np.errstate(all="ignore"):  # here numbers may overflow as they like; a codec's warning is a fault
        if codec == "hvae":
            return _spectra_of_a_model(rng)
        if codec == "pyramid" and rng.random() < 0.01:
            return _spectra(rng)
        return _field(rng, codec)


def _shape(rng: Rng, codec: str) -> tuple[int, ...]:
    """From 0-d to 5-d; small mostly."""
    kind = rng.random()
    if kind < 0.12:
        return SHAPES[rng.integers(len(SHAPES))]
    if kind < 0.155 and codec == "pyramid":
        return LARGE[rng.integers(len(LARGE))]
    axes = int(rng.choice([1, 2, 3, 4, 5], p=[0.12, 0.5, 0.24, 0.1, 0.04]))
    longest = (300, 26, 10, 7, 5)[axes - 1]
    return tuple(rng.integers(1, longest, axes).tolist())


def _magnitude(rng: Rng, dtype: np.dtype) -> float:
    info = np.finfo(dtype)
    if rng.random() < 0.75:
        return float(10.0 ** rng.uniform(-4, 4) if dtype.itemsize > 2 else 10.0 ** rng.uniform(-2, 4))
    low, high = math.log10(float(info.tiny)), math.log10(float(info.max))
    return float(rng.choice([10.0 ** rng.uniform(low, high), 2.0 ** int(rng.uniform(low, high) / 0.31)]))


def _size(rng: Rng, dtype: np.dtype, m: float) -> float:
    """An absolute bound: some share of a magnitude, near the dtype's resolution there, or an extreme."""
    kind = rng.random()
    if kind < 0.65:
        size = m * 10.0 ** rng.uniform(-5, 0)
        return float(2.0 ** round(math.log2(size)) if rng.random() < 0.3 else float(f"{size:.2g}"))
    if kind < 0.8:
        half = math.ldexp(float(np.finfo(dtype).eps), math.frexp(m)[1] - 2)
        size = half * float(rng.choice([0.25, 0.5, 1, 1.5, 2, 3, 4, 8, 16, 64, 4096]))
        return float(np.nextafter(size, rng.choice([0.0, np.inf])) if rng.random() < 0.5 else size) or 5e-324
    if kind < 0.88:
        round_ones = [size for size in (1e-7, 0.001, 0.05, 0.1, 0.3, 0.5, 1.0, 100.0) if size < m]
        return float(rng.choice(round_ones or [1e-300]))
    return float(rng.choice(EXTREMES)) if kind < 0.95 else m * float(rng.uniform(0.001, 3))


def _bound(
    rng: Rng, kind: str, dtype: np.dtype, m: float, b: float, shape: tuple[int, ...]
) -> tuple[Any, dict[str, Any]]:
    """A bound as a codec takes it, and what its context says."""
    if kind == "rel":
        exact = [1.0, 0.5, 0.25, 2.0**-10, 1e-3, 0.1, 1e9, 1e-300, 5e-324, 0.9999999, 3.0, float(np.finfo(dtype).eps)]
        return {"rel": float(rng.choice(exact) if rng.random() < 0.4 else 10.0 ** rng.uniform(-8, 1))}, {}
    if kind == "profile":
        axis = int(rng.integers(len(shape)))
        sizes = [
            _size(rng, dtype, m) if rng.random() < 0.1 else b * 10.0 ** rng.uniform(-1, 1) for _ in range(shape[axis])
        ]
        sizes = [min(max(size, 5e-324), 1.7e308) for size in sizes]
        if rng.random() < 0.3:
            return {"abs": b}, {"bound": sizes, "bound_axis": axis}
        return {"abs": sizes, "axis": axis - int(rng.choice([0, len(shape)]))}, {}
    if kind == "noise":
        sigma = b * np.exp(rng.normal(size=shape if rng.random() < 0.5 or not shape else shape[-1:]))
        sigma = np.asarray(np.where(rng.random(sigma.shape) < 0.05, rng.choice([0.0, np.nan, np.inf, -1.0]), sigma))
        return {"noise": float(rng.choice([0.25, 0.5, 1.0, 3.0, 0.1, 1e-3]))}, {
            "noise": sigma.astype(rng.choice(["f4", "f8"]))
        }
    return ("lossless" if kind == "lossless" else {"abs": b}), {}


def _options(rng: Rng, codec: str, array: np.ndarray, m: float, b: float) -> tuple[dict[str, Any], str]:
    """Options beside the bound, and what a refusal must say where one is due."""
    out: dict[str, Any] = {}
    if rng.random() < 0.15:
        out["fill_value"] = float(rng.choice([-9999.0, 1e20, 0.0, -0.0, m, 9.969209968386869e36]))
    finite = array[np.isfinite(array)].astype(np.float64)
    refusal = ""
    if rng.random() < 0.2:
        ends = sorted(
            float(rng.choice(finite)) if finite.size and rng.random() < 0.8 else m * rng.normal() for _ in "ab"
        )
        if rng.random() < 0.3:  # no number of a narrow dtype
            ends[0] = ends[1] = float(np.nextafter(ends[0], np.inf))
        low, high = (None if rng.random() < 0.2 or not math.isfinite(end) else end for end in ends)
        out["valid_range"] = (low, high)
        refusal = "expected a valid_range that holds a float"
    if rng.random() < 0.2:
        out["wrap"] = bool(rng.integers(2))
    if codec == "pyramid" and rng.random() < 0.25:
        out["tune"] = "rmse"
    return out, refusal


def _field(rng: Rng, codec: str) -> Case:
    """A case of fields."""
    dtype, shape = np.dtype(str(rng.choice(["f2", "f4", "f8"], p=[0.25, 0.45, 0.3]))), _shape(rng, codec)
    m = _magnitude(rng, dtype)
    b = _size(rng, dtype, m)
    with_static = rng.random() < 0.01 and math.prod(shape) < 10_000 and static_names()
    if with_static:
        shape = (*(min(length, 3) for length in shape[:1]), *STATIC_SHAPE)
    kind = str(rng.choice(["abs", "rel", "lossless", "profile", "noise"], p=[0.5, 0.2, 0.1, 0.12, 0.08]))
    if codec != "pyramid":
        kind = str(
            rng.choice(["abs", "rel", "lossless", "profile", "rmse", "ratio"], p=[0.5, 0.06, 0.02, 0.02, 0.3, 0.1])
        )
    if kind == "profile" and not (shape and all(shape)):
        kind = "abs"
    family = str(rng.choice([*FAMILIES, *["smooth", "spikes", "closed in x"] * 2]))
    array = values(rng, family, shape, dtype, m, b)
    options, legitimate = _options(rng, codec, array, m, b)
    if rng.random() < 0.25:
        array = with_special(rng, array, options.get("fill_value"))
    if with_static:
        options["static"] = static_names()
    if kind in ("rmse", "ratio"):
        options["target"] = {kind: b if kind == "rmse" else float(rng.choice([2, 30, 500]))}
        if rng.random() < 0.3:
            options["bound"] = {"abs": _size(rng, dtype, m)}
        return Case(codec, options, laid_out(rng, array), {}, family, legitimate)
    options["bound"], told = _bound(rng, kind, dtype, m, b, shape)
    return Case(codec, options, laid_out(rng, array), told, family, legitimate)


def _spectra(rng: Rng) -> Case:
    """A case whose chunk has an axis of channels, enough of them for principal spectra."""
    channels, rows, columns = int(rng.integers(32, 60)), int(rng.integers(4, 9)), int(rng.integers(8, 12))
    dtype = np.dtype(str(rng.choice(["f4", "f8", "f2"], p=[0.6, 0.3, 0.1])))
    m = _magnitude(rng, dtype)
    family = str(rng.choice([*FAMILIES, *["spectra"] * 15]))
    b = m * 10.0 ** rng.uniform(-4, 0)
    shape = (rows, columns, channels)
    if family == "spectra":
        base = np.cumsum(rng.normal(size=(3, channels)), 1) / 8
        with np.errstate(over="ignore"):
            array = (
                m * np.exp(rng.normal(size=(rows, columns, 3)) @ base * 0.3 + 0.01 * rng.normal(size=shape))
            ).astype(dtype)
    else:
        array = values(rng, family, shape, dtype, m, b)
    options, legitimate = _options(rng, "pyramid", array, m, b)
    if rng.random() < 0.25:
        array = with_special(rng, array, options.get("fill_value"))
    kind = str(rng.choice(["noise", "abs", "rel", "profile"], p=[0.6, 0.15, 0.1, 0.15]))
    options["bound"], told = _bound(rng, kind, dtype, m, b, shape)
    options["channels"] = -1
    if rng.random() < 0.3 and kind == "noise" and np.ndim(told["noise"]) == 3:
        array, told["noise"], options["channels"] = (*(np.moveaxis(each, -1, 0) for each in (array, told["noise"])), 0)
    return Case("pyramid", options, laid_out(rng, array), told, family, legitimate)


def _spectra_of_a_model(rng: Rng) -> Case:
    """Spectra like radiance, of as many channels as the shipped model has."""
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 9)), HVAE_CHANNELS)
    base = np.cumsum(rng.normal(size=(3, HVAE_CHANNELS)), 1) / 30
    array = (1e13 * np.exp(rng.normal(size=(*shape[:2], 3)) @ base * 0.3)).astype(str(rng.choice(["f4", "f8"])))
    if rng.random() < 0.3:
        array = with_special(rng, array, None)
    options: dict[str, Any] = {}
    if rng.random() < 0.7:
        options["bound"] = {"abs": float(1e13 * 10.0 ** rng.uniform(-4, 0))}
    if "bound" not in options or rng.random() < 0.3:
        options["target"] = {"rmse": float(1e13 * 10.0 ** rng.uniform(-3, 0))}
    return Case("hvae", options, laid_out(rng, array), {}, "spectra")
