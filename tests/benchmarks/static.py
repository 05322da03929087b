"""What a static field saves: `python tests/benchmarks/static.py FILE:VARIABLE --static FILE:VARIABLE --bounds 1 0.1`.

One frame, the first, coded with the static field and without, by Pyramid under bounds and by Hyperprior at given
RMSE (`--rmse`); the static field's own bytes are not counted, since an archive keeps it once. Prints ratios, bytes
saved, and the largest error, or the RMSE, of the frame coded with it over what was asked.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.codec import Hyperprior, Pyramid
from adiabat.codec.hyperprior_model import find_hyperprior
from adiabat.codec.models import find_model
from adiabat.codec.statics import add_static
from adiabat.formats.sources.cf import open_source
from adiabat.formats.static import fit_statics, open_static


def main() -> None:
    """Code, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="FILE:VARIABLE")
    parser.add_argument("--static", action="append", required=True, help="FILE:VARIABLE, on the source's grid")
    parser.add_argument("--bounds", type=float, nargs="*", default=[1.0, 0.5, 0.1, 0.05], help="absolute")
    parser.add_argument("--rmse", type=float, nargs="*", default=[])
    options = parser.parse_args()
    path, _, name = options.source.rpartition(":")
    with open_source(Path(path)) as dataset:
        array = dataset[name]
        files = fit_statics(array, [open_static(each) for each in options.static])
        frame = array.values.reshape(-1, *array.shape[-2:])[0].astype(np.float32)
    if not files:
        parser.error(f"expected static fields on the grid of {name}")
    statics = [add_static(file.data) for file in files]
    print(f"{datetime.date.today()}, {platform.machine()}, models {find_model().sha256[:12]}, "
          f"{find_hyperprior().sha256[:12]}")  # fmt: skip
    print(f"{name} {frame.shape}, static {', '.join(file.label for file in files)}\n")
    print("           ratio without     with   saved  error/asked")
    for bound in options.bounds:
        plain, helped = Pyramid(bound={"abs": bound}), Pyramid(bound={"abs": bound}, static=statics)
        show(f"abs:{bound:g}", frame, plain, helped, bound)
    for rmse in options.rmse:
        target = {"rmse": rmse}
        show(f"rmse:{rmse:g}", frame, Hyperprior(target=target), Hyperprior(target=target, static=statics), rmse)


def show(name: str, frame: np.ndarray, plain: Any, helped: Any, asked: float) -> None:
    """One row."""
    without, data = plain.encode(frame), helped.encode(frame)
    error = np.abs(helped.decode(data).astype(np.float64) - frame)
    reached = (error.max() if name.startswith("abs") else np.sqrt((error**2).mean())) / asked
    ratios = f"{frame.nbytes / len(without):14.1f} {frame.nbytes / len(data):8.1f}"
    print(f"{name:>10} {ratios} {1 - len(data) / len(without):6.1%}  {reached:.6f}", flush=True)


if __name__ == "__main__":
    main()
