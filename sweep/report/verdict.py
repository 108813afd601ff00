"""The verdict: a few sentences, each with the numbers that justify it; a pure function of the analysis.

Nothing is computed here that the analysis does not hold: what is claimed are its claims, and every numeral in a
sentence is one of its numbers. `detail` says the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.report.claims import spans
from sweep.report.findings import LEVEL, Analysis, Claim
from sweep.report.formats import listed, numeral, p_equals, percent, percent_range, points, several
from sweep.stats import Interval, TermEffects
from sweep.tables import bold

Numbers = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Something that is said.

    Attributes:
        topic: What it is about; in the verdict state, selected, others, axes, plans, confirmed, scope or doubts.
        text: For people; with `bold` as its only mark.
        numbers: What it rests on by name: shares in [0, 1], differences, counts, p-values, words.
    """

    topic: str
    text: str
    numbers: Mapping[str, float | int | str]


def verdict(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what is selected, what cannot be told from it, what matters and would settle more, how far it holds."""
    sentences = [
        _state(analysis),
        _selected(analysis),
        _others(analysis),
        _axes(analysis),
        _plans(analysis),
        _confirmed(analysis),
        _scope(analysis),
        _doubts(analysis),
    ]
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


def carried(claims: Sequence[Claim], numbers: Numbers, *, together: str = "all comparisons together") -> str:
    """Gives what claims of one kind hold with, in words: a level, or why they are provisional."""
    numbers["level"] = LEVEL
    doubt = next((claim.provisional for claim in claims if claim.provisional), "")
    if doubt:
        numbers["provisional"] = doubt
        return f"provisional: {doubt}"
    return f"{100 * LEVEL:.0f} % confidence for {together}"


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
        diverged = [f"{one.point.name} diverged" for one in analysis.grid.diverged]
        reasons = listed(dict.fromkeys([*diverged, *(reason for _, reason in analysis.grid.left_out)]), most=3)
        return Sentence(
            topic="selected",
            text=f"Nothing can be selected: no grid point can be compared ({reasons}).",
            numbers={"reasons": reasons},
        )
    numbers: Numbers = {
        "name": selected.name,
        "criterion": analysis.criterion,
        "mean": selected.score.estimate,
        "seeds": len(analysis.grid.seeds),
        "configurations": len(analysis.entries),
        "tied": sum(entry.rank == 1 for entry in analysis.entries),
        "test": test.estimate,
        "level": LEVEL,
    }
    if len(analysis.grid.seeds) == 1:
        text = _single_run(analysis, numbers)
    else:
        text = f"{_by_mean(analysis, numbers)}{_expected(analysis, numbers)}. {_tested(analysis, test, numbers)}"
    return Sentence(topic="selected", text=text, numbers=numbers)


def _single_run(analysis: Analysis, numbers: Numbers) -> str:
    selected, test = analysis.entries[0], analysis.test
    assert test
    count, tied = len(analysis.entries), int(numbers["tied"])
    place = f"the largest of {several(count, 'single run')}" if count > 1 else "from one single run"
    place += f", as {tied} of them are" if tied > 1 else ""
    return (
        f"{bold(selected.name)} has the {_criterion(analysis)} {percent(selected.score.estimate)} %, {place}; its test "
        f"accuracy is {percent(test.estimate)} %. One seed cannot tell what is the configuration's and what is luck: "
        "add seeds with --extend."
    )


def _criterion(analysis: Analysis) -> str:
    trained = " (on the very images it was trained with)" if analysis.metric.name == "train_accuracy" else ""
    return analysis.criterion + trained


def _by_mean(analysis: Analysis, numbers: Numbers) -> str:
    """Who is selected, as what: "**deep relu** is selected: its validation accuracy, ..., the largest of 18"."""
    selected, count, tied = analysis.entries[0], len(analysis.entries), int(numbers["tied"])
    left = analysis.grid.left_out or analysis.grid.diverged
    compared = " that can be compared" if left else ""
    place = f"the largest of {count} configurations{compared}" if count > 1 else "the only configuration compared"
    first = ""
    if tied > 1:
        first = f" as the first of {tied} with the same score, in the order of the grid"
        place = f"the same for all {count} configurations{compared}" if tied == count else place
    mean = f"mean over {several(len(analysis.grid.seeds), 'seed')}, is {percent(selected.score.estimate)} %, {place}"
    return f"{bold(selected.name)} is selected{first}: its {_criterion(analysis)}, {mean}"


def _expected(analysis: Analysis, numbers: Numbers) -> str:
    """What to expect of it: " (97.20 % to be expected with new seeds, 95 % interval 97.00 to 97.40 %)"."""
    winner, score = analysis.winner, analysis.entries[0].score
    parts = []
    if winner and np.isfinite(winner.expected) and len(analysis.entries) > 1:
        expected = analysis.metric.value(winner.expected)
        numbers["expected"] = expected
        parts.append(f"{percent(expected)} % to be expected with new seeds")
    if not score.cannot:
        numbers |= {"mean_low": score.low, "mean_high": score.high}
        parts.append(_interval(analysis, score, "mean"))
    return f" ({', '.join(parts)})" if parts else ""


def _tested(analysis: Analysis, test: Interval, numbers: Numbers) -> str:
    winner = analysis.winner
    optimism = winner.test_optimism if winner and np.isfinite(winner.test_optimism) else 0.0
    corrected = ""
    if round(1e4 * optimism) > 0:
        numbers["optimism"] = optimism
        corrected = f" and corrected by {points(optimism)} points for it"
    if test.cannot:
        numbers["cannot"] = test.cannot
        certainty = f", without an interval ({test.cannot})"
    else:
        numbers |= {"low": test.low, "high": test.high}
        certainty = f" ({_interval(analysis, test, 'test')})"
    return f"Its test accuracy, looked at only after the choice{corrected}, is {percent(test.estimate)} %{certainty}."


def _interval(analysis: Analysis, interval: Interval, kind: str) -> str:
    doubt = next((claim.provisional for claim in analysis.claimed(kind)), "")
    provisional = ", provisional" if doubt else ""
    return f"{100 * LEVEL:.0f} % interval {percent_range(interval)} %{provisional}"


def _others(analysis: Analysis) -> Sentence | None:
    others, comparisons = analysis.entries[1:], analysis.comparisons
    if not others or len(analysis.grid.seeds) == 1:
        return None
    second = others[0]
    gap = second.behind.estimate
    numbers: Numbers = {"gap": gap, "second": second.name, "level": LEVEL}
    if comparisons.cannot:
        text = f"Whether it is better than the others cannot be said ({comparisons.cannot}); {second.name} is "
        text += f"{points(gap)} points behind."
        return Sentence(topic="others", text=text, numbers=numbers | {"cannot": comparisons.cannot})
    worse = analysis.claimed("worse")
    together = [entry for entry in others if entry.in_best_set]
    count, same = len(others), len(together)
    numbers |= {"others": count, "together": same, "worse": len(worse)}
    any_claim = worse or [Claim(kind="worse", subject=(), level=LEVEL, provisional=_doubt(analysis))]
    confidence = carried(any_claim, numbers)
    if not together:
        each = "the other one" if count == 1 else f"each of the other {count}"
        behind = f"{points(gap)} points behind ({p_equals(second.p_worse)})"
        text = f"It is shown to be better than {each} ({confidence}); the nearest, {second.name}, is {behind}."
        return Sentence(topic="others", text=text, numbers=numbers | {"p_worse": second.p_worse})
    farthest = max(entry.behind.estimate for entry in together)
    names = listed([entry.name for entry in together], most=3)
    behind = f"{points(farthest)} points behind" if same == 1 else f"up to {points(farthest)} points behind"
    numbers |= {"farthest": farthest, "more": same - 2 if same > 3 else 0}
    numbers |= {f"name_{number}": entry.name for number, entry in enumerate(together)}
    which = f"{same} of the other {count}" if worse else f"any of the other {count}"
    which = "the other one" if count == 1 else which
    rest = {0: "none of them is shown to be worse", 1: "the other one is shown to be worse than the best"}.get(
        len(worse), f"the other {len(worse)} are shown to be worse than the best"
    )
    text = f"It cannot be told apart from {which} ({names}; {behind}); {rest} ({confidence})."
    return Sentence(topic="others", text=text, numbers=numbers)


def _doubt(analysis: Analysis) -> str:
    return analysis.unfinished or analysis.comparisons.provisional


def _axes(analysis: Analysis) -> Sentence | None:
    """Which axis matters most, whether that depends on another, and how many seeds would settle more."""
    if len(analysis.entries) < 2 or len(analysis.grid.seeds) == 1:
        return None
    numbers: Numbers = {}
    claim = _what_matters(analysis, numbers)
    depends = {one.subject for one in analysis.claimed("depends")}
    crossings = [one for one in analysis.effects.crossings if (one.factor, one.other) in depends]
    if crossings:
        crossing = max(crossings, key=lambda one: min(one.lead, one.other_lead))
        claim += f", but which {crossing.factor} is best depends on {crossing.other}"
        numbers |= {"factor": crossing.factor, "other": crossing.other}
    else:
        claim += _what_combines(analysis, numbers)
    return Sentence(topic="axes", text=f"{claim}; {_what_settles(analysis, numbers)}.", numbers=numbers)


def _what_matters(analysis: Analysis, numbers: Numbers) -> str:
    terms, effects = spans(analysis), analysis.effects
    if effects.cannot:
        numbers["cannot"] = effects.cannot
        return f"Which axis matters most cannot be said ({effects.cannot})"
    known = {term.factors[0]: (term.span, *extremes(term)) for term in terms if term.span is not None}
    for axis, (span, worst, best) in known.items():
        numbers |= {f"span_{axis}": span.estimate, f"low_{axis}": span.low, f"high_{axis}": span.high}
        numbers |= {f"worst_{axis}": worst, f"best_{axis}": best}
    claimed = analysis.claimed("axis")
    matter = [claim.subject[0] for claim in claimed]
    if not matter:
        return "Of the axes, none is shown to matter on average"
    confidence = carried(claimed, numbers, together="all axes together")
    averaged = ", averaged over the other axes" if len(known) > 1 else ""

    def size(axis: str) -> str:
        span, worst, best = known[axis]
        return f"{points(span.estimate)} points from {worst} to {best}"

    most = analysis.claimed("most")
    if len(known) == 1:
        return f"The axis {bold(matter[0])} matters ({size(matter[0])}; {confidence})"
    if most:
        return f"Of the axes, {bold(matter[0])} matters most ({size(matter[0])}{averaged}; {confidence})"
    if len(matter) == 1:
        return f"Of the axes, {bold(matter[0])} is shown to matter ({size(matter[0])}{averaged}; {confidence})"
    # Two axes whose intervals overlap are not put in an order.
    names, sizes = listed(map(bold, matter), most=len(matter)), listed(map(size, matter), most=len(matter))
    return f"Of the axes, {names} are shown to matter, in which order is not ({sizes}{averaged}; {confidence})"


def _what_combines(analysis: Analysis, numbers: Numbers) -> str:
    """Averages over the other axes mislead where a combination explains more than half as much as any axis."""
    rows = analysis.effects.table
    shares = {row.name: row.share for row in rows if row.kind == "factor"}
    claimed = {claim.subject for claim in analysis.claimed("combine")}
    larger = [row for row in rows if row.factors in claimed and row.share > max(shares.values()) / 2]
    if not larger:
        return ""
    row = max(larger, key=lambda one: one.share)
    axis = max(row.factors, key=lambda name: shares[name])
    numbers |= {"combination": " × ".join(row.factors), "share_combination": round(100 * row.share)}
    numbers |= {"alone": axis, "share_alone": round(100 * shares[axis])}
    both = listed(row.factors, most=len(row.factors))
    sizes = f"{100 * row.share:.0f} % of the variation in this sample, {axis} alone {100 * shares[axis]:.0f} %"
    return f", but {both} act in combination ({sizes})"


def _what_settles(analysis: Analysis, numbers: Numbers) -> str:
    resolution = analysis.resolution
    now = resolution.seeds_now
    numbers["seeds"] = now
    if resolution.margin is None or resolution.seeds is None:
        numbers["unsettled"] = resolution.cannot
        return f"how many seeds would settle more cannot be said ({resolution.cannot})"
    margin = points(resolution.margin)
    low, high = resolution.seeds
    numbers |= {"margin": resolution.margin, "needed_low": low, "needed_high": high}
    if high <= now:
        return f"the {several(now, 'seed')} resolve {margin} points between two configurations named beforehand"
    needed = several(high, "seed") if low == high else f"{low:,} to {several(high, 'seed')}"
    return (
        f"about {needed} in all would resolve {margin} points between two configurations named beforehand, and adding "
        "seeds is a further look"
    )


def _plans(analysis: Analysis) -> Sentence | None:
    """What the sweep file named beforehand: pairs, and a baseline."""
    numbers: Numbers = {}
    parts = []
    for number, named in enumerate(analysis.named):
        first, second = named.names
        numbers |= {f"first_{number}": first, f"second_{number}": second}
        if named.pair is None or named.cannot:
            numbers[f"cannot_{number}"] = named.cannot
            parts.append(f"{first} and {second} cannot be told apart ({named.cannot})")
            continue
        gap = abs(named.pair.difference)
        numbers |= {
            f"difference_{number}": gap,
            f"e_{number}": named.pair.e_value,
            f"needed_{number}": named.pair.needed,
        }
        ahead, behind = (first, second) if named.pair.difference > 0 else (second, first)
        evidence = f"e = {numeral(named.pair.e_value)}, {numeral(named.pair.needed)} needed"
        if named.pair.n < named.pair.fewest:
            numbers[f"fewest_{number}"] = named.pair.fewest
            evidence += f", for which {named.pair.fewest} seeds are the fewest"
        if any(claim.subject == (ahead, behind) for claim in analysis.claimed("named")):
            parts.append(f"{bold(ahead)} is shown to be better than {behind} by {points(gap)} points ({evidence})")
        else:
            parts.append(f"{first} and {second} are not shown to differ ({points(gap)} points; {evidence})")
    baseline = analysis.baseline
    if baseline:
        better = [claim.subject[0] for claim in analysis.claimed("baseline")]
        numbers |= {"baseline": baseline.name, "better": len(better), "of": len(baseline.p_better)}
        numbers |= {f"better_{number}": name for number, name in enumerate(better)} | {"more": len(better) - 2}
        if baseline.cannot:
            numbers["cannot_baseline"] = baseline.cannot
            parts.append(f"nothing can be said against the baseline {baseline.name} ({baseline.cannot})")
        elif better:
            confidence = carried(analysis.claimed("baseline"), numbers, together="all of them together")
            which = f"{listed(better, most=3)} {'is' if len(better) == 1 else 'are'}"
            parts.append(f"{which} shown to be better than the baseline {baseline.name} ({confidence})")
        else:
            parts.append(f"nothing is shown to be better than the baseline {baseline.name}")
    if not parts:
        return None
    return Sentence(topic="plans", text=f"As named beforehand: {'; '.join(parts)}.", numbers=numbers)


def _confirmed(analysis: Analysis) -> Sentence | None:
    confirmed = analysis.confirmation
    if not confirmed:
        return None
    numbers: Numbers = {"seeds": confirmed.seeds, "level": confirmed.level}
    if confirmed.cannot:
        text = f"Fresh seeds of the finalists say nothing yet ({confirmed.cannot})."
        return Sentence(topic="confirmed", text=text, numbers=numbers | {"cannot": confirmed.cannot})
    first, *others = confirmed.finalists
    numbers |= {"name": first.name, "mean": first.score.estimate, "test": first.test.estimate}
    claimed = analysis.claimed("confirmed")
    better = [claim.subject[1] for claim in claimed]
    numbers |= {f"finalist_{number}": one.name for number, one in enumerate(others)}
    numbers |= {"others": len(others), "better": len(better), "more": len(better) - 2}
    accuracies = []
    for name, interval in (("mean", first.score), ("test", first.test)):
        text = f"{percent(interval.estimate)} %"
        if not interval.cannot:
            numbers |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            text += f" ({100 * LEVEL:.0f} % interval {percent_range(interval)} %)"
        accuracies.append(text)
    start = (
        f"With {several(confirmed.seeds, 'fresh seed')}, {bold(first.name)} has the {analysis.criterion} "
        f"{accuracies[0]} and the test accuracy {accuracies[1]}"
    )
    if not others:
        return Sentence(topic="confirmed", text=f"{start}.", numbers=numbers)
    if better:
        confidence = carried(claimed, numbers, together="all finalists together")
        rest = len(others) - len(better)
        numbers["not_confirmed"] = rest
        tail = f"; not than the other {rest} of the finalists" if rest else ""
        end = f"it is confirmed to be better than {listed(better, most=3)}{tail} ({confidence})"
    else:
        end = f"it is not confirmed to be better than {listed([one.name for one in others], most=3)}"
        numbers["more"] = len(others) - 2
    return Sentence(topic="confirmed", text=f"{start}; {end}.", numbers=numbers)


def _scope(analysis: Analysis) -> Sentence | None:
    """What all of it is conditional on, and how often the data were looked at."""
    if len(analysis.grid.seeds) < 2 or not analysis.entries:
        return None
    text = "All of this is for new seeds with the same training and validation data"
    looks = analysis.comparisons.looks
    numbers: Numbers = {"looks": looks, "level": LEVEL}
    if looks > 1:
        text += f"; it is look {looks} at growing data, and {100 * LEVEL:.0f} % holds over all looks together"
    return Sentence(topic="scope", text=f"{text}.", numbers=numbers)


def _doubts(analysis: Analysis) -> Sentence | None:
    """What looks like a mistake in the data, what diverged, and classes that the selected one does not know."""
    doubts = list(analysis.manifest.dataset.doubts)
    numbers: Numbers = {f"doubt_{number}": doubt for number, doubt in enumerate(doubts)}
    diverged = analysis.grid.diverged
    if diverged:
        named = [f"{one.point.name} diverged in {one.count} of {several(one.n, 'seed')}" for one in diverged]
        numbers |= {f"diverged_{number}": text for number, text in enumerate(named)} | {"more": len(named) - 2}
        doubts.append(f"{listed(named, most=3)}, ranked last")
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
