"""What decides a training of the generated view's networks, and nothing else.

Used by downscale_net, downscale_data and downscale.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENCODERS", "DownscaleConfig"]

KINDS = ("record", "ddpm", "vae")
ENCODERS = ("frozen", "scratch", "fine-tuned")


@dataclass(frozen=True)
class DownscaleConfig:
    """How to train; the defaults are the recipe of the shipped weights.

    Parameters
    ----------
    kind : {"record", "ddpm", "vae"}
        Stage 1 (the small U-Net on the coarse record), stage 2 (mean and denoiser), or the baseline.
    encoder : {"frozen", "scratch", "fine-tuned"}
        Of stage 2: as stage 1 left it; never taught by stage 1; taught by both.
    features : int
        Channels of the transfer encoder.
    mean, denoiser : tuple of three int
        Widths of the U-Nets at 1/2, 1/4 and 1/8 of the fine resolution.
    factors : tuple of int
    steps, batch, rate : int, int, float
        Of the optimiser; a batch is so many crops of 64 x 64 cells, or as many cells in smaller ones.
    average : float
        Of the weights over the steps, exponentially.
    bfloat16 : bool
        Multiply in bfloat16 where torch's autocast deems it safe; faster on machines that can.
    seed, threads, device, save_every :
        As for the other models.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    kind: str = "ddpm"
    encoder: str = "frozen"
    features: int = 32
    mean: tuple[int, int, int] = (24, 48, 64)
    denoiser: tuple[int, int, int] = (32, 64, 96)
    factors: tuple[int, ...] = (4, 8)
    steps: int = 18_000
    batch: int = 12
    rate: float = 1e-3
    average: float = 0.999
    bfloat16: bool = True
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    save_every: int = 200

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.encoder not in ENCODERS:
            raise ValueError(
                f"expected a kind of {KINDS} and an encoder of {ENCODERS}, got {self.kind!r} and {self.encoder!r}"
            )
        if not self.factors or any(factor not in (4, 8, 16) for factor in self.factors):
            raise ValueError(f"expected factors of 4, 8 and 16, got {self.factors}")
        widths = (self.features, *self.mean, *self.denoiser)
        if len(widths) != 7 or min(*widths, self.steps, self.batch, self.threads, self.save_every) < 1:
            raise ValueError("expected three widths for each U-Net, and widths, steps, batch and threads of at least 1")
        if not (0 < self.rate < 1 and 0 <= self.average < 1):
            raise ValueError(f"expected a rate and an average between 0 and 1, got {self.rate}, {self.average}")
