"""From trials to what can be compared: grid points, their seeds, and configurations without duplicates.

Several trials of one grid point are more seeds of it. Grid points whose replicates have the same final parameters,
bit for bit, in every seed that both have are twins: they are one configuration under several names and never counted
twice. A replicate that is missing by accident is only missing; one that diverged is a bad outcome, and a grid point
that has one is not compared by the mean of its others. Imports neither torch nor ray. Axis letters: K configurations,
S seeds, N test images.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import TrialConfig, level_name, value_name
from sweep.metrics import METRICS, Metric
from sweep.records import ReplicateRecord, State
from sweep.stats import BlockedFit, Interval, blocked_fit, share_interval

# Means of the same scores in another order differ by this much at most.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """One trained model: its scores, and the trial and row in which its history and predictions are."""

    trial_id: str
    row: int
    record: ReplicateRecord


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A grid point with all its finished replicates.

    Attributes:
        values: Of the experiment's axes, in their order.
        name: The values in words.
        parameters: Trained parameters of one replicate.
        replicates: By seed; a seed that several trials have counts once.
        trouble: Why trials of it are missing, "" if none is.
    """

    values: tuple[Any, ...]
    name: str
    parameters: int
    replicates: Mapping[int, Replicate]
    trouble: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One grid point, or several that are twins, with their scores.

    Attributes:
        name: In words; levels at which twins differ are joined by " = ".
        levels: Name of the level of each axis, joined likewise.
        points: The grid points it stands for, in the order of the grid.
        replicates: In the order of the grid's seeds, None where there is none; of twins, of the first that has it.
    """

    name: str
    levels: Mapping[str, str]
    points: tuple[GridPoint, ...]
    replicates: tuple[Replicate | None, ...]

    @property
    def cells(self) -> dict[str, str]:
        """The levels as cells of a table, whose columns name the axes already."""
        return {axis: _joined(self.points, index, value_name) for index, axis in enumerate(self.levels)}

    @property
    def trained(self) -> tuple[Replicate, ...]:
        """The replicates that there are."""
        return tuple(replicate for replicate in self.replicates if replicate)

    def scores(self, metric: str) -> NDArray[np.float64]:
        """Gives one of the numbers of each replicate `[S]`, NaN where there is none."""
        numbers = [getattr(replicate.record, metric) if replicate else math.nan for replicate in self.replicates]
        return np.array(numbers, dtype=np.float64)

    def mean(self, metric: str) -> float:
        """Gives the mean of one of the numbers of the replicates that there are."""
        return float(np.mean([getattr(replicate.record, metric) for replicate in self.trained]))


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """A grid point of whose replicates some diverged: no mean of the others says how good it is.

    Attributes:
        point: Of the grid.
        count: Replicates that diverged.
        n: All its replicates.
        of: How many grid points there are, of which those are told that diverged.
    """

    point: GridPoint
    count: int
    n: int
    of: int

    def share(self, level: float) -> Interval:
        """How often it diverges; the interval is true of all grid points at once, also of those not told."""
        return replace(share_interval(self.count, self.n, 1 - (1 - level) / self.of), level=level)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What there is to compare in an experiment.

    Attributes:
        axes: Values of each axis that varies.
        metric: The score that selects.
        points: Every grid point of the manifest.
        seeds: S, all those that a compared configuration has.
        configurations: K, in the order of the grid.
        diverged: Grid points of which a replicate diverged: worse than all that are compared, whatever the others say.
        left_out: Grid points that cannot be compared for want of scores, each with the reason.
    """

    axes: Mapping[str, tuple[Any, ...]]
    metric: Metric
    points: tuple[GridPoint, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    diverged: tuple[Diverged, ...]
    left_out: tuple[tuple[GridPoint, str], ...]

    @property
    def criterion(self) -> str:
        """Name of the score that selects."""
        return self.metric.name

    def scores(self, metric: str) -> NDArray[np.float64]:
        """Gives a score of every configuration and seed `[K, S]`, NaN where there is none."""
        rows = [configuration.scores(metric) for configuration in self.configurations]
        return np.stack(rows) if rows else np.empty((0, len(self.seeds)))

    @cached_property
    def goodness(self) -> NDArray[np.float64]:
        """The score that selects, `[K, S]`, turned and scaled so that larger is better."""
        return self.metric.goodness(self.scores(self.criterion))

    @cached_property
    def fit(self) -> BlockedFit:
        """The goodness as configuration and seed make it."""
        return blocked_fit(self.goodness)

    @cached_property
    def missing(self) -> int:
        """How many scores of compared configurations and seeds there are not."""
        return int(np.isnan(self.goodness).sum())

    def means(self, metric: str) -> NDArray[np.float64]:
        """Gives the mean of a score over all seeds for each configuration `[K]`; missing ones are estimated."""
        return blocked_fit(self.scores(metric)).means_of_all

    def levels(self, axis: str) -> list[str]:
        """Gives the levels of an axis that configurations have, in its order; levels joined by twins are one."""
        return list(dict.fromkeys(configuration.levels[axis] for configuration in self.configurations))

    def ranked(self) -> list[tuple[int, Configuration]]:
        """Gives each configuration with its rank by mean of the score that selects, the best first.

        Equal means have equal ranks (1, 1, 3) and keep the order of the grid.
        """
        means = self.fit.means_of_all
        rounding = _ROUNDING * np.abs(means).max(initial=0.0)
        larger = len(means) - np.searchsorted(np.sort(means), means + rounding, side="right")
        return sorted(zip((1 + larger).tolist(), self.configurations, strict=True), key=lambda ranked: ranked[0])


def read_grid(records: State, *, confirmation: bool = False) -> Grid:
    """Groups an experiment's trials by grid point, finds their seeds and the twins.

    Args:
        records: Of the experiment.
        confirmation: Whether the fresh seeds of the finalists are read, and not what they were chosen from.
    """
    manifest = records.manifest
    trials = manifest.confirmations if confirmation else manifest.compared
    return make_grid(_points(records, trials, manifest.axes), manifest.axes, METRICS[manifest.sweep.selection])


def make_grid(points: Sequence[GridPoint], axes: Mapping[str, tuple[Any, ...]], metric: Metric) -> Grid:
    """Finds what of the grid points can be compared.

    Args:
        points: Of the manifest.
        axes: Values of each axis that varies.
        metric: The score that selects.
    """
    reasons = {point.values: _reason(point, metric) for point in points}
    diverged = {point.values: _diverged(point, len(points)) for point in points}
    sound = [point for point in points if not reasons[point.values] and not diverged[point.values].count]
    seeds = tuple(sorted({seed for point in sound for seed in point.replicates}))
    configurations = _merge_twins(sound, seeds, list(axes))
    grid = Grid(
        axes=axes,
        metric=metric,
        points=tuple(points),
        seeds=seeds,
        configurations=configurations,
        diverged=tuple(found for found in diverged.values() if found.count),
        left_out=tuple((point, reasons[point.values]) for point in points if reasons[point.values]),
    )
    return _connected(grid)


def _points(records: State, trials: Sequence[TrialConfig], axes: Mapping[str, Sequence[Any]]) -> list[GridPoint]:
    by_point: dict[tuple[Any, ...], list[TrialConfig]] = {}
    for trial in trials:
        by_point.setdefault(tuple(trial.point[axis] for axis in axes), []).append(trial)
    points = []
    for values, members in by_point.items():
        replicates: dict[int, Replicate] = {}
        troubles = []
        for trial in members:
            trial_id = trial.trial_id
            record = records.done.get(trial_id)
            if record is None:
                error = records.failed.get(trial_id)
                troubles.append(f"failed: {error}" if error else "not finished")
                continue
            for row, replicate in enumerate(record.replicates):
                found = Replicate(trial_id=trial_id, row=row, record=replicate)
                replicates.setdefault(replicate.seed, found)
        points.append(
            GridPoint(
                values=values,
                name=" ".join(level_name(axis, value) for axis, value in zip(axes, values, strict=True)),
                parameters=records.manifest.parameters(members[0]),
                replicates=dict(sorted(replicates.items())),
                trouble="; ".join(dict.fromkeys(troubles)),
            )
        )
    return points


def _reason(point: GridPoint, metric: Metric) -> str:
    if not point.replicates:
        return point.trouble
    values = np.array([getattr(replicate.record, metric.name) for replicate in point.replicates.values()])
    lost = np.array([replicate.record.diverged for replicate in point.replicates.values()])
    return "" if (lost | np.isfinite(metric.goodness(values))).all() else f"has no {metric.title}"


def _diverged(point: GridPoint, of: int) -> Diverged:
    lost = [replicate.record.diverged for replicate in point.replicates.values()]
    return Diverged(point=point, count=sum(lost), n=len(lost), of=of)


def _connected(grid: Grid) -> Grid:
    """Leaves out the configurations that share no seed with the others, not even by way of a third."""
    apart = set(grid.fit.left_out.tolist())
    if not apart:
        return grid
    kept = [configuration for k, configuration in enumerate(grid.configurations) if k not in apart]
    lone = [point for k in sorted(apart) for point in grid.configurations[k].points]
    used = [any(one.replicates[place] for one in kept) for place in range(len(grid.seeds))]
    return replace(
        grid,
        seeds=tuple(itertools.compress(grid.seeds, used)),
        configurations=tuple(replace(one, replicates=tuple(itertools.compress(one.replicates, used))) for one in kept),
        left_out=(*grid.left_out, *((point, "shares no seed with the others") for point in lone)),
    )


def _merge_twins(points: Sequence[GridPoint], seeds: Sequence[int], axes: Sequence[str]) -> tuple[Configuration, ...]:
    groups: list[list[GridPoint]] = []
    holding: dict[tuple[int, str], int] = {}  # which group has these parameters for this seed
    for point in points:
        hashes = [(seed, replicate.record.parameters_sha256) for seed, replicate in point.replicates.items()]
        candidates = dict.fromkeys(holding[one] for one in hashes if one in holding)
        number = next((number for number in candidates if _are_twins(groups[number], point)), len(groups))
        if number == len(groups):
            groups.append([])
        groups[number].append(point)
        for one in hashes:
            holding.setdefault(one, number)
    return tuple(_configuration(group, seeds, axes) for group in groups)


def _are_twins(group: Sequence[GridPoint], point: GridPoint) -> bool:
    """Whether a grid point has the parameters of each of a group, in every seed that both have."""
    return all(
        point.replicates[seed].record.parameters_sha256 == other.replicates[seed].record.parameters_sha256
        for other in group
        for seed in point.replicates.keys() & other.replicates.keys()
    )


def _configuration(group: Sequence[GridPoint], seeds: Sequence[int], axes: Sequence[str]) -> Configuration:
    levels = {axis: _joined(group, index, partial(level_name, axis)) for index, axis in enumerate(axes)}
    return Configuration(
        name=" ".join(levels.values()),
        levels=levels,
        points=tuple(group),
        replicates=tuple(
            next((point.replicates[seed] for point in group if seed in point.replicates), None) for seed in seeds
        ),
    )


def _joined(points: Sequence[GridPoint], index: int, name: Callable[[Any], str]) -> str:
    """The names of the values that grid points have on an axis."""
    return " = ".join(dict.fromkeys(name(point.values[index]) for point in points))
