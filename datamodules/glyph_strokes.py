"""Glyphs as strokes: an unlimited number of characters, each a pure function of a key and an index.

The code uses only additions, multiplications, divisions, square roots and comparisons, whose rounding IEEE 754 defines,
so glyphs have the same bits on every machine. Sines and logarithms would not.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.uint64]

SIZE = 28
STROKES = 4
CONTROLS = 7  # of a stroke: two sub-strokes of three segments each
SUB_STROKES = 64
STROKE_SHARES = (0.12, 0.40, 0.33, 0.15)  # of classes with one, two, three and four strokes
RELATION_SHARES = (0.35, 0.35, 0.30)  # starts where an earlier stroke starts or ends, along one, apart
TWO_SUB_STROKES = 0.35
STRAIGHT = 0.4
LARGEST_TURN = 0.9  # tangent of half the angle between two segments
ALONG_AXES = 0.55  # of sub-strokes: across or down the page, as most writing goes
AXIS_SLACK = 0.15  # of their other coordinate
EXTENT = (11.0, 17.0)  # pixels, of either side of a class
THINNEST = 0.35  # of the longer side, before a class is scaled to its extent
OFF_CENTRE = 1.0  # pixels


class Glyphs(NamedTuple):
    """C classes.

    Attributes:
        controls: [C, STROKES, CONTROLS, 2] float64, control points of the strokes in pixels: x to the right, y down.
        strokes: [C] int64, number of strokes.
        double: [C, STROKES] bool, whether a stroke has two sub-strokes; if not, its last three points are unused.
    """

    controls: Floats
    strokes: npt.NDArray[np.int64]
    double: npt.NDArray[np.bool_]

    def at(self, rows: npt.NDArray[np.int64]) -> "Glyphs":
        """Returns the classes in these rows."""
        return Glyphs(self.controls[rows], self.strokes[rows], self.double[rows])


def mixed(values: Integers) -> Integers:
    """Scrambles each 64-bit integer: the output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def uniforms(states: Integers, count: int) -> Floats:
    """Draws uniform numbers in [0, 1) for each state, independently of the other states, [N, count]."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed(states[:, None] + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def states_of(key: int, *indices: npt.NDArray[np.int64]) -> Integers:
    """Makes the random state of each index, or tuple of indices, under a 64-bit key, [N]."""
    states = np.full(indices[0].shape, key, dtype=np.uint64)
    for index in indices:
        states = mixed(states + mixed(index.astype(np.uint64) + np.uint64(1)))
    return states


def make_glyphs(
    key: int, world: int, indices: npt.NDArray[np.int64], repertoires: npt.NDArray[np.int64] | None = None
) -> Glyphs:
    """Makes the classes of these indices; a class does not depend on the other indices.

    Args:
        key: 64-bit key of the sequence of classes.
        world: 64-bit key of the library of sub-strokes, which all sequences of a task share.
        indices: [C] indices of the classes.
        repertoires: [C, R] the sub-strokes that each class may have; None for all of the library.
    """
    draws = _Draws(uniforms(states_of(key, indices), 128))
    library = _sub_strokes(world)
    strokes = 1 + _choice(draws.take(1)[:, 0], STROKE_SHARES)
    double = draws.take(STROKES) < TWO_SUB_STROKES
    controls = _controls(draws, library, repertoires)
    for stroke in range(1, STROKES):
        controls[:, stroke] += _start(draws, controls, stroke)[:, None]
    return Glyphs(_placed(draws, controls, strokes, double), strokes, double)


class _Draws:
    """Takes uniform numbers column by column."""

    def __init__(self, numbers: Floats) -> None:
        self.numbers, self.used = numbers, 0

    def take(self, count: int) -> Floats:
        """Returns the next columns, [N, count]."""
        self.used += count
        return self.numbers[:, self.used - count : self.used]

    def between(self, low: float, high: float, count: int = 1) -> Floats:
        """Returns the next columns, scaled to a range."""
        return low + (high - low) * self.take(count)


def _choice(uniform: Floats, shares: tuple[float, ...]) -> npt.NDArray[np.int64]:
    edges = np.array(shares[:-1]).cumsum()
    return (uniform[..., None] >= edges).sum(axis=-1)


def _sub_strokes(world: int) -> Floats:
    """Makes the library: the three segments of each sub-stroke, [SUB_STROKES, 3, 2], each about one unit long."""
    draws = _Draws(uniforms(states_of(world, np.arange(SUB_STROKES)), 16))
    direction = draws.between(-1, 1, 2)
    slack = np.where(draws.take(1) < ALONG_AXES, AXIS_SLACK, 1.0)
    across = draws.take(1) < 0.5
    direction = _unit(np.where(across == np.array([True, False]), direction, direction * slack))
    straight = draws.take(1) < STRAIGHT
    turns = np.where(straight, 0.0, draws.between(-LARGEST_TURN, LARGEST_TURN, 2))
    same_way = draws.take(1) < 0.7
    turns[:, 1:] = np.where(same_way, turns[:, :1], turns[:, 1:])
    lengths = draws.between(0.7, 1.3, 3)
    steps = [direction]
    for turn in turns.T:
        steps.append(_turned(steps[-1], turn))
    return np.stack(steps, axis=1) * lengths[:, :, None]


def _unit(vectors: Floats) -> Floats:
    """Scales [..., 2] to length one."""
    x, y = vectors[..., 0], vectors[..., 1]
    return vectors / np.maximum(np.sqrt(x * x + y * y), 1e-6)[..., None]


def _turned(vectors: Floats, half_tangent: Floats) -> Floats:
    """Turns [..., 2] by the angle whose half has this tangent."""
    x, y, square = vectors[..., 0], vectors[..., 1], half_tangent * half_tangent
    cosine, sine = (1 - square) / (1 + square), 2 * half_tangent / (1 + square)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def _controls(draws: _Draws, library: Floats, repertoires: npt.NDArray[np.int64] | None) -> Floats:
    """Joins the sub-strokes of each stroke, beginning at the origin, [C, STROKES, CONTROLS, 2]."""
    known = SUB_STROKES if repertoires is None else repertoires.shape[1]
    chosen = (draws.take(2 * STROKES) * known).astype(np.int64)
    if repertoires is not None:
        chosen = np.take_along_axis(repertoires, chosen, axis=1)
    scales = draws.between(0.7, 1.3, 2 * STROKES)
    steps = library[chosen] * scales[:, :, None, None]
    steps = steps.reshape(len(steps), STROKES, CONTROLS - 1, 2)
    return np.concatenate([np.zeros_like(steps[:, :, :1]), steps.cumsum(axis=2)], axis=2)


def _start(draws: _Draws, controls: Floats, stroke: int) -> Floats:
    """Draws the start of a stroke in relation to an earlier one, [C, 2]."""
    rows = np.arange(len(controls))
    earlier = controls[rows, (draws.take(1)[:, 0] * stroke).astype(np.int64)]
    relation = _choice(draws.take(1)[:, 0], RELATION_SHARES)
    end = np.where(draws.take(1) < 0.5, earlier[:, 0], earlier[:, 3])
    place = draws.between(0.5, 2.5)[:, 0]
    before = place.astype(np.int64)
    share = (place - before)[:, None]
    along = earlier[rows, before] * (1 - share) + earlier[rows, before + 1] * share
    apart = earlier[:, 1] + draws.between(-2.5, 2.5, 2)
    return np.where(relation[:, None] == 0, end, np.where(relation[:, None] == 1, along, apart))


def _placed(draws: _Draws, controls: Floats, strokes: npt.NDArray[np.int64], double: npt.NDArray[np.bool_]) -> Floats:
    """Scales every class to its extent in pixels and puts it near the centre of the image."""
    there = np.arange(STROKES) < strokes[:, None]
    counts = there[:, :, None] & (double[:, :, None] | (np.arange(CONTROLS) < 4))
    low = np.where(counts[..., None], controls, np.inf).min(axis=(1, 2))
    high = np.where(counts[..., None], controls, -np.inf).max(axis=(1, 2))
    sides = high - low
    sides = np.maximum(sides, np.maximum(THINNEST * sides.max(axis=1), 1e-6)[:, None])
    scale = draws.between(*EXTENT, 2) / sides
    centre = SIZE / 2 + draws.between(-OFF_CENTRE, OFF_CENTRE, 2)
    middle = (low + high) / 2
    return (controls - middle[:, None, None]) * scale[:, None, None] + centre[:, None, None]
