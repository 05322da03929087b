"""The rules of spec/pyramid.md restated slowly and obviously, one pixel at a time, in Python's own integers."""

from __future__ import annotations

LIMIT = 2**38


def mirrored(position, length, wrap):
    """A lattice position inside 0 .. length-1: periodic, or reflected about the first and the last."""
    if length == 1:
        return 0
    while not 0 <= position < length:
        if wrap:
            position += length if position < 0 else -length
        else:
            position = -position if position < 0 else 2 * (length - 1) - position
    return position


def neighbour(frame, y, x, wrap):
    """The value that stands at a lattice position; where its part has no pixel at all, the C to its upper left."""
    height, width = frame.shape
    if (y % 2 and height < 2) or (x % 2 and width < 2):
        y, x = y - y % 2, x - x % 2
    return int(frame[mirrored(y, height, False), mirrored(x, width, wrap)])


def log8(value):
    exponent = value.bit_length() - 1
    return 8 * exponent + ((value << 3 >> exponent) & 7)


def clip(value, limit=127):
    return min(max(value, -limit), limit)


def as_bytes(inputs):
    """Inputs as the network gets them: filled up with zeros to a multiple of 8, 128 added."""
    return [value + 128 for value in inputs + [0] * (-len(inputs) % 8)]


def fraction(value, scale):
    """A value over the scale, in units of 1 / 32."""
    shift = max(scale.bit_length() - 16, 0)
    return clip((value >> shift) * (2**32 // (scale >> shift)) + 2**26 >> 27)


def plain_inputs(known, symbols, wrap, rule, weights, y, x, step, level):
    """Inputs, base, scale and octave of the target at lattice position (y, x); section 4."""
    offsets = rule.table[:, 3:].tolist()
    n = len(offsets)
    values = [neighbour(known, y + dy, x + dx, wrap) for dy, dx in offsets]
    context = [neighbour(symbols, y + dy, x + dx, wrap) for dy, dx in offsets]
    centre = sum(values[:4]) >> 2
    d = [value - centre for value in values]
    slopes = []
    for axis in (0, 1):
        moment = sum(offset[axis] ** 2 for offset in offsets)
        slopes.append(sum(v * o[axis] for v, o in zip(d, offsets, strict=True)) * (65536 // moment) >> 16)
    d = [v - slopes[0] * dy - slopes[1] * dx for v, (dy, dx) in zip(d, offsets, strict=True)]
    base = centre + (sum(v * int(w) for v, w in zip(d, weights, strict=True)) + 2**13 >> 14)
    scale = (sum(map(abs, d)) * (65536 // n) >> 16) + step // 4 + 1
    shift = max(scale.bit_length() - 16, 0)
    inverse = 2**32 // (scale >> shift)
    octave = log8(scale) - log8(step)
    inputs = [fraction(v, scale) for v in d]
    slope = log8(abs(slopes[0]) + abs(slopes[1]) + 1) - log8(scale)
    inputs += [clip(octave), clip(4 * octave), clip(slope), level]
    inputs += [clip(q * step * inverse >> 27 + shift) for q in context[:4]]
    rings = context[:4], context[4:12], context[12:]
    inputs += [log8(1 + sum(map(abs, ring))) for ring in rings] + [127]
    return inputs, base, scale, octave


def side_inputs(mean, change, pulse, wrap, rule, y, x, scale, *, trust, distance):
    """The eight inputs about the references, of the target at lattice position (y, x); section 4, With references."""
    offsets = rule.table[:, 3:].tolist()

    def around(frame):
        return [neighbour(frame, y + dy, x + dx, wrap) for dy, dx in offsets]

    def tap(dy, dx):
        if rule.name == "D":
            return {1: 9, 3: -1}[abs(dy)] * {1: 9, 3: -1}[abs(dx)]
        return {1: 72, 3: -8}[abs(dy + dx)] if 0 in (dy, dx) else 0

    def bend(frame):
        interpolated = sum(tap(*o) * v for o, v in zip(offsets, around(frame), strict=True)) + 128 >> 8
        return int(frame[y, x]) - interpolated

    def lively(frame):
        nearest = around(frame)[:4]
        return sum(abs(value - (sum(nearest) >> 2)) for value in nearest)

    return [
        *(fraction(clip(bend(frame), 8 * scale), scale) for frame in (mean, change)),
        clip(log8(lively(mean) + 1) - log8(scale)),
        clip(log8(lively(change) + abs(bend(change)) + 1) - log8(scale)),
        log8(1 + int(pulse[y, x])),
        log8(1 + sum(around(pulse)[:4])),
        trust,
        14 * min(distance.bit_length() - 1, 8),
    ]


def smoothed(frame, marks, weights, taper, step, wrap):
    """A frame after smoothing: rows of integers; section 7. weights: (42, 9)."""
    height, width = frame.shape

    def own(p):
        return max(1, step * taper[min(p, len(taper) - 1)] >> 6)

    def ring(y, x, offsets):
        total = sum(int(frame[mirrored(y + dy, height, False), mirrored(x + dx, width, wrap)]) for dy, dx in offsets)
        return total - len(offsets) * int(frame[y, x])

    def coded_at(y, x):
        if y == x == 0:
            return 6, 31
        p = min(p for p in range(31) if (y | x) >> p & 1)
        number = {(1, 1): 0, (0, 1): 1, (1, 0): 2}[y >> p & 1, x >> p & 1]
        return (3 * p + number if p < 2 else 6), p

    def pixel(y, x):
        place, p = coded_at(y, x)
        features = [ring(y, x, offsets) for offsets in RINGS] + [clip(int(marks[y, x]), 2) * own(0) >> 2]
        bend = abs(features[0] + features[1]) + abs(features[2])
        activity = int(bend >= own(0)) + int(bend >= 4 * own(0))
        kind = 3 * (2 * place + int(marks[y, x] != 0)) + activity
        total = sum(int(weight) * value for weight, value in zip(weights[kind], features, strict=True))
        return int(frame[y, x]) + clip(total + 256 >> 9, max(0, step - own(p) >> 1))

    return [[pixel(y, x) for x in range(width)] for y in range(height)]


RINGS = (
    [(0, -1), (0, 1)],
    [(-1, 0), (1, 0)],
    [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    [(0, -2), (0, 2)],
    [(-2, 0), (2, 0)],
    [(dy, dx) for dy in (-2, -1, 1, 2) for dx in (-2, -1, 1, 2) if abs(dy) != abs(dx)],
    [(-2, -2), (-2, 2), (2, -2), (2, 2)],
    [(0, -3), (0, 3), (-3, 0), (3, 0)],
)
