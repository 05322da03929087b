"""Bits that a bound needs, and rounding to them: never more than a tenth of the bound."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.rounding import SHARE, Allowance, mantissa_bits, round_bits

EDGES = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, 3.4e38, -3.4e38, 1.0, -2.0, 255.99998], "f4")


def with_payload(dtype):
    """A NaN all of whose bits are set: plain bit arithmetic would carry it over into -0."""
    return np.array([-1], f"i{np.dtype(dtype).itemsize}").view(dtype)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("size", [1e-3, 0.05, 3.0])
def test_absolute(dtype, size):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((50, 40)) * 10.0 ** rng.integers(-3, 3, (50, 40))).astype(dtype)
    allowance = Allowance.of({"bound": {"abs": size}})
    bits = allowance.bits(values, (0, 0))
    kept, added = round_bits(values, min(bits, mantissa_bits(dtype)), allowance, (0, 0))
    moved = np.abs(kept.astype("f8") - values)
    assert moved.max() == added <= SHARE * size
    largest = np.abs(values).max()
    assert 2.0 ** (np.frexp(largest)[1] - 2 - bits) <= SHARE * size or bits >= mantissa_bits(dtype)
    if bits > 1:
        assert 2.0 ** (np.frexp(largest)[1] - 1 - bits) > SHARE * size, "one bit less would be too few"


@pytest.mark.parametrize("bits", [1, 5, 12, 22])
def test_dropped_bits_are_zero(bits):
    values = np.random.default_rng(0).normal(280, 20, 1000).astype("f4")
    kept, _ = round_bits(values, bits, Allowance(1e9), (0,))
    assert not (kept.view("u4") & np.uint32((1 << (23 - bits)) - 1)).any()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_special_values_stay(dtype):
    values = np.concatenate([EDGES.astype(dtype), with_payload(dtype)]) if dtype != "f2" else with_payload(dtype)
    with np.errstate(all="ignore"):
        kept, added = round_bits(values, 3, Allowance(1e-3), (0,))
    assert added <= 1e-3
    unit = f"u{np.dtype(dtype).itemsize}"
    special = ~np.isfinite(values)
    np.testing.assert_array_equal(kept.view(unit)[special], values.view(unit)[special])
    assert (np.abs(kept[~special].astype("f8") - values[~special]) <= 1e-3).all()
    zeros = values == 0
    np.testing.assert_array_equal(np.signbit(kept[zeros]), np.signbit(values[zeros]))


def test_relative():
    values = np.geomspace(1e-6, 1e4, 5000).astype("f4")
    allowance = Allowance.of({"bound": {"rel": 0.01}})
    bits = allowance.bits(values, (0,))
    assert bits == 9
    kept, _ = round_bits(values, bits, allowance, (0,))
    assert (np.abs(kept.astype("f8") - values) <= 0.001 * values / 1.01).all()
    assert not (kept.view("u4") & np.uint32((1 << 14) - 1)).any(), "all of them could be rounded"


def test_profile_by_its_own_axis_and_place():
    sizes = [1.0, 0.1, 1e-5]
    allowance = Allowance.of({"bound": {"abs": sizes, "axis": 1}})
    values = np.random.default_rng(0).normal(100, 10, (4, 3, 5)).astype("f4")
    bits = [allowance.bits(values[:, level : level + 1], (0, level, 0)) for level in range(3)]
    assert bits == [9, 12, 25], "up to 128: 2**6 / 2**(bits + 1) below a tenth of each"
    assert allowance.bits(values, (0, 0, 0)) == max(bits)
    kept, _ = round_bits(values[:, 1:], 9, allowance, (0, 1, 0))
    moved = np.abs(kept.astype("f8") - values[:, 1:]).max(axis=(0, 2))
    assert moved[0] <= 0.01
    assert moved[1] <= 1e-6


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ({"bound": "lossless"}, None),
        ({}, None),
        ({"bound": None}, None),
        ({"bound": {"noise": 0.25}}, None),
        ({"bound": {"ratio": 100}}, None),
        ({"bound": {"ratio": 100}, "achieved": {"rmse": 2.0}}, 0.2),
        ({"bound": {"rmse": 0.5}, "achieved": {"rmse": 0.4}}, 0.05),
        ({"bound": {"abs": 0.5}}, 0.05),
        ({"bound": {"abs": float("inf")}}, None),
    ],
)
def test_what_a_note_allows(note, expected):
    allowance = Allowance.of(note)
    assert (allowance and allowance.absolute) == pytest.approx(expected)


def test_pieces_are_the_whole(monkeypatch):
    from adiabat.formats import rounding

    values = np.random.default_rng(0).normal(280, 20, (9, 4, 5)).astype("f4")
    allowance = Allowance.of({"bound": {"abs": np.linspace(0.1, 1, 9).tolist(), "axis": 0}})
    whole = round_bits(values, 10, allowance, (0, 0, 0))
    monkeypatch.setattr(rounding, "PIECE", 40)
    parts = round_bits(values, 10, allowance, (0, 0, 0))
    np.testing.assert_array_equal(parts[0], whole[0])
    assert parts[1] == whole[1]
    assert round_bits(values[2:3], 10, allowance, (2, 0, 0))[0].tolist() == whole[0][2:3].tolist()
