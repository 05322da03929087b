"""Training samples as the codec itself makes them: encode a view, keep some of what each network saw.

Second of five: data -> **samples** -> pyramid (network and loss) -> train -> export. No second copy of the features:
the encoder's own walk runs in closed loop, on decoded values and with integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.coarse_to_fine import walk
from adiabat.codec.models import NETS, Model, net_number
from adiabat.codec.octets import write_varint
from adiabat.codec.order import Order
from adiabat.codec.prediction import Arithmetic, Prediction
from adiabat.codec.regression import static_gains
from adiabat.codec.statics import scale
from adiabat.codec.volume import TAPER, Frames, prepare
from adiabat.training.data import View
from adiabat.training.rounds import Sample

LOSSLESS_SHARE = 0.125  # of the views: coded without loss on a lattice
OF_CHANGE = 0.5  # of the sequences: bounds are drawn by the change from frame to frame, not by the values
CHANGE_BOUNDS = (-2.0, 0.3)  # log10 of the bound over its standard deviation
TAPERED = 0.2  # of the other views: as for tune="rmse"
LOSSLESS_SPACINGS = (-5.0, -2.5)  # log10 of half its spacing over the standard deviation


@dataclass
class Recorder:
    """The encoder's `code` for one view: quantises, notes contexts and symbols, keeps samples of each pass."""

    target: NDArray[np.float64]  # (frames, y, x)
    valid: NDArray[np.bool_]
    keep: int  # samples of a pass
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.samples: list[tuple[str, Sample]] = []
        self.coded: list[tuple[NDArray[np.uint16], NDArray[np.int64]]] = []

    def __call__(self, prediction: Prediction) -> Callable[[slice], NDArray[np.int64]]:
        """Code a pass as the encoder does, and keep samples once it is complete."""
        target, valid = prediction.targets(self.target), prediction.targets(self.valid)

        def band(part: slice) -> NDArray[np.int64]:
            residual = (target[part] - prediction.mean[part]) / prediction.arithmetic.step
            symbol = np.where(valid[part], np.rint(residual), 0).astype(np.int64)
            self.coded.append((prediction.context[part][valid[part]], symbol[valid[part]]))
            if part.stop == prediction.count:
                self._keep(prediction, target, np.flatnonzero(valid))
            return symbol

        return band

    def _keep(self, prediction: Prediction, target: NDArray[np.float64], where: NDArray[np.int64]) -> None:
        kept = prediction.kept
        if kept is None or not where.size or not self.keep:
            return
        at = np.sort(self.rng.choice(where, min(self.keep, where.size), replace=False))
        scale, (differences, centre) = kept.scale[at], _differences(prediction, at)
        sample = {
            "inputs": kept.inputs[at],
            "differences": np.clip(differences / scale[:, None], -60, 60).astype(np.float16),
            "target": ((target[at] - prediction.known(at) - centre) / scale).astype(np.float32),
            "ratio": (scale / prediction.arithmetic.step).astype(np.float32),
            "octave": kept.octave[at].astype(np.float32),
            "weight": np.full(len(at), where.size / len(at), np.float32),
        }
        number = net_number(prediction.number, prediction.level.spacing, side=prediction.level.view is not None)
        self.samples.append((NETS[number], sample))

    @property
    def values(self) -> int:
        """Number of coded pixels."""
        return int(self.valid.sum())

    def bits(self, frequencies: NDArray[np.uint32]) -> float:
        """Length of the view under these tables, with raw bits and escapes."""
        length = entropy.PRECISION - np.log2(frequencies)
        total = 0.0
        for contexts, symbols in self.coded:
            table, letter, raw, escapes = letters(contexts, symbols)
            total += float(length[table, letter].sum() + raw.sum()) + 8 * sum(len(write_varint(e)) for e in escapes)
        return total


def letters(contexts: NDArray[np.uint16], symbols: NDArray[np.int64]) -> tuple[Any, Any, Any, list[int]]:
    """Table, letter and number of raw bits of each symbol; and the magnitudes of those that escape."""
    raw = entropy.RAW_BITS[contexts]
    high = (symbols + ((1 << raw) >> 1)) >> raw
    letter, outside = entropy.to_letters(high)
    return entropy.TABLE_OF[contexts], letter, raw, np.abs(high[outside]).tolist()


def _differences(prediction: Prediction, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stencil values less centre and slope, at full precision, and the centre: as `stencil.gather` forms them."""
    table, values = prediction.rule.table, prediction.level.values
    row, j = at // prediction.width, at % prediction.width
    f, i = row // prediction.height, row % prediction.height
    d = np.stack([values[p, f, i + r + lattice.PAD, j + c + lattice.PAD] for p, r, c in table[:, :3]], 1)
    centre = d[:, : lattice.NEAR].sum(1) >> 2
    d = d - centre[:, None]
    slopes = [((d * offset).sum(1) * (65536 // int((offset**2).sum()))) >> 16 for offset in table[:, 3:].T]
    for slope, offset in zip(slopes, table[:, 3:].T, strict=True):
        d = d - slope[:, None] * offset
    return d, centre


def record(
    model: Model, view: View, *, bounds: tuple[float, float], keep: int, rng: np.random.Generator
) -> list[Recorder]:
    """Encode one view at a random bound and keep samples; a recorder for each group of frames.

    bounds: of log10(bound / standard deviation).
    """
    values = view.frames.astype(np.float64)
    valid = np.isfinite(values)
    lossless = rng.random() < LOSSLESS_SHARE
    bound = (float(values[valid].std()) or 1.0) * 10 ** rng.uniform(*(LOSSLESS_SPACINGS if lossless else bounds))
    change = np.diff(values, axis=0)
    if view.reach and not lossless and np.isfinite(change).any() and rng.random() < OF_CHANGE:
        bound = (float(np.nanstd(change)) or bound) * 10 ** rng.uniform(*CHANGE_BOUNDS)
    step, snap = (64, 64) if lossless else (256, 1)
    target = np.where(valid, values, 0) / (2 * bound) * step
    target = np.clip(np.rint(target / snap) * snap if lossless else target, -lattice.LIMIT / 2, lattice.LIMIT / 2)
    statics = (
        None
        if view.static is None
        else scale(view.static[None], static_gains(target, valid, view.static[None].astype(np.float64)))
    )
    taper = TAPER if not lossless and rng.random() < TAPERED else ()
    arithmetic = Arithmetic(step, snap, model, keep=True, taper=taper)
    frames, out = Frames.none(target.shape, statics), []
    order = Order.along((len(target),), 0, view.reach) if view.reach else Order.along((len(target),), None)
    groups = order.groups(target[0].size)
    for group in groups:
        recorder = Recorder(target[group.frames], valid[group.frames], keep // len(groups), rng)
        part = recorder.target
        side, _, first = prepare(part, recorder.valid, frames, group, arithmetic)
        frames.put(group, *walk(part.shape, first, recorder, arithmetic, wrap=False, side=side))
        out.append(recorder)
    return out
