"""Which of the latent families wins at equal bytes: short runs of each, side by side, on fields held out.

    python -m adiabat.training.ablation --data DIR --hold-out t850 --out spec/guide/ablation.json

A row is one kind with its switches and one seed, in the reduced configuration; rows that the log has are not run again,
a run that was killed goes on. All kinds share transform, coarse field (coded by Pyramid, real bytes) and training data;
what differs is how details are quantised and coded. Bytes of codebook kinds are real; those of "hyperprior" and
"factorised" are the models' own estimate of the details, since these two are no codecs here (the shipped `Hyperprior`
is another).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from adiabat.codec.models import find_model
from adiabat.codec.volume import TAPER, encode_frames
from adiabat.codec.vq_choice import LMBDA
from adiabat.codec.vq_contexts import UNIT
from adiabat.codec.vq_field import FINENESS, STEP, Setting, encode_field
from adiabat.codec.vq_model import VQModel, load
from adiabat.training import data
from adiabat.training.ablation_table import jpeg2000, table
from adiabat.training.export import whole
from adiabat.training.hyperprior import Hyperprior
from adiabat.training.latent_config import CODEBOOKS, KINDS, LatentConfig
from adiabat.training.latent_train import LatentTrainer
from adiabat.training.layers import count_weights
from adiabat.training.stream_data import Orographies, from_fields
from adiabat.training.vq import VQVAE, perplexity

Say = Callable[[str], None]
STEPS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.1)  # over the standard deviation, at which held-out fields are coded
THRESHOLD = 0.2  # of refined rounding, for kinds whose rate is not searched word by word
HEADER = 60  # bytes of a stream beside its payload
SHORT = LatentConfig(steps=100_000, width=24, crop=160, batch=3)
VIEWS = 12  # batches that tables are counted on
MAX_LOG = 20_000  # bytes


@dataclass(frozen=True)
class Row:
    """What is run: a kind, its switches, a seed."""

    kind: str
    film: bool = False
    context: bool = True
    seed: int = 0

    @property
    def name(self) -> str:
        """Short and unique but for the seed."""
        return self.kind + "+film" * self.film + "-context" * (not self.context)

    def config(self) -> LatentConfig:
        """The reduced configuration of the row; g_a has networks only where they get a gradient of the rate."""
        analysis = 0 if self.kind in CODEBOOKS else SHORT.width
        changes = {"kind": self.kind, "film": self.film, "context": self.context, "seed": self.seed}
        return LatentConfig(**asdict(SHORT) | changes | {"analysis": analysis})


def rows(kinds: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """All rows, seed by seed: each kind plain, then with FiLM, then the hyperprior without its context."""
    out = []
    for seed in seeds:
        out += [Row(kind, seed=seed) for kind in kinds]
        out += [Row(kind, film=True, seed=seed) for kind in kinds if kind in ("vqvae", "hyperprior")]
        out += [Row(kind, context=False, seed=seed) for kind in kinds if kind == "hyperprior"]
    return out


@dataclass(frozen=True)
class HeldOut:
    """A field (y, x) that no row was trained on, and the orography of its grid, normalised."""

    name: str
    values: NDArray[np.float64]
    static: NDArray[np.float32]
    wrap: bool


def held_out(fields: Sequence[data.Fields], orography: Orographies) -> list[HeldOut]:
    """First frames of fields, with the orography that the training data have of their grid."""
    out = []
    for each in fields:
        frame = each.values[0, 0].astype(np.float64)
        if np.isfinite(frame).all():
            out.append(HeldOut(each.name, frame, orography.static(each), each.grid[1] >= 1.9 * each.grid[0]))
    return out


class Judge:
    """Codes held-out fields with a trained model.

    Parameters
    ----------
    trainer : LatentTrainer
    codec : VQModel or None
        Of a codebook kind.
    """

    def __init__(self, trainer: LatentTrainer, codec: VQModel | None) -> None:
        self.config, self.model, self.codec = trainer.config, trainer.model.cpu().eval(), codec

    def point(self, field: HeldOut, step: float, *, refined: bool) -> tuple[float, float]:
        """Ratio and RMSE, over the field's standard deviation, of a step over that deviation."""
        deviation = float(field.values.std())
        x = (field.values - field.values.mean()) / deviation / step
        with torch.no_grad():
            size, x_hat = (self._words if self.codec else self._estimate)(x, field, step, refined)
        ratio = 4 * x.size / (HEADER + size)
        return ratio, step * float(np.sqrt(np.mean((x_hat - x) ** 2)))

    def _static(self, field: HeldOut) -> Tensor | None:
        return torch.from_numpy(field.static)[None] if self.config.film else None

    def _words(self, x: NDArray[np.float64], field: HeldOut, step: float, refined: bool) -> tuple[float, Any]:
        """Real bytes, and the field by torch, which knows FiLM."""
        assert isinstance(self.model, VQVAE)
        assert self.codec is not None
        setting = Setting(self.config.levels, lmbda=LMBDA if refined else 0.0)
        made = encode_field(x[None], 1.0, setting, self.codec, (1,), wrap=field.wrap, threads=1)
        details = [torch.from_numpy(each.astype(np.float32) / UNIT) for each in made.details]
        x_hat = self.model.g_s(
            torch.from_numpy(made.smooth)[:, None], details, made.size, wrap=field.wrap, static=self._static(field)
        )
        return len(made.payload), x_hat[0, 0].numpy()

    def _estimate(self, x: NDArray[np.float64], field: HeldOut, step: float, refined: bool) -> tuple[float, Any]:
        """Real bytes of the coarse field, the model's estimate of the details."""
        assert isinstance(self.model, Hyperprior)
        coarse: list[int] = []

        def code(smooth: Tensor) -> Tensor:
            fine = Setting(1).fineness / (FINENESS * STEP)
            payload, decoded = encode_frames(
                smooth[:, 0].numpy().astype(np.float64) / fine, valid=None, step=STEP, snap=1, wrap=False,
                model=find_model(), axes=(1,), taper=TAPER, threads=1,
            )  # fmt: skip
            coarse.append(len(payload))
            return torch.from_numpy((decoded * fine).astype(np.float32))[:, None]

        span = self.config.coarsest - self.config.finest
        place = torch.tensor([(math.log10(step) - self.config.finest) / span])
        made = self.model(
            torch.from_numpy(x.astype(np.float32))[None, None], place, static=self._static(field), wrap=field.wrap,
            threshold=THRESHOLD if refined else 0.0, coarse=code,
        )  # fmt: skip
        return float(made.bits) / 8 + coarse[0], made.x_hat[0, 0].numpy()


def orientations(folders: Sequence[Path]) -> dict[str, tuple[bool, int]]:
    """How NetCDF fields lie on a grid from 90 N southwards and from 0 E eastwards, by name: flipped, columns east."""
    out: dict[str, tuple[bool, int]] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*.nc")):
        with xr.open_dataset(path, decode_times=False) as dataset:
            axes = [
                dataset[name].values
                for names in (("latitude", "lat"), ("longitude", "lon"))
                for name in [name for name in names if name in dataset.coords][:1]
            ]
            if len(axes) < 2 or any(axis.ndim != 1 or len(axis) < 2 for axis in axes):
                continue
            latitude, longitude = axes
            east = round(float(longitude[0] % 360) / abs(float(longitude[1] - longitude[0])))
            out |= {f"{path.stem}/{name}": (bool(latitude[0] < latitude[-1]), east) for name in dataset.data_vars}
    return out


def run_row(
    row: Row,
    fields: Sequence[data.Fields],
    tests: Sequence[HeldOut],
    orography: Orographies,
    work: Path,
    minutes: float,
    say: Say,
) -> dict[str, Any]:
    """Train a row, or go on with it, and judge it."""
    config = row.config()
    trainer = LatentTrainer(config, work / f"{row.name}-{row.seed}.checkpoint", minutes=minutes)
    batches = from_fields(fields, trainer.rng, count=config.batch, crop=config.crop, orography=orography)
    trainer.run(batches, say)
    codec = None
    if isinstance(trainer.model, VQVAE):
        from adiabat.training.vq_export import package

        # FiLM is nothing that a codec could know of: the package's own g_s is not run here.
        codec = load(package(_without_film(trainer), batches, {}, views=VIEWS, progress=say))
    judge = Judge(trainer, codec)
    points = {
        test.name: {
            name: [_short(judge.point(test, step, refined=refined)) for step in STEPS]
            for name, refined in (("plain", False), ("refined", True))
        }
        for test in tests
    }
    told = dict(zip(("perplexity", "share_used"), _short(perplexity(trainer.used)), strict=True)) if codec else {}
    return {
        **asdict(row), "name": row.name, "weights": count_weights(trainer.model), "steps": trainer.step,
        "minutes": round(trainer.seconds / 60, 1), "bytes": "real" if codec else "estimated", **told, "points": points,
    }  # fmt: skip


def _without_film(trainer: LatentTrainer) -> VQVAE:
    """A model to export: the same quantiser, no static channels."""
    plain = VQVAE(LatentConfig(**asdict(trainer.config) | {"film": False}))
    plain.load_state_dict(
        {key: value for key, value in trainer.model.state_dict().items() if ".film." not in key}, strict=True
    )
    return plain


def _short(point: Sequence[float]) -> list[float]:
    return [float(f"{number:.4g}") for number in point]


def add_rows(
    log_path: Path,
    todo: Sequence[Row],
    fields: Sequence[data.Fields],
    tests: Sequence[HeldOut],
    orography: Orographies,
    *,
    work: Path,
    minutes: float,
    say: Say = print,
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
    for test in tests:
        if test.name not in log["peers"]:
            log["peers"][test.name] = [_short(point) for point in jpeg2000(test.values, (50, 100, 300, 1000, 2000))]
    have = {(row["name"], row["seed"]) for row in log["rows"]}
    for row in todo:
        if (row.name, row.seed) in have:
            continue
        say(f"{row.name}, seed {row.seed}")
        log["rows"].append(run_row(row, fields, tests, orography, work, minutes, say))
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
    parser.add_argument("--minutes", type=float, default=15.0, help="of training for each row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    options = parser.parse_args(arguments)
    everything = data.load(options.data, leave_out=options.leave_out)
    fields = data.load(options.data, leave_out=[*options.hold_out, *options.leave_out])
    names = {each.name for each in fields}
    orography = Orographies.among(fields, orientations(options.data))
    tests = held_out([each for each in everything if each.name not in names], orography)
    todo = rows(options.kinds, options.seeds)
    log = add_rows(options.out, todo, fields, tests, orography, work=options.work, minutes=options.minutes)
    for test in tests:
        print("\n".join(table(log, test.name)))


if __name__ == "__main__":
    main()
