"""Integers under frequency tables <-> 32-bit words (`words`), raw bits and escapes.

Stage of `pyramid`: integer_net -> **entropy** -> stream.  Spec: spec/entropy.md.

A residual symbol q comes with a context: a scale index (a quarter octave of spread each) and a shape. Below TABLES
scales each pair has a frequency table of its own; above, the low bits of q are written raw and the table of the same
quarter octave codes the rest. Symbols beyond the table go through its escape. Where a chunk's symbols fit other tables
better than the ones their contexts name, the encoder stores a substitution, for each of two regions: the finest
lattice and the others.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, pack, shuffle, unpack, unshuffle, write_varint
from adiabat.codec.raw_bits import join_raw, raw_bytes, raw_count, split_raw
from adiabat.codec.words import PRECISION as PRECISION
from adiabat.codec.words import Words, categorical, write_words

Integers = NDArray[np.int64]

SCALES = 32  # scale indices with a table of their own, a quarter octave apart; SCALE_ONE means a spread of one step
SCALE_ONE = 20
SCALE_TOP = SCALES + 4 * 44 - 1  # last scale index: 44 raw bits
SHAPES = 3
REACH = 47  # a table codes -REACH .. REACH, then the escape
ALPHABET = 2 * REACH + 2
ESCAPE = ALPHABET - 1
TABLES = SHAPES * SCALES
SUBSTITUTION_LETTERS = 4096  # fewer could not pay for a substitution
SUBSTITUTION_BITS = 24.0  # a substitution that saves less is not made
REGIONS = 2  # 0: all lattices but the finest; 1: the finest
CONTEXT_COUNT = SHAPES * (SCALE_TOP + 1)


# context = scale index * SHAPES + shape; so is the table, of a scale index below SCALES
_CONTEXTS = np.arange(CONTEXT_COUNT)
RAW_BITS: NDArray[np.int64] = np.maximum(0, (_CONTEXTS // SHAPES - (SCALES - 4)) // 4)
TABLE_OF: NDArray[np.int64] = _CONTEXTS - 4 * SHAPES * RAW_BITS
_TABLE_OF = TABLE_OF.tolist()  # for loops in Python
del _CONTEXTS


class Tables:
    """Frequency tables ready for constriction.

    Parameters
    ----------
    frequencies : NDArray[np.uint32], shape (TABLES, ALPHABET)
        Each at least 1; each row sums to 2**PRECISION.

    Raises
    ------
    ValueError
        If they are not.
    """

    def __init__(self, frequencies: NDArray[np.uint32]) -> None:
        if frequencies.shape != (TABLES, ALPHABET):
            raise ValueError(f"frequencies: expected shape {(TABLES, ALPHABET)}, got {frequencies.shape}")
        if (frequencies < 1).any() or (frequencies.sum(1, dtype=np.int64) != 1 << PRECISION).any():
            raise ValueError("frequencies: expected rows of at least 1 each that sum to 2**24")
        self._frequencies = frequencies
        self._models: dict[int, Any] = {}
        self.code_lengths: NDArray[np.float64] = PRECISION - np.log2(frequencies)  # bits of each letter in each table

    def model(self, table: int) -> Any:
        """A constriction model with exactly the integer frequencies of this table."""
        model = self._models.get(table)
        if model is None:
            model = self._models[table] = categorical(self._frequencies[table])
        return model


def to_letters(high: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Letters of symbols without their raw bits, and which of them escape."""
    outside = np.abs(high) > REACH
    return np.where(outside, ESCAPE, high + REACH), outside


@numba.njit(nogil=True, cache=True)
def from_letters(letters, order, symbols):  # type: ignore[no-untyped-def]
    """Put each letter's symbol where the order says; returns how many of the letters are escapes."""
    escapes = 0
    for t in range(letters.size):
        letter = np.int64(letters[t])
        symbols[order[t]] = letter - REACH
        escapes += letter == ESCAPE
    return escapes


@numba.njit(nogil=True, cache=True)
def largest(symbols):  # type: ignore[no-untyped-def]
    """The largest magnitude; 0 of none."""
    size = np.int64(0)
    for symbol in symbols:
        size = max(size, abs(symbol))
    return size


class SymbolWriter:
    """Collects residual symbols pass by pass; `payload` codes them all.

    dense: whether raw bits follow one another without a gap; else those of each pass and context begin a new byte.
    """

    def __init__(self, tables: Tables, *, dense: bool = False) -> None:
        self._tables, self._dense = tables, dense
        self._groups: list[tuple[int, int, NDArray[np.int32]]] = []  # region, table, letters
        self._raw: list[NDArray[np.uint8]] = []  # bytes, or bits where they are dense
        self._escapes: list[Integers] = []

    def write(self, symbols: Integers, starts: Integers, region: int) -> None:
        """Take the symbols of a pass sorted by context; those of context c stand at starts[c] .. starts[c + 1]."""
        counts = np.diff(starts)
        used, ends = np.flatnonzero(counts).tolist(), starts.tolist()
        high = symbols.copy()
        raw = np.zeros(raw_count(counts, RAW_BITS) if self._dense else raw_bytes(counts, RAW_BITS), np.uint8)
        split_raw(high, starts, RAW_BITS, raw, self._dense)
        self._raw.append(raw)
        wide, outside = to_letters(high)
        letters = wide.astype(np.int32)
        if outside.any():
            self._escapes.append(high[outside])
        self._groups += [(region, _TABLE_OF[c], letters[ends[c] : ends[c + 1]]) for c in used]

    def payload(self) -> bytes:
        """Four sections, each after its length: substitutions, words, raw bits, escaped symbols."""
        substitute = self._substitutions()
        words = write_words(
            [(letters, self._tables.model(int(substitute[region, table]))) for region, table, letters in self._groups]
        )
        raw = np.concatenate([np.empty(0, np.uint8), *self._raw])
        raw = np.packbits(raw, bitorder="little") if self._dense else raw
        parts = [_write_substitutions(substitute), words, raw.tobytes(), write_escapes(self._escapes)]
        return b"".join(write_varint(len(part)) + part for part in parts)

    def _substitutions(self) -> Integers:
        """The table that each table's letters cost least under, by region, where that saves more than it takes."""
        own = np.arange(TABLES)
        if sum(len(letters) for _, _, letters in self._groups) < SUBSTITUTION_LETTERS:
            return np.broadcast_to(own, (REGIONS, TABLES))
        counts = np.zeros((REGIONS, TABLES, ALPHABET))
        for region, table, letters in self._groups:
            counts[region, table] += np.bincount(letters, minlength=ALPHABET)
        used, cost = counts.any(2), np.zeros((REGIONS, TABLES, TABLES))  # einsum: BLAS's threads would take our cores
        cost[used] = np.einsum("ik,jk->ij", counts[used], self._tables.code_lengths)
        saved = cost[:, own, own] - cost.min(2)
        substitute = np.where(saved > SUBSTITUTION_BITS, cost.argmin(2), own)
        worth = saved[substitute != own].sum() > 8 * len(_write_substitutions(substitute))
        return substitute if worth else np.broadcast_to(own, substitute.shape)


class SymbolReader:
    """Gives back, pass by pass, what a SymbolWriter took.

    Raises
    ------
    CorruptStreamError
        Here or later, if the payload is not one that a SymbolWriter made for these tables and passes.
    """

    def __init__(self, tables: Tables, payload: Reader, *, dense: bool = False) -> None:
        substitute = _read_substitutions(payload.take(payload.varint()))
        self._substitute: list[list[int]] = substitute.tolist()
        self._tables = tables
        self._words = Words(payload.take(payload.varint()))
        self._dense, raw = dense, payload.take(payload.varint())
        if dense:
            raw = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").tobytes()
        self._raw = Reader(raw)
        self._escapes = read_escapes(payload.take(payload.varint()))
        self._escaped = 0

    def read(self, order: Integers, starts: Integers, region: int, out: Integers) -> int:
        """Put a pass's symbols, sorted by context, where the order says; returns the largest magnitude in `out`."""
        counts = np.diff(starts)
        ends, decode, substitute = starts.tolist(), self._words.decode, self._substitute[region]
        letters = np.empty(ends[-1], np.int32)
        for c in np.flatnonzero(counts).tolist():
            letters[ends[c] : ends[c + 1]] = decode(self._tables.model(substitute[_TABLE_OF[c]]), ends[c + 1] - ends[c])
        if from_letters(letters, order, out):
            escaped = letters == ESCAPE
            values = self._unescape(int(escaped.sum()))
            if (np.abs(values) >> (60 - np.repeat(RAW_BITS, counts)[escaped])).any():
                raise CorruptStreamError("expected symbols below 2**60 with their raw bits, got more")
            out[order[escaped]] = values
        size = raw_count(counts, RAW_BITS) if self._dense else raw_bytes(counts, RAW_BITS)
        join_raw(out, order, starts, RAW_BITS, np.frombuffer(self._raw.take(size), np.uint8), self._dense)
        return int(largest(out))

    def _unescape(self, count: int) -> Integers:
        until = self._escaped + count
        if until > len(self._escapes):
            raise CorruptStreamError(f"expected {until} escaped symbols, got {len(self._escapes)}")
        values = self._escapes[self._escaped : until]
        self._escaped = until
        return values

    def finish(self) -> None:
        """Refuse a payload that holds more than was read."""
        if self._dense and self._raw.left < 8 and any(self._raw.take(self._raw.left)):
            raise CorruptStreamError("expected zeros after the last raw bit, got others")
        self._raw.end()
        if self._escaped != len(self._escapes) or not self._words.is_empty():
            raise CorruptStreamError("expected every coded symbol to be used, got some left over")


def _write_substitutions(substitute: Integers) -> bytes:
    """Nothing where each table stands for itself, else its successor number modulo TABLES, packed."""
    moved = (substitute - np.arange(TABLES)) % TABLES
    return pack(moved.astype(np.uint8).tobytes()) if moved.any() else b""


def _read_substitutions(data: bytes) -> Integers:
    """Undo `_write_substitutions`: int64 (regions, tables)."""
    moved = np.frombuffer(unpack(data, REGIONS * TABLES) if data else bytes(REGIONS * TABLES), np.uint8)
    if moved.max() >= TABLES:
        raise CorruptStreamError(f"expected table numbers below {TABLES}, got {moved.max()}")
    return (moved.reshape(REGIONS, TABLES).astype(np.int64) + np.arange(TABLES)) % TABLES


def write_escapes(parts: list[Integers]) -> bytes:
    """Nothing, or the number of escaped symbols and their zigzag values, packed as shuffled uint64."""
    if not parts:
        return b""
    values = np.concatenate(parts)
    zigzag = ((values << 1) ^ (values >> 63)).astype(np.uint64)
    return write_varint(len(zigzag)) + pack(shuffle(zigzag))


def read_escapes(data: bytes) -> Integers:
    """Undo `write_escapes`; a symbol beyond 2**40, which no target needs, is refused."""
    if not data:
        return np.empty(0, np.int64)
    reader = Reader(data)
    count = reader.varint(limit=1 << 31)
    zigzag = unshuffle(unpack(reader.take(reader.left), 8 * count), np.dtype(np.uint64))
    if zigzag.size and int(zigzag.max()) >= 1 << 41:
        raise CorruptStreamError(f"expected escaped symbols below 2**40, got {int(zigzag.max()) >> 1}")
    half = (zigzag >> np.uint64(1)).astype(np.int64)
    return np.where(zigzag & np.uint64(1), ~half, half)


@numba.njit(nogil=True, cache=True)
def group(contexts, count):  # type: ignore[no-untyped-def]
    """Stable order of targets by context, and where each context starts; a context of `count` or more is left out."""
    starts = np.zeros(count + 1, np.int64)
    for c in contexts:
        if c < count:
            starts[c + 1] += 1
    for c in range(count):
        starts[c + 1] += starts[c]
    fill = starts[:-1].copy()
    order = np.empty(starts[count], np.int64)
    for target in range(contexts.size):
        c = contexts[target]
        if c < count:
            order[fill[c]] = target
            fill[c] += 1
    return order, starts
