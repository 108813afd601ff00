"""The control: one function under two names, which must agree, and the twins that were found."""

import math
from dataclasses import dataclass

import pandas as pd

from sweep.examples.published import published_scores
from sweep.metrics import NONE
from sweep.report.analysis import Analysis
from sweep.report.document import Block, Paragraph, Section, Table, note, section, warning
from sweep.report.formats import SHARE, listed, several
from sweep.table import Grid, GridPoint

_AXIS, _NAME, _OTHER_NAME = "loss", "cross_entropy", "sparse_cross_entropy"


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


def control_section(analysis: Analysis) -> Section:
    """Twins that were found, and how far the two cross-entropies agree."""
    found = controls(analysis.grid)
    blocks: list[Block | None] = []
    if any(one.compared for one in found):
        table = Table(name="control", title="Cross-entropy beside sparse cross-entropy", shown=_rows(analysis, found))
        blocks += [Paragraph(text=_agreement(analysis, found)), table]
    elif found:
        blocks.append(warning("No pair of replicates with equal seeds is finished."))
    else:
        blocks.append(Paragraph(text="This experiment does not hold both cross-entropies, so it has no such control."))
    twins = [one.name for one in analysis.grid.configurations if len(one.points) > 1]
    if twins:
        text = (
            f"{several(len(twins), 'configuration')} found under several names with identical numbers in all shared "
            f"seeds, counted once everywhere above: {listed(twins)}."
        )
    elif analysis.entries:
        text = "No two grid points have identical replicates in all seeds that they share."
    blocks.append(note(text if analysis.entries else ""))
    return section("control", "Control: one function under two names", blocks)


def controls(grid: Grid) -> list[Control]:
    """Compares cross-entropy with sparse cross-entropy wherever the grid has both."""
    names = [axis.name for axis in grid.axes]
    if _AXIS not in names:
        return []
    at, by_values = names.index(_AXIS), {point.values: point for point in grid.points}
    published = published_scores(grid.axes)
    found = []
    for point in grid.points:
        other = by_values.get((*point.values[:at], _OTHER_NAME, *point.values[at + 1 :]))
        if point.values[at] != _NAME or other is None:
            continue
        both = [(one, other.replicates[seed]) for seed, one in point.replicates.items() if seed in other.replicates]
        differences = [abs(one.score(grid.criterion) - twin.score(grid.criterion)) for one, twin in both]
        known = published.keys() >= {point.values, other.values}
        found.append(
            Control(
                point=point,
                identical=sum(one.parameters_sha256 == twin.parameters_sha256 for one, twin in both),
                compared=len(both),
                largest=max(filter(math.isfinite, differences), default=math.nan),
                published=published[other.values] - published[point.values] if known else None,
            )
        )
    return found


def _agreement(analysis: Analysis, found: list[Control]) -> str:
    metric = analysis.metric
    compared, identical = sum(one.compared for one in found), sum(one.identical for one in found)
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
    return text


def _rows(analysis: Analysis, found: list[Control]) -> pd.DataFrame:
    metric, rows = analysis.metric, []
    for one in found:
        others = [level.cell for level in one.point.levels if level.axis != _AXIS]
        row = {
            "grid point": " ".join(others) or "all",
            "identical seeds": f"{one.identical} of {one.compared}",
            f"largest difference{metric.step_heading}": metric.difference(one.largest),
        }
        if one.published is not None:
            row["published: sparse minus not (points)"] = SHARE.difference(one.published, signed=True)
        rows.append(row)
    return pd.DataFrame(rows).fillna(NONE)
