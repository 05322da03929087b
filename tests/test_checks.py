"""The checks find bad codecs: zero, negate, noise, and careless ones."""

from __future__ import annotations

import numpy as np
import pytest
from checks import (
    check_bit_flips,
    check_bound,
    check_config,
    check_every_truncation,
    check_idempotent,
    check_round_trip,
)
from numcodecs.abc import Codec
from strategies import fields

FIELD = fields(shape=(6, 8))


class Bad(Codec):
    """Stores the bytes as they are and decodes them wrongly."""

    codec_id = "bad"

    def __init__(self, *, fault="zero"):
        self.fault = fault
        self.calls = 0

    def encode(self, array):
        self.calls += 1
        if self.fault == "writes":
            array += 1
        tail = bytes([self.calls]) if self.fault == "moody" else b""
        return np.ascontiguousarray(array).tobytes() + tail

    def decode(self, data, out=None):
        whole = bytes(data).ljust(FIELD.nbytes, b"\0")[: FIELD.nbytes]
        field = np.frombuffer(whole, "f4").reshape(FIELD.shape).copy()
        rng = np.random.default_rng(0)
        field = {
            "zero": field * 0,
            "negate": -field,
            "noise": field + rng.normal(size=field.shape).astype("f4"),
            "dtype": field.astype("f8"),
            "shape": field[:, :-1],
            "drift": field * np.float32(1.01),
        }.get(self.fault, field)
        if out is not None:
            out[...] = field
            return out
        return field

    def get_config(self):
        return {"id": self.codec_id, "fault": "other"}

    @classmethod
    def from_config(cls, config):
        return cls(fault="zero" if config["fault"] == "other" else "")


@pytest.mark.parametrize("fault", ["zero", "negate", "noise", "dtype", "shape", "drift", "writes", "moody"])
@pytest.mark.parametrize(
    "bound", ["lossless", {"abs": 0.1}, {"rel": 0.001}, {"abs": [0.1] * 6}, {"abs": [0.01] * 8, "axis": -1}]
)
def test_round_trip_finds(fault, bound):
    with pytest.raises(AssertionError):
        check_round_trip(Bad(fault=fault), FIELD.copy(), bound)


def test_round_trip_passes_a_good_codec():
    check_round_trip(Bad(fault="none"), FIELD, "lossless")


@pytest.mark.parametrize(("good", "bad"), [(np.nan, 1.0), (np.inf, -np.inf), (0.0, -0.0), (1.0, np.nan), (-1e-9, 1e-9)])
def test_bound_finds_special_values(good, bad):
    with pytest.raises(AssertionError):
        check_bound({"rel": 0.5}, np.array([good]), np.array([bad]))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_bound_finds_the_one_index_that_breaks_its_own(axis):
    array = np.zeros((3, 3))
    sizes = {"abs": [0.1, 0.2, 0.3], "axis": axis}
    decoded = np.moveaxis(np.tile(sizes["abs"], (3, 1)), 1, axis)
    check_bound(sizes, array, decoded)
    decoded[1, 1] *= 1.01
    with pytest.raises(AssertionError):
        check_bound(sizes, array, decoded)


class Forgetful(Bad):
    """Loses an option on the way through its configuration."""

    def __init__(self, *, bound=2):
        self.bound = bound

    def get_config(self):
        return {"id": self.codec_id, "bound": self.bound}

    @classmethod
    def from_config(cls, config):
        return cls()


def test_other_checks_find():
    assert not check_idempotent(Bad(fault="drift"), FIELD)
    with pytest.raises(pytest.fail.Exception):
        check_every_truncation(Bad(fault="none"), bytes(200))
    with pytest.raises(pytest.fail.Exception):
        check_bit_flips(Bad(fault="none"), bytes(200))
    with pytest.raises(AssertionError):
        check_config(Forgetful(bound=1))
