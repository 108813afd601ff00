"""What is found, as plain frozen records, and what of it is claimed: `analysis` computes them, all others only read.

Scores are as in the records, differences and p-values of their goodness (`sweep.table.goodness`). What may be wrong is
a claim: the page prints these and no other, and `scripts/simulate.py` counts how often they are. Their kinds:

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

Axis letters: S seeds, N test samples.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sweep.axes import Level
from sweep.metrics import Metric, Score
from sweep.records import Manifest, State
from sweep.report.document import Section
from sweep.stats import Comparisons, FactorEffects, Interval, NamedPair, Winner
from sweep.table import Configuration, Grid

LEVEL = 0.95
# Beyond this many configurations a reader looks at the top of the table, and at the CSV for the rest.
MOST_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something that the report says and that may be wrong.

    Attributes:
        kind: What is said.
        subject: Whom it is said of: names of configurations, axes or grid points.
        provisional: Why it cannot carry `LEVEL`, with which all claims of a kind are true at once; "" if it can.
        low: Lower end, of a claim that is an interval.
        high: Upper end likewise.
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
        grid: Grid points, seeds, configurations.
        entries: The ranking; the first is the selected one.
        comparisons: Of all configurations with each other; of fewer than two, why there is nothing to compare.
        winner: The selected configuration's score, corrected for its selection; None if nothing is selected.
        test: Its score on the test split, corrected likewise.
        effects: Of the axes on the goodness.
        pairs: The selected configuration beside others.
        named: The pairs that the sweep file names.
        baseline: That the sweep file names; None if it names none.
        confirmation: What fresh seeds of finalists say; None if there are none.
        unfinished: Why all but that may change, "" if the experiment is finished.
    """

    grid: Grid
    entries: tuple[Entry, ...]
    comparisons: Comparisons
    winner: Winner | None
    test: Interval | None
    effects: FactorEffects
    pairs: tuple[Pair, ...]
    named: tuple[Named, ...]
    baseline: Baseline | None
    confirmation: Confirmation | None
    unfinished: str

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

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """All that is claimed, and what of it is provisional."""
        fresh = self.confirmation.claims if self.confirmation else ()
        parts = (_of_configurations, _of_axes, _of_plans, _of_diverged)
        return (*(claim for part in parts for claim in part(self)), *fresh)

    def claimed(self, kind: str) -> list[Claim]:
        """Gives the claims of a kind."""
        return [claim for claim in self.claims if claim.kind == kind]

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


class OfTask(Protocol):
    """What a task has to say of the predictions of the first configurations of the ranking."""

    def case_scores(self, score: Score) -> NDArray[np.bool_] | None:
        """Whether the selected configuration is right in each case `[S, N]`; None if the score is no share of them."""

    def doubts(self) -> list[str]:
        """What is doubtful about the selected configuration, for the verdict."""

    def details(self) -> dict[str, str]:
        """Sentences to stand below the verdict, by topic."""

    def beside(self, other: Configuration) -> dict[str, str]:
        """Further cells of the row that compares the selected configuration with another."""

    def section(self, analysis: "Analysis") -> Section:
        """Its own section of the report."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis(Findings):
    """What a report says of one experiment: the findings, and what several sections need beside them.

    Attributes:
        state: What it was read from.
        of_task: What only its task can say.
        cases: Test samples over which the interval of `test` is, beside the seeds; 0 if it is over seeds alone.
    """

    state: State
    of_task: OfTask
    cases: int

    @property
    def manifest(self) -> Manifest:
        """Of the experiment."""
        return self.state.manifest


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
    for pair in found.pairs:
        if pair.equal:
            yield Claim(kind="equal", subject=(name, pair.entry.name), provisional=doubt)


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
    if found.baseline:
        for name in found.baseline.better:
            yield Claim(kind="baseline", subject=(name, found.baseline.name), provisional=found.doubt)


def _of_diverged(found: Findings) -> Iterator[Claim]:
    for one in found.grid.diverged:
        if one.n > 1:
            share = one.share(LEVEL)
            yield Claim(kind="diverges", subject=(one.point.name,), low=share.low, high=share.high)
