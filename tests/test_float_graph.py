"""Running float graphs: contracts, other shapes, failures of onnxruntime, a run that does not end."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from graphs import bytes_of, one, value

from adiabat.codec import ModelMismatchError, float_graph
from adiabat.codec.float_graph import Contract, check_graph, runner, session, try_graph

pytest.importorskip("onnxruntime")
SAME = Contract(("x",), "y", lambda x: x, ((1, 4, 8, 8),))
IDENTITY = [("Identity", ["x"], ["y"], {})]
WRONG = {
    "an input of another name": bytes_of([("Identity", ["z"], ["y"], {})], inputs=[value("z", ["b", 4, 8, 8])]),
    "another input": bytes_of(IDENTITY, inputs=[value("x", ["b", 4, 8, 8]), value("z", [1])]),
    "no input": bytes_of([("ConstantOfShape", ["n"], ["y"], {})], {"n": np.array([1, 4, 8, 8])}, inputs=[]),
    "an output of another name": bytes_of([("Identity", ["x"], ["z"], {})], outputs=[value("z", ["b", 4, 8, 8])]),
    "an input of other axes": bytes_of(IDENTITY, inputs=[value("x", ["b", 256])]),
    "an input of other lengths": bytes_of(IDENTITY, inputs=[value("x", ["b", 4, 9, 9])]),
    "an output of other lengths": one("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "an output of other axes": one("Reshape", {"n": np.array([0, -1])}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_graph_of_another_contract_is_refused(kind):
    for ask in (check_graph, try_graph, lambda graph, contract: runner(graph, contract=contract)):
        with pytest.raises(ModelMismatchError, match=r"expected (a graph from|inputs of shapes|float32)"):
            ask(WRONG[kind], SAME)


def test_a_graph_that_gives_another_shape_elsewhere_is_refused_there():
    """Lengths that are declared are checked for the inputs of a run, not for those of the example alone."""
    contract = Contract(("x",), "y", lambda x: x, ((1, 1, 8, 8),))
    graph = bytes_of([("Reshape", ["x", "n"], ["y"], {})], {"n": np.array([0, 0, 8, -1])})
    run = runner(graph, contract=contract)
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    assert (run(x) == x).all()
    with pytest.raises(ModelMismatchError, match=r"expected float32 \(1, 1, 4, 16\)"):
        run(x.reshape(1, 1, 4, 16))


def test_shapes_are_checked_once(monkeypatch):
    from adiabat.codec.graph_check import FloatGraph

    seen, real = [], FloatGraph.cost
    monkeypatch.setattr(FloatGraph, "cost", lambda self, *a: seen.append(a) or real(self, *a))
    run = runner(bytes_of(IDENTITY), contract=SAME)
    for _ in range(5):
        run(np.zeros((2, 4, 8, 8), np.float32))
    assert len(seen) == 2, "of the example, and of these"


def test_a_run_that_does_not_end_is_ended(monkeypatch):
    """A few thousand convolutions that no limit forbids, on a processor much slower than any."""
    names = ["x", *(f"v{n}" for n in range(1, 1000)), "y"]
    nodes = [("Conv", [a, "w"], [b], {"pads": [1] * 4}) for a, b in pairwise(names)]
    run = runner(bytes_of(nodes, {"w": np.zeros((16, 16, 3, 3), np.float32)}))
    x = np.zeros((1, 16, 64, 64), np.float32)
    with pytest.raises(ModelMismatchError, match="numbers on the way"):
        run(x)
    monkeypatch.setattr("adiabat.codec.graph_check.NUMBERS_EACH", 1 << 40)
    monkeypatch.setattr("adiabat.codec.graph_check.PRODUCTS_EACH", 1 << 40)
    monkeypatch.setattr(float_graph, "_seconds", lambda effort: 0.05)
    start = time.perf_counter()
    with pytest.raises(ModelMismatchError, match=r"a graph of the model took more than 0 s"):
        run(x)
    assert time.perf_counter() - start < 5
    monkeypatch.undo()
    with pytest.raises(ModelMismatchError, match="numbers on the way"):
        runner(bytes_of(nodes, {"w": np.zeros((16, 16, 3, 3), np.float32)}))(x)


def test_how_long_a_run_may_take_follows_from_its_work():
    from adiabat.codec.graph_check import Cost

    assert float_graph._seconds(float_graph._effort(Cost((1,), 0, 0))) == 10
    assert float_graph._seconds(float_graph._effort(Cost((1,), 10**8, 10**9))) == 10 + 32 + 10


class Failing:
    def get_inputs(self):
        return []

    def run(self, names, inputs, options):
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : whatever\nand a second line")


def test_failures_of_onnxruntime_are_ours(monkeypatch):
    monkeypatch.setattr(float_graph, "open_session", lambda *a, **k: Failing())
    with pytest.raises(ModelMismatchError, match=r"^the model's graph does not run: .*whatever$"):
        runner(bytes_of(IDENTITY))(np.zeros((1, 4, 8, 8), np.float32))

    def fail(*arguments, **options):
        raise RuntimeError("[ONNXRuntimeError] : 10 : INVALID_GRAPH\nand more")

    monkeypatch.setattr(float_graph, "open_session", fail)
    with pytest.raises(ModelMismatchError, match=r"^the model's graph does not run: .*INVALID_GRAPH$"):
        runner(bytes_of(IDENTITY))


def test_one_session_a_graph_and_number_of_threads():
    graph = bytes_of(IDENTITY)
    assert session(("a", "g"), graph, 1, SAME) is session(("a", "g"), graph, 1, SAME)
    assert session(("a", "g"), graph, 2, SAME) is not session(("a", "g"), graph, 1, SAME)
