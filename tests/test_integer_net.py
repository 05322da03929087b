"""The integer network: its range is proved, and every runner gives the same integers."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import ModelMismatchError, integer_net
from adiabat.codec.integer_net import EXACT, INPUT_ZERO, LIMIT, Layer, numpy_runner, onnx_runner, prove_range
from adiabat.codec.models import NETS, find_model
from adiabat.formats.demo import simulate_field

SHIPPED = find_model().nets
MAIN = "import sys; from adiabat.formats.cli import main; sys.argv[0] = 'adiabat'; main()"


def has_cuda():
    onnxruntime = pytest.importorskip("onnxruntime")
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def layer(weight, shift=0):
    return Layer(np.array(weight, np.int8), shift)


def random_net(seed, sizes=(32, 64, 64, 3)):
    rng = np.random.default_rng(seed)
    shifts = [int(shift) for shift in rng.integers(0, 9, len(sizes) - 2)] + [0]
    pairs = zip(sizes, sizes[1:], shifts, strict=False)
    return tuple(layer(rng.integers(-64, 65, (inp, out)), shift) for inp, out, shift in pairs)


def slow(layers, inputs):
    """The definition, in 64-bit integers: ties round to even."""
    value = inputs.astype(np.int64) - INPUT_ZERO
    for each in layers[:-1]:
        total, half = value @ each.weight.astype(np.int64), (1 << each.shift) >> 1
        rounded = (total + half) >> each.shift
        tie = (half > 0) & (total - (total >> each.shift << each.shift) == half)
        value = np.where(tie, rounded & -2, rounded).clip(0, LIMIT)
    return value @ layers[-1].weight.astype(np.int64)


def trying_inputs(layers, seed=0, count=2000):
    """Random inputs, extremes, zeros, and for each first channel those that drive it furthest up and down."""
    rng, weight = np.random.default_rng(seed), layers[0].weight.T
    inputs = rng.integers(0, 256, (count, weight.shape[1]))
    extremes = np.where(rng.random((400, weight.shape[1])) < 0.5, 0, 255)
    up, down = np.where(weight > 0, 255, 0), np.where(weight > 0, 0, 255)
    zero = np.full((1, weight.shape[1]), INPUT_ZERO)
    return np.concatenate([inputs, extremes, up, down, zero]).astype(np.uint8)


@pytest.mark.parametrize("name", NETS)
def test_shipped_networks_give_the_same_integers_everywhere(name):
    net = SHIPPED[NETS.index(name)]
    inputs = trying_inputs(net.layers)
    expected = slow(net.layers, inputs)
    assert (numpy_runner(net.layers)(inputs) == expected).all()
    for graph in (net.graph, net.float_graph):
        for optimise in (True, False):
            for threads in (1, 2):
                got = onnx_runner(graph, threads=threads, optimise=optimise)(inputs)
                assert got.dtype == np.int32
                assert (got == expected).all(), (graph is net.graph, optimise, threads)


def test_shipped_networks_give_the_same_integers_on_a_gpu():
    if not has_cuda():
        pytest.skip("onnxruntime has no CUDA provider here")
    for net in SHIPPED:
        inputs = trying_inputs(net.layers, count=70_000)
        expected = numpy_runner(net.layers)(inputs)
        assert (onnx_runner(net.float_graph, cuda=True)(inputs) == expected).all(), net.key


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8191])
def test_shipped_networks_in_blocks_of_any_size(count):
    net = SHIPPED[5]
    inputs = trying_inputs(net.layers, count=count)[:count]
    for graph in (net.graph, net.float_graph):
        assert (onnx_runner(graph)(inputs) == slow(net.layers, inputs)).all()


@quick
@given(st.integers(0, 2**32 - 1))
def test_numpy_runner_follows_the_definition(seed):
    layers = random_net(seed, (9, 8, 5, 3))
    assert prove_range(layers) < EXACT
    inputs = trying_inputs(layers, seed, 300)
    assert (numpy_runner(layers)(inputs) == slow(layers, inputs)).all()


@pytest.mark.parametrize("seed", range(3))
def test_exported_networks_give_the_same_integers(seed):
    pytest.importorskip("onnx")
    from adiabat.training.export import float_graph, graph

    layers = random_net(seed)
    inputs = trying_inputs(layers, seed)
    for make in (graph, float_graph):
        data = make(layers)
        assert data == make(layers)
        assert (onnx_runner(data)(inputs) == slow(layers, inputs)).all()
        assert (onnx_runner(data, optimise=False)(inputs) == slow(layers, inputs)).all()


def test_sums_as_large_as_there_may_be():
    """Just below 2**24, odd, and of both signs: float32 has no bit to spare."""
    pytest.importorskip("onnx")
    from adiabat.training.export import float_graph, graph

    rng = np.random.default_rng(0)
    rows = EXACT // (64 * LIMIT) - 1
    first = np.where(rng.random((rows, 2)) < 0.5, -64, 64)
    first[0] = 63
    for layers in ((layer(first),), (layer(np.full((8, rows), 64)), layer(first))):
        assert 0.98 * EXACT < prove_range(layers) < EXACT
        inputs = trying_inputs(layers, count=500)
        if len(layers) == 1:
            inputs[:255] = np.where(first[:, 0] > 0, 0, 255)
            inputs[:255, 0] = np.arange(255)
        expected = slow(layers, inputs)
        for make in (graph, float_graph):
            assert (onnx_runner(make(layers))(inputs) == expected).all()
        assert (numpy_runner(layers)(inputs) == expected).all()


def test_ties_round_to_even():
    inputs = np.arange(256, dtype=np.uint8)[:, None]
    layers = layer([[1]], 1), layer([[1, 1, 1]])
    halves = np.maximum(np.arange(256) - 128, 0) / 2
    expected = np.round(halves)[:, None]  # NumPy rounds ties to even
    assert (slow(layers, inputs) == expected).all()
    assert (numpy_runner(layers)(inputs) == expected).all()
    onnx = pytest.importorskip("onnx")
    assert onnx
    from adiabat.training.export import float_graph, graph

    for make in (graph, float_graph):
        for optimise in (True, False):
            assert (onnx_runner(make(layers), optimise=optimise)(inputs) == expected).all()


def test_pairs_of_products_fit_sixteen_bits():
    assert prove_range((layer([[64], [-64]]),)) == 128 * 255  # 32640
    for weights in ([[64], [65]], [[-65], [64]], [[1], [-128]], [[0], [3], [127], [2]]):
        with pytest.raises(ValueError, match="layer 0: two products may reach"):
            prove_range((layer(weights),))
    assert prove_range((layer([[-128]]),)) == 128 * 255


def test_range_is_below_two_to_the_24():
    rows = EXACT // (64 * 255)
    assert prove_range((layer(np.full((rows, 1), 64)),)) == rows * 64 * 255 < EXACT
    with pytest.raises(ValueError, match=r"layer 0: a sum may reach .* below 2\*\*24"):
        prove_range((layer(np.full((rows + 1, 1), -64)),))


def test_range_is_reached_by_hidden_values():
    layers = layer([[64, 64]]), layer([[64], [64]])
    assert numpy_runner(layers)(np.array([[255]], np.uint8)).item() == prove_range(layers) == 2 * 64 * 255


def test_widths_and_shifts_must_agree():
    with pytest.raises(ValueError, match="layer 1: expected 2 inputs, got 3"):
        prove_range((layer([[1, 1]]), layer([[1], [1], [1]])))
    with pytest.raises(ValueError, match="the last has shift 0, got shifts \\[0, 3\\]"):
        prove_range((layer([[1]]), layer([[1]], 3)))
    with pytest.raises(ValueError, match="expected layers"):
        prove_range(())


@pytest.mark.parametrize(
    ("weight", "shift", "match"),
    [
        (np.zeros((2, 3), np.int16), 0, "weight: expected int8 of 2 axes, got int16"),
        (np.zeros(3, np.int8), 0, "of 2 axes"),
        (np.zeros((2, 3), np.int8), 17, "shift: expected 0 to 16, got 17"),
        (np.zeros((2, 3), np.int8), -1, "shift"),
    ],
)
def test_layers_are_validated(weight, shift, match):
    with pytest.raises(ValueError, match=match):
        Layer(weight, shift)


ENCODE = """
import hashlib, itertools, json, sys, time, warnings
if sys.argv[1] == "without":
    sys.modules["onnxruntime"] = None
    ticks = (n * n / 1e7 for n in itertools.count())  # each network seems to have another speed
    time.perf_counter = lambda: next(ticks)
import numpy as np
from adiabat.codec import Pyramid
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y, x = np.mgrid[:50, :60] / 10
    field = (280 + np.sin(y * x) * 9).astype("f4")
    data = Pyramid(bound={"abs": 0.05}).encode(field)
    decoded = Pyramid(bound={"abs": 0.05}).decode(data)
print(json.dumps([hashlib.sha256(data).hexdigest(), hashlib.sha256(decoded.tobytes()).hexdigest(),
                  [str(each.message) for each in caught]]))
"""


def encoded(python, how, **environment):
    """Hashes of stream and values, and the warnings, of a process of its own."""
    ran = python(ENCODE, how, **environment)
    assert ran.returncode == 0, ran.stderr
    data, values, messages = json.loads(ran.stdout)
    return (data, values), messages


def test_without_onnxruntime_one_warning_and_the_same_bits(python):
    plain, messages = encoded(python, "with", ADIABAT_RUNNER="")
    assert messages == []
    for forced in ("numpy", "onnx-unoptimised", "onnx-float", "onnx"):
        assert encoded(python, "with", ADIABAT_RUNNER=forced) == (plain, [])
    without, messages = encoded(python, "without", ADIABAT_RUNNER="")
    assert without == plain
    assert len(messages) == 1, messages
    assert "million values a second" in messages[0]
    assert "where with it" in messages[0]
    assert "pip install 'adiabat[cpu]'" in messages[0]


@pytest.mark.parametrize("forced", ["onnx", "onnx-float", "cuda"])
def test_forced_onnx_never_falls_back(python, forced):
    ran = python(ENCODE, "without", ADIABAT_RUNNER=forced)
    assert ran.returncode != 0
    assert "onnxruntime" in ran.stderr


def test_cuda_without_a_provider_is_refused_in_one_sentence(python, tmp_path, monkeypatch):
    if has_cuda():
        pytest.skip("onnxruntime has a CUDA provider here")
    message = "onnxruntime has no CUDA provider here: pip install 'adiabat[gpu]'"
    monkeypatch.setenv("ADIABAT_RUNNER", "cuda")
    net = SHIPPED[0]
    with pytest.raises(ImportError) as caught:
        integer_net.runner("on no GPU", net.layers)
    assert str(caught.value) == message
    simulate_field((1, 61, 120)).to_netcdf(tmp_path / "a.nc")
    ran = python(MAIN, "compress", "a.nc", "a.zarr", "--default-bound", "abs:0.1", ADIABAT_RUNNER="cuda")
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].endswith(f": {message}")
    assert not (tmp_path / "a.zarr").exists()


def test_unknown_runner_is_refused(monkeypatch):
    monkeypatch.setenv("ADIABAT_RUNNER", "gpu")
    with pytest.raises(ValueError, match=r"ADIABAT_RUNNER: expected one of .*'cuda'.*, got 'gpu'"):
        integer_net.runner("never cached", SHIPPED[0].layers)


def test_one_runner_a_process_and_network():
    assert SHIPPED[0].runner() is SHIPPED[0].runner()
    assert SHIPPED[1].runner() is not SHIPPED[0].runner()


@pytest.mark.parametrize("widths", [(1, *[1] * 16, 3), (8, 2049, 3), (512, 256, 3)], ids=["deep", "wide", "large"])
def test_networks_too_large_are_refused(widths):
    """Memory and time of a network that somebody else made."""
    layers = tuple(Layer(np.zeros(shape, np.int8), 0) for shape in pairwise(widths))
    with pytest.raises(ValueError, match="expected at most 16 layers of 2048 outputs each and 131072 weights in all"):
        prove_range(layers)


def test_a_processor_that_errs_is_noticed(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(integer_net, "_cache", {})
    monkeypatch.setattr(integer_net, "numpy_runner", lambda layers: lambda inputs: np.zeros((64, 3), np.int32))
    with pytest.raises(ModelMismatchError, match="give different integers here: set ADIABAT_RUNNER=numpy"):
        integer_net.runner("never cached", SHIPPED[0].layers)
