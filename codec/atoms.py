"""Values that many pixels of a chunk share exactly: no rain, no cloud, all cloud, no sun.

Stage of `pyramid`, encoder only: mask -> **atoms** -> domain. Prediction spends bytes on saying that such a value is
met again; where the bound is tight, a plane of the mask says it for less. Which of the two it is, is tried. No other
pixel is decoded to an atom, so that encoding the decoded field again finds the same ones. Spec: `spec/mask.md`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.domain import TARGET_LIMIT, AbsDomain, Domain, LatticeDomain

if TYPE_CHECKING:
    from adiabat.codec.paths import Chunk

__all__ = ["between_atoms", "find_atoms", "without_atoms"]

MANY = 1 / 16  # of the ordinary pixels
MOST = 2  # such as a clear and an overcast sky
SAMPLE = 1 << 16  # values in which atoms are looked for
STEPS = 127  # 255 integers to a step, where a domain without a phase has 256


def find_atoms(values: NDArray[np.floating]) -> tuple[float, ...]:
    """The values that at least a sixteenth of all have, at most two of them.

    Examples
    --------
    >>> find_atoms(np.array([0.0, 0.0, 3.5, 0.0, 1.25]))
    (0.0,)
    """
    found, counts = np.unique(values[:: values.size // SAMPLE + 1], return_counts=True)
    candidates = found[np.argsort(-counts, kind="stable")[:MOST]]
    many = [float(value) for value in candidates if np.count_nonzero(values == value) > max(1, MANY * values.size)]
    return tuple(sorted(many))


def without_atoms(chunk: Chunk) -> Chunk | None:
    """The chunk with its atoms among the special pixels; None where it has none.

    Limits of decoded values that are atoms are drawn in by less than a step; None too where nothing is left between.
    """
    atoms = find_atoms(chunk.ordinary)
    if not atoms:
        return None
    rest = replace(chunk, atoms=atoms)
    lowest, highest = chunk.valid_range
    if isinstance(rest.domain, LatticeDomain):
        lowest = lowest if lowest not in atoms else _next(rest.domain, lowest, 1, chunk.field.dtype)
        highest = highest if highest not in atoms else _next(rest.domain, highest, 0, chunk.field.dtype)
    ends = [end for end in (lowest, highest) if end is not None]
    if not np.isfinite(ends).all() or ends != sorted(ends):
        return None
    return replace(rest, valid_range=(lowest, highest))


def between_atoms(domain: Domain, atoms: tuple[float, ...], values: NDArray[np.floating]) -> Domain:
    """A domain of the same step whose values are as far as can be from all atoms, where one can hold the values.

    Examples
    --------
    >>> between_atoms(AbsDomain(255 / 256), (0.0, 10.25), np.array([40.0]))
    LatticeDomain(spacing=1.0, phase=0.625, steps=127)
    """
    if not isinstance(domain, AbsDomain):
        return domain
    largest = float(np.abs(values).max(initial=0))
    spacing = domain.unit / (2 * STEPS + 1) * domain.step  # in this order nothing overflows
    if largest / domain.unit > TARGET_LIMIT / (2 * LatticeDomain.snap) or largest + spacing > sys.float_info.max:
        return domain
    places = np.sort(np.mod(atoms, spacing))
    gaps = np.diff(places, append=places[0] + spacing)
    widest = int(gaps.argmax())
    return LatticeDomain(spacing, float(np.mod(places[widest] + gaps[widest] / 2, spacing)), STEPS)


def _next(domain: LatticeDomain, limit: float, above: int, dtype: np.dtype[np.floating]) -> float:
    """The nearest of the domain's values above a limit, or below it."""
    whole = np.floor((limit - domain.phase) / domain.spacing) + above
    with np.errstate(over="ignore"):
        return float(np.float64(whole * domain.spacing + domain.phase).astype(dtype))
