"""What a stream says of itself, for people: nothing is decoded.

Beside the pipeline: stream -> **description** -> `adiabat inspect`. Spec: `spec/stream.md`.
"""

from __future__ import annotations

import numpy as np

from adiabat.codec.bound_profile import Profile
from adiabat.codec.stream import Stream

__all__ = ["describe"]


def describe(data: bytes) -> dict[str, object]:
    """Tell what a stream holds without decoding it.

    Returns
    -------
    dict
        Of JSON types: codec, version, path, dtype, order, shape, bound, domain, wrap, valid_range,
        model (SHA-256 in hex, or as much of it as the stream has, or None), sections (bytes of each), bytes (of all).

    Raises
    ------
    TruncatedStreamError, CorruptStreamError, UnsupportedVersionError

    Examples
    --------
    >>> data = Stream("constant", "<f4", (2, 3), sections={"payload": bytes(4)}).write()
    >>> describe(data)["path"], describe(data)["sections"]
    ('constant', {'payload': 4})
    """
    stream = Stream.read(data)
    return {
        "codec": stream.codec,
        "version": stream.version,
        "path": stream.path,
        "dtype": np.dtype(stream.dtype).str,
        "order": "F" if stream.fortran else "C",
        "shape": list(stream.shape),
        "bound": _describe_bound(stream),
        "domain": list(stream.domain),
        "wrap": stream.wrap,
        "valid_range": list(stream.valid_range),
        "model": None if stream.model is None else stream.model.hex(),
        "sections": {name: len(part) for name, part in stream.sections.items()},
        "bytes": len(data),
    }


def _describe_bound(stream: Stream) -> object:
    """Return the bound as a codec's configuration has it."""
    kind, size = stream.bound
    if kind == "profile":
        return Profile.read(stream.sections["bounds"], stream.shape, int(size)).config()
    return {"lossless": kind, "unbounded": None}.get(kind, {kind: size})
