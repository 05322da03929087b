"""The wavelet: both directions undo each other, its tables are what they say, its integers are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adiabat.codec import wavelet
from adiabat.codec.wavelet import BITS, DETAIL, GAIN, INTEGER_GAIN, LIFTS, MULTIPLIERS, PARITY, SMOOTH, STEP, scales

SIZES = [*itertools.product(range(1, 7), range(1, 8)), (33, 49), (16, 45), (5, 300)]
WAYS = list(itertools.product([False, True], repeat=2))


def times(value, by):
    return (value * by + (1 << (BITS - 1))) >> BITS


def unlifted(line, wrap):
    """The inverse of one line in Python's integers, as the specification has it."""
    n = len(line)
    line = [times(value, INTEGER_GAIN) if j % 2 == 0 else value for j, value in enumerate(line)]
    for number in (3, 2, 1, 0):
        for j in range(1 - number % 2, n, 2):
            before = j - 1 if j > 0 else (n - 1 if wrap else 1)
            after = j + 1 if j + 1 < n else (0 if wrap else n - 2)
            line[j] -= times(line[before] + line[after], MULTIPLIERS[number])
    return line


def synthesised(smooth, bands, scale, wrap):
    """One level of one frame in Python's integers."""
    (height, width), (y, x) = scale.size, (scale.steps(0), scale.steps(1))
    frame = [[0] * width for _ in range(height)]
    for (row, column), part in [((0, 0), smooth)] + [(PARITY[band], values) for band, values in bands.items()]:
        for i, line in enumerate(part):
            for j, value in enumerate(line):
                frame[row + y * i][column + x * j] = value
    if scale.halved(1):
        frame = [unlifted(line, wrap and width % 2 == 0) for line in frame]
    if scale.halved(0):
        columns = [unlifted([line[j] for line in frame], False) for j in range(width)]
        frame = [[column[i] for column in columns] for i in range(height)]
    return frame


def transformed(field, x_first, wrap):
    levels = scales(*field.shape[1:], x_first=x_first)
    return levels, *wavelet.analyse(field, levels, wrap=wrap)


def put_together(levels, smooth, details, unit, wrap, threads=1):
    """Synthesise from coefficients in units of 1 / unit."""
    out = np.rint(smooth * unit).astype(np.int64)
    for scale, bands in zip(levels[::-1], details[::-1], strict=True):
        bands = {band: np.rint(values * unit).astype(np.int64) for band, values in bands.items()}
        out = wavelet.synthesise(out, bands, scale, wrap=wrap, threads=threads)
    return out


@pytest.mark.parametrize(("x_first", "wrap"), WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_synthesis_undoes_analysis(size, x_first, wrap):
    field = np.random.default_rng(0).normal(size=(2, *size))
    levels, smooth, details = transformed(field, x_first, wrap)
    assert smooth.shape == (2, 1, 1)
    unit = 2.0**24
    decoded = put_together(levels, smooth, details, unit, wrap) / unit
    np.testing.assert_allclose(decoded, field, atol=16 * (len(levels) + 1) / unit)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (7, 12), (33, 49)])
def test_every_sample_stands_in_one_place(size):
    levels, smooth, details = transformed(np.zeros((1, *size)), True, False)
    assert smooth.size + sum(values.size for bands in details for values in bands.values()) == np.prod(size)
    for scale, bands in zip(levels, details, strict=True):
        assert {band: values.shape[1:] for band, values in bands.items()} == dict(scale.bands())


@pytest.mark.parametrize(("x_first", "wrap"), WAYS)
@pytest.mark.parametrize("size", [(1, 9), (8, 8), (13, 22)])
def test_constants_have_no_detail_and_keep_their_value(size, x_first, wrap):
    _, smooth, details = transformed(np.full((1, *size), 7.0), x_first, wrap)
    np.testing.assert_allclose(smooth, 7, rtol=7e-5 * len(details))  # multipliers are rounded
    for values in itertools.chain.from_iterable(bands.values() for bands in details):
        np.testing.assert_allclose(values, 0, atol=3e-4)


def test_a_cubic_has_no_detail_inside():
    """The analysis filters of the CDF 9/7 pair have four vanishing moments."""
    x = np.linspace(-1, 1, 64)
    _, _, details = transformed((x**3 - 2 * x**2 + x).reshape(1, 1, 64), False, False)
    np.testing.assert_allclose(details[0][wavelet.HL][0, 0, 3:-3], 0, atol=3e-4)


def test_a_field_moved_round_the_circle_has_its_detail_moved():
    field = np.random.default_rng(0).normal(size=(1, 6, 16))
    _, _, details = transformed(field, False, True)
    _, _, moved = transformed(np.roll(field, 4, 2), False, True)
    for band, values in details[0].items():
        np.testing.assert_allclose(moved[0][band], np.roll(values, 2, 2), atol=1e-12)


@pytest.mark.parametrize(("x_first", "wrap"), WAYS)
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 4), (5, 8), (6, 7), (9, 131)])
def test_synthesis_is_its_definition_in_exact_integers(size, x_first, wrap):
    rng = np.random.default_rng(0)
    scale = scales(*size, x_first=x_first)[0]
    smooth = rng.integers(-(1 << 38), 1 << 38, (2, *scale.smooth))
    bands = {band: rng.integers(-(1 << 38), 1 << 38, (2, *shape)) for band, shape in scale.bands()}
    for threads in (1, 2, 4):
        got = wavelet.synthesise(smooth, bands, scale, wrap=wrap, threads=threads)
        for f in range(2):
            wanted = synthesised(smooth[f].tolist(), {band: v[f].tolist() for band, v in bands.items()}, scale, wrap)
            assert got[f].tolist() == wanted


@pytest.mark.parametrize("size", [(1000, 3), (3, 1000), (300, 400)])
def test_threads_change_nothing(size):
    levels, smooth, details = transformed(np.random.default_rng(0).normal(size=(3, *size)), False, True)
    one = put_together(levels, smooth, details, 1e4, True)
    np.testing.assert_array_equal(put_together(levels, smooth, details, 1e4, True, threads=2), one)


def norms(detail, levels):
    """Norms along one axis of the synthesis functions in the middle of a long line."""
    n, line = 1 << (levels + 5), scales(1, 1 << (levels + 5), x_first=False)[:levels]
    smooth = np.zeros((1, 1, n >> levels), np.int64)
    bands = [{wavelet.HL: np.zeros((1, 1, n >> k), np.int64)} for k in range(1, levels + 1)]
    one = 1 << 32
    (bands[-1][wavelet.HL] if detail else smooth)[0, 0, 15] = one
    for scale, band in zip(line[::-1], bands[::-1], strict=True):
        smooth = wavelet.synthesise(smooth, band, scale, wrap=True)
    return np.sqrt(np.sum((smooth / one) ** 2))


@pytest.mark.parametrize(("table", "detail"), [(SMOOTH, False), (DETAIL, True)])
def test_norms_are_those_of_the_synthesis_functions(table, detail):
    assert table[0] == 1 << 16
    for levels in range(1, 11):
        assert table[levels] == pytest.approx((1 << 16) / norms(detail, levels), abs=0.6, rel=6e-4)
    for deeper in range(11, 17):  # a synthesis function of each further level is twice as wide
        assert table[deeper] / table[deeper - 2] == pytest.approx(0.5, abs=0.002)


def test_multipliers_are_the_lifting_steps():
    """Of Daubechies and Sweldens 1998, section 7.7; the gain of constants is then known."""
    steps = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
    assert [round(by * 2**BITS) for by in steps] == list(MULTIPLIERS)
    odd = even = 1.0
    for number, by in enumerate(steps):
        odd, even = (odd + 2 * by * even, even) if number % 2 == 0 else (odd, even + 2 * by * odd)
    assert odd == pytest.approx(0, abs=1e-12)
    assert even == pytest.approx(1.2301741049139971, rel=1e-12)
    assert round(even * 2**BITS) == INTEGER_GAIN
    assert [by * 2**BITS for by in (*LIFTS, GAIN)] == [*MULTIPLIERS, INTEGER_GAIN]


def test_lifting_steps_make_the_cdf_9_7_low_pass():
    """The nine taps of Cohen, Daubechies and Feauveau, as JPEG 2000 prints them (ISO/IEC 15444-1, table F.4)."""
    taps = [0.602949018236, 0.266864118443, -0.078223266529, -0.016864118443, 0.026748757411]
    levels = scales(1, 32, x_first=False)
    response = []
    for place in range(16, 21):
        impulse = np.zeros((1, 1, 32))
        impulse[0, 0, place] = 1
        smooth, _ = wavelet.analyse(impulse, levels[:1], wrap=True)
        response.append(smooth[0, 0, 8])
    np.testing.assert_allclose(response, taps, atol=3e-5)


def test_steps_divide_by_both_norms():
    scale = scales(64, 64, x_first=True)[2]
    assert (scale.depth, scale.along_y, scale.along_x) == (2, 2, 3)
    assert scale.smooth_step == SMOOTH[2] * SMOOTH[3] >> 16
    assert [scale.step(band) for band, _ in scale.bands()] == [
        SMOOTH[2] * DETAIL[3] >> 16, DETAIL[2] * SMOOTH[3] >> 16, DETAIL[2] * DETAIL[3] >> 16,
    ]  # fmt: skip
    assert scales(2, 2, x_first=False)[0].step(wavelet.HH) == DETAIL[1] ** 2 >> 16 < 2 * STEP


def test_levels_beyond_the_tables_have_the_last_norm():
    deepest = scales(1, 1 << 20, x_first=False)[-1]
    assert deepest.along_x == 20
    assert deepest.step(wavelet.HL) == DETAIL[16]
    assert deepest.smooth_step == SMOOTH[16]


def test_levels_go_on_until_one_value_is_left():
    assert [scale.smooth for scale in scales(5, 12, x_first=True)] == [(5, 6), (3, 3), (2, 2), (1, 1)]
    assert [scale.depth for scale in scales(5, 12, x_first=True)] == [0, 1, 2, 3]
    assert [scale.smooth for scale in scales(5, 12, x_first=False)] == [(3, 6), (2, 3), (1, 2), (1, 1)]
    assert scales(1, 1, x_first=True) == []
    assert scales(3, 1, x_first=True) == scales(3, 1, x_first=False)
