"""The specification's reference decoder as an oracle: what the package accepts, it decodes to the same bits.

It is slow, so that only one input in many is shown to it, chosen by the input itself.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.target import Failure
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "codec" / "models", ROOT / "spec" / "vectors" / "models")
ONE_IN = 200


@cache
def reference() -> Any:
    """The module `spec/reference_decoder.py`."""
    spec = importlib.util.spec_from_file_location("reference_decoder", ROOT / "spec" / "reference_decoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["reference_decoder"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen(data: bytes, one_in: int = ONE_IN) -> bool:
    """Whether this input is shown to the reference decoder."""
    return zlib.crc32(data) % one_in == 0


def compare(stream: bytes, ours: NDArray[np.floating] | None) -> None:
    """Decode a stream by the reference; Failure where it does not give the same bits, or the same refusal (None)."""
    try:
        theirs = reference().decode(stream, FOLDERS)
    except reference().OtherCodec:
        return
    except reference().InvalidError as error:
        if ours is not None:
            raise Failure(f"the reference decoder refuses what the package accepts: {error}") from error
        return
    if ours is None:
        raise Failure("the package refuses what the reference decoder accepts")
    if theirs.dtype != ours.dtype or theirs.shape != ours.shape or theirs.tobytes() != ours.tobytes():
        raise Failure(f"expected the reference decoder's bits, got {ours!r} for {theirs!r}")
