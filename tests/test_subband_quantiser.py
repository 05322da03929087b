"""Quantisation finds the cheapest symbol of those it looks at, and none of those it leaves out would do better."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adiabat.codec import entropy
from adiabat.codec.models import find_model
from adiabat.codec.subband_quantiser import quantise

STEP = 1000
LENGTHS = find_model().tables.code_lengths


def symbols_of(target, mean, context, shrink, lmbda):
    symbols = np.full(target.size, 99, np.int64)
    quantise(
        target, mean, context, STEP, shrink, entropy.TABLE_OF, entropy.RAW_BITS, LENGTHS, lmbda, symbols
    )  # fmt: skip
    return symbols


def random_case(count=400, spread=4.0, contexts=entropy.TABLES):
    rng = np.random.default_rng(0)
    mean = rng.integers(-5000, 5000, count)
    target = mean + rng.laplace(0, spread * STEP, count)
    shrink = np.zeros((entropy.CONTEXT_COUNT, 2), np.int64)
    shrink[: entropy.TABLES] = rng.integers(-20, 60, (entropy.TABLES, 2))
    return target, mean, rng.integers(0, contexts, count).astype(np.uint16), shrink


def cost(residual, q, context, shrink, lmbda):
    point = q - np.sign(q) * (shrink[context, min(abs(q), 2) - 1] / 256 if q else 0)
    return (residual - point) ** 2 + lmbda * LENGTHS[entropy.TABLE_OF[context], entropy.REACH + q]


@pytest.mark.parametrize("lmbda", [0.0, 0.1, 1.0])
def test_the_cheapest_of_the_nearest_the_next_smaller_and_zero(lmbda):
    target, mean, context, shrink = random_case()
    got = symbols_of(target, mean, context, shrink, lmbda)
    for t, q in enumerate(got.tolist()):
        residual = (target[t] - mean[t]) / STEP
        sign, nearest = int(np.sign(residual)), int(np.floor(abs(residual) + 0.5))
        if nearest >= entropy.REACH:
            assert q == sign * nearest
            continue
        tried = {0, sign * nearest, sign * max(nearest - 1, 0)} if nearest else {0}
        costs = {each: cost(residual, each, context[t], shrink, lmbda) for each in tried}
        assert costs[q] == pytest.approx(min(costs.values()))


def test_no_symbol_at_all_is_much_cheaper():
    """Brute force over every symbol: what the short list misses is little."""
    target, mean, context, shrink = random_case()
    got = symbols_of(target, mean, context, shrink, 0.1)
    spent = least = 0.0
    for t, q in enumerate(got.tolist()):
        residual = (target[t] - mean[t]) / STEP
        if abs(residual) < entropy.REACH - 1:
            spent += cost(residual, q, context[t], shrink, 0.1)
            least += min(cost(residual, each, context[t], shrink, 0.1) for each in range(-entropy.REACH, entropy.REACH))
    assert least <= spent < 1.01 * least


def test_a_target_and_its_mirror_image_have_mirrored_symbols_under_a_symmetric_table():
    target, mean, context, shrink = random_case()
    symmetric = (LENGTHS[:, : 2 * entropy.REACH + 1] + LENGTHS[:, 2 * entropy.REACH :: -1]) / 2
    lengths = np.concatenate([symmetric, LENGTHS[:, -1:]], 1)
    out = np.empty((2, target.size), np.int64)
    for sign, symbols in zip((1, -1), out, strict=True):
        quantise(
            sign * target, sign * mean, context, STEP, shrink, entropy.TABLE_OF, entropy.RAW_BITS, lengths, 0.1, symbols
        )  # fmt: skip
    np.testing.assert_array_equal(out[0], -out[1])


def test_wide_contexts_take_the_nearest():
    target, mean, _, shrink = random_case(spread=1e4)
    context = np.full(target.size, entropy.CONTEXT_COUNT - 1, np.uint16)
    residual = (target - mean) / STEP
    got = symbols_of(target, mean, context, shrink, 0.1)
    np.testing.assert_array_equal(got, np.sign(residual) * np.floor(abs(residual) + 0.5))


def test_bits_bring_more_zeros():
    target, mean, context, shrink = random_case(spread=1.0)
    zeros = [int((symbols_of(target, mean, context, shrink, lmbda) == 0).sum()) for lmbda in (0.0, 0.1, 0.5)]
    assert all(one <= other for one, other in itertools.pairwise(zeros))
    assert zeros[0] < zeros[-1]
