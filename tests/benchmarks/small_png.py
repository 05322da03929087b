"""Figures as PNG of few colours, a third of the bytes, for pages that are kept with the source.

python tests/benchmarks/small_png.py spec/guide/*.png     # in place, to 256 colours, where that is smaller
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any


def save(figure: Any, target: Path, *, dpi: int, colours: int = 64) -> int:
    """Write a figure of matplotlib with so many colours at most; its bytes are returned."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    return reduce(drawn, target, colours=colours)


def reduce(source: Any, target: Path, *, colours: int = 64) -> int:
    """Write the picture in `source`, a file or its path, with so many colours at most."""
    from PIL import Image

    with Image.open(source) as picture:
        few = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    target.parent.mkdir(parents=True, exist_ok=True)
    few.save(target, "PNG", optimize=True)
    return target.stat().st_size


def main(paths: list[str]) -> None:
    """Reduce files in place; those of few colours already stay as they are."""
    for path in map(Path, paths):
        before, smaller = path.stat().st_size, path.with_suffix(".small")
        after = reduce(path, smaller, colours=256)
        if after < 0.9 * before:
            smaller.replace(path)
        smaller.unlink(missing_ok=True)
        print(f"{path}: {before} bytes, now {path.stat().st_size}")


if __name__ == "__main__":
    main(sys.argv[1:])
