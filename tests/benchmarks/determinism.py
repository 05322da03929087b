"""Encode and decode the same fields in every way there is, and compare: `python tests/benchmarks/determinism.py`.

Threads 1, 2 and 4; onnxruntime with its graph optimisation and without; NumPy alone; with `--python` another
interpreter, or with `--site` another folder of packages, that holds another onnxruntime; and, where it is there, the
reference decoder of the specification. Prints SHA-256 of all streams and of all decoded arrays, exits 1 where any
differs.

A second onnxruntime: `pip install --no-deps --target OTHER onnxruntime==1.22.1`, then `--site OTHER`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "spec" / "reference_decoder.py"
RUNNERS = ("onnx", "onnx-unoptimised", "numpy")
THREADS = (1, 2, 4)
OPTIONS: tuple[dict[str, object], ...] = (
    {"bound": {"abs": 1.0}}, {"bound": {"abs": 0.05}}, {"bound": {"abs": 0.001}}, {"bound": {"rel": 1e-3}}, {"bound": "lossless"},
)  # fmt: skip


def fields() -> Iterator[np.ndarray]:
    """Simulated fields that depend on no library's sine or random numbers of another version: exact arithmetic."""
    y, x = np.mgrid[:180, :360].astype(np.int64)
    smooth = ((x * 7 + y * y * 3) % 720 - 360) * ((y * 5 + x) % 360 - 180)
    rough = (x * 2654435761 + y * 40503 * (x % 97)) % 65536
    field = 280 + smooth / 4096 + rough / 262144
    for dtype in ("f4", "f8", "f2"):
        yield field.astype(dtype)
    stack = np.stack([field[:61, :80] + number / 8 for number in range(5)]).astype("f4")
    yield stack
    stack = stack.copy()
    stack[:, 20:40, 30:70] = np.nan
    yield stack
    yield field[:1, :1].astype("f4")
    # many steps of the largest lattice: several bands of targets, and workers that overtake each other
    yield np.kron(field[:60, :90], np.ones((8, 8))).cumsum(1)[:, ::3].astype("f4") / 1000


def work(folder: Path, threads: int) -> None:
    """In a process of its own: encode everything, decode this and what the first run wrote; print hashes."""
    import onnxruntime

    from adiabat.codec import Pyramid, describe

    streams, values, given, paths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256(), set()
    number = 0
    for field in fields():
        for options in OPTIONS:
            codec = Pyramid(**options, threads=threads)  # type: ignore[arg-type]
            data = codec.encode(field)
            kept = folder / f"{number:03d}.bin"
            if not kept.exists():
                kept.write_bytes(data)
            streams.update(data)
            values.update(codec.decode(data).tobytes())
            given.update(codec.decode(kept.read_bytes()).tobytes())
            paths.add(describe(data)["path"])
            number += 1
    found = [digest.hexdigest() for digest in (streams, values, given)]
    print(json.dumps({"hashes": found, "version": onnxruntime.__version__, "paths": sorted(paths), "streams": number}))


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
        values.update(np.asarray(module.decode(path.read_bytes())).tobytes())
    return values.hexdigest()


def ways(options: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, str], int]]:
    """Name, interpreter, environment and threads of each run."""
    for runner in RUNNERS:
        for threads in THREADS:
            yield runner, sys.executable, {"ADIABAT_RUNNER": runner}, threads
    for runner in RUNNERS[:2]:
        for threads in THREADS:
            for site in options.site:
                environment = {"PYTHONPATH": os.pathsep.join([site, os.environ.get("PYTHONPATH", "")])}
                yield f"{runner}, --site", sys.executable, {"ADIABAT_RUNNER": runner} | environment, threads
            for python in options.python:
                yield f"{runner}, --python", python, {"ADIABAT_RUNNER": runner}, threads


def main() -> None:
    """Run every way, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="an interpreter with adiabat and another onnxruntime")
    parser.add_argument("--site", action="append", default=[], help="a folder of packages put before this one's")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), int(options.work[1]))
        return
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"determinism, {now}, {platform.machine()}, {os.cpu_count()} cores, numpy {importlib.metadata.version('numpy')}\n")
    head = f"{'runner':30} {'version':8} {'threads':>7}  {'streams':16}  {'decoded':16}  {'decoded, of the first run':16}"
    print(head)
    seen, problems = set(), 0
    with tempfile.TemporaryDirectory() as folder:
        for name, python, environment, threads in ways(options):
            command = [python, __file__, "--work", folder, str(threads)]
            ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
            if ran.returncode:
                problems += 1
                print(f"{name:30} {'failed':8} {threads:7d}  {ran.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            told = json.loads(ran.stdout)
            streams, values, given = told["hashes"]
            seen.add((streams, values, given))
            version = "-" if name == "numpy" else told["version"]
            print(f"{name:30} {version:8} {threads:7d}  {streams[:16]}  {values[:16]}  {given[:16]}", flush=True)
        problems += len(seen) != 1 or any(values != given for _, values, given in seen)
        if REFERENCE.exists():
            digest = reference(Path(folder))
            problems += any(digest != values for _, values, _ in seen)
            print(f"{'spec/reference_decoder.py':30} {'-':8} {1:7d}  {'-':16}  {digest[:16]}  {digest[:16]}")
    print(f"\n{told['streams']} streams a run, paths {', '.join(told['paths'])}: {'DIFFERENT' if problems else 'all the same'}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
