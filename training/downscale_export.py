"""Networks of the generated view -> a package for `adiabat.codec.downscaler_model`: three ONNX graphs.

Last of four: downscale -> **downscale_export**. Weights are stored as float16 and cast; graphs run in float32, and each
is compared with torch. Spec: spec/generated.md.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from adiabat.codec.downscaler_model import COARSE_INPUTS, FINE_INPUTS, FORMAT, GRAPHS, KIND
from adiabat.codec.float_graph import Graph, runner
from adiabat.formats.sampler import sample
from adiabat.training.downscale_config import DownscaleConfig
from adiabat.training.downscale_data import MULTIPLE
from adiabat.training.downscale_net import Downscaler
from adiabat.training.export import manifest, zipped

__all__ = ["halved", "package"]

AGREE = 1e-4  # between torch and ONNX, where outputs are about 1
ALIKE = 1e-3  # between samples, in standard deviations
SMALL = 32  # numbers that stay float32


class _Part(nn.Module):
    """One method of a network, as a module that can be traced."""

    def __init__(self, net: Downscaler, method: str) -> None:
        super().__init__()
        self.net, self.method = net, method

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = getattr(self.net, self.method)(*inputs)
        return out


def halved(net: Downscaler) -> Downscaler:
    """The network with its weights rounded to float16, as they are shipped."""
    net = copy.deepcopy(net).cpu().float().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() >= SMALL:
                parameter.copy_(parameter.half().float())
    return net


def package(net: Downscaler, config: DownscaleConfig, about: dict[str, Any]) -> bytes:
    """Write the three graphs.

    Raises
    ------
    ValueError
        If ONNX Runtime does not give what torch gives, at once or after a whole sample.
    """
    net = halved(net)
    parts = {f"{name}.onnx": _graph(net, name, config.features) for name in GRAPHS}
    _check_sample(net, {name: runner(parts[f"{name}.onnx"]) for name in GRAPHS}, config.features)
    shape = {"features": config.features, "factors": list(config.factors), "multiple": MULTIPLE}
    return zipped({"manifest.json": manifest({"kind": KIND, "format": FORMAT, **shape, **about}), **parts})


def _inputs(name: str, width: int, *, side: int, factor: int, batch: int) -> dict[str, Tensor]:
    """Random inputs of a graph, in its order."""
    draw = torch.Generator().manual_seed(side)

    def normal(channels: int, across: int) -> Tensor:
        return torch.randn(batch, channels, across, across, generator=draw)

    if name == "features":
        return {"coarse": normal(COARSE_INPUTS, side // factor)}
    told = {"features": normal(width, side // factor), "fine": normal(FINE_INPUTS, side)}
    if name == "mean":
        return told
    return {"x": normal(1, side), "t": torch.rand(batch, generator=draw), **told, "mean": normal(2, side)}


def _graph(net: Downscaler, name: str, width: int) -> bytes:
    example, file = _inputs(name, width, side=32, factor=4, batch=2), io.BytesIO()
    axes = {each: {0: "batch"} if each == "t" else {0: "batch", 2: f"{each}_h", 3: f"{each}_w"} for each in example}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: sides of slices, which are dynamic all the same
        torch.onnx.export(
            _Part(net, name), tuple(example.values()), file,  # type: ignore[arg-type]
            input_names=list(example), output_names=["out"],
            dynamic_axes={**axes, "out": {0: "batch", 2: "h", 3: "w"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    graph = _half_weights(file.getvalue())
    for factor, side in ((4, 56), (8, 40)):
        inputs = _inputs(name, width, side=side, factor=factor, batch=3)
        with torch.no_grad():
            wanted = getattr(net, name)(*inputs.values()).numpy()
        got = runner(graph)(*(each.numpy() for each in inputs.values()))
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=AGREE, atol=AGREE):
            raise ValueError(f"{name}: ONNX Runtime is {float(np.abs(got - wanted).max()):.2g} off torch")
    return graph


def _check_sample(net: Downscaler, graphs: dict[str, Graph], width: int) -> None:
    """Draw one sample with torch and one with ONNX Runtime: differences must not have grown over the steps."""
    inputs = _inputs("velocity", width, side=48, factor=4, batch=2)
    x, _, *told = inputs.values()
    arrays = [each.numpy() for each in told]
    with torch.no_grad():
        wanted = sample(lambda x, t: net.velocity(x, torch.full((len(x),), t), *told), x).numpy()
    got = sample(lambda x, t: graphs["velocity"](x, np.full(len(x), t, np.float32), *arrays), x.numpy())
    off = float(np.abs(got - wanted).max() / wanted.std())
    if off > ALIKE:
        raise ValueError(f"samples of torch and ONNX Runtime differ by {off:.2g} standard deviations")


def _half_weights(data: bytes) -> bytes:
    """Store large constants as float16, each followed by a cast."""
    model = onnx.load_from_string(data)
    casts = []
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        if array.dtype != np.float32 or array.size < SMALL:
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.producer_name, model.producer_version = "adiabat", ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
