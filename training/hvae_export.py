"""A trained `HVAE` -> a package for `adiabat.codec.hvae`: ONNX graphs of half-precision weights, gains, the prior.

Last of four: hvae_prior -> **hvae_export**. Graphs run in float32; each is compared with torch. Spec: spec/hvae.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from adiabat.codec.float_graph import runner
from adiabat.codec.hvae_model import FORMAT, KIND
from adiabat.codec.hvae_prior import Prior
from adiabat.codec.hvae_transform import SIDE, TILE, Normalisation
from adiabat.training.export import integer_parts, manifest, npy, zipped
from adiabat.training.hvae import HEADS, HVAE, Attention, Decoder, Encoder, ResBlock
from adiabat.training.hvae_config import GROUPS, HALVINGS
from adiabat.training.onnx_graph import OnnxGraph

__all__ = ["decoder_graph", "encoder_graph", "halved", "package"]

AGREE = 2e-3  # of a normalised value, between torch and ONNX


class _Graph(OnnxGraph):
    """The layers of `g_a` and `g_s`; weights are stored as float16 and cast."""

    def weight(self, tensor: Tensor, shape: tuple[int, ...] | None = None) -> str:
        array = tensor.detach().cpu().numpy().astype(np.float16)
        return self.add("Cast", [self.constant(array if shape is None else array.reshape(shape))], to=TensorProto.FLOAT)

    def add(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def scalar(self, number: float) -> str:
        return self.constant(np.array([number], np.float32))

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))])

    def convolve(self, x: str, layer: nn.Conv2d | nn.ConvTranspose2d) -> str:
        assert layer.bias is not None
        kind = "ConvTranspose" if isinstance(layer, nn.ConvTranspose2d) else "Conv"
        padding = layer.padding[0]
        assert isinstance(padding, int)
        return self.add(
            kind,
            [x, self.weight(layer.weight), self.weight(layer.bias)],
            strides=list(layer.stride),
            pads=[padding] * 4,
        )

    def norm(self, x: str, layer: nn.GroupNorm, side: int) -> str:
        """Group norm: instance norm of groups, then scale and shift by channel."""
        width = layer.num_channels
        one, zero = (self.constant(np.full(GROUPS, value, np.float32)) for value in (1, 0))
        grouped = self.reshape(x, 0, GROUPS, -1)
        h = self.reshape(
            self.add("InstanceNormalization", [grouped, one, zero], epsilon=layer.eps), 0, width, side, side
        )
        h = self.add("Mul", [h, self.weight(layer.weight, (1, width, 1, 1))])
        return self.add("Add", [h, self.weight(layer.bias, (1, width, 1, 1))])

    def gelu(self, x: str) -> str:
        erf = self.add("Erf", [self.add("Mul", [x, self.scalar(math.sqrt(0.5))])])
        half = self.add("Mul", [x, self.scalar(0.5)])
        return self.add("Mul", [half, self.add("Add", [erf, self.scalar(1.0)])])

    def block(self, x: str, block: ResBlock, side: int) -> str:
        h = self.convolve(self.gelu(self.norm(x, block.norm1, side)), block.conv1)
        return self.add("Add", [x, self.convolve(self.gelu(self.norm(h, block.norm2, side)), block.conv2)])

    def attend(self, x: str, layer: nn.Module, side: int) -> str:
        if not isinstance(layer, Attention):
            return x
        width = layer.project.out_channels
        qkv = self.reshape(self.convolve(self.norm(x, layer.norm, side), layer.qkv), 0, 3 * HEADS, -1, side * side)
        thirds = self.constant(np.full(3, HEADS, np.int64))
        q, k, v = (f"{part}{len(self.nodes)}" for part in "qkv")
        self.nodes.append(helper.make_node("Split", [qkv, thirds], [q, k, v], axis=1))
        q = self.add("Transpose", [q], perm=[0, 1, 3, 2])
        product = self.add("Mul", [self.add("MatMul", [q, k]), self.scalar(1 / math.sqrt(width // HEADS))])
        weights = self.add("Softmax", [product], axis=3)
        mixed = self.add("MatMul", [v, self.add("Transpose", [weights], perm=[0, 1, 3, 2])])
        return self.add("Add", [x, self.convolve(self.reshape(mixed, 0, width, side, side), layer.project)])

    def finish(self, shape: tuple[int, ...], out: tuple[int, ...]) -> bytes:
        """A checked model of input "x" to output "y"."""
        return self.model("hvae", [("x", ["tiles", *shape])], ("y", ["tiles", *out]))


def encoder_graph(encoder: Encoder) -> bytes:
    """`g_a`: "x" (tiles, C, 64, 64) normalised to "y", the posterior's mean (tiles, z, 16, 16)."""
    graph, side = _Graph(), TILE
    h = graph.convolve("x", encoder.conv_in)
    for level, block in enumerate(encoder.blocks):
        assert isinstance(block, ResBlock)
        h = graph.block(h, block, side)
        if level < HALVINGS:
            down = encoder.down[level]
            assert isinstance(down, nn.Conv2d)
            h, side = graph.convolve(h, down), side // 2
    h = graph.attend(h, encoder.attention, side)
    graph.add("Identity", [graph.convolve(h, encoder.to_mu)], "y")
    return graph.finish((encoder.conv_in.in_channels, TILE, TILE), (encoder.to_mu.out_channels, SIDE, SIDE))


def decoder_graph(decoder: Decoder) -> bytes:
    """`g_s`: "x" (tiles, z, 16, 16) to "y", normalised radiance (tiles, C, 64, 64)."""
    graph, side = _Graph(), SIDE
    h = graph.attend(graph.convolve("x", decoder.from_z), decoder.attention, side)
    for level, block in enumerate(decoder.blocks):
        assert isinstance(block, ResBlock)
        h = graph.block(h, block, side)
        if level < HALVINGS:
            up = decoder.up[level]
            assert isinstance(up, nn.ConvTranspose2d)
            h, side = graph.convolve(h, up), side * 2
    graph.add("Identity", [graph.convolve(h, decoder.conv_out)], "y")
    return graph.finish((decoder.from_z.in_channels, SIDE, SIDE), (decoder.conv_out.out_channels, TILE, TILE))


def halved(model: HVAE) -> HVAE:
    """The same model as the package has it: scales of branches inside their weights, half precision; in place."""
    with torch.no_grad():
        for each in model.modules():
            if isinstance(each, ResBlock | Attention):
                last = each.conv2 if isinstance(each, ResBlock) else each.project
                assert last.bias is not None
                last.weight.mul_(each.scale[:, :, :, None])
                last.bias.mul_(each.scale[:, 0, 0])
                each.scale.fill_(1.0)
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def package(
    model: HVAE,
    normal: Normalisation,
    latents: NDArray[np.float32],
    prior: Prior,
    about: dict[str, Any],
) -> bytes:
    """The bytes of a model package; the same input gives the same bytes.

    Parameters
    ----------
    model : HVAE
        On the CPU, `halved`.
    normal : Normalisation
    latents : NDArray[np.float32], shape (2, z)
        Centres and gains.
    prior : Prior
    about : dict
        JSON, for the manifest.

    Raises
    ------
    ValueError
        If a graph and torch differ by more than rounding, or the prior could not be run exactly.
    """
    graphs = {"g_a.onnx": encoder_graph(model.encoder), "g_s.onnx": decoder_graph(model.decoder)}
    _check_equal(model, graphs)
    about = {"kind": KIND, "format": FORMAT, "floor": normal.floor, "clip": normal.clip, **about,
             "nets": {"prior": {"shifts": [layer.shift for layer in prior.layers]}}}  # fmt: skip
    arrays = {
        "normalisation.npy": npy(np.stack([normal.mean, normal.spread])),
        "latents.npy": npy(latents),
        "linear.npy": npy(prior.linear),
        "scales.npy": npy(prior.scales),
        "frequencies.npy": npy(prior.frequencies),
    }
    return zipped({"manifest.json": manifest(about), **arrays, **integer_parts("prior", prior.layers), **graphs})


def _check_equal(model: HVAE, graphs: dict[str, bytes]) -> None:
    """Compare ONNX, optimised and not, with torch; ValueError where they differ by more than rounding."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, model.config.channels, TILE, TILE, generator=generator)
    with torch.no_grad():
        z = model.encoder(x).mu
        expected = {"g_a.onnx": (x, z), "g_s.onnx": (z, model.decoder(z))}
    for name, (given, wanted) in expected.items():
        for optimise in (True, False):
            got = runner(graphs[name], optimise=optimise)(given.numpy())
            worst = float(np.abs(got - wanted.numpy()).max()) / max(1.0, float(wanted.abs().max()))
            if not worst < AGREE:
                raise ValueError(f"the exported graph {name} and torch differ by {worst}")
