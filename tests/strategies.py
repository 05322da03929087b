"""Hypothesis strategies: float arrays of every kind that a bounded codec meets."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

EXAMPLES = int(os.environ.get("ADIABAT_EXAMPLES", "60"))
quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ADIABAT_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

dtypes = st.sampled_from([order + kind for order in "<>" for kind in ("f2", "f4", "f8")])
shapes = st.one_of(
    st.just(()),
    st.sampled_from([(1,), (0,), (3, 0, 2), (1, 1, 1), (5, 1), (1, 7), (2, 3, 4, 5)]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9),
    st.sampled_from([(40,), (24, 32), (3, 17, 16), (33, 9)]),
)
bounds = st.one_of(
    st.just("lossless"),
    st.builds(lambda e: {"abs": 10.0**e}, st.floats(-7, 2)),
    st.builds(lambda e: {"rel": 10.0**e}, st.floats(-7, 0.5)),
    st.sampled_from([{"abs": 0.5}, {"abs": 1e-320}, {"abs": 1e300}, {"rel": 1e-12}, {"rel": 1e9}]),
)
EDGES = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e-310, 1e-45, 6e-8, 65504.0, 3.4e38, 1.7e308, 1.0]


@st.composite
def content(draw: st.DrawFn, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Native values of one of the kinds: smooth, noisy, packed, constant, any bits."""
    kind = draw(st.sampled_from(["smooth", "noise", "packed", "constant", "bits"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1e-3, 1.0, 300.0]))
    if kind == "bits":
        raw = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
        return raw.view(dtype).reshape(shape)
    if kind == "constant":
        field = np.full(shape, size)
    elif kind == "packed":
        field = size + 0.01 * rng.integers(0, 500, shape)
    elif kind == "noise":
        field = rng.normal(size=shape) * size
    else:
        field = rng.normal(size=shape)
        for axis in range(len(shape)):
            field = np.cumsum(field, axis)
        field = size * (2 + field / (1 + np.abs(field).max(initial=0)))
    return field.astype(dtype)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """An array: dtype x byte order x C, F or strided x shape x content x special values."""
    dtype, shape = np.dtype(draw(dtypes)), draw(shapes)
    native = dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        field = draw(content(shape, native))
        if field.size and draw(st.booleans()):
            places = draw(st.lists(st.integers(0, field.size - 1), max_size=6))
            flat = field.reshape(-1).copy()
            for place in places:
                flat[place] = np.float64(draw(st.sampled_from(EDGES))).astype(native)
            if places and draw(st.booleans()):  # a NaN with a payload
                flat.view(f"u{dtype.itemsize}")[places[0]] |= native.type(np.nan).view(f"u{dtype.itemsize}") | 5
            field = flat.reshape(shape)
    layout = draw(st.sampled_from("CFS"))
    field = field.astype(dtype)
    if layout == "F":
        return np.asfortranarray(field)
    if layout == "S" and field.ndim:
        return np.repeat(field, 2, axis=0)[::2]
    return field


@st.composite
def bounded_arrays(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, object]]:
    """An array and absolute bounds along one of its axes."""
    array = draw(arrays().filter(lambda array: any(array.shape)))
    axis = draw(st.sampled_from([axis for axis, length in enumerate(array.shape) if length]))
    exponents = st.lists(st.floats(-3, 2), min_size=array.shape[axis], max_size=array.shape[axis])
    sizes = [10.0**exponent for exponent in draw(exponents)]
    if draw(st.integers(0, 9)) == 0:
        sizes[draw(st.integers(0, len(sizes) - 1))] = draw(st.sampled_from([1e-320, 1e-12, 1e300]))
    return array, {"abs": sizes, "axis": draw(st.sampled_from([axis, axis - array.ndim]))}


def fields(dtype: str = "f4", shape: tuple[int, int] = (48, 64), seed: int = 0) -> np.ndarray:
    """A smooth periodic field with some noise, like 2 m temperature; not a strategy."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.arange(shape[1]) * 2 * np.pi / shape[1], indexing="ij")
    field = 290 - 40 * y**2
    for wave in range(1, 6):
        amplitude, phase = rng.normal(size=2)
        field += 4 / wave * amplitude * np.sin(wave * x + phase) * np.cos(wave * y)
    return (field + rng.normal(size=shape) * 0.1).astype(dtype)


def targets(shape, kind, seed, size=1e5):
    """Float64 in fine units, none of them a round number; not a strategy."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=shape)
    if kind == "smooth":
        field = np.cumsum(np.cumsum(field, 1), 2) / np.sqrt(shape[1] * shape[2])
    elif kind == "spikes":
        field = np.where(rng.random(shape) < 0.05, field * 1e4, field * 1e-3)
    elif kind == "constant":
        field = np.full(shape, 0.5)
    return np.clip(field * size + size, -(2.0**37), 2.0**37)


def evolving(length=9, shape=(40, 48), seed=0):
    """Frames each a little other than the one before, of much detail; not a strategy."""
    steps = np.random.default_rng(seed).normal(size=(length, *shape))
    steps[1:] *= 0.05
    return np.cumsum(steps, 0) * 1e4
