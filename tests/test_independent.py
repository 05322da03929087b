"""The decoder in C99 that was written from the prose of spec/ alone: the bits of all vectors, and of mutants."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from adiabat.codec import AdiabatError, Pyramid

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "tests" / "independent"
VECTORS = ROOT / "spec" / "vectors"
MODELS = [ROOT / "codec" / "models", VECTORS / "models"]
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
# For decoders of version 4 these are no vectors any more (spec/errata.md).
OUTGROWN = {"version": "decoded", "version-3": "Corrupt", "version-4": "Corrupt"}
SMALL = ["constant", "hand-raw-zlib", "hand-classical-2", "tiny", "v2-value", "v3-shape-2x2", "v4-pixel"]


def compiled(out: Path, *flags: str) -> Path:
    """Compile the decoder, with warnings as errors."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: nothing is called cc")
    sources = sorted(map(str, SOURCES.glob("*.c")))
    subprocess.run([compiler, *FLAGS, *flags, *sources, "-lm", "-o", str(out)], check=True)
    return out


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the decoder as a porter would build it."""
    return compiled(tmp_path_factory.mktemp("independent") / "adiabat-decode", "-O2")


@pytest.fixture(scope="module")
def sanitised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the decoder with checks of its memory and its integers."""
    folder, flags = tmp_path_factory.mktemp("sanitised"), ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    (folder / "probe.c").write_text("int main(void) { return 0; }\n")
    compiler = shutil.which("cc")
    probe = compiler and subprocess.run([compiler, *flags, folder / "probe.c", "-o", folder / "probe"], check=False)
    if not probe or probe.returncode or subprocess.run([folder / "probe"], check=False).returncode:
        pytest.skip("no C compiler, or its sanitizers do not link and run")
    return compiled(folder / "adiabat-decode", "-Og", *flags)


def decode_all(program: Path, folder: Path, streams: dict[str, Path]) -> dict[str, str]:
    """Decode streams to `folder/NAME.npy` in one process; what it says of each."""
    listed = folder / "streams.txt"
    listed.write_text("".join(f"{stream}\t{folder / name}.npy\n" for name, stream in streams.items()))
    run = subprocess.run([program, "--list", listed, *MODELS], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return dict(zip(streams, run.stdout.splitlines(), strict=True))


def cases(kind: str) -> dict[str, Path]:
    """All vectors of a kind."""
    found = {folder.name: folder / "stream.bin" for folder in sorted((VECTORS / kind).iterdir())}
    assert len(found) > 200
    return found


def check_valid(program: Path, folder: Path) -> None:
    """Check every valid vector: dtype, byte order, shape, memory order and all bits."""
    streams = cases("valid")
    said = decode_all(program, folder, streams)
    assert {name: text for name, text in said.items() if text != "decoded"} == {}
    for name, stream in streams.items():
        expected, got = np.load(stream.parent / "array.npy"), np.load(folder / f"{name}.npy")
        assert (got.dtype.str, got.shape) == (expected.dtype.str, expected.shape), name
        assert got.flags.f_contiguous == expected.flags.f_contiguous, name
        assert got.tobytes("A") == expected.tobytes("A"), name


def check_invalid(program: Path, folder: Path) -> None:
    """Check that every invalid vector is refused with the named error, and that nothing is written."""
    streams = cases("invalid")
    said = decode_all(program, folder, streams)
    for name, stream in streams.items():
        error = OUTGROWN.get(name) or json.loads((stream.parent / "about.json").read_text())["error"]
        assert said[name].split(":")[0] == error, (name, said[name])
        assert (folder / f"{name}.npy").exists() == (error == "decoded"), name


def refused(program: Path, folder: Path, streams: dict[str, bytes]) -> None:
    """Check that all these are refused with nothing written."""
    for name, stream in streams.items():
        (folder / f"{name}.bin").write_bytes(stream)
    said = decode_all(program, folder, {name: folder / f"{name}.bin" for name in streams})
    errors = {"Truncated", "Corrupt", "UnsupportedVersion", "ModelNotFound", "ModelMismatch"}
    assert {name: text for name, text in said.items() if text.split(":")[0] not in errors} == {}
    assert not list(folder.glob("*.npy"))


def test_every_valid_vector_gives_its_bits(decoder: Path, tmp_path: Path) -> None:
    check_valid(decoder, tmp_path)


def test_every_invalid_vector_is_refused_with_its_error(decoder: Path, tmp_path: Path) -> None:
    check_invalid(decoder, tmp_path)


@pytest.mark.parametrize("name", SMALL)
def test_every_proper_prefix_is_refused(decoder: Path, tmp_path: Path, name: str) -> None:
    stream = (VECTORS / "valid" / name / "stream.bin").read_bytes()
    refused(decoder, tmp_path, {f"{n}": stream[:n] for n in range(len(stream))})


def test_every_single_bit_flip_is_refused(decoder: Path, tmp_path: Path) -> None:
    stream = (VECTORS / "valid" / "tiny" / "stream.bin").read_bytes()
    flips = {f"{bit}": bytearray(stream) for bit in range(8 * len(stream))}
    for bit, flip in enumerate(flips.values()):
        flip[bit // 8] ^= 1 << bit % 8
    refused(decoder, tmp_path, {name: bytes(flip) for name, flip in flips.items()})


def test_sanitizers_find_nothing(sanitised: Path, tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    (tmp_path / "invalid").mkdir()
    check_valid(sanitised, tmp_path / "valid")
    check_invalid(sanitised, tmp_path / "invalid")


def mutants(count: int) -> dict[str, bytes]:
    """Small vectors with a byte or two changed behind the length, and the checksum repaired."""
    rng = np.random.default_rng(9)
    small = [path.read_bytes() for path in cases("valid").values() if path.stat().st_size < 600]
    made = {}
    for number in range(count):
        stream = bytearray(small[rng.integers(len(small))])
        for at in rng.integers(8, len(stream) - 4, rng.integers(1, 3)):
            stream[at] = rng.integers(256) if rng.random() < 0.5 else stream[at] ^ 1 << rng.integers(8)
        stream[-4:] = struct.pack("<I", zlib.crc32(stream[:-4]))
        made[str(number)] = bytes(stream)
    return made


def test_mutants_are_decoded_alike_by_the_package(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What both decode has the same bits, and what one refuses the other does."""
    monkeypatch.setenv("ADIABAT_MODELS", str(MODELS[1]))
    made = mutants(300)
    for name, stream in made.items():
        (tmp_path / f"{name}.bin").write_bytes(stream)
    said = decode_all(decoder, tmp_path, {name: tmp_path / f"{name}.bin" for name in made})
    arrays = {name: decoded_by_the_package(stream) for name, stream in made.items()}
    assert {name: text == "decoded" for name, text in said.items()} == {n: a is not None for n, a in arrays.items()}
    for name, array in arrays.items():
        assert array is None or np.load(tmp_path / f"{name}.npy").tobytes("A") == array.tobytes("A"), name
    assert 50 < sum(array is None for array in arrays.values()) < 250


def decoded_by_the_package(stream: bytes) -> np.ndarray | None:
    """Decode a stream with the package; None where it refuses."""
    try:
        return Pyramid(bound="lossless").decode(stream)
    except AdiabatError:
        return None


def test_one_stream_on_the_command_line(decoder: Path, tmp_path: Path) -> None:
    case, out = VECTORS / "valid" / "tiny", tmp_path / "tiny.npy"
    run = subprocess.run([decoder, case / "stream.bin", out, *MODELS], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    np.testing.assert_array_equal(np.load(out), np.load(case / "array.npy"))


def test_a_refused_stream_is_one_line_and_no_file(decoder: Path, tmp_path: Path) -> None:
    case, out = VECTORS / "valid" / "tiny", tmp_path / "tiny.npy"
    run = subprocess.run([decoder, case / "stream.bin", out], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("ModelNotFound: ")
    assert run.stderr.count("\n") == 1
    assert not out.exists()


def stream_of(version: int, codec: int, header: bytes, sections: dict[int, bytes]) -> bytes:
    """Put a stream together by hand; every length is below 128."""
    table = bytes([len(sections)]) + b"".join(bytes([name, len(body)]) for name, body in sections.items())
    rest = header + table + b"".join(sections.values())
    stream = b"ADBT" + bytes([version, codec, len(rest) + 4]) + rest
    return stream + struct.pack("<I", zlib.crc32(stream))


def decoded(program: Path, folder: Path, stream: bytes) -> np.ndarray:
    """Decode one stream."""
    (folder / "stream.bin").write_bytes(stream)
    run = subprocess.run([program, folder / "stream.bin", folder / "out.npy"], capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    return np.load(folder / "out.npy")


def test_listed_special_values(decoder: Path, tmp_path: Path) -> None:
    """Class 255 takes the next pattern of the list (spec/mask.md)."""
    table, first, second = 0x7FC00001, 0x7FC00002, 0xFF800000
    listed = struct.pack("<2I", first, second)
    planes_of_list = bytes([0]) + bytes(listed[i::4][k] for i in range(4) for k in range(2))
    # Pixels 0 to 4 have classes 0, 255, 1, 255, 0: plane 0 is of pixels 1, 2, 3, the seven others of 1 and 3.
    planes = b"".join(bytes([3, 0, 0, bits]) for bits in [0b01110] + 7 * [0b01010])
    mask = bytes([1]) + struct.pack("<I", table) + bytes([2, len(planes_of_list)]) + planes_of_list + planes
    constant = bytes([1, 0, 2, 1, 5, 0, 0])
    array = decoded(decoder, tmp_path, stream_of(1, 1, constant, {1: mask, 5: struct.pack("<f", 1.5)}))
    one = struct.unpack("<I", struct.pack("<f", 1.5))[0]
    assert array.view("<u4").tolist() == [one, first, table, second, one]


@pytest.mark.parametrize("form", [0, 1, 2, 3])
def test_planes_against_rows_and_frames(decoder: Path, tmp_path: Path, form: int) -> None:
    """Rows are restored first, then frames (spec/mask.md)."""
    stored = np.random.default_rng(5).integers(0, 2, (3, 2, 4))
    expected = np.bitwise_xor.accumulate(stored, axis=1) if form & 2 else stored
    expected = np.bitwise_xor.accumulate(expected, axis=0) if form & 1 else expected
    plane = bytes([form, 0]) + np.packbits(stored.reshape(-1), bitorder="little").tobytes()
    mask = bytes([1]) + struct.pack("<f", np.inf) + bytes([0, 0, len(plane)]) + plane
    constant = bytes([1, 0, 2, 3, 3, 2, 4, 0, 0])
    array = decoded(decoder, tmp_path, stream_of(1, 1, constant, {1: mask, 5: bytes(4)}))
    np.testing.assert_array_equal(np.isinf(array), expected == 1)


def test_ordered_float64_without_low_words(decoder: Path, tmp_path: Path) -> None:
    """Without the section the lower halves are 0 (spec/bounds.md, "ordered")."""
    upper = np.array([0x3FF00000, 0, -1, 0x7FEFFFFF, -0x3FF80001])
    folded = np.where(upper < 0, -2 * upper - 1, 2 * upper).astype("<u4")
    payload = bytes([0, 4, 0]) + folded.view("u1").reshape(-1, 4).T.tobytes()
    array = decoded(decoder, tmp_path, stream_of(1, 1, bytes([2, 0, 3, 1, 5, 0, 3]), {5: payload}))
    ordered = upper.astype("i8") << 32
    patterns = np.where(ordered < 0, ordered ^ 0x7FFFFFFFFFFFFFFF, ordered)
    np.testing.assert_array_equal(array.view("<i8"), patterns)


@pytest.mark.parametrize(("codec", "version"), [(3, 3), (4, 4)])
def test_float_codecs_have_an_exit_code_of_their_own(decoder: Path, tmp_path: Path, codec: int, version: int) -> None:
    """Codecs 3 and 4 promise no bits, so this decoder does not decode them."""
    header = bytes([4, 0, 2, 2, 2, 3, 4, 6]) + struct.pack("<2f", 0.0, 1.0) + bytes(8)
    (tmp_path / "stream.bin").write_bytes(stream_of(version, codec, header, {5: bytes(2)}))
    command = [decoder, tmp_path / "stream.bin", tmp_path / "out.npy", *MODELS]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "out.npy").exists()
