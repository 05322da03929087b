"""The fuzzer's corpora run clean, structured inputs do too, and what it ever found stays mended; see tests/fuzz."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from fuzz import run
from fuzz.framing import body_of, change_nested, change_parts, change_stream, parts_of, stream_of
from fuzz.json_changes import HUGE, change_json
from fuzz.oracle import ROOT, compare
from fuzz.store_targets import _low_rank_seeds, _Noted
from fuzz.stream_targets import VECTORS, vectors
from fuzz.target import Failure, Target
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adiabat.codec import HVAE, VQ, Hyperprior, Pyramid, volume
from adiabat.codec.decoding import decode_array
from adiabat.codec.entropy import SymbolReader
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.healpix_strips import HealpixStrips
from adiabat.codec.models import find_model
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.stream import Stream
from adiabat.formats.generated import Recipe
from adiabat.formats.low_rank_layout import MARKER
from adiabat.formats.low_rank_store import StoredArray

HERE = Path(__file__).parent / "fuzz"
TALLY = json.loads((HERE / "tally.json").read_text())
EXECUTIONS = 10**7
MUTATED = (
    "stream",
    "neural",
    "latent",
    "package",
    "recipe",
    "record",
    "configuration",
    "low_rank",
)  # by their own rules


@pytest.fixture(autouse=True)
def vector_models(monkeypatch):
    """Static fields of the specification's vectors are found."""
    monkeypatch.setenv("ADIABAT_MODELS", str(VECTORS / "models"))


def kept(name: str) -> list[bytes]:
    """The corpus of a target."""
    return [path.read_bytes() for path in sorted((HERE / "corpus" / name).glob("*"))]


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_kept_inputs_run_clean(target):
    inputs = kept(target.name)
    assert inputs, "every target keeps a corpus"
    for data in inputs:
        target.run(data)  # loads models and compiles, which is neither an input's time nor its memory
    for data in inputs[::4]:
        target.check(data, timed=False)


@pytest.mark.parametrize("target", [t for t in TARGETS.values() if t.mutate is None], ids=lambda target: target.name)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_run_clean(target, data):
    raw = data.draw(st.binary(max_size=64) | st.sampled_from(kept(target.name)))
    target.run(raw)
    at = data.draw(st.integers(0, max(0, len(raw) - 1)))
    target.run(raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + data.draw(st.integers(0, 3)) :])


@pytest.mark.parametrize("name", MUTATED)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_valid_inputs_with_a_part_changed_run_clean(name, data):
    target = TARGETS[name]
    valid = data.draw(st.sampled_from(kept(target.name)))

    def change(part: bytes, size: int) -> bytes:
        at = data.draw(st.integers(0, len(part)))
        return (part[:at] + data.draw(st.binary(max_size=4)) + part[at + data.draw(st.integers(0, 4)) :])[:size]

    target.run(target.mutate(valid, target.longest, data.draw(st.integers(0, 2**32 - 1)), change))


# ---- what the fuzzer itself does ---------------------------------------------------------------------------------


def test_the_tally_is_of_every_target_and_large_enough_with_nothing_open():
    assert set(TALLY["targets"]) == set(TARGETS)
    assert sum(each["executions"] for each in TALLY["targets"].values()) >= EXECUTIONS
    assert {each["open"] for each in TALLY["targets"].values()} == {0}
    assert not list(HERE.glob("finds/*/*"))


def test_corpora_are_small():
    files = list(HERE.glob("corpus/*/*"))
    assert len(files) <= 450
    assert sum(path.stat().st_size for path in files) <= 1 << 20


def test_streams_are_framed_as_they_were():
    for body in list(vectors())[:20]:
        assert body_of(stream_of(body)) == body
        Stream.read(stream_of(body))


def test_a_changed_section_leaves_a_stream_whole():
    body = body_of((VECTORS / "valid" / "v2-mask" / "stream.bin").read_bytes())
    changed = [change_stream(body, 1 << 16, seed, lambda part, _: part + b"x") for seed in range(40)]
    whole = 0
    for each in changed:
        try:
            whole += Stream.read(stream_of(each)).sections != Stream.read(stream_of(body)).sections
        except CorruptStreamError:
            continue
    assert whole > 15


def test_parts_behind_lengths_keep_their_lengths():
    data = b"h" + b"".join(write_varint(len(part)) + part for part in (b"abc", b"", b"wxyz"))
    changed = {change_nested(data, 99, seed, lambda part, _: part + b"!") for seed in range(50)}
    assert {b"h\4abc!\0\4wxyz", b"h\3abc\0\5wxyz!"} <= changed


def test_a_changed_archive_keeps_its_other_parts():
    data = next(iter(TARGETS["package"].seeds()))[1:]
    names = [name for name, _ in parts_of(data)]
    changed = parts_of(change_parts(data, 1 << 16, 3, lambda part, _: part + b"x"))
    assert [name for name, _ in changed] == names
    assert changed != parts_of(data)


def test_json_is_changed_into_json():
    assert any(
        json.loads(change_json(b'{"a": [1, 2]}', 999, seed, lambda part, _: part)) != {"a": [1, 2]} for seed in range(9)
    )


@pytest.mark.parametrize(
    ("run", "match"),
    [
        (lambda data: np.array(1e308) * 10 and 0, "overflow"),
        (lambda data: open("/etc/hostname").close() or 0, "program's own"),
    ],
)
def test_failures_are_seen(run, match):
    with pytest.raises((Failure, RuntimeWarning), match=match):
        Target("bad", run, lambda: [b""], ()).check(b"", timed=False)


def test_memory_beyond_the_multiple_is_seen():
    small, large = Target("good", lambda _: 1 << 20, lambda: [b""], ()), Target("bad", lambda _: 0, lambda: [b""], ())
    with mock.patch("fuzz.target._peak", side_effect=[0, 100 << 20, 0, 100 << 20]):
        small.check(b"")
        with pytest.raises(Failure, match="expected at most 64 MiB more, got 100 MiB"):
            large.check(b"")


def test_a_wrong_array_and_a_wrong_refusal_are_seen():
    stream = (VECTORS / "valid" / "tiny" / "stream.bin").read_bytes()
    good = decode_array(stream)
    compare(stream, good)
    for wrong in (good + 1, good.astype("f8"), None):
        with pytest.raises(Failure):
            compare(stream, wrong)
    with pytest.raises(Failure, match="refuses"):
        compare(stream[:-1], good)


def test_without_atheris_one_sentence_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["run.py", "mask", "--executions", "1"])
    assert run.main() == 1
    assert re.fullmatch(r"Fuzzing needs atheris: pip install atheris .*\n", capsys.readouterr().out)


def test_a_target_that_is_none_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "masks"])
    with pytest.raises(SystemExit):
        run.main()
    assert "got masks" in capsys.readouterr().err


def test_the_table_has_every_target_and_their_sum():
    lines = run.table(TALLY).splitlines()
    assert len(lines) == len(TARGETS) + 3
    assert f"{sum(each['executions'] for each in TALLY['targets'].values()):,}" in lines[-1]


# ---- finds -------------------------------------------------------------------------------------------------------


def recipe(**changes: object) -> str:
    """The text of a good recipe, with changes."""
    good = Recipe(model="ab" * 32, factor=4, shape=(40, 60), scale=0.5, samples=3, seed=7)
    return json.dumps(json.loads(good.to_json()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        recipe(scale=HUGE),
        recipe(shape=[40.0, 60.0]),
        recipe(shape=[True, True]),
        recipe(grain=[HUGE, 1]),
        recipe(gains=[HUGE, 1]),
        recipe(kind="texture", samples=1, bound=HUGE),
        recipe(kind="texture", samples=1, bound=1e308),
        recipe(wrap=[1]),
        recipe(non_negative="no"),
    ],
    ids=lambda text: text[:12] if text[0] == "[" else "",
)
def test_recipes_of_numbers_that_are_none(text):
    with pytest.raises(CorruptStreamError, match="is no recipe"):
        Recipe.from_json(text)


def note(**changes: object) -> StoredArray:
    """A low-rank variable with changes in its note."""
    return StoredArray(_Noted(json.loads(next(iter(_low_rank_seeds()))) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [float("inf"), 4, 3]},
        {"shape": [5.5, 4, 3]},
        {"shape": ["5", "4", "3"]},
        {"rank": float("inf")},
        {"rank": True},
        {"scale": HUGE},
        {"dtype": "O"},
        {"dtype": "U99999999"},
        {"dtype": ["f4"]},
        {"dims": [["time"], "y", "x"]},
        {"dims": ["y", "y", "x"]},
        {"dims": [], "shape": []},
        {"arrays": 5},
        {"arrays": [[]]},
    ],
    ids=str,
)
def test_low_rank_notes_that_are_none(changes):
    with pytest.raises(CorruptStreamError):
        note(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [5, 4, 7]},
        {"shape": [9**9, 4, 3]},
        {"rank": 7},
        {"transform": "sqrt"},
        {"transform": []},
        {"scale": -1.0},
        {"floor": "x"},
    ],
    ids=str,
)
def test_low_rank_notes_that_do_not_fit_their_arrays(changes):
    stored = note(**changes)
    with pytest.raises(CorruptStreamError):
        stored.outer([np.arange(2)] * 3)
    assert MARKER in stored.group.attrs


@pytest.mark.parametrize("bound", [{"abs": HUGE}, {"rel": HUGE}, {"noise": -HUGE}])
def test_bounds_beyond_every_float(bound):
    with pytest.raises(ValueError, match="expected a positive finite number"):
        Pyramid(bound=bound)


@pytest.mark.parametrize("codec", [Hyperprior, VQ, HVAE])
def test_targets_beyond_every_float(codec):
    with pytest.raises(ValueError, match="expected target="):
        codec(target={"rmse": HUGE})


@pytest.mark.parametrize("options", [{"fill_value": HUGE}, {"valid_range": [0, -HUGE]}])
def test_numbers_beyond_every_float(options):
    with pytest.raises(ValueError, match="expected a finite"):
        Pyramid(bound="lossless", **options)


@pytest.mark.parametrize("nside", [1e308, 2.0, "4", True])
def test_nside_that_is_no_integer(nside):
    with pytest.raises(TypeError, match="expected an integer for nside"):
        HealpixStrips(nside)


@pytest.mark.parametrize(
    ("base", "step", "anchor"),
    [
        ([1 << 37] * 4, 1 << 38, None),  # the last is 2**77, which wraps round to 0
        ([0, 1 << 37], 1 << 26, None),  # 2**63, whose magnitude is below zero in 64 bits
        ([1 << 38], 1 << 26, [5]),
        ([1 << 39], 1, None),
    ],
)
def test_first_pixels_beyond_64_bits(base, step, anchor):
    with pytest.raises(CorruptStreamError, match="expected first pixels"):
        volume._first_pixels(np.array(base), step, None if anchor is None else np.array(anchor))


def test_symbols_of_an_empty_payload():
    with pytest.raises(CorruptStreamError):
        SymbolReader(find_model().tables, Reader(b""))


def test_vectors_are_the_specifications():
    assert ROOT / "spec" / "vectors" == VECTORS


def test_room_that_a_header_would_not_fit_is_refused_before_it_is_decoded():
    large = Stream("constant", "<f4", (1 << 15, 1 << 16), sections={"payload": bytes(4)}).write()  # 8 GiB in 30 bytes
    with pytest.raises(ValueError, match=r"expected room for float32 of shape \(32768, 65536\), got 24 bytes"):
        Pyramid(bound="lossless").decode(large, np.empty((2, 3), np.float32))


def body_with(name: str, **changes: object) -> bytes:
    """A vector's stream with some of its fields replaced, without a section of exceptions."""
    stream = Stream.read((VECTORS / "valid" / name / "stream.bin").read_bytes())
    sections = {key: part for key, part in stream.sections.items() if key != "exceptions"}
    return body_of(dataclasses.replace(stream, sections=sections, **changes).write())


@pytest.mark.parametrize(
    "body",
    [
        body_with("lattice-classical", domain=("lattice", 1e308, 0.0, 0)),
        body_with("abs-littlef8", domain=("abs", 1e308)),
    ],
)
def test_steps_beyond_every_float_are_infinite_without_a_warning(body):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TARGETS["stream"].run(body)
    assert np.isinf(decode_array(stream_of(body))).any()
