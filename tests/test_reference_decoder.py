"""The package and the reference decoder of the specification: the same arrays, the same refusals, to the bit."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import bits
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EXAMPLES, arrays, bounds, fields, quick

from adiabat.codec import Pyramid, errors
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.models import find_model
from adiabat.codec.paths import Chunk
from adiabat.codec.stream import describe

ROOT = Path(__file__).parents[1]
SPEC, MODELS = ROOT / "spec", ROOT / "codec" / "models"
VALID = sorted(path for path in (SPEC / "vectors" / "valid").glob("*") if path.is_dir())
INVALID = sorted(path for path in (SPEC / "vectors" / "invalid").glob("*") if path.is_dir())
ERRORS = {
    "Truncated": errors.TruncatedStreamError,
    "Corrupt": errors.CorruptStreamError,
    "UnsupportedVersion": errors.UnsupportedVersionError,
    "ModelNotFound": errors.ModelNotFoundError,
    "ModelMismatch": errors.ModelMismatchError,
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, SPEC / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


reference = load("reference_decoder")


def name_of(path):
    return path.name


def check_same(array, other):
    assert other.dtype.str == array.dtype.str
    assert other.shape == array.shape
    assert other.flags.f_contiguous == array.flags.f_contiguous
    assert (bits(other) == bits(array)).all()


def decode_both(data):
    """What the package decodes, after a look that the reference decoder agrees."""
    array = Pyramid(bound="lossless").decode(data)
    check_same(array, reference.decode(data, [MODELS]))
    return array


# ---- vectors --------------------------------------------------------------------------------------------------------


def test_there_are_vectors_and_they_are_small():
    assert len(VALID) >= 90
    assert len(INVALID) >= 80
    files = [path for path in (SPEC / "vectors").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for folder in VALID:
        assert sorted(path.name for path in folder.iterdir()) == ["about.json", "array.npy", "stream.bin"]
    for folder in INVALID:
        assert sorted(path.name for path in folder.iterdir()) == ["about.json", "stream.bin"]


def test_vectors_cover_every_path_domain_and_section():
    told = [json.loads((folder / "about.json").read_text()) for folder in VALID]
    pairs = {(about["path"], about["domain"][0]) for about in told}
    domains = ("abs", "lattice", "ordered", "log")
    assert pairs == {("raw", "none"), ("constant", "none")} | {
        (path, d) for path in ("classical", "neural") for d in domains
    }
    assert {about["dtype"] for about in told} == {order + kind for order in "<>" for kind in ("f2", "f4", "f8")}
    assert {name for about in told for name in about["sections"]} == {
        "mask",
        "signs",
        "exceptions",
        "low_words",
        "payload",
    }
    assert {about["wrap"] for about in told if about["path"] == "neural"} == {True, False}
    assert {about["order"] for about in told} == {"C", "F"}
    assert any(about["valid_range"] != [None, None] for about in told)


@pytest.mark.parametrize("folder", VALID, ids=name_of)
def test_package_decodes_valid_vector(folder):
    data = (folder / "stream.bin").read_bytes()
    check_same(np.load(folder / "array.npy"), Pyramid(bound="lossless").decode(data))
    about = json.loads((folder / "about.json").read_text())
    del about["what"]
    assert about == describe(data)


@pytest.mark.parametrize("folder", INVALID, ids=name_of)
def test_package_refuses_invalid_vector(folder):
    about = json.loads((folder / "about.json").read_text())
    with pytest.raises(ERRORS[about["error"]]):
        Pyramid(bound="lossless").decode((folder / "stream.bin").read_bytes())


ALONE = """
import json, runpy, sys
from pathlib import Path
for name in ("adiabat", "constriction", "onnxruntime", "numba", "numcodecs", "zarr"):
    sys.modules[name] = None  # an import of it fails
program = runpy.run_path(sys.argv[1])
import numpy as np
told = {}
for folder in sorted(Path(sys.argv[2]).glob("*/*/")):
    try:
        array = program["decode"]((folder / "stream.bin").read_bytes(), [sys.argv[3]])
    except program["InvalidError"] as problem:
        told["/".join(folder.parts[-2:])] = type(problem).__name__
        continue
    stored = np.load(folder / "array.npy") if (folder / "array.npy").exists() else np.empty(0)
    same = (array.dtype.str, array.shape, array.tobytes()) == (stored.dtype.str, stored.shape, stored.tobytes())
    same &= array.flags.f_contiguous == stored.flags.f_contiguous
    told["/".join(folder.parts[-2:])] = "same" if same else "another array"
modules = set(sys.modules) - set(sys.stdlib_module_names)
told["imported"] = sorted({name.split(".")[0] for name in modules if sys.modules[name] is not None})
print(json.dumps(told))
"""


def test_reference_decoder_alone(python):
    ran = python(ALONE, SPEC / "reference_decoder.py", SPEC / "vectors", MODELS, PYTHONWARNINGS="error")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    imported = [
        name for name in told.pop("imported") if not name.startswith("_") and name not in sys.stdlib_module_names
    ]
    assert not {"adiabat", "constriction", "onnxruntime", "numba", "scipy", "torch"} & set(imported)
    expected = {f"valid/{folder.name}": "same" for folder in VALID}
    for folder in INVALID:
        expected[f"invalid/{folder.name}"] = json.loads((folder / "about.json").read_text())["error"]
    assert told == expected


def test_command_line(tmp_path):
    program, out = str(SPEC / "reference_decoder.py"), tmp_path / "out.npy"
    folder = SPEC / "vectors" / "valid" / "tiny"
    command = [sys.executable, program, str(folder / "stream.bin"), str(out), "--models", str(MODELS)]
    subprocess.run(command, check=True, timeout=120)
    check_same(np.load(folder / "array.npy"), np.load(out))
    refused = subprocess.run(command[:-2], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert refused.stderr.startswith("ModelNotFound: ")


def test_walkthrough_is_what_the_decoder_does():
    ran = subprocess.run(
        [sys.executable, str(SPEC / "make_walkthrough.py")], capture_output=True, check=True, timeout=120
    )
    assert ran.stdout.decode() == (SPEC / "walkthrough.md").read_text()


# ---- streams made here ----------------------------------------------------------------------------------------------


@settings(quick, max_examples=max(10, EXAMPLES // 3))
@given(arrays(), bounds, st.sampled_from([None, True, False]))
def test_any_array_decodes_the_same(array, bound, wrap):
    decode_both(Pyramid(bound=bound, wrap=wrap).encode(array))


@settings(quick, max_examples=max(10, EXAMPLES // 3))
@given(arrays(), bounds, st.booleans())
def test_any_array_decodes_the_same_by_the_neural_path(array, bound, wrap):
    if array.size:
        layout = Layout.of(array)
        chunk = Chunk(layout.frames(array), layout, Bound.parse(bound), wrap=wrap)
        decode_both(chunk.neural(find_model())[0].write())


def test_several_groups_of_frames():
    # 2**21 pixels make a group; nearly all are masked, which costs no symbols.
    array = np.full((3, 837, 837), np.nan, np.float32)
    array[:, ::64, ::64] = np.arange(3 * 14 * 14).reshape(3, 14, 14) % 37
    layout = Layout.of(array)
    chunk = Chunk(layout.frames(array), layout, Bound("abs", 0.1))
    decoded = decode_both(chunk.neural(find_model())[0].write())
    assert np.nanmax(np.abs(decoded - array)) <= 0.1


def test_every_truncation_and_bit_flip_is_refused():
    data = Pyramid(bound={"abs": 0.5}).encode(fields(shape=(5, 6)))
    for length in range(len(data)):
        with pytest.raises(reference.InvalidError):
            reference.decode(data[:length], [MODELS])
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(reference.InvalidError):
            reference.decode(bytes(bad), [MODELS])


# ---- entropy.md against constriction --------------------------------------------------------------------------------


def encode(pairs, cumulative):
    """The encoder of entropy.md in Python's integers: (table, letter) in reading order -> words."""
    state, words = 0, []
    for table, letter in reversed(pairs):
        low, high = cumulative[table][letter : letter + 2]
        if state >= (high - low) << 40:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // (high - low) << 24) + state % (high - low) + low
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return np.array(words, "<u4").tobytes()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 3000])
def test_words_are_those_of_constriction(count):
    import constriction

    model = find_model()
    cumulative = np.pad(np.cumsum(model.frequencies, axis=1, dtype=np.int64), ((0, 0), (1, 0))).tolist()
    rng = np.random.default_rng(count)
    tables = rng.integers(0, 96, count)
    for letters in (rng.integers(0, 96, count), np.clip(47 + rng.geometric(0.4, count), 0, 95), np.zeros(count, int)):
        ans = constriction.stream.stack.AnsCoder()
        for table, letter in zip(tables[::-1], letters[::-1], strict=True):
            ans.encode_reverse(np.array([letter], np.int32), model.tables.model(int(table)))
        words = np.asarray(ans.get_compressed()).astype("<u4").tobytes()
        assert encode(list(zip(tables.tolist(), letters.tolist(), strict=True)), cumulative) == words
        decoder = reference.Ans(words)
        assert [int(decoder.decode(cumulative[table], 1)[0]) for table in tables] == letters.tolist()
        assert (decoder.state, decoder.words) == (0, [])


# ---- the program that makes vectors ---------------------------------------------------------------------------------


def test_vectors_are_never_overwritten(tmp_path):
    make = load("make_vectors")
    files = {"stream.bin": b"one", "about.json": b"{}"}
    assert make.write(tmp_path / "case", files) == "new"
    assert make.write(tmp_path / "case", files) == "same"
    assert make.write(tmp_path / "case", {**files, "stream.bin": b"two"}) == "differs"
    assert (tmp_path / "case" / "stream.bin").read_bytes() == b"one"


def test_arrays_of_vectors_are_what_numpy_writes():
    for folder in VALID[:5]:
        buffer = io.BytesIO()
        np.save(buffer, np.load(folder / "array.npy"))
        assert buffer.getvalue() == (folder / "array.npy").read_bytes()
