"""Letters and words: what is written is read, what is none is refused, and the library's failures are ours."""

from __future__ import annotations

import struct
from unittest import mock

import numpy as np
import pytest

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.words import Words, categorical, write_words

FREQUENCIES = np.array([1, (1 << 23) - 1, 1 << 22, 1 << 22], np.uint32)


def test_groups_are_read_in_the_order_of_writing():
    one, other = categorical(FREQUENCIES), categorical(FREQUENCIES[::-1])
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 4, size).astype(np.int32) for size in (300, 70))
    words = Words(write_words([(first, one), (second, other)]))
    np.testing.assert_array_equal(words.decode(one, 300), first)
    assert not words.is_empty()
    np.testing.assert_array_equal(words.decode(other, 70), second)
    assert words.is_empty()


def test_no_letters_are_no_words():
    assert write_words([]) == b""
    assert Words(b"").is_empty()


@pytest.mark.parametrize("data", [b"\1", b"\1\2\3", bytes(4), struct.pack("<2I", 7, 0)])
def test_bytes_that_are_no_words(data):
    with pytest.raises(CorruptStreamError, match="expected 32-bit words with a last one above zero"):
        Words(data)


class PanicException(BaseException):
    """As Rust's panics reach Python: no Exception."""


@pytest.mark.parametrize("error", [PanicException("index out of bounds"), ValueError("bad"), MemoryError()])
def test_failures_of_the_coder_are_ours(error):
    words = Words(struct.pack("<I", 9))
    words._ans = mock.Mock(decode=mock.Mock(side_effect=error))
    with pytest.raises(CorruptStreamError, match="expected words of 3 more letters"):
        words.decode(None, 3)


def test_an_interrupt_in_the_coder_stays_one():
    words = Words(struct.pack("<I", 9))
    words._ans = mock.Mock(decode=mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        words.decode(None, 3)
