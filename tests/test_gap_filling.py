"""Gap filling: every method on a simulated cube, the order of methods there and on real NO2, the choice of rank."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.sources import tropomi
from adiabat.training import gap_filling as gaps

METHODS = {
    "climatology": gaps.climatology,
    "day means": gaps.day_means,
    "planes": lambda *arguments: gaps.day_means(*arguments, tilted=True),
    "DINEOF": gaps.dineof_fill,
    "kriging": gaps.local_kriging,
    "CP": lambda *arguments: gaps.cp(*arguments, rank=4, ridge=3.0),
    "CP + kriging": lambda *arguments: gaps.cp_kriged(*arguments, rank=4, ridge=3.0, members=2),
}


@pytest.fixture(scope="module")
def simulated():
    """Simulated: two separable patterns, a smooth field new each day, noise; a cloud a day."""
    rng, days, rows, columns = np.random.default_rng(0), 150, 14, 16
    north, east = np.linspace(30, 32.6, rows), np.linspace(10, 13, columns)
    y, x = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    patterns = np.stack((np.exp(-((y - 0.3) ** 2 + (x - 0.6) ** 2) / 0.02), np.cos(3 * y) * x))
    truth = 5 + np.einsum("tk,kij->tij", rng.standard_normal((days, 2)), 2 * patterns)
    distance = np.hypot(y.ravel()[:, None] - y.ravel(), x.ravel()[:, None] - x.ravel())
    smooth = np.linalg.cholesky(0.3 * np.exp(-distance / 0.4) + 1e-9 * np.eye(rows * columns))
    truth += (rng.standard_normal((days, rows * columns)) @ smooth.T).reshape(truth.shape)
    values = (truth + 0.2 * rng.standard_normal(truth.shape)).astype(np.float32)
    for day in values:
        top, left = rng.integers(0, rows - 3), rng.integers(0, columns - 3)
        day[top : top + rng.integers(2, 9), left : left + rng.integers(2, 9)] = np.nan
    values[11] = np.nan
    return gaps.Cube(values, north, east, np.arange(days, dtype=np.float64))


@pytest.fixture(scope="module")
def scores(simulated):
    """Of every method, under clouds."""
    held = gaps.cloud_patterns(simulated.observed, seed=0)
    base, truth = gaps.climatology(simulated, held.train)[held.test], simulated.values[held.test]
    estimates = {name: method(simulated, held.train, held.test)[held.test] for name, method in METHODS.items()}
    return {name: gaps.Scores.of(estimate, truth, base) for name, estimate in estimates.items()}


def test_order_of_methods(scores):
    rmse = {name: found.rmse for name, found in scores.items()}
    assert min(rmse, key=rmse.__getitem__) == "CP + kriging"
    assert rmse["CP + kriging"] < 0.95 * min(rmse["CP"], rmse["kriging"], rmse["DINEOF"])
    assert rmse["CP"] < 0.7 * rmse["climatology"]
    assert all(abs(found.bias) < 0.1 for found in scores.values())


@pytest.mark.parametrize("name", METHODS)
def test_no_method_sees_what_it_may_not(simulated, name):
    held = gaps.cloud_patterns(simulated.observed, seed=0)
    other = simulated.values.copy()
    other[~held.train] = np.random.default_rng(1).choice([np.nan, 1e3], int((~held.train).sum()))
    cube = gaps.Cube(other, simulated.latitude, simulated.longitude, simulated.days)
    first, second = (METHODS[name](c, held.train, held.test)[held.test] for c in (simulated, cube))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_everything_is_filled_where_no_cells_are_named(simulated, name):
    """Days without anything, cells never seen and all-missing rows included."""
    train = simulated.observed.copy()
    train[:, 3, 4], train[:, 0] = False, False
    filled = METHODS[name](simulated, train)
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert np.abs(filled).max() < 50


@pytest.mark.parametrize("name", METHODS)
def test_constant_cube(simulated, name):
    cube = gaps.Cube(np.where(simulated.observed, np.float32(3), np.float32(np.nan)), simulated.latitude,
                     simulated.longitude, simulated.days)  # fmt: skip
    np.testing.assert_allclose(METHODS[name](cube, cube.observed), 3, rtol=1e-5)


def test_mean_of_members_is_the_mean(simulated):
    train = simulated.observed
    each = [gaps.cp(simulated, train, rank=3, ridge=3.0, seed=seed) for seed in (0, 1)]
    mean = gaps.cp(simulated, train, rank=3, ridge=3.0, members=2, seed=0)
    np.testing.assert_allclose(mean, (each[0] + each[1]) / 2, atol=1e-4)


def test_plane_of_a_day_is_met(simulated):
    north, east = np.meshgrid(simulated.latitude, simulated.longitude, indexing="ij")
    slope = np.linspace(-1, 1, len(simulated.days))[:, None, None]
    plane = (4 + slope * (north - north.mean()) - slope * (east - east.mean())).astype(np.float32)
    cube = gaps.Cube(plane, simulated.latitude, simulated.longitude, simulated.days)
    train = gaps.random_cells(cube.observed, seed=0).train
    assert np.abs(gaps.day_means(cube, train, tilted=True) - plane).mean() < 0.05
    assert np.abs(gaps.day_means(cube, train) - plane).mean() > 0.3


def test_residuals_of_a_good_model_change_little_and_of_a_shifted_day_much(simulated):
    train, asked = simulated.observed, np.zeros(simulated.values.shape, bool)
    asked[19:22] = True
    model = np.nan_to_num(simulated.values, nan=5.0)
    variogram = gaps.residual_variogram(simulated, train, np.full(model.shape, np.float32(5)))
    same = gaps.add_residuals(simulated, train, model, asked, variogram=variogram)
    np.testing.assert_allclose(same, model, atol=1e-6)
    shifted = model.copy()
    shifted[20] += 3
    corrected = gaps.add_residuals(simulated, train, shifted, asked, variogram=variogram)
    assert np.abs(corrected[20] - model[20])[train[20]].mean() < 0.7
    np.testing.assert_allclose(corrected[21], model[21], atol=1e-6)


def test_choice_is_apart_from_the_test_and_can_be_resumed(simulated):
    held = gaps.cloud_patterns(simulated.observed, seed=0)
    cube = gaps.Cube(np.where(held.train, simulated.values, np.float32(np.nan)), simulated.latitude,
                     simulated.longitude, simulated.days)  # fmt: skip
    told = []
    settings = {"ranks": (1, 4), "ridges": (3.0, 3000.0)}
    choice = gaps.choose(cube, held.train, **settings, scored=lambda *pair: told.append(pair))
    assert (choice.rank, choice.ridge) == (4, 3.0)
    assert len(told) == 4
    known = {(rank, ridge): rmse for rank, ridge, rmse in told[:3]}
    again, told[:] = gaps.choose(cube, held.train, **settings, known=known, scored=lambda *p: told.append(p)), told[:0]
    assert again == choice


def test_choice_of_climatology_and_the_end_of_a_row(simulated):
    """No fit is made of ranks above two that were worse; rank 0 has no ridge and is tried once."""
    asked = []

    def method(cube, train, wanted, *, rank, ridge, seed):
        asked.append((rank, ridge))
        return gaps.climatology(cube, train) + np.float32(rank)

    told = []
    choice = gaps.choose(simulated, simulated.observed, ranks=(8, 1, 0, 3), ridges=(2, 1), method=method,
                         scored=lambda *pair: told.append(pair[:2]))  # fmt: skip
    assert choice[:2] == (0, 0.0)
    assert asked == told == [(0, 0.0), (1, 2.0), (3, 2.0), (1, 1.0), (3, 1.0)]
    assert set(choice.scores) == set(asked)


def test_cube_is_as_large_as_its_coordinates():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\)"):
        gaps.Cube(np.zeros((3, 5, 4), np.float32), np.zeros(4), np.zeros(5), np.zeros(3))
    with pytest.raises(ValueError, match="cells to learn from"):
        gaps.climatology(gaps.Cube(np.zeros((1, 1, 1), np.float32), np.zeros(1), np.zeros(1), np.zeros(1)),
                         np.zeros((1, 1, 1), bool))  # fmt: skip


def test_real_no2_under_clouds(data):
    """At 0.5 degree, where all methods are quick: CP and kriging of its residuals is the best of all."""
    array = tropomi.to_cube(data / "tropomi" / "no2_pixels_2018-05_2021-06.nc", 0.5)[:400] * 1e5
    days = (array["time"].values - array["time"].values[0]) / np.timedelta64(1, "D")
    cube = gaps.Cube(array.values, array["latitude"].values, array["longitude"].values, days.astype(np.float64))
    held = gaps.cloud_patterns(cube.observed, cube.days, seed=0)
    base, truth = gaps.climatology(cube, held.train)[held.test], cube.values[held.test]
    filled = {
        "plane": gaps.day_means(cube, held.train, tilted=True),
        "DINEOF": gaps.dineof_fill(cube, held.train, seed=0),
        "kriging": gaps.local_kriging(cube, held.train, held.test),
        "CP + kriging": gaps.cp_kriged(cube, held.train, held.test, rank=10, ridge=10.0),
    }
    scores = {name: gaps.Scores.of(estimate[held.test], truth, base) for name, estimate in filled.items()}
    best = scores.pop("CP + kriging")
    assert best.ioa > max(score.ioa for score in scores.values()) - 0.001
    assert best.rmse < min(score.rmse for score in scores.values())
    assert best.r > 0.88
