"""What `inspect` reads from streams: the order of their frames, static fields, finer steps; without any model."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.codec import ModelNotFoundError, Pyramid, models, statics
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk
from adiabat.codec.statics import Static, add_static, static_file
from adiabat.formats.streams import StreamTally


def drifting(*shape, axis):
    """Noise that changes little along one axis, and wholly along the others."""
    rng = np.random.default_rng(0)
    lasting = rng.normal(size=[1 if place == axis else length for place, length in enumerate(shape)])
    return (lasting + 0.05 * rng.normal(size=shape)).astype("f4")


def stream(field, model, **options):
    layout = Layout.of(field)
    return Chunk(layout.frames(field), layout, Bound("abs", 0.02), **options).neural(model)[0].write()


def tally(*streams):
    out = StreamTally()
    for data in streams:
        out.add(data)
    return out


@pytest.mark.parametrize(("shape", "axis"), [((3, 1, 9, 40, 64), 2), ((9, 1, 3, 40, 64), 0), ((1, 9, 40, 1, 64), 1)])
def test_the_axis_is_one_of_the_array(side_model, shape, axis):
    ((place, references),) = tally(stream(drifting(*shape, axis=axis), side_model)).orders
    assert place == axis
    assert references in (2, 4, 8)


def test_streams_are_counted(side_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path))
    monkeypatch.setattr(statics, "_loaded", {})
    monkeypatch.setattr(models, "_loaded", {})  # which other tests may have filled
    ground = np.random.default_rng(1).normal(size=(40, 64)).astype("f4")
    used, idle = (Static(add_static(static_file(field))) for field in (ground, ground[::-1]))
    field = (ground + 0.1 * np.random.default_rng(2).normal(size=(40, 64))).astype("f4")
    first = stream(field, side_model, statics=(used,), tune="rmse")
    second = stream(np.random.default_rng(3).normal(size=(40, 64)).astype("f4"), side_model, statics=(idle,))
    raw = Pyramid(bound="lossless").encode(np.random.default_rng(4).normal(size=9))
    with pytest.raises(ModelNotFoundError):
        Pyramid(bound="lossless").decode(first)
    found = tally(first, second, raw)
    assert (found.count, found.tapered, found.paths) == (3, 1, {"neural": 2, "raw": 1})
    assert found.orders == {(None, 0): 2}
    assert found.statics == {used.sha256: 1}
    assert found.models == {side_model.sha256: 2}
    assert sum(found.sections.values()) == sum(map(len, (first, second, raw)))
