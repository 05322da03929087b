"""Histograms that stand in a stream: exact frequencies, letters and escapes, bytes that say no more than they must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.histogram import REACH, TOTAL, Histogram
from adiabat.codec.octets import Reader
from adiabat.codec.words import PRECISION, Words, write_words

symbols = st.lists(st.integers(-80, 80) | st.sampled_from([0, 1, -(2**40), 2**31]), max_size=300)


@quick
@given(symbols, st.sampled_from([1, 100, 40_000]))
def test_round_trip_and_frequencies(values, times):
    histogram = Histogram.of(np.repeat(np.array(values, np.int64), times))
    reader = Reader(histogram.write())
    again = Histogram.read(reader)
    assert reader.left == 0
    assert (again.low, again.weights.tolist()) == (histogram.low, histogram.weights.tolist())
    frequencies = again.frequencies
    assert frequencies.sum() == 1 << PRECISION
    assert (frequencies >= 1).all()
    heaviest = int(again.weights.argmax())
    rest, total = (1 << PRECISION) - again.weights.size, sum(again.weights.tolist())
    exact = [1 + weight * rest // total for weight in again.weights.tolist()]
    exact[heaviest] += (1 << PRECISION) - sum(exact)
    assert frequencies.tolist() == exact


@quick
@given(symbols)
def test_letters_come_back_through_the_coder(values):
    values = np.array(values, np.int64)
    histogram = Histogram.of(values)
    letters, outside = histogram.letters(values)
    assert (letters[outside] == histogram.weights.size - 1).all()
    assert (letters[~outside] + histogram.low == values[~outside]).all()
    assert (np.abs(values[outside]) > REACH).all()
    ans = Words(write_words([(letters, histogram.model)]))
    if letters.size:
        assert (ans.decode(histogram.model, letters.size) == letters).all()
    assert ans.is_empty()


def test_code_lengths_are_near_the_entropy():
    values = np.rint(np.random.default_rng(0).normal(size=200_000) * 3).astype(np.int64)
    counts = np.unique(values, return_counts=True)[1] / values.size
    entropy = -(counts * np.log2(counts)).sum() * values.size
    histogram = Histogram.of(values)
    assert entropy <= histogram.bits(values) - 8 * len(histogram.write()) < 1.0001 * entropy
    assert histogram.weights.sum() < 1.01 * TOTAL
    words = write_words([(histogram.letters(values)[0], histogram.model)])
    assert abs(8 * len(words) - entropy) < 1e-3 * entropy


def test_a_rare_letter_keeps_a_weight():
    histogram = Histogram.of(np.append(np.zeros(10**6, np.int64), [5, 99]))
    assert histogram.weights.tolist() == [TOTAL, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x3f", b"\x3f\x00\x01", b"\x3f\x00\x00\x00", b"\x7e\x01\x01\x01\x01", b"\xff\x00\x01\x01"],
    ids=["empty", "no letters", "a weight missing", "no weights", "too high", "far too high"],
)
def test_bytes_that_are_none_are_refused(data):
    with pytest.raises(CorruptStreamError):
        Histogram.read(Reader(data))


def test_weights_have_a_limit():
    assert Histogram.read(Reader(b"\x3f\x00\x80\x80\x80\x08\x00")).weights.tolist() == [1 << 24, 0]
    with pytest.raises(CorruptStreamError, match="at most"):
        Histogram.read(Reader(b"\x3f\x00\x81\x80\x80\x08\x00"))
