"""The package and the reference decoder of the specification: the same arrays, the same refusals, to the bit."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from checks import bits
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EXAMPLES, arrays, bounded_arrays, bounds, fields, quick

from adiabat.codec import Pyramid, errors, order
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.models import find_model
from adiabat.codec.paths import Chunk
from adiabat.codec.side import LATTICES, Weights
from adiabat.codec.smoothing import FEATURES, KINDS
from adiabat.codec.statics import Static, static_file, write_statics
from adiabat.codec.stream import Stream, describe

ROOT = Path(__file__).parents[1]
SPEC, MODELS = ROOT / "spec", ROOT / "codec" / "models"
FOLDERS = [MODELS, SPEC / "vectors" / "models"]  # of models, and of static fields
VALID = sorted(path for path in (SPEC / "vectors" / "valid").glob("*") if path.is_dir())
OUTGROWN = {"version"}  # a stream of version 2, which readers of version 1 refuse: spec/README.md, "Errata"
INVALID = sorted(p for p in (SPEC / "vectors" / "invalid").glob("*") if p.is_dir() and p.name not in OUTGROWN)
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


reference, make = load("reference_decoder"), load("make_vectors")


@pytest.fixture(autouse=True, scope="module")
def static_fields():
    """The package finds the vectors' static fields."""
    with mock.patch.dict(os.environ, {"ADIABAT_MODELS": str(FOLDERS[1])}):
        yield


def name_of(path):
    return path.name


def check_same(array, other):
    assert other.dtype.str == array.dtype.str
    assert other.shape == array.shape
    assert other.flags.f_contiguous == array.flags.f_contiguous
    assert (bits(other) == bits(array)).all()


def decode_both(data, *folders):
    """What the package decodes, after a look that the reference decoder agrees."""
    array = Pyramid(bound="lossless").decode(data)
    check_same(array, reference.decode(data, [*folders, *FOLDERS]))
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


def test_vectors_of_version_1_cover_every_path_domain_and_section():
    told = [json.loads((folder / "about.json").read_text()) for folder in VALID]
    told = [about for about in told if about["version"] == 1]
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


def test_vectors_of_version_2_cover_every_path_domain_and_section():
    told = [json.loads((folder / "about.json").read_text()) for folder in VALID]
    told = [about for about in told if about["version"] == 2]
    assert {about["path"] for about in told} == {"raw", "constant", "classical", "neural"}
    neural = [about for about in told if about["path"] == "neural"]
    assert {about["domain"][0] for about in neural} == {"abs", "lattice", "ordered", "log", "profile"}
    assert {name for about in neural for name in about["sections"]} >= {"mask", "low_words", "bounds", "static"}
    assert {about["wrap"] for about in neural} == {True, False}
    assert {about["order"] for about in neural} == {"C", "F"}
    assert len({about["model"] for about in neural}) == 2
    payloads = [Stream.read((SPEC / "vectors" / "valid" / f"{n}" / "stream.bin").read_bytes()) for n in plans()]
    assert {stream.sections["payload"][0] for stream in payloads} == {0, 1, 2}
    assert {stream.sections["payload"][1] for stream in payloads} == {0, 2, 4, 6, 8}
    assert {stream.sections["payload"][2] > 0 for stream in payloads} == {True, False}


def plans():
    """Names of the neural vectors of version 2."""
    told = [(folder.name, json.loads((folder / "about.json").read_text())) for folder in VALID]
    return [name for name, about in told if (about["version"], about["path"]) == (2, "neural")]


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
        array = program["decode"]((folder / "stream.bin").read_bytes(), sys.argv[3:])
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
    ran = python(ALONE, SPEC / "reference_decoder.py", SPEC / "vectors", *FOLDERS, PYTHONWARNINGS="error")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    imported = [
        name for name in told.pop("imported") if not name.startswith("_") and name not in sys.stdlib_module_names
    ]
    assert not {"adiabat", "constriction", "onnxruntime", "numba", "scipy", "torch"} & set(imported)
    for name in OUTGROWN:
        del told[f"invalid/{name}"]
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


@quick
@given(bounded_arrays())
def test_any_bounds_along_an_axis_decode_the_same(pair):
    array, bound = pair
    if array.size:
        layout = Layout.of(array)
        decode_both(Chunk(layout.frames(array), layout, Bound.parse(bound)).classical()[0].write())


def test_the_outgrown_vector_is_a_stream_of_version_2():
    assert decode_both((SPEC / "vectors" / "invalid" / "version" / "stream.bin").read_bytes()).tolist() == [[0] * 3] * 2


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


# ---- version 2: order, references, taper, smoothing, static fields --------------------------------------------------


@pytest.fixture(scope="module")
def side(side_package, tmp_path_factory):
    """A folder with a model that sees references, and its SHA-256."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "side.zip").write_bytes(side_package)
    with mock.patch.dict(os.environ, {"ADIABAT_MODELS": os.pathsep.join(map(str, (folder, FOLDERS[1])))}):
        yield folder, hashlib.sha256(side_package).hexdigest()


def keep_static(folder, field):
    """Put a static field's file into a folder; its SHA-256."""
    data = static_file(field)
    name = hashlib.sha256(data).hexdigest()
    (folder / f"{name}.npy").write_bytes(data)
    return name


def any_weights(rng):
    """Weights of references, wild or mild, some of trust 0."""
    rows, wild = int(rng.integers(1, LATTICES + 1)), rng.random() < 0.3

    def weights(n):
        values = rng.integers(-128, 128, (rows, n)) if wild else np.round(64 * rng.dirichlet(np.ones(n), rows))
        trust = rng.integers(1, 128, rows) * (rng.random(rows) < 0.75)
        return Weights(values.astype(np.int8), trust.astype(np.uint8))

    return weights


@settings(quick, max_examples=max(10, EXAMPLES))
@given(
    st.lists(st.integers(1, 6), max_size=2),
    st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 8, 13, 24, 32])] * 2),
    st.sampled_from([{"abs": 1.0}, {"abs": 0.01}, {"abs": 1e-4}, {"rel": 1e-3}, "lossless"]),
    st.sampled_from([2, 4, 6, 8]),
    st.lists(st.integers(1, 64), max_size=7),
    st.sampled_from([0, 0, 1, 3]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_order_weights_taper_and_static_fields_decode_the_same(
    side, lead, size, bound, reach, taper, n, wrap, seed
):
    folder, model = side
    rng = np.random.default_rng(seed)
    array = make.smooth((*lead, *size), "<f4", seed=seed)
    if rng.random() < 0.4:
        array[rng.random(array.shape) < 0.2] = np.nan
    if rng.random() < 0.2:
        array[rng.random(array.shape) < 0.02] *= 1000
    height, width = Layout.of(array).frames(array).shape[1:]
    static = keep_static(folder, 50 * rng.normal(size=(height + 2, width + 3)))
    axes = len([length for length in array.shape if length != 1]) - 2
    options = {
        "taper": tuple(taper),
        "weights": any_weights(rng),
        "smoothed": rng.integers(-128, 128, (KINDS, FEATURES)).astype(np.int8),
        "gains": tuple(rng.choice([-1, 1], n) * 10.0 ** rng.integers(-3, 12, n)),
        "statics": (Static(static, int(rng.integers(0, 3)), int(rng.integers(0, 4))),) * n,
    }
    axis = int(rng.integers(0, axes)) if axes > 0 and rng.random() < 0.8 else None
    decode_both(make.coded(array, bound, axis, reach, model=model, wrap=wrap, **options), folder)


def test_several_groups_of_a_stage(side):
    folder, model = side
    assert order.GROUP == reference.GROUP
    with mock.patch.dict(order.GROUP, {2: 100}), mock.patch.dict(reference.GROUP, {2: 100}):
        data = make.coded(make.smooth((8, 7, 9)), {"abs": 0.1}, 0, model=model)
        assert len(make.groups_of(Stream.read(data).sections["payload"])[1]) == 8  # of 63 pixels, one frame each
        decode_both(data, folder)


def test_static_fields_are_checked(side, tmp_path):
    folder, model = side
    static = keep_static(folder, np.ones((9, 9)))
    data = make.coded(make.smooth((8, 9)), {"abs": 0.1}, model=model, statics=(Static(static, 1),), gains=(3.0,))
    decode_both(data, folder)
    (tmp_path / f"{static}.npy").write_bytes(static_file(np.zeros((9, 9))))
    with pytest.raises(reference.ModelMismatch):
        reference.decode(data, [tmp_path, folder])
    for field in (np.ones((9, 9)), np.ones((9, 9, 1), "<f4"), np.ones((9, 9), ">f4"), np.full((9, 9), np.inf, "<f4")):
        buffer = io.BytesIO()
        np.save(buffer, field)
        name = hashlib.sha256(buffer.getvalue()).hexdigest()
        (folder / f"{name}.npy").write_bytes(buffer.getvalue())
        bad = make.with_sections(data, static=write_statics((Static(name, 1, 0, 3.0),)))
        with pytest.raises(reference.ModelMismatch):
            reference.decode(bad, [folder])
        with pytest.raises(errors.ModelMismatchError):
            Pyramid(bound="lossless").decode(bad)


def test_every_truncation_and_bit_flip_is_refused():
    data = Pyramid(bound={"abs": 0.5}).encode(fields(shape=(5, 6)))
    for length in range(len(data)):
        with pytest.raises(reference.InvalidError):
            reference.decode(data[:length], FOLDERS)
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(reference.InvalidError):
            reference.decode(bytes(bad), FOLDERS)


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


def test_a_vector_of_version_1_is_still_what_the_program_writes():
    with make.version_1():
        assert (
            make.encoded(make.walkthrough(), {"abs": 0.5}, "neural")
            == (SPEC / "vectors" / "valid" / "tiny" / "stream.bin").read_bytes()
        )


def test_a_vector_the_reference_decoder_disagrees_with_is_not_written():
    folder = SPEC / "vectors" / "valid" / "tiny"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert make.agrees(files, reference, FOLDERS)
    assert not make.agrees({**files, "array.npy": files["array.npy"][:-1] + b"\0"}, reference, FOLDERS)
    assert not make.agrees({**files, "stream.bin": files["stream.bin"][:-1]}, reference, FOLDERS)
    refused = {"stream.bin": files["stream.bin"][:-1], "about.json": b'{"error": "Truncated"}'}
    assert make.agrees(refused, reference, FOLDERS)
    assert not make.agrees({**refused, "stream.bin": files["stream.bin"]}, reference, FOLDERS)
