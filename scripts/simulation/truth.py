"""Whether a claim is false, given the truth of a simulated experiment.

Axis letters: L levels of an axis.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from simulation.experiments import METRIC, World
from sweep.report.findings import Claim
from sweep.table import Grid

# True means that were added up in another order.
_ROUNDING = 1e-12


def is_false(claim: Claim, world: World, grid: Grid) -> bool:
    """Whether what is claimed is not so; of `sweep.report.findings` every kind.

    Args:
        claim: That the product's analysis made.
        world: The truth.
        grid: What it was made of: ranks and the best are among the configurations compared.
    """
    first = claim.subject[0]
    if claim.kind in ("axis", "most", "depends", "combine"):
        return _false_of_axes(claim, world)
    if claim.kind == "diverges":
        return not claim.low <= world.diverging[world.points[first]] <= claim.high
    mean = world.means[world.points[first]]
    compared = world.means[[world.points[one.name] for one in grid.configurations]]
    if claim.kind == "worse":
        return bool(mean > compared.max() - _ROUNDING)
    if claim.kind == "rank":
        best = 1 + int((compared > mean + _ROUNDING).sum())
        worst = int((compared > mean - _ROUNDING).sum())
        return worst < claim.low or best > claim.high
    if claim.kind == "mean":
        return not claim.low <= mean <= claim.high
    if claim.kind == "test":
        return not claim.low <= world.test_means[world.points[first]] <= claim.high
    other = world.means[world.points[claim.subject[1]]]
    if claim.kind == "equal":
        assert METRIC.margin is not None
        return bool(abs(mean - other) > METRIC.margin - _ROUNDING)
    assert claim.kind in ("named", "baseline", "confirmed"), claim.kind
    return bool(mean < other + _ROUNDING)


def _false_of_axes(claim: Claim, world: World) -> bool:
    table = world.means.reshape(world.shape)
    numbers = [list(world.axes).index(axis) for axis in claim.subject]
    spans = [float(np.ptp(_averaged(table, [number]))) for number in range(table.ndim)]
    if claim.kind == "axis":
        return not claim.low - _ROUNDING <= spans[numbers[0]] <= claim.high + _ROUNDING or spans[numbers[0]] < _ROUNDING
    if claim.kind == "most":
        return any(spans[n] > spans[numbers[0]] - _ROUNDING for n in range(table.ndim) if n != numbers[0])
    means = _averaged(table, numbers)
    if claim.kind == "depends":
        best = means > means.max(axis=0) - _ROUNDING
        # It depends if there are two levels of the other axis with no level that is best, or tied, at both.
        return all(
            (best[:, at] & best[:, other]).any() for at, other in itertools.combinations(range(best.shape[1]), 2)
        )
    for axis in range(means.ndim):
        means = means - means.mean(axis=axis, keepdims=True)
    return bool(np.abs(means).max() < _ROUNDING)


def _averaged(table: NDArray[np.float64], axes: list[int]) -> NDArray[np.float64]:
    """Means over all other axes, in the order of `axes`."""
    moved = np.moveaxis(table, axes, range(len(axes)))
    means: NDArray[np.float64] = moved.mean(axis=tuple(range(len(axes), table.ndim)))
    return means
