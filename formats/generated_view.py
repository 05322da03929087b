"""A generated variable as it is read: nothing is computed but the parts that an index asks for.

Stage: generated, downscaling -> **generated_view** -> lazy_array -> xarray_backend; `generated_write` takes its blocks
from here, too, so that a view and a store of generated values hold the same. Spec: `spec/generated.md`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from adiabat.formats.chunks import choose_chunks
from adiabat.formats.fine_grid import fine_axes
from adiabat.formats.generated import FROZEN, RECIPE, SAMPLE, Recipe, attributes_of, coarse_name, stored_name
from adiabat.formats.lazy_array import FormedBackendArray

if TYPE_CHECKING:
    from adiabat.formats.downscaling import Downscaling

__all__ = ["GeneratedArray", "with_generated"]

BLOCK_VALUES = 1 << 18  # of a block of several frames: a minute of work or less
HELD = 2  # frames, of each of which some tiles are kept
NEAR = 256  # fine cells: rows or columns further apart than this are generated apart

Index = NDArray[np.int64]
Frame = tuple[int, ...]  # where it lies along the axes before rows and columns
Region = tuple[slice, slice]
Form = Callable[[Region], NDArray[Any]]


@dataclass(eq=False)
class GeneratedArray:
    """A generated variable: (sample, ..., row, column), without `sample` unless it is an ensemble.

    Parameters
    ----------
    stored : xarray.Variable
        The stored array, decoded and lazy.
    recipe : Recipe
    """

    stored: xr.Variable
    recipe: Recipe
    _held: dict[Frame, Downscaling] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> tuple[xr.Variable, Recipe]:
        return self.stored, self.recipe

    def __setstate__(self, state: tuple[xr.Variable, Recipe]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def is_ensemble(self) -> bool:
        """Whether the first dimension is of samples."""
        return self.recipe.kind == "samples"

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return (*((SAMPLE,) if self.is_ensemble else ()), *map(str, self.stored.dims))

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""
        members = (self.recipe.samples,) if self.is_ensemble else ()
        return (*members, *self.stored.shape[:-2], *self.recipe.fine_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values; with texture that of the stored array, in which the bound holds."""
        return self.stored.dtype if self.recipe.kind == "texture" else np.dtype(np.float32)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pieces worth generating at once: frames, or parts of large ones; of small ones several, of one member."""
        whole = xr.DataArray(np.broadcast_to(np.int8(0), self.shape), dims=self.dims)
        return choose_chunks(whole, {SAMPLE: 1} if self.is_ensemble else {}, most=BLOCK_VALUES)

    def outer(self, indices: Sequence[Index], tick: Callable[[int], None] | None = None) -> NDArray[Any]:
        """Values at independent indices along each axis.

        Parameters
        ----------
        indices : sequence of NDArray[np.int64]
            One for each axis.
        tick : callable, optional
            Called with the number of values after each frame; may raise to stop.
        """
        found = np.empty([len(index) for index in indices], self.dtype)
        if not found.size:
            return found
        *before, rows, columns = indices
        members, lead = (before[0], before[1:]) if self.is_ensemble else (np.zeros(1, np.int64), before)
        found_frames = found.reshape(len(members), -1, len(rows), len(columns))
        for number, (frame, made) in enumerate(self._frames(lead)):
            for values, form in zip(found_frames[:, number], self._forms(made, frame, members), strict=True):
                _fill(values, form, rows, columns)
                if tick is not None:
                    tick(values.size)
        return found

    def points(self, indices: Sequence[Index]) -> NDArray[Any]:
        """Values at points: one flat array of indices for each axis."""
        found = np.empty(len(indices[-1]), self.dtype)
        tiles = [*indices[:-2], *(index // NEAR for index in indices[-2:])]
        _, groups = np.unique(np.stack(tiles), axis=1, return_inverse=True)
        order = np.argsort(groups.reshape(-1), kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(groups.reshape(-1)[order])) + 1) if len(order) else ():
            rows, columns = (index[group] for index in indices[-2:])
            hull = [np.arange(part.min(), part.max() + 1) for part in (rows, columns)]
            values = self.outer([*(index[group[:1]] for index in indices[:-2]), *hull])
            found[group] = values.reshape(len(hull[0]), len(hull[1]))[rows - rows.min(), columns - columns.min()]
        return found

    def _frames(self, lead: Sequence[Index]) -> Iterator[tuple[Frame, Downscaling]]:
        """Frames, and where they lie along the leading axes; some of the first axis are read at once."""
        if not lead:
            yield (), self._held.get(()) or self._hold((), self.stored.values)
            return
        first, *rest = lead
        at_once = max(1, BLOCK_VALUES // max(1, self.stored[0].size))
        for start in range(0, len(first), at_once):
            part = first[start : start + at_once]
            frames = [tuple(map(int, frame)) for frame in itertools.product(part, *rest)]
            fields = [self._held.get(frame) for frame in frames]
            if None in fields:
                values = self.stored[(part, *rest, slice(None), slice(None))].values
                values = values.reshape(-1, *values.shape[-2:])
                fields = [self._hold(frame, each) for frame, each in zip(frames, values, strict=True)]
            yield from zip(frames, filter(None, fields), strict=True)

    def _hold(self, frame: Frame, values: NDArray[Any]) -> Downscaling:
        """A frame ready to be generated; the last ones are kept, with what was generated of them."""
        from adiabat.codec.downscaler_model import find_downscaler
        from adiabat.formats.downscaling import Downscaling, Settings

        recipe = self.recipe
        settings = Settings(
            recipe.factor,
            recipe.scale,
            seed=recipe.seed,
            steps=recipe.steps,
            wrap=recipe.wrap,
            non_negative=recipe.non_negative,
            persistence=None if recipe.persistence == FROZEN else int(recipe.persistence),
            grain=recipe.grain,
            gains=recipe.gains,
        )
        model = find_downscaler(recipe.model)
        if recipe.bound is None:
            made: Downscaling = Downscaling(np.asarray(values), model=model, settings=settings)
        else:
            from adiabat.formats.perceptual import Texture

            made = Texture(np.asarray(values), model=model, settings=settings, bound=recipe.bound)
        with self._lock:
            while len(self._held) >= HELD:
                self._held.pop(next(iter(self._held)))
            self._held[frame] = made
        return made

    def _forms(self, made: Downscaling, frame: Frame, members: Index) -> Iterator[Form]:
        """How parts of a frame are generated, for each member."""
        time, stack = frame[0] if frame else 0, self._stack(frame)
        if self.recipe.kind == "mean":
            yield made.mean
        else:
            for member in members:
                yield partial(made.sample, member=int(member), time_index=time, stack=stack)

    def _stack(self, frame: Frame) -> int:
        """Which of the fields of one index of the first axis this is."""
        lengths = self.stored.shape[1:-2]
        return int(np.ravel_multi_index(frame[1:], lengths)) if lengths else 0


def _fill(found: NDArray[Any], form: Form, rows: Index, columns: Index) -> None:
    """Put values into a frame, region by region."""
    for down in _runs(rows):
        for across in _runs(columns):
            wanted = rows[down], columns[across]
            low = [int(part.min()) for part in wanted]
            region = tuple(slice(start, int(part.max()) + 1) for start, part in zip(low, wanted, strict=True))
            values = form((region[0], region[1]))
            found[np.ix_(down, across)] = values[np.ix_(wanted[0] - low[0], wanted[1] - low[1])]


def _runs(index: Index) -> list[Index]:
    """Places in an index, in groups of which each is far from the next."""
    order = np.argsort(index, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(index[order]) > NEAR) + 1)


def with_generated(dataset: xr.Dataset, stored: Mapping[str, xr.Variable], recipes: Mapping[str, Recipe]) -> xr.Dataset:
    """A dataset with generated variables under the names of stored ones, and these as NAME_coarse on grids of theirs.

    Parameters
    ----------
    dataset : xarray.Dataset
        As it is stored.
    stored : mapping of str to xarray.Variable
        The arrays, decoded and lazy.
    recipes : mapping of str to Recipe
        By names of arrays.
    """
    grids: dict[Any, int] = {}
    for name, recipe in recipes.items():
        side = 1 if recipe.kind == "texture" else recipe.factor
        grids |= dict.fromkeys(stored[name].dims[-2:], side)
    fine = {dim: axis for dim, side in grids.items() if side > 1 for axis in _axis(dataset, dim, side)}
    new = {name: stored_name(name, recipe) for name, recipe in recipes.items()}
    new |= {dim: coarse_name(dim) for dim, side in grids.items() if side > 1}
    for name in recipes:
        dataset[name].attrs.pop(RECIPE, None)
    encoding = dataset.encoding
    coarse = dataset.rename({old: name for old, name in new.items() if old in dataset.variables or old in dataset.dims})
    made = {name: _variable(name, GeneratedArray(stored[name], recipe)) for name, recipe in recipes.items()}
    out = coarse.assign(made).assign_coords(fine)
    members = [recipe.samples for recipe in recipes.values() if recipe.kind == "samples"]
    if members:
        out = out.assign_coords({SAMPLE: np.arange(members[0])})
    out.encoding = encoding
    return out


def _axis(dataset: xr.Dataset, dim: Any, factor: int) -> list[xr.Variable]:
    return list(fine_axes(dataset, (dim, dim), factor).values())


def _variable(name: str, array: GeneratedArray) -> xr.Variable:
    lazy = indexing.LazilyIndexedArray(FormedBackendArray(array))
    chunks = dict(zip(array.dims, array.chunks, strict=True))
    attributes = attributes_of(name, array.stored.attrs, array.recipe)
    return xr.Variable(array.dims, lazy, attributes, {"preferred_chunks": chunks}, fastpath=True)
