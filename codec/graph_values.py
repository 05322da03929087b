"""What is known of the tensors of a float graph before anything runs, and what a rule of an operator is.

Used by `graph_operators`, `graph_windows` and `graph_check`. Spec: spec/model.md, "Float graphs".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = ["FLOAT", "HALF", "INTEGER", "Attributes", "Made", "Operator", "Rule", "Shape", "Value"]
__all__ += ["axis_of", "floating", "floats", "integers"]

FLOAT, INTEGER, HALF = 1, 7, 10  # ONNX's numbers of float32, int64, float16
MOST_INTEGERS = 64  # of one value

Shape = tuple[int, ...]
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """A tensor as far as it is known before anything runs.

    Parameters
    ----------
    type : int
        FLOAT, INTEGER or HALF.
    shape : tuple of int
        Each at least 1.
    known : NDArray, optional
        Its numbers; of integers always.

    Raises
    ------
    ValueError
        If a length is 0, or integers are not known, or many.
    """

    type: int
    shape: Shape
    known: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) > 8 or min(self.shape, default=1) < 1:
            raise ValueError(f"expected at most 8 axes, each of length 1 or more, got {self.shape}")
        if self.type == INTEGER and (self.known is None or self.size > MOST_INTEGERS):
            raise ValueError(f"expected at most {MOST_INTEGERS} integers, made of shapes alone, got shape {self.shape}")

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Made:
    """What a node gives, the products that are formed for it, and the numbers that are held meanwhile."""

    values: tuple[Value, ...]
    products: int = 0
    scratch: int = 0


Rule = Callable[[Sequence[Value | None], Attributes], Made]


@dataclass(frozen=True)
class Operator:
    """An operator: its rule, how many inputs it takes, attributes it may have, and what some of them have to be."""

    rule: Rule
    inputs: tuple[int, ...] = (1,)
    attributes: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


def floats(inputs: Sequence[Value | None]) -> list[Value]:
    """All inputs, which have to be there and float32."""
    given = [each for each in inputs if each is not None and each.type == FLOAT]
    if len(given) != len(inputs):
        raise ValueError("expected float32")
    return given


def integers(value: Value | None, axes: int | None = 1) -> list[int]:
    """The numbers of an input that has to be integers of so many axes."""
    if value is None or value.type != INTEGER or value.known is None or axes not in (None, len(value.shape)):
        raise ValueError("expected integers")
    return [int(each) for each in value.known.reshape(-1)]


def floating(*shapes: Shape, products: int = 0, scratch: int = 0) -> Made:
    """Tensors of float32."""
    return Made(tuple(Value(FLOAT, shape) for shape in shapes), products, scratch)


def axis_of(axis: int, axes: int) -> int:
    """An axis counted from the first; ValueError where there is none."""
    if not -axes <= axis < axes:
        raise ValueError(f"expected an axis of {axes}, got {axis}")
    return axis % axes
