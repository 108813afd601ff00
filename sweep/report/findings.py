"""What the scores of a grid say: each part is found when it is first asked for, and all others only read it.

Scores are as in the records, differences and p-values of their goodness (`sweep.table.goodness`).
Axis letters: S seeds.

What may be wrong is a claim: the page prints these and no other, and `scripts/simulate.py` counts them. Their kinds:

worse       the configuration is not the best one, nor as good as it
rank        the configuration's rank by true mean lies within
mean        the selected configuration's mean over new seeds lies within
test        the selected configuration's mean over new seeds on the test split lies within
equal       the selected configuration and another differ by less than the margin
axis        the axis matters, averaged over the others
most        no other axis matters as much
depends     which level of the one axis is best depends on the other
combine     the axes act in combination
named       the first of a pair named beforehand is better than the second
baseline    the configuration is better than the baseline
confirmed   the selected configuration is better than the other finalist, by fresh seeds alone
diverges    how often the grid point diverges lies within
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from sweep.axes import Level, Point
from sweep.metrics import Metric, Score
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

LEVEL = 0.95
# Beyond this many configurations a reader looks at the top of the table, and at the CSV for the rest.
MOST_SHOWN = 40
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something that the report says of a subject, names of configurations, axes or grid points, and that may be wrong.

    `provisional` says why it cannot carry `LEVEL`, with which all claims of a kind are true at once; "" if it can. A
    claim that is an interval has its ends.
    """

    kind: str
    subject: tuple[str, ...]
    provisional: str = ""
    low: float = math.nan
    high: float = math.nan


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
        why: What makes it worth comparing with the first by name, "" if nothing does.
        equal: Whether it is shown to differ from the first by less than the metric's margin; None if there is none.
    """

    rank: int
    configuration: Configuration
    score: Interval
    behind: Interval
    ranks: tuple[int, int] | None
    in_best_set: bool
    p_worse: float
    tested: float
    why: str = ""
    equal: bool | None = None

    @property
    def name(self) -> str:
        """The configuration in words."""
        return self.configuration.name


@dataclass(frozen=True, kw_only=True)
class AxisEffect:
    """What an axis does, averaged over the others: the effect of each level on the goodness.

    `span` is the best minus the worst, `share` of the variation in this sample; `provisional` says why a claim about it
    cannot carry its level, "" if it can.
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
    """Two configurations that the sweep file names for comparison, with their test, None if one cannot be compared.

    `anyway` says whether they are shown to differ among all pairs, `cannot` why nothing can be said, else "".
    """

    names: tuple[str, str]
    pair: NamedPair | None
    anyway: bool
    cannot: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The configuration of the sweep file that all others are compared with.

    `p_better` is the p-value of "not better than the baseline" of each other configuration, adjusted for all; `better`
    are those that are shown to be, `cannot` is why nothing can be said, "" if something can.
    """

    name: str
    p_better: Mapping[str, float]
    better: tuple[str, ...]
    cannot: str


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A finalist by its fresh seeds alone: means of the criterion and of the same metric on the test split.

    `p_worse` is of "not worse than the selected one", NaN for that one itself; `beaten` says whether it is confirmed.
    """

    name: str
    score: Interval
    tested: Interval
    p_worse: float
    beaten: bool


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What fresh seeds say of finalists, fixed before these were trained, the selected one first.

    `provisional` says why claims cannot carry the level, `cannot` why nothing can be said; "" if they can.
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
        """All that is claimed, and what of it is provisional."""
        return tuple(claim for part in (_of_configurations, _of_axes, _of_plans, _of_diverged) for claim in part(self))

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
        ranked = grid.ranked()
        intervals = simultaneous_intervals(grid.goodness, self.spent)
        ranks, tested, margin = comparisons.ranks, grid.means(grid.tested), grid.metric.margin
        reasons, entries = _worth_naming(grid, [grid.configurations[k] for _, k in ranked]), []
        for place, (rank, k) in enumerate(ranked):
            behind = comparisons.difference(ranked[0][1], k)
            entries.append(
                Entry(
                    rank=rank,
                    configuration=grid.configurations[k],
                    score=shown_interval(intervals[k], grid.metric),
                    behind=behind,
                    ranks=None if comparisons.cannot else (int(ranks[k, 0]), int(ranks[k, 1])),
                    in_best_set=bool(comparisons.in_best_set[k]),
                    p_worse=float(comparisons.p_worse[k]),
                    tested=float(tested[k]),
                    why=reasons.get(place, ""),
                    equal=None if comparisons.cannot or margin is None else max(-behind.low, behind.high) < margin,
                )
            )
        return tuple(entries)

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


def _worth_naming(grid: Grid, ranked: Sequence[Configuration]) -> dict[int, str]:
    """The places of the runner-up, and of the best configuration of every other level of each axis, and why."""
    named = {1: "second in the ranking"}
    for axis in grid.axes if ranked else ():
        seen = {ranked[0].levels[axis.name]}
        for place, configuration in enumerate(ranked[1:], start=1):
            level = configuration.levels[axis.name]
            if level not in seen and len(seen) <= _MOST_NAMED:
                named.setdefault(place, f"first with {level}")
                seen.add(level)
    return named


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


def _of_configurations(found: Findings) -> Iterator[Claim]:
    doubt, entries = found.doubt, found.entries
    if not found.comparisons.cannot:
        for entry in entries:
            if not entry.in_best_set:
                yield Claim(kind="worse", subject=(entry.name,), provisional=doubt)
        for entry in entries:
            if entry.ranks and entry.ranks != (1, len(entries)):
                low, high = map(float, entry.ranks)
                yield Claim(kind="rank", subject=(entry.name,), provisional=doubt, low=low, high=high)
    if not entries or not found.test:
        return
    name = entries[0].name
    for kind, interval in (("mean", entries[0].score), ("test", found.test)):
        if not interval.cannot:
            yield Claim(kind=kind, subject=(name,), provisional=doubt, low=interval.low, high=interval.high)
    for entry in entries:
        if entry.why and entry.equal:
            yield Claim(kind="equal", subject=(name, entry.name), provisional=doubt)


def _of_axes(found: Findings) -> Iterator[Claim]:
    effects, spans = found.effects, found.spans
    if effects.cannot:
        return
    doubts = {one.axis: found.doubt or one.provisional for one in spans}
    matter = [one for one in spans if one.span.low > 0]
    for one in matter:
        low, high = one.span.low, one.span.high
        yield Claim(kind="axis", subject=(one.axis,), provisional=doubts[one.axis], low=low, high=high)
    # Compared with every axis, also with those that are not shown to matter: they may.
    if matter and len(spans) > 1 and all(one.span.high < matter[0].span.low for one in spans if one is not matter[0]):
        unsure = next(filter(None, doubts.values()), "")
        yield Claim(kind="most", subject=(matter[0].axis,), provisional=unsure)
    # Each pair once, however many of their levels change places.
    for factor, other in dict.fromkeys((one.factor, one.other) for one in effects.crossings):
        yield Claim(kind="depends", subject=(factor, other), provisional=doubts[factor])
    for row in effects.table:
        if row.kind == "interaction" and row.p_value < 1 - effects.level:
            yield Claim(kind="combine", subject=row.factors, provisional=found.doubt)


def _of_plans(found: Findings) -> Iterator[Claim]:
    for named in found.named:
        if named.pair and named.pair.shown:
            subject = named.names if named.pair.difference > 0 else named.names[::-1]
            yield Claim(kind="named", subject=subject, provisional=found.unfinished)
    if found.against:
        for name in found.against.better:
            yield Claim(kind="baseline", subject=(name, found.against.name), provisional=found.doubt)
    if found.confirmation:
        yield from found.confirmation.claims


def _of_diverged(found: Findings) -> Iterator[Claim]:
    for one in found.grid.diverged:
        if one.n > 1:
            share = one.share(LEVEL)
            yield Claim(kind="diverges", subject=(one.point.name,), low=share.low, high=share.high)
