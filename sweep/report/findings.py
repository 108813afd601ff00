"""What the analysis finds, as plain frozen records: one computes them, verdict, page and README only read them.

Scores are as in the records (accuracies in [0, 1]), differences and p-values of their goodness
(`sweep.metrics.Metric`); whoever shows accuracies makes percent of them. Axis letters: K configurations (twins once),
S seeds, N test images.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.metrics import Metric
from sweep.records import Manifest, State
from sweep.report.images import TestImages
from sweep.stats import Comparisons, FactorEffects, Interval, NamedPair, Winner
from sweep.table import Configuration, Grid, GridPoint

LEVEL = 0.95
# Beyond this many configurations a reader looks at the top of the table, and at the CSV for the rest.
MOST_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something that the report says and that may be wrong: the page prints these and no other.

    Attributes:
        kind: What is said; see `sweep.report.claims`.
        subject: Whom it is said of: names of configurations, axes or levels.
        level: With which all claims of a kind are true at once, over all looks at the data.
        provisional: Why it cannot carry that level, "" if it can.
        low: Lower end, of a claim that is an interval.
        high: Upper end likewise.
    """

    kind: str
    subject: tuple[str, ...]
    level: float
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
        scores: Of each seed, NaN where there is none.
        behind: Goodness of the first of the ranking minus its own; the interval is true of all pairs at once.
        ranks: The best and the worst rank that it may have, true of all entries at once; None if nothing can be shown.
        in_best_set: Not shown to be worse than the best.
        p_worse: Adjusted for all configurations; NaN where it cannot be given.
        tested: Mean over the seeds of the same metric on the test split.
        on_front: On the Pareto front of mean score against "train_time_s" and "parameters".
    """

    rank: int
    configuration: Configuration
    score: Interval
    scores: tuple[float, ...]
    behind: Interval
    ranks: tuple[int, int] | None
    in_best_set: bool
    p_worse: float
    tested: float
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
    """The selected configuration beside another one that is worth naming; its numbers are those of the entry.

    Attributes:
        entry: The other one.
        why: What makes it worth naming.
        equal: Whether the two are shown to differ by less than the metric's margin; None if there is no margin.
    """

    entry: Entry
    why: str
    equal: bool | None


@dataclass(frozen=True, kw_only=True)
class Named:
    """Two configurations that the sweep file names for comparison.

    Attributes:
        names: Of both.
        pair: Their test; None if one of them cannot be compared.
        anyway: Whether they are shown to differ among all pairs, whatever their own test says.
        cannot: Why not, "" if they can.
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
        limit: p-values below it are claims.
        cannot: Why nothing can be said, "" if something can.
    """

    name: str
    p_better: Mapping[str, float]
    limit: float
    cannot: str

    @property
    def better(self) -> list[str]:
        """The configurations that are shown to be better."""
        return [name for name, p in self.p_better.items() if p < self.limit]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What the seeds there are can resolve, and what more could; two-sided paired t test, power 80 %.

    Attributes:
        seeds_now: S.
        margin: The difference asked about; None if the metric has none.
        detectable: Smallest difference that `seeds_now` seeds find; NaN if unknown.
        seeds: Seeds in total that find the margin, from and to; None if unknown or beyond any reason.
        cannot: Why not, "" if it is known.
    """

    seeds_now: int
    margin: float | None
    detectable: float
    seeds: tuple[int, int] | None
    cannot: str


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
class Findings:
    """What the scores of a grid say.

    Attributes:
        grid: Grid points, seeds, configurations.
        entries: The ranking.
        comparisons: Of all configurations with each other; of fewer than two, why there is nothing to compare.
        winner: The selected configuration's score, corrected for its selection; None if nothing is selected.
        test: Test accuracy of the selected configuration, corrected likewise; None if nothing is selected.
        effects: Of the axes on the criterion.
        pairs: The selected configuration beside others.
        named: The pairs that the sweep file names.
        baseline: That the sweep file names; None if it names none.
        resolution: What more seeds could tell.
        unfinished: Why all of it may change, "" if the experiment is finished.
        claims: All that is claimed.
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
    resolution: Resolution
    unfinished: str
    claims: tuple[Claim, ...] = ()

    @property
    def metric(self) -> Metric:
        """The score that selects."""
        return self.grid.metric

    @property
    def criterion(self) -> str:
        """The score that selects, in words."""
        return self.grid.criterion.title

    @property
    def selected(self) -> Entry | None:
        """The first of the ranking, None if nothing can be compared."""
        return self.entries[0] if self.entries else None

    def claimed(self, kind: str) -> list[Claim]:
        """Gives the claims of a kind."""
        return [claim for claim in self.claims if claim.kind == kind]


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis(Findings):
    """All that a report says of one experiment: the findings, and what its files tell beside the scores.

    Attributes:
        records: What it was read from.
        confirmation: What the fresh seeds of the finalists say; None if there are none.
        controls: Where the grid holds one function under two names.
        twins: Configurations found under several names.
        reproduced: The published table beside ours; empty for another protocol.
        images: Predictions on the test images; None if they are not there.
    """

    records: State
    confirmation: "Confirmation | None"
    controls: tuple[Control, ...]
    twins: tuple[Configuration, ...]
    reproduced: tuple[Reproduced, ...]
    images: TestImages | None

    @property
    def manifest(self) -> Manifest:
        """Of the experiment."""
        return self.records.manifest


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A finalist with its fresh seeds; `p_worse` is of "not worse than the selected one", NaN for that one itself."""

    name: str
    score: Interval
    test: Interval
    p_worse: float


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What fresh seeds say of configurations that were fixed before these were trained.

    Attributes:
        seeds: How many fresh seeds each finalist has.
        finalists: The selected configuration first.
        limit: p-values below it are claims.
        level: Of all claims together.
        provisional: Why claims cannot carry it, "" if they can.
        cannot: Why nothing can be said, "" if something can.
    """

    seeds: int
    finalists: tuple[Finalist, ...]
    limit: float
    level: float
    provisional: str
    cannot: str


def shown_interval(interval: Interval, metric: Metric) -> Interval:
    """Turns an interval of goodness into one of the metric, within the values that there are."""
    low, high = (interval.low, interval.high) if metric.mode == "max" else (interval.high, interval.low)
    return dataclasses.replace(
        interval, estimate=metric.value(interval.estimate), low=metric.value(low), high=metric.value(high)
    )
