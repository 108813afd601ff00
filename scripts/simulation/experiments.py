"""Draws experiments of a cell, as the grid that the product's analysis reads, with the truth beside it.

Axis letters: K grid points, S seeds, L levels of an axis.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from simulation.cases import GAP, Cell
from sweep.axes import Axis, Level
from sweep.metrics import selecting
from sweep.records import DoneRecord, ReplicateRecord, Rows
from sweep.table import TIME, Grid, GridPoint, Replicate, make_grid
from sweep.tasks import TASKS

CRITERION = selecting(TASKS["classification"].METRICS)["validation_accuracy"]
METRIC = CRITERION.metric
_CENTRE, _TEST_LOWER = 0.95, 0.005


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Of every grid point and seed, `[K, S]`: accuracies, and whether the replicate is missing or has diverged."""

    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    missing: NDArray[np.bool_]
    diverged: NDArray[np.bool_]

    def first(self, seeds: int) -> "Scores":
        """Those of the first seeds alone."""
        return Scores(
            validation=self.validation[:, :seeds],
            test=self.test[:, :seeds],
            missing=self.missing[:, :seeds],
            diverged=self.diverged[:, :seeds],
        )


class World:
    """One experiment's truth: what is drawn for its seeds differs from it by chance alone.

    Attributes:
        axes: Names of the levels of each axis.
        points: Index of each grid point by its name; those that were never trained are among them.
        means: True validation accuracies over new seeds `[K]`; diverged replicates count with what they would have had.
        test_means: True test accuracies likewise.
        diverging: Probability that a replicate diverges `[K]`.
    """

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self._cell, self._rng = cell, rng
        case, self.shape = cell.case, cell.shape
        letters = [chr(ord("a") + number) for number in range(len(self.shape))]
        self.axes = {
            letter: tuple(f"{letter}{level}" for level in range(count))
            for letter, count in zip(letters, self.shape, strict=True)
        }
        self.values = list(itertools.product(*self.axes.values()))
        self.points = {" ".join(values): k for k, values in enumerate(self.values)}
        k = len(self.values)
        self._spreads = self._drawn_spreads(k)
        effects = self._drawn_means(k) - case.lower * (self._spreads > 1)
        lost = -0.03 * 20 if case.errors == "collapse" else 0.0
        self._effects = effects
        self.means = _CENTRE + case.unit * (effects + lost)
        self.test_means = self.means - _TEST_LOWER
        self.diverging = special.ndtr((case.bound - effects) / np.sqrt(1 + self._spreads**2))
        self.trained = np.ones(k, dtype=np.bool_)
        self.trained[rng.choice(k, case.dropped, replace=False)] = False

    def scores(self, seeds: int) -> Scores:
        """Draws new seeds."""
        case, rng = self._cell.case, self._rng
        k = len(self.values)
        of_seeds, of_seeds_test = _correlated(rng.normal(size=seeds), rng.normal(size=seeds), case.shared)
        errors, errors_test = _correlated(self._errors((k, seeds)), self._errors((k, seeds)), case.correlation)
        if case.luck:
            levels = np.repeat(np.arange(self.shape[0]), k // self.shape[0])
            scale, shape = math.sqrt(case.luck), (self.shape[0], seeds)
            luck, luck_test = _correlated(
                scale * rng.normal(size=shape), scale * rng.normal(size=shape), case.correlation
            )
            errors, errors_test = errors + luck[levels], errors_test + luck_test[levels]
        lost = 20.0 * (rng.random((k, seeds)) < 0.03) if case.errors == "collapse" else np.zeros((k, seeds))
        spreads = self._spreads[:, None]
        validation = self._effects[:, None] + of_seeds + spreads * errors - lost
        test = self._effects[:, None] + of_seeds_test + spreads * errors_test - lost
        return Scores(
            validation=_CENTRE + case.unit * validation,
            test=_CENTRE - _TEST_LOWER + case.unit * test,
            missing=rng.random((k, seeds)) < case.missing,
            diverged=validation < case.bound,
        )

    def grid(self, scores: Scores, *, first_seed: int = 0, chosen: list[int] | None = None) -> Grid:
        """The grid of some of the points, in this order; of all that were trained without a choice."""
        places = np.flatnonzero(self.trained).tolist() if chosen is None else chosen
        points = [self._point(k, scores, first_seed) for k in places]
        axes = [Axis(name=name, values=levels, scale="nominal") for name, levels in self.axes.items()]
        return make_grid(points, axes, CRITERION)

    def _point(self, k: int, scores: Scores, first_seed: int) -> GridPoint:
        there = np.flatnonzero(~scores.missing[k]).tolist()
        record = _record(k, first_seed, scores)
        replicates = {first_seed + s: Replicate(record=record, row=s) for s in there}
        return GridPoint(
            levels=tuple(
                Level(axis=axis, values=(value,)) for axis, value in zip(self.axes, self.values[k], strict=True)
            ),
            parameters=1,
            replicates=replicates,
            trouble="" if replicates else "failed",
        )

    def _errors(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        if self._cell.case.errors == "t":
            return self._rng.standard_t(3, size=shape) / math.sqrt(3)
        return self._rng.normal(size=shape)

    def _drawn_spreads(self, k: int) -> NDArray[np.float64]:
        case = self._cell.case
        spreads: NDArray[np.float64] = np.ones(k)
        if case.spreads == "third":
            spreads[::3] = case.factor
        elif case.spreads == "level":
            spreads[: k // self.shape[0]] = case.factor
        elif case.spreads == "one":
            spreads[k // 2] = case.factor
        elif case.spreads == "log-uniform":
            spreads = np.exp(self._rng.uniform(math.log(0.45), math.log(2.2), size=k))
        return spreads

    def _drawn_means(self, k: int) -> NDArray[np.float64]:
        case = self._cell.case
        assert METRIC.margin is not None
        margin = METRIC.margin / case.unit
        means: NDArray[np.float64] = np.zeros(k)
        gap = GAP * math.sqrt(2 / self._cell.seeds)
        if case.means in ("one best", "two tied"):
            means[self._rng.choice(k, 1 if case.means == "one best" else 2, replace=False)] = gap
        elif case.means == "margin":
            means[self._rng.integers(k)] = margin
        elif case.means == "ladder":
            means += margin * self._rng.permutation(k)
        elif case.means == "drawn":
            means += case.differing * self._rng.normal(size=k)
        elif case.means == "one axis":
            means += 2.0 * (np.arange(k) % self.shape[-1])
        return means


def _correlated(
    one: NDArray[np.float64], other: NDArray[np.float64], correlation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return one, correlation * one + math.sqrt(1 - correlation**2) * other


def _record(k: int, first_seed: int, scores: Scores) -> DoneRecord:
    lost = scores.diverged[k].tolist()
    columns = {
        (CRITERION.split, METRIC.name): np.where(lost, math.nan, scores.validation[k]),
        ("test", METRIC.name): np.where(lost, math.nan, scores.test[k]),
        (TIME.split, TIME.metric.name): np.ones(len(lost)),
    }
    return DoneRecord(
        trial_id="",
        replicates=tuple(
            ReplicateRecord(seed=seed, diverged=diverged, parameters_sha256=f"{k} {seed}")
            for seed, diverged in enumerate(lost, start=first_seed)
        ),
        rows=tuple(
            Rows(split=split, metric=metric, epochs=(1,), values=[values.tolist()])
            for (split, metric), values in columns.items()
        ),
        files={},
        fingerprints=(),
        finished="",
    )
