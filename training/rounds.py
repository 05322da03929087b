"""The loop that trains integer networks in closed loop: encode views, teach each network on what it saw, again.

Fourth of five for Pyramid and for Hyperprior: data -> samples -> network and loss -> **rounds** -> export. The state
after each round is kept beside the target, so that a run that was stopped goes on and ends in the same weights.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from adiabat.training.export import whole
from adiabat.training.pyramid import Batch, PyramidNet, loss

Say = Callable[[str], None]
Sample = dict[str, NDArray[Any]]


class Recipe(Protocol):
    """What a configuration has to say."""

    seed: int
    threads: int
    rounds: tuple[float, ...]
    steps: int
    batch: int
    rate: float


def check_recipe(recipe: Any) -> None:
    """Refuse steps, views and threads that make no sense; ValueError."""
    if recipe.steps < 10 or recipe.views < 4 or recipe.threads < 1:
        raise ValueError(
            f"expected steps >= 10, views >= 4, threads >= 1, got {recipe.steps}, {recipe.views}, {recipe.threads}"
        )


class Encoded(NamedTuple):
    """What encoding some views gave."""

    samples: dict[str, list[Sample]]  # by network
    bits: float  # a value, geometric mean over views
    counts: NDArray[np.float64]  # weighted letters (tables, letters)


class Rounds:
    """State of a training run; subclasses encode views and say how tables follow.

    Parameters
    ----------
    nets : mapping of str to PyramidNet
    config : Recipe
    names : sequence of str
        The variables trained on: a checkpoint of others is refused.
    checkpoint : Path
    """

    def __init__(self, nets: Mapping[str, PyramidNet], config: Any, names: list[str], checkpoint: Path) -> None:
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(True)
        self.nets, self.config, self.names, self.checkpoint = nets, config, names, checkpoint
        self.rng = np.random.default_rng(config.seed)

    def package(self, about: dict[str, Any]) -> bytes:
        """The model package as it stands."""
        raise NotImplementedError

    def encode(self) -> Encoded:
        """Encode the views of one round."""
        raise NotImplementedError

    def begin(self, net: PyramidNet, samples: list[Sample]) -> None:
        """Prepare a network before its first steps."""

    def follow(self, number: int, encoded: Encoded) -> None:
        """Whatever follows from a round's views beside the networks."""

    def finish(self, say: Say) -> None:
        """What comes after the last round."""

    def state(self) -> dict[str, Any]:
        """What the next samples depend on, beside networks and generator."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""

    def run(self, progress: Say) -> None:
        """All rounds that are left, then the end."""
        start = time.monotonic()

        def say(text: str) -> None:
            progress(f"{time.monotonic() - start:6.0f} s  {text}")

        done, before = self._resume(say)
        for number in range(done, len(self.config.rounds)):
            recorded_with = self._state()
            encoded = self.encode()
            say(f"round {number}: {encoded.bits:.4f} bits a value, geometric mean over views")
            self.follow(number, encoded)
            for name, net in self.nets.items():
                if not encoded.samples[name]:
                    continue  # no view of these data has what it is for
                if number == 0 or not before[name]:
                    self.begin(net, encoded.samples[name])
                # Samples of the round before keep a network from chasing its own latest closed loop.
                steps = int(self.config.steps * self.config.rounds[number])
                final = self.fit(net, encoded.samples[name] + before[name], steps, self.config.rate / (1 + number / 2))
                say(f"round {number}: {name} loss {final:.4f}")
            before = encoded.samples if number else before
            self._save(number + 1, recorded_with)
        self.finish(say)

    def write(self, target: Path, name: str, left_out: Sequence[str]) -> str:
        """Write the package and forget the checkpoint; returns the package's SHA-256."""
        about = {
            "name": name,
            "recipe": asdict(self.config),
            "left_out": list(left_out),
            "torch": torch.__version__.split("+")[0],
            "variables": self.names,
        }
        data = self.package(about)
        whole(target, data)
        self.checkpoint.unlink(missing_ok=True)
        return hashlib.sha256(data).hexdigest()

    def fit(self, net: PyramidNet, samples: list[Sample], steps: int, rate: float) -> float:
        """Adam over random batches, one learning-rate cycle; returns the mean loss of the last tenth."""
        arrays = {key: torch.from_numpy(np.concatenate([sample[key] for sample in samples])) for key in samples[0]}
        arrays["weight"] /= arrays["weight"].mean()
        optimiser = torch.optim.Adam(net.parameters(), rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.15)
        size, recent = len(arrays["weight"]), []
        for step in range(steps):
            at = torch.from_numpy(self.rng.integers(0, size, self.config.batch))
            value = loss(net, Batch(**{key: array[at].float() for key, array in arrays.items()}))
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step >= min(0.9 * steps, steps - 1):
                recent.append(float(value.detach()))
        return sum(recent) / len(recent)

    def _state(self) -> dict[str, Any]:
        nets = {
            name: {key: value.clone() for key, value in net.state_dict().items()} for name, net in self.nets.items()
        }
        return {"nets": nets, "rng": self.rng.bit_generator.state, **self.state()}

    def _restore(self, state: dict[str, Any]) -> None:
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        self.rng.bit_generator.state = state["rng"]
        self.restore(state)

    def _save(self, rounds: int, recorded_with: dict[str, Any]) -> None:
        """Keep the state after a round, and the one its samples were recorded with: they weigh too much to be kept."""
        state = {
            "rounds": rounds,
            "config": repr(self.config),
            "variables": self.names,
            "now": self._state(),
            "recorded_with": recorded_with,
        }
        partial = self.checkpoint.with_name(self.checkpoint.name + ".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self, say: Say) -> tuple[int, dict[str, list[Sample]]]:
        """Rounds that are done by a checkpoint of the same recipe and data, and the last one's samples, made anew."""
        before: dict[str, list[Sample]] = {name: [] for name in self.nets}
        if not self.checkpoint.exists():
            return 0, before
        state = torch.load(self.checkpoint, weights_only=True)
        if state["config"] != repr(self.config) or state["variables"] != self.names:
            raise ValueError(f"{self.checkpoint} is of another recipe or data: remove it, or choose another target")
        rounds = int(state["rounds"])
        say(f"going on after round {rounds - 1} of {self.checkpoint}")
        if 1 < rounds < len(self.config.rounds):
            self._restore(state["recorded_with"])
            before = self.encode().samples
        self._restore(state["now"])
        return rounds, before
