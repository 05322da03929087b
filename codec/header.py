"""The header of a stream: what it says, as bytes, in all versions.

Part of `stream`. A name that came with a version means nothing in those before. Spec: `spec/stream.md`, "Header".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, write_varint

if TYPE_CHECKING:
    from adiabat.codec.stream import Stream

__all__ = ["MAX_DIMENSIONS", "MAX_ELEMENTS", "MODEL_BYTES", "NEW", "PATHS", "pick", "read_header", "write_header"]

MAX_ELEMENTS = 2**31  # of one chunk; zero-length axes count as one
MAX_DIMENSIONS = 32
MAX_STEPS = 2**31 - 1  # of an integer bound

PATHS = ("raw", "constant", "classical", "neural", "latent", "spectral")
BOUNDS = ("lossless", "abs", "rel", "profile", "unbounded", "noise")
UNSIZED = ("lossless", "unbounded")
DTYPES = {1: "f2", 2: "f4", 3: "f8"}
DOMAINS = {"none": "", "abs": "d", "lattice": "ddv", "ordered": "", "log": "v", "profile": "v"}
DOMAINS |= {"latent": "ff", "spectral": ""}  # d: float64, f: float32, v: varint
MODEL_BYTES = {"neural": 32, "latent": 8}  # of a model's SHA-256, by path: at ratios of 1000 each byte counts
FORTRAN, WRAP, LOWEST, HIGHEST = 1, 2, 4, 8  # flag bits; the others are reserved and zero
NEW = {"profile": 2, "bounds": 2, "static": 2, "latent": 3, "unbounded": 3, "residual": 3}
NEW |= {"spectral": 4, "noise": 4, "adiabat.hvae": 4}  # names by their version


def write_header(stream: Stream) -> bytes:
    """Return the header of a stream as bytes."""
    dtype = np.dtype(stream.dtype)
    low, high = stream.valid_range
    flags = stream.fortran * FORTRAN | stream.wrap * WRAP | (low is not None) * LOWEST | (high is not None) * HIGHEST
    code = next(code for code, name in DTYPES.items() if name == dtype.str[1:]) | (dtype.str[0] == ">") * 128
    name, *parameters = stream.domain
    out = bytes([PATHS.index(stream.path), flags, code, len(stream.shape)]) + b"".join(map(write_varint, stream.shape))
    out += _write_bound(*stream.bound) + bytes([list(DOMAINS).index(str(name))])
    for kind, value in zip(DOMAINS[str(name)], parameters, strict=True):
        out += write_varint(int(value)) if kind == "v" else struct.pack(f"<{kind}", value)
    out += b"".join(struct.pack("<d", end) for end in stream.valid_range if end is not None)
    return out + (stream.model or b"")


def _write_bound(kind: str, size: float) -> bytes:
    """Its kind, and its size or, of a profile, the axis."""
    head = bytes([BOUNDS.index(kind)])
    if kind == "profile":
        return head + bytes([int(size)])
    return head if kind in UNSIZED else head + struct.pack("<d", size)


def read_header(reader: Reader, version: int) -> dict[str, Any]:
    """Parse a header into the fields of a `Stream`; CorruptStreamError if it is bad."""
    path, flags = pick(PATHS, reader.u8(), "path", version), reader.u8()
    if flags > 15:
        raise CorruptStreamError(f"expected reserved flag bits to be zero, got {flags:#04x}")
    code, dimensions = reader.u8(), reader.u8()
    dtype = ("<", ">")[code >> 7] + pick(DTYPES, code & 127, "dtype", version)
    if dimensions > MAX_DIMENSIONS:
        raise CorruptStreamError(f"expected at most {MAX_DIMENSIONS} dimensions, got {dimensions}")
    shape = tuple(reader.varint(MAX_ELEMENTS) for _ in range(dimensions))
    bound = _read_bound(reader, version)
    domain = pick(tuple(DOMAINS), reader.u8(), "domain", version)
    kinds = DOMAINS[domain]
    parameters = [_parameter(reader, kind) for kind in kinds]
    if kinds.startswith("d"):
        _positive(float(parameters[0]))
    if domain == "latent":
        _positive(float(parameters[1]))
    low = reader.f64() if flags & LOWEST else None
    high = reader.f64() if flags & HIGHEST else None
    return {
        "path": path,
        "dtype": dtype,
        "shape": shape,
        "fortran": bool(flags & FORTRAN),
        "bound": bound,
        "domain": (domain, *parameters),
        "wrap": bool(flags & WRAP),
        "valid_range": (low, high),
        "model": reader.take(MODEL_BYTES[path]) if path in MODEL_BYTES else None,
        "version": version,
    }


def _parameter(reader: Reader, kind: str) -> float | int:
    if kind == "v":
        return reader.varint(MAX_STEPS)
    return reader.f64() if kind == "d" else reader.f32()


def _read_bound(reader: Reader, version: int) -> tuple[str, float]:
    kind = pick(BOUNDS, reader.u8(), "bound", version)
    if kind == "profile":
        return kind, reader.u8()
    return kind, _positive(reader.f64()) if kind not in UNSIZED else 0.0


def pick(names: Sequence[str] | Mapping[int, str], code: int, what: str, version: int) -> str:
    """Return the name of a code; CorruptStreamError where the version has none."""
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    known = {number: name for number, name in pairs if version >= NEW.get(name, 1)}
    if code not in known:
        raise CorruptStreamError(f"expected a {what} of {known}, got {code}")
    return known[code]


def _positive(number: float) -> float:
    if number <= 0:
        raise CorruptStreamError(f"expected a number above zero, got {number}")
    return number
