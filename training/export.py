"""Trained integers -> a model package: ONNX graphs, NumPy arrays, frequency tables, manifest.

Proves for every network that float32 holds it exactly and that ONNX and NumPy agree, or refuses. Spec: spec/model.md.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from adiabat.codec import integer_graph
from adiabat.codec.integer_net import INPUT_ZERO, Layer, numpy_runner, onnx_runner, prove_range
from adiabat.codec.models import FORMAT, NETS


@dataclass(frozen=True)
class IntegerNet:
    """What training hands over for one network: its layers and the linear path (int16, units of 2**-14)."""

    layers: tuple[Layer, ...]
    linear: NDArray[np.int16]


def graph(layers: tuple[Layer, ...]) -> bytes:
    """The network as standard ONNX, in products of bytes: uint8 (targets, inputs) -> int32 (targets, outputs).

    Raises
    ------
    ValueError
        If some sum could leave the exact integers, or ONNX and NumPy disagree.
    """
    return _proved(layers, integer_graph.integer_graph)


def float_graph(layers: tuple[Layer, ...]) -> bytes:
    """The same function with all integers held in float32, for devices without integer products.

    Exact because no sum leaves 24 bits (`prove_range`), in whatever order it is formed.
    """
    return _proved(layers, integer_graph.float_graph)


def _proved(layers: tuple[Layer, ...], write: Callable[[tuple[Layer, ...]], bytes]) -> bytes:
    """A graph that is valid ONNX; optimised and not, on random and on extreme inputs, it equals NumPy."""
    prove_range(layers)
    data = write(layers)
    onnx.checker.check_model(data)
    rng, width = np.random.default_rng(0), layers[0].weight.shape[0]
    inputs = rng.integers(0, 256, (4096, width)).astype(np.uint8)
    inputs[:1024] = np.where(inputs[:1024] < INPUT_ZERO, 0, 255)
    worst = np.where(layers[0].weight.T > 0, 255, 0)  # every product positive, one row for each channel
    inputs[1024 : 1024 + len(worst)] = worst
    expected = numpy_runner(layers)(inputs)
    for optimise in (True, False):
        if not np.array_equal(onnx_runner(data, optimise=optimise)(inputs), expected):
            raise ValueError("the exported graph and its definition in NumPy give different integers")
    return data


def package(nets: dict[str, IntegerNet], frequencies: NDArray[np.uint32], about: dict[str, Any]) -> bytes:
    """The bytes of a model package; the same input gives the same bytes.

    Parameters
    ----------
    nets : dict
        By the names of `adiabat.codec.models.NETS`.
    frequencies : NDArray[np.uint32], shape (tables, letters)
    about : dict
        JSON: name, data, licence, command; stands in the manifest.
    """
    shifts = {name: {"shifts": [layer.shift for layer in nets[name].layers]} for name in NETS}
    parts = {"frequencies.npy": npy(frequencies)}
    for name in NETS:
        parts |= integer_parts(name, nets[name].layers) | {f"{name}/linear.npy": npy(nets[name].linear)}
    return zipped({"manifest.json": manifest({"format": FORMAT, **about, "nets": shifts}), **parts})


def integer_parts(name: str, layers: tuple[Layer, ...]) -> dict[str, bytes]:
    """A network's graphs and integers, by their names in a package."""
    parts = {f"{name}/net.onnx": graph(layers), f"{name}/net-float.onnx": float_graph(layers)}
    return parts | {f"{name}/weight{number}.npy": npy(layer.weight) for number, layer in enumerate(layers)}


def manifest(about: dict[str, Any]) -> bytes:
    """What a package says of itself, as the bytes of its `manifest.json`."""
    return json.dumps(about, indent=1, sort_keys=True).encode()


def zipped(parts: dict[str, bytes]) -> bytes:
    """The bytes of a package of any kind; the same input gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # its own date is fixed
    return buffer.getvalue()


def whole(target: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    partial.replace(target)


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
