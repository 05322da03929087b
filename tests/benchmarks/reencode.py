"""Count how often encoding a decoded field again gives the same values: `python tests/benchmarks/reencode.py`.

Partial writes of a Zarr chunk and `open_zarr(..).to_zarr(..)` encode what was decoded, so this must be harmless. For
each bound: how many of many random and real fields come back with the same values, and what changed where they do
not; the same for stacks of frames that follow one another. Exits 1 below 99 % at any bound, 90 % of stacks.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from simulated import moving

from adiabat.codec import Pyramid, describe

Bound = dict[str, float] | str
DTYPES = ("f2", "f4", "f8")
ABS = (1e-4, 1e-2, 0.05, 0.3)  # times the standard deviation
REL = (1e-7, 1e-4, 1e-2, 0.3)
LEAST, LEAST_OF_STACKS = 0.99, 0.9
FRAMES = 24


def random_field(rng: np.random.Generator, dtype: str) -> tuple[str, np.ndarray]:
    """A simulated field: smooth or rough spectrum, periodic or not, with holes, steps, zeros or packing at times."""
    shape = int(rng.integers(1, 4)), int(rng.integers(4, 60)), int(rng.integers(4, 80))
    kind = str(rng.choice(["spectral", "walk", "noise", "rain", "packed", "holes", "spikes", "tiny"]))
    rows, columns = np.fft.fftfreq(shape[1])[:, None], np.fft.rfftfreq(shape[2])
    slope = (1e-2 + np.hypot(rows, columns)) ** -rng.uniform(1.0, 3.0)
    phases = rng.normal(size=(shape[0], *slope.shape)) + 1j * rng.normal(size=(shape[0], *slope.shape))
    field = np.fft.irfft2(phases * slope, s=shape[1:])
    field = field / (field.std() or 1) * 10.0 ** rng.uniform(-2, 2) + 10.0 ** rng.uniform(-1, 3)
    if kind == "walk":
        field = np.cumsum(rng.normal(size=shape), 2)
    elif kind == "noise":
        field = rng.normal(size=shape)
    elif kind == "rain":
        field = np.maximum(field - field.mean(), 0)
    elif kind == "packed":
        spacing = float(field.std()) / 10.0 ** rng.uniform(0, 3)
        field = np.rint(field / spacing) * spacing
    elif kind == "holes":
        field[rng.random(shape) < rng.uniform(0, 1)] = np.nan
    elif kind == "spikes":
        field = np.where(rng.random(shape) < 0.01, field * 1e3, field)
    elif kind == "tiny":
        field = field[:1, :2, :3]
    with np.errstate(over="ignore"):
        return kind, field.astype(dtype)


def random_stack(rng: np.random.Generator, dtype: str) -> tuple[str, np.ndarray]:
    """A simulated stack of frames that change slowly or fast, with holes at times."""
    shape = int(rng.integers(2, FRAMES)), int(rng.integers(16, 80)), int(rng.integers(16, 100))
    drift, lifetime = rng.uniform(0, 2), 10.0 ** rng.uniform(0.5, 2.5)
    field = moving(shape, drift=drift, lifetime=lifetime, closed=False, seed=int(rng.integers(1 << 30))) + 3.0
    if rng.random() < 0.2:
        field[:, : shape[1] // 3] = np.nan
    return "stack", field.astype(dtype)


def real_fields(folder: Path, *, stacks: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Variables of the example archives: of each the first frame, or, of those that have more, a stack."""
    import xarray as xr

    for pattern in ("era5/*.nc", "era5_regional/*.nc", "model_output/*.nc", "merra2/*.nc4"):
        for path in sorted(folder.glob(pattern)):
            try:
                dataset = xr.open_dataset(path, decode_times=False, mask_and_scale=False)
            except (OSError, ValueError) as error:
                print(f"{path.name}: not read ({error})", file=sys.stderr)
                continue
            with dataset:
                for name, variable in dataset.data_vars.items():
                    if variable.dtype.kind != "f" or variable.ndim < 2 + stacks or min(variable.shape[-2:]) < 8:
                        continue
                    frames = (slice(0, FRAMES if stacks else 1), *[slice(0, 4 if stacks else 1)] * (variable.ndim - 3))
                    field = np.squeeze(variable[frames[: variable.ndim - 2]].values)[..., :181, :360]
                    if field.ndim >= 2 + stacks:
                        yield f"{path.name}/{name}", field[..., :96, :120] if stacks else field


def bounds(field: np.ndarray) -> Iterator[tuple[str, Bound]]:
    """Every kind of bound, and how it is named in the table."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = field[np.isfinite(field)].astype(np.float64)
        spread = float(finite.std()) if finite.size else 1.0
    for share in ABS:
        size = spread * share
        if 0 < size < np.inf:
            yield f"abs {share:g} std", {"abs": float(f"{size:.2g}")}
    for size in REL:
        yield f"rel {size:g}", {"rel": size}
    yield "lossless", "lossless"


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """What two headers disagree on."""
    found = [key for key in ("path", "wrap") if first.get(key) != second.get(key)]
    domains = first.get("domain") or (), second.get("domain") or ()
    if domains[0] != domains[1]:
        found.append("domain" if domains[0][:1] != domains[1][:1] else "domain parameters")
    sections = [set(each.get("sections", {})) for each in (first, second)]
    found += [f"section {name}" for name in sorted(sections[0] ^ sections[1])]
    return found or ["symbols"]


def compare(field: np.ndarray, bound: Bound) -> list[str]:
    """Nothing where the values stay, else what changed on the way."""
    codec = Pyramid(bound=bound)
    data = codec.encode(field)
    once = codec.decode(data)
    again = codec.encode(once)
    twice = codec.decode(again)
    bits = f"u{once.dtype.itemsize}"
    if (once.view(bits) == twice.view(bits)).all():
        return []
    return differences(describe(data), describe(again))


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=1000, help="random fields, of all dtypes together")
    parser.add_argument("--stacks", type=int, default=100, help="random stacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-real", action="store_true", help="leave out the real fields of ADIABAT_DATA")
    parser.add_argument("--show", type=int, default=12, help="at most so many failures are listed")
    options = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"re-encoding, {now}, {platform.machine()}, {os.cpu_count()} cores, seed {options.seed}")

    fields = []
    for number in range(options.fields + options.stacks):
        rng, dtype = np.random.default_rng([options.seed, number]), DTYPES[number % 3]
        kind, field = (random_field if number < options.fields else random_stack)(rng, dtype)
        fields.append((f"{kind} {dtype} #{number} {field.shape}", field, kind == "stack"))
    folder = Path(os.environ.get("ADIABAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if folder.is_dir() and not options.no_real:
        for stacks in (False, True):
            fields += [(name, field, stacks) for name, field in real_fields(folder, stacks=stacks)]
    tried: Counter[str] = Counter()
    same: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    failed: list[str] = []
    for name, field, stack in fields:
        for title, bound in bounds(field):
            found, title = compare(np.ascontiguousarray(field), bound), f"stack, {title}" if stack else title
            tried[title] += 1
            same[title] += not found
            if found:
                reasons.setdefault(title, Counter())[", ".join(found)] += 1
                failed.append(f"{name}, {bound}: {', '.join(found)}")
    print(f"{len(fields)} fields, {sum(tried.values())} re-encodings\n")
    print(f"{'bound':20} {'fields':>7} {'same':>9}   what changed in the others")
    for title, count in tried.items():
        why = "; ".join(f"{n} x {what}" for what, n in reasons.get(title, Counter()).most_common())
        print(f"{title:20} {count:7d} {100 * same[title] / count:8.2f}%   {why}")
    print(f"{'all':20} {sum(tried.values()):7d} {100 * sum(same.values()) / sum(tried.values()):8.2f}%")
    for line in failed[: options.show]:
        print(f"  {line}")
    least = {title: LEAST_OF_STACKS if title.startswith("stack") else LEAST for title in tried}
    sys.exit(any(same[title] < least[title] * count for title, count in tried.items()))


if __name__ == "__main__":
    main()
