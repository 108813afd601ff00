"""The verdict on the axes: which matter, whether one depends on another, and what would settle more."""

from collections.abc import Sequence

from sweep.report.claims import spans
from sweep.report.findings import Analysis, Claim
from sweep.report.formats import listed, points, several
from sweep.report.sentences import Numbers, Sentence, carried, extremes
from sweep.tables import bold


def axes_sentence(analysis: Analysis) -> Sentence | None:
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
    if not claimed:
        return "Of the axes, none is shown to matter on average"
    averaged = ", averaged over the other axes" if len(known) > 1 else ""

    def names(claims: Sequence[Claim]) -> str:
        return listed([bold(claim.subject[0]) for claim in claims], most=len(claims))

    def sizes(claims: Sequence[Claim]) -> str:
        found = [known[claim.subject[0]] for claim in claims]
        return listed(
            [f"{points(span.estimate)} points from {low} to {high}" for span, low, high in found], most=len(found)
        )

    most = analysis.claimed("most")
    firm = [claim for claim in claimed if not claim.provisional]
    # Axes whose intervals overlap are not put in an order.
    first = claimed[:1] if most else firm or claimed
    rest = [] if most else [claim for claim in claimed if claim not in first]
    verb = "matters" if len(known) == 1 else "matters most" if most else "is shown to matter"
    verb = "are shown to matter" if len(first) > 1 else verb
    start = "The axis" if len(known) == 1 else "Of the axes,"
    confidence = carried(most or first, numbers, together="all axes together")
    text = f"{start} {names(first)} {verb} ({sizes(first)}{averaged}; {confidence})"
    if rest:
        text += f", and {names(rest)} provisionally ({sizes(rest)}; {rest[0].provisional})"
        numbers["doubt"] = rest[0].provisional
    return text + (", none of them most" if len(first + rest) > 1 else "")


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
