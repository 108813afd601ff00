"""Rows that hold the very same numbers: found in the data, never assumed from names.

Axis letters: K configurations. Two names for one function train bit-identically; counted twice they would
look like independent evidence.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def twins(rows: NDArray[np.generic]) -> list[tuple[int, ...]]:
    """Groups of two or more indices whose rows of `[K, ...]` are bit-identical, by their first index.

    NaN equals NaN whatever its bits. A row that is all NaN holds no number and is nobody's twin.

    Raises:
        ValueError: if `rows` has no axis.
    """
    groups: dict[int, list[int]] = {}
    for index, first in enumerate(representatives(rows)):
        groups.setdefault(int(first), []).append(index)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def representatives(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """For each of the K rows the smallest index whose row is identical to it; its own when it has no twin.

    `np.unique(representatives(rows))` are the rows to analyse so that twins enter once.

    Raises:
        ValueError: if `rows` has no axis.
    """
    if rows.ndim == 0:
        raise ValueError("rows is a single number; give an array [K, ...]")
    seen: dict[bytes, int] = {}
    firsts = np.arange(len(rows))
    for index, row in enumerate(rows):
        if np.issubdtype(row.dtype, np.inexact):
            missing = np.isnan(row)
            if missing.all():
                continue
            row = np.where(missing, row.dtype.type(np.nan), row)
        # A digest, not the bytes: rows of predictions are large and there may be a thousand of them.
        digest = hashlib.sha256(np.ascontiguousarray(row).tobytes()).digest()
        firsts[index] = seen.setdefault(digest, index)
    return firsts
