"""Which versions of Python and of the libraries adiabat works with: a virtual environment for each row of a table.

    python tests/benchmarks/versions.py [--row NAME ...] [--list] [--json FILE] [--page spec/guide/versions.md]

For each row an environment is made in a temporary folder, the package is installed as a wheel with the row's versions
and whatever pip finds for the rest, without torch, and `version_check.py` runs in it: all valid vectors to the bit, all
invalid ones refused, archived stores read, stores written and read by Zarr and xarray, codecs found by numcodecs, and
the bytes of some streams compared with those that this environment writes. An interpreter that is not at hand is told
as "not run". The exit status is 1 if a row failed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHECK = "tests/benchmarks/version_check.py"
LIBRARIES = ("numpy", "zarr", "numcodecs", "xarray", "onnxruntime", "numba", "constriction")
KEPT = ("README.md", "LICENSE", "pyproject.toml", "codec", "formats", "training")
MINUTES = 30  # for one row, installing included


@dataclass(frozen=True)
class Row:
    """What one environment is made of.

    Parameters
    ----------
    name : str
    python : str
        Such as ``3.11``.
    pins : tuple of str
        Requirements beside the package's own.
    extras : str
        Of the package.
    alone : bool
        Whether the package's own requirements are left out: `pins` are all there is.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    extras: str = "[cpu]"
    alone: bool = False


OLDEST = (
    "numpy==2.0.*", "numcodecs==0.16.1", "zarr==3.1.4", "xarray==2025.6.*", "constriction==0.5.0", "numba==0.60.*",
    "typer==0.15.*", "rich==13.0.*", "filelock==3.12.*", "onnxruntime==1.20.*", "onnx==1.16.*",
)  # fmt: skip
ZARR_2 = ("numpy<2.3", "numba", "constriction>=0.5,<0.6", "filelock", "zarr==2.18.*", "numcodecs<0.16", "onnxruntime")
ROWS = (
    Row("python-3.11", "3.11"),
    Row("python-3.12", "3.12"),
    Row("python-3.13", "3.13"),
    Row("python-3.14", "3.14"),
    Row("oldest", "3.11", OLDEST),
    Row("zarr-3.2", "3.12", ("zarr==3.2.*", "onnxruntime==1.22.*")),
    Row("zarr-3.3", "3.13", ("zarr==3.3.*", "onnxruntime==1.24.*")),
    Row("no-onnxruntime", "3.13", (), ""),
    Row("zarr-2.18", "3.11", ZARR_2, "", alone=True),
)


def interpreter(version: str) -> str | None:
    """The path of this Python if it is at hand: on the path, or among pyenv's."""
    name = f"python{version}"
    places = [shutil.which(name), *sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}")))]
    told = "import sys; print('%d.%d' % sys.version_info[:2])"
    for place in filter(None, places):  # a shim of pyenv may stand for none
        ran = subprocess.run([place, "-c", told], capture_output=True, text=True)
        if ran.stdout.strip() == version:
            return place
    return None


def build_wheel(folder: Path) -> Path:
    """A wheel of the package, built from a copy so that the tree stays as it is."""
    source = folder / "source"
    source.mkdir()
    for name in KEPT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)])
    return next(folder.glob("*.whl"))


def run(command: list[str]) -> None:
    """Run a command; its last line of complaint is the error's message."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        raise RuntimeError(next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "failed"))


def check(row: Row, python: str, wheel: Path, folder: Path) -> dict[str, Any]:
    """Make the row's environment and run the check in it."""
    run([python, "-m", "venv", str(folder)])
    inside = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [inside, "-m", "pip", "install", "--quiet", "--prefer-binary"]
    if row.alone:
        run([*install, "--no-deps", str(wheel)])
        run([*install, *row.pins])
    else:
        run([*install, f"{wheel}{row.extras}", *row.pins])
    return run_check(inside, folder)


def run_check(python: str, folder: Path, site: Path | None = None) -> dict[str, Any]:
    """What `version_check.py` says in this interpreter, of what is installed in it or, before that, in `site`."""
    # Nothing from the caller's environment, nor the checkout, is seen: the wheel is checked.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ADIABAT_", "PYTHON", "NUMBA_"))}
    kept |= {"PYTHONPATH": str(site)} if site else {}
    command = [python, "-P", str(ROOT / CHECK)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=kept, timeout=60 * MINUTES)
    try:
        return dict(json.loads(ran.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        raise RuntimeError((ran.stderr.strip() or "no output").splitlines()[-1]) from None


def result_of(row: Row, wheel: Path) -> dict[str, Any]:
    """The row's versions and results, or why there are none."""
    python = interpreter(row.python)
    if python is None:
        return {"state": "not run", "why": f"no python{row.python} at hand"}
    told = "import platform; print(platform.python_version())"
    exact = subprocess.run([python, "-c", told], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = check(row, python, wheel, Path(folder))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return {"state": "failed", "python": exact, "why": str(error)}
    return {"state": "failed" if found["failed"] else "passed", "python": exact, **found}


def table(results: dict[str, dict[str, Any]], written: str) -> str:
    """The results in Markdown."""
    heads = ["row", "Python", *LIBRARIES, "vectors", "stores", "same bytes", "result"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    notes = []
    for name, result in results.items():
        libraries, passed = result.get("libraries", {}), result.get("results", {})
        vectors = " + ".join(str(passed[key]) for key in ("valid", "invalid") if key in passed)
        same = {None: "", written: "yes"}.get(passed.get("encode"), "no")
        cells = [result.get("python", ""), *(libraries.get(each) or "" for each in LIBRARIES)]
        lines.append(
            "| " + " | ".join([name, *cells, vectors, str(passed.get("stores", "")), same, result["state"]]) + " |"
        )
        reasons = {f"`{name}`, {what}": why for what, why in result.get("failed", {}).items()}
        reasons |= {f"`{name}`": result["why"]} if "why" in result else {}
        notes += [f"- {what}: {shorten(why, 300)}" for what, why in reasons.items()]
    return "\n".join(lines + ([""] if notes else []) + notes) + "\n"


PAGE = """# Versions that were tried

Printed by `python tests/benchmarks/versions.py --page spec/guide/versions.md` on {date}: {machine}.

Each row is a virtual environment of its own, with the versions that the row is named after and otherwise the newest
that pip found, without torch. "vectors": all valid vectors of the specification, which decode to the bit, plus all
invalid ones, which are refused. "stores": [archived stores](../README.md#archived-stores), which read as the version
read them that wrote them. A row that passed has also written stores of Zarr v3, in shards, and v2, and read them back
by Zarr and by xarray, and numcodecs found every codec. "same bytes": six streams encoded anew are those of the
environment that ran the command ({versions}). That is no promise; that all bytes decode to the same values is one.

{table}
- `oldest` is the least that `pyproject.toml` asks for.
- `no-onnxruntime` decodes by NumPy. Codecs whose decoders are networks of floating-point numbers (`adiabat.vq`,
  `adiabat.hvae`, generated views) need onnxruntime, and say so: that refusal is what is checked there.
- `zarr-2.18` has the codecs of numcodecs alone, for stores of Zarr v2; archives and the codecs of Zarr v3 need
  zarr-python {zarr} or later.
- A row whose interpreter was not at hand was not run.
"""


def page(results: dict[str, dict[str, Any]], here: dict[str, Any]) -> str:
    """The page of the guide."""
    libraries = ", ".join(f"{name} {here['libraries'][name]}" for name in ("numpy", "onnxruntime"))
    return PAGE.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores",
        versions=f"Python {platform.python_version()}, {libraries}",
        table=table(results, here["results"].get("encode", "")),
        zarr=next(pin.split("==")[1] for pin in OLDEST if pin.startswith("zarr")),
    )


def main() -> None:
    """Run rows and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--row", nargs="+", choices=[row.name for row in ROWS], metavar="NAME", help="these alone")
    parser.add_argument("--list", action="store_true", help="print rows and their Python as JSON, and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found; rows that it has are kept")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of the guide")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.row is None or row.name in options.row]
    if options.list:
        print(json.dumps([{"row": row.name, "python": row.python} for row in rows]))
        return
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        site = Path(folder) / "site"
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)])
        here = run_check(sys.executable, Path(folder), site)
        for row in rows:
            print(f"{row.name} ...", file=sys.stderr, flush=True)
            kept[row.name] = result_of(row, wheel)
            if options.json:
                options.json.write_text(json.dumps(kept, indent=1) + "\n")
    results = {row.name: kept[row.name] for row in ROWS if row.name in kept}
    print(table(results, here["results"].get("encode", "")))
    if options.page:
        options.page.write_text(page(results, here))
    sys.exit(1 if any(kept[row.name]["state"] == "failed" for row in rows) else 0)


if __name__ == "__main__":
    main()
