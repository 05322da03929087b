"""The walk: encoder and decoder take the same one, whatever runs the networks and with however many threads."""

from __future__ import annotations

import numpy as np
import pytest
from latent_models import hyperprior_model_of, hyperprior_package

from adiabat.codec import entropy, integer_net, lattice, subband_coder, subband_walk, wavelet
from adiabat.codec.subband import INPUTS, PASSES
from adiabat.codec.subband_walk import Level, Pass, enter, rebuild, walk
from adiabat.formats.demo import simulate_field

pytest.importorskip("onnx")
SHAPES = [(1, 1, 1), (2, 1, 7), (1, 7, 1), (3, 2, 2), (1, 33, 49), (2, 24, 64), (1, 1, 200)]


@pytest.fixture(scope="module")
def model():
    return hyperprior_model_of()


def analysis(shape, x_first=True, wrap=True):
    field = simulate_field((shape[0], max(shape[1], 4), max(shape[2], 8)))["temperature"].to_numpy()
    field = field[:, : shape[1], : shape[2]].astype(np.float64)
    return subband_coder.Analysis(field - field.mean(), wrap, x_first)


@pytest.mark.parametrize(("x_first", "wrap"), [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("shape", SHAPES)
def test_decodes_what_the_encoder_decoded(model, shape, x_first, wrap):
    payload, decoded = subband_coder.encode(analysis(shape, x_first, wrap), 0.5, model)
    assert decoded.shape == shape
    np.testing.assert_array_equal(subband_coder.decode(payload, shape, model, wrap=wrap), decoded)


@pytest.mark.parametrize("step", [3.0, 0.1, 1e-3])
def test_the_error_is_a_share_of_the_step(model, step):
    given = analysis((1, 48, 96))
    _, decoded = subband_coder.encode(given, step, model)
    error = np.sqrt(np.mean((decoded * (step / wavelet.STEP) - given.field) ** 2))
    assert error < 0.5 * step


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_give_the_same_bytes(model, threads, monkeypatch):
    monkeypatch.setattr(subband_walk, "BLOCK", 100)
    monkeypatch.setattr(wavelet, "SHARE", 500)
    given = analysis((2, 40, 61))
    payload, decoded = subband_coder.encode(given, 0.5, model)
    again, other = subband_coder.encode(given, 0.5, model, threads=threads)
    assert again == payload
    np.testing.assert_array_equal(other, decoded)
    result = subband_coder.decode(payload, (2, 40, 61), model, wrap=True, threads=threads)
    np.testing.assert_array_equal(result, decoded)


def test_blocks_give_the_same_bytes(model, monkeypatch):
    given = analysis((1, 40, 61))
    whole, _ = subband_coder.encode(given, 0.5, model)
    monkeypatch.setattr(subband_walk, "BLOCK", 37)
    assert subband_coder.encode(given, 0.5, model)[0] == whole


@pytest.mark.parametrize("runner", ["numpy", "onnx", "onnx-unoptimised", "onnx-float"])
def test_every_runner_gives_the_same_bytes(model, runner, monkeypatch):
    given = analysis((1, 24, 36))
    payload, decoded = subband_coder.encode(given, 0.5, model)
    monkeypatch.setattr(integer_net, "_cache", {})
    monkeypatch.setenv("ADIABAT_RUNNER", runner)
    assert subband_coder.encode(given, 0.5, model)[0] == payload
    np.testing.assert_array_equal(subband_coder.decode(payload, (1, 24, 36), model, wrap=True), decoded)


def test_another_model_gives_another_stream(model):
    given = analysis((1, 24, 36))
    assert hyperprior_package(1) != hyperprior_package(0)
    assert subband_coder.encode(given, 0.5, model)[0] != subband_coder.encode(given, 0.5, hyperprior_model_of(1))[0]


@pytest.mark.parametrize("x_first", [False, True])
def test_every_coefficient_has_one_pass(model, x_first):
    passes = []

    def code(part):
        passes.append(part)
        assert part.mean.shape == part.context.shape == (np.prod(part.shape),)
        return np.zeros(part.mean.size, np.int64)

    walk((2, 13, 22), x_first=x_first, wrap=False, model=model, top=np.zeros((2, 1, 1), np.int64), code=code)
    assert sum(part.mean.size for part in passes) == 2 * (13 * 22 - 1)
    assert [part.level for part in passes] == sorted((part.level for part in passes), reverse=True)
    levels = wavelet.scales(13, 22, x_first=x_first)
    for part in passes:
        row, column, band = PASSES[part.number]
        assert (part.band, part.depth) == (band, levels[part.level].depth)
        assert part.step == levels[part.level].step(band)
        rows, columns = dict(levels[part.level].bands())[band]
        assert part.shape == (2, len(range(row, rows, 2)), len(range(column, columns, 2)))


def test_keeps_what_training_asks_for(model):
    passes: list[Pass] = []

    def code(part):
        passes.append(part)
        return np.zeros(part.mean.size, np.int64)

    top = np.zeros((1, 1, 1), np.int64)
    walk((1, 9, 14), x_first=False, wrap=True, model=model, top=top, code=code, threads=2, keep=True)
    for part in passes:
        assert part.inputs.shape == (part.mean.size, INPUTS)
        assert (part.scale > 0).all()
        assert (part.inputs[:, 63] == 255).all()
    kept = len(passes)
    walk((1, 9, 14), x_first=False, wrap=True, model=model, top=top, code=code)
    assert all(part.inputs is None for part in passes[kept:])


def test_what_enters_a_level_stays_within_the_limit(model):
    level = Level(1, (1, 3), False)
    enter(np.array([[[-(1 << 60), 5, 1 << 60]]]), level.smooth)
    level.border(level.smooth, (1, 3))
    assert level.smooth[0, 0].tolist() == [-lattice.LIMIT] * 4 + [5] + [lattice.LIMIT] * 4
    out = walk(
        (1, 1, 2), x_first=False, wrap=False, model=model, top=np.full((1, 1, 1), 1 << 60),
        code=lambda part: np.full(part.mean.size, -(1 << 40)),
    )  # fmt: skip
    assert np.abs(out).max() < 8 * lattice.LIMIT


def test_rebuild_is_its_definition():
    rng = np.random.default_rng(0)
    size, step = (3, 4), 700
    mean, symbol = rng.integers(-9999, 9999, 24), rng.integers(-4, 5, 24)
    symbol[:2] = 1000, -1000
    context = rng.integers(0, entropy.CONTEXT_COUNT, 24).astype(np.uint16)
    shrink = rng.integers(-100, 100, (entropy.CONTEXT_COUNT, 2))
    values, symbols = np.zeros((2, 12, 14), np.int64), np.zeros((2, 12, 14), np.int16)
    for first, last in ((0, 1), (1, 6)):
        rebuild(mean, symbol, context, shrink, step, (1, 0), size, first, last, values, symbols)
    for t, q in enumerate(symbol.tolist()):
        less = (int(shrink[context[t], min(abs(q), 2) - 1]) * step) >> 8 if q else 0
        at = t // 12, 3 + 1 + 2 * (t // 4 % 3), 3 + 2 * (t % 4)
        assert values[at] == mean[t] + q * step - np.sign(q) * less
        assert symbols[at] == max(min(q, 127), -127)
    assert np.count_nonzero(values) <= 24
    assert not values[:, 1::2].any()
