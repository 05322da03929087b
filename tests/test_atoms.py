"""Values that many pixels share: found, left out of the prediction where that pays, and met again."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_bound, check_idempotent
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import Pyramid, atoms
from adiabat.codec.bound import Bound
from adiabat.codec.domain import AbsDomain, LatticeDomain, OrderedDomain
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk
from adiabat.codec.stream import Stream


def clouds(shape=(60, 96), seed=0, dtype="f4"):
    """Simulated cloud cover: rough within, 0 or 1 over large areas."""
    rng = np.random.default_rng(seed)
    waves = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.rfftfreq(shape[-1]))
    spectrum = rng.normal(size=(*shape[:-1], waves.shape[1])) + 1j * rng.normal(size=(*shape[:-1], waves.shape[1]))
    field = np.fft.irfft2(spectrum * (0.02 + waves) ** -2, s=shape[-2:])
    return np.clip(0.5 + field / field.std() + 0.02 * rng.normal(size=shape), 0, 1).astype(dtype)


def chunk_of(array, bound, **options):
    layout = Layout.of(array)
    return Chunk(layout.frames(array), layout, bound, **options)


def stream_without(monkeypatch, codec, array):
    with monkeypatch.context() as patch:
        patch.setattr("adiabat.codec.candidates.without_atoms", lambda chunk: None)
        return codec.encode(array)


def test_atoms_are_exact_values_of_a_sixteenth_of_all():
    values = np.arange(1600.0)
    values[:101] = -2.5
    assert atoms.find_atoms(values) == (-2.5,)
    values[:100] = np.arange(100)
    values[:99] = -2.5
    assert atoms.find_atoms(values) == ()
    assert atoms.find_atoms(np.array([3.0])) == ()
    assert atoms.find_atoms(np.empty(0)) == ()


def test_zeros_of_both_signs_are_one_atom():
    values = np.where(np.arange(64) % 2, 0.0, -0.0)
    assert atoms.find_atoms(values) == (0.0,)


def test_the_two_commonest_are_found():
    assert atoms.find_atoms(np.repeat([1.0, 5.0, 3.0, 2.0], [30, 30, 20, 1])) == (1.0, 5.0)


@quick
@given(st.floats(1e-6, 1e3), st.lists(st.floats(-300, 300), min_size=1, max_size=2))
def test_values_lie_between_atoms(unit, some):
    domain = atoms.between_atoms(AbsDomain(unit), tuple(some), np.array([300.0]))
    assert isinstance(domain, LatticeDomain)
    assert domain.step // domain.snap * domain.spacing == pytest.approx(256 * unit)  # the same step
    for atom in some:
        away = np.mod(atom - domain.phase, domain.spacing) / domain.spacing
        assert 0.2 < away < 0.8


def test_a_domain_that_could_not_hold_the_values_stays():
    domain = AbsDomain(1e-3)
    assert atoms.between_atoms(domain, (0.0,), np.array([1e8])) is domain
    assert atoms.between_atoms(OrderedDomain(), (0.0,), np.array([1.0])) == OrderedDomain()


@pytest.mark.parametrize("bound", [{"abs": 1e-4}, {"abs": 1e-3}, {"rel": 1e-3}, "lossless"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_atoms_come_back_exactly_and_nothing_else_becomes_one(bound, dtype):
    field = clouds(dtype=dtype)
    codec = Pyramid(bound=bound)
    data = codec.encode(field)
    assert "mask" in Stream.read(data).sections
    decoded = codec.decode(data)
    check_bound(bound, field, decoded)
    for atom in (0, 1):
        assert ((decoded == atom) == (field == atom)).all()


def test_fewer_bytes_where_the_bound_is_tight(monkeypatch):
    field, codec = clouds(), Pyramid(bound={"abs": 1e-3})
    with_atoms = codec.encode(field)
    assert len(with_atoms) < 0.9 * len(stream_without(monkeypatch, codec, field))


def test_never_more_bytes(monkeypatch):
    for seed in range(4):
        field, codec = clouds(seed=seed), Pyramid(bound={"abs": 0.2})
        assert len(codec.encode(field)) <= len(stream_without(monkeypatch, codec, field))


@pytest.mark.parametrize("size", [3e-4, 1e-3, 1e-2])
def test_encoding_again_changes_nothing(size):
    assert all(check_idempotent(Pyramid(bound={"abs": size}), clouds(seed=seed)) for seed in range(5))


def test_limits_that_are_atoms_are_drawn_in():
    field = clouds()
    rest = atoms.without_atoms(chunk_of(field, Bound("abs", 0.01), valid_range=(0.0, 1.0)))
    lowest, highest = rest.valid_range
    assert 0 < lowest < 1e-4
    assert 1 - 1e-4 < highest < 1
    codec = Pyramid(bound={"abs": 1e-3}, valid_range=(0, 1))
    decoded = codec.decode(codec.encode(field))
    assert decoded.min() == 0
    assert decoded.max() == 1
    assert ((decoded == 0) == (field == 0)).all()


def test_a_field_of_nothing_but_atoms_is_a_mask():
    land = (clouds((3, 60, 96)) > 0.5).astype("f4")
    assert atoms.without_atoms(chunk_of(land, Bound("abs", 0.1))).is_constant


def test_long_stacks_are_judged_by_a_sample(monkeypatch):
    tried = []
    monkeypatch.setattr("adiabat.codec.candidates.SAMPLE", 1 << 12)
    neural = Chunk.neural
    monkeypatch.setattr(Chunk, "neural", lambda chunk, model: tried.append(chunk.field.shape) or neural(chunk, model))
    field = np.stack([clouds(seed=seed) for seed in range(4)])
    Pyramid(bound={"abs": 0.3}).encode(field)
    assert tried == [(4, 60, 96), (1, 60, 96), (1, 60, 96)]  # loose: in full without the atoms only


def test_limits_with_nothing_between_are_left_alone():
    """A range of one value, and a bound wider than it: found by the audit of bounds."""
    field = np.where(np.arange(240).reshape(12, 20) % 3, 1.0, np.sqrt(np.arange(240.0).reshape(12, 20)))
    assert atoms.without_atoms(chunk_of(field, Bound("abs", 50.0), valid_range=(1.0, 1.0))) is None
    codec = Pyramid(bound={"abs": 50.0}, valid_range=(1, 1))
    check_bound({"abs": 50.0}, field, codec.decode(codec.encode(field)))


def test_huge_bounds_overflow_nowhere():
    field = np.where(np.arange(240).reshape(12, 20) % 3, 0.0, np.arange(240.0).reshape(12, 20) * 1e305)
    codec = Pyramid(bound={"abs": 1.7e308})
    check_bound({"abs": 1.7e308}, field, codec.decode(codec.encode(field)))


def test_limits_drawn_in_beyond_the_dtype_are_left_alone():
    field = np.frombuffer(bytes.fromhex("38e850778000000080000000"), ">f4").astype("f4").reshape(1, 3)
    codec = Pyramid(bound={"abs": 1.7e308}, valid_range=(0.0, 0.0))
    check_bound({"abs": 1.7e308}, field, codec.decode(codec.encode(field)))


def test_a_phase_beside_the_largest_float_is_not_taken_off():
    raw = "ffffffffffffdfffffffffffffffdf7fffffffffffffefffffffffffffffdfff"
    field, bound = np.frombuffer(bytes.fromhex(raw), "<f8").reshape(2, 2), 8.98846567431158e307
    codec = Pyramid(bound={"abs": bound})
    check_bound({"abs": bound}, field, codec.decode(codec.encode(field)))
