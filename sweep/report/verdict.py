"""The verdict: a few sentences, each with the numbers that justify it; a pure function of the analysis.

Nothing is computed here that the analysis does not hold: what is claimed are its claims, and every numeral in a
sentence is one of its numbers. `detail` says the rest.
"""

import numpy as np

from sweep.report.axes import axes_sentence
from sweep.report.findings import LEVEL, Analysis, Claim
from sweep.report.formats import listed, p_equals, percent, percent_range, points, several
from sweep.report.plans import confirmed_sentence, planned_sentence
from sweep.report.sentences import Numbers, Sentence, carried
from sweep.stats import Interval
from sweep.tables import bold


def verdict(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what is selected, what cannot be told from it, what matters and would settle more, how far it holds."""
    sentences = [
        _state(analysis),
        _selected(analysis),
        _others(analysis),
        axes_sentence(analysis),
        planned_sentence(analysis),
        confirmed_sentence(analysis),
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
    change = "All below is of the finished trials and may change."
    if not analysis.unfinished:
        change = "What is missing are fresh seeds of finalists; all but what is said of these stays."
    return Sentence(topic="state", text=f"{bold(text)} {change}", numbers=numbers)


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
    trained = " (on the very images it was trained with)" if analysis.grid.criterion.split == "train" else ""
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
        names = listed([f"class {analysis.images.target_names[label]}" for label in never])
        seeds, concerned = len(selected.never), int(selected.never.any(axis=1).sum())
        numbers |= {"seeds": seeds, "concerned": concerned, "classes": names}
        which = f" in {concerned} of {several(seeds, 'seed')}" if seeds > 1 else ""
        doubts.append(f"the selected configuration never predicts {names}{which}")
    if not doubts:
        return None
    return Sentence(topic="doubts", text=f"{bold('Doubtful:')} {'; '.join(doubts)}.", numbers=numbers)
