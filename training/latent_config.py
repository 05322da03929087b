"""How a latent model is trained: one frozen record, the same for every kind.

Read by hyperprior, vq, latent_train and ablation.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("vqvae", "fsq", "vqgan", "hyperprior", "factorised")
CODEBOOKS = ("vqvae", "fsq", "vqgan")  # kinds whose indices the codec VQ can code


@dataclass(frozen=True)
class LatentConfig:
    """What to train and how; the defaults are the recipe of the shipped weights.

    Parameters
    ----------
    kind : str
        One of KINDS.
    width : int
        Of the hidden layers of g_s; 0 for the linear transform alone.
    analysis : int
        The same of g_a. Indices give g_a no gradient of their rate: in the codebook kinds it learned to write more of
        them than it saved, so it is 0 by default.
    levels : int
        Downsamplings in training (an encoder may take others).
    words : int
        Of each codebook, at most 256.
    fsq_levels : int
        Odd; values along each axis of FSQ's grid, at most 6 (cubed it must fit 256).
    film : bool
        Whether static channels, such as orography, modulate the networks.
    context : bool
        Of the hyperprior: two checkerboard passes.
    lmbda : float
        Distortion in squared steps that a bit is worth.
    finest, coarsest : float
        Of log10(step / robust standard deviation), drawn evenly: all rates in one model.
    steps, batch, crop : int
        Optimiser steps; crops a step; their side in pixels.
    tune : int
        Steps of g_s on what the codec really writes; 0 for none.
    rate : float
        Largest learning rate.
    adversarial : float
        Weight of the discriminator's verdict, of vqgan, in its second half.
    seed, threads : int
    device : str
        "cpu" or as torch names it.
    save_every : int
        Steps between checkpoints.
    """

    kind: str = "vqvae"
    width: int = 24
    analysis: int = 0
    levels: int = 3
    words: int = 256
    fsq_levels: int = 5
    film: bool = False
    context: bool = True
    lmbda: float = 0.12
    finest: float = -1.9
    coarsest: float = 0.15
    steps: int = 800
    tune: int = 500
    batch: int = 3
    crop: int = 160
    rate: float = 2e-3
    adversarial: float = 0.02
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    save_every: int = 100

    def __post_init__(self) -> None:
        tests = {
            f"expected a kind of {KINDS}, got {self.kind!r}": self.kind in KINDS,
            f"expected 1 to 5 levels, got {self.levels}": 1 <= self.levels <= 5,
            f"expected 2 to 256 words, got {self.words}": 2 <= self.words <= 256,
            f"expected 3 or 5 levels of FSQ, got {self.fsq_levels}": self.fsq_levels in (3, 5),
            f"expected finest < coarsest, got {self.finest}, {self.coarsest}": self.finest < self.coarsest,
            f"expected steps, batch and save_every above 0, got {self.steps}, {self.batch}, {self.save_every}": (
                min(self.steps, self.batch, self.save_every) > 0
            ),
            f"expected crops of at least 16 pixels, got {self.crop}": self.crop >= 16,
            f"expected lmbda >= 0, rate > 0, width >= 0, threads >= 1, got {self.lmbda}, {self.rate}, {self.width}, "
            f"{self.threads}": self.lmbda >= 0 and self.rate > 0 and self.width >= 0 and self.threads >= 1,
        }
        for message, good in tests.items():
            if not good:
                raise ValueError(message)

    @property
    def static(self) -> int:
        """Static channels: orography, and the logarithm of pressure."""
        return 2 if self.film else 0
