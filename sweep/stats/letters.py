"""Letters that show which configurations differ: two that share a letter do not.

Axis letters: K configurations. A letter's members are a set of configurations without a differing pair, kept
as the bits of one integer.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_SETS = 2000


def compact_letters(different: NDArray[np.bool_], order: Sequence[int]) -> list[str]:
    """A compact letter display: the letters of each of the K configurations, "a" for the first in `order`.

    Two configurations differ exactly when they share no letter. `order` lists indices, best first; one that
    it does not list takes no part and gets "". After z come a2 to z2, a3 and so on.

    Where `different` follows from gaps between means along `order`, as Tukey's test with equal n does, the
    letters are runs and cost K^2. Otherwise insert-and-absorb, whose number of letters can grow
    exponentially: beyond 2,000 sets the pairs that do not differ are covered greedily, as correct but with
    more letters than needed.

    Raises:
        ValueError: if `different` is not a symmetric `[K, K]` with a False diagonal, or `order` repeats or
            exceeds it.

    Source: Piepho (2004), "An algorithm for a letter-based representation of all-pairwise comparisons",
    Journal of Computational and Graphical Statistics 13.
    """
    different = np.asarray(different, dtype=np.bool_)
    k = len(different)
    if different.shape != (k, k) or different.diagonal().any() or (different != different.T).any():
        raise ValueError("different is not a symmetric [K, K] matrix with a False diagonal")
    if len(set(order)) != len(order) or not set(order) <= set(range(k)):
        raise ValueError(f"order must list indices below {k}, each at most once")
    table = different[np.ix_(order, order)]
    groups = (_runs(table) or _insert_and_absorb(table) or _greedy_cover(table)) if len(order) else []
    # A place is a bit; the lowest bit is the best configuration of the group.
    groups.sort(key=lambda group: [place for place in range(len(table)) if group >> place & 1])
    letters = [""] * k
    for number, group in enumerate(groups):
        round_, letter = divmod(number, 26)
        name = chr(ord("a") + letter) + (str(round_ + 1) if round_ else "")
        for place, index in enumerate(order):
            if group >> place & 1:
                letters[index] += name
    return letters


def _runs(table: NDArray[np.bool_]) -> list[int]:
    """Maximal runs of neighbours without a differing pair; empty when such runs do not describe the table."""
    upper = np.triu(table)
    # Once different, different from everything further down; and the further up, the sooner.
    if (upper[:, :-1] & ~upper[:, 1:]).any():
        return []
    ends = np.where(upper.any(axis=1), upper.argmax(axis=1), len(table))
    if (np.diff(ends) < 0).any():
        return []
    starts = [start for start in range(len(table)) if start == 0 or ends[start] > ends[start - 1]]
    return [(1 << int(ends[start])) - (1 << start) for start in starts]


def _insert_and_absorb(table: NDArray[np.bool_]) -> list[int]:
    """All maximal sets without a differing pair, less those not needed; empty when there are too many."""
    groups = [(1 << len(table)) - 1]
    for place, row in enumerate(table):
        enemies = sum(1 << int(other) for other in np.flatnonzero(row))
        own = 1 << place
        split = [group for group in groups if group & own and group & enemies]
        groups = [group for group in groups if not (group & own and group & enemies)]
        candidates = [part for group in split for part in (group & ~own, group & ~enemies)]
        for candidate in sorted(set(candidates), key=int.bit_count, reverse=True):
            if not any(candidate & group == candidate for group in groups):
                groups.append(candidate)
        if len(groups) > _MOST_SETS:
            return []
    return _needed(groups, len(table))


def _needed(groups: list[int], count: int) -> list[int]:
    """Sweeps out sets all of whose pairs, and members, other sets hold too."""
    holding: list[set[int]] = [{group for group in groups if group >> place & 1} for place in range(count)]
    kept = []
    for group in sorted(groups, key=int.bit_count):
        members = [place for place in range(count) if group >> place & 1]
        if all(_held_elsewhere(group, holding[place]) for place in members):
            for place in members:
                holding[place].remove(group)
        else:
            kept.append(group)
    return kept


def _held_elsewhere(group: int, sets: set[int]) -> bool:
    """Whether the other sets together hold all of the group."""
    left = group
    for other in sets:
        if other != group:
            left &= ~other
            if not left:
                return True
    return False


def _greedy_cover(table: NDArray[np.bool_]) -> list[int]:
    """Sets without a differing pair that hold every pair which does not differ."""
    friends = [sum(1 << int(other) for other in np.flatnonzero(~row)) for row in table]
    uncovered = list(friends)
    groups = []
    for place in range(len(table)):
        while uncovered[place]:
            group, allowed, wanted = 1 << place, friends[place], uncovered[place] & ~(1 << place)
            while allowed & ~group:
                pool = (wanted & allowed & ~group) or (allowed & ~group)
                newest = (pool & -pool).bit_length() - 1
                group |= 1 << newest
                allowed &= friends[newest]
            groups.append(group)
            for member in range(len(table)):
                if group >> member & 1:
                    uncovered[member] &= ~group
    return groups
