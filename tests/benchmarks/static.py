"""What a static field saves: `python tests/benchmarks/static.py FILE:VARIABLE --static FILE:VARIABLE --bounds 1 0.1`.

One frame, the first, coded with the static field and without; the static field's own bytes are not counted, since an
archive keeps it once. Prints ratios, bytes saved, and the largest error of the frame coded with it over the bound.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path

import numpy as np

from adiabat.codec import Pyramid
from adiabat.codec.models import find_model
from adiabat.codec.statics import add_static
from adiabat.formats.sources.cf import open_source
from adiabat.formats.static import fit_statics, open_static


def main() -> None:
    """Code, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="FILE:VARIABLE")
    parser.add_argument("--static", action="append", required=True, help="FILE:VARIABLE, on the source's grid")
    parser.add_argument("--bounds", type=float, nargs="+", default=[1.0, 0.5, 0.1, 0.05], help="absolute")
    options = parser.parse_args()
    path, _, name = options.source.rpartition(":")
    with open_source(Path(path)) as dataset:
        array = dataset[name]
        files = fit_statics(array, [open_static(each) for each in options.static])
        frame = array.values.reshape(-1, *array.shape[-2:])[0].astype(np.float32)
    if not files:
        parser.error(f"expected static fields on the grid of {name}")
    statics = [add_static(file.data) for file in files]
    print(f"{datetime.date.today()}, {platform.machine()}, model {find_model().sha256[:12]}")
    print(f"{name} {frame.shape}, static {', '.join(file.label for file in files)}\n")
    print("   bound  ratio without     with   saved  largest error/bound")
    for bound in options.bounds:
        plain = Pyramid(bound={"abs": bound}).encode(frame)
        codec = Pyramid(bound={"abs": bound}, static=statics)
        helped = codec.encode(frame)
        error = np.abs(codec.decode(helped).astype(np.float64) - frame).max() / bound
        ratios = f"{frame.nbytes / len(plain):14.1f} {frame.nbytes / len(helped):8.1f}"
        print(f"{bound:8g} {ratios} {1 - len(helped) / len(plain):6.1%}  {error:.6f}")


if __name__ == "__main__":
    main()
