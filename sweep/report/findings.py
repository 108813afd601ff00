"""What the analysis finds, as plain frozen records: one computes them, verdict, page and README only read them.

Scores are shares in [0, 1] as in the records; whoever shows them makes percent of them. Axis letters:
K configurations (twins once), S shared seeds, N test images.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sweep.records import ExperimentRecords, Manifest
from sweep.report.images import TestImages
from sweep.stats import BestSet, Equivalence, FactorEffects, Interval, McNemar, PairedTest
from sweep.tables import Configuration, Grid, GridPoint

LEVEL = 0.95
# The largest difference in accuracy that does not matter: stated in every report, chosen before looking.
MARGIN = 0.001
# Beyond this many configurations a reader looks at the top of the table, and at the CSV for the rest.
MOST_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration in the ranking.

    Attributes:
        rank: From 1; by mean of the criterion, equal means having equal ranks (1, 1, 3).
        configuration: With its levels, twins and replicates.
        score: Mean of the criterion over the seeds, with its own interval.
        scores: Of each seed.
        behind: Mean of the first of the ranking minus its own.
        letters: Two configurations that share one are not told apart; "" where nothing can be.
        in_best_set: Not shown to be worse than the best.
        p_worse: Adjusted for all configurations; NaN where it cannot be given.
        against_best: Simultaneous interval of its mean minus the best other mean.
        on_front: On the Pareto front of mean score against "train_time_s" and "parameters".
    """

    rank: int
    configuration: Configuration
    score: Interval
    scores: tuple[float, ...]
    behind: float
    letters: str
    in_best_set: bool
    p_worse: float
    against_best: tuple[float, float]
    on_front: Mapping[str, bool]

    @property
    def name(self) -> str:
        """The configuration in words."""
        return self.configuration.name

    @property
    def parameters(self) -> int:
        """Trained parameters of one replicate."""
        return self.configuration.points[0].parameters


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The selected configuration against another one by name.

    The ranking decides which are named, so their p-values are on the bold side; `Entry.p_worse` is not.

    Attributes:
        entry: The other one.
        why: What makes it worth naming.
        test: Of the criterion, paired by seed; selected minus other.
        p_holm: Adjusted for all named pairs.
        equivalence: Against `MARGIN`.
        images: Both on the same test images, models of the first seed; None where there are no predictions.
    """

    entry: Entry
    why: str
    test: PairedTest
    p_holm: float
    equivalence: Equivalence
    images: McNemar | None


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Two levels of one axis that change places between two levels of another, both ways beyond chance.

    Attributes:
        factor: The axis whose best level depends on the other.
        other: The axis it depends on.
        at: Level of `other` at which `better` leads `worse`.
        other_at: Level of `other` at which it is the other way round.
        better: Level of `factor`, the best one at `at`.
        worse: Level of `factor`, the best one at `other_at`.
        lead: Difference of their means at `at`.
        other_lead: Difference of their means at `other_at`, the other way round.
    """

    factor: str
    other: str
    at: str
    other_at: str
    better: str
    worse: str
    lead: float
    other_lead: float


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What the seeds there are can resolve, and what more could; two-sided paired t test, power 80 %.

    Attributes:
        sd: Standard deviation of a paired difference, pooled over all configurations.
        detectable: Smallest difference that `seeds_now` seeds find; NaN if unknown.
        seeds_now: S.
        margin: The difference asked about.
        seeds_for_margin: Seeds in total that find it; None if unknown or beyond any reason.
        gap: From the selected configuration to the second.
        seeds_for_gap: Seeds in total that find it; None likewise.
    """

    sd: float
    detectable: float
    seeds_now: int
    margin: float
    seeds_for_margin: int | None
    gap: float
    seeds_for_gap: int | None


@dataclass(frozen=True, kw_only=True)
class Control:
    """Cross-entropy beside sparse cross-entropy: the same function, so equal seeds should give equal numbers.

    Attributes:
        point: The cross-entropy grid point.
        identical: Seeds whose final parameters are the same, bit for bit.
        compared: Seeds that both have.
        largest: Largest absolute difference of the criterion over these seeds.
        published: Difference of the published pair, sparse minus not; None if not published.
    """

    point: GridPoint
    identical: int
    compared: int
    largest: float
    published: float | None


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """A published accuracy beside ours, in [0, 1].

    Attributes:
        point: The grid point.
        published: Its published accuracy.
        ours: Interval that contains one further run of ours, on the training accuracy as published.
        inside: Whether the published number lies in it; None if it cannot be said.
        test_accuracy: Our mean test accuracy.
    """

    point: GridPoint
    published: float
    ours: Interval
    inside: bool | None
    test_accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """All that a report says of one experiment.

    Attributes:
        records: What it was read from.
        grid: Grid points, shared seeds, configurations.
        criterion: The selecting score in words.
        entries: The ranking.
        best: The set that is not distinguishable from the best.
        test: Test accuracy of the selected configuration over seeds and images; None if nothing is selected.
        effects: Of the axes on the criterion.
        crossings: Where the best level of an axis depends on another axis; empty if that is not shown.
        pairs: The named pairs.
        resolution: Power, now and with more seeds.
        controls: One for each pair of grid points that differ in the two cross-entropies only.
        twins: Configurations that stand for several grid points.
        reproduced: Published protocol only.
        images: Confusions and predictions; None if there are none.
    """

    records: ExperimentRecords
    grid: Grid
    criterion: str
    entries: tuple[Entry, ...]
    best: BestSet
    test: Interval | None
    effects: FactorEffects
    crossings: tuple[Crossing, ...]
    pairs: tuple[Pair, ...]
    resolution: Resolution
    controls: tuple[Control, ...]
    twins: tuple[Configuration, ...]
    reproduced: tuple[Reproduced, ...]
    images: TestImages | None

    @property
    def manifest(self) -> Manifest:
        """Of the experiment."""
        return self.records.manifest

    @property
    def selected(self) -> Entry | None:
        """The first of the ranking, None if nothing can be compared."""
        return self.entries[0] if self.entries else None


def of_share(interval: Interval) -> Interval:
    """Gives an interval of an accuracy cut to the accuracies there are, [0, 1]."""
    low, high = np.clip([interval.low, interval.high], 0, 1)
    return dataclasses.replace(interval, low=float(low), high=float(high))
