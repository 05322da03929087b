"""Views for Hyperprior's entropy networks, and training samples as its own encoder makes them.

Second of five: data -> **subband_samples** -> pyramid (network and loss) -> rounds (subband_train) -> export. Whole
frames count more here than windows of them: what is to be learned is how scale levels follow from coarser ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy
from adiabat.codec.frames import find_wrap
from adiabat.codec.hyperprior_model import NETS, HyperpriorModel, net_number
from adiabat.codec.octets import write_varint
from adiabat.codec.subband_coder import Analysis, Floats, Integers, encode
from adiabat.codec.subband_walk import Pass
from adiabat.training.data import Fields, views
from adiabat.training.rounds import Sample
from adiabat.training.samples import letters

WHOLE = 0.6  # of the views: whole frames of large grids, turned, rolled and thinned
LARGE = 200_000  # pixels of a frame of a large grid
THINNED = 0.35  # of the whole frames: every second or third pixel
FRAMES = 6  # of other views, at most
X_FIRST = {True: 0.75, False: 0.3}  # how often the first level halves x alone, on grids that wrap and others


REUSE = 16  # views from each chunk of a store: reading one costs more than encoding a frame
FROM_STORES = 0.7  # of the views, where there are stores


class Store:
    """A Zarr store of ARCO-ERA5's shape, (time, level, latitude, longitude): frames of one chunk at a time.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If it holds no float variable of three axes or more.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        group = zarr.open_group(path, mode="r")
        arrays = sorted(group.arrays())
        self.arrays: dict[str, Any] = {n: array for n, array in arrays if array.dtype.kind == "f" and array.ndim >= 3}
        if not self.arrays:
            raise ValueError(f"expected float variables of 3 axes or more in {path}, found none")

    def frames(self, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """Endless frames (y, x)."""
        names = list(self.arrays)
        while True:
            array = self.arrays[names[rng.integers(len(names))]]
            chunk = np.asarray(array[int(rng.integers(array.shape[0]))], np.float32)
            chunk = chunk.reshape(-1, *chunk.shape[-2:])
            for _ in range(min(REUSE, 2 * len(chunk))):
                yield chunk[rng.integers(len(chunk))]


class SubbandView(NamedTuple):
    """Frames to encode and how: (frames, y, x), less their mean."""

    analysis: Analysis
    spread: float  # standard deviation


def subband_views(
    fields: Sequence[Fields], rng: np.random.Generator, *, stores: Sequence[Store] = ()
) -> Iterator[SubbandView]:
    """Endless random views without holes, of files in memory and of stores, chunk by chunk."""
    large = [each for each in fields if np.prod(each.grid) >= LARGE and np.isfinite(each.values[0, 0]).all()]
    others, streams = views(fields, rng), [store.frames(rng) for store in stores]
    while True:
        if streams and (not fields or rng.random() < FROM_STORES):
            frames = _vary(next(streams[rng.integers(len(streams))]), rng)
        elif large and rng.random() < WHOLE:
            field = large[rng.integers(len(large))].values
            frames = _vary(field[rng.integers(field.shape[0]), rng.integers(field.shape[1])], rng)
        else:
            frames = next(others).frames[:FRAMES]
        if min(frames.shape[1:]) < 24 or not np.isfinite(frames).all():
            continue
        values = frames.astype(np.float64)
        values -= values.mean()
        spread = float(values.std())
        if not 1e-30 < spread < 1e30:
            continue
        wrap = find_wrap(values, None, 0.1 * spread)
        yield SubbandView(Analysis(values, wrap, bool(rng.random() < X_FIRST[wrap])), spread)


def _vary(frame: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A frame (y, x) as (1, y, x): mirrored, negated, begun at another longitude, thinned, at random."""
    for axis in (0, 1):
        if rng.random() < 0.5:
            frame = np.flip(frame, axis)
    if find_wrap(frame[None].astype(np.float64), None, 0.0):
        frame = np.roll(frame, int(rng.integers(frame.shape[1])), 1)
    if rng.random() < THINNED:
        by = int(rng.choice([2, 3]))
        frame = frame[int(rng.integers(by)) :: by, int(rng.integers(by)) :: by]
    return (-frame if rng.random() < 0.5 else frame)[None]


@dataclass
class SubbandRecorder:
    """Watches the encoder on one view: keeps samples of each pass, and all contexts and symbols."""

    keep: int
    rng: np.random.Generator
    samples: list[tuple[str, Sample]] = field(default_factory=list)
    coded: list[tuple[NDArray[np.uint16], Integers, Floats]] = field(default_factory=list)

    def __call__(self, part: Pass, target: Floats, symbols: Integers) -> None:
        """Take one pass."""
        self.coded.append((part.context, symbols, (target - part.mean) / part.step))
        if part.inputs is None or part.scale is None or part.octave is None:
            raise ValueError("expected a walk that keeps what the networks see, got one that does not")
        count = min(self.keep, target.size)
        at = np.sort(self.rng.choice(target.size, count, replace=False))
        scale = part.scale[at]
        sample: Sample = {
            "inputs": part.inputs[at],
            "differences": np.zeros((count, 0), np.float16),
            "target": (target[at] / scale).astype(np.float32),
            "ratio": (scale / part.step).astype(np.float32),
            "octave": part.octave[at].astype(np.float32),
            "weight": np.full(count, target.size / count, np.float32),
        }
        self.samples.append((NETS[net_number(part.number, part.depth)], sample))

    def bits(self, frequencies: NDArray[np.uint32]) -> float:
        """Length of the view under these tables, with raw bits and escapes."""
        length, total = entropy.PRECISION - np.log2(frequencies), 0.0
        for contexts, symbols, _ in self.coded:
            table, letter, raw, escapes = letters(contexts, symbols)
            total += float(length[table, letter].sum() + raw.sum()) + 8 * sum(len(write_varint(e)) for e in escapes)
        return total

    def residues(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far symbols of magnitude 1, and of 2 and more, lie above their residuals: sums and counts by context."""
        total, count = np.zeros((2, entropy.CONTEXT_COUNT, 2))
        for contexts, symbols, residual in self.coded:
            size = np.abs(symbols)
            for column, chosen in enumerate((size == 1, size > 1)):
                np.add.at(total[:, column], contexts[chosen], size[chosen] - np.abs(residual[chosen]))
                np.add.at(count[:, column], contexts[chosen], 1.0)
        return total, count


def record_subbands(
    model: HyperpriorModel, view: SubbandView, *, steps: tuple[float, float], lmbda: tuple[float, float],
    keep: int, rng: np.random.Generator,
) -> SubbandRecorder:  # fmt: skip
    """Encode one view at a random step and keep samples.

    steps: of log10(step / standard deviation); lmbda: of the quantiser's.
    """
    recorder = SubbandRecorder(keep, rng)
    delta = view.spread * 10 ** rng.uniform(*steps)
    encode(view.analysis, delta, model, lmbda=rng.uniform(*lmbda), observe=recorder)
    return recorder
