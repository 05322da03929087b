"""Letters under frequency tables <-> 32-bit words; the only importer of constriction.

Part of `entropy`, `histogram` and `vq_prior`. Spec: spec/entropy.md, "Words".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError

__all__ = ["PRECISION", "Words", "categorical", "write_words"]

PRECISION = 24  # frequencies of a table sum to 2**PRECISION


def categorical(frequencies: NDArray[np.unsignedinteger]) -> Any:
    """A constriction model with exactly these integer frequencies, which sum to 2**PRECISION."""
    import constriction

    # constriction gives every letter one of 2**24 shares before it divides the rest: k - 1 reproduces k exactly
    return constriction.stream.model.Categorical(frequencies.astype(np.float64) - 1.0, perfect=False, lazy=False)


def write_words(groups: Sequence[tuple[NDArray[np.int32], Any]]) -> bytes:
    """Words of letters, each group under its model, in the order in which they will be decoded."""
    import constriction

    ans = constriction.stream.stack.AnsCoder()
    for letters, model in reversed(groups):
        ans.encode_reverse(letters, model)
    return np.asarray(ans.get_compressed()).astype("<u4").tobytes()


class Words:
    """A decoder of such words.

    Parameters
    ----------
    words : bytes

    Raises
    ------
    CorruptStreamError
        Where they are none; from `decode` too.

    Examples
    --------
    >>> model = categorical(np.array([1 << 23, 1 << 23], np.uint32))
    >>> Words(write_words([(np.array([0, 1, 1], np.int32), model)])).decode(model, 3).tolist()
    [0, 1, 1]
    """

    def __init__(self, words: bytes) -> None:
        import constriction

        array = np.frombuffer(words, "<u4").astype(np.uint32) if len(words) % 4 == 0 else None
        if array is None or (array.size and array[-1] == 0):
            raise CorruptStreamError(f"expected 32-bit words with a last one above zero, got {len(words)} bytes")
        self._ans = constriction.stream.stack.AnsCoder(array)

    def decode(self, model: Any, count: int) -> NDArray[np.int32]:
        """The next letters, all under one model."""
        try:
            letters: NDArray[np.int32] = self._ans.decode(model, count)
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise CorruptStreamError(f"expected words of {count} more letters: {error}") from error
            raise
        return letters

    def is_empty(self) -> bool:
        """Whether every word was used."""
        return bool(self._ans.is_empty())
