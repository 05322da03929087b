"""Encode and decode the same fields in every way there is, and compare: `python tests/benchmarks/determinism.py`.

Threads 1, 2 and 4; onnxruntime with its graph optimisation and without, with integers held in float32, and on a GPU
where there is one; NumPy alone; with `--python` another interpreter, or with `--site` another folder of packages, that
holds another onnxruntime; and, where it is there, the reference decoder of the specification. Prints SHA-256 of all
streams and of all decoded arrays, exits 1 where any differs.

Fields are single ones, stacks, one with holes, and one that moves: predicted from its own frames and from a static
field, for fewest bytes and for least RMSE.

A second onnxruntime: `pip install --no-deps --target OTHER onnxruntime==1.22.1`, then `--site OTHER`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from simulated import mean, moving

from adiabat.codec import Pyramid, models, statics
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk
from adiabat.codec.stream import Stream

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "spec" / "reference_decoder.py"
RUNNERS = ("onnx", "onnx-unoptimised", "onnx-float", "numpy")
THREADS = (1, 2, 4)
BOUNDS = ("abs:1", "abs:0.05", "abs:0.001", "rel:0.001", "lossless")
STATICS = "statics"  # folder of the static field


def parsed(bound: str) -> dict[str, float] | str:
    """The bound as the codec takes it."""
    kind, _, size = bound.partition(":")
    return {kind: float(size)} if size else kind


def simulate(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A smooth field with some noise, like a temperature in K."""
    rng = np.random.default_rng(seed)
    wavenumber = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.rfftfreq(shape[-1]))
    phases = np.exp(2j * np.pi * rng.random((*shape[:-2], *wavenumber.shape)))
    field = np.fft.irfft2(phases * (0.004 + wavenumber) ** -2, s=shape[-2:])
    return np.asarray(280 + 15 * field / field.std() + 0.05 * rng.normal(size=shape))


def write_fields(folder: Path) -> None:
    """The fields of every run, written once: other versions of NumPy may simulate others."""
    fields = [simulate((120, 240), number).astype(dtype) for number, dtype in enumerate(("f4", "f8", "f2"))]
    stack = simulate((5, 61, 80), 3).astype("f4")
    holes = stack.copy()
    holes[:, 20:40, 30:70] = np.nan
    # the last one has several bands of targets in a pass, and workers that overtake each other
    fields += [stack, holes, fields[0][:1, :1], simulate((600, 640), 4).astype("f4")]
    for number, field in enumerate(fields):
        np.save(folder / f"{number}.npy", field)
    relief = simulate((61, 80), 5) - 280
    following = mean(61) + 8 * moving((5, 61, 80), drift=0.65, lifetime=240) + 0.3 * relief
    np.save(folder / "moving.npy", following.astype("f4"))
    data = statics.static_file(relief)
    (folder / STATICS).mkdir()
    (folder / STATICS / f"{hashlib.sha256(data).hexdigest()}{statics.SUFFIX}").write_bytes(data)


def choices(folder: Path, path: Path) -> Iterator[dict[str, Any]]:
    """How a field is encoded, beside its bound."""
    yield {"tune": "bytes", "static": []}
    if path.stem == "moving":
        (static,) = (folder / STATICS).iterdir()
        for tune, fields in (("rmse", []), ("bytes", [static.stem]), ("rmse", [static.stem])):
            yield {"tune": tune, "static": fields}


def encoded(field: np.ndarray, bound: dict[str, float] | str, threads: int, choice: dict[str, Any]) -> list[bytes]:
    """What the codec chooses, and the neural path whether it is chosen or not."""
    layout, fields = Layout.of(field), tuple(map(statics.Static, choice["static"]))
    options = {"threads": threads, "tune": choice["tune"], "statics": fields}
    chunk = Chunk(layout.frames(field), layout, Bound.parse(bound), **options)
    chosen = Pyramid(bound=bound, threads=threads, **choice).encode(field)
    return [chosen, chunk.neural(models.find_model())[0].write()]


def kinds(data: bytes) -> list[str]:
    """What is counted of a stream."""
    stream = Stream.read(data)
    neural = stream.path == "neural"
    references = neural and stream.sections["payload"][1] > 0
    found = {"all": True, "neural": neural, "with references": references, "with a static": "static" in stream.sections}
    return [kind for kind, is_so in found.items() if is_so]


def work(folder: Path, threads: int) -> None:
    """In a process of its own: encode everything, decode this and what the first run wrote; print hashes."""
    import onnxruntime

    streams, values, given = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    codec, count = Pyramid(bound="lossless", threads=threads), Counter()
    for path in sorted(folder.glob("*.npy")):
        field = np.load(path)
        for bound, choice in product(map(parsed, BOUNDS), choices(folder, path)):
            for data in encoded(field, bound, threads, choice):
                kept = folder / f"{count['all']:03d}.bin"
                if not kept.exists():
                    kept.write_bytes(data)
                streams.update(data)
                values.update(codec.decode(data).tobytes())
                given.update(codec.decode(kept.read_bytes()).tobytes())
                count.update(kinds(data))
    found = [digest.hexdigest() for digest in (streams, values, given)]
    print(json.dumps({"hashes": found, "version": onnxruntime.__version__, "streams": count}))


def reference(folder: Path) -> str:
    """SHA-256 of what the reference decoder makes of the kept streams, in this process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("reference_decoder", REFERENCE)
    if spec is None or spec.loader is None:
        raise ImportError(REFERENCE.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_decoder"] = module
    spec.loader.exec_module(module)
    values = hashlib.sha256()
    for path in sorted(folder.glob("*.bin")):
        values.update(np.asarray(module.decode(path.read_bytes(), [*models.folders(), folder / STATICS])).tobytes())
    return values.hexdigest()


def ways(options: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, str], int]]:
    """Name, interpreter, environment and threads of each run."""
    for runner in RUNNERS + (("cuda",) if has_cuda() else ()):
        for threads in THREADS:
            yield runner, sys.executable, {"ADIABAT_RUNNER": runner}, threads
    for runner in RUNNERS[:2]:
        for threads in THREADS:
            for site in options.site:
                environment = {"PYTHONPATH": os.pathsep.join([site, os.environ.get("PYTHONPATH", "")])}
                yield f"{runner}, --site", sys.executable, {"ADIABAT_RUNNER": runner} | environment, threads
            for python in options.python:
                yield f"{runner}, --python", python, {"ADIABAT_RUNNER": runner}, threads


def has_cuda() -> bool:
    """Whether onnxruntime can use a GPU here."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def main() -> None:
    """Run every way, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", action="append", default=[], help="an interpreter with adiabat and another onnxruntime"
    )
    parser.add_argument("--site", action="append", default=[], help="a folder of packages put before this one's")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), int(options.work[1]))
        return
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"determinism, {now}, {platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}\n")
    head = (
        f"{'runner':30} {'version':8} {'threads':>7}  {'streams':16}  {'decoded':16}  {'decoded, of the first run':16}"
    )
    print(head)
    seen, problems, count = set(), 0, {}
    with tempfile.TemporaryDirectory() as folder:
        write_fields(Path(folder))
        for name, python, environment, threads in ways(options):
            command = [python, __file__, "--work", folder, str(threads)]
            environment = {**os.environ, **environment, "ADIABAT_MODELS": str(Path(folder) / STATICS)}
            ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if ran.returncode:
                problems += 1
                print(f"{name:30} {'failed':8} {threads:7d}  {ran.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            told = json.loads(ran.stdout)
            count = told["streams"]
            streams, values, given = told["hashes"]
            seen.add((streams, values, given))
            version = "-" if name == "numpy" else told["version"]
            print(f"{name:30} {version:8} {threads:7d}  {streams[:16]}  {values[:16]}  {given[:16]}", flush=True)
        problems += len(seen) != 1 or any(values != given for _, values, given in seen)
        if REFERENCE.exists():
            digest = reference(Path(folder))
            problems += any(digest != values for _, values, _ in seen)
            print(f"{'spec/reference_decoder.py':30} {'-':8} {1:7d}  {'-':16}  {digest[:16]}  {digest[:16]}")
    if not has_cuda():
        print("cuda: not run, onnxruntime has no CUDA provider here")
    verdict = "DIFFERENT" if problems else "all the same"
    told = ", ".join(f"{number} {kind}" for kind, number in count.items())
    print(f"\nstreams of a run: {told}; {verdict}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
