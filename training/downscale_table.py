"""Does the transfer pay? Short runs of every variant, three seeds, on one target domain, judged on its last hours.

    python -m adiabat.training.downscale_table --data DIR --other DIR --out spec/guide/downscaling_ablation.json

Stage 2 is taught on the fields of --data alone; its encoder is frozen or fine-tuned after stage 1 on their own coarse
record, frozen after stage 1 on the record of --other, whose domain is less alike, or taught from scratch. The VAE is
the baseline. Networks are reduced: at most 0.3 million weights, a few minutes a run. Rows that the log has are not run
again, and a run that was killed goes on from its checkpoint. Bicubic interpolation stands beside.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.training import data, domain
from adiabat.training.data import Fields
from adiabat.training.downscale import DownscaleTrainer
from adiabat.training.downscale_config import DownscaleConfig
from adiabat.training.downscale_data import last_in_time, pairs, records
from adiabat.training.downscale_judge import bicubic, judge, walk
from adiabat.training.downscale_net import RecordNet
from adiabat.training.export import whole
from adiabat.training.layers import count_weights

__all__ = ["REDUCED", "VARIANTS", "Variant", "add_rows", "table"]

Say = Callable[[str], None]
REDUCED = DownscaleConfig(
    features=16, mean=(16, 24, 32), denoiser=(16, 28, 40), steps=100_000, batch=8, average=0.995
)  # fmt: skip
STEPS = 30  # of a walk
FIRST = 0.25  # of the minutes of a run: stage 1
COLUMNS = ("rmse", "r2", "crps", "top_octave", "nugget", "sill", "range", "wasserstein", "tail_wasserstein")


@dataclass(frozen=True)
class Variant:
    """A row: its kind, what becomes of the encoder, and whose record that learnt on."""

    name: str
    kind: str = "ddpm"
    encoder: str = "frozen"
    record: str = "own"


VARIANTS = (
    Variant("frozen"),
    Variant("scratch", encoder="scratch", record=""),
    Variant("fine-tuned", encoder="fine-tuned"),
    Variant("frozen, other record", record="other"),
    Variant("VAE", kind="vae", encoder="scratch", record=""),
)


@dataclass(frozen=True)
class Material:
    """Fields to train on by name ("own", "other", "walk"); those kept apart to judge by; series kept apart to walk."""

    fields: dict[str, list[Fields]]
    tests: list[Fields]
    series: list[Fields]


def run_row(variant: Variant, seed: int, material: Material, work: Path, minutes: float, say: Say) -> dict[str, Any]:
    """Train a row, or go on with it, and judge it."""
    config = replace(REDUCED, kind=variant.kind, encoder=variant.encoder, seed=seed)
    record = stage1(variant.record, seed, material, work, minutes, say) if variant.record else None
    trainer = DownscaleTrainer(config, work / f"{variant.name}-{seed}.checkpoint", record=record, minutes=minutes)
    trainer.run(pairs(material.fields["own"], trainer.rng, batch=config.batch, factors=config.factors), say)  # type: ignore[arg-type]
    return {
        "name": variant.name, "seed": seed, "weights": count_weights(trainer.model), "steps": trainer.step,
        "minutes": round(trainer.seconds / 60, 1),
        "scores": {str(factor): _scores(trainer.averaged, material, factor) for factor in config.factors},
    }  # fmt: skip


def _scores(net: Any, material: Material, factor: int) -> dict[str, dict[str, float]]:
    return judge(net, material.tests, factor, like=material.fields["own"])


def stage1(name: str, seed: int, material: Material, work: Path, minutes: float, say: Say) -> RecordNet:
    """The small U-Net on the coarse record of fields of this name."""
    config = replace(REDUCED, kind="record", encoder="scratch", seed=seed, batch=16)
    trainer = DownscaleTrainer(config, work / f"record-{name}-{seed}.checkpoint", minutes=minutes * FIRST)
    trainer.run(records(material.fields[name], trainer.rng, batch=config.batch, factors=config.factors), say)  # type: ignore[arg-type]
    net: RecordNet = trainer.averaged  # type: ignore[assignment]
    return net


def add_rows(
    log_path: Path, material: Material, *, work: Path, seeds: Sequence[int], minutes: float, say: Say = print
) -> dict[str, Any]:
    """Run the rows that the log has not, adding each as it is done."""
    log: dict[str, Any] = json.loads(log_path.read_text()) if log_path.exists() else {"rows": []}
    log["minutes"] = minutes
    if "bicubic" not in log:
        log["bicubic"] = {str(factor): bicubic(material.tests, factor) for factor in REDUCED.factors}
        log["domains"] = {
            name: str(domain.compare(fields, material.fields["own"], factors=REDUCED.factors, seed=1))
            for name, fields in material.fields.items() if name != "own"
        }  # fmt: skip
    have = {(row["name"], row["seed"]) for row in log["rows"]}
    for seed in seeds:
        for variant in VARIANTS:
            if (variant.name, seed) not in have:
                say(f"{variant.name}, seed {seed}")
                log["rows"].append(run_row(variant, seed, material, work, minutes, say))
                _keep(log_path, log)
    series = [each.values[:, 0] for each in material.series if len(each.values) > STEPS]
    if series and "walk" not in log:
        net = stage1("walk", seeds[0], material, work, 4 * minutes, say)
        log["walk"] = walk(net, series[0], REDUCED.factors[0], steps=STEPS)
        _keep(log_path, log)
    return log


def _keep(path: Path, log: dict[str, Any]) -> None:
    whole(path, json.dumps(log, separators=(",", ":")).encode())


def table(log: dict[str, Any]) -> Iterator[str]:
    """Lines: mean and, in brackets, spread over seeds."""
    for factor, interpolated in log["bicubic"].items():
        yield f"{factor} times coarser, {interpolated['variables']} variables: " + ", ".join(COLUMNS)
        yield _line("bicubic", [interpolated])
        for variant in VARIANTS:
            rows = [row["scores"][factor] for row in log["rows"] if row["name"] == variant.name]
            for method in rows[0] if rows else ():
                yield _line(f"{variant.name}: {method}", [row[method] for row in rows])
    for name, verdict in log["domains"].items():
        yield f"record of {name}: {verdict}"
    for name, values in log.get("walk", {}).items():
        yield f"walk of 30 steps, {name}: {values}"


def _line(name: str, rows: Sequence[dict[str, float]]) -> str:
    cells = []
    for column in COLUMNS:
        values = np.array([row[column] for row in rows])
        cells.append(f"{values.mean():.3g}" + (f" ({values.std(ddof=1):.1g})" if len(values) > 1 else ""))
    return f"  {name}: " + ", ".join(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m adiabat.training.downscale_table", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="folder of the target domain's fields"
    )
    parser.add_argument("--other", type=Path, action="append", default=[], help="folder of another domain's")
    parser.add_argument("--walk", type=Path, action="append", default=[], help="folder of long series")
    parser.add_argument("--out", type=Path, required=True, help="the log")
    parser.add_argument("--work", type=Path, default=Path("downscale-runs"), help="folder of checkpoints")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each run")
    options = parser.parse_args(arguments)
    folders = {"own": options.data, "other": options.other, "walk": options.walk}
    loaded = {name: data.load(paths) for name, paths in folders.items() if paths}
    material = Material(
        {name: last_in_time(fields, kept=False) for name, fields in loaded.items()},
        last_in_time(loaded["own"], kept=True),
        last_in_time(loaded.get("walk", []), kept=True),
    )
    log = add_rows(options.out, material, work=options.work, seeds=range(options.seeds), minutes=options.minutes)
    for line in table(log):
        print(line)


if __name__ == "__main__":
    main()
