"""The network of `Pyramid` as it trains: integers in the forward pass, straight-through gradients in the backward one.

Third of five: data -> samples -> **pyramid** -> train -> export.

    z (inputs)  ->  clip(round(W_1 z), 0, 255)  ->  ...  ->  offset, spread, shape
    mean   = centre + scale * (w . d + offset / 256)              d: stencil differences over scale
    bits   = -log2 P(round((target - mean) / step) | spread, shape)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from adiabat.codec import entropy, lattice
from adiabat.codec.integer_net import INPUT_ZERO, LIMIT, Layer
from adiabat.codec.prediction import OUTPUT_BITS
from adiabat.training.export import IntegerNet

SHIFTS = (5, 6, OUTPUT_BITS)  # a layer's weights are in units of 2**-shift
WEIGHT_LIMIT = 64
FLOOR = 2.0**-22  # probability of a letter never falls below a table's least


def straight_round(x: Tensor) -> Tensor:
    """Round forward, identity backward."""
    return x + (x.round() - x).detach()


def straight_floor(x: Tensor) -> Tensor:
    """Floor forward, identity (of x - 1/2, its mean) backward."""
    return x + (x.floor() - x).detach()


class PyramidNet(nn.Module):
    """One network with its linear path.

    Parameters
    ----------
    stencil, inputs, hidden : int
        Number of stencil values, width of the input, width of the two hidden layers.
    constant : int, optional
        The input that is constant; where a stencil is followed by contexts, the last of them.
    """

    def __init__(self, stencil: int, inputs: int, hidden: int, *, constant: int | None = None) -> None:
        super().__init__()
        sizes = (inputs, hidden, hidden, 3)
        gains = (1.5, 1.0, 0.1)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(inp, out) * gain / math.sqrt(inp))
            for inp, out, gain in zip(sizes, sizes[1:], gains, strict=False)
        )
        self.linear = nn.Parameter(torch.zeros(stencil))
        constant = stencil + lattice.CONTEXTS - 1 if constant is None else constant
        with torch.no_grad():  # the first hidden unit of each layer starts as a constant, and so serves as the biases
            for weight, source in zip(self.weights, (constant, 0), strict=False):
                weight[:, 0] = 0
                weight[source, 0] = 1.9 if source else 0.9
            self.weights[0][constant, 1:] = 0.2
            self.weights[2][0] = torch.tensor([0.0, -48.0, 32.0]) / self._constant()

    def _constant(self) -> float:
        """Value of the constant unit of the second hidden layer at the start."""
        first, second = 2.0 ** SHIFTS[0], 2.0 ** SHIFTS[1]
        return round(round(1.9 * first) * 127 / first) * round(0.9 * second) / second

    def forward(self, z: Tensor) -> Tensor:
        """Stored inputs (targets, inputs) -> offset, spread, shape (targets, 3), as the integer network gives them."""
        a = z - INPUT_ZERO
        for number, weight in enumerate(self.weights):
            unit = 2.0 ** SHIFTS[number]
            a = a @ (straight_round((weight * unit).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)) / unit)
            if number < len(self.weights) - 1:
                a = straight_round(a).clamp(0, LIMIT)
        return straight_floor(a)

    def integers(self) -> IntegerNet:
        """The network as the codec runs it."""
        layers = []
        for number, weight in enumerate(self.weights):
            w = (weight.detach() * 2.0 ** SHIFTS[number]).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT).round()
            layers.append(Layer(w.numpy().astype(np.int8), 0 if number == len(self.weights) - 1 else SHIFTS[number]))
        linear = (self.linear.detach() * (1 << lattice.LINEAR_BITS)).round().clamp(-32767, 32767)
        return IntegerNet(tuple(layers), linear.numpy().astype(np.int16))


@dataclass
class Batch:
    """Sampled targets of one pass.

    inputs (targets, inputs): what the network sees; differences (targets, stencil): over scale; target: minus centre,
    over scale; ratio: scale over step; octave: eight times its logarithm; weight: bits count this much.
    """

    inputs: Tensor
    differences: Tensor
    target: Tensor
    ratio: Tensor
    octave: Tensor
    weight: Tensor


def _laplace(low: Tensor, high: Tensor, b: Tensor) -> Tensor:
    """Probability of low..high (high > 0) under a Laplace distribution of mean absolute value b."""
    tail = 0.5 * torch.exp(-low.clamp(min=0) / b) * (1 - torch.exp(-(high - low) / b))
    centre = 1 - 0.5 * torch.exp(-high / b) - 0.5 * torch.exp(low.clamp(max=0) / b)
    return torch.where(low >= 0, tail, centre)


def _gauss(low: Tensor, high: Tensor, b: Tensor) -> Tensor:
    """Probability of low..high under a normal distribution of mean absolute value b."""
    return 0.5 * (torch.erf(high / (b * math.sqrt(math.pi))) - torch.erf(low / (b * math.sqrt(math.pi))))


def probabilities(q: Tensor, b: Tensor) -> list[Tensor]:
    """P(q) of the three shapes: heavy-tailed, Laplace, near normal, all of mean absolute value b; q may be real."""
    low, high = q.abs() - 0.5, q.abs() + 0.5
    laplace = _laplace(low, high, b)
    heavy = 0.75 * _laplace(low, high, 0.6 * b) + 0.25 * _laplace(low, high, 2.2 * b)
    normal = 0.97 * _gauss(low, high, 0.97 * b) + 0.03 * _laplace(low, high, 2.0 * b)
    return [heavy, laplace, normal]


def bits(q: Tensor, b: Tensor, shape: Tensor) -> Tensor:
    """Code length of q; between two shapes the probabilities are interpolated."""
    heavy, laplace, normal = probabilities(q, b)
    to_laplace, to_normal = shape.clamp(0, 1), (shape - 1).clamp(0, 1)
    p = heavy * (1 - to_laplace) + laplace * (to_laplace - to_normal) + normal * to_normal
    return -torch.log2(p.clamp(min=0) * (1 - FLOOR) + FLOOR)


def loss(net: PyramidNet, batch: Batch) -> Tensor:
    """Weighted mean code length: of the rounded symbols for spread and shape, of the real residual for the mean."""
    offset, spread, shape = net(batch.inputs).unbind(1)
    mean = batch.differences @ net.linear + offset.clamp(-lattice.OFFSET_LIMIT, lattice.OFFSET_LIMIT) / (
        1 << lattice.OFFSET_BITS
    )
    residual = (batch.target - mean) * batch.ratio
    least = -entropy.SCALE_ONE / 4
    b = torch.exp2(((spread + 2 * batch.octave - 1.5) / 16).clamp(least, 40))
    t = (shape / 32).clamp(0, entropy.SHAPES - 1)
    of_model = bits(residual.detach().round(), b, t)
    of_mean = bits(residual, b.detach(), t.detach())
    return ((of_model + of_mean) * batch.weight).mean()
