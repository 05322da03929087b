"""Float networks of the latent codecs: ONNX graphs run on the CPU, one session for each process and number of threads.

Used by `vq_model`, `hvae_model` and `downscaler_model`; `graph_check` stands before it. What decides a probability runs
in `integer_net` instead. Spec: spec/model.md, "Float graphs".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.graph_check import Cost, FloatGraph, read_graph
from adiabat.codec.graph_values import Shape
from adiabat.codec.integer_net import open_session
from adiabat.codec.workers import ProcessLock

__all__ = ["Contract", "Graph", "check_graph", "runner", "session", "try_graph"]

Graph = Callable[..., NDArray[np.float32]]  # an array (batch, channels, rows, columns), perhaps a gain -> an array

SMALL = 10**8  # of `_effort`; a run of less needs nobody to watch it
PATIENCE = 10.0  # seconds that any run may take, and one more for each SMALL
SHAPES = 256  # of inputs, that a runner remembers to have checked

_sessions: dict[tuple[int, int, str, str], Graph] = {}
_lock = ProcessLock()


@dataclass(frozen=True)
class Contract:
    """What a graph of a package has to be.

    Parameters
    ----------
    inputs : tuple of str
        Names, in order.
    output : str
    shape : callable
        The output's shape, of the shapes of the inputs.
    example : tuple of shapes
        Of inputs, small ones: what is tried before the graph is used.
    """

    inputs: tuple[str, ...]
    output: str
    shape: Callable[..., Shape]
    example: tuple[Shape, ...]

    def check(self, graph: FloatGraph, shapes: Sequence[Shape]) -> Cost:
        """The cost of a run; ModelMismatchError where the graph is another, costs too much or gives another shape."""
        if (tuple(graph.inputs), graph.output) != (self.inputs, self.output):
            raise ModelMismatchError(
                f"expected a graph from {self.inputs} to {self.output}, got {tuple(graph.inputs)} to {graph.output}"
            )
        return graph.cost(shapes, self.shape(*shapes))


def check_graph(graph: bytes, contract: Contract) -> FloatGraph:
    """A graph that keeps every rule and its contract; nothing runs.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ModelMismatchError
        If it breaks one.
    """
    checked = read_graph(graph)
    contract.check(checked, contract.example)
    return checked


def try_graph(graph: bytes, contract: Contract) -> None:
    """Check a graph and run it once on zeros. ImportError, ModelMismatchError."""
    runner(graph, contract=contract)(*(np.zeros(shape, np.float32) for shape in contract.example))


def session(key: tuple[str, str], graph: bytes, threads: int, contract: Contract | None = None) -> Graph:
    """The runner of a graph, by its package's hash and its name: sessions survive neither pickling nor forking."""
    whole = (os.getpid(), threads, *key)
    with _lock:
        if whole not in _sessions:
            _sessions[whole] = runner(graph, threads=threads, contract=contract)
        return _sessions[whole]


def runner(graph: bytes, *, threads: int = 1, optimise: bool = True, contract: Contract | None = None) -> Graph:
    """Run a graph with onnxruntime on the CPU, after checking it; each new shape of inputs is checked too.

    Parameters
    ----------
    graph : bytes
    threads : int
    optimise : bool
    contract : Contract, optional
        Of a graph from a package.

    Raises
    ------
    ImportError
        If onnxruntime or onnx is not installed.
    ModelMismatchError
        If it breaks a rule, or onnxruntime cannot run it.
    """
    checked = read_graph(graph) if contract is None else check_graph(graph, contract)
    try:
        opened = open_session(checked.data, threads=threads, optimise=optimise)
    except ImportError:
        raise
    except Exception as error:  # onnxruntime's own errors have no common base but this
        raise _failure(error) from error
    names, costs = list(checked.inputs), dict[tuple[Shape, ...], Cost]()

    def run(*inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        shapes = tuple(each.shape for each in inputs)
        cost = costs.get(shapes)
        if cost is None:
            cost = checked.cost(shapes) if contract is None else contract.check(checked, shapes)
            if len(costs) >= SHAPES:
                costs.clear()
            costs[shapes] = cost
        return _run(opened, dict(zip(names, inputs, strict=True)), cost)

    return run


def _run(opened: Any, inputs: dict[str, NDArray[np.float32]], cost: Cost) -> NDArray[np.float32]:
    """One run, ended where it takes much longer than its work explains."""
    from onnxruntime import RunOptions

    options, effort = RunOptions(), _effort(cost)
    watch = threading.Timer(_seconds(effort), _end, [options]) if effort > SMALL else None
    if watch is not None:
        watch.daemon = True
        watch.start()
    try:
        (outputs,) = opened.run(None, inputs, options)
    except Exception as error:  # as above
        if options.terminate:
            raise ModelMismatchError(f"a graph of the model took more than {_seconds(effort):.0f} s") from error
        raise _failure(error) from error
    finally:
        if watch is not None:
            watch.cancel()
    return np.asarray(outputs)


def _effort(cost: Cost) -> int:
    """Of a run: products, and what else is done to each number."""
    return cost.products + 32 * cost.numbers


def _seconds(effort: int) -> float:
    return PATIENCE + effort / SMALL


def _end(options: Any) -> None:
    options.terminate = True


def _failure(error: Exception) -> ModelMismatchError:
    return ModelMismatchError(f"the model's graph does not run: {str(error).partition(chr(10))[0]}")
