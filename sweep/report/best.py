"""Section 4: who may be the best, and the selected configuration against others by name."""

import pandas as pd

from sweep.report.document import Block, Paragraph, Section, Table, note, section
from sweep.report.findings import MARGIN, MOST_SHOWN, Analysis
from sweep.report.formats import (
    NONE,
    listed,
    p_equals,
    p_text,
    points,
    points_range,
    several,
)
from sweep.tables import bold


def best_section(analysis: Analysis) -> Section:
    """Who may be the best, and the selected configuration against others by name."""
    entries = analysis.entries
    if len(entries) < 2:
        text = "There is nothing to compare with."
        return section("best", "Not distinguishable from the best", [Paragraph(text=text, kind="warning")])
    best = analysis.best
    blocks: list[Block | None] = []
    if best.cannot:
        blocks.append(Paragraph(text=f"What cannot be said: {best.cannot}. Nobody can be excluded.", kind="warning"))
    else:
        inside = [entry for entry in entries if entry.in_best_set]
        blocks.append(
            Paragraph(
                text=f"{several(len(inside), 'configuration')} of {len(entries)} may be the best. With 95 % "
                "probability no configuration that truly is best is missing from this set; "
                f"n = {several(best.n, 'seed')}."
            )
        )
        rows = [
            {
                "rank": str(entry.rank),
                "configuration": entry.name,
                "may be best": "yes" if entry.in_best_set else "no",
                "mean minus best other (points)": points(
                    entry.score.estimate - entries[entry is entries[0]].score.estimate, signed=True
                ),
                "simultaneous 95 % interval": points_range(*entry.against_best),
                "p (worse than best)": p_text(entry.p_worse),
            }
            for entry in entries[:MOST_SHOWN]
        ]
        marked = frozenset(i for i, entry in enumerate(entries[:MOST_SHOWN]) if entry.in_best_set)
        blocks.append(
            Table(
                name="best",
                title="Comparisons with the best",
                shown=pd.DataFrame(rows),
                marked=marked,
                folded=len(inside) < len(rows),
            )
        )
        blocks.append(note(_assumptions(analysis)))
    blocks.append(
        Paragraph(
            text=f"{bold(entries[0].name)} against others by name: paired by seed, p-values adjusted by Holm; "
            f"equivalence within {points(MARGIN)} points by two one-sided tests; McNemar on the same test images, "
            f"models of seed {analysis.grid.seeds[0]}."
        )
    )
    blocks.append(Table(name="pairs", title="Named pairs", shown=_pairs(analysis)))
    blocks.append(
        note(
            "The ranking decided which pairs are named, so their p-values are on the bold side. "
            + (
                f"With {several(best.n, 'seed')} only large differences can be shown: not shown to differ is not "
                "shown to be equal."
                if best.n < 10
                else "Not shown to differ is not shown to be equal."
            )
        )
    )
    return section("best", "Not distinguishable from the best", blocks)


def _pairs(analysis: Analysis) -> pd.DataFrame:
    rows = []
    for pair in analysis.pairs:
        test, images = pair.test, pair.images
        equal = pair.equivalence
        mcnemar = NONE
        if images is not None:
            mcnemar = f"{images.only_b} / {images.only_a}, p {_with_equals(images.p_value)}"
        rows.append(
            {
                "other": pair.entry.name,
                "why": pair.why,
                "difference (points)": points(test.difference.estimate, signed=True),
                "95 % interval": points_range(test.difference.low, test.difference.high),
                "p (Holm)": p_text(pair.p_holm),
                f"equal within {points(MARGIN)}": NONE
                if equal.cannot
                else "shown"
                if equal.equivalent
                else "not shown",
                "wrong test images: only selected / only other": mcnemar,
            }
        )
    return pd.DataFrame(rows)


def _with_equals(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") or text == NONE else f"= {text}"


def _assumptions(analysis: Analysis) -> str:
    best = analysis.best
    text = (
        "Hsu's multiple comparisons with the best over paired seed differences; membership by closed testing. Assumes "
        "errors of one variance within seeds, independent and near enough to normal."
    )
    if best.unsteady:
        names = listed([analysis.grid.configurations[k].name for k in best.unsteady])
        text += f" Far less steady than the others, so kept out of the common spread: {names}."
    if best.uneven_p < 1 - best.level:
        text += f" The others do not vary alike ({p_equals(best.uneven_p)}): p-values near the limit deserve no trust."
    return text
