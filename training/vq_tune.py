"""`g_s` taught on what it will really get: fields coded by the codec itself, words, tables, coarse field and all.

After latent_train and vq_export, before the package is written for good: the encoder of a codebook model needs no
`g_s`, so that its streams, and how well they code, stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adiabat.codec.vq_contexts import UNIT
from adiabat.codec.vq_field import Setting, encode_field
from adiabat.codec.vq_model import VQModel
from adiabat.training import losses
from adiabat.training.latent_config import LatentConfig
from adiabat.training.latent_train import LatentTrainer
from adiabat.training.stream_data import Crops
from adiabat.training.vq import VQVAE

LEVELS = (2, 5)  # of each crop, the last left out
FINENESS = (20, 33)


class TuneTrainer(LatentTrainer):
    """A run that goes on with a trained model, on hard latents.

    Parameters
    ----------
    config : LatentConfig
        `steps` are those of this run alone.
    checkpoint : path
        Another than the first run's.
    start : VQVAE
        Its `g_s` is what the run begins with.
    codec : VQModel
        The package as it stands.
    minutes : float, optional
    """

    def __init__(
        self, config: LatentConfig, checkpoint: Path, start: VQVAE, codec: VQModel, *, minutes: float | None = None
    ) -> None:
        super().__init__(config, checkpoint, minutes=minutes)
        self.model.load_state_dict(start.state_dict())
        self.codec = codec

    def train_step(self, crops: Crops) -> dict[str, float]:
        """One step on the crops, each coded with a step and a depth of its own."""
        self.set_rate()
        parts, told = [], {"mse": 0.0, "bits": 0.0}
        for crop in crops.values:
            distortion, bits = self._coded(crop)
            parts.append(losses.evened(distortion))
            told["mse"] += float(distortion.detach()) / len(crops.values)
            told["bits"] += bits / len(crops.values)
        self.descend(torch.stack(parts).mean())
        return told

    def _coded(self, crop: np.ndarray) -> tuple[Tensor, float]:
        """Distortion, in squared steps, of a crop (rows, columns), and bits a value."""
        assert isinstance(self.model, VQVAE)
        step = 10 ** self.rng.uniform(self.config.finest, self.config.coarsest)
        setting = Setting(int(self.rng.integers(*LEVELS)), int(self.rng.integers(*FINENESS)))
        made = encode_field(crop[None].astype(np.float64), step, setting, self.codec, (1,), wrap=False, threads=1)
        device = self.config.device
        smooth = torch.from_numpy(made.smooth)[:, None].to(device)
        details = [torch.from_numpy(each.astype(np.float32) / UNIT).to(device) for each in made.details]
        x = torch.from_numpy((crop / step).astype(np.float32))[None, None].to(device)
        x_hat = self.model.g_s(smooth, details, crop.shape)
        return losses.mse(x_hat, x), 8 * len(made.payload) / crop.size
