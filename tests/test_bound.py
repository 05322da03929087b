"""Bounds: domains keep what they promise, the logarithm's table is right, lattices are found and not imagined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from checks import bits
from hypothesis import given
from hypothesis import strategies as st
from strategies import fields, quick

from adiabat.codec import CorruptStreamError, Pyramid
from adiabat.codec.bound import Bound, choose_domain, domain_from, violations
from adiabat.codec.domain import (
    TARGET_LIMIT,
    AbsDomain,
    LatticeDomain,
    OrderedDomain,
    low_words,
    with_low_words,
)
from adiabat.codec.loglinear import TABLE, LogDomain, log_integer, magnitude
from adiabat.codec.packing import find_spacing

KINDS = ["f2", "f4", "f8"]


@pytest.mark.parametrize(
    "bound",
    [
        "abs",
        "none",
        {},
        {"abs": 0},
        {"abs": -1.0},
        {"rel": float("nan")},
        {"abs": float("inf")},
        {"noise": 0},
        {"sigma": 3},
        {"abs": 1.0, "rel": 1.0},
        {"axis": 0},
        {"abs": 1.0, "axis": 0},
        {"rel": 1.0, "axis": 0},
        {"abs": []},
        {"abs": [0.1, 0.0]},
        {"abs": [0.1, -1.0]},
        {"abs": (0.1, float("nan"))},
        {"abs": [0.1, float("inf")]},
        {"abs": [[0.1, 0.2]]},
        {"abs": [[0.1], [0.1, 0.2]]},
        {"abs": np.ones((2, 2))},
    ],
)
def test_bad_bounds_are_value_errors(bound):
    with pytest.raises(ValueError, match=r"expected .* got"):
        Bound.parse(bound)


@pytest.mark.parametrize(
    "bound",
    [
        None,
        0.1,
        ["abs"],
        {"abs": "0.1"},
        {"abs": True},
        {"rel": None},
        {"rel": [0.1]},
        {"abs": ["0.1"]},
        {"abs": [None]},
        {"abs": [True, False]},
        {"abs": [0.1], "axis": 0.0},
        {"abs": [0.1], "axis": True},
        {"abs": [0.1], "axis": "level"},
    ],
)
def test_bad_bounds_are_type_errors(bound):
    with pytest.raises(TypeError, match=r"expected .* got"):
        Bound.parse(bound)


def anything(kind, low=-1.0, high=np.inf, count=4000, seed=0):
    """Finite values of every exponent."""
    raw = np.random.default_rng(seed).integers(0, 256, (count, np.dtype(kind).itemsize), np.uint8)
    values = raw.view(kind).reshape(1, 1, -1)
    with np.errstate(invalid="ignore"):
        wide = np.abs(values.astype("f8"))
    return values[(wide > low) & (wide < high)].reshape(1, 1, -1)


def shaken(domain, target, rng):
    """Integers that a coder may give for a target: within half a step, multiples of snap."""
    half = domain.step // 2
    off = rng.integers(-half, half + 1, target.shape)
    off.reshape(-1)[::3] = half
    off.reshape(-1)[1::3] = -half
    rounded = np.rint(target).astype(np.int64)
    if domain.snap > 1:
        return rounded + np.fix(off / domain.snap).astype(np.int64) * domain.snap
    return np.clip(rounded + off, np.ceil(target - half), np.floor(target + half)).astype(np.int64)


@quick
@given(st.sampled_from(KINDS), st.floats(-6, 2), st.floats(-3, 4), st.integers(0, 2**32))
def test_absolute_bound_holds_without_exceptions(kind, exponent, size, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        field = (rng.normal(size=(1, 20, 20)) * 10.0**size).astype(kind)
    field = field[np.isfinite(field)].reshape(1, 1, -1)
    bound = Bound("abs", 10.0**exponent)
    domain = choose_domain(field, None, bound)
    target = domain.to_fine(field)
    assert np.abs(target).max() <= TARGET_LIMIT
    decoded = domain.from_fine(shaken(domain, target, rng), field.dtype)
    if kind == "f8" and isinstance(domain, OrderedDomain):
        decoded = with_low_words(decoded, low_words(field))
    assert not violations(field, decoded, None, bound)[np.isfinite(decoded)].any()


def test_bounds_at_the_end_of_float64_overflow_nothing():
    assert AbsDomain.fit(1.7e308, 1.7e308, np.dtype("f8")).unit == 1.7e308 * (1 - 2.0**-12) / 128


@pytest.mark.parametrize("bound", [1e-3, 0.05, 0.1, 0.5, 1.0])
def test_the_grid_does_not_depend_on_the_data(bound):
    """Decoded data must find the grid they lie on."""
    largest = np.array([280.0, 300.0, 319.0])
    units = {AbsDomain.fit(x, bound, np.dtype("f8")).unit for x in [*largest, 1e-3, 1e5]}
    assert len(units) == 1
    assert len({AbsDomain.fit(x, bound, np.dtype("f4")).unit for x in largest}) == 1


def test_bounds_below_the_dtype_are_lossless():
    assert AbsDomain.fit(300.0, 1e-6, np.dtype("f4")) is None
    assert AbsDomain.fit(300.0, 1e-15, np.dtype("f8")) is None
    assert AbsDomain.fit(1e30, 1e-3, np.dtype("f8")) is None
    field = fields()[None]
    assert isinstance(choose_domain(field, None, Bound("abs", 1e-6)), OrderedDomain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [1e-5, 1e-3, 0.01, 0.1, 1.0, 7.0])
def test_relative_bound_holds(kind, bound):
    field = anything(kind, 1e-4 if kind == "f2" else 1e-30, 1e30)
    domain = LogDomain.fit(bound, field.dtype)
    if domain is None:
        assert bound < 1e-2
        return
    target = domain.to_fine(field)
    assert np.abs(target).max() <= TARGET_LIMIT
    fine = shaken(domain, target, np.random.default_rng(0))
    decoded = domain.from_fine(fine, field.dtype) * np.where(field < 0, -1, 1).astype(kind)
    finite = np.isfinite(decoded)
    assert not violations(field, decoded, finite, Bound("rel", bound)).any()
    # and what is decoded comes back to within two integers, so that a second encoding is harmless
    normal = finite & (np.abs(decoded) >= np.finfo(kind).tiny)
    with np.errstate(invalid="ignore"):
        back = domain.to_fine(decoded)[normal]
    assert (np.abs(back - fine[normal]) <= 64 * min(domain.steps, 2 if kind != "f2" else 2**13)).all()


def test_relative_bound_is_not_wasted():
    """At most a few percent of the bound is lost to the pieces' slopes."""
    domain = LogDomain.fit(0.01, np.dtype("f4"))
    assert domain.steps * np.log(2) / 2**23 > 0.975 * 0.01


def log2_bits(ratio, digits):
    """floor(2**digits * log2(ratio)) for 1 <= ratio < 2, by squaring in 400-bit integers, rounded down."""
    x, out = (ratio.numerator << 400) // ratio.denominator, 0
    for _ in range(digits):
        x = x * x >> 400
        out <<= 1
        if x >> 401:
            out, x = out + 1, x >> 1
    return out


def test_table_of_the_logarithm():
    for i, entry in enumerate(TABLE[:-1].tolist()):
        finer = log2_bits(Fraction(32 + i, 32), 60)
        assert entry == (finer + (1 << 36)) >> 37
    assert TABLE[-1] == 1 << 23


@given(st.integers(-1022 << 23, (1023 << 23) + 2**23 - 1))
def test_logarithm_and_back(number):
    value = magnitude(np.array([number]))
    assert abs(int(log_integer(value)[0]) - number) <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_ordered_integers(kind):
    field = np.concatenate([anything(kind).reshape(-1), np.array([0.0, -0.0], kind)]).reshape(1, 1, -1)
    domain = OrderedDomain()
    target = domain.to_fine(field)
    assert np.abs(target).max() <= TARGET_LIMIT
    back = domain.from_fine(target.astype(np.int64), field.dtype)
    if kind == "f8":
        back = with_low_words(back, low_words(field))
    assert (bits(back) == bits(field)).all()
    order = np.argsort(target.reshape(-1), kind="stable")
    assert (np.diff(field.reshape(-1)[order].astype("f4" if kind != "f8" else "f8")) >= 0).all() or kind == "f8"


def packed(scale, offset, kind, how="f8", seed=0):
    counts = np.cumsum(np.random.default_rng(seed).integers(-300, 301, 60_000)) % 60_000 - 30_000
    low = np.dtype(how).type
    return (counts.astype(how) * low(scale) + low(offset)).astype(kind).reshape(1, 200, 300)


@pytest.mark.parametrize(("kind", "how"), [("f4", "f4"), ("f4", "f8"), ("f8", "f8")])
@pytest.mark.parametrize(
    ("scale", "offset"), [(2.0**-9, 267.375), (0.00116066, 265.1), (0.01, 0.0), (2.0**-5 / 100, 3.7)]
)
def test_lattices_are_found(kind, how, scale, offset):
    field = packed(scale, offset, kind, how)
    domain = choose_domain(field, None, Bound("lossless"))
    assert isinstance(domain, LatticeDomain)
    assert domain.spacing == pytest.approx(scale, rel=1e-6)
    back = domain.from_fine(domain.to_fine(field).astype(np.int64), field.dtype)
    assert np.abs(back - field).max() <= 4 * np.spacing(np.abs(field).max())
    assert find_spacing(field.reshape(-1)) == pytest.approx(scale, rel=1e-5)


def test_exact_lattices_need_no_exceptions():
    for scale, offset in [(2.0**-9, 267.375), (0.01, 0.0), (0.00116066, 265.1)]:
        field = packed(scale, offset, "f4")
        domain = choose_domain(field, None, Bound("lossless"))
        back = domain.from_fine(domain.to_fine(field).astype(np.int64), field.dtype)
        assert (bits(back) == bits(field)).all()


@pytest.mark.parametrize("bound", [0.01, 0.04, 0.1, 0.3])
def test_lattices_are_used_where_they_pay(bound):
    field = packed(0.08, 1.0, "f4")
    domain = choose_domain(field, None, Bound("abs", bound))
    plain = 2 * bound
    if isinstance(domain, LatticeDomain):
        assert (2 * domain.steps + 1) * domain.spacing > 0.99 * plain
        assert domain.steps * domain.spacing <= bound
    else:
        assert (2 * (bound // 0.08) + 1) * 0.08 < 1.03 * plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_lattices_are_not_imagined(kind, seed):
    assert find_spacing(fields(kind, (90, 120), seed).reshape(-1)) is None or kind == "f2"
    assert find_spacing(np.random.default_rng(seed).normal(size=5000).astype("f4")) is None


@pytest.mark.parametrize("parameters", [("abs", 0.5), ("lattice", 0.5, 0.1, 3), ("ordered",), ("log", 7)])
def test_domains_and_their_parameters(parameters):
    assert domain_from(parameters).parameters() == parameters


def test_no_domain():
    with pytest.raises(CorruptStreamError):
        domain_from(("none",))


def test_a_lattice_finer_than_any_float_of_the_bound_is_none():
    """Subnormal numbers under a huge bound: the steps in it were no finite number."""
    counts = "80000b328000017a80000f860000014880000944000005c4000003fb80000a5c80000c5800000fa880000f3800000f59"
    field = np.frombuffer(bytes.fromhex(f"{counts}00000b23000012eb800008b700000662000002f400000dfd"), ">f4")
    field = np.concatenate([field, -field[:9]]).astype("f4").reshape(1, 3, 9)
    for size in (1.7e308, 1e300):
        assert not isinstance(choose_domain(field, None, Bound("abs", size)), LatticeDomain)


def test_values_next_to_the_largest_float_are_decoded_without_a_warning():
    field = np.frombuffer(bytes.fromhex("ffffffffffffefffffffffffffffef7f"), "<f8").reshape(1, 2)
    codec = Pyramid(bound={"abs": 8.98846567431158e307}, tune="rmse")
    assert (np.abs(codec.decode(codec.encode(field)) / 2 - field / 2) <= 8.98846567431158e307 / 2).all()
