"""HEALPix faces: against healpy where installed, and against positions on the sphere everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.codec import faces
from adiabat.codec.faces import centres, face_of, from_faces, nested_of, pad, padding, side_of, to_faces

SIDES = [1, 2, 4, 16]


def vectors(nside):
    """Unit vectors of the cells' centres: (xyz, 12, nside, nside)."""
    latitude, longitude = map(np.radians, centres(nside))
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])


def meeting_of_three(padded, nside, width):
    """Which cells of padded faces belong to no face."""
    mask = np.zeros(padded, bool)
    mask.flat[padding(nside, width)[1]] = True
    return mask


@pytest.mark.parametrize("nside", [1, 2, 8, 256, 1 << 29])
def test_indices_go_there_and_back(nside):
    last = 12 * nside**2 - 1
    index = np.unique(np.random.default_rng(0).integers(0, last, 1000, endpoint=True))
    index = np.union1d(index, [0, last])
    face, y, x = face_of(index, nside)
    assert ((face >= 0) & (face < 12) & (y >= 0) & (y < nside) & (x >= 0) & (x < nside)).all()
    np.testing.assert_array_equal(nested_of(face, y, x, nside), index)


@pytest.mark.parametrize("nside", SIDES)
def test_images_hold_each_cell_where_its_index_says(nside):
    values = np.arange(2 * 12 * nside**2).reshape(2, -1)
    images = to_faces(values)
    assert images.shape == (2, 12, nside, nside)
    np.testing.assert_array_equal(images[1][face_of(np.arange(12 * nside**2), nside)], values[1])
    np.testing.assert_array_equal(from_faces(images), values)
    np.testing.assert_array_equal(from_faces(images[1].astype("f4")), values[1])


@pytest.mark.parametrize("nside", SIDES)
def test_centres_are_of_equal_areas_and_cancel(nside):
    v = vectors(nside)
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1, atol=1e-14)
    np.testing.assert_allclose(v.sum((1, 2, 3)), 0, atol=1e-10)
    latitude, _ = centres(nside)
    assert len(np.unique(np.round(latitude, 9))) == 4 * nside - 1
    np.testing.assert_allclose(np.sort(latitude.ravel()), np.sort(-latitude.ravel()), atol=1e-12)


@pytest.mark.parametrize("nside", [4, 32])
def test_padding_goes_on_smoothly_over_every_edge(nside):
    """A step from a face to its padding is as long as a step within a face; a wrong or turned edge would jump."""
    width, v = 2, vectors(nside)
    padded = pad(v, width)
    cell = np.sqrt(4 * np.pi / (12 * nside**2))
    keep = ~meeting_of_three(padded.shape[1:], nside, width)
    for axis in (2, 3):
        step = np.linalg.norm(np.diff(padded, axis=axis), axis=0)
        whole = np.take(keep, range(1, nside + 2 * width), axis - 1) & np.take(
            keep, range(nside + 2 * width - 1), axis - 1
        )
        assert step[whole].max() < 2 * cell
        assert step[whole].min() > 0.5 * cell
    # No cell is met twice.
    first, _, _ = padding(nside, width)
    for face in range(12):
        assert len(np.unique(first[face][keep[face]])) == keep[face].sum()


@pytest.mark.parametrize("nside", [2, 8])
def test_padding_meets_the_same_edge_from_both_sides(nside):
    first, _, _ = padding(nside, 1)
    cells = np.arange(12 * nside**2).reshape(12, nside, nside)
    neighbours = {}
    for own in np.ndindex(cells.shape):
        face, y, x = own
        around = [first[face, y + 1 + i, x + 1 + j] for i, j in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        neighbours[int(cells[own])] = {int(cell) for cell in around}
    for cell, around in neighbours.items():
        assert len(around) == 4
        assert all(cell in neighbours[other] for other in around)


def test_corners_where_three_faces_meet_hold_the_mean_of_both_neighbours():
    nside = 4
    values = np.random.default_rng(1).standard_normal((12, nside, nside))
    padded = pad(values, 1)
    corners = meeting_of_three(padded.shape, nside, 1)
    assert corners.sum() == 24
    # North: west and east; equator: north and south; south: west and east.
    for face in range(12):
        expected = {(0, 0), (5, 5)} if 4 <= face < 8 else {(0, 5), (5, 0)}
        assert {(int(y), int(x)) for y, x in np.argwhere(corners[face])} == expected
        for y, x in expected:
            beside = padded[face, y, min(max(x, 1), 4)], padded[face, min(max(y, 1), 4), x]
            assert padded[face, y, x] == pytest.approx(np.mean(beside))


def test_padding_wider_than_one_keeps_the_narrower_one_inside():
    values = np.random.default_rng(2).standard_normal((3, 12, 8, 8)).astype("f4")
    wide = pad(values, 8)
    assert wide.shape == (3, 12, 24, 24)
    assert wide.dtype == np.float32
    for width in range(8):
        cut = slice(8 - width, 16 + width)
        np.testing.assert_array_equal(pad(values, width)[..., :, :], wide[..., cut, cut])


def test_padding_keeps_bounds_constants_and_integers():
    values = np.full((12, 4, 4), 3.25)
    np.testing.assert_array_equal(pad(values, 3), 3.25)
    numbers = np.random.default_rng(3).integers(-128, 127, (12, 4, 4)).astype(np.int8)
    padded = pad(numbers, 2)
    assert padded.dtype == np.int8
    np.testing.assert_array_equal(padded, np.floor(pad(numbers.astype("f8"), 2)))


def test_a_blur_on_padded_faces_commutes_with_a_quarter_turn():
    """The sphere turned by 90 degrees about its axis is the same sphere: every face takes its neighbour's place."""
    values = np.random.default_rng(4).standard_normal((12, 8, 8))

    def blur(v):
        p = pad(v, 2)
        return sum(p[:, i : i + 8, j : j + 8] for i in range(5) for j in range(5)) / 25

    def turn(v):
        return v.reshape(3, 4, 8, 8)[:, [3, 0, 1, 2]].reshape(12, 8, 8)

    np.testing.assert_allclose(blur(turn(values)), turn(blur(values)), atol=1e-14)


def test_index_arrays_are_shared_and_not_writeable():
    first, _, _ = padding(4, 1)
    assert padding(4, 1)[0] is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: side_of(13), "expected 12 nside"),
        (lambda: side_of(0), "expected 12 nside"),
        (lambda: side_of(108), "expected 12 nside"),
        (lambda: to_faces(np.zeros(13)), "expected 12 nside"),
        (lambda: to_faces(np.array(1.0)), "expected 12 nside"),
        (lambda: face_of(0, 3), "a power of two"),
        (lambda: nested_of(0, 0, 0, 0), "a power of two"),
        (lambda: centres(6), "a power of two"),
        (lambda: pad(np.zeros((12, 4, 4)), 5), "a width of 0 to nside = 4"),
        (lambda: pad(np.zeros((12, 4, 4)), -1), "a width of 0 to nside = 4"),
        (lambda: pad(np.zeros((11, 4, 4)), 1), "got shape"),
        (lambda: from_faces(np.zeros((12, 3, 3))), "got shape"),
        (lambda: from_faces(np.zeros(12)), "got shape"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# healpy


@pytest.fixture
def healpy():
    return pytest.importorskip("healpy", reason="the oracle of indices, centres and neighbours")


@pytest.mark.parametrize("nside", [*SIDES, 256])
def test_indices_and_centres_agree_with_healpy(healpy, nside):
    index = np.arange(min(12 * nside**2, 100_000)) * max(12 * nside**2 // 100_000, 1)
    face, y, x = face_of(index, nside)
    for found, expected in zip((x, y, face), healpy.pix2xyf(nside, index, nest=True), strict=True):
        np.testing.assert_array_equal(found, expected)
    longitude, latitude = healpy.pix2ang(nside, index, nest=True, lonlat=True)
    found = centres(nside)
    np.testing.assert_allclose(found[0][face, y, x], latitude, atol=1e-11)
    np.testing.assert_allclose((found[1][face, y, x] - longitude + 180) % 360, 180, atol=1e-11)


@pytest.mark.parametrize("nside", [2, 4, 16])
def test_neighbours_agree_with_healpy(healpy, nside):
    nested = nested_of(*np.indices((12, nside, nside)), nside)
    padded = pad(nested, 1)
    corners = meeting_of_three(padded.shape, nside, 1)
    # SW, W, NW, N, NE, E, SE, S as steps (y, x)
    steps = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)]
    expected = healpy.get_all_neighbours(nside, nested.ravel(), nest=True).reshape(8, 12, nside, nside)
    for (i, j), cells in zip(steps, expected, strict=True):
        part = np.s_[:, 1 + i : 1 + i + nside, 1 + j : 1 + j + nside]
        np.testing.assert_array_equal(np.where(corners[part], -1, padded[part]), cells)


def test_every_name_is_documented():
    assert all(getattr(faces, name).__doc__ for name in faces.__all__ if name != "FACES")
