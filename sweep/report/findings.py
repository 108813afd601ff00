"""What the scores of a grid say: each part is found when it is first asked for, and all others only read it.

Scores are as in the records, differences and p-values of their goodness (`sweep.table.goodness`).
Axis letters: S seeds.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from sweep.axes import Level, Point
from sweep.metrics import Metric, Score
from sweep.report.claims import LEVEL, Claim, claims
from sweep.stats import (
    Comparisons,
    FactorEffects,
    Interval,
    NamedPair,
    Winner,
    compare,
    factor_effects,
    mean_interval,
    named_pair,
    selected,
    simultaneous_intervals,
)
from sweep.table import Configuration, Grid, goodness

# Beyond this many configurations a reader looks at the top of the table, and at the CSV for the rest.
MOST_SHOWN = 40
_MOST_PAIRS = 8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration in the ranking.

    Attributes:
        rank: From 1; by mean of the criterion, equal means having equal ranks (1, 1, 3).
        configuration: With its levels, twins and replicates.
        score: Mean of the criterion over the seeds; its interval is for new seeds and true of all entries at once.
        behind: Goodness of the first of the ranking minus its own; the interval is true of all pairs at once.
        ranks: The best and the worst rank that it may have, true of all entries at once; None if nothing can be shown.
        in_best_set: Not shown to be worse than the best.
        p_worse: Adjusted for all configurations; NaN where it cannot be given.
        tested: Mean over the seeds of the same metric on the test split.
    """

    rank: int
    configuration: Configuration
    score: Interval
    behind: Interval
    ranks: tuple[int, int] | None
    in_best_set: bool
    p_worse: float
    tested: float

    @property
    def name(self) -> str:
        """The configuration in words."""
        return self.configuration.name


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The selected configuration beside another one that is worth naming, and why it is.

    `equal` says whether the two are shown to differ by less than the metric's margin; None if there is none.
    """

    entry: Entry
    why: str
    equal: bool | None


@dataclass(frozen=True, kw_only=True)
class AxisEffect:
    """What an axis does, averaged over the others.

    Attributes:
        axis: Its name.
        levels: Effect of each level on the goodness.
        span: The best minus the worst.
        share: Of the variation in this sample.
        p_value: Of no effect.
        provisional: Why a claim about it cannot carry the level, "" if it can.
    """

    axis: str
    levels: Mapping[Level, Interval]
    span: Interval
    share: float
    p_value: float
    provisional: str

    @property
    def ends(self) -> tuple[Level, Level]:
        """The worst and the best level."""
        ordered = sorted(self.levels, key=lambda level: self.levels[level].estimate)
        return ordered[0], ordered[-1]


@dataclass(frozen=True, kw_only=True)
class Named:
    """Two configurations that the sweep file names for comparison.

    Attributes:
        names: Of both.
        pair: Their test; None if one of them cannot be compared.
        anyway: Whether they are shown to differ among all pairs, whatever their own test says.
        cannot: Why nothing can be said, "" if something can.
    """

    names: tuple[str, str]
    pair: NamedPair | None
    anyway: bool
    cannot: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The configuration of the sweep file that all others are compared with.

    Attributes:
        name: Of it.
        p_better: By name of each other configuration: p-value of "not better than the baseline", adjusted for all.
        better: The configurations that are shown to be better.
        cannot: Why nothing can be said, "" if something can.
    """

    name: str
    p_better: Mapping[str, float]
    better: tuple[str, ...]
    cannot: str


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A finalist by its fresh seeds alone.

    Attributes:
        name: Of its configuration.
        score: Mean of the criterion.
        tested: Of the same metric on the test split.
        p_worse: Of "not worse than the selected one"; NaN for that one itself.
        beaten: Whether the selected one is confirmed to be better.
    """

    name: str
    score: Interval
    tested: Interval
    p_worse: float
    beaten: bool


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What fresh seeds say of configurations that were fixed before these were trained.

    Attributes:
        seeds: How many fresh seeds each finalist has.
        finalists: The selected configuration first.
        provisional: Why claims cannot carry the level, "" if they can.
        cannot: Why nothing can be said, "" if something can.
    """

    seeds: int
    finalists: tuple[Finalist, ...]
    provisional: str
    cannot: str

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Which finalists the selected one is confirmed to beat."""
        beaten = [one.name for one in self.finalists if one.beaten]
        subjects = [(self.finalists[0].name, name) for name in beaten]
        return tuple(Claim(kind="confirmed", subject=subject, provisional=self.provisional) for subject in subjects)


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What the scores of a grid say.

    Attributes:
        grid: What there is to compare.
        looks: How often seeds were added after looking, plus one.
        unfinished: Why all of it may change, "" if it is finished.
        compare: Pairs of grid points named before anything was trained.
        baseline: The grid point that all others are to be compared with, named likewise; () for none.
    """

    grid: Grid
    looks: int = 1
    unfinished: str = ""
    compare: tuple[tuple[Point, Point], ...] = ()
    baseline: Point = ()

    @property
    def criterion(self) -> Score:
        """The score that selects."""
        return self.grid.criterion

    @property
    def metric(self) -> Metric:
        """Of the score that selects."""
        return self.grid.metric

    @property
    def doubt(self) -> str:
        """Why no claim can carry its level, "" if it can."""
        return self.unfinished or self.comparisons.provisional

    @property
    def spent(self) -> float:
        """The level at which this look works, so that `LEVEL` holds over any number of looks together."""
        return 1 - (1 - LEVEL) / (self.looks * (self.looks + 1))

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """All that is claimed."""
        return tuple(claims(self))

    def claimed(self, kind: str) -> list[Claim]:
        """Gives the claims of a kind."""
        return [claim for claim in self.claims if claim.kind == kind]

    @cached_property
    def comparisons(self) -> Comparisons:
        """Of all configurations with each other; of fewer than two, why there is nothing to compare."""
        return compare(self.grid.goodness, LEVEL, looks=self.looks)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The ranking; the first is the selected one."""
        grid, comparisons = self.grid, self.comparisons
        index = {id(configuration): k for k, configuration in enumerate(grid.configurations)}
        ranked = [(rank, index[id(configuration)]) for rank, configuration in grid.ranked()]
        intervals = simultaneous_intervals(grid.goodness, self.spent)
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

    @cached_property
    def winner(self) -> Winner | None:
        """The selected configuration's score, corrected for its selection; None if nothing is selected."""
        best, tested = self.comparisons.best, goodness(self.metric, self.grid.scores(self.grid.tested))
        return None if best is None else selected(self.grid.goodness, tested, best, self.comparisons.in_best_set)

    @property
    def uncorrected(self) -> Interval:
        """Mean goodness of the selected configuration on the test split."""
        assert self.comparisons.best is not None
        tested = goodness(self.metric, self.grid.scores(self.grid.tested))
        return mean_interval(tested[self.comparisons.best], self.spent)

    @cached_property
    def test(self) -> Interval | None:
        """The score to expect of it on the test split, less what the choice has flattered it by, if that is known.

        That is an estimate itself, too large where one configuration is far above many others, so the interval reaches
        from the lower end with it to the upper end without it.
        """
        if not self.winner:
            return None
        found, optimism = self.uncorrected, self.winner.test_optimism
        shift = optimism if math.isfinite(optimism) else 0.0
        low, high = (math.nan, math.nan) if found.cannot else (found.low - shift, found.high)
        shifted = dataclasses.replace(found, estimate=found.estimate - shift, low=low, high=high, level=LEVEL)
        return shown_interval(shifted, self.metric)

    @cached_property
    def effects(self) -> FactorEffects:
        """Of the axes on the goodness."""
        grid = self.grid
        levels = [tuple(configuration.levels.values()) for configuration in grid.configurations]
        effects = factor_effects(grid.goodness, levels, [axis.name for axis in grid.axes], self.spent)
        if effects.cannot or not _flattered(grid):
            return effects
        cannot = (
            "replicates diverged at some levels and not at all of their grid points, so means over what is left would "
            "flatter these levels"
        )
        return dataclasses.replace(effects, table=(), effects=(), crossings=(), cell_means={}, cannot=cannot)

    @property
    def spans(self) -> list[AxisEffect]:
        """The axes by the largest difference between two of their levels, largest first."""
        return sorted(self.of_axes, key=lambda one: -one.span.estimate)

    @cached_property
    def of_axes(self) -> tuple[AxisEffect, ...]:
        """What each axis does, in their order."""
        rows = {row.name: row for row in self.effects.table}
        return tuple(
            AxisEffect(
                axis=term.factors[0],
                levels={cast(Level, one.levels[0]): one.effect for one in term.levels},
                span=span,
                share=rows[term.factors[0]].share,
                p_value=rows[term.factors[0]].p_value,
                provisional=term.provisional,
            )
            for term in self.effects.effects
            if (span := term.span)
        )

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The selected configuration beside the runner-up, and the best of every other level of each axis."""
        entries, comparisons = self.entries, self.comparisons
        if len(entries) < 2:
            return ()
        named = {1: "second in the ranking"}
        for axis in self.grid.axes:
            seen = {entries[0].configuration.levels[axis.name]}
            for place, entry in enumerate(entries[1:], start=1):
                level = entry.configuration.levels[axis.name]
                if level not in seen and len(seen) <= _MOST_PAIRS:
                    named.setdefault(place, f"first with {level}")
                    seen.add(level)
        margin = None if comparisons.cannot else self.metric.margin
        pairs = []
        for place, why in sorted(named.items()):
            behind = entries[place].behind
            equal = None if margin is None else max(-behind.low, behind.high) < margin
            pairs.append(Pair(entry=entries[place], why=why, equal=equal))
        return tuple(pairs)

    @cached_property
    def named(self) -> tuple[Named, ...]:
        """The pairs that the sweep file names."""
        scores, better, found = self.grid.goodness, self.comparisons.better, []
        for pair in self.compare:
            (first, one), (second, other) = (self._place(point) for point in pair)
            test, anyway, cannot = None, False, ""
            if one is None or other is None:
                cannot = f"{first if one is None else second} cannot be compared"
            elif one == other:
                cannot = "the two gave identical numbers"
            else:
                test = named_pair(scores[one], scores[other], LEVEL, pairs=len(self.compare))
                anyway, cannot = bool(better[one, other] or better[other, one]), test.cannot
            found.append(Named(names=(first, second), pair=test, anyway=anyway, cannot=cannot))
        return tuple(found)

    @cached_property
    def against(self) -> Baseline | None:
        """What is better than the baseline of the sweep file; None if it names none."""
        if not self.baseline:
            return None
        comparisons, (name, place) = self.comparisons, self._place(self.baseline)
        if place is None or comparisons.cannot:
            cannot = comparisons.cannot or f"{name} cannot be compared"
            return Baseline(name=name, p_better={}, better=(), cannot=cannot)
        p_values = zip(self.grid.configurations, comparisons.better_than(place).tolist(), strict=True)
        p_better = {one.name: p for k, (one, p) in enumerate(p_values) if k != place}
        better = tuple(other for other, p in p_better.items() if p < comparisons.limit)
        return Baseline(name=name, p_better=p_better, better=better, cannot="")

    @property
    def confirmation(self) -> Confirmation | None:
        """What fresh seeds of finalists say; None if there are none."""
        return None

    def _place(self, point: Point) -> tuple[str, int | None]:
        """The name of the configuration that stands for a grid point and its index, None if it is not compared."""
        for k, configuration in enumerate(self.grid.configurations):
            if any(one.values == point for one in configuration.points):
                return configuration.name, k
        return next((one.name for one in self.grid.points if one.values == point), " ".join(map(str, point))), None


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


def _flattered(grid: Grid) -> bool:
    """Whether a level has grid points that diverged beside others that did not: a mean of these says too much."""
    lost = {one.point.values for one in grid.diverged}
    trained = {point.values for configuration in grid.configurations for point in configuration.points}
    for axis in range(len(grid.axes)):
        gone = {values[axis] for values in lost} - {values[axis] for values in trained}
        lost = {values for values in lost if values[axis] not in gone}
    return bool(lost)


def shown_interval(interval: Interval, metric: Metric) -> Interval:
    """Turns an interval of goodness into one of the metric, within the values that there are."""
    low, high = (interval.low, interval.high) if metric.mode == "max" else (interval.high, interval.low)
    return dataclasses.replace(
        interval, estimate=metric.value(interval.estimate), low=metric.value(low), high=metric.value(high)
    )
