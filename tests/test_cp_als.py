"""Masked CP fits: against exact alternating least squares, tensorly and known truths; no input breaks them."""

from __future__ import annotations

import tracemalloc
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from adiabat.training import cp_als
from adiabat.training.cp_als import dense, fit


def low_rank(shape, rank, seed=0):
    """An array of that rank and standard deviation 1: float32."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((shape[0], rank))
    for n in shape[1:]:
        x = x[..., None, :] * rng.standard_normal((n, rank))
    x = x.sum(-1)
    return (x / x.std()).astype(np.float32)


def gaps(shape, share=0.5, seed=1):
    return np.random.default_rng(seed).random(shape) >= share


def rmse(found, truth, where=...):
    return float(np.sqrt(np.mean((dense(found.weights, found.factors) - truth)[where] ** 2)))


def objective(found, x, observed, ridge):
    """From the definition, in float64, norms shared equally among modes."""
    share = found.weights ** (1 / x.ndim)
    factors = [f.astype(np.float64) * share for f in found.factors]
    letters = "abcdefgh"[: x.ndim]
    model = np.einsum(",".join(f"{c}r" for c in letters) + "->" + letters, *factors)
    return float(((x - model)[observed] ** 2).sum() + ridge * sum((f**2).sum() for f in factors))


def exact(x, observed, rank, ridge, sweeps, factors):
    """Row by row, each mode's masked normal equations solved exactly, in float64."""
    for _ in range(sweeps):
        for mode in range(3):
            first, second = (factors[k] for k in range(3) if k != mode)
            for row in range(x.shape[mode]):
                at = np.nonzero(np.take(observed, row, mode))
                design = first[at[0]] * second[at[1]]
                normal = design.T @ design + ridge * np.eye(rank)
                factors[mode][row] = np.linalg.solve(normal, design.T @ np.take(x, row, mode)[at])
        norms = [np.linalg.norm(f, axis=0) for f in factors]
        share = np.prod(norms, 0) ** (1 / 3)
        factors = [f * (share / n) for f, n in zip(factors, norms, strict=True)]
    error = (x - np.einsum("ar,br,cr->abc", *factors))[observed]
    return float((error**2).sum() + ridge * sum((f**2).sum() for f in factors))


@cache
def cube():
    """Truth of 40 smooth components, with noise of 0.2, half observed: a quarter of benchmarks/cp.py's days."""
    rng, factors = np.random.default_rng(0), []
    for length, width in zip((365, 50, 116), (3, 2, 2), strict=True):
        kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
        white = rng.standard_normal((40, length + 8 * width))
        factors.append(np.stack([np.convolve(row, kernel, "valid") for row in white], 1))
    right = (factors[1][:, None] * factors[2][None]).reshape(-1, 40)
    truth = (factors[0] @ right.T).reshape(365, 50, 116).astype(np.float32)
    truth /= truth.std()
    return truth, truth + np.float32(0.2) * rng.standard_normal(truth.shape, dtype=np.float32), gaps(truth.shape)


def test_recovers_forty_components_under_noise():
    truth, x, observed = cube()
    found = fit(x, observed, rank=50, ridge=1, sweeps=20)
    assert rmse(found, truth, ~observed) < 0.035
    values = [sweep.objective for sweep in found.history]
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(values))


def test_more_components_than_there_are_do_no_harm_under_a_ridge():
    truth, x, observed = (array[:180] for array in cube())
    found = fit(x, observed, rank=150, ridge=8, sweeps=15)
    assert rmse(found, truth, ~observed) < 0.045
    assert 40 <= found.rank < 60  # what the data carry, by themselves


def test_reaches_the_objective_of_exact_alternating_least_squares():
    x = low_rank((40, 12, 15), 5) + 0.3 * np.random.default_rng(3).standard_normal((40, 12, 15)).astype(np.float32)
    observed, ridge = gaps(x.shape), 1.0
    found = fit(x, observed, rank=5, ridge=ridge, sweeps=400)
    begun = cp_als._begin(x, observed, 5, 0, False, None)
    reached = exact(x.astype(np.float64), observed, 5, ridge, 150, [f.astype(np.float64) for f in begun])
    assert found.history[-1].objective == pytest.approx(reached, rel=1e-4)
    assert objective(found, x, observed, ridge) == pytest.approx(found.history[-1].objective, rel=1e-5)


def test_agrees_with_tensorly():
    decomposition = pytest.importorskip("tensorly.decomposition")
    x = low_rank((40, 12, 15), 3)
    x += 0.2 * np.random.default_rng(3).standard_normal(x.shape).astype(np.float32)
    observed = gaps(x.shape)
    theirs = decomposition.parafac(np.where(observed, x, 0), 3, mask=observed.astype(np.float32),
                                   n_iter_max=300, tol=1e-9, init="random", random_state=0)  # fmt: skip
    ours = fit(x, observed, rank=3, ridge=0, sweeps=200)
    model = np.einsum("r,ar,br,cr->abc", theirs.weights, *theirs.factors)
    best = float(np.sqrt(np.mean((model - x)[observed] ** 2)))
    assert ours.history[-1].rmse == pytest.approx(best, rel=1e-3)
    assert np.sqrt(np.mean((dense(ours.weights, ours.factors) - model) ** 2)) < 0.02


@pytest.mark.parametrize("shape", [(40, 30), (30, 12, 14), (12, 9, 8, 7), (7, 6, 5, 6, 5)])
def test_recovers_an_exact_low_rank_array_of_any_order(shape):
    x = low_rank(shape, 2)
    observed = gaps(shape, 0.3)
    found = fit(np.where(observed, x, np.nan), rank=2, ridge=1e-4, sweeps=300)
    assert rmse(found, x) < 2e-3
    assert [f.shape for f in found.factors] == [(n, 2) for n in shape]
    assert (np.diff(found.weights) <= 0).all()
    np.testing.assert_allclose([np.linalg.norm(f, axis=0) for f in found.factors], 1, rtol=1e-5)


@pytest.mark.parametrize("ridge", [0, 0.1, 10, 100])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_objective_never_increases(ridge, nonnegative):
    x = np.random.default_rng(0).standard_normal((30, 11, 13)).astype(np.float32) + 0.5
    observed = gaps(x.shape)
    observed[4], observed[:, 2, 3], observed[9, 1:] = False, False, False
    found = fit(x, observed, rank=12, ridge=ridge, sweeps=60, nonnegative=nonnegative)
    values = [sweep.objective for sweep in found.history]
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(values))
    assert objective(found, x, observed, ridge) == pytest.approx(values[-1], rel=1e-4)


def test_nonnegative_factors():
    rng = np.random.default_rng(0)
    x = np.einsum("ar,br,cr->abc", *(np.maximum(rng.standard_normal((n, 3)), 0) for n in (40, 12, 15)))
    found = fit(x, gaps(x.shape), rank=3, ridge=1e-4, sweeps=200, nonnegative=True)
    assert all((f >= 0).all() for f in found.factors)
    assert rmse(found, x) < 0.02 * x.std()


def test_the_same_seed_gives_the_same_factors():
    x = low_rank((30, 12, 14), 4)
    one, two, other = (fit(x, gaps(x.shape), rank=6, ridge=0.1, sweeps=8, seed=seed) for seed in (3, 3, 4))
    for a, b in zip([one.weights, *one.factors], [two.weights, *two.factors], strict=True):
        np.testing.assert_array_equal(a, b)
    assert [sweep.objective for sweep in one.history] == [sweep.objective for sweep in two.history]
    assert not np.array_equal(one.factors[0][:, :1], other.factors[0][:, :1])


@pytest.fixture
def torch():
    """PyTorch in one thread: more of them wait for each other where the machine is busy."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_torch_gives_what_numpy_gives(nonnegative, torch):
    x = np.abs(low_rank((40, 12, 15), 3)) + 0.1
    observed, validation = gaps(x.shape), gaps(x.shape, 0.9, seed=2)
    ours, theirs = (fit(x, observed, rank=6, ridge=3, sweeps=12, validation=validation, nonnegative=nonnegative,
                        device=device) for device in ("cpu", "torch"))  # fmt: skip
    np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-3)
    np.testing.assert_allclose(dense(ours.weights, ours.factors), dense(theirs.weights, theirs.factors), atol=5e-3)


def test_stops_where_validation_cells_are_best():
    rng = np.random.default_rng(5)
    x = low_rank((60, 10, 12), 2) + rng.standard_normal((60, 10, 12)).astype(np.float32)
    observed, validation = gaps(x.shape), gaps(x.shape, 0.8, seed=2)
    found = fit(x, observed, rank=20, ridge=0.1, sweeps=100, validation=validation, patience=3)
    errors = [sweep.held_out for sweep in found.history]
    assert len(errors) < 100
    assert found.sweeps == int(np.argmin(errors)) + 1 == len(errors) - 3
    assert rmse(found, x, observed & validation) == pytest.approx(min(errors), rel=1e-5)
    changed = np.where(validation, 7, x)  # the fit does not see them
    unseen = fit(changed, observed & ~validation, rank=20, ridge=0.1, sweeps=found.sweeps)
    np.testing.assert_allclose(dense(unseen.weights, unseen.factors), dense(found.weights, found.factors), atol=1e-5)


def test_starts_from_another_fit():
    x = low_rank((40, 12, 15), 6)
    observed = gaps(x.shape)
    first = fit(x, observed, rank=4, ridge=0.1, sweeps=40)
    again = fit(x, observed, rank=4, ridge=0.1, sweeps=1, start=first)
    assert again.history[0].objective <= first.history[-1].objective * (1 + 1e-5)
    grown = fit(x, observed, rank=6, ridge=0.1, sweeps=80, start=first)
    assert grown.rank == 6
    assert grown.history[-1].rmse < 0.1 * first.history[-1].rmse
    assert fit(x, observed, rank=2, sweeps=1, ridge=0.1, start=first).rank == 2
    with pytest.raises(ValueError, match="start of shape"):
        fit(x[:30], observed[:30], rank=4, start=first)


def test_progress_is_told_after_each_sweep():
    told = []
    x = low_rank((20, 8, 9), 2)
    found = fit(x, gaps(x.shape), rank=2, sweeps=4, progress=lambda number, sweep: told.append((number, sweep)))
    assert [number for number, _ in told] == [1, 2, 3, 4]
    assert [sweep.objective for _, sweep in told] == [sweep.objective for sweep in found.history]


def test_never_holds_components_by_cells():
    x = np.random.default_rng(0).standard_normal((300, 24, 30)).astype(np.float32)
    observed = gaps(x.shape)
    tracemalloc.start()
    try:
        fit(x, observed, rank=400, ridge=0.1, sweeps=2, validation=gaps(x.shape, 0.9, seed=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    sides = 4 * 400 * (300 + 24 * 30)
    assert peak < 4 * x.nbytes + 8 * sides + 6 * 8 * 448**2  # cells x components would be 345 MB
    assert peak < 4 * 400 * x.size / 10


def test_unobserved_days_and_cells_are_zero_and_finite():
    x = low_rank((40, 12, 15), 3)
    observed = gaps(x.shape)
    observed[5], observed[:, 3], observed[:, :, 2] = False, False, False
    found = fit(np.where(observed, x, np.nan), rank=3, ridge=0.1, sweeps=60)
    model = dense(found.weights, found.factors)
    assert np.isfinite(model).all()
    assert not model[5].any()
    assert not model[:, 3].any()
    assert not model[:, :, 2].any()
    seen = np.ix_(np.arange(40) != 5, np.arange(12) != 3, np.arange(15) != 2)
    assert np.sqrt(np.mean((model - x)[seen] ** 2)) < 0.05


@pytest.mark.parametrize("ridge", [0, 30])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("kind", ["zero", "constant", "one cell", "two cells", "one axis of 1", "huge", "tiny"])
def test_degenerate_input_gives_finite_factors(kind, nonnegative, ridge):
    x, observed = np.zeros((9, 4, 5), np.float32), np.ones((9, 4, 5), bool)
    if kind == "constant":
        x += 3
    elif kind.endswith(("cell", "cells")):
        observed[:] = False
        observed[(2, 3)[: 1 + kind.startswith("two")], 1, 4] = True
        x[observed] = 2
    elif kind == "one axis of 1":
        x, observed = low_rank((9, 1, 5), 2), gaps((9, 1, 5))
    elif kind == "huge":
        x = 1e12 * low_rank(x.shape, 2)
    elif kind == "tiny":
        x = 1e-12 * low_rank(x.shape, 2)
    found = fit(x, observed, rank=7, ridge=ridge, sweeps=30, nonnegative=nonnegative)
    assert np.isfinite(found.weights).all()
    assert 1 <= found.rank <= 7
    assert all(np.isfinite(f).all() for f in found.factors)
    assert np.isfinite([sweep.objective for sweep in found.history]).all()
    if ridge == 0 and kind in ("constant", "one cell", "two cells"):
        assert rmse(found, x, observed) < 1e-2


def test_no_cells_and_wrong_arguments_are_refused():
    x = low_rank((9, 4, 5), 2)
    none = np.zeros(x.shape, bool)
    with pytest.raises(ValueError, match="observed cells to fit, got none"):
        fit(x, none, rank=2)
    with pytest.raises(ValueError, match="observed cells to fit, got none"):
        fit(x, rank=2, validation=~none)
    with pytest.raises(ValueError, match="observed cells to fit, got none"):
        fit(np.full(x.shape, np.nan), rank=2)
    with pytest.raises(ValueError, match="observed as a bool mask of shape"):
        fit(x, none[:3], rank=2)
    with pytest.raises(ValueError, match="validation as a bool mask"):
        fit(x, rank=2, validation=np.zeros(x.shape))
    with pytest.raises(ValueError, match="rank and sweeps of at least 1"):
        fit(x, rank=0)
    with pytest.raises(ValueError, match="2 axes or more"):
        fit(x[0, 0], rank=1)


def test_input_is_left_as_it_was():
    x, observed = low_rank((9, 4, 5), 2), gaps((9, 4, 5))
    before = x.copy(), observed.copy()
    fit(x, observed, rank=2, sweeps=3, validation=gaps(x.shape, 0.8, seed=3))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(observed, before[1])


def test_dense_by_index():
    x = low_rank((12, 9, 8, 7), 3)
    found = fit(x, rank=3, ridge=0, sweeps=3)
    whole = dense(found.weights, found.factors)
    index = (np.array([3, 1]), slice(2, 8, 3), np.array([0]), slice(None))
    np.testing.assert_allclose(dense(found.weights, found.factors, index), whole[np.ix_([3, 1], [2, 5], [0], range(7))],
                               atol=1e-6)  # fmt: skip
