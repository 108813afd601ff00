"""Sections 7 and 8: the control, one function under two names; and the published numbers beside ours."""

import numpy as np
import pandas as pd

from sweep.figures import Published, reproduction
from sweep.report.document import Block, Drawing, Paragraph, Section, Table, section
from sweep.report.findings import Analysis
from sweep.report.formats import NONE, listed, p_equals, percent, percent_range, points, points_range, several
from sweep.report.reference import agreement
from sweep.tables import bold

# The four facts of the reference experiment, established from its own log.
FACTS = (
    bold("The published accuracies are training accuracies") + ": the share of correct predictions made during the "
    "tenth epoch, each batch scored before that batch's update. The published text presents them as evaluation "
    "results. Held-out test accuracy is about 0.5 to 1.5 points lower.",
    bold("Cross-entropy and sparse cross-entropy are one function") + " (one-hot targets against integer labels). The "
    "differences between the published pairs are therefore the experiment's own noise: up to 0.21 points.",
    bold("The published conclusion contradicts its own table") + ": it names deep + ReLU + sparse cross-entropy with "
    "98.48 %, but the table gives that point 98.43 %, and 98.48 % to medium + sigmoid + sparse cross-entropy.",
    bold("The original's precision, recall, F1 and confusion matrices are of three models only") + ": its evaluation "
    "loop scored the last three trained (tanh, hinge) nine times over under different headings. Those here are of "
    "every configuration.",
)


def control_section(analysis: Analysis) -> Section:
    """Twins that were found, and how far the two cross-entropies agree."""
    blocks: list[Block | None] = []
    controls = analysis.controls
    compared = sum(control.compared for control in controls)
    identical = sum(control.identical for control in controls)
    if compared:
        text = (
            "Cross-entropy on one-hot targets and sparse cross-entropy on integer labels are one function under two "
            f"names. Of {several(compared, 'pair')} of replicates with equal seeds, {identical} have final parameters "
            "that are identical, bit for bit."
        )
        largest = max((control.largest for control in controls if np.isfinite(control.largest)), default=float("nan"))
        if identical < compared:
            text += (
                f" The others differ by up to {points(largest)} points of {analysis.criterion}: rounding that "
                "training has amplified, so noise and no effect of the loss."
            )
        known = [abs(control.published) for control in controls if control.published is not None]
        if known:
            text += f" The published pairs differ by up to {points(max(known))} points: noise of single runs."
        blocks.append(Paragraph(text=text))
        blocks.append(
            Table(name="control", title="Cross-entropy beside sparse cross-entropy", shown=_controls(analysis))
        )
    elif controls:
        blocks.append(Paragraph(text="No pair of replicates with equal seeds is finished.", kind="warning"))
    else:
        blocks.append(Paragraph(text="This experiment does not hold both cross-entropies, so it has no such control."))
    twins = analysis.twins
    if twins:
        blocks.append(
            Paragraph(
                text=f"{several(len(twins), 'configuration')} found under several names with identical numbers in all "
                f"shared seeds, counted once everywhere above: {listed([twin.name for twin in twins])}.",
                kind="note",
            )
        )
    elif analysis.entries:
        blocks.append(
            Paragraph(text="No two grid points have identical replicates in all seeds that they share.", kind="note")
        )
    return section("control", "Control: one function under two names", blocks)


def reproduction_section(analysis: Analysis) -> Section | None:
    """The published protocol beside its reproduction; None for any other protocol."""
    if analysis.manifest.sweep.protocol != "published":
        return None
    rows = analysis.reproduced
    facts = [Paragraph(text=f"{number}. {fact}") for number, fact in enumerate(FACTS, start=1)]
    if not rows:
        text = "The axes are not those of the published table, so nothing can be put beside it."
        return section(
            "reproduction", "Reproduction of the published table", [Paragraph(text=text, kind="warning"), *facts]
        )
    told = [row for row in rows if row.inside is not None]
    blocks: list[Block | None] = []
    if told:
        blocks.append(Paragraph(text=_agreement(analysis)))
    if len(told) < len(rows):
        missing = f"{len(rows) - len(told)} of {len(rows)}"
        text = f"For {missing} it cannot be said: an interval needs two or more finished seeds."
        blocks.append(Paragraph(text=text, kind="warning"))
    blocks.append(Table(name="reproduction", title="Published and ours", shown=_reproduced(analysis)))
    drawn = [row for row in rows if np.isfinite(row.ours.estimate)]
    if drawn:
        picture = reproduction(
            [
                Published(
                    name=row.point.name,
                    published=row.published,
                    ours=row.ours.estimate,
                    low=row.ours.low,
                    high=row.ours.high,
                    inside=row.inside,
                )
                for row in drawn
            ],
            metric=analysis.metric,
        )
        caption = "Training accuracy in the last epoch: published, and the interval for one further run of ours."
        blocks.append(Drawing(picture=picture, caption=caption))
    return section(
        "reproduction", "Reproduction of the published table", [*blocks, Paragraph(text="Facts to know:"), *facts]
    )


def _agreement(analysis: Analysis) -> str:
    found = agreement(analysis.reproduced)
    share = f"{found.inside} of {found.told} published accuracies lie inside our 95 % prediction interval"
    text = (
        f"{bold(share)} for one further run (so few or fewer would by chance, were they further runs: "
        f"{p_equals(found.p_value)}); the mean difference, ours minus published, is "
        f"{points(found.difference.estimate, signed=True)} points"
    )
    if found.difference.cannot:
        return f"{text}."
    low, high = found.difference.low, found.difference.high
    shown = "which is not shown to be other than none"
    if low > 0 or high < 0:
        shown = f"so the published numbers are shown to be {'lower' if low > 0 else 'higher'} than ours, by little"
    return f"{text} (95 % interval {points_range(low, high)}), {shown}."


def _controls(analysis: Analysis) -> pd.DataFrame:
    rows = []
    for control in analysis.controls:
        others = [level.cell for level in control.point.levels if level.axis != "loss"]
        row = {
            "grid point": " ".join(others) or "all",
            "identical seeds": f"{control.identical} of {control.compared}",
            "largest difference (points)": points(control.largest),
        }
        if control.published is not None:
            row["published: sparse minus not (points)"] = points(control.published, signed=True)
        rows.append(row)
    return pd.DataFrame(rows).fillna(NONE)


def _reproduced(analysis: Analysis) -> pd.DataFrame:
    words = {None: NONE, True: "inside", False: "outside"}
    return pd.DataFrame(
        {level.axis: level.cell for level in row.point.levels}
        | {
            "published (%)": percent(row.published),
            "ours (%)": percent(row.ours.estimate),
            "n": str(row.ours.n),
            "ours − published (points)": points(row.ours.estimate - row.published, signed=True),
            "95 % prediction interval": percent_range(row.ours),
            "published lies": words[row.inside],
            "our test accuracy (%)": percent(row.test_accuracy),
        }
        for row in analysis.reproduced
    )
