"""Alphabets of glyphs: 20 to 50 characters that share a few sub-strokes and a pen."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adaptbench.datamodules.glyph_strokes import SUB_STROKES, Floats, states_of, uniforms

SIZES = (20, 50)
"""The fewest and the most characters of an alphabet."""
REPERTOIRE = 3
"""The sub-strokes that an alphabet's characters are made of."""


class Alphabets(NamedTuple):
    """The alphabets of C classes, which fill one alphabet after the other.

    Attributes:
        of_class: [C] int64, the alphabet of each class.
        repertoires: [A, REPERTOIRE] int64, the sub-strokes of each alphabet.
        pens: [A] float64, from 0 (thin) to 1 (thick).
    """

    of_class: npt.NDArray[np.int64]
    repertoires: npt.NDArray[np.int64]
    pens: Floats


def make_alphabets(key: int, classes: int) -> Alphabets:
    """Makes the alphabets of the first classes; an alphabet does not depend on how many there are.

    Args:
        key: 64-bit key of the sequence of alphabets.
        classes: the number of classes; the last alphabet may have fewer than 20 of them.
    """
    least, most = SIZES
    count = -(-classes // least)
    draws = uniforms(states_of(key, np.arange(count)), SUB_STROKES + 2)
    sizes = least + (draws[:, 0] * (most - least + 1)).astype(np.int64)
    of_class = np.repeat(np.arange(count), sizes)[:classes]
    return Alphabets(of_class, draws[:, 2:].argsort(axis=1, kind="stable")[:, :REPERTOIRE], draws[:, 1])
