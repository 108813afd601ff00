"""From trials to what can be compared: grid points, the seeds they share, and configurations without duplicates.

Several trials of one grid point are more seeds of it. Grid points whose replicates have the same final parameters,
bit for bit, are twins: they are one configuration under several names and never counted twice. Imports neither
torch nor ray. Axis letters: K configurations, S shared seeds, N test images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import value_name
from sweep.records import ExperimentRecords, ReplicateRecord

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
    """One grid point, or several that are twins, with the scores of the shared seeds.

    Attributes:
        name: In words; levels at which twins differ are joined by " = ".
        levels: Name of the level of each axis, joined likewise.
        points: The grid points it stands for, in the order of the grid.
        replicates: Of the first of them, in the order of the shared seeds.
    """

    name: str
    levels: Mapping[str, str]
    points: tuple[GridPoint, ...]
    replicates: tuple[Replicate, ...]

    @property
    def cells(self) -> dict[str, str]:
        """The levels as cells of a table, whose columns name the axes already."""
        return {axis: _joined(self.points, index, value_name) for index, axis in enumerate(self.levels)}

    def scores(self, metric: str) -> NDArray[np.float64]:
        """Gives one of the numbers of each replicate `[S]`."""
        return np.array([getattr(replicate.record, metric) for replicate in self.replicates], dtype=np.float64)

    def mean(self, metric: str) -> float:
        """Gives the mean over the replicates of one of their numbers."""
        return float(self.scores(metric).mean())


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What there is to compare in an experiment.

    Attributes:
        axes: Values of each axis that varies.
        criterion: The score that selects: validation_accuracy or train_accuracy.
        points: Every grid point of the manifest.
        seeds: S, those that all compared configurations share.
        configurations: K, in the order of the grid.
        left_out: Grid points that cannot be compared, each with the reason.
    """

    axes: Mapping[str, tuple[Any, ...]]
    criterion: str
    points: tuple[GridPoint, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    left_out: tuple[tuple[GridPoint, str], ...]

    def scores(self, metric: str) -> NDArray[np.float64]:
        """Gives a score of every configuration and shared seed `[K, S]`."""
        rows = [configuration.scores(metric) for configuration in self.configurations]
        return np.stack(rows) if rows else np.empty((0, len(self.seeds)))

    def levels(self, axis: str) -> list[str]:
        """Gives the levels of an axis that configurations have, in its order; levels joined by twins are one."""
        return list(dict.fromkeys(configuration.levels[axis] for configuration in self.configurations))

    @property
    def unused_seeds(self) -> dict[int, int]:
        """Seeds that some but not all compared grid points have, each with the number of those that do."""
        compared = [point for configuration in self.configurations for point in configuration.points]
        seeds = sorted({seed for point in compared for seed in point.replicates} - set(self.seeds))
        return {seed: sum(seed in point.replicates for point in compared) for seed in seeds}

    def ranked(self) -> list[tuple[int, Configuration]]:
        """Gives each configuration with its rank by mean of the criterion, largest first.

        Equal means have equal ranks (1, 1, 3) and keep the order of the grid.
        """
        means = np.array([configuration.mean(self.criterion) for configuration in self.configurations])
        larger = len(means) - np.searchsorted(np.sort(means), means + _ROUNDING, side="right")
        return sorted(zip((1 + larger).tolist(), self.configurations, strict=True), key=lambda ranked: ranked[0])


def read_grid(records: ExperimentRecords) -> Grid:
    """Groups an experiment's trials by grid point, finds the shared seeds and the twins."""
    axes = records.manifest.axes
    criterion = records.manifest.sweep.selection
    points = _points(records, axes)
    reasons = {point.values: _reason(point, criterion) for point in points}
    sound = [point for point in points if not reasons[point.values]]
    seeds = _shared_seeds(sound)
    compared = [point for point in sound if set(seeds) <= set(point.replicates)]
    for point in sound:
        if not set(seeds) <= set(point.replicates):
            lacking = [seed for seed in seeds if seed not in point.replicates]
            reasons[point.values] = f"lacks seed {', '.join(map(str, lacking))}" + (
                f" ({point.trouble})" if point.trouble else ""
            )
    return Grid(
        axes=axes,
        criterion=criterion,
        points=tuple(points),
        seeds=seeds,
        configurations=_merge_twins(compared, seeds, list(axes)),
        left_out=tuple((point, reasons[point.values]) for point in points if reasons[point.values]),
    )


def level_name(axis: str, value: Any) -> str:
    """Gives a level's name: a word stands for itself, a number needs its axis."""
    return value if isinstance(value, str) else f"{axis}={value_name(value)}"


def _points(records: ExperimentRecords, axes: Mapping[str, Sequence[Any]]) -> list[GridPoint]:
    trials: dict[tuple[Any, ...], list[Any]] = {}
    for trial in records.manifest.compared:
        trials.setdefault(tuple(trial.point[axis] for axis in axes), []).append(trial)
    points = []
    for values, members in trials.items():
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


def _reason(point: GridPoint, criterion: str) -> str:
    if not point.replicates:
        return point.trouble
    diverged = [seed for seed, replicate in point.replicates.items() if replicate.record.diverged]
    if diverged:
        # Its other seeds alone would flatter it.
        return f"diverged for seed {', '.join(map(str, diverged))}"
    if not all(np.isfinite(getattr(replicate.record, criterion)) for replicate in point.replicates.values()):
        return f"has no {criterion.replace('_', ' ')}"
    return ""


def _shared_seeds(points: Sequence[GridPoint]) -> tuple[int, ...]:
    """The seeds that give the most replicates to compare; of equals, those of more grid points."""
    candidates = {tuple(point.replicates) for point in points}
    candidates |= {tuple(sorted(set.intersection(*map(set, candidates))))} if candidates else set()

    def worth(seeds: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        sharing = sum(set(seeds) <= set(point.replicates) for point in points)
        return sharing * len(seeds), sharing, tuple(-seed for seed in seeds)

    return max(candidates, key=worth, default=())


def _merge_twins(points: Sequence[GridPoint], seeds: Sequence[int], axes: Sequence[str]) -> tuple[Configuration, ...]:
    groups: dict[tuple[str, ...], list[GridPoint]] = {}
    for point in points:
        parameters = tuple(point.replicates[seed].record.parameters_sha256 for seed in seeds)
        groups.setdefault(parameters, []).append(point)
    return tuple(_configuration(group, seeds, axes) for group in groups.values())


def _configuration(group: Sequence[GridPoint], seeds: Sequence[int], axes: Sequence[str]) -> Configuration:
    levels = {axis: _joined(group, index, partial(level_name, axis)) for index, axis in enumerate(axes)}
    return Configuration(
        name=" ".join(levels.values()),
        levels=levels,
        points=tuple(group),
        replicates=tuple(group[0].replicates[seed] for seed in seeds),
    )


def _joined(points: Sequence[GridPoint], index: int, name: Callable[[Any], str]) -> str:
    """The names of the values that grid points have on an axis."""
    return " = ".join(dict.fromkeys(name(point.values[index]) for point in points))
