"""The control: one function under two names, which must agree, and the twins that were found."""

import math
from dataclasses import dataclass

from sweep.examples.published import published_scores
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Section, note, section, table, warning
from sweep.report.formats import SHARE, listed, several
from sweep.table import Grid, GridPoint

_AXIS, _NAME, _OTHER_NAME = "loss", "cross_entropy", "sparse_cross_entropy"


@dataclass(frozen=True, kw_only=True)
class Control:
    """A grid point with cross-entropy beside that with sparse cross-entropy, over the seeds that both have.

    Attributes:
        point: The first of the two.
        differences: Absolute difference of the criterion at each seed.
        identical: Seeds whose final parameters are the same, bit for bit.
        published: Difference of the published pair, sparse minus not; None if not published.
    """

    point: GridPoint
    differences: tuple[float, ...]
    identical: int
    published: float | None

    @property
    def largest(self) -> float:
        """The largest of the differences that are known."""
        return max(filter(math.isfinite, self.differences), default=math.nan)


def control_section(analysis: Analysis) -> Section:
    """Twins that were found, and how far the two cross-entropies agree."""
    found = controls(analysis.grid)
    compared = any(one.differences for one in found)
    blocks: list[Content] = [*_agreement(analysis, found)] if compared else []
    if not found:
        blocks = ["This experiment does not hold both cross-entropies, so it has no such control."]
    elif not compared:
        blocks = [warning("No pair of replicates with equal seeds is finished.")]
    twins = [one.name for one in analysis.grid.configurations if len(one.points) > 1]
    text = "No two grid points have identical replicates in all seeds that they share." if analysis.entries else ""
    if twins:
        text = (
            f"{several(len(twins), 'configuration')} found under several names with identical numbers in all shared "
            f"seeds, counted once everywhere above: {listed(twins)}."
        )
    return section("control", "Control: one function under two names", [*blocks, note(text)])


def controls(grid: Grid) -> list[Control]:
    """Compares cross-entropy with sparse cross-entropy wherever the grid has both."""
    names = [axis.name for axis in grid.axes]
    if _AXIS not in names:
        return []
    at, by_values = names.index(_AXIS), {point.values: point for point in grid.points}
    published, found = published_scores(grid.axes), []
    for point in grid.points:
        other = by_values.get((*point.values[:at], _OTHER_NAME, *point.values[at + 1 :]))
        if point.values[at] != _NAME or other is None:
            continue
        both = [(one, other.replicates[seed]) for seed, one in point.replicates.items() if seed in other.replicates]
        known = published.keys() >= {point.values, other.values}
        found.append(
            Control(
                point=point,
                differences=tuple(abs(one.score(grid.criterion) - twin.score(grid.criterion)) for one, twin in both),
                identical=sum(one.parameters_sha256 == twin.parameters_sha256 for one, twin in both),
                published=published[other.values] - published[point.values] if known else None,
            )
        )
    return found


def _agreement(analysis: Analysis, found: list[Control]) -> list[Content]:
    metric, rows = analysis.metric, []
    compared, identical = sum(len(one.differences) for one in found), sum(one.identical for one in found)
    text = (
        "Cross-entropy on one-hot targets and sparse cross-entropy on integer labels are one function under two "
        f"names. Of {several(compared, 'pair')} of replicates with equal seeds, {identical} have final parameters "
        "that are identical, bit for bit."
    )
    if identical < compared:
        largest = max(filter(math.isfinite, (one.largest for one in found)), default=math.nan)
        text += (
            f" The others differ by up to {metric.differ_by(largest)} of {analysis.criterion.title}: rounding that "
            "training has amplified, so noise and no effect of the loss."
        )
    known = [abs(one.published) for one in found if one.published is not None]
    if known:
        text += f" The published pairs differ by up to {SHARE.differ_by(max(known))}: noise of single runs."
    for one in found:
        row = {
            "grid point": " ".join(level.cell for level in one.point.levels if level.axis != _AXIS) or "all",
            "identical seeds": f"{one.identical} of {len(one.differences)}",
            f"largest difference{metric.step_heading}": metric.difference(one.largest),
        }
        if one.published is not None:
            row["published: sparse minus not (points)"] = SHARE.difference(one.published, signed=True)
        rows.append(row)
    return [text, table("control", "Cross-entropy beside sparse cross-entropy", rows)]
