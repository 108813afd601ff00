"""What is known beforehand: one function under two names, and the published table."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd

from sweep.report.findings import LEVEL, Control, Reproduced, shown_interval
from sweep.stats import Interval, chance_of_at_least, mean_interval, prediction_interval
from sweep.table import Grid


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the published table and ours agree.

    Attributes:
        inside: Published accuracies that lie inside our prediction intervals.
        told: Those of which it can be said.
        p_value: Probability that so few or fewer would, were they further runs of ours.
        difference: Mean of ours minus published over the grid points.
    """

    inside: int
    told: int
    p_value: float
    difference: Interval


def agreement(rows: Sequence[Reproduced]) -> Agreement:
    """Compares the published table with ours as a whole."""
    told = [row for row in rows if row.inside is not None]
    inside = sum(bool(row.inside) for row in told)
    return Agreement(
        inside=inside,
        told=len(told),
        p_value=chance_of_at_least(len(told) - inside, len(told), 1 - LEVEL),
        difference=mean_interval([row.ours.estimate - row.published for row in rows], LEVEL),
    )


def controls(grid: Grid) -> tuple[Control, ...]:
    """Compares cross-entropy with sparse cross-entropy wherever the grid has both."""
    names = [axis.name for axis in grid.axes]
    if "loss" not in names:
        return ()
    at = names.index("loss")
    by_values = {point.values: point for point in grid.points}
    published = published_accuracy() if set(names) == {"depth", "activation", "loss"} else {}
    found = []
    for point in grid.points:
        sparse = by_values.get((*point.values[:at], "sparse_cross_entropy", *point.values[at + 1 :]))
        if point.values[at] != "cross_entropy" or sparse is None:
            continue
        seeds = [seed for seed in point.replicates if seed in sparse.replicates]
        both = [(point.replicates[seed], sparse.replicates[seed]) for seed in seeds]
        differences = [abs(a.score(grid.criterion) - b.score(grid.criterion)) for a, b in both]
        known = published.keys() >= {point.values, sparse.values}
        found.append(
            Control(
                point=point,
                identical=sum(a.parameters_sha256 == b.parameters_sha256 for a, b in both),
                compared=len(seeds),
                largest=max((d for d in differences if np.isfinite(d)), default=float("nan")),
                published=published[sparse.values] - published[point.values] if known else None,
            )
        )
    return tuple(found)


def published_accuracy() -> dict[tuple[str, ...], float]:
    """Gives the published training accuracies in [0, 1] by depth, activation and loss."""
    with (resources.files("sweep") / "data" / "published_accuracy.csv").open() as file:
        table = pd.read_csv(file)
    names = table[["depth", "activation", "loss"]].itertuples(index=False, name=None)
    return dict(zip(names, (table["accuracy_percent"] / 100).tolist(), strict=True))


def reproduced(grid: Grid) -> tuple[Reproduced, ...]:
    """Puts the published accuracies beside ours; nothing if the axes are others."""
    if [axis.name for axis in grid.axes] != ["depth", "activation", "loss"]:
        return ()
    published = published_accuracy()
    trained, tested = grid.criterion.on("train"), grid.tested
    rows = []
    for point in grid.points:
        if point.values not in published:
            continue
        finished = [replicate for replicate in point.replicates.values() if not replicate.diverged]
        ours = prediction_interval([replicate.score(trained) for replicate in finished], LEVEL)
        ours = shown_interval(ours, trained.metric)
        value = published[point.values]
        # The published numbers are rounded to 0.01 points, so a prediction counts as hit within half of that.
        inside = None if ours.cannot else bool(ours.low - 0.00005 <= value <= ours.high + 0.00005)
        values = [replicate.score(tested) for replicate in finished]
        rows.append(
            Reproduced(
                point=point,
                published=value,
                ours=ours,
                inside=inside,
                test_accuracy=float(np.mean(values)) if values else float("nan"),
            )
        )
    return tuple(rows)
