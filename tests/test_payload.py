"""The parts of a payload: plan and groups, alone and together, skipped, refused, and as version 1 had them."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from checks import check_frames
from strategies import evolving, targets

from adiabat.codec import AdiabatError, CorruptStreamError, order
from adiabat.codec.bound import domain_from
from adiabat.codec.frames import frame_shape
from adiabat.codec.models import find_model
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.plan import MAX_SHARES
from adiabat.codec.stream import Stream
from adiabat.codec.volume import decode_frames

VECTORS = Path(__file__).parents[1] / "spec" / "vectors" / "valid"
OPTIONS = {"valid": None, "step": 256, "snap": 1, "wrap": False}


def split(payload):
    """The plan of a payload, and its groups without their lengths."""
    reader, groups = Reader(payload), []
    plan = reader.take(2)
    shares = reader.u8()
    plan += bytes([shares]) + reader.take(shares)
    while reader.left:
        groups.append(reader.take(reader.varint()))
    return plan, groups


def joined(plan, groups):
    """Undo `split`."""
    return plan + b"".join(write_varint(len(group)) + group for group in groups)


def test_many_frames_in_groups(monkeypatch, still_model):
    target = targets((7, 12, 10), "smooth", 3)
    whole, decoded = check_frames(target, model=still_model)
    monkeypatch.setitem(order.GROUP, 2, 250)  # two frames and a rest of one
    grouped, again = check_frames(target, model=still_model)
    assert (decoded == again).all(), "groups share an entropy coder, not predictions"
    assert grouped != whole
    valid = np.random.default_rng(0).random(target.shape) < 0.5
    check_frames(target, valid=valid)
    plan, groups = split(grouped)
    assert (plan, len(groups)) == (bytes(3), 4)
    for start, group in zip((0, 2, 4, 6), groups, strict=True):
        assert check_frames(target[start : start + 2], model=still_model)[0] == joined(plan, [group])
    monkeypatch.setitem(order.GROUP, 2, 1)
    assert len(split(check_frames(target)[0])[1]) == 7


@pytest.mark.parametrize("name", ["frames", "frames-small"])
def test_payloads_of_version_1(name):
    stream = Stream.read((VECTORS / name / "stream.bin").read_bytes())
    assert stream.version == 1
    shape, payload, model = frame_shape(stream.shape), stream.sections["payload"], find_model(stream.model.hex())
    decoded = decode_frames(payload, shape, **OPTIONS, model=model, version=1)
    expected = np.load(VECTORS / name / "array.npy")
    assert (domain_from(stream.domain).from_fine(decoded, expected.dtype) == expected).all()
    with pytest.raises(AdiabatError):
        decode_frames(payload, shape, **OPTIONS, model=model)


def test_version_1_has_neither_plan_nor_lengths(still_model):
    target = targets((5, 9, 11), "smooth", 0)
    with mock.patch.dict(order.GROUP, {1: 200, 2: 200}):
        payload, decoded = check_frames(target, model=still_model)
        plan, groups = split(payload)
        assert (plan, len(groups)) == (bytes(3), 3)
        again = decode_frames(b"".join(groups), target.shape, **OPTIONS, model=still_model, version=1)
    assert (again == decoded).all()


def test_only_reads_what_is_needed(side_model):
    target, options = evolving(), {**OPTIONS, "model": side_model}
    with mock.patch.dict(order.GROUP, {2: 1}):
        payload, decoded = check_frames(target, model=side_model)
        plan, groups = split(payload)
        coded = [int(group.frames[0]) for group in order.Order(1, 9, 1, 2).groups(target[0].size)]
        assert coded == [0, 8, 4, 2, 6, 1, 3, 5, 7]
        needed = [0, 8, 4, 2, 3]
        kept = [group if frame in needed else b"" for frame, group in zip(coded, groups, strict=True)]
        torn = joined(plan, kept)
        some = decode_frames(torn, target.shape, only=np.array([3]), **options)
        assert (some[needed] == decoded[needed]).all()
        for frame in (1, 5, 6):
            with pytest.raises(CorruptStreamError):
                decode_frames(torn, target.shape, only=np.array([frame]), **options)
        assert not decode_frames(payload, target.shape, only=np.array([], np.int64), **options).any()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ([3, 2, 0], "expected one of 2 axes and an even reach, got 3, 2"),
        ([255, 2, 0], "got 255, 2"),
        ([0, 2, 0], "got 0, 2"),
        ([1, 0, 0], "got 1, 0"),
        ([1, 3, 0], "got 1, 3"),
        ([1, 10, 0], "got 1, 10"),
        ([1, 2, 1, 0], "shares of 1 to 64"),
        ([1, 2, 1, 65], "shares of 1 to 64"),
        ([1, 2, 2, 64, 255], "shares of 1 to 64"),
        ([1, 2, MAX_SHARES + 1, *[64] * (MAX_SHARES + 1)], f"expected up to {MAX_SHARES} shares"),
        ([1, 2, 200, 64], "expected 200 more bytes"),
        ([1], "more bytes"),
        ([], "more bytes"),
    ],
)
def test_plans_that_are_none(side_model, plan, said):
    with pytest.raises(CorruptStreamError, match=said):
        decode_frames(bytes(plan), (6, 9, 9), **OPTIONS, model=side_model, axes=(3, 2))


def test_references_need_a_model_that_sees_them(side_model, still_model):
    target, ground = evolving(), np.ones((1, 40, 48), np.int64)
    payload, _ = check_frames(target, model=side_model)
    unordered, _ = check_frames(target, model=still_model)
    with pytest.raises(CorruptStreamError, match="expected a model that sees references, got one of format 1"):
        decode_frames(payload, target.shape, **OPTIONS, model=still_model)
    with pytest.raises(CorruptStreamError, match="expected a model that sees references"):
        decode_frames(unordered, target.shape, **OPTIONS, model=still_model, statics=ground)
