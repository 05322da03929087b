"""The order of frames: each exactly once, after all that it may be predicted from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec.order import GROUP, MAX_REACH, Order, needed

WHOLE = GROUP[2]  # pixels of frames so large that each is a group
orders = st.builds(
    Order, st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.sampled_from([0, 2, 4, 6, MAX_REACH])
).filter(lambda order: order.reach or order.length == 1)


def by_the_spec(order):
    """Frame, distance and references in the order of coding; spec/pyramid.md, section 1."""
    length, inner = order.length, order.inner
    distances = [2**p for p in reversed(range((length - 1).bit_length()))]
    stages = [(0, [0])] + [(h, [t for t in range(length) if t % (2 * h) == h]) for h in distances]
    out = []
    for h, positions in stages:
        for o in range(order.outer):
            for t in positions:
                around = [t + side * odd * h for odd in range(1, order.reach, 2) for side in (-1, 1)] if h else []
                inside = [at if 0 <= at < length else t - h for at in around]
                out += [
                    ((o * length + t) * inner + i, h, [(o * length + at) * inner + i for at in inside])
                    for i in range(inner)
                ]
    return out


@quick
@given(orders, st.integers(1, 9))
def test_every_frame_once_after_its_references(order, size):
    known, coded = set(), []
    for group in order.groups(WHOLE // size):
        assert set(group.references.reshape(-1).tolist()) <= known
        assert group.references.shape == (len(group.frames), order.reach if group.distance else 0)
        assert 1 <= len(group.frames) <= WHOLE // (WHOLE // size)
        known.update(group.frames.tolist())
        coded += zip(
            group.frames.tolist(), [group.distance] * len(group.frames), group.references.tolist(), strict=True
        )
    assert sorted(known) == list(range(order.outer * order.length * order.inner))
    assert coded == by_the_spec(order)


def test_the_nearest_before_stands_in_at_borders():
    positions = {
        int(t): references.tolist()
        for group in Order(1, 7, 1, reach=4).groups(1)
        for t, references in zip(group.frames, group.references, strict=True)
    }
    assert positions == {
        0: [], 4: [0, 0, 0, 0], 2: [0, 4, 0, 0], 6: [4, 4, 0, 4],
        1: [0, 2, 0, 4], 3: [2, 4, 0, 6], 5: [4, 6, 2, 4],
    }  # fmt: skip


@pytest.mark.parametrize(("version", "pixels"), [(1, 2**21), (2, 2**20)])
def test_groups_are_cut_by_pixels(version, pixels):
    order = Order.along((5,), None)
    ones = [1, 1, 1, 1, 1]
    for frame, sizes in [(0, [5]), (1, [5]), (pixels // 2, [2, 2, 1]), (pixels // 2 + 1, ones), (3 * pixels, ones)]:
        assert [len(group.frames) for group in order.groups(frame, version)] == sizes


def test_frames_of_a_stage_share_a_group():
    groups = Order.along((2, 5, 3), 1).groups(100)
    assert [(group.distance, len(group.frames)) for group in groups] == [(0, 6), (4, 6), (2, 6), (1, 12)]


@pytest.mark.parametrize(("axis", "expected"), [(0, (1, 2, 15)), (1, (2, 5, 3)), (2, (10, 3, 1)), (None, (30, 1, 1))])
def test_along_an_axis(axis, expected):
    order = Order.along((2, 5, 3), axis, reach=4)
    assert (order.outer, order.length, order.inner) == expected
    assert order.reach == (0 if axis is None else 4)


@quick
@given(orders, st.integers(0, 2**32 - 1), st.sampled_from([1, WHOLE // 4, WHOLE]))
def test_needed_groups_are_those_that_a_frame_hangs_on(order, seed, pixels):
    groups = order.groups(pixels)
    total = order.outer * order.length * order.inner
    wanted = np.random.default_rng(seed).integers(0, total, 2)
    found = [id(group) for group in needed(groups, wanted)]
    at = {int(frame): group for group in groups for frame in group.frames}
    expected, left = set(), wanted.tolist()
    while left:
        group = at[left.pop()]
        if id(group) not in expected:
            expected.add(id(group))
            left += group.references.reshape(-1).tolist()
    assert found == [id(group) for group in groups if id(group) in expected]


@pytest.mark.parametrize("length", [1, 2, 3, 24, 100, 365])
def test_a_frame_needs_about_as_many_as_the_length_has_bits(length):
    groups = Order(2, length, 2, reach=2).groups(WHOLE)
    most = max(len(needed(groups, np.array([frame]))) for frame in range(0, 4 * length, max(1, length // 20)))
    assert most <= (length - 1).bit_length() + 2
    assert needed(groups, np.array([], np.int64)) == []


@pytest.mark.parametrize("reach", [-2, 1, 3, MAX_REACH + 1, MAX_REACH + 2])
def test_a_reach_that_is_none(reach):
    with pytest.raises(ValueError, match=f"expected an even reach up to 8, got {reach}"):
        Order(1, 4, 1, reach)
