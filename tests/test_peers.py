"""Peers: what each gives back, what it promises, how the best is found, and what is said of those that are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adiabat.formats import peers as package
from adiabat.formats.peers import KNOWN, absent, available, versions
from adiabat.formats.peers.best import Found, at_bound, at_ratio, at_rmse, search
from adiabat.formats.peers.bitround import round_bits
from adiabat.formats.peers.domain import logarithmic, plain
from adiabat.formats.peers.peer import LAYOUTS, Mode, Peer
from adiabat.formats.peers.quantised import dequantise, pack, quantise, unpack

BOUND = 0.01


def waves(*shape):
    """A smooth field about 280, with a little noise."""
    rng = np.random.default_rng(3)
    y, x = np.meshgrid(*(np.linspace(0, 7, size) for size in shape[-2:]), indexing="ij")
    field = 280 + 10 * np.sin(y) * np.cos(x) + 0.02 * rng.standard_normal(shape)
    return field.astype(np.float32)


def largest(field, decoded):
    return float(np.abs(decoded.astype(np.float64) - field).max())


def rmse_of(field):
    return lambda decoded: math.sqrt(float(((decoded.astype(np.float64) - field) ** 2).mean()))


BOUNDED = [
    (name, mode)
    for name, peer in available().items()
    if name not in ("ebcc", "tthresh")
    for mode in peer.bounded
    if not mode.searched
]


@pytest.mark.parametrize(("name", "mode"), BOUNDED, ids=[f"{name}, {mode.name}" for name, mode in BOUNDED])
@pytest.mark.parametrize("shape", [(40, 60), (3, 40, 60)])
def test_bounded_modes_keep_their_bound_in_every_layout(name, mode, shape):
    field = waves(*shape)
    for layout in mode.layouts_for(field):
        for part in LAYOUTS[layout](field):
            data = mode.encode(part, BOUND)
            back = mode.decode(data, part.shape)
            assert back.shape == part.shape
            assert largest(part, back) <= BOUND * (1 + 1e-6)
            assert len(data) < part.nbytes


LOSSLESS = [(name, mode) for name, peer in available().items() for mode in peer.lossless]


@pytest.mark.parametrize(("name", "mode"), LOSSLESS, ids=[name for name, _ in LOSSLESS])
def test_lossless_modes_give_back_every_bit(name, mode):
    for part in LAYOUTS[mode.layouts[-1]](waves(2, 40, 60)):
        assert mode.decode(mode.encode(part, 0.0), part.shape).tobytes() == part.tobytes()


def test_layouts():
    field = np.arange(24, dtype="f4").reshape(2, 3, 4)
    assert [part.shape for part in LAYOUTS["frames"](field)] == [(3, 4)] * 2
    assert [part.shape for part in LAYOUTS["volume"](field)] == [(2, 3, 4)]
    assert [part.shape for part in LAYOUTS["tall"](field)] == [(6, 4)]
    assert LAYOUTS["volume"](field.reshape(2, 1, 3, 4))[0].shape == (2, 3, 4)


def test_quantised_values_are_within_the_bound_and_levels_are_counted():
    field = waves(20, 30)
    head, index = quantise(field, BOUND)
    assert index.dtype == np.uint16
    assert largest(field, dequantise(head, index)) <= BOUND
    assert quantise(field, 1e-5)[1].dtype == np.uint32
    with pytest.raises(ValueError, match="more than 16 bits of levels"):
        quantise(field, 1e-5, largest=65535)
    assert unpack(pack(index), "<u2", index.shape).tolist() == index.tolist()


@pytest.mark.parametrize("bits", [0, 1, 7, 22, 23])
def test_rounding_to_bits_is_to_nearest(bits):
    field = waves(5, 6)
    error = np.abs(round_bits(field, bits).astype(np.float64) - field)
    assert (error <= np.exp2(np.floor(np.log2(field.astype(np.float64))) - bits - 1)).all()
    assert bits < 23 or not error.any()


def test_bitround_takes_the_fewest_bits_that_hold():
    field, mode = waves(20, 30), KNOWN["bitround+zstd"].bounded[0]
    back = mode.decode(mode.encode(field, 0.1), field.shape)
    # 280 has an exponent of 8: half a unit of its 10th bit is 0.125, of its 11th 0.0625
    assert 0.0625 >= largest(field, back) > 0.03
    relative = KNOWN["bitround+zstd"].relative[0]
    back = relative.decode(relative.encode(field, 1e-3), field.shape)
    assert float((np.abs(back.astype("f8") - field) / field).max()) <= 1e-3


def test_search_ends_just_below_its_target():
    for power in (0.5, 1.0, 2.0):
        tried = []

        def run(parameter, power=power, tried=tried):
            tried.append(parameter)
            return Found(int(1e6 / parameter), np.zeros(1), parameter**power, 0.0, 0.0, parameter=parameter)

        best, _ = search(run, 0.05, 0.2)
        assert 0.05 * 0.997 <= best.error <= 0.05
        assert len(tried) <= 12


def test_search_says_when_it_never_gets_there():
    best, last = search(lambda p: Found(1, np.zeros(1), 1.0, 0.0, 0.0), 0.5, 1.0)
    assert best is None
    assert last.error == 1.0


def mock(name, encode, **options):
    def decode(data, shape):
        return np.frombuffer(data, np.float32)[: math.prod(shape)].reshape(shape)

    return Mode(name, encode, decode, **options)


def test_best_at_a_bound_prefers_what_keeps_it_to_what_is_small():
    field = waves(8, 9)
    exact = mock("exact", lambda part, bound: part.tobytes() + b"\0" * 400)
    off = mock("off", lambda part, bound: (part + np.float32(3 * bound)).tobytes())

    def raises(part, bound):
        raise RuntimeError("no luck\nat all")

    def measure(back):
        return largest(field, back) / BOUND

    found, failed = at_bound([off, exact, mock("raises", raises)], field, BOUND, measure)
    assert (found.mode, found.error) == ("exact", 0.0)
    assert failed == ["raises, frames: no luck"]
    found, _ = at_bound([off], field, BOUND, measure)
    assert found.mode == "off"
    assert found.error == pytest.approx(3, rel=1e-2)
    assert at_bound([mock("raises", raises)], field, BOUND, measure)[0] is None


def test_errors_of_whoever_asks_are_not_swallowed():
    class StoppedError(Exception):
        pass

    def stop():
        raise StoppedError

    with pytest.raises(StoppedError):
        at_rmse(KNOWN["bitround+zstd"], waves(8, 9), 0.1, lambda back: 0.0, stop)


@pytest.mark.parametrize("name", ["sz3", "sperr", "jpeg2000", "jpegxl", "zfp"])
def test_an_rmse_is_met(name):
    if name not in available():
        pytest.skip(absent()[name])
    field = waves(2, 64, 96)
    found, failed = at_rmse(available()[name], field, 0.05, rmse_of(field))
    assert not failed
    assert found.error <= 0.05
    assert found.error >= 0.045 or name == "zfp"  # whose tolerance is a power of two


def test_a_ratio_is_met_at_the_lowest_rmse():
    pytest.importorskip("imagecodecs")
    field = waves(2, 64, 96)
    for name in ("sperr", "jpeg2000"):
        found, _ = at_ratio(KNOWN[name], field, 20, rmse_of(field))
        assert found.size == pytest.approx(field.nbytes / 20, rel=0.05)


def test_jpeg2000_holds_a_bound_by_search():
    pytest.importorskip("imagecodecs")
    field, modes = waves(64, 96), [mode for mode in KNOWN["jpeg2000"].bounded if mode.searched]
    found, _ = at_bound(modes, field, 0.2, lambda back: largest(field, back) / 0.2)
    assert 0.8 < found.error <= 1


def test_logarithms_keep_a_relative_bound_with_zeros_signs_and_holes():
    rng = np.random.default_rng(0)
    field = (rng.choice([-1, 1], (30, 40)) * np.exp(rng.normal(0, 8, (30, 40)))).astype("f4")
    field[3, :20], field[7, 5:9] = 0, np.nan
    domain = logarithmic(field, 1e-3)
    assert np.isfinite(domain.field).all()
    assert 0.9 * np.log2(1.001) < domain.bound < np.log2(1.001)
    off = domain.bound * np.where(rng.random(field.shape) < 0.5, -1, 1)
    back = domain.back((domain.field + off).astype("f4"))
    assert np.array_equal(np.isnan(back), np.isnan(field))
    known = np.isfinite(field)
    assert (np.abs(back.astype("f8") - field)[known] <= 1e-3 * np.abs(field.astype("f8"))[known]).all()
    assert domain.side > 0
    assert logarithmic(np.abs(waves(8, 9)), 1e-3).side == 0


def test_holes_are_filled_within_the_range_and_come_back():
    field = waves(2, 20, 30)
    field[:, 4:9, 5:11], field[0, 0, 0] = np.nan, np.inf
    domain = plain(field, BOUND)
    known = np.isfinite(field)
    assert np.isfinite(domain.field).all()
    assert field[known].min() <= domain.field.min() <= domain.field.max() <= field[known].max()
    assert np.array_equal(domain.back(domain.field), field, equal_nan=True)
    assert 0 < domain.side < 200
    assert plain(waves(4, 5)).side == 0


def test_what_is_missing_is_said(monkeypatch):
    there = Peer("there", ("json",), "nothing")
    gone = Peer("gone", ("no_such_module_anywhere",), "pip install gone")
    monkeypatch.setattr(package, "KNOWN", {"there": there, "gone": gone})
    assert list(available()) == ["there"]
    assert absent() == {"gone": "gone needs no_such_module_anywhere: pip install gone"}


def test_versions_are_of_what_is_installed():
    found = versions(available() | {"x": Peer("x", (), "", ("no-such-distribution",))})
    assert {"adiabat", "numcodecs"} <= set(found)
    assert "no-such-distribution" not in found


def test_nothing_of_others_is_imported_before_it_is_used(python):
    ran = python(
        "import sys, adiabat.formats.peers as p; p.available(); "
        "print([m for m in ('imagecodecs', 'pysz', 'torch', 'numcodecs_wasm') if m in sys.modules])"
    )
    assert ran.stdout.strip() == "[]", ran.stderr
