"""Indices of code words <-> 32-bit words, under tables chosen by what is decoded already; integers only.

Stage of `vq`: vq_contexts -> **vq_prior** -> stream. Spec: spec/vq.md, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.vq_contexts import (
    CONTEXTS,
    ESCAPE,
    FIRST,
    STAGES,
    WORDS,
    Classes,
    Integers,
    Place,
    Prior,
    walk,
)
from adiabat.codec.words import Words, write_words

__all__ = ["after_escape", "below", "letters_of", "read_indices", "write_groups"]


def runs(place: Place) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """The tables of a pass in order, and which of its vectors each codes."""
    order = np.argsort(place.contexts, kind="stable")
    ends = np.cumsum(np.bincount(place.contexts, minlength=CONTEXTS))
    for context, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if start < end:
            yield place.kind * CONTEXTS + context, order[start:end]


def after_escape(stage: int) -> int:
    """Table of a letter that follows an escape, of stage 1 and up."""
    return FIRST + stage - 1


def below(stage: int) -> int:
    """Table of a word under one of a coarser stage."""
    return FIRST + STAGES - 1 + stage


Group = tuple[int, NDArray[np.int32]]  # table, letters


def letters_of(place: Place, words: NDArray[np.int16]) -> list[Group]:
    """Letters of a pass in coding order.

    Parameters
    ----------
    words : NDArray[np.int16], shape (STAGES, vectors)
        Indices; -1 from the first stage on that a vector does without.
    """
    groups = []
    for table, which in runs(place):
        mine = words[:, which]
        groups.append((table, np.where(mine[1] >= 0, ESCAPE, mine[0]).astype(np.int32)))
    rest = words[:, words[1] >= 0]
    for stage in range(1, STAGES):
        if not rest.shape[1]:
            break
        more = rest[stage + 1] >= 0 if stage + 1 < STAGES else np.zeros(rest.shape[1], bool)
        groups.append((after_escape(stage), np.where(more, ESCAPE, rest[stage]).astype(np.int32)))
        done = rest[:, ~more]
        groups += [(below(lower), done[lower].astype(np.int32)) for lower in range(stage) if done.shape[1]]
        rest = rest[:, more]
    return groups


def write_groups(prior: Prior, groups: Sequence[Group]) -> bytes:
    """All letters as words of the coder, little-endian."""
    return write_words([(letters, prior.model(table)) for table, letters in groups])


def read_indices(
    prior: Prior, data: bytes, bend: Classes, shapes: Sequence[tuple[int, int]], *, wrap: bool
) -> list[NDArray[np.int32]]:
    """Decode the vectors of levels 1, 2, ..., in units of 1 / 64 of a step; CorruptStreamError where it cannot be."""
    words = Words(data)
    books = prior.codebooks.astype(np.int32)

    def take(table: int, count: int) -> NDArray[np.int32]:
        return words.decode(prior.model(table), count)

    def word(table: int, stage: int, count: int) -> NDArray[np.int32]:
        letters = take(table, count)
        if (letters == ESCAPE).any():
            raise CorruptStreamError("expected words, got an escape where none may be")
        return np.asarray(books[stage, letters])

    def visit(place: Place) -> Integers:
        vectors = np.empty((len(place.contexts), 3), np.int32)
        escaped = np.zeros(len(place.contexts), bool)
        for table, which in runs(place):
            letters = take(table, len(which))
            escaped[which] = letters == ESCAPE
            vectors[which] = books[0, np.minimum(letters, WORDS - 1)]
        rest, stage = np.flatnonzero(escaped), 1
        while rest.size:
            letters = take(after_escape(stage), len(rest))
            more = letters == ESCAPE
            if stage == STAGES - 1 and more.any():
                raise CorruptStreamError("expected no escape to a codebook that is not there")
            done = rest[~more]
            vectors[done] = books[stage, letters[~more]]
            for lower in range(stage) if done.size else ():
                vectors[done] += word(below(lower), lower, len(done))
            rest, stage = rest[more], stage + 1
        return vectors.astype(np.int64)

    details = walk(prior, bend, shapes, visit, wrap=wrap)
    if not words.is_empty():
        raise CorruptStreamError("expected every coded index to be used, got some left over")
    return details
