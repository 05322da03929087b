"""Graphs of a package: those that keep the rules, and every way found to break one, refused before anything runs."""

from __future__ import annotations

import itertools
import zipfile
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import bytes_of, model_of, one, value
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from strategies import quick

from adiabat.codec import ModelMismatchError, graph_check, models
from adiabat.codec.graph_check import FloatGraph, read_graph
from adiabat.codec.graph_operators import OPERATORS

FOLDER = Path(models.__file__).parent
IDENTITY = [("Identity", ["x"], ["y"], {})]
WEIGHT = np.ones((1, 1, 1, 1), np.float32)
I8 = np.int64


def shipped(kind):
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(".onnx") and "/" not in name}


def weight_of(**fields):
    """A Conv whose weight's message has these fields instead."""
    made = model_of([("Conv", ["x", "w"], ["y"], {})], {"w": WEIGHT})
    tensor = made.graph.initializer[0]
    for name, content in fields.items():
        tensor.ClearField(name)
        if isinstance(content, list):
            getattr(tensor, name).extend(content)
        else:
            setattr(tensor, name, content)
    return made


def external(location):
    made = weight_of()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return made


def altered(change):
    made = model_of(IDENTITY)
    change(made)
    return made


def body(name):
    return helper.make_graph([helper.make_node("Identity", ["x"], [name])], "body", [], [value(name, None)])


def nested(depth):
    """If within If, so deep."""
    graph = body("y")
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=body("z"))
        graph = helper.make_graph([node], "body", [], [value("y", None)])
    return model_of([("If", ["c"], ["y"], {"then_branch": graph, "else_branch": body("z")})], {"c": I8(1)})


def with_functions():
    """Forty local functions, each of which calls the next one twice: 2^40 nodes."""
    made = model_of([("f0", ["x"], ["y"], {"domain": "local"})])
    made.opset_import.add(domain="local", version=1)
    opsets = list(made.opset_import)
    for number in range(40):
        calls = [helper.make_node(f"f{number + 1}", ["x"], [f"t{n}"], domain="local") for n in range(2)]
        nodes = [*calls, helper.make_node("Add", ["t0", "t1"], ["y"])]
        made.functions.append(helper.make_function("local", f"f{number}", ["x"], ["y"], nodes, opsets))
    return made


def sparse(made):
    entry = made.graph.sparse_initializer.add()
    entry.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "s"))
    entry.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, I8), "i"))
    entry.dims.append(1 << 40)


def typed(dtype, **fields):
    return weight_of(data_type=dtype, **fields)


def as_input(made):
    made.graph.initializer.append(numpy_helper.from_array(WEIGHT, "x"))


def twice(name):
    def change(made):
        made.graph.node[0].attribute.extend([helper.make_attribute(name, 1), helper.make_attribute(name, 1)])

    return change


def attribute(**fields):
    def change(made):
        made.graph.node[0].attribute.add(**fields)

    return change


def chain(nodes):
    """Identity after Identity."""
    names = ["x", *(f"v{n}" for n in range(1, nodes)), "y"]
    return model_of([("Identity", [a], [b], {}) for a, b in itertools.pairwise(names)])


def bad_name():
    return one("AAAA").replace(b"AAAA", b"\xff\xfe\xff\xfe")


def deep(levels=20000):
    """Attributes that hold graphs that hold nodes that hold attributes ..., as bytes."""
    inner = b""
    for _ in range(levels):
        for field in (6, 5, 1):
            size, length = len(inner), b""
            while size > 127:
                length, size = length + bytes([size & 127 | 128]), size >> 7
            inner = bytes([field << 3 | 2]) + length + bytes([size]) + inner
        if len(inner) > 1 << 18:
            break
    return b"\x3a" + b"\xff\xff\x0f" + inner


BROKEN = {
    "an absolute path": (external("/etc/passwd"), "TensorProto: expected no data_location, external_data"),
    "a path above": (external("../../secret.bin"), "expected no data_location, external_data"),
    "a symbolic link": (external("link.bin"), "expected no data_location, external_data"),
    "more lengths than bytes": (weight_of(dims=[1 << 40, 1, 1, 1]), "expected raw data of shape"),
    "lengths whose product overflows": (weight_of(dims=[1 << 32, 1 << 32, 1, 1]), "expected raw data of shape"),
    "a length below zero": (weight_of(dims=[-1, -1, 1, 1]), "expected raw data of shape"),
    "a length of zero": (weight_of(dims=[0, 1, 1, 1], raw_data=b""), "expected raw data of shape"),
    "axes without number": (weight_of(dims=[1] * 5000), "expected raw data of shape"),
    "numbers outside raw data": (weight_of(float_data=[1.0]), "expected no float_data"),
    "nan": (weight_of(raw_data=np.float32(np.nan).tobytes()), "expected finite numbers"),
    "inf": (weight_of(raw_data=np.float32(-np.inf).tobytes()), "expected finite numbers"),
    "nan of half precision": (typed(TensorProto.FLOAT16, raw_data=b"\x01\x7e"), "expected finite numbers"),
    "strings": (typed(TensorProto.STRING, string_data=[b"x"]), "expected no string_data"),
    "float64": (typed(TensorProto.DOUBLE, raw_data=bytes(8)), "expected float32, float16 or int64, got type 11"),
    "a type nobody knows": (typed(99), "got type 99"),
    "sparse": (altered(sparse), "GraphProto: expected no sparse_initializer"),
    "If": (nested(1), "got 'If'"),
    "If, nested": (nested(20), "got 'If'"),
    "Loop": (
        model_of([("Loop", ["n", "", "x"], ["y"], {"body": body("z")})], {"n": I8(1 << 62)}),
        "got 'Loop'",
    ),
    "Scan": (model_of([("Scan", ["x"], ["y"], {"body": body("z"), "num_scan_inputs": 1})]), "got 'Scan'"),
    "functions that call twice": (with_functions(), "ModelProto: expected no functions"),
    "an unknown operator": (one("Evil"), r"expected one of 37 operators \(spec/model.md\), got 'Evil'"),
    "another domain": (model_of([("Identity", ["x"], ["y"], {"domain": "com.microsoft"})]), "expected no domain"),
    "another domain's opset": (
        altered(lambda made: made.opset_import.add(domain="com.microsoft", version=1)),
        "expected opset 17 alone",
    ),
    "a later opset": (model_of(IDENTITY, opset=99), r"expected opset 17 alone, got \[\('', 99\)\]"),
    "an earlier opset": (model_of(IDENTITY, opset=1), "expected opset 17 alone"),
    "no opset": (altered(lambda made: made.ClearField("opset_import")), "expected opset 17 alone"),
    "a later format": (altered(lambda made: setattr(made, "ir_version", 99)), "of IR version 99"),
    "training": (altered(lambda made: made.training_info.add()), "expected no training_info"),
    "metadata": (altered(lambda made: made.metadata_props.add(key="a", value="b")), "expected no metadata_props"),
    "two inputs of a name": (model_of(IDENTITY, inputs=[value("x", [1]), value("x", [1])]), "given once"),
    "an input that is a constant": (altered(as_input), "given once"),
    "an input of float64": (model_of(IDENTITY, inputs=[value("x", [1], TensorProto.DOUBLE)]), "tensor of float32"),
    "an input without axes": (altered(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), "of float32"),
    "an input that is a sequence": (
        model_of(IDENTITY, inputs=[helper.make_tensor_sequence_value_info("x", 1, [1])]),
        "expected a tensor of float32",
    ),
    "two outputs": (model_of(IDENTITY, outputs=[value("y", [1]), value("y", [1])]), "expected at most 1024 nodes"),
    "no output": (model_of(IDENTITY, outputs=[]), "not enough values|expected"),
    "an output that is the input": (
        model_of(IDENTITY, outputs=[value("x", [1])]),
        "expected a node to give the output",
    ),
    "nine inputs": (model_of(IDENTITY, inputs=[value(f"x{n}", [1]) for n in range(9)]), "expected at most"),
    "many nodes": (chain(1025), r"expected at most 1024 nodes .*\(1025, 0, 1, 1\)"),
    "many constants": (model_of(IDENTITY, {f"c{n}": 1.0 for n in range(1025)}), "expected at most"),
    "a circle": (
        model_of([("Identity", ["b"], ["a"], {}), ("Identity", ["a"], ["b"], {}), *IDENTITY]),
        "node 0, Identity: expected values given before it, got 'b'",
    ),
    "a value that is given twice": (model_of([*IDENTITY, *IDENTITY]), "node 1, Identity: expected new names"),
    "a value without a name": (model_of([("Identity", ["x"], [""], {}), *IDENTITY]), "expected new names"),
    "an attribute nobody asked for": (one("Identity", to=1), r"Identity: expected attributes \(\), each once"),
    "an attribute given twice": (altered(twice("axis")), "each once"),
    "an attribute of another function's": (altered(attribute(name="a", ref_attr_name="b", type=2)), "ref_attr_name"),
    "an attribute of floats": (altered(attribute(name="a", floats=[1.0], type=6)), "expected no floats"),
    "an attribute that is a graph": (one("Cast", to=body("z")), "AttributeProto: expected no g"),
    "an attribute of another type": (one("Cast", to=1.5), "expected another type"),
    "endless pads": (one("AveragePool", kernel_shape=[1, 1], pads=[0] * 100000), "expected another type"),
    "an attribute that has to be another": (one("ReduceMean", axes=[1], keepdims=0), "expected keepdims 1, got 0"),
    "too few inputs": (one("Add"), r"Add: expected \(2,\) inputs, got 1"),
    "too many inputs": (model_of([("Concat", ["x"] * 5000, ["y"], {"axis": 0})]), "Concat: expected"),
    "a name that is no text": (bad_name(), "expected one of"),
    "nothing": (b"", "expected opset 17 alone"),
    "text": (b"no graph at all", "Error parsing message"),
    "another program's format": (b"\x18\0\0\0ORTM" + bytes(64), "Error parsing message"),
    "cut short": (bytes_of(IDENTITY)[:-9], "Error parsing message"),
    "deep nesting": (deep(), "Error parsing message"),
    "too large": (bytes((4 << 20) + 1), "expected at most 4194304 bytes"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_graphs_that_break_a_rule_are_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(4))
    (tmp_path / "link.bin").symlink_to(tmp_path / "secret")
    made, match = BROKEN[kind]
    with pytest.raises(ModelMismatchError, match=match) as caught:
        read_graph(made if isinstance(made, bytes) else made.SerializeToString())
    message = str(caught.value)
    assert message.startswith("a graph of the model is refused: ")
    assert len(message) < 1000
    assert "\n" not in message


X = (1, 4, 8, 8)
HUGE = np.array([1, 1, 1 << 20, 1 << 20], I8)


def doubling(times=60):
    names = ["x", *(f"v{n}" for n in range(1, times)), "y"]
    return bytes_of([("Concat", [a, a], [b], {"axis": 0}) for a, b in itertools.pairwise(names)])


def convolutions(times):
    names = ["x", *(f"v{n}" for n in range(1, times)), "y"]
    nodes = [("Conv", [a, "w"], [b], {"pads": [15] * 4}) for a, b in itertools.pairwise(names)]
    return bytes_of(nodes, {"w": np.ones((4, 4, 31, 31), np.float32)})


def from_integers(*nodes, **constants):
    """Integers computed by these nodes to "n", which is the shape of what is added to "x"."""
    ends = [("ConstantOfShape", ["n"], ["o"], {}), ("Add", ["x", "o"], ["y"], {})]
    return bytes_of([*nodes, *ends], constants)


COSTLY = {
    "a constant of a huge shape": (
        bytes_of([("ConstantOfShape", ["n"], ["o"], {}), *IDENTITY], {"n": HUGE}),
        "expected at most .* numbers on the way",
    ),
    "a broadcast": (
        bytes_of(
            [
                ("Reshape", ["x", "n"], ["a"], {}),
                ("Transpose", ["a"], ["b"], {"perm": [1, 0]}),
                ("Add", ["a", "b"], ["y"], {}),
            ],
            {"n": np.array([1, -1], I8)},
        ),
        None,  # 256 x 256 is little: refused below, where the field is larger
    ),
    "Resize to lengths": (
        bytes_of([("Resize", ["x", "", "", "n"], ["y"], {})], {"n": np.array([1, 4, 1 << 20, 1 << 20], I8)}),
        "expected at most .* numbers",
    ),
    "Resize by a factor": (
        bytes_of([("Resize", ["x", "", "f"], ["y"], {})], {"f": np.array([1, 1, 1000, 1000], np.float32)}),
        "expected whole factors of 1 to 8",
    ),
    "Resize by a broken factor": (
        bytes_of([("Resize", ["x", "", "f"], ["y"], {})], {"f": np.array([1, 1, 1.5, 2], np.float32)}),
        "expected whole factors",
    ),
    "Resize by factors that are computed": (
        bytes_of([("Sqrt", ["f"], ["g"], {}), ("Resize", ["x", "", "g"], ["y"], {})], {"f": np.ones(4, np.float32)}),
        "expected whole factors",
    ),
    "Resize with a region": (
        bytes_of([("Resize", ["x", "r", "f"], ["y"], {})], {"r": np.ones(8, "f4"), "f": np.ones(4, "f4")}),
        "expected four axes",
    ),
    "doubling": (doubling(), "numbers|at most 8 axes"),
    "Conv with pads": (one("Conv", {"w": np.ones((1, 4, 1, 1), "f4")}, pads=[1 << 20] * 4), "pads: expected 4 numbers"),
    "Conv with pads and strides, for a small output": (
        one("Conv", {"w": np.ones((1, 4, 3, 3), "f4")}, pads=[1 << 31] * 4, strides=[1 << 31] * 2),
        "numbers of [01] to 64",
    ),
    "Conv with dilations": (one("Conv", {"w": np.ones((1, 4, 1, 1), "f4")}, dilations=[1 << 40] * 2), "to 64, got"),
    "ConvTranspose with strides": (
        one("ConvTranspose", {"w": np.ones((4, 1, 1, 1), "f4")}, strides=[1 << 20] * 2),
        "strides: expected 2 numbers of 1 to 64",
    ),
    "Conv of many products": (convolutions(100), "expected at most .* products"),
    "division by zero": (
        from_integers(("Shape", ["x"], ["s"], {}), ("Div", ["s", "z"], ["n"], {}), z=np.zeros(4, I8)),
        "node 1, Div: expected integers above zero to divide by",
    ),
    "an index out of range": (
        from_integers(("Shape", ["x"], ["s"], {}), ("Gather", ["s", "at"], ["n"], {}), at=np.array([9], I8)),
        "node 1, Gather: index 9 is out of bounds",
    ),
    "integers that overflow": (
        from_integers(("Mul", ["a", "a"], ["n"], {}), a=np.array([1 << 62], I8)),
        "node 0, Mul: expected integers below 2147483648",
    ),
    "a length below zero": (from_integers(n=np.array([-5], I8)), "each of length 1 or more"),
    "a length of zero": (from_integers(n=np.array([0], I8)), "each of length 1 or more"),
    "integers from values": (from_integers(("Cast", ["x"], ["n"], {"to": 7})), "expected a cast to float32, or of"),
    "many integers": (
        from_integers(
            *[("Concat", ["s"] * 8, ["t"], {"axis": 0}), ("Concat", ["t"] * 8, ["n"], {"axis": 0})], s=np.ones(2, I8)
        ),
        "expected at most 64 integers",
    ),
    "a reshape that does not fit": (one("Reshape", {"n": np.array([7], I8)}), "cannot reshape"),
    "a reshape to nothing known": (one("Reshape", {"n": np.array([-1, -1], I8)}), "node 0, Reshape: "),
    "an axis that is not there": (one("Softmax", axis=4), "expected an axis of 4, got 4"),
    "axes that are not there": (one("Unsqueeze", {"n": np.array([9], I8)}), "node 0, Unsqueeze: "),
    "a transpose of other axes": (one("Transpose", perm=[0, 0, 1, 2]), "node 0, Transpose: "),
    "a transpose that does not say": (one("Transpose"), "node 0, Transpose: "),
    "nine axes": (one("Reshape", {"n": np.array([1] * 8 + [256], I8)}), "expected at most 8 axes"),
    "a slice of nothing": (
        one("Slice", {"s": np.array([3], I8), "e": np.array([3], I8), "a": np.array([2], I8)}),
        "each of length 1 or more",
    ),
    "a step of zero": (
        one("Slice", {k: np.array([v], I8) for k, v in {"s": 0, "e": 3, "a": 2, "t": 0}.items()}),
        "expected a start, an end and a step",
    ),
    "windows beyond the field": (one("AveragePool", kernel_shape=[9, 9], strides=[1, 1]), "length 1 or more"),
    "weights that do not fit": (one("Conv", {"w": np.ones((1, 3, 1, 1), "f4")}), "expected weights that fit"),
    "no groups": (one("Conv", {"w": np.ones((1, 4, 1, 1), "f4")}, group=0), "expected four axes"),
    "matrices that do not fit": (one("MatMul", {"w": np.ones((3, 3), "f4")}), "expected matrices that fit"),
    "a product of types": (one("Mul", {"w": np.ones(1, I8)}), "expected two of float32 or two of integers"),
    "half precision in arithmetic": (one("Add", {"w": np.ones(1, np.float16)}), "expected two of"),
    "an output of integers": (
        bytes_of([("Shape", ["x"], ["y"], {})]),
        r"expected float32 \(1, 4, 8, 8\) of .*, got \(4,\) of type 7",
    ),
}


@pytest.mark.parametrize("kind", [kind for kind, (_, match) in COSTLY.items() if match])
def test_graphs_that_would_take_too_much_are_refused(kind):
    data, match = COSTLY[kind]
    graph = read_graph(data)
    with pytest.raises(ModelMismatchError, match=match):
        graph.cost([X], X)


def test_what_grows_faster_than_the_field_is_refused_where_the_field_is_large():
    graph = read_graph(COSTLY["a broadcast"][0])
    assert graph.cost([(1, 1, 16, 16)]).shape == (256, 256)
    with pytest.raises(ModelMismatchError, match=r"expected float32 \(1, 1, 16, 16\)"):
        graph.cost([(1, 1, 16, 16)], (1, 1, 16, 16))
    with pytest.raises(ModelMismatchError, match="expected at most"):
        graph.cost([(1, 1, 400, 400)], (1, 1, 400, 400))


@pytest.mark.parametrize("shape", [(1, 4, 8), (1, 4, 8, 8, 1)])
def test_inputs_of_other_axes_are_refused(shape):
    with pytest.raises(ModelMismatchError, match="expected inputs of shapes"):
        read_graph(bytes_of(IDENTITY)).cost([shape])


def test_lengths_that_are_declared_hold():
    graph = read_graph(bytes_of(IDENTITY, inputs=[value("x", ["b", 4, 8, 8])]))
    assert graph.cost([(3, 4, 8, 8)]).shape == (3, 4, 8, 8)
    for wrong in ([(3, 4, 8, 9)], [X, X], []):
        with pytest.raises(ModelMismatchError, match="expected inputs of shapes"):
            graph.cost(wrong)


def test_onnxruntime_gets_what_was_checked_and_nothing_else():
    """A model's bytes that name another format where onnxruntime looks for it, and fields of a later ONNX."""
    made = model_of(IDENTITY, producer_name="ORTM")
    made.ir_version = 9
    data = made.SerializeToString() + b"\xc2\x3e\x04evil"  # field 1000
    assert data[4:8] == b"ORTM"
    read = read_graph(data)
    assert read.data[4:8] != b"ORTM"
    assert b"evil" not in read.data
    assert read.data == read_graph(read.data).data


def test_graphs_are_read_without_memory_that_no_bytes_explain():
    """Two million empty nodes in four megabytes."""
    import tracemalloc

    data = b"\x3a\xf4\xff\xff\x01" + b"\x0a\x00" * (((1 << 22) - 12) // 2)
    assert len(data) <= graph_check.GRAPH_LIMIT
    tracemalloc.start()
    with pytest.raises(ModelMismatchError, match="expected opset"):
        read_graph(data)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


SHAPES = {
    "vq": {"g_a": [(2, 1, 44, 60)], "g_s": [(2, 4, 22, 31), (1,)]},
    "hvae": {"g_a": [(1, 1028, 64, 64)], "g_s": [(1, 32, 16, 16)]},
    "downscaler": {
        "features": [(2, 3, 5, 7)],
        "mean": [(1, 32, 10, 6), (1, 5, 40, 24)],
        "velocity": [(2, 1, 24, 40), (2,), (2, 32, 6, 10), (2, 5, 24, 40), (2, 2, 24, 40)],
    },
}


@pytest.mark.parametrize("kind", ["vq", "downscaler"])
def test_shapes_of_all_values_are_those_that_onnxruntime_gives(kind):
    """Every value of the shipped graphs, made an output."""
    onnxruntime = pytest.importorskip("onnxruntime")
    for name, data in shipped(kind).items():
        shapes = next(shapes for key, shapes in SHAPES[kind].items() if name.startswith(key))
        graph, seen = read_graph(data), {}
        numbers = products = 0
        known = dict(graph.constants)
        known.update(zip(graph.inputs, [graph_check.Value(1, shape) for shape in shapes], strict=True))
        for node in graph.nodes:
            made = node.operator.rule([known[each] if each else None for each in node.inputs], node.attributes)
            known.update(zip(node.outputs, made.values, strict=True))
            seen.update(zip(node.outputs, made.values, strict=True))
            numbers, products = numbers + sum(each.size for each in made.values), products + made.products
        assert graph.cost(shapes)[1:] == (numbers, products)
        model = onnx.load_from_string(graph.data)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in seen)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        inputs = {each: rng.random(shape, np.float32) for each, shape in zip(graph.inputs, shapes, strict=True)}
        for each, got in zip(seen, session.run(list(seen), inputs), strict=True):
            assert got.shape == seen[each].shape, (name, each)
            if seen[each].known is not None:
                assert (got == seen[each].known).all(), (name, each)


@pytest.mark.parametrize("kind", SHAPES)
def test_shipped_graphs_have_room_to_the_limits(kind):
    for name, data in shipped(kind).items():
        graph = read_graph(data)
        shapes = next(shapes for key, shapes in SHAPES[kind].items() if name.startswith(key))
        cost = graph.cost(shapes)
        size = prod(cost.shape) + sum(map(prod, shapes))
        assert cost.products < 0.5 * graph_check.PRODUCTS_EACH * size
        assert cost.numbers < 0.7 * graph_check.NUMBERS_EACH * size + graph_check.NUMBERS_MORE


def test_shipped_graphs_use_every_operator():
    used = {node.kind for kind in SHAPES for data in shipped(kind).values() for node in read_graph(data).nodes}
    assert used == set(OPERATORS)


def test_the_specification_lists_the_operators():
    page = (Path(__file__).parents[1] / "spec" / "model.md").read_text()
    for kind, operator in OPERATORS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{kind}` |"))
        listed = row.split("|")[3]
        assert [name for name in operator.attributes if f"`{name}`" not in listed] == [], row


@quick
@given(st.data())
def test_changed_bytes_are_refused_or_read(data):
    """Bytes of a shipped graph put in other places, changed and cut: read or refused, and the same in what it costs."""
    good = GRAPH_OF_VQ
    held = bytearray(good)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, 1500))
        held[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del held[data.draw(st.integers(0, len(held) - 1)) :]
    try:
        graph = read_graph(bytes(held))
        graph.cost([(1, 4, 20, 22), (1,)])
    except ModelMismatchError:
        return
    assert isinstance(graph, FloatGraph)


GRAPH_OF_VQ = shipped("vq")["g_s_0.onnx"]
