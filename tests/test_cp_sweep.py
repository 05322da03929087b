"""One sweep of a CP fit: gradients that share a product, steps that go on from the last sweep."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training.cp_sweep import EARLY, Problem


def begun(shape, rank=4, *, share=0.0, ridge=0.5, seed=0):
    """A problem of random numbers, and its mask."""
    rng = np.random.default_rng(seed)
    observed = rng.random(shape) >= share
    factors = [0.5 * rng.standard_normal((n, rank)).astype(np.float32) for n in shape]
    x = rng.standard_normal(shape).astype(np.float32)
    return Problem(x, observed, factors, ridge=ridge, nonnegative=False, device="cpu"), x, observed


def definition(problem, x, observed, mode):
    """Half the objective's negative gradient, in float64."""
    letters = "abcdefgh"[: x.ndim]
    factors = [f.astype(np.float64) for f in problem.factors]
    spec = [f"{c}r" for c in letters]
    left = observed * (x - np.einsum(",".join(spec) + "->" + letters, *factors))
    rest = [k for k in range(x.ndim) if k != mode]
    product = np.einsum(",".join([letters, *(spec[k] for k in rest)]) + f"->{letters[mode]}r", left,
                        *(factors[k] for k in rest))  # fmt: skip
    return product - problem.ridge * factors[mode]


def steps(problem):
    """Each mode in turn: its number, gradient and step, before the problem goes that way."""
    for side, modes in enumerate(problem.sides):
        product, then = problem.product(side), list(problem.factors)
        for mode in modes:
            gradient, step, _ = problem.step(mode, product, then)
            yield mode, gradient, step
            problem.update(mode, gradient, step)


def dense(factors):
    letters = "abcdefgh"[: len(factors)]
    return np.einsum(",".join(f"{c}r" for c in letters) + "->" + letters, *factors)


@pytest.mark.parametrize("shape", [(30, 8), (30, 6, 7), (9, 8, 7, 6), (6, 5, 5, 4, 6)])
def test_without_gaps_modes_that_share_a_product_see_their_exact_gradients(shape):
    problem, x, observed = begun(shape)
    for mode, gradient, _ in steps(problem):
        np.testing.assert_allclose(gradient, definition(problem, x, observed, mode), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 6, 7), (9, 8, 7, 6)])
def test_with_gaps_every_row_goes_to_the_best_point_of_its_way(shape):
    problem, x, observed = begun(shape, share=0.4)
    ways = steps(problem)
    mode, _, step = next(ways)
    while mode is not None:
        before = (definition(problem, x, observed, mode) * step).sum(1)
        here, way = mode, step
        mode, _, step = next(ways, (None, None, None))
        after = (definition(problem, x, observed, here) * way).sum(1)
        assert np.abs(after).max() < 1e-4 * np.abs(before).max()
    np.testing.assert_allclose(problem.residual.reshape(shape), observed * (x - dense(problem.factors)), atol=1e-4)


def test_leaps_start_from_the_last_sweep_also_after_one_that_was_refused(monkeypatch):
    problem, _, _ = begun((30, 6, 7), share=0.4)
    starts, ends = [], []

    def refused(*_):
        starts.append(problem.last and [f.copy() for f in problem.last])
        return False

    monkeypatch.setattr(problem, "leap", refused)
    for _ in range(4):
        problem.sweep()
        ends.append([f.copy() for f in problem.factors])
    assert starts[0] is None
    for start, end in zip(starts[1:], ends[:-1], strict=True):
        for one, other in zip(start, end, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_refused_leap_leaves_all_as_it_was(monkeypatch):
    problem, one_by_one = (begun((30, 6, 7), share=0.4)[0] for _ in range(2))
    monkeypatch.setattr(problem, "try_out", lambda *_: False)
    monkeypatch.setattr(one_by_one, "leap", lambda *_: False)
    for _ in range(EARLY + 3):
        problem.sweep()
        one_by_one.sweep()
    for factor, other in zip(problem.factors, one_by_one.factors, strict=True):
        np.testing.assert_allclose(factor, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(700, 6, 7), (30, 6, 7), (30, 8)])
def test_leaps_are_taken_and_the_residual_stays_that_of_the_factors(shape, monkeypatch):
    problem, x, observed = begun(shape, share=0.4)
    taken, leap = [], problem.leap
    monkeypatch.setattr(problem, "leap", lambda *given: taken.append(leap(*given)) or taken[-1])
    objective = problem.objective
    for _ in range(25):
        problem.sweep()
        assert problem.objective <= objective * (1 + 1e-6)
        objective = problem.objective
        left = observed * (x - dense(problem.factors))
        np.testing.assert_allclose(problem.residual.reshape(shape), left, atol=2e-4)
        assert problem.squares == pytest.approx((left.astype(np.float64) ** 2).sum(), rel=1e-4)
    assert sum(taken) > 10


def test_hopeless_leaps_are_told_by_a_sample_of_rows():
    problem, better, few = (begun((rows, 6, 7), share=0.4)[0] for rows in (700, 700, 30))
    for _ in range(4):
        better.sweep()
    assert not problem.hopeless(better.factors, 0)
    assert problem.hopeless([10 * f for f in problem.factors], 0)
    assert not problem.hopeless([10 * f for f in problem.factors], 1e12)  # the penalty makes up for it
    assert not few.hopeless([10 * f for f in few.factors], 0)  # too few rows to tell


def test_most_sweeps_take_one_product_for_each_side_and_two_more(monkeypatch):
    problem, _, _ = begun((700, 6, 7), share=0.4)
    products = []
    for name in ("model", "product"):
        whole = getattr(problem, name)
        monkeypatch.setattr(problem, name, lambda *given, whole=whole: products.append(1) or whole(*given))
    for _ in range(20):
        problem.sweep()
    assert 4 * 20 <= len(products) < 4.5 * 20
