"""A low-rank variable, opened: values are formed from the rows of factors, and the chunks, that an index needs.

Stage: low_rank_layout -> **low_rank_store** -> xarray_backend. Spec: `spec/low_rank.md`, "Values".
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import CorruptStreamError, UnsupportedVersionError
from adiabat.formats.factor_sums import combine, combine_points, restore, restore_points
from adiabat.formats.low_rank import CPArray
from adiabat.formats.low_rank_layout import DAYS, MARKER, VERSION, VIEWS
from adiabat.training.anomaly import Anomaly

DTYPES = {name: np.dtype(name) for name in ("float16", "float32", "float64")}

__all__ = ["StoredArray"]


@dataclass(eq=False)
class StoredArray:
    """A variable of this format, opened: nothing but its attributes is read until an index asks.

    Factors that were read are kept, since all of them together are small. Safe to share among threads, and to pickle.

    Parameters
    ----------
    group : zarr.Group
    view : str, optional
        One of VIEWS; what the store recommends if not given. ``filled``: the factors' values, everywhere.
        ``corrected``: those with the residual, so that observed cells hold the bound. ``source``: the same with NaN
        where nothing was observed. ``observed``: which cells were.

    Raises
    ------
    CorruptStreamError, UnsupportedVersionError
        If the group is none of this format.
    ValueError
        For a view that it does not have.
    """

    group: zarr.Group
    view: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _rows: dict[tuple[int, int], NDArray[Any]] = field(default_factory=dict, init=False, repr=False)
    _pieces: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _members: frozenset[str] = field(default=frozenset(), init=False, repr=False)

    def __post_init__(self) -> None:
        note = self.note
        if note.get("version") != VERSION:
            raise UnsupportedVersionError(
                f"expected a low-rank variable of version {VERSION}, got {note.get('version')}"
            )
        try:
            self.dims, self.shape = tuple(note["dims"]), tuple(note["shape"])
            self.rank, self.scale = note["rank"], float(note["scale"])
            self.dtype = np.dtype(bool if self.view == "observed" else DTYPES[note["dtype"]])
            self.view = self.view or str(note["view"])
            self._members = frozenset(note.get("arrays", ()))
            if not all(type(size) is int and size >= 0 for size in (*self.shape, self.rank)):
                raise ValueError(f"expected whole numbers, got {self.shape} and {self.rank}")
            if not all(isinstance(dim, str) for dim in self.dims):
                raise ValueError(f"expected names of dimensions, got {self.dims}")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptStreamError(
                f"expected the attribute {MARKER} of {self.group.path!r} to be whole: {error}"
            ) from None
        if not len(self.shape) == len({*self.dims}) == len(self.dims) >= 2:
            raise CorruptStreamError(f"expected {len(self.dims)} lengths and a rank, got {self.shape} and {self.rank}")
        if self.view not in VIEWS:
            raise ValueError(f"expected view to be one of {VIEWS}, got {self.view!r}")
        if self.view in ("corrected", "source") and self.bound is None:
            raise ValueError(f"{self.group.path} was written without a bound: it has the views filled and observed")

    def __getstate__(self) -> dict[str, Any]:
        return {"group": self.group, "view": self.view}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def note(self) -> Mapping[str, Any]:
        """The marker: everything about the variable that is not an array."""
        note = self.group.attrs.get(MARKER)
        if not isinstance(note, Mapping):
            raise CorruptStreamError(f"expected the attribute {MARKER} on {self.group.path!r}, got {note!r}")
        return note

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def bound(self) -> Any:
        """What observed cells keep to with the residual; None without one."""
        return self.note.get("bound")

    @property
    def attributes(self) -> dict[str, Any]:
        """CF attributes of the variable."""
        return {name: value for name, value in self.group.attrs.items() if name != MARKER}

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pieces worth reading at once: a chunk of the residual where that is read, else of the first factor."""
        if self.view in ("corrected", "source"):
            return tuple(self._array("residual").chunks)
        return (min(DAYS, max(1, self.shape[0])), *self.shape[1:])

    def outer(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at independent indices along each axis: (len(index), ...)."""
        if self.view == "observed":
            return self._observed(indices)
        z = combine(self._weights, [self._take(axis, index) for axis, index in enumerate(indices)])
        values = restore(z, self.anomaly, indices)
        if self.view != "filled":
            values = self._corrected(values, _taken(self._array("residual"), indices))
        return values.astype(self.dtype)

    def points(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at points: one flat array of indices for each axis."""
        if self.view == "observed":
            if "observed" in self._members:
                return np.asarray(self._array("observed").vindex[tuple(indices)])
            if self.bound is None:
                return np.ones(len(indices[0]), bool)
            return np.asarray(~np.isnan(np.asarray(self._array("residual").vindex[tuple(indices)])))
        distinct = [np.unique(index, return_inverse=True) for index in indices]
        rows = [self._take(axis, index) for axis, (index, _) in enumerate(distinct)]
        z = combine_points(self._weights, rows, [place for _, place in distinct])
        values = restore_points(z, self.anomaly, indices)
        if self.view != "filled":
            values = self._corrected(values, np.asarray(self._array("residual").vindex[tuple(indices)]))
        return values.astype(self.dtype)

    @cached_property
    def factors(self) -> CPArray:
        """All factors in memory, as int8 or int16."""
        factors = [self._take(axis, np.arange(size)) for axis, size in enumerate(self.shape)]
        return CPArray(self._weights, factors, self.anomaly, np.dtype(str(self.note["dtype"])))

    @cached_property
    def anomaly(self) -> Anomaly:
        """Base, offset and scale."""
        base = self._whole("base")
        offset = self._whole("offset") if "offset" in self._members else None
        try:
            return Anomaly(self.note["transform"], base, self.scale, offset, float(self.note.get("floor", 1.0)))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptStreamError(f"{self.group.path!r}: {error}") from None

    def _corrected(self, values: NDArray[np.float64], residual: NDArray[Any]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            corrected = values + residual
        return corrected if self.view == "source" else np.where(np.isnan(residual), values, corrected)

    def _observed(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
        if "observed" in self._members:
            return np.asarray(_taken(self._array("observed"), indices))
        if self.bound is None:
            return np.ones([len(index) for index in indices], bool)
        return np.asarray(~np.isnan(_taken(self._array("residual"), indices)))

    @property
    def _weights(self) -> NDArray[Any]:
        return self._whole("weights") if self.rank else np.zeros(0)

    def _array(self, name: str) -> zarr.Array[Any]:
        with self._lock:
            if name not in self._pieces:
                found = self.group.get(name)
                if not isinstance(found, zarr.Array):
                    raise CorruptStreamError(f"expected an array {name} in {self.group.path!r}, got none")
                lengths, kind = self._expected(name)
                if found.shape != lengths or found.dtype.kind != kind:
                    raise CorruptStreamError(
                        f"expected {found.path} of kind {kind!r}, shape {lengths}, got {found.dtype}, {found.shape}"
                    )
                self._pieces[name] = found
            return self._pieces[name]  # type: ignore[no-any-return]

    def _expected(self, name: str) -> tuple[tuple[int, ...], str]:
        """Shape and kind of dtype of one of the arrays; a larger one is not read."""
        lengths: dict[str, tuple[int, ...]] = {
            "weights": (self.rank,), "base": self.shape[1:], "offset": self.shape[:1],
            **{f"factor_{dim}": (self.rank, size) for dim, size in zip(self.dims, self.shape, strict=True)},
        }  # fmt: skip
        kind = {"observed": "b"}.get(name, "i" if name.startswith("factor_") else "f")
        return lengths.get(name, self.shape), kind

    def _whole(self, name: str) -> NDArray[Any]:
        array = self._array(name)
        key = f"{name} in memory"
        if key not in self._pieces:
            self._pieces[key] = np.asarray(array[...])
        return self._pieces[key]  # type: ignore[no-any-return]

    def _take(self, axis: int, index: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of a factor: (len(index), R); only the chunks that hold them are read."""
        if not self.rank or not len(index):
            return np.zeros((len(index), self.rank))
        array = self._array(f"factor_{self.dims[axis]}")
        size = array.chunks[1]
        numbers, place = np.unique(index // size, return_inverse=True)
        chunks = [self._chunk(axis, array, int(number), size) for number in numbers]
        if len(chunks) == 1:
            return np.asarray(chunks[0][index - numbers[0] * size])
        starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
        return np.asarray(np.concatenate(chunks)[index - numbers[place] * size + starts[place]])

    def _chunk(self, axis: int, array: zarr.Array[Any], number: int, size: int) -> NDArray[Any]:
        chunk = self._rows.get((axis, number))
        if chunk is None:
            chunk = np.ascontiguousarray(np.asarray(array[:, number * size : (number + 1) * size]).T)
            self._rows[axis, number] = chunk  # two threads may both read it: they read the same
        return chunk


def _taken(array: zarr.Array[Any], indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """Outer selection from a Zarr array by slices where possible, so that no chunk is read twice."""
    keys: list[slice] = []
    inner = []
    for index in indices:
        if not len(index):
            return np.zeros([len(each) for each in indices], array.dtype)
        low, high = int(index.min()), int(index.max())
        keys.append(slice(low, high + 1))
        inner.append(index - low)
    span = np.prod([float(key.stop - key.start) for key in keys])
    if span <= 4 * np.prod([float(len(index)) for index in indices]):
        return np.asarray(np.asarray(array[tuple(keys)])[np.ix_(*inner)])
    distinct = [np.unique(index, return_inverse=True) for index in indices]
    picked = np.asarray(array.oindex[tuple(index for index, _ in distinct)])
    return np.asarray(picked[np.ix_(*(place for _, place in distinct))])
