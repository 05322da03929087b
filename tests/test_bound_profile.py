"""Bounds along an axis: each index keeps its own, wherever the axis lies and whatever the path."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from checks import along, bits, check_bound, check_idempotent, check_round_trip
from hypothesis import given
from hypothesis import strategies as st
from strategies import bounded_arrays, fields, quick

from adiabat.codec import ChunkContext, CorruptStreamError, Pyramid, describe
from adiabat.codec.bound import Bound, choose_domain, domain_from, violations
from adiabat.codec.bound_profile import Profile, ProfileDomain
from adiabat.codec.decoding import decode_stream
from adiabat.codec.domain import SHAVES, AbsDomain, LatticeDomain, OrderedDomain
from adiabat.codec.frames import Layout
from adiabat.codec.models import find_model
from adiabat.codec.paths import Chunk
from adiabat.codec.stream import Stream

LEVELS = [0.01, 0.1, 0.02, 0.4, 0.05]


def levels(dtype="f4", shape=(24, 32)):
    """Five fields, the rougher the wider their bounds."""
    return np.stack([fields(dtype, shape, seed) for seed in range(5)])


def chunk(array, bound, **options):
    layout = Layout.of(array)
    return Chunk(layout.frames(array), layout, Bound.parse(bound), **options)


# ---- any array, any axis --------------------------------------------------------------------------------------------


@quick
@given(bounded_arrays())
def test_every_index_keeps_its_bound(pair):
    array, bound = pair
    check_round_trip(Pyramid(bound=bound), array, bound)


@quick
@given(bounded_arrays(), st.sampled_from([-1.0, 0.0, 300.0]), st.sampled_from([0.0, 301.0]))
def test_every_index_keeps_its_bound_by_the_classical_path(pair, low, width):
    array, bound = pair
    if not array.size:
        return
    with np.errstate(invalid="ignore"):  # signalling NaN
        made = chunk(array, bound, fill_value=1.0, valid_range=(low, low + width))
        stream = Stream.read(made.classical()[0].write())
        layout = Layout(stream.dtype, stream.shape, stream.fortran)
        decoded = layout.restore(decode_stream(stream))
        check_bound(bound, array, decoded)
        inside = (array >= low) & (array <= low + width)
        assert ((decoded[inside] >= low) & (decoded[inside] <= low + width)).all()
        assert (bits(decoded)[array == 1] == bits(array)[array == 1]).all()


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("axis", range(-4, 4))
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_of_length_one_are_counted(dtype, axis, order):
    array = np.asarray(levels(dtype, (12, 10))[:, None], order=order)
    sizes = np.geomspace(1, 16, array.shape[axis])
    codec = Pyramid(bound={"abs": sizes, "axis": axis})
    check_round_trip(codec, array, {"abs": sizes, "axis": axis})
    stream = chunk(array, codec.bound).classical()[0]
    assert stream.bound == (("abs", 1.0) if array.shape[axis] == 1 else ("profile", axis % 4))


def test_the_only_axis_of_that_length_is_found():
    codec = Pyramid(bound={"abs": LEVELS})
    for axis in range(3):
        array = np.moveaxis(levels(), 0, axis)
        check_round_trip(codec, array, {"abs": LEVELS, "axis": axis})


@pytest.mark.parametrize(
    ("bound", "shape", "message"),
    [
        ({"abs": [1.0, 2.0]}, (), r"expected one axis of length 2, one for each bound, got a chunk of shape \(\)"),
        ({"abs": [1.0, 2.0]}, (0,), r"expected one axis of length 2, .* shape \(0,\): the axis must be one chunk"),
        ({"abs": [1.0, 2.0]}, (3, 4), r"expected one axis of length 2, .* shape \(3, 4\): the axis must be one chunk"),
        ({"abs": [1.0, 2.0]}, (2, 4, 2), r"expected one axis of length 2, .* shape \(2, 4, 2\): name it: 'axis'"),
        ({"abs": [1.0, 2.0], "axis": 1}, (2, 4), r"expected axis 1 to have length 2, .* shape \(2, 4\)"),
        ({"abs": [1.0, 2.0], "axis": 2}, (2, 4), r"expected axis 2 to have length 2, .* shape \(2, 4\)"),
        ({"abs": [1.0, 2.0], "axis": -3}, (2, 4), r"expected axis -3 to have length 2, .* shape \(2, 4\)"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(bound, shape, message):
    for codec, context in (
        (Pyramid(bound=bound), None),
        (Pyramid(bound={"abs": 9}), ChunkContext(bound["abs"], bound.get("axis"))),
    ):
        with pytest.raises(ValueError, match=message):
            codec.encode(np.zeros(shape), context=context)


def test_arrays_without_elements():
    for shape, bound in (((0, 2), {"abs": [1.0, 2.0]}), ((2, 0), {"abs": [1.0, 2.0], "axis": 0})):
        decoded = check_round_trip(Pyramid(bound=bound), np.empty(shape, "f4"), bound)
        assert decoded.shape == shape


# ---- what is coded --------------------------------------------------------------------------------------------------


def test_equal_bounds_are_one_bound():
    array = levels()
    assert Pyramid(bound={"abs": [0.1] * 5}).encode(array) == Pyramid(bound={"abs": 0.1}).encode(array)


def test_units_are_those_of_each_bound():
    field = levels("f8")
    domain = choose_domain(field, None, Bound.parse({"abs": LEVELS}).on(field.shape))
    units = [AbsDomain.fit(300.0, size, field.dtype).unit for size in LEVELS]
    assert domain.units[:, 0].tolist() == units
    assert domain.unit == pytest.approx(np.prod(units) ** 0.2)
    for target, frame, unit in zip(domain.to_fine(field), field, units, strict=True):
        assert (target == frame / unit).all()
    assert domain_from(domain.parameters(), domain.profile).parameters() == ("profile", 12)
    with pytest.raises(CorruptStreamError):
        domain_from(domain.parameters())


def test_wide_bounds_cost_less_than_the_smallest():
    array = levels()
    sizes = {name: len(Pyramid(bound={"abs": size}).encode(array)) for name, size in (("all", LEVELS), ("least", 0.01))}
    assert sizes["all"] < 0.75 * sizes["least"]


def test_the_shave_leaves_room_for_the_dtype_at_every_index():
    field = np.array([[[300.0, 2.0]], [[3e4, 1.0]]], "f4")
    profile = Profile.parse([0.1, 0.1], 0).on((2, 1, 2))
    assert ProfileDomain.fit(field[:1], None, Profile.parse([0.1, 0.1]).on((2, 1))).shave == SHAVES[0]
    assert ProfileDomain.fit(field, None, profile).shave == 6
    assert ProfileDomain.fit(field, np.array([[[True, True]], [[False, True]]]), profile).shave == SHAVES[0]
    assert ProfileDomain.fit(field, None, Profile.parse([0.1, 1e-4], 0).on((2, 1, 2))) is None


def test_what_no_unit_holds_is_kept_exactly():
    array = levels()
    for tight in (1e-6, 1e-300):
        bound = {"abs": [tight, *LEVELS[1:]]}
        assert isinstance(chunk(array, bound).domain, OrderedDomain)
        decoded = check_round_trip(Pyramid(bound=bound), array, bound)
        assert (decoded == array).all()
    array[2, 3, 4] = 1e30
    check_round_trip(Pyramid(bound={"abs": LEVELS}), array, {"abs": LEVELS})


def test_other_domains_and_paths_keep_the_smallest_bound_and_say_so():
    packed = (np.round(levels("f8") / 0.08) * 0.08).astype("f4")
    bound = {"abs": [0.03, 0.02, 0.03, 0.02, 0.03]}
    assert isinstance(chunk(packed, bound).domain, LatticeDomain)
    flat = np.full((5, 4), 3.0, "f4")
    flat[::2] += np.float32(0.03)
    cases = {
        "lattice": chunk(packed, bound).classical()[0],
        "raw": chunk(packed, bound).raw(),
        "constant": chunk(flat, bound).constant(),
    }
    for stream in cases.values():
        assert stream.bound == ("abs", 0.02)
        assert describe(stream.write())["bound"] == {"abs": 0.02}
    assert chunk(flat, {"abs": [0.03, 0.01, 0.03, 0.03, 0.03]}).constant() is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_neural_path(axis):
    array = levels()
    bound = {"abs": np.geomspace(0.1, 1, array.shape[axis]), "axis": axis}
    stream, exact = chunk(array, bound).neural(find_model())
    assert (stream.domain, exact) == (("profile", 12), False)
    check_bound(bound, array, Pyramid(bound="lossless").decode(stream.write()))


def test_masks_ranges_and_fill_values():
    array = levels()
    array[:, 3:9, 5:11], array[1] = np.nan, np.nan
    array[3, 0] = -9999
    array[4, 1, 2], array[0, 0, 0] = np.inf, -np.inf
    codec = Pyramid(bound={"abs": LEVELS}, fill_value=-9999, valid_range=(250, 291.5))
    decoded = check_round_trip(codec, array, {"abs": LEVELS})
    assert (decoded[3, 0] == -9999).all()
    clipped = np.isfinite(array) & (array >= 250) & (array <= 291.5)
    assert ((decoded[clipped] >= 250) & (decoded[clipped] <= 291.5)).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_encoding_decoded_values_is_harmless(dtype, axis):
    for seed in range(3):
        array = np.stack([fields(dtype, (16, 24), 10 * seed + frame) for frame in range(5)])
        sizes = np.random.default_rng(seed).uniform(0.02, 0.5, array.shape[axis])
        assert check_idempotent(Pyramid(bound={"abs": sizes, "axis": axis}), array)


# ---- contexts -------------------------------------------------------------------------------------------------------


def test_a_context_overrides_the_bound():
    array = levels()
    asked = Pyramid(bound={"abs": LEVELS, "axis": 0}).encode(array)
    for bound in ({"abs": 7.0}, {"abs": [1.0, 2.0], "axis": 2}):
        codec = Pyramid(bound=bound)
        assert codec.encode(array, context=ChunkContext(np.array(LEVELS))) == asked
        assert codec.encode(array, context=ChunkContext(LEVELS, bound_axis=-3)) == asked
        assert codec.get_config()["bound"] == bound
    assert Pyramid(bound={"abs": 7.0}).encode(array, context=ChunkContext()) == Pyramid(bound={"abs": 7}).encode(array)


@pytest.mark.parametrize("bound", ["lossless", {"rel": 0.1}])
def test_a_context_overrides_absolute_bounds_only(bound):
    with pytest.raises(ValueError, match="expected a codec with an absolute bound for a context's bound, got"):
        Pyramid(bound=bound).encode(levels(), context=ChunkContext(LEVELS))


def test_contexts_are_validated_when_made():
    for bad in ([], [0.1, -1], [[0.1]]):
        with pytest.raises(ValueError, match=r"expected .* got"):
            ChunkContext(bad)
    with pytest.raises(ValueError, match="bound_axis=1 alone"):
        ChunkContext(bound_axis=1)
    with pytest.raises(TypeError, match="'axis'"):
        ChunkContext([0.1], bound_axis="level")


# ---- the check, memory ----------------------------------------------------------------------------------------------


@quick
@given(bounded_arrays())
def test_violations_are_seen_element_by_element(pair):
    array, bound = pair
    if not array.size:
        return
    field = np.zeros(array.shape)
    layout, room = Layout.of(field), along(bound, array.shape)
    made = Bound.parse(bound).on(array.shape)
    for decoded, broken in ((room, False), (-room, False), (np.nextafter(room, np.inf), True), (room * np.nan, True)):
        outside = violations(layout.frames(field), layout.frames(decoded), None, made)
        assert (outside == broken).all()


def test_little_memory_is_taken():
    array = np.cumsum(np.random.default_rng(0).normal(size=(64, 128, 256)), 2).astype("f4")
    sizes = np.linspace(0.5, 1, 64)
    peaks = []
    for bound in ({"abs": 0.7}, {"abs": sizes}):
        tracemalloc.start()
        chunk(array, bound).classical()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= peaks[0] + 8 * array.size
