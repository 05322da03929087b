"""The few-step sampler: against closed forms of Gaussian data, and against diffusers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adiabat.formats.sampler import FIRST, LAST, begin, sample, steps_of

WAVES = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij"))
SPECTRUM = 1 / (WAVES**2 + 0.02**2) ** 1.5
SPECTRUM /= SPECTRUM.mean()


def velocity(x, t):
    """Of Gaussian data with that spectrum."""
    alpha, sigma = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
    gain = alpha * SPECTRUM / (alpha**2 * SPECTRUM + sigma**2)
    return (alpha * x - np.fft.ifft2(gain * np.fft.fft2(x)).real) / sigma


@pytest.fixture
def white():
    return np.random.default_rng(0).standard_normal((64, 64))


def coloured(noise):
    """What the exact flow makes of the noise."""
    return np.fft.ifft2(np.sqrt(SPECTRUM) * np.fft.fft2(noise)).real


def octaves(field):
    power = np.abs(np.fft.fft2(field)) ** 2
    return np.array([power[np.ceil(-np.log2(np.maximum(WAVES, 1e-9))) == k + 1].mean() for k in range(1, 5)])


def error(noise, steps):
    return np.sqrt(np.mean((sample(velocity, noise, steps) - coloured(noise)) ** 2))


def test_many_steps_are_the_closed_form(white):
    assert error(white, 500) < 2e-3  # what is left is begun and ended short of pure noise and none


def test_error_falls_with_the_square_of_the_steps(white):
    coarse, fine = (np.abs(sample(velocity, white, n) - sample(velocity, white, 1280)).max() for n in (80, 160))
    assert 3.3 < coarse / fine < 5


def test_twenty_steps_keep_every_octave(white):
    few, many = octaves(sample(velocity, white, 20)), octaves(sample(velocity, white, 250))
    np.testing.assert_allclose(few / many, 1, atol=0.05)
    np.testing.assert_allclose(many / octaves(coloured(white)), 1, atol=0.02)


def test_white_data_stay_as_drawn(white):
    found = sample(lambda x, t: 0 * x, white)
    np.testing.assert_allclose(found, 1.014 * white, atol=0.01)  # twenty steps add 1.4 %


def test_one_step_is_the_first_prediction(white):
    t = FIRST * math.pi / 2
    expected = math.cos(t) * white - math.sin(t) * velocity(white, FIRST)
    np.testing.assert_allclose(sample(velocity, white, 1), expected, atol=1e-12)


def test_times_fall_evenly_in_signal_to_noise():
    times = steps_of(20)
    assert times[[0, -1]] == pytest.approx([FIRST, LAST])
    steps = np.diff(np.log(np.tan(np.pi / 2 * times)))
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] < 0
    assert steps_of(3, 0.4)[0] == pytest.approx(0.4)
    assert steps_of(3, 0.01)[-1] == pytest.approx(0.005)


@pytest.mark.parametrize(("count", "start"), [(0, 1.0), (5, 0.0), (5, 1.5)])
def test_impossible_times_are_refused(count, start):
    with pytest.raises(ValueError, match="at least one step"):
        steps_of(count, start)


def test_a_late_start_keeps_what_is_given(white):
    """Begun at a time, only what the noise of that time hides is made anew."""
    data = coloured(white)
    fresh = np.random.default_rng(1).standard_normal(white.shape)
    errors = [np.std(sample(velocity, begin(data, fresh, t), 10, start=t) - data) for t in (0.05, 0.3, 0.9)]
    assert errors[0] < 0.1 < errors[1] < errors[2]
    found = sample(velocity, begin(data, fresh, 0.3), 20, start=0.3)
    np.testing.assert_allclose(octaves(found) / octaves(data), 1, atol=0.15)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equals_diffusers(white):
    """With its times given, diffusers' multistep scheduler takes the same steps."""
    torch = pytest.importorskip("torch")
    schedulers = pytest.importorskip("diffusers.schedulers.scheduling_dpmsolver_multistep")
    scheduler = schedulers.DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++", solver_order=2, prediction_type="v_prediction", final_sigmas_type="zero"
    )
    times = steps_of(20)
    scheduler.set_timesteps(20)
    scheduler.sigmas = torch.tensor([*np.tan(np.pi / 2 * times), 0.0], dtype=torch.float64)
    x = torch.from_numpy(white)
    for t, name in zip(times, scheduler.timesteps, strict=True):
        x = scheduler.step(torch.from_numpy(velocity(x.numpy(), t)), name, x).prev_sample
    np.testing.assert_allclose(sample(velocity, white, 20), x.numpy(), atol=1e-6)


def test_tensors_as_well(white):
    torch = pytest.importorskip("torch")
    found = sample(lambda x, t: t * x, torch.from_numpy(white.astype(np.float32)), 5)
    expected = sample(lambda x, t: t * x, white, 5)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
