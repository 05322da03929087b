"""How `HVAE` is trained: one frozen record; the shipped recipe and the paper's.

Read by hvae, hvae_train and probes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BLOCK", "FULL", "GROUPS", "HALVINGS", "SMALL", "HVAEConfig"]

GROUPS = 8  # of group norm
HALVINGS = 2
BLOCK = 1 << HALVINGS  # pixels a side to each latent


@dataclass(frozen=True)
class HVAEConfig:
    """What to train and how.

    Parameters
    ----------
    channels : int
        Wavelengths.
    widths : tuple of three int
        Of the levels, multiples of 8; the last one of the attention too.
    z : int
        Latent channels.
    attention : bool
        Whether the bottleneck has self-attention.
    kl, rate_weight : float
        Weights of the Kullback-Leibler divergence and, in tuning, of a latent's bits.
    tuned : float
        Share of the steps, the last, in which latents carry the noise of quantisation and cost their bits.
    supervised : float
        Weight of the probes' loss where targets come with the tiles.
    steps, batch, crop : int
        Optimiser steps; crops in each; their side in pixels, a multiple of 4.
    wavelengths : int
        Drawn for the loss of each step, which is then an unbiased estimate of that of all channels; 0 takes all.
    rate, decay : float
        Largest learning rate and weight decay of AdamW.
    seed, threads, save_every : int
    device : str
    """

    channels: int = 1028
    widths: tuple[int, int, int] = (64, 64, 48)
    z: int = 32
    attention: bool = True
    kl: float = 1e-6
    rate_weight: float = 0.2
    tuned: float = 0.0
    supervised: float = 0.0
    steps: int = 8000
    batch: int = 4
    crop: int = 32
    wavelengths: int = 128
    rate: float = 3e-4
    decay: float = 0.01
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    save_every: int = 200

    def __post_init__(self) -> None:
        tests = {
            f"expected three widths, multiples of {GROUPS}, got {self.widths}": (
                len(self.widths) == HALVINGS + 1 and all(w > 0 and w % GROUPS == 0 for w in self.widths)
            ),
            f"expected channels and z above 0, got {self.channels}, {self.z}": min(self.channels, self.z) > 0,
            f"expected steps, batch and save_every above 0, got {self.steps}, {self.batch}, {self.save_every}": (
                min(self.steps, self.batch, self.save_every) > 0
            ),
            f"expected crops of a multiple of {BLOCK} pixels, got {self.crop}": (
                self.crop >= BLOCK and self.crop % BLOCK == 0
            ),
            f"expected a share of tuning from 0 to 1, got {self.tuned}": 0 <= self.tuned <= 1,
            f"expected rate > 0 and threads >= 1, got {self.rate}, {self.threads}": self.rate > 0 and self.threads >= 1,
        }
        for message, good in tests.items():
            if not good:
                raise ValueError(message)

    @property
    def kind(self) -> str:
        """What the training loop calls it."""
        return "hvae"


SMALL = HVAEConfig()
FULL = HVAEConfig(
    widths=(512, 256, 128),
    steps=200_000,
    batch=32,
    crop=64,
    wavelengths=0,
    rate=1e-4,
    decay=0.05,
    device="cuda",
    save_every=1000,
)
