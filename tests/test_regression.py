"""What helps is found on synthetic data that say what it should be: weights, axis, reach, gains of static fields."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.codec.lattice import spacings
from adiabat.codec.octets import Reader
from adiabat.codec.order import Group
from adiabat.codec.regression import FIRST_TRUST, Learner, choose, detail, solve, static_gains
from adiabat.codec.side import Side, Weights

STEP = 64


def test_detail_is_what_cubic_interpolation_leaves():
    y, x = np.indices((20, 24)) / 10
    field = 1 + x - y + 2 * x * y + x**3 - 3 * y**2 * x
    assert np.abs(detail(field[None])).max() < 1e-12
    spike = np.zeros((1, 9, 9))
    spike[0, 4, 4] = 1
    assert detail(spike)[0].tolist() == [[0, -9 / 32, 0], [-9 / 32, 1, -9 / 32], [0, -9 / 32, 0]]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 1e4


def learned(target, references, mask=None):
    """The weights that a learner finds where the target is decoded as it is, coarse to fine."""
    decoded = np.rint(np.concatenate([target, *references])).astype(np.int64)
    count, columns = len(target), len(references)
    group = Group(np.arange(count), count + np.arange(columns * count).reshape(columns, count).T, 1)
    side = Learner(Side(decoded, np.zeros(decoded.shape, np.uint8), group, np.empty((0, *target.shape[1:]))), mask)
    for spacing in spacings(*target.shape[1:]):
        side.view(spacing, decoded[:count, :: 2 * spacing, :: 2 * spacing])
    return side.weights


def test_weights_are_those_of_the_next_coarser_lattice():
    a, b, rest = noise(3, 4, 130, 150)
    target = 0.3 * a + 0.6 * b + 0.1 * rest
    target[:, 1::2], target[:, :, 1::2] = 0, 0  # what is not known yet is not looked at
    weights = learned(target, [a, b])
    assert len(weights.trust) == 5, "a lattice of a few pixels has none of its own"
    assert np.abs(weights.values[:3] / 64 - [0.3, 0.6]).max() < 2 / 64
    explained = (0.3**2 + 0.6**2) / (0.3**2 + 0.6**2 + 0.1**2)
    np.testing.assert_allclose(weights.trust[:3] / 127, explained, atol=0.03)


def test_the_coarsest_lattices_take_the_nearest_two():
    weights = learned(noise(1, 40, 50), [noise(1, 40, 50, seed=k) for k in range(4)])
    assert weights.values[-1].tolist() == [32, 32, 0, 0]
    assert weights.trust[-1] == FIRST_TRUST
    assert Weights.read(Reader(weights.write()), 4).values.tolist() == weights.values.tolist()


def test_weights_of_each_lattice():
    """Detail that only coarse lattices share with the reference counts only there, and on the next finer one."""
    a, b = noise(2, 1, 256, 256)
    target = b.copy()
    target[:, ::4, ::4] = a[:, ::4, ::4]
    weights = learned(target, [a, a])
    assert weights.trust[0] < 20
    assert (weights.trust[1:4] > 120).all()
    assert (weights.values[1:4].sum(1) == 64).all()


def test_noise_is_not_trusted():
    a, b, rest = noise(3, 2, 280, 280)
    weights = learned(rest, [a, b])
    assert not weights.trust[:3].any()
    assert not weights.values[weights.trust == 0].any()


def test_what_is_missing_is_not_looked_at():
    a, b, rest = noise(3, 4, 260, 300)
    target = 0.3 * a + 0.6 * b + 0.1 * rest
    valid = np.random.default_rng(1).random(target.shape) < 0.97
    expected = learned(target, [a, b], valid)
    assert np.abs(expected.values[:2] / 64 - [0.3, 0.6]).max() < 2 / 64
    again = learned(np.where(valid, target, 1e11), [a, b], valid)
    assert (again.values == expected.values).all()
    nothing = learned(target, [a, b], np.zeros_like(valid))
    assert (nothing.values == [32, 32]).all(), "as on the coarsest lattice"


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 9), (9, 7, 400), (1, 8, 8)])
def test_tiny_frames_take_the_nearest_two(shape):
    a = noise(*shape)
    weights = learned(a, [a, a, a, a])
    assert weights.values.tolist() == [[32, 32, 0, 0]]


def test_a_flat_target_has_nothing_to_explain():
    noisy = np.random.default_rng(5).normal(size=(1, 90, 90)) * 100
    weights = learned(np.ones((1, 90, 90)), [noisy, noisy])
    assert not weights.trust[:2].any()


def test_statics_alone_have_no_weight_at_first():
    group = Group(np.arange(2), np.empty((2, 0), np.int64))
    side = Side(np.zeros((2, 40, 40), np.int32), np.zeros((2, 40, 40), np.uint8), group, noise(1, 40, 40).astype(int))
    learner = Learner(side, None)
    assert learner.corner() is None
    assert not learner.weights.trust.any()


def evolving(length, others, *, keep=0.9, shape=(48, 56), seed=0):
    """Frames (length, others, y, x) that forget slowly along the first axis, and never knew the others."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(length, others, *shape))
    for t in range(1, length):
        frames[t] = keep * frames[t - 1] + np.sqrt(1 - keep**2) * frames[t]
    return frames * 1e4


def test_choose_finds_the_axis():
    frames = evolving(9, 5)
    for axes, stack, expected in [((9, 5), frames, 0), ((5, 9), frames.swapaxes(0, 1), 1)]:
        target = stack.reshape(-1, *stack.shape[2:])
        axis, reach = choose(target, None, axes, STEP)
        assert axis == expected
        assert reach >= 2
        holes = np.random.default_rng(0).random(target.shape) < 0.98
        garbage = noise(*target.shape, seed=1) * 1e6
        assert choose(np.where(holes, target, garbage), holes, axes, STEP)[0] == axis


def test_choose_takes_more_references_against_noise():
    still = noise(1, 64, 64)
    assert choose(np.repeat(still, 17, 0) + 0.5 * noise(17, 64, 64, seed=1), None, (17,), STEP) == (0, 8)
    assert choose(evolving(17, 1)[:, 0], None, (17,), STEP) == (0, 2), "of what is forgotten the nearest are enough"


def test_choose_leaves_alone_what_is_not_explained():
    white = noise(12, 64, 64)
    for axes in [(12,), (3, 4), (1, 12), (12, 1)]:
        assert choose(white, None, axes, STEP) == (None, 0)
    assert choose(white[:1], None, (1,), STEP) == (None, 0)
    assert choose(np.repeat(white[:1], 12, 0)[:, :5, :5], None, (12,), STEP) == (None, 0), "too few pixels to tell"
    change = evolving(12, 1)[:, 0]
    assert choose(change, None, (12,), STEP) != (None, 0)
    assert choose(change, None, (12,), 200_000) == (None, 0), "nothing is left of the detail at such a step"


def test_static_gains():
    ground, other = noise(2, 120, 130, seed=1)
    target = 3.5 * ground - 0.02 * other + noise(8, 120, 130) * 0.05
    gains = static_gains(target, None, np.stack([ground, other]))
    assert gains.tolist() == [4, -(2**-6)], "the nearest powers of two"
    valid = np.random.default_rng(0).random(target.shape) < 0.97
    holes = static_gains(np.where(valid, target, 1e11), valid, np.stack([ground, np.zeros_like(ground)]))
    assert holes.tolist() == [4, 0]
    assert static_gains(target[:, :7, :7], None, ground[None, :7, :7]).tolist() == [0]
    assert static_gains(noise(8, 120, 130), None, ground[None]).tolist() == [0], "of no use"


@pytest.mark.parametrize("size", [1.0, 1e11])
def test_no_more_is_explained_than_there_is(size):
    """Of equal frames all is explained, and not a rounding error more."""
    for seed in range(20):
        frame = np.rint(noise(1, 64, 70, seed=seed) / 1e4 * size)
        samples = np.stack([frame.ravel()] * 5)
        weight, explained = solve(samples)
        assert 0.99 < explained <= 1
        assert abs(weight.sum() - 64) <= 2
        assert learned(frame, [frame, frame]).trust.max() <= 127
        assert choose(np.repeat(frame, 9, 0), None, (9,), 1)[0] == 0
