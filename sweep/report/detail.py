"""What stands below the verdict: the same claims with all their numbers, as sentences that can be traced.

Nothing is computed here that the analysis does not hold. Every numeral in a sentence is one of its numbers.
"""

from sweep.report.claims import spans
from sweep.report.findings import LEVEL, Analysis
from sweep.report.formats import listed, points, points_range, several
from sweep.report.sentences import Numbers, Sentence, extremes

_MOST_NAMED = 8
_WORDS = ("factor", "other", "at", "other_at", "better", "worse")


def details(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what was compared, who is not told apart by how much, what every axis does, and what seeds can show."""
    if not analysis.selected:
        return ()
    one_seed = len(analysis.grid.seeds) == 1
    sentences = [
        _configurations(analysis),
        _left_out(analysis),
        missing(analysis),
        _test(analysis),
        None if one_seed else _together(analysis),
        None if one_seed else _factors(analysis),
        _interaction(analysis),
        _more(analysis),
        _never_predicted(analysis),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def missing(analysis: Analysis) -> Sentence | None:
    """Says how many scores of compared configurations are missing, and what is done about it."""
    grid = analysis.grid
    if not grid.missing:
        return None
    numbers: Numbers = {"missing": grid.missing, "scores": grid.goodness.size}
    text = (
        f"Of the {several(grid.goodness.size, 'score')} of all configurations and seeds, {grid.missing} are missing; "
        "every one there is takes part, and means are over all seeds, what is missing being estimated (least squares)."
    )
    return Sentence(topic="missing", text=text, numbers=numbers)


def _configurations(analysis: Analysis) -> Sentence | None:
    count = len(analysis.entries)
    covered = sum(len(entry.configuration.points) for entry in analysis.entries)
    if covered == count:
        return None
    text = (
        f"The {covered} grid points are {several(count, 'configuration')}: those with identical numbers in every seed "
        'are one, their names joined by "=", and count once.'
    )
    return Sentence(topic="configurations", text=text, numbers={"grid_points": covered, "configurations": count})


def _left_out(analysis: Analysis) -> Sentence | None:
    left_out, total = analysis.grid.left_out, len(analysis.grid.points)
    if not left_out:
        return None
    named = [f"{point.name} ({reason})" for point, reason in left_out]
    numbers: Numbers = {"left_out": len(left_out), "grid_points": total, "more": len(left_out) - 2}
    numbers |= {f"name_{number}": name for number, name in enumerate(named)}
    are = "is" if len(left_out) == 1 else "are"
    text = f"Not compared {are} {len(left_out)} of {several(total, 'grid point')}: {listed(named, most=3)}."
    return Sentence(topic="left_out", text=text, numbers=numbers)


def _test(analysis: Analysis) -> Sentence | None:
    test, images = analysis.test, analysis.images
    if test is None or test.cannot:
        return None
    seeds = several(test.n, "seed")
    if images is None:
        text = f"The interval of the test accuracy is over {seeds}: it speaks of other seeds on the same images."
        return Sentence(topic="test", text=text, numbers={"seeds": test.n})
    count = len(images.y_true)
    text = (
        f"The interval of the test accuracy is over {seeds} and {several(count, 'image')}: it speaks of other seeds on "
        "other images like these."
    )
    return Sentence(topic="test", text=text, numbers={"seeds": test.n, "images": count})


def _together(analysis: Analysis) -> Sentence | None:
    together = [entry for entry in analysis.entries[1:] if entry.in_best_set]
    if not together or analysis.comparisons.cannot:
        return None
    gaps = [entry.behind.estimate for entry in together]
    names = listed([f"{e.name} ({points(gap)})" for e, gap in zip(together, gaps, strict=True)], most=_MOST_NAMED)
    numbers: Numbers = {f"behind_{number}": gap for number, gap in enumerate(gaps)}
    numbers |= {f"name_{number}": entry.name for number, entry in enumerate(together)}
    numbers |= {"more": len(together) - _MOST_NAMED + 1}
    return Sentence(topic="together", text=f"Not told apart from it, with points behind: {names}.", numbers=numbers)


def _factors(analysis: Analysis) -> Sentence | None:
    effects, terms = analysis.effects, spans(analysis)
    if not terms:
        return None
    shares = {row.name: row.share for row in effects.table}
    numbers: Numbers = {"level": LEVEL}
    parts = []
    for term in terms:
        axis, span = term.factors[0], term.span
        assert span is not None
        worst, best = extremes(term)
        numbers |= {f"span_{axis}": span.estimate, f"share_{axis}": shares[axis]}
        numbers |= {f"worst_{axis}": worst, f"best_{axis}": best, f"low_{axis}": span.low, f"high_{axis}": span.high}
        change = f"{axis} {points(span.estimate)} points from {worst} to {best}"
        if effects.cannot:
            parts.append(change)
        elif span.low > 0:
            numbers[f"percent_{axis}"] = round(100 * shares[axis])
            interval = f"{100 * LEVEL:.0f} % interval {points_range(span.low, span.high)}"
            of_all = f"{100 * shares[axis]:.0f} %" if shares[axis] >= 0.01 else "under 1 %"
            parts.append(f"{change} ({interval}; {of_all} of the variation in this sample)")
        else:
            parts.append(f"{axis} is not shown to matter (at most {points(span.high)} points)")
    means = "averaged over the other axes, largest first" if len(terms) > 1 else "between its levels"
    text = f"Differences of means, {means}: {'; '.join(parts)}."
    if effects.cannot:
        text = f"Differences of means, {means} and not tested ({effects.cannot}): {'; '.join(parts)}."
        numbers["cannot"] = effects.cannot
    return Sentence(topic="factors", text=text, numbers=numbers)


def _interaction(analysis: Analysis) -> Sentence | None:
    if not analysis.claimed("depends"):
        return None
    crossing = max(analysis.effects.crossings, key=lambda one: min(one.lead, one.other_lead))
    text = (
        f"Which {crossing.factor} is best depends on {crossing.other}: with {crossing.at}, {crossing.better} leads "
        f"{crossing.worse} by {points(crossing.lead)} points; with {crossing.other_at}, {crossing.worse} leads "
        f"{crossing.better} by {points(crossing.other_lead)}."
    )
    numbers: Numbers = {name: str(getattr(crossing, name)) for name in _WORDS}
    numbers |= {"lead": crossing.lead, "other_lead": crossing.other_lead}
    return Sentence(topic="interaction", text=text, numbers=numbers)


def _more(analysis: Analysis) -> Sentence | None:
    resolution = analysis.resolution
    if len(analysis.entries) < 2 or resolution.margin is None or resolution.seeds is None:
        return None
    now = resolution.seeds_now
    numbers: Numbers = {"seeds": now, "margin": resolution.margin, "detectable": resolution.detectable, "power": 0.8}
    text = (
        f"Of two configurations named beforehand, {several(now, 'seed')} resolve a difference of "
        f"{points(resolution.detectable)} points (power 80 %)."
    )
    return Sentence(topic="more", text=text, numbers=numbers)


def _never_predicted(analysis: Analysis) -> Sentence | None:
    """Of the others; those of the selected one stand in the verdict."""
    others = analysis.images.predicted[1:] if analysis.images else ()
    concerned = sum(bool(one.never.any()) for one in others)
    if not concerned:
        return None
    predict = "predicts" if concerned == 1 else "predict"
    text = (
        f"Of {several(len(others), 'other configuration')}, {concerned} never {predict} some class of the test images, "
        "in one seed or more."
    )
    return Sentence(topic="never_predicted", text=text, numbers={"others": len(others), "concerned": concerned})
