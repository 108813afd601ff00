"""From records to findings: every number of a report is computed here, once.

Axis letters: K configurations (twins once), S seeds.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sweep.records import State
from sweep.report.claims import claims, confirmed_claims
from sweep.report.confirmation import confirmation
from sweep.report.findings import (
    LEVEL,
    MOST_SHOWN,
    Analysis,
    Baseline,
    Entry,
    Findings,
    Named,
    Pair,
    Resolution,
    shown_interval,
)
from sweep.report.images import read_test_images
from sweep.report.reference import controls, reproduced
from sweep.stats import (
    Comparisons,
    FactorEffects,
    Interval,
    compare,
    crossed_bootstrap,
    detectable,
    factor_effects,
    mean_interval,
    named_pair,
    pareto_front,
    seeds_range,
    selected,
    simultaneous_intervals,
)
from sweep.tables import Grid, read_grid

Point = Mapping[str, Any]


def analyse(records: State, rng: np.random.Generator) -> Analysis:
    """Computes every number of a report.

    Args:
        records: Of one experiment, finished or not.
        rng: Draws seeds and images for the interval of the test accuracy.
    """
    manifest, grid = records.manifest, read_grid(records)
    images = read_test_images(records, grid, [configuration for _, configuration in grid.ranked()[:MOST_SHOWN]])
    left = any(trial.trial_id not in records.done for trial in manifest.compared)
    level = spent(manifest.looks)
    findings = find(
        grid,
        looks=manifest.looks,
        unfinished="the experiment is not finished" if left else "",
        test=crossed_bootstrap(images.predicted[0].correct, rng, level) if images else None,
        pairs=[(dict(one), dict(other)) for one, other in manifest.sweep.compare],
        baseline=dict(manifest.sweep.baseline),
    )
    analysis = Analysis(
        **{field.name: getattr(findings, field.name) for field in dataclasses.fields(findings)},
        records=records,
        confirmation=confirmation(records, grid.metric),
        controls=controls(grid),
        twins=tuple(configuration for configuration in grid.configurations if len(configuration.points) > 1),
        reproduced=reproduced(grid) if manifest.sweep.protocol == "published" else (),
        images=images,
    )
    confirmed = confirmed_claims(analysis.confirmation) if analysis.confirmation else ()
    return dataclasses.replace(analysis, claims=(*findings.claims, *confirmed))


def find(
    grid: Grid,
    *,
    looks: int = 1,
    unfinished: str = "",
    test: Interval | None = None,
    pairs: Sequence[tuple[Point, Point]] = (),
    baseline: Point | None = None,
) -> Findings:
    """Says what the scores of a grid show, and what not.

    Args:
        grid: What there is to compare.
        looks: How often seeds were added after looking, plus one.
        unfinished: Why all of it may change, "" if it is finished.
        test: Mean test accuracy of the first of the ranking, uncorrected; without it it is that of the records.
        pairs: Grid points to be compared, named before anything was trained.
        baseline: The grid point that all others are to be compared with, likewise; none if empty.
    """
    comparisons = compare(grid.goodness, LEVEL, looks=looks)
    entries = _entries(grid, comparisons, spent(looks))
    tested = grid.scores("test_accuracy")
    best = comparisons.best
    winner = selected(grid.goodness, tested, best, comparisons.in_best_set) if best is not None else None
    if winner and test is None:
        test = mean_interval(tested[best], spent(looks))
    findings = Findings(
        grid=grid,
        entries=tuple(entries),
        comparisons=comparisons,
        winner=winner,
        test=_corrected(test, winner.test_optimism) if winner and test else None,
        effects=_effects(grid, spent(looks)),
        pairs=_pairs(entries, grid, comparisons),
        named=tuple(_named(grid, pair, len(pairs), comparisons) for pair in pairs),
        baseline=_baseline(grid, baseline, comparisons) if baseline else None,
        resolution=_resolution(grid, comparisons),
        unfinished=unfinished,
    )
    return dataclasses.replace(findings, claims=claims(findings))


def spent(looks: int) -> float:
    """The level at which a look works, so that `LEVEL` holds over any number of looks together."""
    return 1 - (1 - LEVEL) / (looks * (looks + 1))


def _entries(grid: Grid, comparisons: Comparisons, level: float) -> list[Entry]:
    ranked = grid.ranked()
    index = {id(configuration): k for k, configuration in enumerate(grid.configurations)}
    order = [index[id(configuration)] for _, configuration in ranked]
    intervals = simultaneous_intervals(grid.goodness, level)
    ranks, tested = comparisons.ranks, grid.means("test_accuracy")
    costs = {
        "train_time_s": np.array([configuration.mean("train_time_s") for configuration in grid.configurations]),
        "parameters": np.array([configuration.points[0].parameters for configuration in grid.configurations]),
    }
    fronts = {cost: pareto_front(values, comparisons.means) for cost, values in costs.items()}
    scores = grid.scores(grid.criterion)
    return [
        Entry(
            rank=rank,
            configuration=configuration,
            score=shown_interval(intervals[k], grid.metric),
            scores=tuple(scores[k].tolist()),
            behind=comparisons.difference(order[0], k),
            ranks=None if comparisons.cannot else (int(ranks[k, 0]), int(ranks[k, 1])),
            in_best_set=bool(comparisons.in_best_set[k]),
            p_worse=float(comparisons.p_worse[k]),
            test_accuracy=float(tested[k]),
            on_front={cost: bool(front[k]) for cost, front in fronts.items()},
        )
        for k, (rank, configuration) in zip(order, ranked, strict=True)
    ]


def _corrected(test: Interval, optimism: float) -> Interval:
    """The test accuracy to expect, less what the choice has flattered it by; as it is where that is not known.

    That is an estimate itself, too large where one configuration is far above many others, so the interval reaches from
    the lower end with it to the upper end without it.
    """
    shift = optimism if math.isfinite(optimism) else 0.0
    shifted = (test.low - shift, test.high, test.estimate - shift)
    low, high, estimate = (min(max(x, 0.0), 1.0) for x in shifted)
    if test.cannot:
        low = high = math.nan
    return dataclasses.replace(test, estimate=estimate, low=low, high=high, level=LEVEL)


def _effects(grid: Grid, level: float) -> FactorEffects:
    levels = [tuple(configuration.levels[axis] for axis in grid.axes) for configuration in grid.configurations]
    effects = factor_effects(grid.goodness, levels, list(grid.axes), level)
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
        seen = {entries[0].configuration.levels[axis]}
        for place, entry in enumerate(entries[1:], start=1):
            level = entry.configuration.levels[axis]
            if level not in seen and len(seen) <= 8:
                named.setdefault(place, f"first with {level}")
                seen.add(level)
    margin = grid.metric.margin
    return tuple(
        Pair(
            entry=entries[place],
            why=why,
            equal=None
            if margin is None or comparisons.cannot
            else max(-entries[place].behind.low, entries[place].behind.high) < margin,
        )
        for place, why in sorted(named.items())
    )


def _named(grid: Grid, pair: tuple[Point, Point], pairs: int, comparisons: Comparisons) -> Named:
    found = [_place(grid, point) for point in pair]
    names = (found[0][0], found[1][0])
    places = [place for _, place in found]
    cannot = next((f"{name} cannot be compared" for name, place in found if place is None), "")
    if not cannot and places[0] == places[1]:
        cannot = "the two gave identical numbers"
    if cannot:
        return Named(names=names, pair=None, anyway=False, cannot=cannot)
    one, other = places[0], places[1]
    test = named_pair(grid.goodness[one], grid.goodness[other], LEVEL, pairs=pairs)
    anyway = bool(comparisons.better[one, other] or comparisons.better[other, one])
    return Named(names=names, pair=test, anyway=anyway, cannot=test.cannot)


def _baseline(grid: Grid, point: Point, comparisons: Comparisons) -> Baseline:
    (name, place), limit = _place(grid, point), comparisons.limit
    if place is None or comparisons.cannot:
        cannot = comparisons.cannot or f"{name} cannot be compared"
        return Baseline(name=name, p_better={}, limit=limit, cannot=cannot)
    others = {
        configuration.name: float(p)
        for k, (configuration, p) in enumerate(zip(grid.configurations, comparisons.better_than(place), strict=True))
        if k != place
    }
    return Baseline(name=name, p_better=others, limit=limit, cannot="")


def _place(grid: Grid, point: Point) -> tuple[str, int | None]:
    """The name of the configuration that stands for a grid point and its index, None if it is not compared."""
    values = tuple(point[axis] for axis in grid.axes)
    for k, configuration in enumerate(grid.configurations):
        if any(one.values == values for one in configuration.points):
            return configuration.name, k
    return next((one.name for one in grid.points if one.values == values), " ".join(map(str, values))), None


def _resolution(grid: Grid, comparisons: Comparisons) -> Resolution:
    margin, seeds = grid.metric.margin, len(grid.seeds)
    variance, df = comparisons.error_variance, comparisons.df
    cannot = comparisons.cannot or ("" if margin is not None else "nobody has said what difference matters")
    if not cannot and comparisons.provisional:
        cannot = comparisons.provisional
    needed = None if cannot or margin is None else seeds_range(margin, variance, df, seeds, LEVEL)
    if not cannot and needed is None:
        cannot = "the spread between seeds is known too roughly, or is too large"
    return Resolution(
        seeds_now=seeds,
        margin=margin,
        detectable=math.nan if needed is None else detectable(math.sqrt(2 * variance), seeds),
        seeds=needed,
        cannot=cannot,
    )
