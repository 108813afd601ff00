"""The verdict: two or three sentences, each with the numbers that justify it; a pure function of the analysis.

Nothing is computed here that the analysis does not hold. Every numeral in a sentence is one of its numbers.
`detail` says the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sweep.report.findings import Analysis
from sweep.report.formats import listed, p_equals, percent, percent_range, points, several
from sweep.stats import TermEffects
from sweep.tables import bold

Numbers = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A claim.

    Attributes:
        topic: What it is about; in the verdict state, selected, others, axes or doubts.
        text: For people; with `bold` as its only mark.
        numbers: What it rests on by name: shares in [0, 1], differences, counts, p-values, words.
    """

    topic: str
    text: str
    numbers: Mapping[str, float | int | str]


def verdict(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what is selected, what cannot be told from it, and what matters and would settle more.

    An unfinished experiment says so before these two or three sentences, doubtful data or predictions after them.
    """
    sentences = [_state(analysis), _selected(analysis), _others(analysis), _axes(analysis), _doubts(analysis)]
    return tuple(sentence for sentence in sentences if sentence)


def incomplete(analysis: Analysis) -> str:
    """Gives "INCOMPLETE n/27" and why, "" for a complete experiment."""
    records = analysis.records
    if records.complete:
        return ""
    done, total, failed = len(records.done), len(records.manifest.trials), len(records.failed)
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{total - done - failed} not finished"] if total - done - failed else []
    return f"INCOMPLETE {done}/{total}: {' and '.join(parts)}."


def extremes(term: TermEffects) -> tuple[str, str]:
    """Gives the levels of an axis with the smallest and the largest mean."""
    ordered = sorted(term.levels, key=lambda level: level.effect.estimate)
    return (
        str(ordered[0].levels[0]).replace(f"{term.factors[0]}=", ""),
        str(ordered[-1].levels[0]).replace(f"{term.factors[0]}=", ""),
    )


def spans(analysis: Analysis) -> list[TermEffects]:
    """Gives the axes by the largest difference between two of their levels, largest first."""
    terms = [(term.span.estimate, term) for term in analysis.effects.effects if term.span is not None]
    return [term for _, term in sorted(terms, key=lambda item: -item[0])]


def _state(analysis: Analysis) -> Sentence | None:
    text = incomplete(analysis)
    records = analysis.records
    if not text:
        return None
    numbers = {
        "done": len(records.done),
        "trials": len(records.manifest.trials),
        "failed": len(records.failed),
        "not_finished": len(records.manifest.trials) - len(records.done) - len(records.failed),
    }
    return Sentence(
        topic="state", text=f"{bold(text)} All below is of the finished trials and may change.", numbers=numbers
    )


def _selected(analysis: Analysis) -> Sentence:
    selected, test = analysis.selected, analysis.test
    if selected is None or test is None:
        reasons = listed(dict.fromkeys(reason for _, reason in analysis.grid.left_out), most=3)
        return Sentence(
            topic="selected",
            text=f"Nothing can be selected: no grid point can be compared ({reasons}).",
            numbers={"reasons": reasons},
        )
    seeds, count = len(analysis.grid.seeds), len(analysis.entries)
    criterion = analysis.criterion
    if analysis.grid.criterion == "train_accuracy":
        criterion += " (on the very images it was trained with)"
    mean = f", mean over {several(seeds, 'seed')}, is" if seeds > 1 else " with 1 seed is"
    compared = " that can be compared" if analysis.grid.left_out else ""
    place = f"the largest of {count} configurations{compared}" if count > 1 else "the only configuration compared"
    tied, first = sum(entry.rank == 1 for entry in analysis.entries), ""
    if tied > 1:
        first = f" as the first of {tied} with the same score, in the order of the grid"
        place = f"the same for all {count} configurations{compared}" if tied == count else place
    numbers: Numbers = {
        "name": selected.name,
        "criterion": analysis.criterion,
        "mean": selected.score.estimate,
        "seeds": seeds,
        "configurations": count,
        "tied": tied,
        "test": test.estimate,
        "level": test.level,
    }
    if test.cannot:
        certainty = f", without an interval ({test.cannot})"
        numbers |= {"cannot": test.cannot}
    else:
        certainty = f" ({100 * test.level:.0f} % interval {percent_range(test)} %)"
        numbers |= {"low": test.low, "high": test.high}
    text = (
        f"{bold(selected.name)} is selected{first}: its {criterion}{mean} {percent(selected.score.estimate)} %, "
        f"{place}, and its test accuracy, looked at only after the choice, is {percent(test.estimate)} %{certainty}."
    )
    return Sentence(topic="selected", text=text, numbers=numbers)


def _others(analysis: Analysis) -> Sentence | None:
    others, best = analysis.entries[1:], analysis.best
    if not others:
        return None
    second = others[0]
    numbers: Numbers = {"gap": second.behind, "second": second.name, "level": best.level}
    if best.cannot:
        gap = f"{second.name} is {points(second.behind)} points behind"
        text = f"Whether it is better than the others cannot be said ({best.cannot}); {gap}."
        return Sentence(topic="others", text=text, numbers=numbers | {"cannot": best.cannot})
    confidence = f"({100 * best.level:.0f} % confidence for all comparisons together)"
    together = [entry for entry in others if entry.in_best_set]
    count, same, worse = len(others), len(together), len(others) - len(together)
    numbers |= {"others": count, "together": same, "worse": worse}
    if not together:
        each = "the other one" if count == 1 else f"each of the other {count}"
        gap = f"{points(second.behind)} points behind ({p_equals(second.p_worse)})"
        text = f"It is better than {each} {confidence}; the nearest, {second.name}, is {gap}."
        return Sentence(topic="others", text=text, numbers=numbers | {"p_worse": second.p_worse})
    farthest = max(entry.behind for entry in together)
    names = listed([entry.name for entry in together], most=3)
    behind = f"{points(farthest)} points behind" if same == 1 else f"up to {points(farthest)} points behind"
    numbers |= {"farthest": farthest, "more": same - 2 if same > 3 else 0}
    numbers |= {f"name_{number}": entry.name for number, entry in enumerate(together)}
    which = f"{same} of the other {count}" if worse else f"any of the other {count}"
    which = "the other one" if count == 1 else which
    rest = {0: "none of them is shown to be worse", 1: "the other one is worse"}.get(
        worse, f"the other {worse} are worse"
    )
    text = f"It cannot be told apart from {which} ({names}; {behind}); {rest} {confidence}."
    return Sentence(topic="others", text=text, numbers=numbers)


def _axes(analysis: Analysis) -> Sentence | None:
    """Which axis matters most, whether that depends on another, and how many seeds would settle more."""
    if len(analysis.entries) < 2:
        return None
    numbers: Numbers = {}
    claim = _what_matters(analysis, numbers)
    if analysis.crossings:
        crossing = max(analysis.crossings, key=lambda one: min(one.lead, one.other_lead))
        claim += f", but which {crossing.factor} is best depends on {crossing.other}"
        numbers |= {"factor": crossing.factor, "other": crossing.other}
    else:
        claim += _what_combines(analysis, numbers)
    return Sentence(topic="axes", text=f"{claim}; {_what_settles(analysis, numbers)}.", numbers=numbers)


def _doubts(analysis: Analysis) -> Sentence | None:
    """What looks like a mistake in the data, and classes that the selected configuration does not know."""
    doubts = list(analysis.manifest.dataset.doubts)
    numbers: Numbers = {f"doubt_{number}": doubt for number, doubt in enumerate(doubts)}
    if analysis.images and analysis.images.predicted[0].never.any():
        selected = analysis.images.predicted[0]
        never = np.flatnonzero(selected.never.any(axis=0))
        names = listed([f"class {analysis.images.class_names[label]}" for label in never])
        seeds, concerned = len(selected.never), int(selected.never.any(axis=1).sum())
        numbers |= {"seeds": seeds, "concerned": concerned, "classes": names}
        which = f" in {concerned} of {several(seeds, 'seed')}" if seeds > 1 else ""
        doubts.append(f"the selected configuration never predicts {names}{which}")
    if not doubts:
        return None
    return Sentence(topic="doubts", text=f"{bold('Doubtful:')} {'; '.join(doubts)}.", numbers=numbers)


def _what_matters(analysis: Analysis, numbers: Numbers) -> str:
    terms, effects = spans(analysis), analysis.effects
    if effects.cannot:
        numbers["cannot"] = effects.cannot
        return f"Which axis matters most cannot be said ({effects.cannot})"
    known = [(term.factors[0], term.span, *extremes(term)) for term in terms if term.span is not None]
    for axis, span, worst, best in known:
        numbers |= {f"span_{axis}": span.estimate, f"low_{axis}": span.low, f"high_{axis}": span.high}
        numbers |= {f"worst_{axis}": worst, f"best_{axis}": best}
    matter = [(axis, span, worst, best) for axis, span, worst, best in known if span.low > 0]
    if not matter:
        return "Of the axes, none is shown to matter on average"
    # Two axes whose intervals overlap are not put in an order.
    leading = [item for item in matter if item[1].high >= matter[0][1].low]
    sizes = [f"{points(span.estimate)} points from {worst} to {best}" for _, span, worst, best in leading]
    averaged = ", averaged over the other axes" if len(known) > 1 else ""
    names = listed([bold(axis) for axis, *_ in leading], most=len(leading))
    if len(leading) > 1:
        order = "in which order is not shown"
        return f"Of the axes, {names} matter most ({listed(sizes, most=len(sizes))}{averaged}; {order})"
    if len(known) == 1:
        return f"The axis {names} matters ({sizes[0]})"
    claim = f"only {names} is shown to matter" if len(matter) == 1 else f"{names} matters most"
    return f"Of the axes, {claim} ({sizes[0]}{averaged})"


def _what_combines(analysis: Analysis, numbers: Numbers) -> str:
    """Averages over the other axes mislead where a combination explains more than half as much as any axis."""
    rows = analysis.effects.table
    shares = {row.name: row.share for row in rows if row.kind == "factor"}
    tests = [row for row in rows if row.kind == "interaction"]
    bound = (1 - analysis.effects.level) / max(len(tests), 1)
    larger = [row for row in tests if row.p_value < bound and row.share > max(shares.values()) / 2]
    if not larger:
        return ""
    row = max(larger, key=lambda one: one.share)
    axis = max(row.factors, key=lambda name: shares[name])
    numbers |= {"combination": " × ".join(row.factors), "share_combination": round(100 * row.share)}
    numbers |= {"alone": axis, "share_alone": round(100 * shares[axis])}
    both = listed(row.factors, most=len(row.factors))
    sizes = f"{100 * row.share:.0f} % of all variation, {axis} alone {100 * shares[axis]:.0f} %"
    return f", but {both} act in combination ({sizes})"


def _what_settles(analysis: Analysis, numbers: Numbers) -> str:
    resolution = analysis.resolution
    now, needed, margin = resolution.seeds_now, resolution.seeds_for_margin, points(resolution.margin)
    numbers |= {"seeds": now, "margin": resolution.margin}
    if needed is None:
        return f"how many more seeds would resolve {margin} points cannot be said"
    numbers |= {"needed": needed, "more": needed - now}
    if needed <= now:
        return f"the {several(now, 'seed')} resolve {margin} points between two configurations named beforehand"
    more = several(needed - now, "more seed")
    return f"about {more} would resolve {margin} points between two configurations named beforehand"
