"""Holes take what is known nearest to them, and what is known stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.codec.holes import fill_holes


def filled(frame, valid):
    return fill_holes(np.asarray(frame, np.float64)[None], np.asarray(valid, bool)[None])[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 6), (33, 49)])
def test_known_pixels_stay(size):
    rng = np.random.default_rng(0)
    frames, valid = rng.normal(size=(3, *size)), rng.random((3, *size)) < 0.3
    holed = np.where(valid, frames, np.nan)
    got = fill_holes(holed, valid)
    np.testing.assert_array_equal(got[valid], frames[valid])
    assert np.isfinite(got).all()


def test_nothing_leaves_the_range_of_its_frame():
    rng = np.random.default_rng(0)
    frames, valid = rng.normal(size=(4, 20, 31)), rng.random((4, 20, 31)) < 0.05
    got = fill_holes(np.where(valid, frames, np.inf), valid)
    for f in range(4):
        assert frames[f][valid[f]].min() <= got[f].min() <= got[f].max() <= frames[f][valid[f]].max()


def test_a_hole_takes_the_mean_of_the_smallest_block_that_knows_any():
    got = filled([[1, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 9]], np.array(
        [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    ))  # fmt: skip
    block = np.mean([1, 2, 3])
    whole = np.mean([1, 2, 3, 9])
    assert got.tolist() == [[1, 2, whole, whole], [3, block, whole, whole], [whole, whole, 9, 9], [whole, whole, 9, 9]]


def test_frames_do_not_see_each_other():
    valid = np.zeros((2, 4, 4), bool)
    valid[0, 0, 0] = valid[1, 3, 3] = True
    frames = np.where(valid, np.array([5.0, -2.0])[:, None, None], np.nan)
    np.testing.assert_array_equal(fill_holes(frames, valid), np.broadcast_to([[[5.0]], [[-2.0]]], (2, 4, 4)))


def test_a_frame_without_a_pixel_becomes_zero():
    assert not fill_holes(np.full((1, 3, 5), np.nan), np.zeros((1, 3, 5), bool)).any()


def test_a_linear_field_is_continued_without_jumps():
    y, x = np.mgrid[0:32, 0:64].astype(np.float64)
    valid = np.ones((32, 64), bool)
    valid[10:14, 20:28] = False
    got = filled(x + y, valid)
    assert abs(got - (x + y)).max() < 8
