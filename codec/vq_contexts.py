"""Which table an index is coded under: what is decoded around its place already, as integers only.

Stage of `vq`: vq_transform -> **vq_contexts** -> vq_prior. Spec: spec/vq.md, section 4.

Each place of each level has one vector (HL, LH, HH), the sum of one word of the finest codebook and, where that does
not reach, of words of coarser ones. A level is coded in four passes, by parity of row and column. A context comes from
the magnitudes of the vectors above (the next coarser level), beside (earlier passes) and, at the coarsest level, from
how the coarse field bends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.vq_transform import kind_of
from adiabat.codec.words import PRECISION as PRECISION
from adiabat.codec.words import categorical

__all__ = ["Place", "Prior", "bends", "walk"]

STAGES = 6  # codebooks; 0 is the finest
WORDS = 256  # of a codebook; word 0 is zero
ESCAPE = WORDS  # letter: the next coarser codebook has a word too
LETTERS = WORDS + 1
UNIT = 64  # codebooks' integers per quantisation step
ACTIVITIES, TILTS = 16, 3  # how much goes on around; whether along x, along y, or neither more than the other
CONTEXTS = ACTIVITIES * TILTS
TILT = 3  # sum of differences of classes from which it is one
TABLE_KINDS = 4  # levels 1, 2, 3 and coarser, and the coarsest of a chunk, whichever it is
FIRST = TABLE_KINDS * CONTEXTS  # tables of first letters; then those of words after escapes, then of words below
TABLES = FIRST + 2 * (STAGES - 1)
FEATURES = 7
PASSES = ((0, 0), (1, 1), (0, 1), (1, 0))  # parity of row and column
CLASS_EDGES = np.array([1, *(1 << k for k in range(12, 29))])  # of squared norms
BEND_EDGES = np.array([16 << k for k in range(15)])  # of 32 times the bend in steps
BEND_LIMIT = float(1 << 40)

Integers = NDArray[np.int64]
Classes = NDArray[np.int16]
Contexts = NDArray[np.intp]


@dataclass(frozen=True)
class Prior:
    """Everything about indices that encoder and decoder share.

    Parameters
    ----------
    codebooks : NDArray[np.int32], shape (STAGES, WORDS, 3)
        In units of 1 / 64 of a step.
    weights : NDArray[np.int16], shape (TABLE_KINDS, passes, FEATURES)
        Of the features of a context.
    thresholds : NDArray[np.int32], shape (TABLE_KINDS, ACTIVITIES - 1)
        Ascending, of the weighted sums.
    frequencies : NDArray[np.uint32], shape (TABLES, LETTERS)
        Each at least 1; each row sums to 2**24.

    Raises
    ------
    ValueError
        If they are not of these shapes, or the frequencies or zero words not as said.
    """

    codebooks: NDArray[np.int32]
    weights: NDArray[np.int16]
    thresholds: NDArray[np.int32]
    frequencies: NDArray[np.uint32]

    def __post_init__(self) -> None:
        shapes = {
            "codebooks": (STAGES, WORDS, 3),
            "weights": (TABLE_KINDS, len(PASSES), FEATURES),
            "thresholds": (TABLE_KINDS, ACTIVITIES - 1),
            "frequencies": (TABLES, LETTERS),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")
        if (self.frequencies < 1).any() or (self.frequencies.sum(1, dtype=np.int64) != 1 << PRECISION).any():
            raise ValueError("frequencies: expected rows of at least 1 each that sum to 2**24")
        if self.codebooks[:, 0].any():
            raise ValueError("codebooks: expected word 0 of each to be zero")

    @cached_property
    def code_lengths(self) -> NDArray[np.float32]:
        """Bits of each letter in each table."""
        return (PRECISION - np.log2(self.frequencies)).astype(np.float32)

    @cached_property
    def _models(self) -> dict[int, Any]:
        return {}

    def model(self, table: int) -> Any:
        """A constriction model with exactly the integer frequencies of this table."""
        if table not in self._models:
            self._models[table] = categorical(self.frequencies[table])
        return self._models[table]


@dataclass(frozen=True)
class Place:
    """One pass of one level: where its vectors stand, and their contexts.

    Attributes
    ----------
    level, parity
        1 is the finest level; row and column.
    kind, number : int
        Which tables; which pass.
    features : NDArray[np.int16], shape (FEATURES, vectors)
    contexts : NDArray[np.intp], shape (vectors,)
        0 to CONTEXTS - 1.
    """

    level: int
    parity: tuple[int, int]
    kind: int
    number: int
    features: NDArray[np.int16]
    contexts: Contexts


def bends(smooth: NDArray[np.float64], *, wrap: bool) -> Classes:
    """How LL (frames, rows, columns), in steps, bends: classes, and tilts, as of vectors (2, frames, rows, columns).

    Only sums, products and roundings that IEEE fixes.
    """
    k = np.rint(np.clip(smooth, -BEND_LIMIT, BEND_LIMIT) * 8).astype(np.int64)
    padded = _bordered(k, wrap=wrap)
    along_y = 2 * k - padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]
    along_x = 2 * k - padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:]
    both, x, y = (np.searchsorted(BEND_EDGES, np.abs(each), "right") for each in (along_x + along_y, along_x, along_y))
    return np.stack([both, x - y]).astype(np.int16)


def magnitudes(vectors: Integers) -> Classes:
    """Classes of vectors (vectors, 3) by their norm, and their tilts: HL's class less LH's; (2, vectors)."""
    squares = vectors.astype(np.int64) ** 2
    both, x, y = (
        np.searchsorted(CLASS_EDGES, each, "right") for each in (squares.sum(1), squares[:, 0], squares[:, 1])
    )
    return np.stack([both, x - y]).astype(np.int16)


def _bordered(maps: NDArray[Any], *, wrap: bool) -> NDArray[Any]:
    """Maps (..., rows, columns) with one more on each side."""
    none = ((0, 0),) * (maps.ndim - 2)
    rows = np.pad(maps, (*none, (1, 1), (0, 0)), mode="edge")
    return np.pad(rows, (*none, (0, 0), (1, 1)), mode=_mode(wrap))


def _mode(wrap: bool) -> Any:
    return "wrap" if wrap else "edge"


def walk(
    prior: Prior,
    bend: Classes,
    shapes: Sequence[tuple[int, int]],
    visit: Callable[[Place], Integers],
    *,
    wrap: bool,
) -> list[NDArray[np.int32]]:
    """Go through all passes in coding order; `visit` gives each pass's vectors (vectors, 3), in units.

    Parameters
    ----------
    bend : NDArray[np.int16], shape (2, frames, rows, columns)
        As `bends` has it, of the coarsest LL.
    shapes : sequence of (rows, columns)
        Of the bands of levels 1, 2, ...

    Returns
    -------
    list of NDArray[np.int32], shape (frames, 3, rows, columns)
        The vectors of levels 1, 2, ...
    """
    frames, top = bend.shape[1], len(shapes)
    details: list[NDArray[np.int32]] = [np.zeros((frames, 3, *shape), np.int32) for shape in shapes]
    above, beyond = bend, None
    for level in range(top, 0, -1):
        rows, columns = shapes[level - 1]
        known = np.zeros((2, frames, rows + 2, columns + 2), np.int16)  # with a border
        kind = TABLE_KINDS - 1 if level == top else kind_of(level)
        over = _Above(above, beyond, coarse=level == top, wrap=wrap)
        for number, (row, column) in enumerate(PASSES):
            size = len(range(row, rows, 2)), len(range(column, columns, 2))
            if 0 in size:
                continue
            features, tilts = _features(over, known, (row, column), size)
            # A dot product of integers below 2**15, in int32 so that no library sums it in float.
            total = (prior.weights[kind, number].astype(np.int32)[:, None] * features).sum(0, dtype=np.int32)
            activities = np.searchsorted(prior.thresholds[kind], total, side="right")
            contexts = TILTS * activities + 1 + (tilts >= TILT) - (tilts <= -TILT)
            vectors = visit(Place(level, (row, column), kind, number, features, contexts))
            details[level - 1][:, :, row::2, column::2] = vectors.reshape(frames, *size, 3).transpose(0, 3, 1, 2)
            found = magnitudes(vectors).reshape(2, frames, *size)
            known[:, :, 1 + row : 1 + rows : 2, 1 + column : 1 + columns : 2] = found
            if wrap:
                known[..., 0], known[..., -1] = known[..., -2], known[..., 1]
        above, beyond = known[:, :, 1:-1, 1:-1], above
    return details


class _Above:
    """Classes and tilts of the next coarser level, around each place; of the coarse field itself at the coarsest."""

    def __init__(self, above: Classes, beyond: Classes | None, *, coarse: bool, wrap: bool) -> None:
        self._padded, self._beyond, self._coarse = _bordered(above, wrap=wrap), beyond, coarse
        self._same = beyond is not None and beyond.shape == above.shape  # the coarse field's, beside its own bands

    def features(self, parity: tuple[int, int], size: tuple[int, int]) -> tuple[list[Classes], Classes]:
        """Class above, the four about it, the one on the side of the place, the class above that; the tilts above."""
        step = 2 if self._coarse else 1
        row, column = parity if self._coarse else (0, 0)
        y, x = 2 * parity[0] - 1, 2 * parity[1] - 1

        def at(dy: int, dx: int) -> Classes:
            return _strided(self._padded, 1 + row + dy, 1 + column + dx, size, step)

        four = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1)
        if self._beyond is None:
            beyond = np.zeros_like(four[0])
        elif self._same:
            beyond = self._beyond[0, :, : size[0], : size[1]]
        else:
            beyond = self._beyond[0][:, np.arange(size[0]) // 2][:, :, np.arange(size[1]) // 2]
        own = at(0, 0)
        return [own[0], four[0], at(y, x)[0], beyond], 2 * own[1]


def _features(
    over: _Above, known: Classes, parity: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Features (FEATURES, vectors) and tilts (vectors,) of a pass."""

    def at(dy: int, dx: int) -> Classes:
        return _strided(known, 1 + parity[0] + dy, 1 + parity[1] + dx, size, 2)

    above, tilts = over.features(parity, size)
    sides = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    features = np.stack([*above, sides[0], corners[0], np.ones_like(sides[0])])
    return features.reshape(FEATURES, -1), (tilts + 2 * sides[1] + corners[1]).reshape(-1)


def _strided(maps: Classes, row: int, column: int, size: tuple[int, int], step: int) -> Classes:
    rows = slice(row, row + step * (size[0] - 1) + 1, step)
    return maps[..., rows, slice(column, column + step * (size[1] - 1) + 1, step)]
