"""A float graph of a package, read and checked before onnxruntime sees any of it; what a run of it can take at most.

Stage of `float_graph`: bytes -> **graph_check** (graph_operators, graph_windows) -> onnxruntime. Spec: spec/model.md,
"Float graphs", which has the limits.

What is not known to be harmless is refused: fields, operators, attributes, types. Shapes of all values follow from
those of the inputs, so memory and work are known, and bounded, before a run. onnxruntime gets the graph written anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.graph_operators import OPERATORS
from adiabat.codec.graph_values import FLOAT, HALF, INTEGER, Operator, Shape, Value

__all__ = ["Cost", "FloatGraph", "read_graph"]

GRAPH_LIMIT = 4 << 20  # bytes of one graph
MOST_NODES = MOST_CONSTANTS = 1024
MOST_NAMES = 8  # inputs or outputs of a node, inputs of the graph
OPSET, IR_VERSIONS = 17, range(7, 11)
NUMBERS_EACH, PRODUCTS_EACH = 128, 8192  # for each number of inputs and output
NUMBERS_MORE, PRODUCTS_MORE = 1 << 23, 1 << 26  # beside these, whatever the size
DTYPES: Mapping[int, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), INTEGER: np.dtype("<i8"), HALF: np.dtype("<f2")}
KNOWN = 64  # numbers of a constant that rules may look at
REAL = ("alpha", "beta", "cubic_coeff_a", "epsilon")  # attributes that are numbers and no integers
FIELDS = {
    "ModelProto": {"ir_version", "producer_name", "producer_version", "opset_import", "graph"},
    "OperatorSetIdProto": {"domain", "version"},
    "GraphProto": {"name", "node", "initializer", "input", "output"},
    "NodeProto": {"name", "op_type", "input", "output", "attribute"},
    "AttributeProto": {"name", "type", "f", "i", "s", "t", "ints"},
    "TensorProto": {"name", "data_type", "dims", "raw_data"},
    "ValueInfoProto": {"name", "type"},
}
# What hostile messages and rules handed wrong things raise; the message class has its own beside these.
WRONG = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError)


class Cost(NamedTuple):
    """Of one run: the output's shape, the numbers that all values have together, the products formed."""

    shape: Shape
    numbers: int
    products: int


@dataclass(frozen=True)
class Node:
    """One operation on named values; an input that is left out has no name."""

    operator: Operator
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class FloatGraph:
    """A graph that keeps the rules.

    Attributes
    ----------
    data : bytes
        It, written anew: what was checked and nothing else.
    inputs : dict of str to tuple
        The lengths of float32 inputs as the graph declares them; None: any.
    output : str
    nodes : tuple of Node
        In the order of running.
    constants : dict of str to Value
    """

    data: bytes
    inputs: Mapping[str, tuple[int | None, ...]]
    output: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Value]

    def cost(self, shapes: Sequence[Shape], expected: Shape | None = None) -> Cost:
        """What a run on inputs of these shapes gives and takes.

        Parameters
        ----------
        shapes : sequence of tuple
            Of the inputs, in order.
        expected : tuple, optional
            Of the output; None: as it comes, for graphs that are trusted with it.

        Raises
        ------
        ModelMismatchError
            If the graph does not take such inputs, gives another output, or takes more than the limits.
        """
        self._expect(shapes)
        known = dict(self.constants)
        known.update(zip(self.inputs, [Value(FLOAT, shape) for shape in shapes], strict=True))
        numbers = products = 0
        for at, node in enumerate(self.nodes):
            try:
                made = node.operator.rule([known[name] if name else None for name in node.inputs], node.attributes)
                known.update(zip(node.outputs, made.values, strict=True))
            except WRONG as error:
                raise _refused(f"node {at}, {node.kind}: {_first_line(error)}") from error
            numbers += sum(value.size for value in made.values) + made.scratch
            products += made.products
        out = known[self.output]
        wanted = out.shape if expected is None else expected
        size = sum(math.prod(shape) for shape in (wanted, *shapes))
        for what, got, each, more in (
            ("numbers", numbers, NUMBERS_EACH, NUMBERS_MORE),
            ("products", products, PRODUCTS_EACH, PRODUCTS_MORE),
        ):
            if got > size * each + more:
                way = f"on the way from {list(shapes)} to {wanted}"
                raise _refused(f"expected at most {size * each + more} {what} {way}, got {got}")
        if (out.type, out.shape) != (FLOAT, wanted):
            raise _refused(f"expected float32 {wanted} of {list(shapes)}, got {out.shape} of type {out.type}")
        return Cost(out.shape, numbers, products)

    def _expect(self, shapes: Sequence[Shape]) -> None:
        declared = list(self.inputs.values())
        fits = len(declared) == len(shapes) and all(
            len(said) == len(shape) and all(a in (None, b) for a, b in zip(said, shape, strict=True))
            for said, shape in zip(declared, shapes, strict=True)
        )
        if not fits:
            raise _refused(f"expected inputs of shapes {list(shapes)}, got a graph for {declared}")


def read_graph(data: bytes) -> FloatGraph:
    """Read a graph and check everything that does not depend on the shapes of inputs.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ModelMismatchError
        If it is none, or breaks a rule.
    """
    try:
        import onnx

        decode_error = import_module("google.protobuf.message").DecodeError  # it has no types
    except ImportError as error:
        raise ImportError("float graphs are checked with onnx: pip install 'adiabat[cpu]'") from error
    if len(data) > GRAPH_LIMIT:
        raise _refused(f"expected at most {GRAPH_LIMIT} bytes, got {len(data)}")
    try:
        model = onnx.ModelProto.FromString(data)
        model.DiscardUnknownFields()
        return _checked(model)
    except (decode_error, *WRONG) as error:
        raise _refused(_first_line(error)) from error


def _checked(model: Any) -> FloatGraph:
    """The graph of a message; raises one of WRONG."""
    _expect_fields(model)
    graph = model.graph
    _expect_fields(graph)
    opsets = [(each.domain, each.version) for each in model.opset_import[:2]]
    if opsets != [("", OPSET)] or model.ir_version not in IR_VERSIONS:
        raise ValueError(f"expected opset {OPSET} alone, got {opsets} of IR version {model.ir_version}")
    counts = len(graph.node), len(graph.initializer), len(graph.input), len(graph.output)
    if any(got > most for got, most in zip(counts, (MOST_NODES, MOST_CONSTANTS, MOST_NAMES, 1), strict=True)):
        raise ValueError(f"expected at most {MOST_NODES} nodes and {MOST_CONSTANTS} constants, got {counts}")
    inputs = {each.name: _lengths(each) for each in graph.input}
    constants = {each.name: _tensor(each) for each in graph.initializer}
    [output] = graph.output
    _lengths(output)
    names = [*inputs, *constants]
    if len(set(names)) != counts[1] + counts[2]:
        raise ValueError("expected names of values to be given once")
    nodes = tuple(_node(each) for each in graph.node)
    _expect_order(nodes, names, output.name)
    model.producer_name, model.producer_version = "adiabat", ""  # with some, onnxruntime takes it for another format
    return FloatGraph(model.SerializeToString(deterministic=True), inputs, output.name, nodes, constants)


def _expect_fields(message: Any) -> None:
    """ValueError for a message with a field that is of no use in these graphs."""
    kind = message.DESCRIPTOR.name
    more = sorted({descriptor.name for descriptor, _ in message.ListFields()} - FIELDS[kind])
    if more:
        raise ValueError(f"{kind}: expected no {', '.join(more)}")


def _expect_order(nodes: Sequence[Node], names: Sequence[str], output: str) -> None:
    """Every value is given once, before it is used."""
    known = set(names)
    for at, node in enumerate(nodes):
        missing = [name for name in node.inputs if name and name not in known]
        if missing:
            raise ValueError(f"node {at}, {node.kind}: expected values given before it, got {missing[0][:80]!r}")
        if "" in node.outputs or not known.isdisjoint(node.outputs) or len(set(node.outputs)) != len(node.outputs):
            raise ValueError(f"node {at}, {node.kind}: expected new names for what it gives")
        known.update(node.outputs)
    if not nodes or output not in {name for node in nodes for name in node.outputs}:
        raise ValueError("expected a node to give the output")


def _node(message: Any) -> Node:
    _expect_fields(message)
    kind = message.op_type
    if kind not in OPERATORS:
        raise ValueError(f"expected one of {len(OPERATORS)} operators (spec/model.md), got {kind[:80]!r}")
    operator, inputs, outputs = OPERATORS[kind], tuple(message.input[:9]), tuple(message.output[:9])
    if len(inputs) not in operator.inputs or not 1 <= len(outputs) <= MOST_NAMES or len(message.attribute) > MOST_NAMES:
        raise ValueError(f"{kind}: expected {operator.inputs} inputs, got {len(inputs)}, {len(outputs)} outputs")
    attributes = {each.name: _attribute(each) for each in message.attribute}
    unknown = sorted(set(attributes) - set(operator.attributes))
    if unknown or len(attributes) != len(message.attribute):
        raise ValueError(f"{kind}: expected attributes {operator.attributes}, each once, got {unknown}")
    for name, value in operator.fixed.items():
        if attributes.get(name, value) != value:
            raise ValueError(f"{kind}: expected {name} {value!r}, got {attributes[name]!r}")
    return Node(operator, kind, inputs, outputs, attributes)


def _attribute(message: Any) -> Any:
    """An integer, integers, a real number, a text or a tensor."""
    _expect_fields(message)
    readers: dict[int, Callable[[], Any]] = {  # by ONNX's numbers of their types
        2: lambda: message.i,
        3: lambda: message.s[:80].decode(),
        4: lambda: _tensor(message.t),
        7: lambda: list(message.ints),
    }
    if message.name in REAL:
        readers = {1: lambda: message.f}
    if message.type not in readers or len(message.ints) > 8:
        raise ValueError(f"attribute {message.name[:80]}: expected another type than {message.type}, or fewer numbers")
    return readers[message.type]()


def _tensor(message: Any) -> Value:
    _expect_fields(message)
    shape = tuple(message.dims[:9])
    if message.data_type not in DTYPES:
        raise ValueError(f"{message.name[:80]}: expected float32, float16 or int64, got type {message.data_type}")
    dtype = DTYPES[message.data_type]
    if len(shape) > 8 or min(shape, default=1) < 1 or math.prod(shape) * dtype.itemsize != len(message.raw_data):
        raise ValueError(f"{message.name[:80]}: expected raw data of shape {shape}, got {len(message.raw_data)} bytes")
    numbers = np.frombuffer(message.raw_data, dtype).reshape(shape)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{message.name[:80]}: expected finite numbers")
    small = numbers.size <= KNOWN and dtype != DTYPES[HALF]
    return Value(message.data_type, shape, numbers.copy() if small else None)


def _lengths(message: Any) -> tuple[int | None, ...]:
    """The declared lengths of a float32 tensor, an input or the output of the graph; None: any."""
    _expect_fields(message)
    tensor = message.type.tensor_type
    if message.type.WhichOneof("value") != "tensor_type" or tensor.elem_type != FLOAT or not tensor.HasField("shape"):
        raise ValueError(f"{message.name[:80]}: expected a tensor of float32 with a number of axes")
    dims = tensor.shape.dim[:9]
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _refused(problem: str) -> ModelMismatchError:
    return ModelMismatchError(f"a graph of the model is refused: {problem}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
