"""The search for a step: it meets what was asked for, closely, in few tries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec.latent_target import CLOSE, TRIES, Point, Target, search

VALUES = 1_000_000


class Curve:
    """Error and bytes of a made-up field of spread 1, and how often somebody asked."""

    def __init__(self, error=0.7, rate=0.9, bend=0.0, noise=0.0, floor=0):
        self.error, self.rate, self.bend, self.noise, self.floor = error, rate, bend, noise, floor
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        at = math.log(step)
        wiggle = self.noise * math.sin(1e4 * at)
        rmse = min(0.2 * math.exp((self.error - self.bend * at) * at + wiggle), 1.0)
        size = self.floor + round(VALUES / 20 * math.exp(-(self.rate + self.bend * at) * at - wiggle))
        return Point(step, step, size, rmse)


def found(curve, target, start=1.0, finer=0.0):
    point = search(curve, target, VALUES, start=start, finer=finer)
    assert len(curve.steps) <= TRIES
    return point


@quick
@given(st.floats(0.4, 1.0), st.floats(0.5, 1.3), st.floats(0, 0.03), st.floats(-4, 0.5))
def test_meets_either_target_closely_in_few_tries(error, rate, bend, at):
    wanted = Curve(error, rate, bend)(math.exp(at))
    for target in (Target("rmse", wanted.rmse), Target("ratio", 4 * VALUES / wanted.size)):
        curve = Curve(error, rate, bend)
        point = found(curve, target)
        left = target.met(point.size, point.rmse, VALUES)
        assert 1 - max(CLOSE, 3 / point.size) < left <= 1
        assert len(curve.steps) <= 7


@pytest.mark.parametrize("seed", range(5))
def test_noise_costs_tries_but_no_target(seed):
    rng = np.random.default_rng(seed)
    tries = []
    for _ in range(20):
        target = Target("rmse", 0.2 * math.exp(rng.uniform(-3, 0)))
        curve = Curve(noise=5e-4)
        point = found(curve, target)
        assert (1 - 2 * CLOSE) * target.size < point.rmse <= target.size
        tries.append(len(curve.steps))
    assert np.mean(tries) < 6


def test_takes_a_first_try_that_is_close_enough():
    curve = Curve()
    assert found(curve, Target("rmse", 0.2 * (1 + CLOSE / 2))).step == 1.0
    assert len(curve.steps) == 1


def test_goes_far_where_the_start_is_far_off():
    point = found(Curve(), Target("rmse", 1e-5), start=100.0)
    assert 1e-5 * (1 - CLOSE) <= point.rmse <= 1e-5


def test_a_ratio_beyond_the_smallest_stream_is_not_found():
    curve = Curve(floor=100)
    assert found(curve, Target("ratio", 4 * VALUES / 50)) is None


def test_an_error_that_everything_meets_ends_soon():
    curve = Curve()
    assert found(curve, Target("rmse", 2.0)).rmse == 1.0
    assert len(curve.steps) <= 6


def test_small_streams_are_close_within_two_bytes():
    curve = Curve()
    point = found(curve, Target("ratio", 4 * VALUES / 200))
    assert 198 <= point.size <= 200
    assert len(curve.steps) <= 8


def test_no_step_below_the_finest_is_tried():
    curve = Curve()
    assert found(curve, Target("rmse", 1e-4), finer=0.5) is None
    assert min(curve.steps) == pytest.approx(0.5)
    assert found(Curve(), Target("rmse", 0.13), start=0.1, finer=0.5).step == pytest.approx(0.5, rel=0.1)


def test_what_is_met():
    assert Target("rmse", 2.0).met(1, 1.0, VALUES) == 0.5
    assert Target("ratio", 100.0).met(VALUES // 25, 9.0, VALUES) == 1.0
    assert Target("ratio", 100.0).met(5, 9.0, 0) == 0.0


@pytest.mark.parametrize("target", [{"rmse": 0.5}, {"ratio": 300.0}])
def test_parse_gives_back_what_was_given(target):
    assert Target.parse(target).config() == target


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (None, ValueError), ({}, ValueError), ({"rmse": 1, "ratio": 2}, ValueError), ({"psnr": 1}, ValueError),
        ({"rmse": 0}, ValueError), ({"rmse": -1.0}, ValueError), ({"ratio": math.inf}, ValueError),
        ({"ratio": math.nan}, ValueError), ({"rmse": "1"}, TypeError), ({"rmse": True}, TypeError),
        ("rmse", ValueError),
    ],
)  # fmt: skip
def test_parse_refuses_what_is_none(target, error):
    with pytest.raises(error, match=r"expected target="):
        Target.parse(target)


def test_steps_stay_finite_where_errors_have_no_end():
    tried = []

    def infinite(step):
        tried.append(step)
        return Point(step, None, 10**9, math.inf)

    for kind, start in (("rmse", 1.0), ("rmse", 1e-290), ("ratio", 1e30), ("ratio", 1e300)):
        assert search(infinite, Target(kind, 1e9), 100, start=start) is None
    assert np.isfinite(np.float32(tried)).all()
