"""The package and the reference decoder of the specification: the same arrays, the same refusals, to the bit."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import test_spectral
from checks import bits
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EXAMPLES, arrays, bounded_arrays, bounds, fields, quick

from adiabat.codec import Pyramid, errors, hyperprior_model, order, wavelet
from adiabat.codec.bound import Bound
from adiabat.codec.description import describe
from adiabat.codec.frames import Layout
from adiabat.codec.integer_net import Layer
from adiabat.codec.models import find_model
from adiabat.codec.paths import Chunk
from adiabat.codec.side import LATTICES, Weights
from adiabat.codec.smoothing import FEATURES, KINDS
from adiabat.codec.statics import Static, static_file, write_statics
from adiabat.codec.stream import Stream
from adiabat.codec.subband import INPUTS

ROOT = Path(__file__).parents[1]
SPEC, MODELS = ROOT / "spec", ROOT / "codec" / "models"
FOLDERS = [MODELS, SPEC / "vectors" / "models"]  # of models, and of static fields
VALID = sorted(path for path in (SPEC / "vectors" / "valid").glob("*") if path.is_dir())
OUTGROWN = {"version", "version-3", "version-4"}  # what readers of version 1, 2 or 3 said of later ones: spec/README.md
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


def refused_by_both(data, name="Corrupt", *folders):
    """Both decoders raise this error."""
    with pytest.raises(ERRORS[name]):
        Pyramid(bound="lossless").decode(data)
    with pytest.raises(getattr(reference, name)):
        reference.decode(data, [*folders, *FOLDERS])


# ---- vectors --------------------------------------------------------------------------------------------------------


def test_there_are_vectors_and_they_are_small():
    assert len(VALID) >= 90
    assert len(INVALID) >= 80
    files = [path for path in (SPEC / "vectors").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
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


def test_vectors_of_version_3_cover_what_the_latent_path_has():
    told = [json.loads((folder / "about.json").read_text()) for folder in VALID]
    told = [about for about in told if about["version"] == 3]
    if not told:
        pytest.skip("no vectors of version 3 yet")
    assert {about["path"] for about in told} == {"latent"}
    assert {about["dtype"] for about in told} >= {"<f2", "<f4", ">f4", "<f8", ">f8"}
    assert {name for about in told for name in about["sections"]} == {"mask", "payload", "residual", "static"}
    assert {about["wrap"] for about in told} == {True, False}
    assert {about["order"] for about in told} == {"C", "F"}
    assert any(about["valid_range"] != [None, None] for about in told)


def test_vectors_of_version_4_cover_what_the_spectral_path_has():
    folders = [folder for folder in VALID if json.loads((folder / "about.json").read_text())["version"] == 4]
    told = [json.loads((folder / "about.json").read_text()) for folder in folders]
    assert {about["path"] for about in told} == {"spectral"}
    assert {about["dtype"] for about in told} >= {"<f2", "<f4", ">f4", "<f8", ">f8"}
    assert {name for about in told for name in about["sections"]} == {"mask", "payload", "exceptions"}
    assert {about["order"] for about in told} == {"C", "F"}
    assert any(about["valid_range"] != [None, None] for about in told)
    parts = [make.Spectral.of((folder / "stream.bin").read_bytes()) for folder in folders]
    assert {part.head[0] for part in parts} == {0, 1, 2}
    assert {part.head[1] > 0 for part in parts} == {True, False}
    assert {len(part.residual[3]) > 0 for part in parts} == {True, False}
    assert {len(part.residual[4]) > 0 for part in parts} == {True, False}


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
for folder in sorted(path.parent for path in Path(sys.argv[2]).glob("*/*/stream.bin")):
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


def test_outgrown_vectors():
    one, *others = ((SPEC / "vectors" / "invalid" / name / "stream.bin").read_bytes() for name in sorted(OUTGROWN))
    assert decode_both(one).tolist() == [[0] * 3] * 2
    for other in others:  # the constant path in version 3, the latent one of codec 2 in version 4
        refused_by_both(other)


@settings(quick, max_examples=max(10, EXAMPLES // 3))
@given(arrays(), bounds, st.booleans())
def test_any_array_decodes_the_same_by_the_neural_path(array, bound, wrap):
    if array.size:
        layout = Layout.of(array)
        chunk = Chunk(layout.frames(array), layout, Bound.parse(bound), wrap=wrap)
        decode_both(chunk.neural(find_model())[0].write())


@settings(quick, max_examples=max(10, EXAMPLES // 3))
@given(test_spectral.cases())
def test_any_spectra_decode_the_same(case):
    array, sigma, times, axis = case
    data = test_spectral.coded(array, sigma, times, axis=axis)
    if data is not None:
        decode_both(data)


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


# ---- version 3: the latent path of adiabat.hyperprior ---------------------------------------------------------------


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    """A folder with a model of random networks, and the model."""
    pytest.importorskip("onnx")
    from adiabat.training import export

    rng, parts, shifts = np.random.default_rng(2), {}, {}
    for name in hyperprior_model.NETS:
        sizes = (((INPUTS, 12), 18, 6), ((12, hyperprior_model.OUTPUTS), 9, 0))
        layers = tuple(Layer(rng.integers(-top, top + 1, size).astype(np.int8), shift) for size, top, shift in sizes)
        parts |= export.integer_parts(name, layers)
        shifts[name] = {"shifts": [layer.shift for layer in layers]}
    parts["frequencies.npy"] = export.npy(find_model().frequencies)
    parts["shrink.npy"] = export.npy(rng.integers(-30, 129, (96, 2)).astype(np.int16))
    manifest = export.manifest({"kind": "hyperprior", "format": 1, "name": "random", "nets": shifts})
    package = export.zipped({"manifest.json": manifest, **parts})
    folder = tmp_path_factory.mktemp("latent")
    (folder / "random.zip").write_bytes(package)
    with mock.patch.dict(os.environ, {"ADIABAT_MODELS": os.pathsep.join(map(str, (folder, FOLDERS[1])))}):
        yield folder, hyperprior_model.load(package)


def latent_header(**changes):
    """A Stream of some small latent chunk without much sense, for errors of headers."""
    fields = {"bound": ("unbounded", 0.0), "domain": ("latent", 1.0, 0.5), "model": bytes(8)}
    sections = {"payload": bytes(5)}
    return Stream("latent", "<f4", (3, 4), sections=sections, codec="adiabat.hyperprior", **fields | changes)


@pytest.mark.parametrize("x_first", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 2), (721, 1440), (3, 70000), (1, 2**20), (2**20, 7)], ids=str)
def test_scale_levels_are_the_same(shape, x_first):
    ours, theirs = wavelet.scales(*shape, x_first=x_first), reference.scales(*shape, x_first)
    assert [(s.size, s.depth, s.smooth_step) for s in ours] == [(s.size, s.depth, s.step((0, 0))) for s in theirs]
    for one, other in zip(ours, theirs, strict=True):
        sizes = {wavelet.PARITY[band]: (size, one.step(band)) for band, size in one.bands()}
        told = {odd: (other.band_size(odd), other.step(odd)) for odd in reference.BANDS.values()}
        assert sizes == {odd: pair for odd, pair in told.items() if min(pair[0]) > 0}


@settings(quick, max_examples=max(10, EXAMPLES // 2))
@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 8, 13, 24, 32])] * 2),
    st.sampled_from(["<f2", "<f4", ">f4", "<f8", ">f8"]),
    st.sampled_from([30.0, 1.0, 0.1, 3e-3, 1e-5]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_latent_field_decodes_the_same(latent, lead, size, dtype, step, x_first, wrap, seed):
    folder, model = latent
    rng = np.random.default_rng(seed)
    array = make.smooth((*lead, *size), dtype, seed=seed)
    if rng.random() < 0.3:
        array[rng.random(array.shape) < 0.2] = np.nan
    if rng.random() < 0.3:
        array[rng.random(array.shape) < 0.1] *= 20
    if rng.random() < 0.3:
        array = np.asfortranarray(array)
    options = {"valid_range": (270.0, 281.0)} if rng.random() < 0.3 else {}
    if not np.isfinite(array).any():
        return
    decode_both(make.latent_coded(array, step, x_first=x_first, wrap=wrap, model=model, **options), folder)


@pytest.mark.parametrize("x_first", [False, True])
@pytest.mark.parametrize("shape", [(24, 32), (13, 21), (2, 9, 12)], ids=str)
def test_latents_with_a_residual_decode_the_same(latent, shape, x_first):
    folder, model = latent
    for array in (make.smooth(shape), make.holes(make.smooth((2, 20, 24))), make.smooth(shape, ">f8")):
        data = make.latent_coded(array, 0.5, bound=0.1, x_first=x_first, wrap=True, model=model)
        decoded, good = decode_both(data, folder), np.isfinite(array)
        assert np.abs(decoded[good].astype(np.float64) - array[good]).max() <= 0.1


@pytest.mark.parametrize("bound", [None, 0.1])
def test_latents_with_static_fields_decode_the_same(latent, bound):
    folder, model = latent
    name = keep_static(folder, np.random.default_rng(0).normal(size=(13, 15)))
    for gains in ((0.7,), (-3.0, 1e-9), (30.0, -29.0, 0.3, -0.0)):
        statics = tuple(Static(name, k % 2, 2 - k % 3, gain) for k, gain in enumerate(gains))
        for array in (make.smooth((12, 13)), make.smooth((2, 12, 13), ">f8")):
            decode_both(make.latent_coded(array, 0.5, bound=bound, model=model, statics=statics), folder)


@pytest.mark.parametrize(("most", "top"), [(3, 0.0), (2**20, 2.0**20), (2**38, 0.0), (2**40, 2.0**20)])
def test_any_symbols_decode_the_same(latent, most, top):
    folder, model = latent
    for shape in ((1, 24, 20), (2, 7, 12), (3, 2, 9), (1, 1, 9), (1, 1, 1)):
        for wrap, x_first in ((False, False), (True, False), (True, True)):
            decode_both(make.wild(shape, most, top=top, x_first=x_first, wrap=wrap, model=model), folder)


def test_latent_streams_that_are_refused(latent):
    folder, model = latent
    good = make.latent_coded(make.smooth((9, 11)), 0.3, model=model)
    payload = Stream.read(good).sections["payload"]
    for changed in (b"", b"\2" + payload[1:], payload[:-1], payload[:-4], payload + b"\0"):
        refused_by_both(make.with_sections(good, payload=changed), "Corrupt", folder)
    refused_by_both(make.wild((1, 5, 6), 3, top=2.0**24, model=model), "Corrupt", folder)
    refused_by_both(latent_header().write(), "ModelNotFound", folder)
    pyramid = bytes.fromhex(find_model().sha256)
    refused_by_both(latent_header(model=pyramid).write(), "ModelMismatch", folder)
    both = make.latent_coded(make.smooth((9, 11)), 1.0, bound=0.1, model=model)
    for residual in (good, Pyramid(bound="lossless").encode(np.ones((9, 12)))):
        refused_by_both(make.with_sections(both, residual=residual), "Corrupt", folder)
    refused_by_both(make.with_sections(both, residual=b""), "Truncated", folder)


def test_a_package_of_another_kind_or_with_other_shrinks_is_refused(latent, tmp_path):
    folder, model = latent
    good = make.latent_coded(make.smooth((9, 11)), 0.3, model=model)
    with zipfile.ZipFile(folder / "random.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    shrink = np.load(io.BytesIO(parts["shrink.npy"]))
    broken = [np.full((96, 2), 129, np.int16), shrink[:1], shrink[:, :1], shrink.astype(np.int32)]
    manifest = json.loads(parts["manifest.json"])
    changes = [{"shrink.npy": saved(each)} for each in broken]
    changes += [{"manifest.json": json.dumps(manifest | more).encode()} for more in ({"kind": "vq"}, {"format": 2})]
    for number, change in enumerate(changes):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in (parts | change).items():
                archive.writestr(name, data)
        own = tmp_path / str(number)
        own.mkdir()
        (own / "broken.zip").write_bytes(buffer.getvalue())
        name = hashlib.sha256(buffer.getvalue()).digest()
        data = dataclasses.replace(Stream.read(good), model=name).write()
        with mock.patch.dict(os.environ, {"ADIABAT_MODELS": str(own)}):
            refused_by_both(data, "ModelMismatch", own)


def saved(array):
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_every_truncation_and_bit_flip_of_a_latent_stream_is_refused(latent):
    folder, model = latent
    data = make.latent_coded(make.smooth((5, 6)), 0.5, model=model)
    for length in range(len(data)):
        with pytest.raises(reference.InvalidError):
            reference.decode(data[:length], [folder])
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(reference.InvalidError):
            reference.decode(bytes(bad), [folder])


def test_the_other_latent_codec_is_named():
    data = bytearray(latent_header().write())
    data[5] = 3
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(reference.OtherCodec, match=r"adiabat\.vq"):
        reference.decode(bytes(data))


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
