"""Random arrays of the bound audit: the families that bounded codecs find hardest. All are simulated.

Beside `audit_cases`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from adiabat.codec.domain import shaved_unit

__all__ = ["FAMILIES", "laid_out", "values", "with_special"]

Rng = np.random.Generator


def _smooth(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    out = rng.normal(size=shape)
    for axis in range(len(shape)):
        out = np.cumsum(out, axis)
    return np.asarray(m * (rng.choice([0.0, 1.0, 300.0]) + out / max(1.0, np.abs(out).max(initial=0.0))))


def _checkerboard(shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.indices(shape).sum(0) % 2 * 2.0 - 1.0) if shape else np.array(1.0)


def _packed(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    scale = m * float(rng.choice([0.1, 0.01, 2.0**-8, 1 / 3, 0.0007]))
    offset, kind = m * rng.choice([0, 1, -300, 273.15]), rng.choice(["f4", "f8"])
    counts = rng.integers(-32768, 32767, shape).astype(kind)
    return np.asarray(counts * np.array(scale, kind) + np.array(offset, kind), np.float64)


def _ties(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    """On the midpoints of the quantiser's cells, and an ulp beside."""
    step = max(256 * shaved_unit(b, int(rng.choice([12, 9, 6, 4, 3, 2]))), 5e-324)
    cells = rng.integers(-20, 20, shape) + int(rng.choice([0, round(min(m / step, 1e6))]))
    return np.asarray((cells + 0.5) * step)


def _edges(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    """On a lattice whose spacings make up the bound, or nearly."""
    spacing = b / float(rng.choice([1, 2, 3, 5, 0.5, 1.5, 2.5, 10]))
    out = np.asarray(rng.integers(-200, 200, shape) * spacing + float(rng.choice([0, m, spacing / 2, 0.1])))
    if rng.random() < 0.3:  # differences of which float64 shows no more than the larger
        few = rng.choice([-1.0, 1.0], shape) * b * 2.0**-60
        out = np.where(rng.random(shape) < 0.2, few, rng.choice([-2 * b, 0.0, 2 * b, b], shape))
    return out


def _staircase(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    return np.asarray(
        m * 2.0 ** (np.arange(math.prod(shape)) % rng.integers(2, 40)).reshape(shape) - m * rng.integers(0, 2)
    )


def _outlier(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    out = np.full(shape, m)
    if out.size:
        out.reshape(-1)[rng.integers(out.size)] *= rng.choice([1e6, -1.0, 0.0, 1 + 1e-6, 1e30])
    return out


def _repeated(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    return np.broadcast_to(_smooth(rng, shape[1:], m, b), shape).copy() if shape else np.array(m)


def _spikes(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    return np.where(rng.random(shape) < 0.05, m * 1e4 * rng.normal(size=shape), _smooth(rng, shape, m, b))


def _closed(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    width = shape[-1] if shape else 1
    angle = np.arange(width) * 2 * np.pi / max(1, width)
    return np.asarray(m * (2 + np.sin(angle + rng.normal(size=(*shape[:-1], 1)))) if shape else np.array(m))


def _wide(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    span = float(rng.choice([3, 30, 300]))
    return np.asarray(rng.choice([-1.0, 1.0], shape) * 10.0 ** np.clip(rng.uniform(-span, span, shape), -320, 308))


def _with_noise(rng: Rng, shape: tuple[int, ...], m: float, b: float) -> np.ndarray:
    return np.asarray(m * (1 + float(rng.choice([1.0, 0.1, 0.01, 1e-5])) * rng.normal(size=shape)))


REAL: dict[str, Callable[[Rng, tuple[int, ...], float, float], np.ndarray]] = {
    "smooth": _smooth,
    "noise": _with_noise,
    "constant": lambda rng, shape, m, b: np.full(shape, m),
    "alternating": lambda rng, shape, m, b: m * _checkerboard(shape),
    "packed integers": _packed,
    "ties": _ties,
    "lattice edges": _edges,
    "staircase": _staircase,
    "outlier": _outlier,
    "repeated frames": _repeated,
    "spikes": _spikes,
    "closed in x": _closed,
    "dynamic range": _wide,
    "signed zeros": lambda rng, shape, m, b: np.copysign(
        np.where(rng.random(shape) < 0.8, 0.0, m), rng.normal(size=shape)
    ),
}


def _largest(rng: Rng, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Near the largest number there is: differences and sums overflow."""
    top = float(np.finfo(dtype).max)
    if rng.random() < 0.5:
        return np.asarray(top * _checkerboard(shape))
    return np.asarray(top * rng.choice([-1, 1], shape) * rng.choice([1.0, 0.5, 0.75], shape))


def _subnormal(rng: Rng, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    counts = rng.integers(-1, 2, shape) if rng.random() < 0.3 else rng.integers(-5000, 5000, shape)
    return np.asarray(counts * float(np.finfo(dtype).smallest_subnormal))


def _integers(rng: Rng, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Beyond the last integer that the dtype counts up to."""
    bits = min(np.finfo(dtype).nmant + int(rng.integers(1, 9)), 62 if dtype.itemsize > 2 else 15)
    return np.asarray(rng.integers(2 ** (bits - 1), 2**bits, shape).astype(np.float64))


def _bits(rng: Rng, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    raw = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    return raw.reshape(-1).view(dtype).reshape(shape)


OF_DTYPE = {"near overflow": _largest, "subnormal": _subnormal, "large integers": _integers, "any bits": _bits}
FAMILIES = (*REAL, *OF_DTYPE)


def values(rng: Rng, family: str, shape: tuple[int, ...], dtype: np.dtype, m: float, b: float) -> np.ndarray:
    """An array of a native dtype: magnitude about m, with a bound b in view."""
    with np.errstate(all="ignore"):
        if family in OF_DTYPE:
            return np.asarray(OF_DTYPE[family](rng, shape, dtype)).astype(dtype).reshape(shape)
        out = np.asarray(REAL[family](rng, shape, m, b)).astype(dtype).reshape(shape)
        if rng.random() < (0.8 if family in ("ties", "lattice edges") else 0.1):  # an ulp beside
            beside = np.nextafter(out, rng.choice([-1, 1], shape).astype(dtype) * dtype.type(np.inf))
            out = np.where(rng.random(shape) < 0.3, beside, out)
        return np.asarray(out, dtype)


def with_special(rng: Rng, array: np.ndarray, fill: float | None) -> np.ndarray:
    """Some values made NaN with a payload, infinite, or the fill value."""
    out = array.copy().reshape(-1)
    bits = out.view(f"u{out.itemsize}")
    share = float(rng.choice([0.02, 0.5, 1.0], p=[0.6, 0.35, 0.05]))
    places = np.flatnonzero(rng.random(out.size) < share)
    for k, part in enumerate(np.array_split(rng.permutation(places), 4)):
        if k == 0:
            quiet = int(array.dtype.type(np.nan).view(bits.dtype))
            bits[part] = quiet | rng.integers(0, 1 << np.finfo(out.dtype).nmant - 1, part.size).astype(bits.dtype)
        elif k == 1:
            out[part] = np.nan
        else:
            out[part] = [np.inf, -np.inf][k - 2] if fill is None else fill
    return out.reshape(array.shape)


def laid_out(rng: Rng, array: np.ndarray) -> np.ndarray:
    """In either byte order, and C, Fortran, strided, transposed or read-only memory."""
    array = array.astype(array.dtype.newbyteorder(str(rng.choice(["<", ">"]))))
    kind = rng.integers(6)
    if kind == 1:
        return np.asfortranarray(array) if array.ndim else array
    if kind == 2 and array.ndim:
        return np.repeat(array, 2, axis=0)[::2]
    if kind == 3 and array.ndim:
        return np.ascontiguousarray(array[::-1])[::-1]
    if kind == 4 and array.ndim > 2:
        return np.ascontiguousarray(np.swapaxes(array, 0, 1)).swapaxes(0, 1)
    array.flags.writeable = kind != 5
    return array
