"""Fuzz the parsers: `python tests/fuzz/run.py [TARGET ...] --executions N | --seconds S [--jobs 1]`.

Runs each target under atheris (libFuzzer, guided by coverage) from its corpus and its seeds, keeps what reaches
something new in `corpus/TARGET`, inputs that fail in `finds/TARGET`, and how often each target ran in `tally.json`.
Without options it prints the tally. See `target.py` for what counts as a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
CORPUS, FINDS, TALLY = HERE / "corpus", HERE / "finds", HERE / "tally.json"
WORKER = HERE / "worker.py"
SECONDS, MEMORY = 5, 4096  # that libFuzzer grants one input, and MiB that it grants the process
KEPT_FILES, KEPT_BYTES = 15, 1 << 15  # of a target's corpus in the repository
LIBRARIES = ("atheris", "numpy", "numba", "constriction", "onnxruntime", "zarr", "xarray")
_lock = Lock()


def fuzz(name: str, executions: int, seconds: int, show: bool) -> dict[str, int]:
    """Run one target; returns executions, seconds, edges, features as libFuzzer counts them."""
    from fuzz.targets import TARGETS

    work = Path(tempfile.gettempdir()) / "adiabat-fuzz" / name
    work.mkdir(parents=True, exist_ok=True)
    for seed in (*TARGETS[name].seeds(), *(path.read_bytes() for path in (CORPUS / name).glob("*"))):
        keep(work, seed)
    (FINDS / name).mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, str(WORKER), name, f"-runs={executions or -1}", f"-max_total_time={seconds}",
        f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}", f"-max_len={TARGETS[name].longest}",
        "-print_final_stats=1", f"-artifact_prefix={FINDS / name}/", str(work),
    ]  # fmt: skip
    counted = {"executions": 0, "seconds": 0, "edges": 0, "features": 0}
    start = datetime.now(UTC)
    with subprocess.Popen(
        command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        tail = []
        for line in process.stdout:
            found = re.match(r"#(\d+)\s.*cov: (\d+) ft: (\d+)", line)
            tail = tail if found else [*tail[-60:], line]
            if found:
                counted |= dict(zip(("executions", "edges", "features"), map(int, found.groups()), strict=True))
            done = re.match(r"stat::number_of_executed_units: (\d+)", line)
            if done:
                counted["executions"] = int(done[1])
            if show and (found or "ERROR" in line):
                print(f"{name}: {line.rstrip()}", flush=True)
    counted["seconds"] = int((datetime.now(UTC) - start).total_seconds())
    if process.returncode:
        print(f"{name}: stopped\n{''.join(tail)}", flush=True)
    else:
        merge(name, work)
    if not any((FINDS / name).iterdir()):
        (FINDS / name).rmdir()
    return counted


def keep(folder: Path, data: bytes) -> None:
    """Put an input into a corpus, named by its hash."""
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def merge(name: str, work: Path) -> None:
    """Keep in the repository the few smallest inputs that together reach what all reach."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(WORKER), name, "-merge=1", f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}"]
        subprocess.run([*command, folder, str(work)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        files = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_size)
        kept, size = [], 0
        for path in files[:: max(1, -(-len(files) // KEPT_FILES))]:
            size += path.stat().st_size
            if size <= KEPT_BYTES:
                kept.append(path.read_bytes())
        if kept:
            (CORPUS / name).mkdir(parents=True, exist_ok=True)
            for path in (CORPUS / name).iterdir():
                path.unlink()
            for data in kept:
                keep(CORPUS / name, data)


def note(name: str, counted: dict[str, int]) -> None:
    """Add a run to the tally."""
    with _lock:
        tally = json.loads(TALLY.read_text()) if TALLY.exists() else {"targets": {}}
        entry = tally["targets"].setdefault(name, {"executions": 0, "seconds": 0})
        entry |= {"executions": entry["executions"] + counted["executions"]}
        entry |= {"seconds": entry["seconds"] + counted["seconds"]}
        entry |= {key: max(counted[key], entry.get(key, 0)) for key in ("edges", "features")}
        entry |= {"date": datetime.now(UTC).date().isoformat(), "corpus": len(list((CORPUS / name).glob("*")))}
        entry["open"] = len(list((FINDS / name).glob("*")))
        versions = {each: importlib.metadata.version(each) for each in LIBRARIES}
        tally |= {"python": platform.python_version(), "versions": versions}
        tally["machine"] = f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores"
        tally["targets"] = dict(sorted(tally["targets"].items()))
        TALLY.write_text(json.dumps(tally, indent=1) + "\n")


def table(tally: dict[str, dict[str, dict[str, int]]]) -> str:
    """The tally as Markdown."""
    rows = [
        "| target | executions | seconds | edges | features | corpus | open finds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    keys = ("executions", "seconds", "edges", "features", "corpus", "open")
    rows += [
        f"| {name} | " + " | ".join(f"{each[k]:,}" for k in keys) + " |" for name, each in tally["targets"].items()
    ]
    total = sum(each["executions"] for each in tally["targets"].values())
    return "\n".join([*rows, f"| **all** | **{total:,}** | | | | | |"])


def main() -> int:
    """Run the command; 1 where an input failed."""
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none is named")
    parser.add_argument("--executions", type=int, default=0, help="of each target")
    parser.add_argument("--seconds", type=int, default=0, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets that run side by side")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    asked = parser.parse_args()
    unknown = sorted(set(asked.targets) - set(TARGETS))
    if unknown:
        parser.error(f"expected targets of {', '.join(TARGETS)}, got {', '.join(unknown)}")
    if asked.executions or asked.seconds:
        if importlib.util.find_spec("atheris") is None:
            print("Fuzzing needs atheris: pip install atheris (Linux or macOS, Python 3.11 to 3.13)")
            return 1
        with ThreadPoolExecutor(asked.jobs) as pool:
            list(
                pool.map(
                    lambda name: note(name, fuzz(name, asked.executions, asked.seconds, not asked.quiet)),
                    asked.targets or list(TARGETS),
                )
            )
    if TALLY.exists():
        print(table(json.loads(TALLY.read_text())))
    return int(any(FINDS.glob("*/*")))


if __name__ == "__main__":
    sys.exit(main())
