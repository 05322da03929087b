"""Which of the latent families wins at equal bytes: short runs of each, side by side, on fields held out.

    python -m adiabat.training.ablation --data DIR --hold-out t850 --out spec/guide/ablation.json

A row is one kind with its switches and one seed, in the reduced configuration or, marked so, in the full one; rows that
the log has are not run again, a run that was killed goes on. The convolutional kinds share transform, coarse field
(coded by Pyramid, real bytes) and training data; what differs is how details are quantised and coded. Bytes of codebook
kinds are real; those of "hyperprior" and "factorised" are the models' own estimate of the details, since these two are
no codecs here. "subband" is the shipped `Hyperprior` in a reduced recipe, and its bytes are real. With HEALPix, global
fields are trained on and coded as strips of faces, and errors are those on the field's own grid after going back.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from adiabat.codec import hyperprior_model
from adiabat.codec.vq_model import load
from adiabat.training import data
from adiabat.training.ablation_judge import Coder, HeldOut, LatentCoder, SubbandCoder, held_out, orientations, point
from adiabat.training.ablation_table import jpeg2000, table
from adiabat.training.export import whole
from adiabat.training.healpix_data import Axes, HealpixTrainer, axes_of, split
from adiabat.training.latent_config import CODEBOOKS, KINDS, LatentConfig
from adiabat.training.latent_train import LatentTrainer
from adiabat.training.layers import count_weights
from adiabat.training.stream_data import Orographies, from_fields
from adiabat.training.subband_train import SubbandConfig, SubbandTrainer
from adiabat.training.vq import VQVAE, perplexity

Say = Callable[[str], None]
SUBBAND = "subband"
ROW_KINDS = (*KINDS, SUBBAND)
STEPS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.1)  # over the standard deviation, at which held-out fields are coded
COARSER = 1.7  # for kinds that need a coarser step for the same ratio
SHORT = LatentConfig(steps=100_000, width=24, crop=160, batch=3)
FULL = LatentConfig(steps=100_000, width=48, crop=192, batch=4)
SHORT_SUBBAND = SubbandConfig(rounds=(0.1, 0.15, 0.25, 0.25, 0.25), views=24, steps=600)
VIEWS = 12  # batches that tables are counted on
MAX_LOG = 20_000  # bytes


@dataclass(frozen=True)
class Row:
    """What is run: a kind, its switches, a seed."""

    kind: str
    film: bool = False
    context: bool = True
    seed: int = 0
    healpix: bool = False
    full: bool = False

    @property
    def name(self) -> str:
        """Short and unique but for the seed."""
        switches = "+film" * self.film + "-context" * (not self.context) + "+healpix" * self.healpix
        return self.kind + switches + ", full" * self.full

    def config(self) -> LatentConfig:
        """Of a convolutional kind; g_a has networks only where they get a gradient of the rate."""
        base = FULL if self.full else SHORT
        analysis = 0 if self.kind in CODEBOOKS else base.width
        changes = {"kind": self.kind, "film": self.film, "context": self.context, "seed": self.seed}
        return LatentConfig(**asdict(base) | changes | {"analysis": analysis})

    def entry(self) -> dict[str, Any]:
        """What the log says of it: switches of later versions only where they are on."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("healpix", "full")}


def rows(kinds: Sequence[str], seeds: Sequence[int], *, full: bool = False) -> list[Row]:
    """All rows, seed by seed: kinds plain, with FiLM, without context, on HEALPix; with `full`, those of one seed."""
    if full:
        return [Row(kind, seed=seeds[0], full=True) for kind in kinds if kind in ("vqvae", "hyperprior")]
    out = []
    for seed in seeds:
        out += [Row(kind, seed=seed) for kind in kinds]
        out += [Row(kind, film=True, seed=seed) for kind in kinds if kind in ("vqvae", "hyperprior")]
        out += [Row(kind, context=False, seed=seed) for kind in kinds if kind == "hyperprior"]
        out += [Row(kind, healpix=True, seed=seed) for kind in kinds if kind in ("vqvae", SUBBAND)]
    return out


@dataclass(frozen=True)
class Material:
    """What rows are trained on and judged by.

    Attributes
    ----------
    fields : sequence of Fields
        To train on.
    tests : sequence of HeldOut
    orography : Orographies
    axes : dict of name to latitudes and longitudes
    """

    fields: Sequence[data.Fields]
    tests: Sequence[HeldOut]
    orography: Orographies
    axes: dict[str, Axes] = field(default_factory=dict)

    @cached_property
    def split(self) -> tuple[list[data.Fields], list[data.Fields]]:
        """Global fields as strips, and the others."""
        return split(self.fields, self.axes)


def run_row(row: Row, material: Material, checkpoint: Path, minutes: float, say: Say) -> dict[str, Any]:
    """Train a row, or go on with it, and judge it."""
    train = _subband if row.kind == SUBBAND else _latent
    coder, told = train(row, material, checkpoint, minutes, say)
    steps = STEPS if told["bytes"] == "real" else (*STEPS, COARSER)
    points = {
        test.name: {
            name: [_short(point(coder, test, step, refined=refined, healpix=row.healpix)) for step in steps]
            for name, refined in (("plain", False), ("refined", True))
        }
        for test in material.tests
    }
    return {**row.entry(), "name": row.name, **told, "points": points}


def _latent(row: Row, material: Material, checkpoint: Path, minutes: float, say: Say) -> tuple[Coder, dict[str, Any]]:
    """A convolutional kind."""
    config = row.config()
    trainer = LatentTrainer(config, checkpoint, minutes=minutes)
    fields = [*material.split[0], *material.split[1]] if row.healpix else material.fields
    batches = from_fields(
        fields, trainer.rng, count=config.batch, crop=config.crop, orography=None if row.healpix else material.orography
    )
    trainer.run(batches, say)
    told: dict[str, Any] = {
        "weights": count_weights(trainer.model), "steps": trainer.step, "minutes": round(trainer.seconds / 60, 1)
    }  # fmt: skip
    if not isinstance(trainer.model, VQVAE):
        return LatentCoder(trainer, None), told | {"bytes": "estimated"}
    from adiabat.training.vq_export import package

    # FiLM is nothing that a codec could know of: the package's own g_s is not run here.
    codec = load(package(_without_film(trainer), batches, {}, views=VIEWS, progress=say))
    used = dict(zip(("perplexity", "share_used"), _short(perplexity(trainer.used)), strict=True))
    return LatentCoder(trainer, codec), told | {"bytes": "real", **used}


def _subband(row: Row, material: Material, checkpoint: Path, minutes: float, say: Say) -> tuple[Coder, dict[str, Any]]:
    """The networks of `Hyperprior`; `minutes` is not for them, whose recipe counts steps."""
    config, start = SubbandConfig(**asdict(SHORT_SUBBAND) | {"seed": row.seed}), time.process_time()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    trainer = (
        HealpixTrainer(*material.split, config, checkpoint)
        if row.healpix
        else SubbandTrainer(list(material.fields), config, checkpoint)
    )
    trainer.run(say)
    told = {
        "weights": sum(count_weights(net) for net in trainer.nets.values()), "steps": config.steps,
        "minutes": round((time.process_time() - start) / 60, 1), "bytes": "real",
    }  # fmt: skip
    return SubbandCoder(hyperprior_model.load(trainer.package({"name": row.name}))), told


def _without_film(trainer: LatentTrainer) -> VQVAE:
    """A model to export: the same quantiser, no static channels."""
    plain = VQVAE(LatentConfig(**asdict(trainer.config) | {"film": False}))
    plain.load_state_dict(
        {key: value for key, value in trainer.model.state_dict().items() if ".film." not in key}, strict=True
    )
    return plain


def _short(numbers: Sequence[float]) -> list[float]:
    return [float(f"{number:.4g}") for number in numbers]


def add_rows(
    log_path: Path, todo: Sequence[Row], material: Material, *, work: Path, minutes: float, say: Say = print
) -> dict[str, Any]:
    """Run the rows that the log has not, adding each as it is done.

    Raises
    ------
    ValueError
        If the log would grow beyond 20 kB.
    """
    log: dict[str, Any] = {"rows": [], "peers": {}}
    if log_path.exists():
        log = json.loads(log_path.read_text())
    for test in material.tests:
        if test.name not in log["peers"]:
            log["peers"][test.name] = [_short(point) for point in jpeg2000(test.values, (50, 100, 300, 1000, 2000))]
    have = {(row["name"], row["seed"]) for row in log["rows"]}
    for row in todo:
        if (row.name, row.seed) in have:
            continue
        say(f"{row.name}, seed {row.seed}")
        for test in material.tests if row.healpix else ():
            log.setdefault("regridding", {})[test.name] = _short([test.regridding])[0]
        log["rows"].append(run_row(row, material, work / f"{row.name}-{row.seed}.checkpoint", minutes, say))
        text = json.dumps(log, separators=(",", ":"))
        if len(text) > MAX_LOG:
            raise ValueError(f"expected a log of at most {MAX_LOG} bytes, got {len(text)}: start another")
        whole(log_path, text.replace('{"kind"', '\n{"kind"').encode())
    return log


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m adiabat.training.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder; repeatable")
    parser.add_argument("--hold-out", action="append", required=True, help="part of the paths to test on; repeatable")
    parser.add_argument("--leave-out", action="append", default=[], help="part of paths used for nothing; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="the log, JSON; added to")
    parser.add_argument("--work", type=Path, default=Path("ablation-runs"), help="folder of checkpoints")
    parser.add_argument("--minutes", type=float, default=15.0, help="of training for each convolutional row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(ROW_KINDS), choices=ROW_KINDS)
    parser.add_argument("--full", action="store_true", help="the full configuration, of the first seed alone")
    options = parser.parse_args(arguments)
    everything = data.load(options.data, leave_out=options.leave_out)
    fields = data.load(options.data, leave_out=[*options.hold_out, *options.leave_out])
    names = {each.name for each in fields}
    orography, axes = Orographies.among(fields, orientations(options.data)), axes_of(options.data)
    tests = held_out([each for each in everything if each.name not in names], orography, axes)
    todo = rows(options.kinds, options.seeds, full=options.full)
    material = Material(fields, tests, orography, axes)
    log = add_rows(options.out, todo, material, work=options.work, minutes=options.minutes)
    for test in tests:
        print("\n".join(table(log, test.name)))


if __name__ == "__main__":
    main()
