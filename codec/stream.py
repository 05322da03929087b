"""The bytes of one chunk: header, sections, checksum.

Last stage of encoding and first of decoding; `header` has the header. Every
length, limit and the checksum are looked at before anything is allocated. Spec: `spec/stream.md`.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from adiabat.codec.errors import (
    CorruptStreamError,
    TruncatedStreamError,
    UnsupportedVersionError,
)
from adiabat.codec.header import (
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    MODEL_BYTES,
    NEW,
    PATHS,
    pick,
    read_header,
    write_header,
)
from adiabat.codec.octets import Reader, write_varint

__all__ = ["MAX_ELEMENTS", "Stream", "element_count"]

MAGIC = b"ADBT"
VERSIONS = (1, 2, 3, 4)  # that are read
OF_PATH = -1  # the version that a path is written in: the first that has it, so that old readers go on reading
WRITTEN, WRITTEN_LATENT, WRITTEN_SPECTRAL = 2, 3, 4
ELEMENTS_PER_BYTE = 2**16  # a predicted chunk announces at most this many elements for each of its bytes
SHAVES = range(1, 53)  # of a domain "profile"

CODECS = {1: "adiabat.pyramid", 2: "adiabat.hyperprior", 3: "adiabat.vq", 4: "adiabat.hvae"}
SECTIONS = {1: "mask", 2: "signs", 3: "exceptions", 4: "low_words", 5: "payload", 6: "bounds", 7: "static"}
SECTIONS |= {8: "residual"}
PREDICTED = ("classical", "neural", "latent", "spectral")


@dataclass(frozen=True)
class Stream:
    """One encoded chunk: what its header says, and its sections by name.

    Parameters
    ----------
    path : str
        One of "raw", "constant", "classical", "neural", "spectral", and "latent" of the latent codecs.
    dtype : numpy dtype
        float16, float32 or float64 in either byte order.
    shape : tuple of int
        The array's shape, `()` for 0-d.
    fortran : bool
        Whether the array lay in Fortran order.
    bound : tuple of str and float
        ("lossless", 0.0), ("abs", x), ("rel", r) or ("profile", axis), whose bounds stand in section "bounds"; of a
        latent path ("unbounded", 0.0), or ("abs", x) with a section "residual"; of a spectral path ("noise", k).
    domain : tuple
        Its name and parameters, e.g. ("abs", unit); ("none",) for raw and constant; ("latent", centre, scale), two
        numbers of float32, for latent; ("spectral",) for spectral.
    wrap : bool
        Whether the last axis closes on itself.
    valid_range : tuple of two (float or None)
        Decoded values are clipped to it, inclusive.
    model : bytes or None
        SHA-256 of the model, 32 bytes, for the neural path; its first 8 for the latent one, which keeps no more.
    sections : mapping of str to bytes
        "payload" always; "mask", "signs", "exceptions", "low_words", "bounds", "static", "residual" where needed.
    version : int, optional
        2 as written, 3 for the latent path, 4 for the spectral one and of "adiabat.hvae"; 1 as written before, without
        profiles and with another neural payload.
    codec : str
        Whose stream it is; one of the latent codecs for the latent path.

    Raises
    ------
    ValueError
        If a field is out of range, with what was expected and got.

    Source
    ------
    Layout: `spec/stream.md`. One struct per file with its reader and writer after pcodec.

    Examples
    --------
    >>> stream = Stream("constant", "<f4", (2, 3), sections={"payload": bytes(4)})
    >>> Stream.read(stream.write()) == stream
    True
    """

    path: str
    dtype: np.dtype[np.floating]
    shape: tuple[int, ...]
    fortran: bool = False
    bound: tuple[str, float] = ("lossless", 0.0)
    domain: tuple[str | float | int, ...] = ("none",)
    wrap: bool = False
    valid_range: tuple[float | None, float | None] = (None, None)
    model: bytes | None = None
    sections: Mapping[str, bytes] = field(default_factory=dict)
    version: int = OF_PATH
    codec: str = CODECS[1]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        latent = self.path == "latent"
        if self.version == OF_PATH:
            object.__setattr__(self, "version", self._needed())
        if latent and self.model is not None:
            object.__setattr__(self, "model", self.model[: MODEL_BYTES["latent"]])
        for problem in self._problems():
            raise ValueError(problem)

    def _needed(self) -> int:
        """The version that has the path, of this codec."""
        if self.path == "spectral" or NEW.get(self.codec) == WRITTEN_SPECTRAL:
            return WRITTEN_SPECTRAL
        return WRITTEN_LATENT if self.path == "latent" else WRITTEN

    def _problems(self) -> list[str]:
        tests = {**self._tests(), **self._tests_of_version_2(), **self._tests_of_version_3()}
        return [message for message, good in tests.items() if not good]

    def _tests(self) -> dict[str, bool]:
        """What must hold, by what to say where it does not."""
        low, high = self.valid_range
        predicted = self.path in PREDICTED
        name = str(self.domain[0])
        return {
            f"expected a path of {PATHS}, got {self.path!r}": self.path in PATHS,
            f"expected at most {MAX_DIMENSIONS} dimensions, got {len(self.shape)}": len(self.shape) <= MAX_DIMENSIONS,
            f"expected at most 2**31 elements, got shape {self.shape}": element_count(self.shape) <= MAX_ELEMENTS,
            f"expected a domain for path {self.path}, got {name}": predicted == (name != "none"),
            f"expected a model hash of {MODEL_BYTES} bytes by path, got {self.model!r}": (
                len(self.model or b"") == MODEL_BYTES.get(self.path, 0)
            ),
            f"expected lowest <= highest, got {self.valid_range}": low is None or high is None or low <= high,
            f"expected a valid range of {self.dtype} numbers, got {self.valid_range}": all(
                end is None or _holds(self.dtype, end) for end in self.valid_range
            ),
            f"expected elements to predict, got shape {self.shape}": not predicted or 0 not in self.shape,
            f"expected sections of {list(SECTIONS.values())} with payload, got {list(self.sections)}": (
                "payload" in self.sections and set(self.sections) <= set(SECTIONS.values())
            ),
            f"expected other sections for {self.path} {self.dtype} {name}, got {list(self.sections)}": (
                set(self.sections) <= self._allowed()
            ),
        }

    def _tests_of_version_2(self) -> dict[str, bool]:
        """The same of the version, and of what came with version 2."""
        (kind, place), (name, *parameters), sections = self.bound, self.domain, list(self.sections)
        newer = sorted(each for each in {kind, str(name), self.path, *sections} if NEW.get(each, 1) > self.version)
        profile = kind == "profile"
        return {
            f"expected a version of {VERSIONS}, got {self.version}": self.version in VERSIONS,
            f"expected nothing newer than version {self.version}, got {newer}": not newer,
            f"expected bound, domain and section of a profile together, got {kind}, {name}, {sections}": (
                profile == (name == "profile") == ("bounds" in sections)
            ),
            f"expected a profile along an axis of {self.shape}, got {place}": (
                not profile or place in range(len(self.shape))
            ),
            f"expected a profile's shave to be from 1 to 52, got {parameters}": (
                name != "profile" or parameters[0] in SHAVES
            ),
        }

    def _tests_of_version_3(self) -> dict[str, bool]:
        """The same of what came with versions 3 and 4: the latent path, the spectral one."""
        latent, bound, needed = self.path == "latent", self.bound[0], self._needed()
        kinds = [self.path, str(self.domain[0]), {"noise": "spectral"}.get(bound, bound)]
        return {
            f"expected the latent path of a latent codec, got {self.path} of {self.codec}": (
                self.codec in CODECS.values() and latent == (self.codec != CODECS[1])
            ),
            f"expected version {needed} for path {self.path} of {self.codec}, got {self.version}": (
                max(self.version, WRITTEN) == needed
            ),
            f"expected path and domain spectral and bound noise together, got {self.path}, {self.domain}, {bound}": (
                kinds.count("spectral") in (0, 3)
            ),
            f"expected domain latent for the latent path only, got {self.domain}": (
                latent == (self.domain[0] == "latent")
            ),
            f"expected a bound where a latent path has a residual, else none, got {bound}": (
                bound == ("abs" if "residual" in self.sections else "unbounded") if latent else bound != "unbounded"
            ),
        }

    def _allowed(self) -> set[str]:
        """Return the sections that mean something here."""
        if self.path == "latent":
            return {"payload", "mask", "residual", "static"}
        allowed = {"payload"} if self.path == "raw" else {"payload", "mask"}
        if self.path in ("classical", "neural", "spectral"):
            allowed.add("exceptions")
        if self.path == "neural":
            allowed.add("static")
        if self.domain[0] == "log":
            allowed.add("signs")
        if self.domain[0] == "profile":
            allowed.add("bounds")
        if self.domain[0] == "ordered" and self.dtype.itemsize == 8:
            allowed.add("low_words")
        return allowed

    def write(self) -> bytes:
        """Return the whole stream as bytes, checksum included."""
        body = write_header(self)
        names = [(code, name) for code, name in SECTIONS.items() if name in self.sections]
        body += bytes([len(names)]) + b"".join(bytes([c]) + write_varint(len(self.sections[n])) for c, n in names)
        parts = [body, *(self.sections[name] for _, name in names)]
        size = sum(map(len, parts)) + 4
        codec = next(code for code, name in CODECS.items() if name == self.codec)
        whole = b"".join([MAGIC, bytes([self.version, codec]), write_varint(size), *parts])
        return whole + struct.pack("<I", zlib.crc32(whole))

    @classmethod
    def read(cls, data: bytes) -> Stream:
        """Parse a stream; TruncatedStreamError, CorruptStreamError or UnsupportedVersionError if it is bad."""
        reader = Reader(_checked_body(data))
        version = data[4]
        try:
            header = read_header(reader, version)
            stream = cls(**header, sections=_read_sections(reader, version), codec=CODECS[data[5]])
        except ValueError as problem:
            raise CorruptStreamError(str(problem)) from None
        if stream.path in PREDICTED and element_count(stream.shape) > ELEMENTS_PER_BYTE * len(data):
            raise CorruptStreamError(f"expected at most 65536 elements a byte, got {stream.shape} in {len(data)} bytes")
        return stream


def _holds(dtype: np.dtype[np.floating], number: float) -> bool:
    """Whether a number is one of the dtype's, exactly."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float64(number).astype(dtype.newbyteorder("="))) == number


def element_count(shape: tuple[int, ...]) -> int:
    """Elements of a shape, a zero-length axis counted as one (the limit is on it too)."""
    return math.prod(max(length, 1) for length in shape)


def _checked_body(data: bytes) -> memoryview:
    """Return what lies between the length and the checksum, after both were checked."""
    if not MAGIC.startswith(data[:4]):
        raise CorruptStreamError(f"expected a stream that starts with {MAGIC!r}, got {bytes(data[:4])!r}")
    if len(data) > 4 and data[4] not in VERSIONS:
        raise UnsupportedVersionError(f"expected a stream version of {VERSIONS}, got {data[4]}: please upgrade adiabat")
    if len(data) > 5 and data[5] not in CODECS:
        raise CorruptStreamError(f"expected a codec of {CODECS}, got {data[5]}")
    end = next((at for at in range(6, min(15, len(data))) if data[at] < 128), None)
    if end is None:
        kind = CorruptStreamError if len(data) >= 15 else TruncatedStreamError
        raise kind(f"expected a length after 6 bytes, got {len(data)} bytes in all")
    size = Reader(data[6 : end + 1]).varint()
    got = len(data) - end - 1
    if got < size:
        raise TruncatedStreamError(f"expected {size} bytes after the length, got {got}")
    if got > size or size < 4:
        raise CorruptStreamError(f"expected {size} bytes after the length, at least 4, got {got}")
    view = memoryview(data)
    stored = struct.unpack("<I", view[-4:])[0]
    if zlib.crc32(view[:-4]) != stored:
        raise CorruptStreamError(f"expected checksum {stored:08x}, got {zlib.crc32(view[:-4]):08x}")
    return view[end + 1 : -4]


def _read_sections(reader: Reader, version: int) -> dict[str, bytes]:
    table: list[tuple[int, int]] = []
    for _ in range(reader.u8()):
        code = reader.u8()
        pick(SECTIONS, code, "section", version)
        if table and code <= table[-1][0]:
            raise CorruptStreamError(f"expected section ids to grow, got {code} after {table[-1][0]}")
        table.append((code, reader.varint()))
    sections = {SECTIONS[code]: reader.take(size) for code, size in table}
    reader.end()
    return sections
