"""Linear algebra of CP fits, against NumPy's own and the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training.cp_algebra import balanced, bounded, contracted, khatri_rao, products, room, solved, strong, total


def arrays(sizes, rank=3):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, rank)).astype(np.float32) for n in sizes]


def test_khatri_rao_is_kronecker_column_by_column():
    factors = arrays((4, 3, 5))
    a, b, c = factors
    expected = np.stack([np.kron(np.kron(a[:, r], b[:, r]), c[:, r]) for r in range(3)], 1)
    out = np.empty((60, 3), np.float32)
    found = khatri_rao(np, factors, out)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.shares_memory(found, out)
    np.testing.assert_array_equal(khatri_rao(np, factors[:1]), factors[0])


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_contracted_sums_over_the_other_modes(mode):
    factors, (product,) = arrays((4, 3, 5)), arrays((60,))
    ones = [f if k != mode else np.ones((1, 3), np.float32) for k, f in enumerate(factors)]
    expected = np.einsum("abcr,ar,br,cr->" + "abc"[mode] + "r", product.reshape(4, 3, 5, 3),
                         *(np.broadcast_to(f, (n, 3)) for f, n in zip(ones, (4, 3, 5), strict=True)))  # fmt: skip
    np.testing.assert_allclose(contracted(np, product, factors, mode), expected, rtol=1e-4, atol=1e-5)


def test_balanced_keeps_the_model_and_makes_norms_equal():
    factors = arrays((4, 3, 5))
    factors[1][:, 2] = 0
    found = balanced(np, factors)
    model, expected = (np.einsum("ar,br,cr->abc", *some) for some in (found, factors))
    np.testing.assert_allclose(model, expected, rtol=1e-4, atol=1e-5)
    norms = np.array([np.linalg.norm(f, axis=0) for f in found])
    np.testing.assert_allclose(norms, np.broadcast_to(norms[:1], norms.shape), rtol=1e-5)
    assert not norms[:, 2].any()


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("count", [1, 150, 300])
def test_solved_in_blocks(size, count):
    rng = np.random.default_rng(0)
    a, rows = rng.standard_normal((size, size)), rng.standard_normal((count, size)).astype(np.float32)
    normal = (a @ a.T + np.eye(size)).astype(np.float32)
    np.testing.assert_allclose(solved(np, normal, rows) @ normal, rows, atol=5e-3)


def test_of_what_rounding_made_indefinite_the_inverse_is_positive():
    a = np.random.default_rng(0).standard_normal((200, 20))
    normal = (a @ a.T - 1e-4 * np.eye(200)).astype(np.float32)
    found = solved(np, normal, np.eye(200, dtype=np.float32))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, found.T)
    assert np.linalg.eigvalsh(found.astype(np.float64)).min() > 0


def test_what_is_not_definite_is_refused():
    with pytest.raises(ValueError, match="expected normal equations that are positive definite"):
        solved(np, -np.eye(3, dtype=np.float32), np.ones((1, 3), np.float32))


def test_row_by_row():
    a, b = arrays((4, 4))
    np.testing.assert_allclose(products(np, a, b), (a * b).sum(1), rtol=1e-5)
    assert total(np, a) == pytest.approx(float((a.astype(np.float64) ** 2).sum()), rel=1e-6)
    step = np.array([[-1, 2], [1, 3], [-4, -1], [-1e-8, 1]], np.float32)
    found = room(np, np.array([[3, 1], [1, 1], [2, 1], [1e-8, 1]], np.float32), step)
    np.testing.assert_allclose(found, [3, 1e30, 0.5, 1e30], rtol=1e-6)


def test_bounded_steps_go_down_and_leave_nothing_negative():
    rng = np.random.default_rng(0)
    a, factor = rng.standard_normal((20, 4)), np.abs(rng.standard_normal((6, 4))).astype(np.float32)
    normal, gradient = (a.T @ a).astype(np.float32), 30 * rng.standard_normal((6, 4)).astype(np.float32)
    step = bounded(np, factor, gradient, normal)
    assert (factor + step >= 0).all()
    assert (factor + step == 0).any()
    assert (products(np, gradient, step) > 0.5 * products(np, step @ normal, step)).all()


def test_strong_components_stay():
    weights = np.array([10.0, 1e-9, 5.0, 1e-8])
    assert strong(weights, 1.0, 3, 100.0).tolist() == [0, 2]
    assert strong(weights, 0.0, 3, 100.0).tolist() == [0, 1, 2, 3]
    assert strong(np.array([1e-9, 1e-8]), 1.0, 3, 100.0).tolist() == [1]  # one is always left
