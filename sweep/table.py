"""From records to what can be compared: grid points, their seeds, and configurations without duplicates; data frames.

Several trials of one grid point are more seeds of it. Grid points whose replicates have the same final parameters,
bit for bit, in every seed that both have are twins: they are one configuration under several names and never counted
twice. A replicate that is missing by accident is only missing; one that diverged is a bad outcome, and a grid point
that has one is not compared by the mean of its others. Imports neither torch nor ray. Axis letters: K configurations,
S seeds, N test samples.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.axes import Axis, Level, Point
from sweep.config import TrialConfig
from sweep.metrics import TRAIN_TIME, Metric, Score, history, scores
from sweep.records import DoneRecord, State
from sweep.stats import BlockedFit, Interval, blocked_fit, share_interval

TIME = Score(metric=TRAIN_TIME, split="train")
# Means of the same scores in another order differ by this much at most.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """One trained model: a row of each score in the record of its trial."""

    record: DoneRecord
    row: int

    @property
    def trial_id(self) -> str:
        """Of its trial, by which its predictions are found."""
        return self.record.trial_id

    @property
    def seed(self) -> int:
        """The number its randomness came from."""
        return self.record.replicates[self.row].seed

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite in any epoch."""
        return self.record.replicates[self.row].diverged

    @property
    def parameters_sha256(self) -> str:
        """Of its final parameters."""
        return self.record.replicates[self.row].parameters_sha256

    def score(self, score: Score) -> float:
        """Its value after the last epoch, NaN if there is none."""
        return self.record.final(score)[self.row]


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A grid point with all its finished replicates.

    Its levels are of the axes that vary; `parameters` is of one replicate, `trouble` says why trials are missing.
    """

    levels: tuple[Level, ...]
    parameters: int
    replicates: Mapping[int, Replicate]
    trouble: str = ""

    @cached_property
    def values(self) -> Point:
        """Of the axes that vary."""
        return tuple(level.values[0] for level in self.levels)

    @cached_property
    def name(self) -> str:
        """The levels in words."""
        return " ".join(map(str, self.levels))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One grid point, or several that are twins, with their scores.

    Its levels, by axis, have the values of all its grid points. Replicates are in the order of the grid's seeds, None
    where there is none; of twins, of the first that has it.
    """

    levels: Mapping[str, Level]
    points: tuple[GridPoint, ...]
    replicates: tuple[Replicate | None, ...]

    @cached_property
    def name(self) -> str:
        """In words."""
        return " ".join(map(str, self.levels.values()))

    @property
    def cells(self) -> dict[str, str]:
        """The levels as cells of a table, whose columns name the axes."""
        return {axis: level.cell for axis, level in self.levels.items()}

    @property
    def parameters(self) -> int:
        """Trained parameters of one replicate."""
        return self.points[0].parameters

    @property
    def trained(self) -> tuple[Replicate, ...]:
        """The replicates that there are."""
        return tuple(replicate for replicate in self.replicates if replicate)

    def scores(self, score: Score) -> NDArray[np.float64]:
        """Gives a score of each replicate `[S]`, NaN where there is none."""
        return np.array([one.score(score) if one else math.nan for one in self.replicates], dtype=np.float64)

    def mean(self, score: Score) -> float:
        """Gives the mean of a score of the replicates that there are."""
        return float(np.mean([replicate.score(score) for replicate in self.trained]))


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """A grid point of whose replicates some diverged: no mean of the others says how good it is.

    That is `count` of its `n` replicates, and of `of` grid points those are told that diverged.
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
        axes: Those that vary.
        criterion: The score that selects.
        points: Every grid point of the manifest, in its order.
        seeds: S, all those that a compared configuration has.
        configurations: K, in the order of the grid.
        diverged: Grid points of which a replicate diverged: worse than all that are compared, whatever the others say.
        left_out: Grid points that cannot be compared for want of scores, each with the reason.
    """

    axes: tuple[Axis, ...]
    criterion: Score
    points: tuple[GridPoint, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    diverged: tuple[Diverged, ...]
    left_out: tuple[tuple[GridPoint, str], ...]

    @property
    def metric(self) -> Metric:
        """Of the score that selects."""
        return self.criterion.metric

    @property
    def tested(self) -> Score:
        """The same metric on the test split, which chooses nothing."""
        return self.criterion.on("test")

    def scores(self, score: Score) -> NDArray[np.float64]:
        """Gives a score of every configuration and seed `[K, S]`, NaN where there is none."""
        rows = [configuration.scores(score) for configuration in self.configurations]
        return np.stack(rows) if rows else np.empty((0, len(self.seeds)))

    @cached_property
    def goodness(self) -> NDArray[np.float64]:
        """The score that selects, `[K, S]`, turned and scaled so that larger is better."""
        return goodness(self.metric, self.scores(self.criterion))

    @cached_property
    def fit(self) -> BlockedFit:
        """The goodness as configuration and seed make it."""
        return blocked_fit(self.goodness)

    @cached_property
    def missing(self) -> int:
        """How many scores of compared configurations and seeds there are not."""
        return int(np.isnan(self.goodness).sum())

    def means(self, score: Score) -> NDArray[np.float64]:
        """Gives the mean of a score over all seeds for each configuration `[K]`; missing ones are estimated."""
        return blocked_fit(self.scores(score)).means_of_all

    def levels(self, axis: str) -> list[Level]:
        """Gives the levels of an axis that configurations have, in its order; levels joined by twins are one."""
        return list(dict.fromkeys(configuration.levels[axis] for configuration in self.configurations))

    def ranked(self) -> list[tuple[int, int]]:
        """Gives the rank of each configuration by mean of the score that selects, and its index, the best first.

        Equal means have equal ranks (1, 1, 3) and keep the order of the grid.
        """
        means = self.fit.means_of_all
        rounding = _ROUNDING * np.abs(means).max(initial=0.0)
        larger = len(means) - np.searchsorted(np.sort(means), means + rounding, side="right")
        return sorted(zip((1 + larger).tolist(), range(len(larger)), strict=True))


def goodness(metric: Metric, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns values of a metric into numbers of which larger is better; what its scale does not have becomes NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric.transform == "log":
            values = np.log(values)
        elif metric.transform == "logit":
            shares = (metric.count * values + 0.5) / (metric.count + 1)
            values = np.log(shares / (1 - shares))
    return np.where(np.isfinite(values), values if metric.mode == "max" else -values, math.nan)


def read_grid(state: State, *, confirmation: bool = False) -> Grid:
    """Groups trials by grid point, finds their seeds and the twins; of the confirmation or of the sweep itself."""
    manifest = state.manifest
    trials = manifest.confirmations if confirmation else manifest.compared
    return make_grid(_points(state, trials), manifest.varied, manifest.criterion)


def make_grid(points: Sequence[GridPoint], axes: Sequence[Axis], criterion: Score) -> Grid:
    """Finds what of the grid points can be compared by the score that selects; the axes are those that vary."""
    reasons = [_reason(point, criterion) for point in points]
    lost = [sum(replicate.diverged for replicate in point.replicates.values()) for point in points]
    sound = [point for point, reason, count in zip(points, reasons, lost, strict=True) if not reason and not count]
    seeds = tuple(sorted({seed for point in sound for seed in point.replicates}))
    grid = Grid(
        axes=tuple(axes),
        criterion=criterion,
        points=tuple(points),
        seeds=seeds,
        configurations=tuple(_configuration(group, seeds) for group in _twins(sound)),
        diverged=tuple(
            Diverged(point=point, count=count, n=len(point.replicates), of=len(points))
            for point, count in zip(points, lost, strict=True)
            if count
        ),
        left_out=tuple((point, reason) for point, reason in zip(points, reasons, strict=True) if reason),
    )
    return _connected(grid)


def _points(state: State, trials: Sequence[TrialConfig]) -> list[GridPoint]:
    manifest, by_point = state.manifest, dict[Point, list[TrialConfig]]()
    for trial in trials:
        by_point.setdefault(trial.point, []).append(trial)
    shown = {axis.name for axis in manifest.varied}
    points = []
    for point, members in by_point.items():
        replicates: dict[int, Replicate] = {}
        troubles = []
        for trial in members:
            record = state.done.get(trial.trial_id)
            error = state.failed.get(trial.trial_id)
            if record is None:
                troubles.append(f"failed: {error}" if error else "not finished")
                continue
            for row, replicate in enumerate(record.replicates):
                replicates.setdefault(replicate.seed, Replicate(record=record, row=row))
        levels = [Level(axis=axis.name, values=(value,)) for axis, value in zip(manifest.axes, point, strict=True)]
        points.append(
            GridPoint(
                levels=tuple(level for level in levels if level.axis in shown),
                parameters=manifest.parameters(members[0]),
                replicates=dict(sorted(replicates.items())),
                trouble="; ".join(dict.fromkeys(troubles)),
            )
        )
    return points


def _reason(point: GridPoint, criterion: Score) -> str:
    """Why a grid point cannot be compared, "" if it can."""
    if not point.replicates:
        return point.trouble
    replicates = [*point.replicates.values()]
    known = np.isfinite(goodness(criterion.metric, np.array([one.score(criterion) for one in replicates])))
    return "" if all(known | [one.diverged for one in replicates]) else f"has no {criterion.title}"


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


def _twins(points: Sequence[GridPoint]) -> list[list[GridPoint]]:
    """Groups grid points that have the same parameters in every seed that both have."""
    groups: list[list[GridPoint]] = []
    holding: dict[tuple[int, str], int] = {}  # which group has these parameters for this seed
    for point in points:
        hashes = {seed: replicate.parameters_sha256 for seed, replicate in point.replicates.items()}
        candidates = dict.fromkeys(holding[one] for one in hashes.items() if one in holding)
        for number in candidates:
            if all(
                hashes[seed] == other.replicates[seed].parameters_sha256
                for other in groups[number]
                for seed in hashes.keys() & other.replicates.keys()
            ):
                break
        else:
            number = len(groups)
            groups.append([])
        groups[number].append(point)
        for one in hashes.items():
            holding.setdefault(one, number)
    return groups


def _configuration(group: Sequence[GridPoint], seeds: Sequence[int]) -> Configuration:
    joined = [
        Level(axis=levels[0].axis, values=tuple(dict.fromkeys(level.values[0] for level in levels)))
        for levels in zip(*(point.levels for point in group), strict=True)
    ]
    return Configuration(
        levels={level.axis: level for level in joined},
        points=tuple(group),
        replicates=tuple(
            next((point.replicates[seed] for point in group if seed in point.replicates), None) for seed in seeds
        ),
    )


# ---- the long table as data frames: a row per replicate, and per epoch of it


def results_table(state: State) -> pd.DataFrame:
    """One row per finished replicate, as in `results.csv`: trial_id, every axis, seed, scores; shares are in [0, 1]."""
    return _frame(state, [one for one in scores(state.manifest.metrics) if one.metric.listed], of_epochs=False)


def history_table(state: State) -> pd.DataFrame:
    """One row per epoch of a finished replicate, as in `history.csv`: as in `results.csv`, and epoch from 1."""
    return _frame(state, history(state.manifest.metrics), of_epochs=True)


def _frame(state: State, columns: Sequence[Score], *, of_epochs: bool) -> pd.DataFrame:
    axes = [axis.name for axis in state.manifest.axes]
    names = ["trial_id", *axes, "seed", *["epoch"] * of_epochs, *(one.column for one in columns)]
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for trial in state.manifest.compared:
        record = state.done.get(trial.trial_id)
        if record is None:
            continue
        epochs = len(record.history(columns[0])) if of_epochs else 1
        seeds = [replicate.seed for replicate in record.replicates]
        for name, value in zip(["trial_id", *axes], [trial.trial_id, *trial.point], strict=True):
            parts[name] += [value] * (epochs * len(seeds))
        parts["seed"] += [seed for seed in seeds for _ in range(epochs)]
        if of_epochs:
            parts["epoch"] += [*range(1, epochs + 1)] * len(seeds)
        for one in columns:
            values = record.history(one) if of_epochs else [record.final(one)]
            parts[one.column] += np.asarray(values, dtype=np.float64).T.ravel().tolist()
    return pd.DataFrame(parts, columns=names)
