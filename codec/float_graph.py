"""Float networks of the latent codecs: ONNX graphs run on the CPU, one session for each process and number of threads.

Used by `vq_model` and `hvae_model`. What decides a probability runs in `integer_net` instead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.integer_net import open_session

__all__ = ["Graph", "refuse_references", "runner", "session"]

Graph = Callable[..., NDArray[np.float32]]  # an array (batch, channels, rows, columns), perhaps a gain -> an array

_sessions: dict[tuple[int, int, str, str], Graph] = {}
_lock = threading.Lock()


def session(key: tuple[str, str], graph: bytes, threads: int) -> Graph:
    """The runner of a graph, by its package's hash and its name: sessions survive neither pickling nor forking."""
    whole = (os.getpid(), threads, *key)
    with _lock:
        if whole not in _sessions:
            _sessions[whole] = runner(graph, threads=threads)
        return _sessions[whole]


def runner(graph: bytes, *, threads: int = 1, optimise: bool = True) -> Graph:
    """Run a graph with onnxruntime on the CPU.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    ModelMismatchError
        If it is no graph that onnxruntime can run.
    """
    try:
        opened = open_session(graph, threads=threads, optimise=optimise)
    except ImportError:
        raise
    except Exception as error:  # onnxruntime's own errors have no common base but this
        raise ModelMismatchError(f"the model's graph does not run: {str(error).partition(chr(10))[0]}") from error
    names = [each.name for each in opened.get_inputs()]

    def run(*inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        (outputs,) = opened.run(None, dict(zip(names, inputs, strict=True)))
        return np.asarray(outputs)

    return run


def refuse_references(graphs: Iterable[bytes]) -> None:
    """ValueError for a graph that refers to other files."""
    if any(b"location" in graph for graph in graphs):  # the key under which ONNX names files of its own
        raise ValueError("a graph refers to other files")
