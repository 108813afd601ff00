"""What is said of an experiment in sentences: the verdict, and the same claims in detail below it.

Nothing is computed here that the analysis does not hold, but for how many seeds would settle more. Sentences are by
topic, in order, with `bold` as their only mark.
"""

import math
from collections.abc import Sequence

import numpy as np

from sweep.report.analysis import Analysis
from sweep.report.document import Paragraph, Section, section
from sweep.report.findings import LEVEL, Baseline, Claim, Findings, Named
from sweep.report.formats import listed, numeral, p_equals, several
from sweep.report.text import bold
from sweep.stats import Interval, detectable, seeds_range
from sweep.table import Grid

_MOST_NAMED = 8
_LEVEL = f"{100 * LEVEL:.0f} %"


def verdict_section(analysis: Analysis) -> Section:
    """The verdict, and below it what was compared, who is not told apart by how much, and what every axis does."""
    # The banner above says how the experiment stands.
    blocks = [Paragraph(text=text, kind="verdict") for topic, text in verdict(analysis).items() if topic != "state"]
    points = [Paragraph(text=text, kind="point") for text in details(analysis).values()]
    return section("verdict", "Verdict", [*blocks, "In detail:" if points else None, *points])


def verdict(analysis: Analysis) -> dict[str, str]:
    """Says what is selected, what cannot be told from it, what matters and would settle more, how far it holds."""
    sentences = {
        "state": _state(analysis),
        "selected": _selected(analysis),
        "others": _others(analysis),
        "axes": _axes(analysis),
        "plans": _plans(analysis),
        "confirmed": _confirmed(analysis),
        "scope": _scope(analysis),
        "doubts": _doubts(analysis),
    }
    return {topic: text for topic, text in sentences.items() if text}


def details(analysis: Analysis) -> dict[str, str]:
    """Says what was compared, who is not told apart by how much, what every axis does, and what seeds can show."""
    if not analysis.entries:
        return {}
    several_seeds = len(analysis.grid.seeds) > 1
    sentences = {
        "configurations": _configurations(analysis),
        "left_out": _left_out(analysis.grid),
        "missing": missing(analysis.grid),
        "test": _of_test(analysis),
        "together": _together(analysis) if several_seeds else "",
        "factors": _factors(analysis) if several_seeds else "",
        "interaction": _interaction(analysis),
        "more": _resolved(analysis),
        **analysis.of_task.details(),
    }
    return {topic: text for topic, text in sentences.items() if text}


def incomplete(analysis: Analysis) -> str:
    """Gives "INCOMPLETE n/27" and why, "" for a complete experiment."""
    state = analysis.state
    if state.complete:
        return ""
    done, total, failed = len(state.done), len(state.manifest.trials), len(state.failed)
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{total - done - failed} not finished"] if total - done - failed else []
    return f"INCOMPLETE {done}/{total}: {' and '.join(parts)}."


def missing(grid: Grid) -> str:
    """Says how many scores of compared configurations are missing, and what is done about it; "" if none is."""
    if not grid.missing:
        return ""
    return (
        f"Of the {several(grid.goodness.size, 'score')} of all configurations and seeds, {grid.missing} are missing; "
        "every one there is takes part, and means are over all seeds, what is missing being estimated (least squares)."
    )


def seeds_needed(found: Findings) -> tuple[tuple[int, int] | None, str]:
    """Gives how many seeds resolve the metric's margin, from and to; None and why not if that cannot be said."""
    comparisons, margin = found.comparisons, found.metric.margin
    cannot = comparisons.cannot or comparisons.provisional
    if margin is None and not comparisons.cannot:
        cannot = "nobody has said what difference matters"
    if cannot or margin is None:
        return None, cannot
    needed = seeds_range(margin, comparisons.error_variance, comparisons.df, len(found.grid.seeds), LEVEL)
    return needed, "" if needed else "the spread between seeds is known too roughly, or is too large"


# ---- the verdict


def _state(analysis: Analysis) -> str:
    text, change = incomplete(analysis), "All below is of the finished trials and may change."
    if not analysis.unfinished:
        change = "What is missing are fresh seeds of finalists; all but what is said of these stays."
    return f"{bold(text)} {change}" if text else ""


def _selected(analysis: Analysis) -> str:
    """Who is selected as what: "**deep relu** is selected: its validation loss, ..., is 0.12, the smallest of 18"."""
    grid, metric, entries, test = analysis.grid, analysis.metric, analysis.entries, analysis.test
    if not entries or test is None:
        diverged = [f"{one.point.name} diverged" for one in grid.diverged]
        reasons = listed(dict.fromkeys([*diverged, *(reason for _, reason in grid.left_out)]), most=3)
        return f"Nothing can be selected: no grid point can be compared ({reasons})."
    selected, count, tied = entries[0], len(entries), sum(entry.rank == 1 for entry in entries)
    trained = " (on the very samples it was trained with)" if analysis.criterion.split == "train" else ""
    criterion, score = f"{analysis.criterion.title}{trained}", metric.phrase(selected.score.estimate)
    if len(grid.seeds) == 1:
        place = f"the {metric.best} of {several(count, 'single run')}" if count > 1 else "from one single run"
        place += f", as {tied} of them are" if tied > 1 else ""
        return (
            f"{bold(selected.name)} has the {criterion} {score}, {place}; its {grid.tested.title} is "
            f"{metric.phrase(test.estimate)}. One seed cannot tell what is the configuration's and what is luck: add "
            "seeds with --extend."
        )
    compared = f"{count} configurations{' that can be compared' if grid.left_out or grid.diverged else ''}"
    place = f"the {metric.best} of {compared}" if count > 1 else "the only configuration compared"
    place = f"the same for all {compared}" if tied == count > 1 else place
    first = f" as the first of {tied} with the same score, in the order of the grid" if tied > 1 else ""
    return (
        f"{bold(selected.name)} is selected{first}: its {criterion}, mean over {several(len(grid.seeds), 'seed')}, is "
        f"{score}, {place}{_expected(analysis)}. {_tested(analysis, test)}"
    )


def _expected(analysis: Analysis) -> str:
    """What to expect of it: " (97.20 % to be expected with new seeds, 95 % interval 97.00 to 97.40 %)"."""
    winner, score, metric = analysis.winner, analysis.entries[0].score, analysis.metric
    parts = []
    if winner and np.isfinite(winner.expected) and len(analysis.entries) > 1:
        parts.append(f"{metric.phrase(metric.value(winner.expected))} to be expected with new seeds")
    if not score.cannot:
        parts.append(_interval(analysis, score, "mean"))
    return f" ({', '.join(parts)})" if parts else ""


def _tested(analysis: Analysis, test: Interval) -> str:
    winner, metric = analysis.winner, analysis.metric
    optimism = winner.test_optimism if winner and np.isfinite(winner.test_optimism) else 0.0
    seen = round(optimism * metric.factor * 10**metric.digits) > 0
    corrected = f" and corrected by {metric.differ_by(optimism)} for it" if seen else ""
    certainty = f", without an interval ({test.cannot})" if test.cannot else f" ({_interval(analysis, test, 'test')})"
    title, value = analysis.grid.tested.title, metric.phrase(test.estimate)
    return f"Its {title}, looked at only after the choice{corrected}, is {value}{certainty}."


def _interval(analysis: Analysis, interval: Interval, kind: str) -> str:
    provisional = ", provisional" if any(claim.provisional for claim in analysis.claimed(kind)) else ""
    return f"{_LEVEL} interval {analysis.metric.phrase_range(interval.low, interval.high)}{provisional}"


def _carried(claims: Sequence[Claim], together: str = "all comparisons together") -> str:
    """What claims of one kind hold with, in words: a level, or why they are provisional."""
    doubt = next((claim.provisional for claim in claims if claim.provisional), "")
    return f"provisional: {doubt}" if doubt else f"{_LEVEL} confidence for {together}"


def _others(analysis: Analysis) -> str:
    others, comparisons, metric = analysis.entries[1:], analysis.comparisons, analysis.metric
    if not others or len(analysis.grid.seeds) == 1:
        return ""
    second, count = others[0], len(others)
    gap = metric.differ_by(second.behind.estimate)
    if comparisons.cannot:
        unknown = f"Whether it is better than the others cannot be said ({comparisons.cannot})"
        return f"{unknown}; {second.name} is {gap} behind."
    worse = analysis.claimed("worse")
    together = [entry for entry in others if entry.in_best_set]
    confidence = _carried(worse or [Claim(kind="worse", subject=(), provisional=analysis.doubt)])
    if not together:
        each = "the other one" if count == 1 else f"each of the other {count}"
        behind = f"{gap} behind ({p_equals(second.p_worse)})"
        return f"It is shown to be better than {each} ({confidence}); the nearest, {second.name}, is {behind}."
    farthest = metric.differ_by(max(entry.behind.estimate for entry in together))
    behind = f"{farthest} behind" if len(together) == 1 else f"up to {farthest} behind"
    which = f"{len(together)} of the other {count}" if worse else f"any of the other {count}"
    which = "the other one" if count == 1 else which
    rest = {0: "none of them is shown to be worse", 1: "the other one is shown to be worse than the best"}.get(
        len(worse), f"the other {len(worse)} are shown to be worse than the best"
    )
    names = listed([entry.name for entry in together], most=3)
    return f"It cannot be told apart from {which} ({names}; {behind}); {rest} ({confidence})."


def _axes(analysis: Analysis) -> str:
    """Which axis matters most, whether that depends on another, and how many seeds would settle more."""
    if len(analysis.entries) < 2 or len(analysis.grid.seeds) == 1:
        return ""
    cannot = analysis.effects.cannot
    text = f"Which axis matters most cannot be said ({cannot})" if cannot else _what_matters(analysis)
    if analysis.claimed("depends"):
        crossing = max(analysis.effects.crossings, key=lambda one: min(one.lead, one.other_lead))
        text += f", but which {crossing.factor} is best depends on {crossing.other}"
    else:
        text += _what_combines(analysis)
    return f"{text}; {_what_settles(analysis)}."


def _what_matters(analysis: Analysis) -> str:
    claimed, most = analysis.claimed("axis"), analysis.claimed("most")
    if not claimed:
        return "Of the axes, none is shown to matter on average"
    known = {one.axis: one for one in analysis.spans}
    alone = len(known) == 1
    # Axes whose intervals overlap are not put in an order.
    first = claimed[:1] if most else [claim for claim in claimed if not claim.provisional] or claimed
    rest = [] if most else [claim for claim in claimed if claim not in first]

    def names(claims: Sequence[Claim]) -> str:
        return listed([bold(claim.subject[0]) for claim in claims], most=len(claims))

    def sizes(claims: Sequence[Claim]) -> str:
        found = [known[claim.subject[0]] for claim in claims]
        changes = [(analysis.metric.differ_by(one.span.estimate), *one.ends) for one in found]
        return listed([f"{gap} from {worst.cell} to {best.cell}" for gap, worst, best in changes], most=len(found))

    verb = "matters" if alone else "matters most" if most else "is shown to matter"
    verb = "are shown to matter" if len(first) > 1 else verb
    averaged = "" if alone else ", averaged over the other axes"
    confidence = _carried(most or first, "all axes together")
    text = f"{'The axis' if alone else 'Of the axes,'} {names(first)} {verb} ({sizes(first)}{averaged}; {confidence})"
    if rest:
        text += f", and {names(rest)} provisionally ({sizes(rest)}; {rest[0].provisional})"
    return text + (", none of them most" if len(first + rest) > 1 else "")


def _what_combines(analysis: Analysis) -> str:
    """Averages over the other axes mislead where a combination explains more than half as much as any axis."""
    shares = {one.axis: one.share for one in analysis.spans}
    claimed = {claim.subject for claim in analysis.claimed("combine")}
    rows = [row for row in analysis.effects.table if row.factors in claimed]
    if not rows:
        return ""
    row = max(rows, key=lambda one: one.share)
    if row.share <= max(shares.values()) / 2:
        return ""
    axis = max(row.factors, key=lambda name: shares[name])
    sizes = f"{100 * row.share:.0f} % of the variation in this sample, {axis} alone {100 * shares[axis]:.0f} %"
    return f", but {listed(row.factors, most=len(row.factors))} act in combination ({sizes})"


def _what_settles(analysis: Analysis) -> str:
    now, margin = len(analysis.grid.seeds), analysis.metric.margin
    needed, cannot = seeds_needed(analysis)
    if needed is None or margin is None:
        return f"how many seeds would settle more cannot be said ({cannot})"
    low, high = needed
    what = f"resolve {analysis.metric.differ_by(margin)} between two configurations named beforehand"
    if high <= now:
        return f"the {several(now, 'seed')} {what}"
    seeds = several(high, "seed") if low == high else f"{low:,} to {several(high, 'seed')}"
    return f"about {seeds} in all would {what}, and adding seeds is a further look"


def _plans(analysis: Analysis) -> str:
    """What the sweep file named beforehand: pairs, and a baseline."""
    parts = [_pair(analysis, named) for named in analysis.named]
    parts += [_baseline(analysis, analysis.against)] if analysis.against else []
    return f"As named beforehand: {'; '.join(parts)}." if parts else ""


def _pair(analysis: Analysis, named: Named) -> str:
    (first, second), pair = named.names, named.pair
    if pair is None or named.cannot:
        return f"{first} and {second} cannot be told apart ({named.cannot})"
    gap = analysis.metric.differ_by(abs(pair.difference))
    evidence = f"e = {numeral(pair.e_value)}, {numeral(pair.needed)} needed"
    if pair.n < pair.fewest:
        evidence += f", for which {several(pair.fewest, 'seed')} are the fewest"
    for claim in analysis.claimed("named"):
        if set(claim.subject) == {first, second}:
            confidence = _carried([claim], "all named pairs and looks together")
            text = f"{bold(claim.subject[0])} is shown to be better than {claim.subject[1]} by {gap}"
            return f"{text} ({evidence}; {confidence})"
    own = " by their own test, though among all pairs they are" if named.anyway else ""
    return f"{first} and {second} are not shown to differ{own} ({gap}; {evidence})"


def _baseline(analysis: Analysis, baseline: Baseline) -> str:
    if baseline.cannot:
        return f"nothing can be said against the baseline {baseline.name} ({baseline.cannot})"
    confidence = f" ({_carried(analysis.claimed('baseline'), 'all of them together')})" if baseline.better else ""
    which = f"{listed(baseline.better, most=3) or 'nothing'} {'are' if len(baseline.better) > 1 else 'is'}"
    return f"{which} shown to be better than the baseline {baseline.name}{confidence}"


def _confirmed(analysis: Analysis) -> str:
    """What fresh seeds say of the finalists, by themselves."""
    confirmed, metric = analysis.confirmation, analysis.metric
    if not confirmed or confirmed.cannot:
        return f"Fresh seeds of the finalists say nothing yet ({confirmed.cannot})." if confirmed else ""

    def fresh(interval: Interval) -> str:
        text = metric.phrase(interval.estimate)
        ends = metric.phrase_range(interval.low, interval.high)
        return text if interval.cannot else f"{text} ({_LEVEL} interval {ends})"

    first, *others = confirmed.finalists
    text = (
        f"With {several(confirmed.seeds, 'fresh seed')}, {bold(first.name)} has the {analysis.criterion.title} "
        f"{fresh(first.score)} and the {analysis.grid.tested.title} {fresh(first.tested)}"
    )
    beaten = [one.name for one in others if one.beaten]
    if others and not beaten:
        text += f"; it is not confirmed to be better than {listed([one.name for one in others], most=3)}"
    elif others:
        rest = len(others) - len(beaten)
        left = f", not than the other {'finalist' if rest == 1 else f'{rest} finalists'}" if rest else ""
        confidence = _carried(confirmed.claims, "all finalists together")
        text += f"; it is confirmed to be better than {listed(beaten, most=3)}{left} ({confidence})"
    return f"{text}."


def _scope(analysis: Analysis) -> str:
    """What all of it is conditional on, and how often the data were looked at."""
    if len(analysis.grid.seeds) < 2 or not analysis.entries:
        return ""
    text, looks = "All of this is for new seeds with the same training and validation data", analysis.comparisons.looks
    if looks > 1:
        text += f"; it is look {looks} at growing data, and {_LEVEL} holds over all looks together"
    return f"{text}."


def _doubts(analysis: Analysis) -> str:
    """What looks like a mistake in the data, what diverged, and what the task doubts of the selected one."""
    doubts, diverged = list(analysis.manifest.dataset.doubts), analysis.grid.diverged
    if diverged:
        named = [f"{one.point.name} diverged in {one.count} of {several(one.n, 'seed')}" for one in diverged]
        doubts.append(f"{listed(named, most=3)}, ranked last")
    doubts += analysis.of_task.doubts()
    return f"{bold('Doubtful:')} {'; '.join(doubts)}." if doubts else ""


# ---- in detail


def _configurations(analysis: Analysis) -> str:
    count = several(len(analysis.entries), "configuration")
    covered = sum(len(entry.configuration.points) for entry in analysis.entries)
    text = f"The {covered} grid points are {count}: those with identical numbers in every seed are one, their names "
    return f'{text}joined by "=", and count once.' if covered > len(analysis.entries) else ""


def _left_out(grid: Grid) -> str:
    named = [f"{point.name} ({reason})" for point, reason in grid.left_out]
    are = "is" if len(named) == 1 else "are"
    of = several(len(grid.points), "grid point")
    return f"Not compared {are} {len(named)} of {of}: {listed(named, most=3)}." if named else ""


def _of_test(analysis: Analysis) -> str:
    test = analysis.test
    if test is None or test.cannot:
        return ""
    over, others = several(test.n, "seed"), "the same samples"
    if analysis.cases:
        over, others = f"{over} and {several(analysis.cases, 'sample')}", "other samples like these"
    return f"The interval of the {analysis.grid.tested.title} is over {over}: it speaks of other seeds on {others}."


def _together(analysis: Analysis) -> str:
    metric = analysis.metric
    together = [entry for entry in analysis.entries[1:] if entry.in_best_set]
    if not together or analysis.comparisons.cannot:
        return ""
    names = [f"{entry.name} ({metric.difference(entry.behind.estimate)})" for entry in together]
    behind = f"{metric.step} behind" if metric.step else "how far behind"
    return f"Not told apart from it, with {behind}: {listed(names, most=_MOST_NAMED)}."


def _factors(analysis: Analysis) -> str:
    cannot, metric = analysis.effects.cannot, analysis.metric
    parts = []
    for one in analysis.spans:
        span, (worst, best) = one.span, one.ends
        change = f"{one.axis} {metric.differ_by(span.estimate)} from {worst.cell} to {best.cell}"
        if cannot:
            parts.append(change)
        elif span.low > 0:
            interval = f"{_LEVEL} interval {metric.difference_range(span.low, span.high)}"
            share = f"{100 * one.share:.0f} %" if one.share >= 0.01 else "under 1 %"
            parts.append(f"{change} ({interval}; {share} of the variation in this sample)")
        else:
            parts.append(f"{one.axis} is not shown to matter (at most {metric.differ_by(span.high)})")
    means = "averaged over the other axes, largest first" if len(parts) > 1 else "between its levels"
    untested = f" and not tested ({cannot})" if cannot else ""
    return f"Differences of means, {means}{untested}: {'; '.join(parts)}." if parts else ""


def _interaction(analysis: Analysis) -> str:
    if not analysis.claimed("depends"):
        return ""
    one = max(analysis.effects.crossings, key=lambda one: min(one.lead, one.other_lead))
    lead, other_lead = analysis.metric.differ_by(one.lead), analysis.metric.difference(one.other_lead)
    return (
        f"Which {one.factor} is best depends on {one.other}: with {one.at}, {one.better} leads {one.worse} by {lead}; "
        f"with {one.other_at}, {one.worse} leads {one.better} by {other_lead}."
    )


def _resolved(analysis: Analysis) -> str:
    if len(analysis.entries) < 2 or seeds_needed(analysis)[0] is None:
        return ""
    now = len(analysis.grid.seeds)
    smallest = analysis.metric.differ_by(detectable(math.sqrt(2 * analysis.comparisons.error_variance), now))
    return (
        f"Of two configurations named beforehand, {several(now, 'seed')} resolve a difference of {smallest} (power "
        "80 %)."
    )
