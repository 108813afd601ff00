"""Who may be the best; the selected configuration against others by name; what was named beforehand."""

from sweep.metrics import NONE, Metric
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Section, note, section, table, warning
from sweep.report.findings import MOST_SHOWN, Entry
from sweep.report.formats import numeral, p_equals, p_text, several
from sweep.report.text import bold

_MOST_UNFOLDED = 12


def comparisons_section(analysis: Analysis) -> Section:
    """Who may be the best, and the selected configuration against others by name."""
    entries, comparisons = analysis.entries, analysis.comparisons
    planned = [*_named(analysis), *_fresh(analysis), *_baseline(analysis)]
    if len(entries) < 2 or comparisons.cannot:
        text = f"What cannot be said: {comparisons.cannot}. No configuration can be excluded."
        text = text if len(entries) >= 2 else "There is nothing to compare with."
        return section("comparisons", "Comparisons", [warning(text), *planned])
    inside, shown = [entry for entry in entries if entry.in_best_set], entries[:MOST_SHOWN]
    text = (
        f"{several(len(inside), 'configuration')} of {len(entries)} may be the best. A set made this way misses a "
        "configuration that truly is the best, alone or tied, in at most 5 % of experiments; "
        f"n = {several(comparisons.n, 'seed')}."
    )
    blocks = [
        text,
        warning(f"Provisional: {analysis.doubt}." if analysis.doubt else ""),
        table(
            "best",
            "Comparisons with the best",
            [_row(analysis.metric, entry) for entry in shown],
            marked=frozenset(i for i, entry in enumerate(shown) if entry.in_best_set),
            folded=len(inside) < len(shown),
        ),
        note(_method(analysis)),
        f"{bold(entries[0].name)} beside others by name, with the same numbers:",
        table("pairs", "Named pairs", [_pair(analysis, entry) for entry in entries if entry.why]),
        note("Not shown to differ is not shown to be equal."),
        *planned,
    ]
    return section("comparisons", "Not distinguishable from the best", blocks)


def _row(metric: Metric, entry: Entry) -> dict[str, str]:
    first = {"rank": str(entry.rank), "configuration": entry.name, "may be best": "yes" if entry.in_best_set else "no"}
    return first | _behind(metric, entry, "behind the first", no_interval=entry.behind.estimate == 0)


def _pair(analysis: Analysis, entry: Entry) -> dict[str, str]:
    metric = analysis.metric
    row = {"other": entry.name, "why": entry.why} | _behind(metric, entry, "behind")
    if metric.margin is not None:
        row[f"equal within {metric.difference(metric.margin)}"] = "shown" if entry.equal else "not shown"
    return row | analysis.of_task.beside(entry.configuration)


def _behind(metric: Metric, entry: Entry, title: str, *, no_interval: bool = False) -> dict[str, str]:
    low, high = entry.behind.low, entry.behind.high
    return {
        f"{title}{metric.step_heading}": metric.difference(entry.behind.estimate),
        "simultaneous 95 % interval": NONE if no_interval else metric.difference_range(low, high),
        "p (not the best)": p_text(entry.p_worse),
    }


def _method(analysis: Analysis) -> str:
    comparisons = analysis.comparisons
    text = (
        "Paired by seed; a difference is judged by the larger of the error that all configurations have in common and "
        "that of the two alone, which holds where spreads differ, as simulated. Membership by closed testing with the "
        f"studentised range; p-values below {comparisons.limit:.3g} are claims, which leaves 5 % of false ones over "
        "all looks."
    )
    uneven = f" Configurations do not vary alike between seeds ({p_equals(comparisons.uneven_p)})."
    return text + (uneven if comparisons.uneven_p < 0.05 else "")


def _named(analysis: Analysis) -> list[Content]:
    metric, rows = analysis.metric, []
    for named in analysis.named:
        pair = named.pair
        difference = metric.difference(metric.turned(pair.difference), signed=True) if pair else NONE
        rows.append(
            {
                "first": named.names[0],
                "second": named.names[1],
                f"difference{metric.step_heading}": difference,
                "n": str(pair.n) if pair else NONE,
                "e-value": numeral(pair.e_value) if pair and not named.cannot else NONE,
                "needed": numeral(pair.needed) if pair else NONE,
                "shown to differ": named.cannot or ("yes" if pair and pair.shown else "no"),
            }
        )
    rest = table("named", "Pairs named beforehand", rows)
    valid = note("Always valid: the e-value may be looked at after every further seed (t-test e-process, c = 1).")
    return [rest, valid] if rows else []


def _fresh(analysis: Analysis) -> list[Content]:
    """The finalists by their fresh seeds alone."""
    confirmed, metric, grid = analysis.confirmation, analysis.metric, analysis.grid
    if not confirmed or not confirmed.finalists:
        return []
    rows = [
        {
            "finalist": one.name,
            grid.criterion.heading: metric.text(one.score.estimate),
            "95 % interval": metric.range(one.score.low, one.score.high),
            grid.tested.heading: metric.text(one.tested.estimate),
            "95 % interval of it": metric.range(one.tested.low, one.tested.high),
            "p (not worse than the first)": p_text(one.p_worse),
            "first confirmed to be better": "yes" if one.beaten else "no" if place else NONE,
        }
        for place, one in enumerate(confirmed.finalists)
    ]
    text = (
        f"{several(confirmed.seeds, 'seed')} that chose nothing: these means are not flattered by the choice, and "
        "Student's intervals are each of its own row. The first of the finalists is tested against the others, "
        "one-sided and in steps (Dunnett)."
    )
    return [table("confirmation", "Finalists with fresh seeds alone", rows), note(text)]


def _baseline(analysis: Analysis) -> list[Content]:
    baseline = analysis.against
    if not baseline or baseline.cannot:
        return []
    ordered = sorted(baseline.p_better.items(), key=lambda item: item[1])[:MOST_SHOWN]
    rows = [
        {
            "configuration": name,
            "p (not better)": p_text(p),
            "shown to be better": "yes" if name in baseline.better else "no",
        }
        for name, p in ordered
    ]
    title = f"Compared with the baseline {baseline.name}"
    return [
        table("baseline", title, rows, folded=len(rows) > _MOST_UNFOLDED),
        note("One-sided, in steps, adjusted for all comparisons with the baseline (Dunnett)."),
    ]
