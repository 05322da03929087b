"""Write walkthrough.md: two vectors taken apart byte by byte, as the reference decoder sees them.

    python spec/make_walkthrough.py > spec/walkthrough.md

It needs only the reference decoder, the vectors and the models.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MODELS = HERE.parent / "codec" / "models"


def load_decoder() -> Any:
    """Import reference_decoder.py from beside this file."""
    spec = importlib.util.spec_from_file_location("adiabat_reference_decoder", HERE / "reference_decoder.py")
    if spec is None or spec.loader is None:
        raise ImportError("reference_decoder.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def dump(rows: list[tuple[bytes, str]]) -> str:
    """Lay out bytes beside what they mean, sixteen to a line."""
    lines = []
    for data, meaning in rows:
        pieces = [data[i : i + 16].hex(" ") for i in range(0, len(data), 16)] or ["-"]
        lines += [f"    {piece:47}  {meaning if not n else ''}".rstrip() for n, piece in enumerate(pieces)]
    return "\n".join(lines)


class Slices:
    """Cuts bytes off the front, noting what they mean."""

    def __init__(self, data: bytes) -> None:
        self.data, self.rows = data, list[tuple[bytes, str]]()

    def cut(self, size: int, meaning: str) -> bytes:
        """Take `size` bytes."""
        part, self.data = self.data[:size], self.data[size:]
        self.rows.append((part, meaning))
        return part

    def varint(self, meaning: str) -> int:
        """Take a varint; `{}` in the meaning stands for its value."""
        size = next(i for i, byte in enumerate(self.data) if byte < 128) + 1
        value = sum((byte & 127) << 7 * i for i, byte in enumerate(self.data[:size]))
        self.cut(size, meaning.format(value))
        return value


def neural_bytes(data: bytes) -> Slices:
    """Take vector `tiny` apart: neural, float32, absolute bound, one section."""
    s = Slices(data)
    s.cut(4, "magic")
    s.cut(1, "version")
    s.cut(1, "codec")
    s.varint("length: {} bytes follow")
    s.cut(1, "path: neural")
    s.cut(1, "flags")
    s.cut(1, "dtype: float32, little-endian")
    s.cut(1, "two axes")
    s.cut(2, "4 rows, 5 columns")
    s.cut(1, "bound: abs")
    s.cut(8, "size 0.5")
    s.cut(1, "domain: abs")
    unit = float(np.frombuffer(s.data[:8], "<f8")[0])
    s.cut(8, f"unit {unit!r} = 2 * 0.5 * (1 - 2^-12) / 256")
    s.cut(32, "SHA-256 of the model")
    s.cut(1, "one section")
    s.cut(1, "payload")
    s.varint("of {} bytes")
    s.varint("payload: context {} of the first pixels' differences")
    s.varint("first pixel, folded: {}")
    for name in ("substitutions", "words", "raw bits", "escapes"):
        s.cut(s.varint("{} bytes of " + name), name)
    s.cut(4, "CRC-32")
    return s


def traced(decoder: Any, data: bytes) -> tuple[list[str], list[dict[str, Any]], Any]:
    """Decode while noting every run, and every pass with its gathered and settled numbers."""
    runs: list[str] = []
    passes: list[dict[str, Any]] = []
    read, gather, settle = decoder.Symbols.read, decoder.gather, decoder.settle

    def note_read(self: Any, context: int, count: int, region: int) -> Any:
        before = self.ans.state
        symbols = read(self, context, count, region)
        table = int(self.tables[region, context - 12 * max(0, (context // 3 - 28) // 4)])
        where = f"pass {passes[-1]['name']} at spacing {passes[-1]['spacing']}" if passes else "first pixels"
        if count:
            runs.append(f"| {where} | {context} | {table} | {before:016x} | {listed(symbols)} |")
        return symbols

    def note_gather(values: Any, marks: Any, seen: Any, net: Any, name: str, step: int, power: int) -> Any:
        result = gather(values, marks, seen, net, name, step, power)
        passes.append({"name": name, "spacing": 1 << power, "values": values, "gathered": result})
        return result

    def note_settle(network: Any, gathered: Any, seen: Any, snap: int) -> Any:
        result = settle(network, gathered, seen, snap)
        passes[-1].update(network=network, prediction=result[0], context=result[1])
        return result

    decoder.Symbols.read, decoder.gather, decoder.settle = note_read, note_gather, note_settle
    return runs, passes, decoder.decode(data, [MODELS])


def listed(numbers: Any) -> str:
    """Numbers with commas between."""
    return ", ".join(map(str, numbers))


def one_target(passes: list[dict[str, Any]]) -> str:
    """Show every number of the first target of the last pass."""
    last = passes[-1]
    gathered = last["gathered"]
    return "\n".join(
        [
            f"    stencil values  {' '.join(map(str, last['values'][:, 0]))}",
            f"    base, scale, octave  {gathered.base[0]} {gathered.scale[0]} {gathered.octave[0]}",
            f"    inputs  {' '.join(map(str, gathered.inputs[0]))}",
            f"    outputs  {' '.join(map(str, last['network'][0]))}",
            f"    prediction, context  {last['prediction'][0]} {last['context'][0]}",
        ]
    )


def main() -> int:
    """Print the chapter."""
    decoder = load_decoder()
    folders = HERE / "vectors" / "valid"
    data = (folders / "tiny" / "stream.bin").read_bytes()
    runs, passes, array = traced(decoder, data)
    predictions = [
        f"| {p['name']} | {p['spacing']} | {listed(p['prediction'])} | {listed(p['context'])} |"
        for p in passes
        if len(p["prediction"])
    ]
    rows = "\n".join("    " + " ".join(f"{value:12.7f}" for value in row) for row in array)
    parts = dump(neural_bytes(data).rows), one_target(passes), "\n".join(predictions), "\n".join(runs), rows
    print(TEXT.format(*parts, classical(folders)))
    return 0


def classical(folders: Path) -> str:
    """Take vector `hand-classical-2` apart."""
    s = Slices((folders / "hand-classical-2" / "stream.bin").read_bytes())
    s.cut(6, "magic, version, codec")
    s.varint("length: {} bytes follow")
    s.cut(4, "path: classical; flags; dtype: float64; three axes")
    s.cut(3, "2 frames, 2 rows, 3 columns")
    s.cut(9, "bound: abs, size 0.5")
    s.cut(9, "domain: abs, unit 1 / 256")
    s.cut(2, "one section: payload")
    s.varint("of {} bytes")
    s.cut(3, "mode 2, eight planes, stored")
    s.cut(12, "lowest bytes: folded 0 .. 11, so 0 -1 1 -2 2 -3, 3 -4 4 -5 5 -6")
    s.cut(84, "the seven other planes")
    s.cut(4, "CRC-32")
    return dump(s.rows)


TEXT = """# Walkthrough

Two vectors taken apart. This chapter is written by `make_walkthrough.py`, from what the reference decoder does.

## A neural stream: vectors/valid/tiny

A `float32` array of 4 rows and 5 columns under the absolute bound 0.5, in version 1. [stream](stream.md) explains the
header, [pyramid](pyramid.md) and [entropy](entropy.md) the payload.

{0}

The frame has 4 rows and 5 columns, so the spacings are 4, 2 and 1. Passes without a target (D and B at
spacing 4) do nothing. `step` is 256, `snap` 1. In fine units:

| pass | spacing | predictions | contexts |
|---|---|---|---|
{2}

The first target of the last pass, at row 1 and column 0, in all its numbers ([pyramid](pyramid.md), sections 4 and 5;
inputs are bytes, zero is 128):

{1}

The runs, with the state of the words before each. The first state is the last two words, the last of them uppermost.

| run | context | table | state before | symbols |
|---|---|---|---|---|
{3}

After the last run the state is 0 and no word is left, as it MUST be. A value is `prediction + 256 symbol`;
times `unit`, rounded to float32, this is the array:

{4}

## A classical stream: vectors/valid/hand-classical-2

A `float64` array of shape `(2, 2, 3)`; our encoder would write one plane, not eight.

{5}

Running sums along x, then along y, each frame anew, give `0 -1 0, -2 -1 -3` and `3 -1 3, -2 -1 -3`. Times `step`, 256,
times `unit`, 1 / 256, these are the values."""


if __name__ == "__main__":
    sys.exit(main())
