"""Random and adversarial arrays through every codec that promises something: `python tests/benchmarks/bound_audit.py`.

Each case is an array and a codec made from `--seed` and its number. What was promised is checked without the codec's
own code: errors against the bound in float64, and in exact fractions where float64 says "equal"; NaN with its payload,
infinities and fill values bit for bit; a lossless bound bit for bit; the valid range; an RMSE (within 1e-12 of itself,
for the sum); shape, dtype and memory order; decoded again with two threads, and sometimes encoded again, the same.
What an encoder refuses must be due, and is counted. A warning counts as a fault.

Prints counts, and for each fault a few lines of Python that show it; exits 1 where there is any. Data are simulated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from audit_cases import CODECS, Case, draw, statics_in
from audit_checks import Fault, kind_of, run

BATCH = 250  # cases handed to a process at a time
AGAIN = 10  # one case in so many is encoded twice
SHOWN = 20  # faults printed in full


@dataclass
class Tally:
    """Counts of cases, and the faults."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    tightest: dict[str, float] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take another's counts in."""
        self.counts.update(other.counts)
        self.faults += other.faults
        for kind, share in other.tightest.items():
            self.tightest[kind] = max(share, self.tightest.get(kind, 0.0))

    def record(self, number: int, case: Case) -> None:
        """Run a case and count it."""
        kind = kind_of(case)
        for what in (("codec", case.codec), ("dtype", case.array.dtype.str), ("bound", kind), ("family", case.family)):
            self.counts[what] += 1
        try:
            told, share = run(case, again=number % AGAIN == 0)
        except Fault as fault:
            self.faults.append((number, str(fault)))
            return
        for pair in told:
            self.counts[pair] += 1
        self.tightest[kind] = max(share, self.tightest.get(kind, 0.0))


def literal(case: Case) -> str:
    """Python that makes the case again."""
    array, name = case.array, CODECS[case.codec].__name__
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    made = f'np.frombuffer(bytes.fromhex("{array.tobytes().hex()}"), "{array.dtype.str}").reshape({array.shape})'
    lines = [
        f"array = {f'np.asfortranarray({made})' if fortran else made}",
        f"codec = {name}({', '.join(f'{key}={value!r}' for key, value in case.options.items())})",
    ]
    told = ", ".join(
        f"{key}=np.array({value.tolist()!r}, {str(value.dtype)!r})"
        if isinstance(value, np.ndarray)
        else f"{key}={value!r}"
        for key, value in case.told.items()
    )
    lines.append(f"data = codec.encode(array{f', context=ChunkContext({told})' if told else ''})")
    return "\n".join(lines)


def shrunk(case: Case) -> Case:
    """A smaller part of the array that fails too, where cutting leaves the rest of the case as it is."""
    along = isinstance(case.options.get("bound"), dict) and np.ndim(case.options["bound"].get("abs", 0))
    if case.told or along or case.options.get("static"):
        return case
    found = True
    while found:
        found = False
        for axis, length in enumerate(case.array.shape):
            for part in (slice(0, length // 2), slice(length // 2, length), slice(0, length - 1), slice(1, length)):
                where = (slice(None),) * axis + (part,)
                smaller = replace(case, array=case.array[where].copy(order="K"))
                if 0 < smaller.array.size < case.array.size and _fails(smaller):
                    case, found = smaller, True
                    break
    return case


def _fails(case: Case) -> bool:
    try:
        run(case)
    except Fault:
        return True
    return False


def audit(seed: int, numbers: range) -> Tally:
    """Run some cases."""
    warnings.simplefilter("error")
    tally = Tally()
    for number in numbers:
        tally.record(number, draw(seed, number))
    return tally


def batches(seed: int, numbers: range, jobs: int) -> Iterator[Tally]:
    """All cases, some at a time, here or in processes."""
    parts = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    if jobs == 1:
        yield from (audit(seed, part) for part in parts)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(audit, [seed] * len(parts), parts)


def report(tally: Tally, cases: int, seconds: float) -> None:
    """Print the counts."""
    print(f"bound audit: {cases} cases, {seconds:.0f} s, {1000 * seconds / max(1, cases):.1f} ms a case")
    for what in ("codec", "dtype", "bound", "family", "path", "domain", "refused"):
        print(f"\n{what}")
        for (group, name), count in sorted(tally.counts.items()):
            if group == what:
                share = tally.tightest.get(name) if what == "bound" else None
                print(f"  {name:44} {count:7d}" + ("" if not share else f"   largest error {share:.9f} of it"))
    print(f"\nviolations: {len(tally.faults)}")


def main() -> None:
    """Run all, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="run this one alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="write the counts here")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.cases)
    if options.case is not None:
        numbers = range(options.case, options.case + 1)
    tally, start = Tally(), time.perf_counter()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        statics_in(Path(folder))
        for done, part in enumerate(batches(options.seed, numbers, options.jobs), 1):
            tally.add(part)
            for number, fault in part.faults:
                print(f"case {number}: {fault.splitlines()[0]}", file=sys.stderr, flush=True)
            if done % 20 == 0:
                print(f"{done * BATCH} cases, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        for number, fault in tally.faults[:SHOWN]:
            print(f"# case {number} of seed {options.seed}: {fault}\n{literal(shrunk(draw(options.seed, number)))}\n")
    report(tally, len(numbers), time.perf_counter() - start)
    if options.json:
        counts = [
            {"group": group, "name": name, "cases": count} for (group, name), count in sorted(tally.counts.items())
        ]
        told = {"seed": options.seed, "cases": len(numbers), "counts": counts, "tightest": tally.tightest}
        options.json.write_text(json.dumps(told | {"faults": tally.faults}, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
