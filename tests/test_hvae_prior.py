"""The prior of HVAE's latents: round trips, and the walk against the specification written out in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from hvae_models import LATENTS, model

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.hvae_prior import FINE, PASSES, neighbours_of, read_latents, write_latents
from adiabat.codec.integer_net import numpy_runner


def latents(shape=(1, 16, 16), scale=4.0, seed=0):
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.standard_normal((shape[0], LATENTS, *shape[1:])), -1)
    return scale * (smooth + rng.laplace(size=smooth.shape)) / np.arange(1, LATENTS + 1)[:, None, None]


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 5, 3), (1, 1, 1), (1, 1, 40), (3, 17, 2), (1, 33, 64)])
@pytest.mark.parametrize("scale", [0.0, 0.1, 30.0, 1e5])
def test_latents_round_trip(shape, scale):
    y, prior = latents(shape, scale), model().prior
    payload, told = write_latents(prior, y, 1.0)
    assert (read_latents(prior, payload, shape, 1.0) == told).all()
    assert np.abs(told / FINE - y).max() < 1.51  # a symbol may be put one lower, to save bits


def test_payloads_of_another_step_or_shape_are_refused_or_differ():
    prior = model().prior
    payload, told = write_latents(prior, latents(), 1.0)
    for shape, step in (((1, 16, 15), 1.0), ((1, 16, 16), 0.1)):
        try:
            other = read_latents(prior, payload, shape, step)
        except CorruptStreamError:
            continue
        assert other.shape != told.shape or (other != told).any()


def test_finer_steps_take_more_bytes():
    y, prior = latents(), model().prior
    sizes = [len(write_latents(prior, y / step, step)[0]) for step in (4, 1, 0.25)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_every_place_is_visited_once():
    for height, width in ((16, 16), (5, 3), (1, 1), (1, 9), (40, 2)):
        seen = np.zeros((height, width), int)
        for number, (by, row, column) in enumerate(PASSES):
            known = seen.astype(bool)
            rows, columns = neighbours_of(number, height, width)
            if number and rows.size and columns.size:
                for k in range(4):
                    assert known[np.ix_(rows[k], columns[k])].all()
            seen[row::by, column::by] += 1
        assert (seen == 1).all()


def size_class(a):
    return sum(math.isqrt(math.isqrt(1 << k)) <= a for k in range(124))


def by_the_book(prior, symbols, shape, step):
    """Section 3 of spec/hvae.md, place by place; symbols by (channel, pass), flat; returns latents and contexts."""
    frames, height, width = shape
    z, run = prior.channels, numpy_runner(prior.layers)
    v, surprise = np.zeros((z, *shape), object), np.zeros((z, *shape), object)
    activity, around, contexts = np.zeros(shape, object), np.zeros(shape, object), {}

    def turned(at, by, length):
        return at + by if 0 <= at + by < length else at - by

    for c in range(z):
        size, d = np.zeros(shape, object), max(c, 1)
        for n, (step_of, row, column) in enumerate(PASSES):
            s = step_of // 2
            kind, level = ((n + 2) % 3, (n + 2) // 3) if n else (3, 0)
            offsets = {0: [(-s, -s), (-s, s), (s, -s), (s, s)]}.get(kind, [(-s, 0), (s, 0), (0, -s), (0, s)])
            if kind == 1 and height <= s:
                offsets = [(0, -s), (0, s)] * 2
            if kind == 2 and width <= s:
                offsets = [(-s, 0), (s, 0)] * 2
            base = max(1, min(math.floor(int(prior.scales[n, c]) / step), 1 << 30))
            octave = 2 * (size_class(base) - size_class(256))
            places = [(f, i, j) for f in range(frames) for i in range(row, height, step_of)
                      for j in range(column, width, step_of)]  # fmt: skip
            for count, (f, i, j) in enumerate(places):
                near = [(f, turned(i, a, height), turned(j, b, width)) for a, b in offsets] if n else []
                vk, sk = [v[c][p] for p in near] or [0] * 4, [size[p] for p in near] or [0] * 4
                before = sum(int(w) * x for w, x in zip(prior.linear[n, c, :4], vk, strict=True))
                before += sum(int(prior.linear[n, c, 4 + k]) * surprise[k][f, i, j] for k in range(c))
                before >>= 12
                last = abs(surprise[c - 1][f, i, j]) if c else 0
                inputs = [
                    octave, 3 * (size_class(sum(sk) >> 2) - 25), 3 * (size_class(max(sk)) - 25),
                    3 * (size_class(64 * last // base) - 25), 3 * (size_class(activity[f, i, j] // d) - 25),
                    3 * (size_class(around[f, i, j] // (9 * d)) - 25),
                    3 * (size_class(64 * (max(vk) - min(vk)) // base) - 25),
                    *[(32 * (x - before)) // base if n else 0 for x in vk],
                    25 * (level - 2), {0: 60, 3: -60}.get(kind, 0), {1: 60, 2: -60}.get(kind, 0), 128 * c // z, 127,
                ]  # fmt: skip
                stored = np.array([min(max(x, -127), 127) + 128 for x in inputs], np.uint8)
                out = [int(x) >> 6 for x in run(stored[None])[0]]
                mean = before + ((base * min(max(out[0], -4095), 4095)) >> 8)
                index = min(max(((out[1] + 2 * octave) >> 2) + 20, 0), 207)
                contexts[c, n, count] = 3 * index + min(max((out[2] + 16) >> 5, 0), 2)
                v[c][f, i, j] = min(max(mean + 256 * int(symbols[c, n][count]), -(1 << 30)), 1 << 30)
                surprise[c][f, i, j] = v[c][f, i, j] - before
                size[f, i, j] = 64 * abs(surprise[c][f, i, j]) // base
        activity = activity + np.minimum(size, 4096)
        padded = np.pad(activity, ((0, 0), (1, 1), (1, 1)), mode="edge")
        around = sum(padded[:, a : a + height, b : b + width] for a in range(3) for b in range(3))
    return v.swapaxes(0, 1).astype(np.int64), contexts


@pytest.mark.parametrize(("shape", "step"), [((1, 16, 16), 1.0), ((2, 5, 3), 0.37), ((1, 1, 9), 30.0)])
def test_the_walk_is_that_of_the_specification(shape, step):
    prior, symbols, contexts = model().prior, {}, {}

    def observe(place, target, found):
        symbols[place.channel, place.number] = found
        contexts.update({(place.channel, place.number, k): int(x) for k, x in enumerate(place.context)})

    _, told = write_latents(prior, latents(shape, 8.0), step, observe=observe)
    wanted, of_spec = by_the_book(prior, symbols, shape, step)
    assert (told == wanted).all()
    assert contexts == of_spec


def test_a_prior_that_is_none_is_refused():
    prior = model().prior
    with pytest.raises(ValueError, match="sum to"):
        replace(prior, frequencies=prior.frequencies + np.uint32(1))
    with pytest.raises(ValueError, match="expected scales"):
        replace(prior, linear=prior.linear[:1])
    with pytest.raises(ValueError, match="at least 1"):
        replace(prior, scales=0 * prior.scales)
    with pytest.raises(ValueError, match="16 inputs"):
        replace(prior, layers=prior.layers[1:])
