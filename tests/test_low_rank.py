"""CP arrays: values, means, conversion, small integers whose sums are exact."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.errors import RequestError
from adiabat.formats.low_rank import CPArray, combine
from adiabat.formats.quantised_factors import quantise
from adiabat.training.anomaly import Anomaly

SHAPE = (37, 9, 11)


def factors(rank=6, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 2, rank), [rng.standard_normal((n, rank)) for n in shape]


def removed(transform="none", offset=True, seed=1):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(SHAPE[1:]).astype("f4")
    days = rng.standard_normal(SHAPE[0]).astype("f4") if offset else None
    return Anomaly(transform, base, 2.5, days, 0.3)


def dense(weights, made, anomaly):
    z = np.einsum("r,ir,jr,kr->ijk", weights, *made)
    return z if anomaly is None else anomaly.restore(z)


@pytest.mark.parametrize("anomaly", [None, removed(), removed(offset=False), removed("log")], ids=str)
def test_values_are_those_of_the_formula(anomaly):
    weights, made = factors()
    cube = CPArray(weights, made, anomaly, np.dtype("f8"))
    np.testing.assert_allclose(np.asarray(cube), dense(weights, made, anomaly), rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize(
    "key",
    [
        3, -1, (slice(None, None, -4), 2), (Ellipsis, [1, 5, 5]), ([7, 0], slice(2, 2)),
        (np.arange(37) % 3 == 0, ..., 4), (slice(30, 99), [-1, 0], slice(None, None, 3)), (5, 6, 7), (),
    ],
    ids=str,
)  # fmt: skip
def test_indexing_gives_the_same_bits_as_a_full_decode(key):
    weights, made = factors()
    small = quantise(weights, made, rmse=0.2)
    cube = CPArray(small.weights, small.factors, removed())
    full = np.asarray(cube)
    parts = key if isinstance(key, tuple) else (key,)
    wanted = full
    expanded = list(parts)
    if Ellipsis in [p if p is Ellipsis else None for p in parts]:
        place = next(i for i, p in enumerate(parts) if p is Ellipsis)
        expanded[place : place + 1] = [slice(None)] * (3 - len(parts) + 1)
    for axis in range(len(expanded) - 1, -1, -1):
        wanted = wanted[(slice(None),) * axis + (expanded[axis],)]
    np.testing.assert_array_equal(cube[key], wanted)


def test_points():
    weights, made = factors()
    small = quantise(weights, made, rmse=0.2)
    cube = CPArray(small.weights, small.factors, removed())
    i, j, k = np.array([[0, 36, -1]]), np.array([[1], [8]]), np.array(3)
    np.testing.assert_array_equal(cube.points(i, j, k), np.asarray(cube)[i, j, k])


@pytest.mark.parametrize("axes", [0, 1, (0, 2), (1, 2), (0, 1, 2), -1])
def test_means_and_sums_are_those_of_the_values(axes):
    weights, made = factors()
    cube = CPArray(weights, made, removed(), np.dtype("f8"))
    full = np.asarray(cube)
    np.testing.assert_allclose(cube.mean(axes), full.mean(axes), atol=1e-10)
    np.testing.assert_allclose(cube.sum(axes), full.sum(axes), atol=1e-8)


def test_weighted_mean():
    weights, made = factors()
    cube = CPArray(weights, made, removed(), np.dtype("f8"))
    share = np.cos(np.linspace(-1, 1, SHAPE[1]))
    wanted = np.average(np.asarray(cube).mean(2), 1, share)
    np.testing.assert_allclose(cube.mean((1, 2), {1: share}), wanted, atol=1e-10)


def test_means_that_would_not_be_exact_are_refused():
    weights, made = factors()
    with pytest.raises(RequestError, match="logarithms"):
        CPArray(weights, made, removed("log")).mean(0)
    with pytest.raises(RequestError, match="expected different axes"):
        CPArray(weights, made).mean((0, 0))
    with pytest.raises(RequestError, match="expected weights for the axes"):
        CPArray(weights, made).mean(0, {1: np.ones(9)})
    with pytest.raises(RequestError, match="expected 37 finite weights"):
        CPArray(weights, made).mean(0, {0: np.zeros(37)})


def test_tensorly_there_and_back_on_the_same_memory():
    tensorly = pytest.importorskip("tensorly")
    weights, made = factors()
    tensor = CPArray(weights, made).to_tensorly()
    assert all(np.shares_memory(a, b) for a, b in zip([weights, *made], [tensor[0], *tensor[1]], strict=True))
    np.testing.assert_allclose(tensorly.cp_to_tensor(tensor), np.asarray(CPArray(weights, made)), rtol=1e-4, atol=1e-4)
    again = CPArray.from_tensorly(tensor)
    assert np.shares_memory(again.weights, weights)
    assert all(np.shares_memory(a, b) for a, b in zip(again.factors, made, strict=True))


def test_any_number_of_axes():
    for shape in ((5, 4), (5, 4, 3, 2), (6, 2, 2, 2, 3)):
        weights, made = factors(3, shape)
        letters = "ijklm"[: len(shape)]
        wanted = np.einsum(f"r,{','.join(f'{each}r' for each in letters)}->{letters}", weights, *made)
        np.testing.assert_allclose(combine(weights, made), wanted, atol=1e-12)


def test_shapes_that_do_not_fit_are_refused():
    weights, made = factors()
    with pytest.raises(ValueError, match=r"expected factors \(n, 5\)"):
        CPArray(weights[:5], made)
    with pytest.raises(ValueError, match="expected an anomaly with a base"):
        CPArray(weights, made[::-1], removed())
    with pytest.raises(IndexError):
        CPArray(weights, made)[0, 0, 0, 0]


@pytest.mark.parametrize(("rmse", "growth"), [(0.5, 1.04), (0.05, 1.04), (0.05, 1.01)])
def test_quantising_keeps_to_its_budget_and_is_no_finer_than_it(rmse, growth):
    weights, made = factors(12, (60, 20, 25), seed=2)
    small = quantise(weights, made, rmse=rmse, growth=growth)
    error = np.sqrt(np.mean((combine(small.weights, small.factors) - combine(weights, made)) ** 2))
    budget = rmse * np.sqrt(growth**2 - 1)
    assert error == pytest.approx(small.error, rel=1e-3)
    assert 0.8 * budget < error <= budget * 1.001


def test_the_budget_decides_on_the_width():
    weights, made = factors(12, (60, 20, 25), seed=2)
    assert quantise(weights, made, rmse=0.5).factors[0].dtype == np.int8
    fine = quantise(weights, made, rmse=0.012)
    assert fine.factors[0].dtype == np.int16
    assert max(np.abs(factor).max() for factor in fine.factors) < 2**11


def test_sums_are_exact_in_any_order():
    weights, made = factors(40, (50, 20, 25), seed=3)
    small = quantise(weights, made, rmse=0.01)
    wanted = combine(small.weights, small.factors)
    rng = np.random.default_rng(0)
    for _ in range(5):
        order = rng.permutation(small.rank)
        shuffled = combine(small.weights[order], [factor[:, order] for factor in small.factors])
        np.testing.assert_array_equal(shuffled, wanted)
    axes = rng.permutation(3)
    turned = combine(small.weights, [small.factors[axis] for axis in axes])
    np.testing.assert_array_equal(turned.transpose(np.argsort(axes)), wanted)


def test_components_of_nothing_are_dropped():
    weights, made = factors(6)
    weights[2] = 0
    made[1][:, 4] = 0
    assert quantise(weights, made, rmse=0.1).rank == 4
    assert quantise(np.zeros(6), made, rmse=0.1).rank == 0
    assert combine(np.zeros(0), [np.zeros((n, 0)) for n in SHAPE]).shape == SHAPE
