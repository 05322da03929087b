"""What the network sees: against the definition, target by target in Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from latent_models import hyperprior_model_of

from adiabat.codec import subband, subband_coder, subband_tile, subband_walk
from adiabat.codec.integer_net import INPUT_ZERO
from adiabat.codec.subband import INPUTS, OTHERS, PAD, PASSES
from adiabat.codec.subband_tile import SAME
from adiabat.formats.demo import simulate_field

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (33, 49), (16, 45)]


def log8(value):
    exponent = value.bit_length() - 1
    return 8 * exponent + ((8 * value >> exponent) & 7)


def clipped(value):
    return min(max(value, -127), 127)


def bends(ll, i, j):
    """Second differences of LL around a target, in the order of inputs 24 .. 43."""

    def bend(y, x, dy, dx):
        return ll[y - dy][x - dx] - 2 * ll[y][x] + ll[y + dy][x + dx]

    out = [bend(i, j + k - 1, 0, 1) for k in range(4)] + [bend(i + k - 1, j, 1, 0) for k in range(4)]
    out += [bend(i - 1, j + k, 0, 1) for k in range(2)] + [bend(i + 1, j + k, 0, 1) for k in range(2)]
    out += [bend(i + k, j - 1, 1, 0) for k in range(2)] + [bend(i + k, j + 1, 1, 0) for k in range(2)]
    for k in range(2):
        for m in range(2):
            a, b = i + k - 1, j + m - 1
            out.append(ll[a][b] - ll[a][b + 1] - ll[a + 1][b] + ll[a + 1][b + 1])
    return out


def expected_target(arrays, band, r, c, step, depth, x_first):
    """Inputs less their zero, spread and octave of one target; arrays: of its frame, as lists."""
    ll, values, symbols, above, above_symbols = arrays
    i, j, y, x = r + PAD, c + PAD, r // 2 + PAD, c // 2 + PAD
    dy, dx = 2 * (r % 2) - 1, 2 * (c % 2) - 1
    near = [values[band][i + a][j + b] for a, b in SAME.tolist()]
    near += [values[part][i + a][j + b] for part, a, b in OTHERS[band].tolist()]
    parents = [above[band][y + a][x + b] for a, b in ((0, 0), (dy, 0), (0, dx), (dy, dx))]
    parents += [above[(band + k) % 3][y][x] for k in (1, 2)]
    curved = bends(ll, i, j)
    bend = sum(map(abs, curved))
    spread = (sum(2 * abs(v) for v in near) + sum(map(abs, parents)) + bend // 2) // 16 + step // 4 + 1
    shift = max(spread.bit_length() - 16, 0)
    inverse = 2**32 // (spread >> shift)
    signed = near + parents + [v // 2 for v in curved]
    out = [((v >> shift) * inverse + 2**26) >> 27 for v in signed]
    octave = log8(spread) - log8(step)

    def activity(part, y, x, reach):
        around = range(-reach, reach + 1)
        return sum(abs(part[y + a][x + b]) for a in around for b in around)

    sums = [4 * activity(symbols[band], i, j, 1), 2 * activity(symbols[band], i, j, 2)]
    sums += [4 * activity(symbols[(band + k) % 3], i, j, 1) for k in (1, 2)]
    sums += [4 * activity(above_symbols[(band + k) % 3], y, x, 1) for k in range(3)]
    sums.append(2 * activity(above_symbols[band], y, x, 2))
    out += [octave, 4 * octave] + [2 * log8(total + 1) for total in sums]
    slopes = abs(ll[i][j + 1] - ll[i][j]), abs(ll[i + 1][j] - ll[i][j])
    out += [log8(size + step // 8 + 1) - log8(step) for size in (bend // 8, *slopes)]
    out.append(2 * log8(4 * abs(above_symbols[band][y][x]) + 1))
    out += [127 * (r % 2), 127 * (c % 2), 12 * min(depth, 10), 127 * (depth < 2), 127 * x_first, 127]
    return [clipped(v) + INPUT_ZERO for v in out], spread, octave


def expected(ll, values, symbols, above, above_symbols, band, parity, size, step, depth, x_first, first, last):
    """The definition for targets first..last."""
    inputs, scale, octave = [], [], []
    frames = [
        [array.tolist() for array in (ll[f], values[:, f], symbols[:, f], above[:, f], above_symbols[:, f])]
        for f in range(len(ll))
    ]
    for target in range(first, last):
        f, row, column = np.unravel_index(target, (len(ll), *size))
        at = 2 * int(row) + parity[0], 2 * int(column) + parity[1]
        line, spread, ratio = expected_target(frames[f], band, *at, step, depth, x_first)
        inputs.append(line)
        scale.append(spread)
        octave.append(ratio)
    return np.array(inputs), scale, octave


def gathered(*arguments):
    first, last = arguments[-2:]
    words, (scale, octave) = np.empty((last - first, INPUTS // 8), np.int64), np.empty((2, last - first), np.int64)
    subband.gather(*arguments, OTHERS, words, scale, octave)
    return words.astype("<i8").view(np.uint8), scale.tolist(), octave.tolist()


def random_level(rng, frames, height, width, bits):
    """LL, bands, symbols and those of the level above, padded, of magnitudes up to 2**bits."""
    here = (frames, height + 2 * PAD, width + 2 * PAD)
    up = (3, frames, (height + 1) // 2 + 2 * PAD, (width + 1) // 2 + 2 * PAD)

    def values(shape):
        sizes = 2.0 ** rng.uniform(0, bits, shape)
        return (rng.choice([-1, 0, 1], shape) * sizes).astype(np.int64)

    def symbols(shape):
        return np.where(rng.random(shape) < 0.4, rng.integers(-127, 128, shape), 0).astype(np.int16)

    return values(here), values((3, *here)), symbols((3, *here)), values(up), symbols(up)


def check(*arguments):
    for got, wanted in zip(gathered(*arguments), expected(*arguments), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bits", [1, 18, 38])
@pytest.mark.parametrize("size", SIZES)
def test_gather_is_its_definition(size, bits):
    rng = np.random.default_rng(bits)
    frames = 2 if size[0] * size[1] < 100 else 1
    level = random_level(rng, frames, *size, bits)
    for number, (row, column, band) in enumerate(PASSES):
        rows, columns = (size[0] + 1 - row) // 2, (size[1] + 1 - column) // 2
        if rows * columns:
            step, depth = int(rng.integers(1, 1 << 17)), int(rng.integers(0, 14))
            check(
                *level, band, (row, column), (rows, columns), step, depth, bool(number % 2), 0, frames * rows * columns
            )


def test_gather_starts_and_ends_anywhere():
    rng = np.random.default_rng(0)
    level, size = random_level(rng, 3, 9, 12, 20), (5, 6)
    for first, last in ((0, 1), (3, 50), (29, 31), (89, 90)):
        check(*level, 1, (0, 1), size, 1000, 2, True, first, last)


def test_gather_takes_rows_longer_than_a_tile():
    width = 4 * subband_tile.TILE + 38
    level = random_level(np.random.default_rng(0), 1, 1, width, 20)
    check(*level, 0, (0, 0), (1, width // 2), 777, 1, False, 0, width // 2)


@pytest.mark.parametrize(("shape", "x_first", "wrap"), [((1, 17, 30), True, True), ((2, 9, 13), False, False)])
def test_gather_is_its_definition_on_a_walk(monkeypatch, shape, x_first, wrap):
    pytest.importorskip("onnx")
    calls = 0

    def compared(*arguments):
        nonlocal calls
        *given, _, words, scale, octave = arguments
        original(*arguments)
        for got, wanted in zip((words.astype("<i8").view(np.uint8), scale, octave), expected(*given), strict=True):
            np.testing.assert_array_equal(got, wanted)
        calls += 1

    original = subband_walk.gather
    monkeypatch.setattr(subband_walk, "gather", compared)
    field = simulate_field(shape)["temperature"].to_numpy().astype(np.float64)
    analysis = subband_coder.Analysis(field - field.mean(), wrap, x_first)
    subband_coder.encode(analysis, 0.5, hyperprior_model_of())
    assert calls > 20


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (4, 5)])
def test_border_repeats_the_edge_or_goes_round(size, wrap):
    rng = np.random.default_rng(0)
    inner = rng.integers(-9, 10, (2, *size))
    padded = np.pad(inner, ((0, 0), (PAD, PAD), (PAD, PAD)))
    subband.fill_border(padded, *size, wrap)
    wide = np.pad(inner, ((0, 0), (0, 0), (PAD, PAD)), mode="wrap" if wrap else "edge")
    np.testing.assert_array_equal(padded, np.pad(wide, ((0, 0), (PAD, PAD), (0, 0)), mode="edge"))


def test_a_smaller_band_is_bordered_at_its_own_edge():
    padded = np.zeros((1, 4 + 2 * PAD, 5 + 2 * PAD), np.int64)
    padded[0, PAD : PAD + 3, PAD : PAD + 4] = np.arange(12).reshape(3, 4)
    subband.fill_border(padded, 3, 4, False)
    assert padded[0, PAD + 3, PAD : PAD + 4].tolist() == padded[0, PAD + 2, PAD : PAD + 4].tolist()
    assert padded[0, PAD, PAD + 4] == padded[0, PAD, PAD + 3]
