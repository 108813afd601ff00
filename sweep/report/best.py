"""Section 4: who may be the best, and the selected configuration against others by name."""

import pandas as pd

from sweep.report.document import Block, Paragraph, Section, Table, note, section
from sweep.report.findings import MOST_SHOWN, Analysis, Entry
from sweep.report.formats import (
    NONE,
    numeral,
    p_equals,
    p_text,
    percent,
    percent_range,
    points,
    points_range,
    several,
)
from sweep.tables import bold


def best_section(analysis: Analysis) -> Section:
    """Who may be the best, and the selected configuration against others by name."""
    entries, comparisons = analysis.entries, analysis.comparisons
    if len(entries) < 2 or comparisons.cannot:
        text = "There is nothing to compare with."
        if len(entries) >= 2:
            text = f"What cannot be said: {comparisons.cannot}. No configuration can be excluded."
        return section("comparisons", "Comparisons", [Paragraph(text=text, kind="warning"), *_planned(analysis)])
    inside = [entry for entry in entries if entry.in_best_set]
    blocks: list[Block | None] = [
        Paragraph(
            text=f"{several(len(inside), 'configuration')} of {len(entries)} may be the best. A set made this way "
            "misses a configuration that truly is the best, alone or tied, in at most 5 % of experiments; "
            f"n = {several(comparisons.n, 'seed')}."
        ),
        Paragraph(text=f"Provisional: {_doubt(analysis)}.", kind="warning") if _doubt(analysis) else None,
        Table(
            name="best",
            title="Comparisons with the best",
            shown=pd.DataFrame(_row(entry) for entry in entries[:MOST_SHOWN]),
            marked=frozenset(i for i, entry in enumerate(entries[:MOST_SHOWN]) if entry.in_best_set),
            folded=len(inside) < min(len(entries), MOST_SHOWN),
        ),
        note(_method(analysis)),
        Paragraph(text=f"{bold(entries[0].name)} beside others by name, with the same numbers:"),
        Table(name="pairs", title="Named pairs", shown=_pairs(analysis)),
        note("Not shown to differ is not shown to be equal."),
        *_planned(analysis),
    ]
    return section("comparisons", "Not distinguishable from the best", blocks)


def _doubt(analysis: Analysis) -> str:
    return analysis.unfinished or analysis.comparisons.provisional


def _row(entry: Entry) -> dict[str, str]:
    return {
        "rank": str(entry.rank),
        "configuration": entry.name,
        "may be best": "yes" if entry.in_best_set else "no",
        "behind the first (points)": points(entry.behind.estimate),
        "simultaneous 95 % interval": NONE if entry.behind.estimate == 0 else _range(entry),
        "p (not the best)": p_text(entry.p_worse),
    }


def _range(entry: Entry) -> str:
    return points_range(entry.behind.low, entry.behind.high)


def _pairs(analysis: Analysis) -> pd.DataFrame:
    margin = analysis.metric.margin
    predicted = analysis.images.predicted if analysis.images else ()
    correct = {id(one.configuration): one.correct for one in predicted}
    first = correct.get(id(analysis.entries[0].configuration))
    rows = []
    for pair in analysis.pairs:
        row = {
            "other": pair.entry.name,
            "why": pair.why,
            "behind (points)": points(pair.entry.behind.estimate),
            "simultaneous 95 % interval": _range(pair.entry),
            "p (not the best)": p_text(pair.entry.p_worse),
        }
        if margin is not None:
            row[f"equal within {points(margin)}"] = "shown" if pair.equal else "not shown"
        second = correct.get(id(pair.entry.configuration))
        wrong = NONE
        if first is not None and second is not None and len(first) == len(second):
            only = [(~first & second).sum(axis=1).mean(), (first & ~second).sum(axis=1).mean()]
            wrong = f"{only[0]:.1f} / {only[1]:.1f}"
        row["wrong test images, mean over seeds: only selected / only other"] = wrong
        rows.append(row)
    return pd.DataFrame(rows)


def _method(analysis: Analysis) -> str:
    comparisons = analysis.comparisons
    text = (
        "Paired by seed; a difference is judged by the larger of the error that all configurations have in common and "
        "that of the two alone, which holds where spreads differ, as simulated. Membership by closed testing with the "
        f"studentised range; p-values below {comparisons.limit:.3g} are claims, which leaves 5 % of false ones over "
        "all looks."
    )
    if comparisons.uneven_p < 0.05:
        text += f" Configurations do not vary alike between seeds ({p_equals(comparisons.uneven_p)})."
    return text


def _planned(analysis: Analysis) -> list[Block | None]:
    """Tables of what the sweep file named beforehand."""
    blocks: list[Block | None] = []
    if analysis.named:
        rows = [
            {
                "first": named.names[0],
                "second": named.names[1],
                "difference (points)": points(named.pair.difference, signed=True) if named.pair else NONE,
                "n": str(named.pair.n) if named.pair else NONE,
                "e-value": numeral(named.pair.e_value) if named.pair and not named.cannot else NONE,
                "needed": numeral(named.pair.needed) if named.pair else NONE,
                "shown to differ": named.cannot or ("yes" if named.pair and named.pair.shown else "no"),
            }
            for named in analysis.named
        ]
        blocks.append(Table(name="named", title="Pairs named beforehand", shown=pd.DataFrame(rows)))
        blocks.append(
            note("Always valid: the e-value may be looked at after every further seed (t-test e-process, c = 1).")
        )
    blocks += _fresh(analysis)
    baseline = analysis.baseline
    if baseline and not baseline.cannot:
        rows = [
            {
                "configuration": name,
                "p (not better)": p_text(p),
                "shown to be better": "yes" if name in better else "no",
            }
            for better in [set(baseline.better)]
            for name, p in sorted(baseline.p_better.items(), key=lambda item: item[1])[:MOST_SHOWN]
        ]
        title = f"Compared with the baseline {baseline.name}"
        blocks.append(Table(name="baseline", title=title, shown=pd.DataFrame(rows), folded=len(rows) > 12))
        blocks.append(note("One-sided, in steps, adjusted for all comparisons with the baseline (Dunnett)."))
    return blocks


def _fresh(analysis: Analysis) -> list[Block | None]:
    """The finalists by their fresh seeds alone."""
    confirmed = analysis.confirmation
    if not confirmed or not confirmed.finalists:
        return []
    better = {claim.subject[1] for claim in analysis.claimed("confirmed")}
    rows = [
        {
            "finalist": one.name,
            f"{analysis.criterion} (%)": percent(one.score.estimate),
            "95 % interval": percent_range(one.score),
            "test accuracy (%)": percent(one.test.estimate),
            "95 % interval of it": percent_range(one.test),
            "p (not worse than the first)": p_text(one.p_worse),
            "first confirmed to be better": "yes" if one.name in better else NONE if place == 0 else "no",
        }
        for place, one in enumerate(confirmed.finalists)
    ]
    return [
        Table(name="confirmation", title="Finalists with fresh seeds alone", shown=pd.DataFrame(rows)),
        note(
            f"{several(confirmed.seeds, 'seed')} that chose nothing: these means are not flattered by the choice, and "
            "Student's intervals are each of its own row. The first of the finalists is tested against the others, "
            "one-sided and in steps (Dunnett)."
        ),
    ]
