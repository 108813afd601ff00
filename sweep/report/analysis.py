"""From records to findings: what several parts of a report need is computed here, once.

`find` and `confirm` read no file; `analyse` reads what there is of an experiment. Axis letters: S seeds.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from sweep.axes import Point
from sweep.config import TrialConfig
from sweep.metrics import Metric
from sweep.records import State
from sweep.report.classification import Classification
from sweep.report.findings import (
    LEVEL,
    MOST_SHOWN,
    Analysis,
    Baseline,
    Confirmation,
    Entry,
    Finalist,
    Findings,
    Named,
    OfTask,
    Pair,
    shown_interval,
)
from sweep.stats import (
    Comparisons,
    FactorEffects,
    Interval,
    compare,
    crossed_bootstrap,
    factor_effects,
    mean_interval,
    named_pair,
    selected,
    simultaneous_intervals,
)
from sweep.table import Configuration, Grid, goodness, read_grid

# What each task has to say, given the state and the first configurations of the ranking.
OF_TASKS: dict[str, Callable[[State, Sequence[Configuration]], OfTask]] = {"classification": Classification}
_MOST_PAIRS = 8


def analyse(state: State, rng: np.random.Generator) -> Analysis:
    """Finds what a report needs of an experiment, finished or not.

    Args:
        state: Of the experiment.
        rng: Draws seeds and test samples for the interval of the score on the test split.
    """
    manifest, grid = state.manifest, read_grid(state)
    of_task = OF_TASKS[manifest.task](state, [configuration for _, configuration in grid.ranked()[:MOST_SHOWN]])
    cases = of_task.case_scores(grid.tested)

    def varied(point: Point) -> Point:
        return tuple(value for axis, value in zip(manifest.axes, point, strict=True) if axis in grid.axes)

    def unfinished(trials: Sequence[TrialConfig]) -> bool:
        return any(trial.trial_id not in state.done for trial in trials)

    findings = find(
        grid,
        looks=manifest.looks,
        unfinished="the experiment is not finished" if unfinished(manifest.compared) else "",
        test=None if cases is None else crossed_bootstrap(cases, rng, spent(manifest.looks)),
        pairs=[(varied(one), varied(other)) for one, other in manifest.sweep.compare],
        baseline=varied(manifest.sweep.baseline) if manifest.sweep.baseline else None,
        confirmation=confirm(read_grid(state, confirmation=True), unfinished=unfinished(manifest.confirmations))
        if manifest.confirmations
        else None,
    )
    return Analysis(**vars(findings), state=state, of_task=of_task, cases=0 if cases is None else cases.shape[1])


def find(
    grid: Grid,
    *,
    looks: int = 1,
    unfinished: str = "",
    test: Interval | None = None,
    pairs: Sequence[tuple[Point, Point]] = (),
    baseline: Point | None = None,
    confirmation: Confirmation | None = None,
) -> Findings:
    """Says what the scores of a grid show, and what not.

    Args:
        grid: What there is to compare.
        looks: How often seeds were added after looking, plus one.
        unfinished: Why all of it may change, "" if it is finished.
        test: Mean goodness on the test split of the first of the ranking, uncorrected; without it that of the records.
        pairs: Grid points to be compared, named before anything was trained.
        baseline: The grid point that all others are to be compared with, likewise; None for none.
        confirmation: What fresh seeds of finalists say.
    """
    comparisons = compare(grid.goodness, LEVEL, looks=looks)
    entries = _entries(grid, comparisons, spent(looks))
    tested = goodness(grid.metric, grid.scores(grid.tested))
    best, winner = comparisons.best, None
    if best is not None:
        winner = selected(grid.goodness, tested, best, comparisons.in_best_set)
        test = _corrected(test or mean_interval(tested[best], spent(looks)), winner.test_optimism, grid.metric)
    return Findings(
        grid=grid,
        entries=entries,
        comparisons=comparisons,
        winner=winner,
        test=test if winner else None,
        effects=_effects(grid, spent(looks)),
        pairs=_pairs(entries, grid, comparisons),
        named=tuple(_named(grid, pair, len(pairs), comparisons) for pair in pairs),
        baseline=_baseline(grid, baseline, comparisons) if baseline else None,
        confirmation=confirmation,
        unfinished=unfinished,
    )


def confirm(grid: Grid, *, unfinished: bool = False) -> Confirmation:
    """Compares the first of some finalists with the others, from their fresh seeds alone.

    Args:
        grid: Of the finalists; the first point of it is the one that was selected.
        unfinished: Whether seeds are still to come.
    """
    count = len(grid.configurations)
    first = next((k for k, one in enumerate(grid.configurations) if grid.points[0] in one.points), None)
    comparisons = compare(grid.goodness, LEVEL)
    cannot = comparisons.cannot if count != 1 else ""
    if first is None:
        cannot = f"{grid.points[0].name} cannot be compared"
    p_values = [math.nan] * count if first is None else comparisons.worse_than(first).tolist()
    tested = goodness(grid.metric, grid.scores(grid.tested))
    return Confirmation(
        seeds=len(grid.seeds),
        finalists=tuple(
            Finalist(
                name=grid.configurations[k].name,
                score=shown_interval(mean_interval(grid.goodness[k], LEVEL), grid.metric),
                tested=shown_interval(mean_interval(tested[k], LEVEL), grid.metric),
                p_worse=p_values[k],
                beaten=not cannot and k != first and p_values[k] < comparisons.limit,
            )
            for k in sorted(range(count), key=lambda k: k != first)
        ),
        provisional="the confirmation is not finished" if unfinished else comparisons.provisional,
        cannot=cannot,
    )


def spent(looks: int) -> float:
    """The level at which a look works, so that `LEVEL` holds over any number of looks together."""
    return 1 - (1 - LEVEL) / (looks * (looks + 1))


def _entries(grid: Grid, comparisons: Comparisons, level: float) -> tuple[Entry, ...]:
    index = {id(configuration): k for k, configuration in enumerate(grid.configurations)}
    ranked = [(rank, index[id(configuration)]) for rank, configuration in grid.ranked()]
    intervals = simultaneous_intervals(grid.goodness, level)
    ranks, tested = comparisons.ranks, grid.means(grid.tested)
    return tuple(
        Entry(
            rank=rank,
            configuration=grid.configurations[k],
            score=shown_interval(intervals[k], grid.metric),
            behind=comparisons.difference(ranked[0][1], k),
            ranks=None if comparisons.cannot else (int(ranks[k, 0]), int(ranks[k, 1])),
            in_best_set=bool(comparisons.in_best_set[k]),
            p_worse=float(comparisons.p_worse[k]),
            tested=float(tested[k]),
        )
        for rank, k in ranked
    )


def _corrected(test: Interval, optimism: float, metric: Metric) -> Interval:
    """The score to expect on the test split, less what the choice has flattered it by, if that is known.

    That is an estimate itself, too large where one configuration is far above many others, so the interval reaches from
    the lower end with it to the upper end without it.
    """
    shift = optimism if math.isfinite(optimism) else 0.0
    low, high = (math.nan, math.nan) if test.cannot else (test.low - shift, test.high)
    shifted = dataclasses.replace(test, estimate=test.estimate - shift, low=low, high=high, level=LEVEL)
    return shown_interval(shifted, metric)


def _effects(grid: Grid, level: float) -> FactorEffects:
    levels = [tuple(configuration.levels.values()) for configuration in grid.configurations]
    effects = factor_effects(grid.goodness, levels, [axis.name for axis in grid.axes], level)
    if effects.cannot or not _flattered(grid):
        return effects
    return dataclasses.replace(
        effects,
        table=(),
        effects=(),
        crossings=(),
        cell_means={},
        cannot="replicates diverged at some levels and not at all of their grid points, so means over what is left "
        "would flatter these levels",
    )


def _flattered(grid: Grid) -> bool:
    """Whether a level has grid points that diverged beside others that did not: a mean of these says too much."""
    lost = {one.point.values for one in grid.diverged}
    trained = {point.values for configuration in grid.configurations for point in configuration.points}
    for axis in range(len(grid.axes)):
        gone = {values[axis] for values in lost} - {values[axis] for values in trained}
        lost = {values for values in lost if values[axis] not in gone}
    return bool(lost)


def _pairs(entries: Sequence[Entry], grid: Grid, comparisons: Comparisons) -> tuple[Pair, ...]:
    """The runner-up, and the best configuration of every other level of each axis."""
    if len(entries) < 2:
        return ()
    named = {1: "second in the ranking"}
    for axis in grid.axes:
        seen = {entries[0].configuration.levels[axis.name]}
        for place, entry in enumerate(entries[1:], start=1):
            level = entry.configuration.levels[axis.name]
            if level not in seen and len(seen) <= _MOST_PAIRS:
                named.setdefault(place, f"first with {level}")
                seen.add(level)
    margin = None if comparisons.cannot else grid.metric.margin
    pairs = []
    for place, why in sorted(named.items()):
        behind = entries[place].behind
        equal = None if margin is None else max(-behind.low, behind.high) < margin
        pairs.append(Pair(entry=entries[place], why=why, equal=equal))
    return tuple(pairs)


def _named(grid: Grid, pair: tuple[Point, Point], pairs: int, comparisons: Comparisons) -> Named:
    (first, one), (second, other) = (_place(grid, point) for point in pair)
    names = (first, second)
    if one is None or other is None:
        cannot = f"{first if one is None else second} cannot be compared"
        return Named(names=names, pair=None, anyway=False, cannot=cannot)
    if one == other:
        return Named(names=names, pair=None, anyway=False, cannot="the two gave identical numbers")
    test = named_pair(grid.goodness[one], grid.goodness[other], LEVEL, pairs=pairs)
    anyway = bool(comparisons.better[one, other] or comparisons.better[other, one])
    return Named(names=names, pair=test, anyway=anyway, cannot=test.cannot)


def _baseline(grid: Grid, point: Point, comparisons: Comparisons) -> Baseline:
    name, place = _place(grid, point)
    if place is None or comparisons.cannot:
        cannot = comparisons.cannot or f"{name} cannot be compared"
        return Baseline(name=name, p_better={}, better=(), cannot=cannot)
    p_values = zip(grid.configurations, comparisons.better_than(place).tolist(), strict=True)
    p_better = {one.name: p for k, (one, p) in enumerate(p_values) if k != place}
    better = tuple(other for other, p in p_better.items() if p < comparisons.limit)
    return Baseline(name=name, p_better=p_better, better=better, cannot="")


def _place(grid: Grid, point: Point) -> tuple[str, int | None]:
    """The name of the configuration that stands for a grid point and its index, None if it is not compared."""
    for k, configuration in enumerate(grid.configurations):
        if any(one.values == point for one in configuration.points):
            return configuration.name, k
    return next((one.name for one in grid.points if one.values == point), " ".join(map(str, point))), None
