"""The entropy coder: exact words, an independent decoder in plain integers, and what garbage does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import AdiabatError, CorruptStreamError, entropy
from adiabat.codec.entropy import (
    ALPHABET,
    CONTEXT_COUNT,
    ESCAPE,
    RAW_BITS,
    REACH,
    TABLE_OF,
    TABLES,
    SymbolReader,
    SymbolWriter,
    Tables,
)
from adiabat.codec.models import find_model
from adiabat.codec.octets import Reader, write_varint


def formula_tables():
    """Tables that no training changes: the frequency falls off as 1 / (1 + a distance), ever slower with the row."""
    table, letter = np.arange(TABLES)[:, None], np.arange(ALPHABET)
    weight = 2**23 // (1 + np.abs(letter - REACH) * (1 + 96 // (table + 1)))
    whole = weight * (2**24 - ALPHABET) // weight.sum(1, keepdims=True) + 1
    whole[:, REACH] += 2**24 - whole.sum(1)
    return Tables(whole.astype(np.uint32))


FORMULA = formula_tables()
SHIPPED = find_model().tables


def starts_of(contexts):
    return np.concatenate([[0], np.cumsum(np.bincount(contexts, minlength=CONTEXT_COUNT))])


def write(passes, tables=FORMULA):
    """Payload of passes (contexts, symbols, region)."""
    writer = SymbolWriter(tables)
    for contexts, symbols, region in passes:
        order = np.argsort(contexts, kind="stable")
        writer.write(np.asarray(symbols, np.int64)[order], starts_of(contexts), region)
    return writer.payload()


def read(payload, passes, tables=FORMULA):
    """Symbols of the passes, in the order they were given in."""
    source = Reader(payload)
    reader, out = SymbolReader(tables, source), []
    for contexts, _, region in passes:
        symbols = np.zeros(len(contexts), np.int64)
        largest = reader.read(np.argsort(contexts, kind="stable"), starts_of(contexts), region, symbols)
        assert largest == np.abs(symbols).max(initial=0)
        out.append(symbols.tolist())
    reader.finish()
    source.end()
    return out


def random_passes(seed, sizes=(1, 7, 400), spread=1.0):
    """Passes whose symbols have about the spread that their contexts announce, times `spread`."""
    rng = np.random.default_rng(seed)
    passes = []
    for number, size in enumerate(sizes):
        contexts = rng.integers(0, CONTEXT_COUNT, size)
        scale = 2.0 ** ((contexts // 3 - 20) / 4) * spread
        symbols = np.clip(np.rint(rng.laplace(size=size) * scale), -(2**40) + 1, 2**40 - 1)
        passes.append((contexts, symbols.astype(np.int64).tolist(), number % 2))
    return passes


def test_exact_words():
    contexts = np.array([62, 61, 60, 0, 95, 61, 100])
    payload = write([(contexts, [0, -1, 3, 0, -9, 60, 17], 0), (contexts[:3], [1, 1, -2], 1)])
    assert payload.hex() == WORDS
    assert read(payload, [(contexts, None, 0), (contexts[:3], None, 1)]) == [[0, -1, 3, 0, -9, 60, 17], [1, 1, -2]]


WORDS = "000cd89a64e8f3a622fa0100000001000a01007800000000000000"


def test_nothing_takes_four_bytes():
    assert write([]) == bytes(4)
    assert read(bytes(4), []) == []


def slow_letters(words, frequencies, tables):
    """Asymmetric numeral system in plain integers: a 64-bit state, 32-bit words taken from the end; spec/entropy.md."""
    words = list(words)
    state = 0
    while words and state < 2**32:
        state = state << 32 | words.pop()
    letters = []
    for table in tables:
        row, quantile = frequencies[table].tolist(), state % 2**24
        left = letter = 0
        while quantile >= left + row[letter]:
            left += row[letter]
            letter += 1
        letters.append(letter)
        state = (state >> 24) * row[letter] + quantile - left
        if state < 2**32 and words:
            state = state << 32 | words.pop()
    assert (state, words) == (0, [])
    return letters


@pytest.mark.parametrize("tables", [FORMULA, SHIPPED], ids=["formula", "shipped"])
def test_plain_integers_decode_every_table(tables):
    import constriction

    rng = np.random.default_rng(1)
    names = rng.permutation(np.repeat(np.arange(TABLES), 12))
    letters = rng.integers(0, ALPHABET, len(names), dtype=np.int32)
    likely = rng.random(len(names)) < 0.7
    letters[likely] = REACH + rng.integers(-1, 2, likely.sum())
    ans = constriction.stream.stack.AnsCoder()
    for table, letter in zip(names[::-1].tolist(), letters[::-1], strict=True):
        ans.encode_reverse(letter[None], tables.model(table))
    words = ans.get_compressed()
    assert slow_letters(words.tolist(), tables._frequencies, names.tolist()) == letters.tolist()


def test_plain_integers_decode_the_words_of_a_payload():
    passes = [([61] * 300, np.random.default_rng(0).integers(-2, 3, 300).tolist(), 0)]
    source = Reader(write(passes))
    assert source.take(source.varint()) == b"", "no substitution"
    words = np.frombuffer(source.take(source.varint()), "<u4").tolist()
    letters = slow_letters(words, FORMULA._frequencies, [61] * 300)
    assert [letter - REACH for letter in letters] == passes[0][1]


@quick
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0, 30.0, 1e4]))
def test_round_trip(seed, spread):
    passes = random_passes(seed, spread=spread)
    payload = write(passes)
    assert read(payload, passes) == [list(symbols) for _, symbols, _ in passes]
    assert write(passes) == payload


def test_every_table_and_context_by_itself():
    contexts = np.arange(CONTEXT_COUNT)
    for symbol in (0, 1, -1, REACH, -REACH, REACH + 1, -REACH - 1, 1000, 2**40 - 1, 1 - 2**40):
        passes = [(contexts, [symbol] * len(contexts), 0)]
        assert read(write(passes, SHIPPED), passes, SHIPPED) == [[symbol] * len(contexts)]


def test_raw_bits_and_tables_of_contexts():
    for context in range(CONTEXT_COUNT):
        scale, shape = divmod(context, 3)
        bits = 0
        while scale >= 32:
            scale, bits = scale - 4, bits + 1
        assert (TABLE_OF[context], RAW_BITS[context]) == (3 * scale + shape, bits)
    assert RAW_BITS.max() == 44
    assert TABLE_OF.max() == TABLES - 1


def test_raw_bits_are_low_bits_first():
    context = 3 * 36 + 1  # two raw bits
    payload = write([([context] * 4, [-2, -1, 0, 1], 0)])  # shifted: 0, 1, 2, 3; all of table letter 0
    source = Reader(payload)
    source.take(source.varint())
    source.take(source.varint())
    assert source.take(source.varint()) == bytes([0b11100100])


def test_escapes_cost_what_they_weigh():
    plain = write([([61] * 1000, [0] * 1000, 0)])
    symbols = [0] * 1000
    symbols[5], symbols[500] = 10**9, -(10**9)
    assert len(write([([61] * 1000, symbols, 0)])) < len(plain) + 40


def test_substitution_by_region():
    rng = np.random.default_rng(0)
    wide = np.rint(rng.laplace(size=4000) * 8).astype(int).tolist()
    narrow = [0] * 4000
    context = [20 * 3 + 1] * 4000
    passes = [(context, wide, 0), (context, narrow, 1)]
    payload = write(passes, SHIPPED)
    assert payload[0] > 0, "tables are substituted"
    assert read(payload, passes, SHIPPED) == [wide, narrow]
    swapped = [(context, narrow, 0), (context, wide, 1)]
    assert abs(len(write(swapped, SHIPPED)) - len(payload)) < 12
    right = [([32 * 3 + 1 - 12] * 4000, wide, 0), ([1] * 4000, narrow, 1)]
    assert len(payload) < len(write(right, SHIPPED)) + 60
    one = write([([61] * 40, [0] * 40, 0)], SHIPPED)
    assert one[0] == 0, "too little to save"


def test_rate_is_near_the_code_length():
    passes = random_passes(3, sizes=(20000,))
    contexts = np.array(passes[0][0])
    keep = RAW_BITS[contexts] == 0
    contexts, symbols = contexts[keep], np.array(passes[0][1])[keep]
    inside = np.abs(symbols) <= REACH
    contexts, symbols = contexts[inside], symbols[inside]
    expected = SHIPPED.code_lengths[contexts, symbols + REACH].sum() / 8
    assert len(write([(contexts, symbols, 0)], SHIPPED)) <= expected + 12


@pytest.mark.parametrize(
    ("frequencies", "match"),
    [
        (np.ones((2, 2), np.uint32), "shape"),
        (np.ones((TABLES, ALPHABET), np.uint32), "sum"),
        (np.where(np.arange(ALPHABET) == 0, 2**24, 0)[None].repeat(TABLES, 0).astype(np.uint32), "at least 1"),
    ],
)
def test_tables_are_validated(frequencies, match):
    with pytest.raises(ValueError, match=match):
        Tables(frequencies)


def sections(payload):
    source = Reader(payload)
    return [source.take(source.varint()) for _ in range(4)]


def joined(parts):
    return b"".join(write_varint(len(part)) + part for part in parts)


ESCAPED = [([61] * 50 + [120] * 50, [10**6] + [0] * 49 + [5] * 50, 0)]


@pytest.mark.parametrize(
    ("section", "change", "match"),
    [
        (0, lambda part: b"\0" + bytes([TABLES]) + bytes(2 * TABLES - 1), "table numbers below"),
        (0, lambda part: b"\0" + bytes(5), "unpacked bytes"),
        (0, lambda part: b"\7", "method 7"),
        (1, lambda part: part[:-1], "32-bit words"),
        (1, lambda part: part + bytes(4), "last one above zero"),
        (1, lambda part: part[4:], "expected"),
        (1, lambda part: b"\1\0\0\0" + part, "expected"),
        (1, lambda part: b"", "expected"),
        (2, lambda part: part[:-1], "more bytes"),
        (2, lambda part: part + b"\0", "more bytes"),
        (3, lambda part: b"", "escaped symbols"),
        (3, lambda part: b"\2" + b"\0" + bytes(16), "left over"),
        (3, lambda part: b"\1\0" + b"\xff" * 8, "below 2"),
        (3, lambda part: write_varint(2**40), "varint of at most"),
        (3, lambda part: b"\1", "1 more bytes"),
        (3, lambda part: write_varint(2**31) + b"\1" + bytes(50), "method 1"),
    ],
)
def test_broken_sections_are_named(section, change, match):
    parts = sections(write(ESCAPED))
    assert all(parts[1:])
    parts[section] = change(parts[section])
    with pytest.raises(CorruptStreamError, match=match):
        read(joined(parts), ESCAPED)


def test_truncations_are_named():
    payload = write(random_passes(0))
    for length in range(len(payload)):
        with pytest.raises(AdiabatError):
            read(payload[:length], random_passes(0))


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_garbage_gives_garbage_or_a_named_error(seed, size):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**32, size, np.uint32).astype("<u4").tobytes()
    raw, escapes = rng.bytes(int(rng.integers(0, 60))), write_varint(3) + b"\0" + bytes(24)
    payloads = [rng.bytes(size), joined([b"", words, raw, b""]), joined([b"", words, raw, escapes])]
    payloads.append(joined([b"\0" + rng.integers(0, TABLES, 2 * TABLES, np.uint8).tobytes(), words, raw, escapes]))
    for payload in payloads:
        try:
            symbols = read(payload, random_passes(seed % 5), SHIPPED)
        except AdiabatError:
            continue
        assert [len(part) for part in symbols] == [1, 7, 400]


def test_group():
    contexts = np.array([5, 2, 5, 9, 0, 2, 8], np.uint16)
    order, starts = entropy.group(contexts, 8)
    assert order.tolist() == [4, 1, 5, 0, 2], "stable, and what is not below the count is left out"
    assert starts.tolist() == [0, 1, 1, 3, 3, 3, 5, 5, 5]
    order, starts = entropy.group(np.empty(0, np.uint16), 3)
    assert (order.size, starts.tolist()) == (0, [0, 0, 0, 0])
    assert ESCAPE == ALPHABET - 1
