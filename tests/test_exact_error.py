"""Errors against the room they have: as fractions say, whatever float64 rounds away."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from checks import bits
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import Pyramid
from adiabat.codec.exact_error import exceeds, exceeds_share

FINITE = st.floats(-1e300, 1e300)


@quick
@given(FINITE, FINITE, st.integers(-1, 1))
def test_an_error_is_compared_as_fractions_are(decoded, value, ulps):
    room = abs(decoded - value)
    room = float(np.nextafter(room, ulps * np.inf)) if ulps else room
    expected = abs(Fraction(decoded) - Fraction(value)) > Fraction(room)
    assert exceeds(np.array([decoded]), np.array([value]), room).tolist() == [expected]


@quick
@given(FINITE, st.floats(5e-324, 4.0), st.integers(-1, 1))
def test_a_share_is_compared_as_fractions_are(value, share, ulps):
    room = share * abs(value)
    decoded = value + (float(np.nextafter(room, ulps * np.inf)) if ulps else room)
    expected = abs(Fraction(decoded) - Fraction(value)) > Fraction(share) * abs(Fraction(value))
    assert exceeds_share(np.array([decoded]), np.array([value]), share).tolist() == [expected]


def test_of_narrow_dtypes_too():
    decoded, field = np.array([2.0**15], np.float16), np.array([-(2.0**-24)], np.float16)
    assert exceeds(decoded, field, 2.0**15).tolist() == [True]
    assert exceeds(decoded.astype("f4"), np.float32([-1e-45]), 2.0**15).tolist() == [True]
    assert exceeds(decoded, -field, 2.0**15).tolist() == [False]


def test_what_is_no_number_exceeds_all_room():
    nothing = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert exceeds(nothing, np.ones(4), 1e308).tolist() == [True, True, True, False]
    assert exceeds(np.ones(4), nothing, 1e308).tolist() == [True, True, True, False]
    assert exceeds_share(nothing[:1], np.ones(1), 1e308).tolist() == [True]


def test_room_may_differ_by_value():
    assert exceeds(np.zeros((2, 3)), np.ones((2, 3)), np.array([[1.0], [0.5]])).tolist() == [[False] * 3, [True] * 3]


@pytest.mark.parametrize(
    "bound", [{"abs": 1.0}, {"abs": [1.0, 1.0]}, {"abs": [1.0, 2.0]}], ids=["abs", "flat profile", "profile"]
)
def test_a_difference_that_float64_rounds_to_the_bound_is_outside(bound):
    """1 + 1e-30 is 1.0 in float64."""
    array = np.array([-1e-30, 2.0])
    decoded = Pyramid(bound=bound).decode(Pyramid(bound=bound).encode(array))
    assert abs(Fraction(decoded[0]) - Fraction(array[0])) <= 1


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_zeros_keep_their_signs_under_a_relative_bound_too_tight_for_the_dtype(kind):
    array = np.array([0.0, -0.0, -0.0, 0.0], kind)
    for bound in ({"rel": 1.2170145332136408e-08}, {"rel": 1e-300}, {"rel": 5.0}):
        codec = Pyramid(bound=bound, valid_range=(-0.0, 0.0))
        assert (bits(codec.decode(codec.encode(array))) == bits(array)).all()
