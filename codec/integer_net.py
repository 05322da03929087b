"""A small network whose every value is an integer, so that it gives the same bits on every machine.

Stage of `pyramid`: lattice -> **integer_net** -> entropy.  Spec: spec/integer_net.md.

    a_0 (inputs, targets)  ->  a_l = clip(floor((W_l a_{l-1} + b_l) / 2**s_l), 0, 255)  ->  ...  ->  floor(..)

Weights are int8, biases and shifts integers. The values travel in float32: every product and every partial sum is an
integer below 2**24, whatever the order of summation, hence exact (`prove_range`).
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

INPUT_LIMIT = 127  # magnitude of an input
ACTIVATION_LIMIT = 255  # a hidden value lies in 0 .. 255
EXACT = 1 << 24  # integers up to here are exact in float32


@dataclass(frozen=True)
class Layer:
    """weight int8 (out, in), bias int32 (out,), shift: the result is divided by 2**shift and floored."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: int

    def __post_init__(self) -> None:
        if self.weight.dtype != np.int8 or self.weight.ndim != 2:
            raise ValueError(f"weight: expected int8 of 2 axes, got {self.weight.dtype} of shape {self.weight.shape}")
        if self.bias.dtype != np.int32 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f"bias: expected int32 of shape {self.weight.shape[:1]}, got {self.bias.dtype} of {self.bias.shape}")
        if not 0 <= self.shift <= 16:
            raise ValueError(f"shift: expected 0 to 16, got {self.shift}")


class Runner(Protocol):
    """Runs one network: float32 (inputs, targets) -> float32 (outputs, targets), all integers."""

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]: ...


def prove_range(layers: tuple[Layer, ...]) -> int:
    """The largest magnitude any partial sum can reach.

    Raises
    ------
    ValueError
        If it is 2**24 or more for some output channel, so that float32 would not be exact, or if widths disagree.
    """
    worst, limit, width = 0, INPUT_LIMIT, None
    for number, layer in enumerate(layers):
        if width is not None and layer.weight.shape[1] != width:
            raise ValueError(f"layer {number}: expected {width} inputs, got {layer.weight.shape[1]}")
        reach = np.abs(layer.weight.astype(np.int64)).sum(1) * limit + np.abs(layer.bias.astype(np.int64))
        worst = max(worst, int(reach.max()))
        if worst >= EXACT:
            raise ValueError(f"layer {number}, channel {int(reach.argmax())}: sum|w| max|a| + |b| is {worst}, must be below 2**24")
        limit, width = ACTIVATION_LIMIT, layer.weight.shape[0]
    return worst


def numpy_runner(layers: tuple[Layer, ...]) -> Runner:
    """The definition in NumPy; the fallback where onnxruntime is not installed."""
    scaled = [_scaled(layer) for layer in layers]

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        value = inputs
        for number, (weight, bias) in enumerate(scaled):
            value = weight @ value
            value += bias
            np.floor(value, out=value)
            if number < len(scaled) - 1:
                np.clip(value, 0, ACTIVATION_LIMIT, out=value)
        return value

    return run


def _scaled(layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias divided by 2**shift: still exact, and one operation less."""
    factor = np.float32(2.0**-layer.shift)
    return layer.weight.astype(np.float32) * factor, (layer.bias.astype(np.float32) * factor)[:, None]


def onnx_runner(graph: bytes, *, threads: int = 1, optimise: bool = True) -> Runner:
    """Run the exported graph with onnxruntime on the CPU.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        (outputs,) = session.run(None, {"inputs": inputs})
        return np.asarray(outputs)

    return run


_cache: dict[tuple[int, str], Runner] = {}
_lock = threading.Lock()


def runner(name: str, layers: tuple[Layer, ...], graph: bytes) -> Runner:
    """The best runner there is for a network, one per process (sessions survive neither pickling nor forking).

    name: a key that is unique to the network, such as its model's hash and its own name. The environment variable
    ADIABAT_RUNNER = numpy | onnx | onnx-unoptimised forces one of them.
    """
    key = (os.getpid(), name)
    with _lock:
        if key not in _cache:
            _cache[key] = _choose(layers, graph)
        return _cache[key]


def _choose(layers: tuple[Layer, ...], graph: bytes) -> Runner:
    forced = os.environ.get("ADIABAT_RUNNER", "")
    if forced not in ("", "numpy", "onnx", "onnx-unoptimised"):
        raise ValueError(f"ADIABAT_RUNNER: expected numpy, onnx or onnx-unoptimised, got {forced!r}")
    if forced == "numpy":
        return numpy_runner(layers)
    try:
        return onnx_runner(graph, optimise=forced != "onnx-unoptimised")
    except ImportError:
        if forced:
            raise
        _warn_without_onnxruntime(layers)
        return numpy_runner(layers)


@lru_cache(maxsize=1)
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=6)


def _warn_without_onnxruntime(layers: tuple[Layer, ...]) -> None:
    """Say once that onnxruntime is missing, with the speed measured here and the one it is measured to bring."""
    run, targets = numpy_runner(layers), 4096
    inputs = np.ones((layers[0].weight.shape[1], targets), np.float32)
    run(inputs)
    start = time.perf_counter()
    run(inputs)
    rate = targets / (time.perf_counter() - start) / 1e6
    _warn_once(
        f"onnxruntime is not installed: networks run in NumPy at {rate:.1f} million values a second, about "
        f"{NUMPY_SLOWDOWN:g} times slower than with it (same bits); pip install 'adiabat[cpu]'"
    )


NUMPY_SLOWDOWN = 1.7  # measured: spec/pyramid.md, section on speed
