"""The verdict: a few sentences, each with the numbers that justify it; a pure function of the analysis.

Nothing is computed here that the analysis does not hold. Every numeral in a sentence is one of its numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.report.findings import Analysis
from sweep.report.formats import (
    listed,
    numbered,
    p_equals,
    percent,
    percent_range,
    points,
    points_range,
    several,
)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A claim.

    Attributes:
        topic: What it is about: state, selected, test, others, factors, interaction or more.
        text: For people; `**bold**` and nothing else.
        numbers: What it rests on by name: shares in [0, 1], differences, counts, p-values, words.
    """

    topic: str
    text: str
    numbers: Mapping[str, float | int | str]


def verdict(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what the numbers support: what is selected, what cannot be told from it, what matters, what would settle."""
    sentences = [_state(analysis), _selected(analysis)]
    if analysis.selected:
        sentences += [_test(analysis), _others(analysis), _factors(analysis), _interaction(analysis), _more(analysis)]
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
    return Sentence(
        topic="state", text=f"**{text}** All below is of the finished trials and may change.", numbers=numbers
    )


def _selected(analysis: Analysis) -> Sentence:
    selected = analysis.selected
    if selected is None:
        reasons = listed(dict.fromkeys(reason for _, reason in analysis.grid.left_out), most=3)
        return Sentence(
            topic="selected",
            text=f"Nothing can be selected: no grid point can be compared ({reasons}).",
            numbers={"reasons": reasons},
        )
    seeds, count = len(analysis.grid.seeds), len(analysis.entries)
    covered = sum(len(entry.configuration.points) for entry in analysis.entries)
    if count == 1:
        place = "the only configuration that can be compared"
    else:
        grid = f" ({covered} grid points, twins counted once)" if covered > count else ""
        place = f"the largest of {count} configurations{grid}"
    mean = "mean" if seeds > 1 else "one value, not a mean"
    how = f"its {analysis.criterion}, {mean} over {several(seeds, 'seed')}"
    text = f"**{selected.name}** is selected: {how}, is {percent(selected.score.estimate)} %, {place}."
    if seeds == 1:
        text = text.replace(f", {mean} over 1 seed,", " with 1 seed")
    if analysis.grid.criterion == "train_accuracy":
        text += " This is accuracy on the images it was trained with, and says nothing about others."
    return Sentence(
        topic="selected",
        text=text,
        numbers={
            "name": selected.name,
            "criterion": analysis.criterion,
            "mean": selected.score.estimate,
            "seeds": seeds,
            "configurations": count,
            "grid_points": covered,
        },
    )


def _test(analysis: Analysis) -> Sentence | None:
    test = analysis.test
    if test is None:
        return None
    numbers: dict[str, float | int | str] = {"mean": test.estimate, "level": test.level, "seeds": test.n}
    if test.cannot:
        return Sentence(
            topic="test",
            text=f"Its test accuracy is {percent(test.estimate)} %, without an interval ({test.cannot}).",
            numbers=numbers | {"cannot": test.cannot},
        )
    over = "seeds"
    size = several(test.n, "seed")
    if analysis.images is not None:
        numbers["images"] = len(analysis.images.y_true)
        over, size = "seeds and images", f"{size}, {several(len(analysis.images.y_true), 'image')}"
    text = (
        f"Its test accuracy, looked at only after the choice, is {percent(test.estimate)} % "
        f"({100 * test.level:.0f} % interval {percent_range(test)} % over {over}; {size})."
    )
    return Sentence(topic="test", text=text, numbers=numbers | {"low": test.low, "high": test.high})


def _others(analysis: Analysis) -> Sentence | None:
    others = analysis.entries[1:]
    if not others:
        return None
    best = analysis.best
    second = others[0]
    numbers: dict[str, float | int | str] = {"gap": second.behind, "second": second.name, "level": best.level}
    if best.cannot:
        text = (
            f"Whether it is better than the others cannot be said ({best.cannot}); {second.name} is "
            f"{points(second.behind)} points behind."
        )
        return Sentence(topic="others", text=text, numbers=numbers | {"cannot": best.cannot})
    together = [entry for entry in others if entry.in_best_set]
    worse = len(others) - len(together)
    numbers |= {"together": len(together), "worse": worse, "seeds": best.n}
    confidence = f"{100 * best.level:.0f} % confidence for all comparisons together"
    if not together:
        text = (
            f"It is better than each of the other {worse} ({confidence}); the nearest, {second.name}, is "
            f"{points(second.behind)} points behind ({p_equals(second.p_worse)})."
        )
        return Sentence(topic="others", text=text, numbers=numbers | {"p_worse": second.p_worse})
    names = listed([f"{entry.name} ({points(entry.behind)} points behind)" for entry in together])
    more = max(0, len(together) - 3) if len(together) > 4 else 0
    rest = f"; the other {worse} are worse ({confidence})" if worse > 1 else ""
    rest = f"; the other one is worse ({confidence})" if worse == 1 else rest
    rest = rest or f"; none of the others is shown to be worse ({confidence})"
    numbers |= {"more": more} | {f"behind_{entry.rank}": entry.behind for entry in together}
    text = f"It cannot be told apart from {several(len(together), 'other')}: {names}{rest}."
    if worse == 0:
        text = text.replace(f"from {several(len(together), 'other')}", f"from any other ({len(together)})")
    return Sentence(topic="others", text=text, numbers=numbers)


def _factors(analysis: Analysis) -> Sentence | None:
    effects = analysis.effects
    spans = [(term.factors[0], term) for term in effects.effects if term.span is not None]
    if not spans:
        if not effects.cannot or len(analysis.entries) < 2:
            return None
        return Sentence(
            topic="factors",
            text=f"Which axis matters most cannot be said ({effects.cannot}).",
            numbers={"cannot": effects.cannot},
        )
    spans.sort(key=lambda item: -(item[1].span.estimate if item[1].span else 0))
    shares = {row.name: row.share for row in effects.table}
    numbers: dict[str, float | int | str] = {"level": effects.level}
    parts = []
    shown = 0
    for axis, term in spans:
        span = term.span
        assert span is not None
        ordered = sorted(term.levels, key=lambda level: level.effect.estimate)
        worst, best = (str(one.levels[0]).replace(f"{axis}=", "") for one in (ordered[0], ordered[-1]))
        numbers |= {f"span_{axis}": span.estimate, f"share_{axis}": shares[axis], f"best_{axis}": best}
        numbers |= {f"worst_{axis}": worst, f"low_{axis}": span.low, f"high_{axis}": span.high}
        change = f"{points(span.estimate)} points from {worst} to {best}"
        if effects.cannot:
            parts.append(f"{axis} {change}")
        elif span.low > 0:
            shown += 1
            numbers[f"percent_{axis}"] = round(100 * shares[axis])
            interval = f"{100 * effects.level:.0f} % interval {points_range(span.low, span.high)}"
            of_all = f"{100 * shares[axis]:.0f} %" if shares[axis] >= 0.01 else "under 1 %"
            parts.append(f"{axis} {change} ({interval}; {of_all} of all variation)")
        else:
            at_most = points(span.high)
            parts.append(f"{axis} is not shown to matter (at most {at_most} points)")
    means = "Averaged over the other axes, " if len(spans) > 1 else ""
    if effects.cannot:
        text = f"{means}the means differ, largest first, by {listed(parts)}, which is not tested ({effects.cannot})."
        numbers["cannot"] = effects.cannot
    elif shown and len(spans) > 1:
        text = f"{means}**{spans[0][0]} matters most**: {'; '.join(parts)}."
        if shown == 1 and len(spans) > 1:
            text = f"{means}only **{spans[0][0]}** is shown to matter: {'; '.join(parts)}."
    elif shown:
        text = f"**{spans[0][0]}** matters: {parts[0]}."
    else:
        text = f"{means}no axis is shown to matter: {'; '.join(parts)}."
    return Sentence(topic="factors", text=text[0].upper() + text[1:], numbers=numbers)


def _interaction(analysis: Analysis) -> Sentence | None:
    if not analysis.crossings:
        return None
    crossing = max(analysis.crossings, key=lambda one: min(one.lead, one.other_lead))
    text = (
        f"Which {crossing.factor} is best depends on {crossing.other}: with {crossing.at}, {crossing.better} leads "
        f"{crossing.worse} by {points(crossing.lead)} points; with {crossing.other_at}, {crossing.worse} leads "
        f"{crossing.better} by {points(crossing.other_lead)}."
    )
    numbers = {
        name: getattr(crossing, name)
        for name in ("factor", "other", "at", "other_at", "better", "worse", "lead", "other_lead")
    }
    return Sentence(topic="interaction", text=text, numbers=numbers)


def _more(analysis: Analysis) -> Sentence | None:
    if len(analysis.entries) < 2:
        return None
    resolution = analysis.resolution
    now, needed = resolution.seeds_now, resolution.seeds_for_margin
    margin = points(resolution.margin)
    numbers: dict[str, float | int | str] = {"seeds": now, "margin": resolution.margin}
    if needed is None:
        why = "the spread between seeds is unknown" if not resolution.detectable > 0 else "the seeds spread too much"
        return Sentence(
            topic="more",
            text=f"How many more seeds would resolve {margin} points cannot be said: {why}.",
            numbers=numbers,
        )
    numbers |= {"needed": needed, "more": needed - now, "detectable": resolution.detectable, "power": 0.8}
    if needed <= now:
        text = f"The {several(now, 'seed')} resolve {margin} points between two configurations named beforehand."
    else:
        text = (
            f"About {several(needed - now, 'more seed')} ({needed} in total) would resolve {margin} points between two "
            f"configurations named beforehand; the {several(now, 'seed')} there are resolve "
            f"{points(resolution.detectable)} (power 80 %)."
        )
    return Sentence(topic="more", text=text, numbers=numbers)


def describe_seeds(analysis: Analysis) -> str:
    """Gives "seeds 0 to 4"."""
    seeds = analysis.grid.seeds
    return f"seed{'' if len(seeds) == 1 else 's'} {numbered(seeds)}" if seeds else "no seeds"
