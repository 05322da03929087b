"""A small network whose every value is an integer, so that it gives the same bits on every machine.

Stage of `pyramid`: lattice -> **integer_net** -> entropy.  Spec: spec/integer_net.md.

    a_0 = inputs - 128      a_l = clip(round(a_{l-1} W_l / 2**s_l), 0, 255)      outputs = a_{L-1} W_L

Inputs are bytes, hidden values are bytes, weights lie in -64 .. 64; there are no biases, one input is constant. Ties
round to even. `prove_range` shows that no runner can leave the exact integers, whatever the order of summation: not
float32 below 2**24, and not the 16-bit sums of two products that some CPUs form.
"""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.workers import ProcessLock

INPUT_ZERO = 128  # a stored input of 128 means 0
LIMIT = 255  # largest stored input, and largest hidden value
EXACT = 1 << 24  # integers up to here are exact in float32
PAIR = (1 << 15) - 1  # what a 16-bit sum of two products holds
DEEPEST, WIDEST, MOST_WEIGHTS = 16, 2048, 1 << 17  # layers, outputs of one, weights of all: bounds memory and time


@dataclass(frozen=True)
class Layer:
    """weight: int8 (inputs, outputs); shift: the sum is divided by 2**shift, rounded and clipped; the last has none."""

    weight: NDArray[np.int8]
    shift: int

    def __post_init__(self) -> None:
        if self.weight.dtype != np.int8 or self.weight.ndim != 2:
            raise ValueError(f"weight: expected int8 of 2 axes, got {self.weight.dtype} of shape {self.weight.shape}")
        if not 0 <= self.shift <= 16:
            raise ValueError(f"shift: expected 0 to 16, got {self.shift}")


class Runner(Protocol):
    """Runs one network: uint8 (targets, inputs) -> int32 (targets, outputs)."""

    def __call__(self, inputs: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Outputs of all targets."""
        ...


def prove_range(layers: tuple[Layer, ...]) -> int:
    """The largest magnitude any sum can reach.

    Raises
    ------
    ValueError
        If some sum could reach 2**24, or two products that stand side by side 2**15, if widths or shifts disagree, or
        if the network is too large.
    """
    worst, weights = 0, sum(layer.weight.size for layer in layers)
    if len(layers) > DEEPEST or weights > MOST_WEIGHTS or any(layer.weight.shape[1] > WIDEST for layer in layers):
        raise ValueError(
            f"expected at most {DEEPEST} layers of {WIDEST} outputs each and {MOST_WEIGHTS} weights in all, got "
            f"{[layer.weight.shape for layer in layers[: DEEPEST + 1]]}"
        )
    for number, layer in enumerate(layers):
        if number and layer.weight.shape[0] != layers[number - 1].weight.shape[1]:
            raise ValueError(
                f"layer {number}: expected {layers[number - 1].weight.shape[1]} inputs, got {layer.weight.shape[0]}"
            )
        size = np.abs(layer.weight.astype(np.int64))
        pair = int((size[:-1] + size[1:]).max(initial=0)) * LIMIT
        if pair > PAIR:
            raise ValueError(f"layer {number}: two products may reach {pair}, must be at most {PAIR}")
        worst = max(worst, int(size.sum(0).max(initial=0)) * LIMIT)
        if worst >= EXACT:
            raise ValueError(f"layer {number}: a sum may reach {worst}, must be below 2**24")
    if not layers or layers[-1].shift:
        raise ValueError(
            f"expected layers of which the last has shift 0, got shifts {[layer.shift for layer in layers]}"
        )
    return worst


def numpy_runner(layers: tuple[Layer, ...]) -> Runner:
    """The definition in NumPy; the fallback where onnxruntime is not installed. float32 holds all of it exactly."""
    weights = [layer.weight.astype(np.float32) for layer in layers]

    def run(inputs: NDArray[np.uint8]) -> NDArray[np.int32]:
        value = inputs.astype(np.float32)
        value -= INPUT_ZERO
        for layer, weight in zip(layers[:-1], weights[:-1], strict=True):
            value = value @ weight
            value *= np.float32(2.0**-layer.shift)
            np.rint(value, out=value)
            np.clip(value, 0, LIMIT, out=value)
        return (value @ weights[-1]).astype(np.int32)

    return run


def onnx_runner(graph: bytes, *, threads: int = 1, optimise: bool = True, cuda: bool = False) -> Runner:
    """Run an exported graph with onnxruntime, on the CPU or on the first GPU.

    Raises
    ------
    ImportError
        If onnxruntime is not installed, or has no provider for the GPU.
    """
    import onnxruntime

    if cuda and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ImportError("onnxruntime has no CUDA provider here: pip install 'adiabat[gpu]'")
    session = open_session(graph, threads=threads, optimise=optimise, cuda=cuda)

    def run(inputs: NDArray[np.uint8]) -> NDArray[np.int32]:
        (outputs,) = session.run(None, {"inputs": inputs})
        return np.asarray(outputs)

    return run


def open_session(graph: bytes, *, threads: int, optimise: bool, cuda: bool = False) -> Any:
    """An onnxruntime session of a graph, on the CPU or on the first GPU; raises what onnxruntime does."""
    import onnxruntime

    providers = [("CUDAExecutionProvider", {"use_tf32": "0"})] if cuda else ["CPUExecutionProvider"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")  # whatever the bytes look like
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=providers)


RUNNERS = ("numpy", "onnx", "onnx-unoptimised", "onnx-float", "cuda")
_cache: dict[tuple[int, str], Runner] = {}
_lock = ProcessLock()


def runner(name: str, layers: tuple[Layer, ...]) -> Runner:
    """The best runner there is for a network, one per process (sessions survive neither pickling nor forking).

    name: a key that is unique to the network, such as its model's hash and its own name. The environment variable
    ADIABAT_RUNNER = numpy | onnx | onnx-unoptimised | onnx-float | cuda forces one of them; the last two hold all
    integers in float32. What onnxruntime runs is made of the layers (`integer_graph`).
    """
    key = (os.getpid(), name)
    with _lock:
        if key not in _cache:
            _cache[key] = _choose(layers)
        return _cache[key]


def _choose(layers: tuple[Layer, ...]) -> Runner:
    from adiabat.codec.integer_graph import float_graph, integer_graph

    forced = os.environ.get("ADIABAT_RUNNER", "")
    if forced not in ("", *RUNNERS):
        raise ValueError(f"ADIABAT_RUNNER: expected one of {RUNNERS}, got {forced!r}")
    if forced == "numpy":
        return numpy_runner(layers)
    try:
        graph = (float_graph if forced in ("onnx-float", "cuda") else integer_graph)(layers)
        return _checked(layers, graph, optimise=forced != "onnx-unoptimised", cuda=forced == "cuda")
    except ImportError:
        if forced:
            raise
        _warn_without_onnxruntime()
        return numpy_runner(layers)


def _checked(layers: tuple[Layer, ...], graph: bytes, *, optimise: bool, cuda: bool) -> Runner:
    """Make a runner of the graph, and see that this onnxruntime gives the integers that it must on this processor."""
    inputs = np.random.default_rng(0).integers(0, LIMIT + 1, (64, layers[0].weight.shape[0]), np.uint8)
    try:
        run = onnx_runner(graph, optimise=optimise, cuda=cuda)
        same = np.array_equal(run(inputs), numpy_runner(layers)(inputs))
    except ImportError:
        raise
    except Exception as error:  # onnxruntime's own errors have no common base but this
        raise ModelMismatchError(f"the network does not run: {str(error).partition(chr(10))[0]}") from error
    if not same:
        raise ModelMismatchError("onnxruntime and NumPy give different integers here: set ADIABAT_RUNNER=numpy")
    return run


@cache
def _warn_without_onnxruntime() -> None:
    """Say once that onnxruntime is missing, with the speed measured here and the one it is measured to bring."""
    inputs = np.full((4096, 40), INPUT_ZERO + 1, np.uint8)
    widths = (40, 32, 32, 3)
    run = numpy_runner(tuple(Layer(np.ones(size, np.int8), 0) for size in pairwise(widths)))
    run(inputs)
    start = time.perf_counter()
    run(inputs)
    rate = len(inputs) / (time.perf_counter() - start) / 1e6
    warnings.warn(
        f"onnxruntime is not installed: networks run in NumPy at {rate:.1f} million values a second, where with it "
        f"{rate * NUMPY_SLOWDOWN:.1f} million are to be expected (same bits); pip install 'adiabat[cpu]'",
        RuntimeWarning,
        stacklevel=2,
    )


NUMPY_SLOWDOWN = 2.5  # over a large frame, as tests/benchmarks/speed.py prints it (1.7 to 2.7 in three runs)
