"""The ways to code one chunk that may pay, and the smallest of them.

Stage of `pyramid`, encoder only: neural | classical | spectral | constant | raw -> **candidates** -> stream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from adiabat.codec.atoms import without_atoms
from adiabat.codec.paths import HOPE, Chunk
from adiabat.codec.stream import ELEMENTS_PER_BYTE, Stream, element_count

if TYPE_CHECKING:
    from adiabat.codec.models import Model

__all__ = ["smallest"]

SAMPLE = 1 << 19  # values from which it is judged how else a chunk could be coded
SMALL = 1 << 17  # values of a chunk that is coded with its static fields and without

# A lossy path that happens to be exact counts for less than it weighs: the data were decoded from it,
# most likely, and encoding them again must not change path, and so values.
EXACT_FACTOR, EXACT_BYTES = 0.75, 64

Candidate = tuple[bytes, bool]  # a stream, and whether it keeps every bit


def smallest(chunk: Chunk, model: str | None = None) -> bytes:
    """Try the paths that may pay and keep the smallest, with a favour for data decoded before.

    Parameters
    ----------
    chunk : Chunk
    model : str, optional
        Id, hash or path of the model to predict with; the shipped one if None.

    Returns
    -------
    bytes
        A stream.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    from adiabat.codec.models import find_model

    constant = chunk.constant()
    if constant is not None and chunk.is_constant:
        return constant.write()
    found = find_model(model)
    tries = _written(constant) + _written(chunk.spectral())
    if tries and chunk.channels is not None and _sampled(chunk, found) > min(len(data) for data, _ in tries):
        return min(tries, key=lambda item: len(item[0]))[0]
    tries += _written(chunk.neural(found))
    if chunk.statics and chunk.field.size <= SMALL:  # naming them may cost more than they save
        tries += _written(replace(chunk, statics=()).neural(found))
    tries += _written(chunk.classical(_best(tries)))
    tries += _without_atoms(chunk, found, tries)
    tries += _written(chunk.raw(_best(tries)))
    return min(tries, key=lambda item: _cost(*item))[0]


def _sampled(chunk: Chunk, model: Model) -> float:
    """Bytes that prediction from neighbours would take, from a few frames; 0 where these are all."""
    few = chunk.few(SAMPLE)
    size = None if few is None else _best(_written(few.neural(model)))
    return 0.0 if few is None or size is None else size * chunk.field.size / few.field.size


def _without_atoms(chunk: Chunk, model: Model, tries: list[Candidate]) -> list[Candidate]:
    """The paths with values that many pixels share kept by the mask, where a sample says that this may pay."""
    rest = without_atoms(chunk) if chunk.channels is None else None
    if rest is None:
        return []
    if rest.is_constant:
        return _written(rest.constant())
    if _sampled(rest, model) > HOPE * _sampled(chunk, model):
        return []
    found = _written(rest.neural(model))
    return found + _written(rest.classical(_best(tries + found)))


def _written(stream: Stream | tuple[Stream, bool] | None) -> list[Candidate]:
    """Bytes of a candidate and whether it keeps every bit; nothing where readers would refuse it."""
    if stream is None:
        return []
    made, exact = stream if isinstance(stream, tuple) else (stream, False)
    data = made.write()
    predicted = made.path in ("classical", "neural", "spectral")
    if predicted and element_count(made.shape) > ELEMENTS_PER_BYTE * len(data):
        return []
    return [(data, exact)]


def _best(tries: list[Candidate]) -> int | None:
    """Bytes of the smallest."""
    return min((len(data) for data, _ in tries), default=None)


def _cost(data: bytes, favoured: bool) -> float:
    return EXACT_FACTOR * len(data) - EXACT_BYTES if favoured else len(data)
