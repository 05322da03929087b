"""From noise to a sample in a few steps of a learned velocity.

Stage: noise_field -> **sampler** -> downscaling. At time t from 0 to 1 the state is x = alpha d + sigma eps of data d
and noise eps, with alpha = cos(pi t / 2) and sigma = sin(pi t / 2); the network gives v = alpha eps - sigma d. The loop
is deterministic, and the same for NumPy arrays and torch tensors.
Spec: spec/generated.md, "Sampler".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["begin", "sample", "steps_of"]

FIRST, LAST = 0.998, 0.015  # times of the first evaluation and of the last: noise alone, and hardly any


def steps_of(count: int, start: float = 1.0) -> NDArray[np.float64]:
    """Times at which the network is evaluated.

    Parameters
    ----------
    count : int
        Evaluations, at least 1.
    start : float
        Where to begin, above 0 and at most 1; a start after `FIRST` counts as `FIRST`.

    Returns
    -------
    NDArray[np.float64], shape (count,)
        Downwards to `LAST`, evenly in log (alpha / sigma): spectra fall by decades, and each scale is made where its
        signal meets the noise. The step after the last ends at 0.

    Raises
    ------
    ValueError
        If there are none, or the start is no such time.

    Examples
    --------
    >>> steps_of(4).round(3)
    array([0.998, 0.952, 0.326, 0.015])
    """
    if count < 1 or not 0 < start <= 1:
        raise ValueError(f"expected at least one step from a time above 0 and at most 1, got {count} from {start}")
    first = min(start, FIRST)
    ratios = np.linspace(_log_ratio(first), _log_ratio(min(LAST, first / 2)), count)
    return np.asarray(2 / np.pi * np.arctan(np.exp(-ratios)))


def begin(data: Any, noise: Any, start: float) -> Any:
    """Mix data and noise to the state at a time, from which `sample` goes on: alpha d + sigma eps."""
    return math.cos(math.pi / 2 * start) * data + math.sin(math.pi / 2 * start) * noise


def sample(predict_velocity: Callable[[Any, float], Any], noise: Any, steps: int = 20, *, start: float = 1.0) -> Any:
    """Go from noise to data: DPM-Solver++(2M), deterministic.

    Parameters
    ----------
    predict_velocity : callable
        Of the state and the time.
    noise : array or tensor, any shape
        The state at the time `start`: standard normal at 1, that of `begin` below.
    steps : int
        Evaluations of the network.
    start : float

    Returns
    -------
    array or tensor
        A sample of d, of the dtype of `noise`.

    Notes
    -----
    Source: Lu et al. (2022), arXiv 2211.01095, Algorithm 2; the first and the last step are of first order. Perceptual
    decodes begin after Meng et al. (2021), arXiv 2108.01073.

    Examples
    --------
    Where all data are 3, the velocity is known and one step would do:

    >>> def velocity(x, t):
    ...     alpha, sigma = np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)
    ...     return (alpha * x - 3) / sigma
    >>> float(np.round(sample(velocity, np.array(0.7), 5), 9))
    3.0
    """
    x, before, last_step = noise, None, math.inf
    times = [*steps_of(steps, start).tolist(), 0.0]
    for t, after in itertools.pairwise(times):
        (alpha, sigma), (next_alpha, next_sigma) = _mix(t), _mix(after)
        data = alpha * x - sigma * predict_velocity(x, t)
        step = _log_ratio(after) - _log_ratio(t) if after else math.inf
        extrapolated = data if before is None or not after else data + (data - before) * (step / last_step / 2)
        # exp(-step) written out, so that the last step, which is infinite, leaves the data alone.
        x = (next_sigma / sigma) * x + (next_alpha - next_sigma * alpha / sigma) * extrapolated
        before, last_step = data, step
    return x


def _mix(t: float) -> tuple[float, float]:
    """Alpha and sigma."""
    return math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)


def _log_ratio(t: float) -> float:
    """Half the logarithm of signal to noise."""
    return -math.log(math.tan(math.pi / 2 * t))
