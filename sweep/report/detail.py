"""What stands below the verdict: the same claims with all their numbers, as sentences that can be traced.

Nothing is computed here that the analysis does not hold. Every numeral in a sentence is one of its numbers.
"""

from sweep.report.findings import Analysis
from sweep.report.formats import listed, numbered, points, points_range, several
from sweep.report.verdict import Numbers, Sentence, extremes, spans

_MOST_NAMED = 8


def details(analysis: Analysis) -> tuple[Sentence, ...]:
    """Says what was compared, who is not told apart by how much, what every axis does, and what seeds can show."""
    if not analysis.selected:
        return ()
    sentences = [
        _configurations(analysis),
        _left_out(analysis),
        unused_seeds(analysis),
        _test(analysis),
        _together(analysis),
        _factors(analysis),
        _interaction(analysis),
        _more(analysis),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def unused_seeds(analysis: Analysis) -> Sentence | None:
    """Says which seeds only some of the compared grid points have, so that no comparison uses them."""
    unused = analysis.grid.unused_seeds
    if not unused:
        return None
    total = sum(len(configuration.points) for configuration in analysis.grid.configurations)
    numbers: Numbers = {"grid_points": total}
    parts = []
    for count in sorted(set(unused.values()), reverse=True):
        seeds = [seed for seed, having in unused.items() if having == count]
        which = f"seed {numbered(seeds)}" if len(seeds) == 1 else f"seeds {numbered(seeds)}"
        numbers |= {f"seeds_of_{count}": numbered(seeds), f"count_{count}": count}
        parts.append(f"{which} (in {count} of {total} grid points)")
    text = f"Not used {'is' if len(unused) == 1 else 'are'} {listed(parts)}: only seeds that all share are compared."
    return Sentence(topic="seeds", text=text, numbers=numbers)


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
    if not together or analysis.best.cannot:
        return None
    names = listed([f"{entry.name} ({points(entry.behind)})" for entry in together], most=_MOST_NAMED)
    numbers: Numbers = {f"behind_{number}": entry.behind for number, entry in enumerate(together)}
    numbers |= {f"name_{number}": entry.name for number, entry in enumerate(together)}
    numbers |= {"more": len(together) - _MOST_NAMED + 1}
    return Sentence(topic="together", text=f"Not told apart from it, with points behind: {names}.", numbers=numbers)


def _factors(analysis: Analysis) -> Sentence | None:
    effects, terms = analysis.effects, spans(analysis)
    if not terms:
        return None
    shares = {row.name: row.share for row in effects.table}
    numbers: Numbers = {"level": effects.level}
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
            interval = f"{100 * effects.level:.0f} % interval {points_range(span.low, span.high)}"
            of_all = f"{100 * shares[axis]:.0f} %" if shares[axis] >= 0.01 else "under 1 %"
            parts.append(f"{change} ({interval}; {of_all} of all variation)")
        else:
            parts.append(f"{axis} is not shown to matter (at most {points(span.high)} points)")
    means = "averaged over the other axes, largest first" if len(terms) > 1 else "between its levels"
    text = f"Differences of means, {means}: {'; '.join(parts)}."
    if effects.cannot:
        text = f"Differences of means, {means} and not tested ({effects.cannot}): {'; '.join(parts)}."
        numbers["cannot"] = effects.cannot
    return Sentence(topic="factors", text=text, numbers=numbers)


def _interaction(analysis: Analysis) -> Sentence | None:
    if not analysis.crossings:
        return None
    crossing = max(analysis.crossings, key=lambda one: min(one.lead, one.other_lead))
    text = (
        f"Which {crossing.factor} is best depends on {crossing.other}: with {crossing.at}, {crossing.better} leads "
        f"{crossing.worse} by {points(crossing.lead)} points; with {crossing.other_at}, {crossing.worse} leads "
        f"{crossing.better} by {points(crossing.other_lead)}."
    )
    numbers: Numbers = {
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
    numbers: Numbers = {"seeds": now, "margin": resolution.margin}
    if needed is None:
        why = "the spread between seeds is unknown" if not resolution.detectable > 0 else "the seeds spread too much"
        text = f"How many more seeds would resolve {margin} points cannot be said: {why}."
        return Sentence(topic="more", text=text, numbers=numbers)
    numbers |= {"needed": needed, "detectable": resolution.detectable, "power": 0.8}
    text = (
        f"Of two configurations named beforehand, {several(now, 'seed')} resolve a difference of "
        f"{points(resolution.detectable)} points"
    )
    more = f", {several(needed, 'seed')} in total one of {margin}" if needed > now else ""
    return Sentence(topic="more", text=f"{text}{more} (power 80 %).", numbers=numbers)
