"""Which words stand for a vector: those of least distortion plus rate, as the tables cost them now.

Stage of `vq`, encoder only: vq_transform -> **vq_choice** -> vq_prior. A decoder needs nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.vq_contexts import CONTEXTS, ESCAPE, STAGES, UNIT, Classes, Integers, Place, Prior, walk
from adiabat.codec.vq_prior import Group, after_escape, below, letters_of

__all__ = ["LMBDA", "choose", "write_details"]

LMBDA = 0.1  # of distortion in squared steps that a bit is worth
STILL = 0.16  # squared norm, in steps, below which zero is taken without a search
REACH = 3.0  # norm from which coarser codebooks are tried
BLOCK = 1 << 13

Floats = NDArray[np.float32]


def choose(prior: Prior, place: Place, vectors: Floats, lmbda: float) -> NDArray[np.int16]:
    """Indices (STAGES, vectors) of the words that stand for vectors (vectors, 3), in steps."""
    words = np.full((STAGES, len(vectors)), -1, np.int16)
    words[0] = 0
    norm = np.einsum("ij,ij->i", vectors, vectors)
    books = prior.codebooks.astype(np.float32) / np.float32(UNIT)
    busy = np.flatnonzero(norm > STILL)
    for start in range(0, len(busy), BLOCK):
        at = busy[start : start + BLOCK]
        bits = lmbda * prior.code_lengths[place.kind * CONTEXTS + place.contexts[at]]
        cost = distances(vectors[at], books[0])
        cost += bits[:, :ESCAPE]
        best = cost.argmin(1)
        words[0, at] = best
        far = np.flatnonzero(norm[at] > REACH**2)
        if far.size:
            deeper, deep_cost = _deeper(prior, books, vectors[at[far]], lmbda)
            wins = deep_cost + bits[far, ESCAPE] < cost[far, best[far]] + norm[at[far]]
            words[:, at[far[wins]]] = deeper[:, wins]
    return words


def distances(vectors: Floats, book: Floats) -> Floats:
    """Squared distances (vectors, words), less the vectors' own norms."""
    return np.asarray((book * book).sum(1) - 2 * (vectors @ book.T))


def _deeper(prior: Prior, books: Floats, vectors: Floats, lmbda: float) -> tuple[NDArray[np.int16], Floats]:
    """The best words with one of a coarser codebook, and their distortion plus rate but for the first escape."""
    lengths = lmbda * prior.code_lengths
    best = np.full((STAGES, len(vectors)), -1, np.int16)
    least = np.full(len(vectors), np.inf, np.float32)
    escapes = 0.0
    for top in range(1, STAGES):
        rest, words = vectors, np.full((STAGES, len(vectors)), -1, np.int16)
        cost = np.full(len(vectors), escapes, np.float32)
        for stage in range(top, -1, -1):
            rate = lengths[after_escape(stage) if stage == top else below(stage)]
            index = (distances(rest, books[stage]) + rate[:ESCAPE]).argmin(1)
            words[stage], cost = index, cost + rate[index]
            rest = rest - books[stage, index]
        cost += np.einsum("ij,ij->i", rest, rest)
        wins = cost < least
        best[:, wins], least[wins] = words[:, wins], cost[wins]
        escapes += float(lengths[after_escape(top), ESCAPE])
    return best, least


def write_details(
    prior: Prior,
    details: Sequence[Floats],
    bend: Classes,
    *,
    wrap: bool,
    lmbda: float = LMBDA,
    seen: Callable[[Place, Floats, NDArray[np.int16]], None] = lambda place, vectors, words: None,
) -> tuple[list[Group], list[NDArray[np.int32]]]:
    """Letters of the bands of levels 1, 2, ... in coding order, and what a decoder makes of them.

    Parameters
    ----------
    details : sequence of NDArray[np.float32], shape (frames, 3, rows, columns)
        In steps.
    bend : NDArray[np.int16]
        Classes of the coarsest LL as it is decoded.
    lmbda : float
        0 takes the nearest words.
    seen : function of Place, vectors (vectors, 3) and words (STAGES, vectors), optional
        Told of each pass, for those who learn from it.
    """
    groups: list[Group] = []
    books = prior.codebooks.astype(np.int64)

    def visit(place: Place) -> Integers:
        row, column = place.parity
        bands = details[place.level - 1][:, :, row::2, column::2]
        vectors = np.ascontiguousarray(bands.transpose(0, 2, 3, 1)).reshape(-1, 3)
        words = choose(prior, place, vectors, lmbda)
        seen(place, vectors, words)
        groups.extend(letters_of(place, words))
        return np.asarray(sum(np.where(words[s, :, None] >= 0, books[s, words[s]], 0) for s in range(STAGES)))

    return groups, walk(prior, bend, [each.shape[2:] for each in details], visit, wrap=wrap)
