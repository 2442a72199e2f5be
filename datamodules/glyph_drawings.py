"""Drawings of glyphs: a class's strokes, varied as by a human drawer and rasterised with soft edges."""

import numpy as np
import numpy.typing as npt

from adaptbench.datamodules.glyph_strokes import CONTROLS, SIZE, STROKES, Floats, Glyphs, Integers, uniforms

POINTS = 32  # along a stroke
AT_ONCE = 256
JITTER = 1.1  # pixels, of a control point
SHIFT = 1.4  # pixels, of a stroke
MOVE = 2.4  # pixels, of the whole drawing
STRETCH = 0.28  # of either side
SHEAR = 0.25
TURN = 0.15  # tangent of half the angle
WIDTH = (0.65, 0.95)  # pixels, half the width of the pen
SOFT = 0.9  # pixels from ink to paper


def draw_glyphs(glyphs: Glyphs, drawers: Integers, pens: Floats | None = None) -> npt.NDArray[np.uint8]:
    """Draws each glyph once.

    Args:
        glyphs: M classes, one for each drawing.
        drawers: [M] random state of each drawing.
        pens: [M] the pen of each drawing, from 0 (thin) to 1 (thick); None for that of its drawer.

    Returns:
        [M, SIZE, SIZE] uint8, ink is 255 on a background of 0.
    """
    images = np.empty((len(drawers), SIZE, SIZE), dtype=np.uint8)
    order = np.argsort(-glyphs.strokes, kind="stable")  # most strokes first, so that each batch has few absent ones
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        images[rows] = _draw(glyphs.at(rows), drawers[rows], None if pens is None else pens[rows])
    return images


def _draw(glyphs: Glyphs, drawers: Integers, pens: Floats | None) -> npt.NDArray[np.uint8]:
    controls, half_width = _drawn(glyphs.controls, drawers)
    if pens is not None:
        half_width = WIDTH[0] + (WIDTH[1] - WIDTH[0]) * pens
    basis = np.where(glyphs.double[..., None, None], DOUBLE, SINGLE)
    points = np.zeros((*basis.shape[:3], 2))
    for control in range(CONTROLS):  # a matrix product would sum in another order on another machine
        points += basis[..., control, None] * controls[:, :, None, control]
    distance = np.sqrt(_squared_distances(points.astype(np.float32), glyphs.strokes))
    ink = np.clip((half_width[:, None, None].astype(np.float32) - distance) / np.float32(SOFT) + np.float32(0.5), 0, 1)
    return (ink * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _drawn(controls: Floats, drawers: Integers) -> tuple[Floats, Floats]:
    """Varies control points as a drawer does, [M, STROKES, CONTROLS, 2]; also draws the pen's half width, [M]."""
    jitters = STROKES * CONTROLS * 2
    numbers = uniforms(drawers, 2 * jitters + 2 * STROKES + 9)
    jitter = (numbers[:, :jitters] + numbers[:, jitters : 2 * jitters] - 1) * JITTER  # a triangle, nearly a bell
    shift, whole = np.split(numbers[:, 2 * jitters :] * 2 - 1, [2 * STROKES], axis=1)
    moved = controls + jitter.reshape(controls.shape) + SHIFT * shift.reshape(-1, STROKES, 1, 2)
    x, y = moved[..., 0] - SIZE / 2, moved[..., 1] - SIZE / 2
    turn, shear, wide, high, right, down, pen = (column[:, None, None] for column in whole.T[:7])
    square = (TURN * turn) * (TURN * turn)
    cosine, sine = (1 - square) / (1 + square), 2 * TURN * turn / (1 + square)
    x, y = (1 + STRETCH * wide) * x + SHEAR * shear * y, (1 + STRETCH * high) * y
    x, y = cosine * x - sine * y + MOVE * right, sine * x + cosine * y + MOVE * down
    low, top = WIDTH
    half_width = low + (top - low) * (pen[:, 0, 0] + 1) / 2
    return np.stack([x, y], axis=-1) + SIZE / 2, half_width


def _squared_distances(points: npt.NDArray[np.float32], strokes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Returns each pixel's squared distance to the nearest stroke point, [M, SIZE, SIZE]; most strokes first."""
    centres = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    nearest = np.full((len(points), SIZE, SIZE), np.inf, dtype=np.float32)
    candidate = np.empty_like(nearest)
    for stroke in range(STROKES):
        count = int((strokes > stroke).sum())
        if not count:
            break
        gaps = points[:count, stroke, :, :, None] - centres
        squares = gaps * gaps
        for point in range(points.shape[2]):
            part = candidate[:count]
            np.add(squares[:, point, 0, None, :], squares[:, point, 1, :, None], out=part)
            np.minimum(nearest[:count], part, out=nearest[:count])
    return nearest


def _basis(controls: int) -> Floats:
    """Returns the weights of the control points at POINTS places along a stroke, [POINTS, CONTROLS].

    The stroke is a uniform quadratic B-spline that is extended to its first and last control point.
    """
    places = np.linspace(0, 1, POINTS) * (controls - 1)
    weights = np.zeros((POINTS, CONTROLS))
    for row, place in enumerate(places):
        nearest = min(max(int(place + 0.5), 1), controls - 2)
        offset = place - nearest
        before, after = (0.5 - offset) * (0.5 - offset) / 2, (0.5 + offset) * (0.5 + offset) / 2
        if not -0.5 <= offset <= 0.5:
            before, after = max(-offset, 0.0), max(offset, 0.0)
        weights[row, nearest - 1 : nearest + 2] += before, 1 - before - after, after
    return weights


SINGLE, DOUBLE = _basis(4), _basis(CONTROLS)
