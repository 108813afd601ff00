"""What the findings come to, as claims: the page prints these and no other, and `scripts/simulate.py` counts them.

worse       the configuration is not the best one, nor as good as it
rank        the configuration's rank by true mean lies within
mean        the selected configuration's mean over new seeds lies within
test        the selected configuration's mean test accuracy over new seeds lies within
equal       the selected configuration and another differ by less than the margin
axis        the axis matters, averaged over the others
most        no other axis matters as much
depends     which level of the one axis is best depends on the other
combine     the axes act in combination
named       the first of a pair named beforehand is better than the second
baseline    the configuration is better than the baseline
confirmed   the selected configuration is better than the other finalist, by fresh seeds alone
diverges    how often the grid point diverges lies within
"""

from collections.abc import Iterator

from sweep.report.findings import LEVEL, Claim, Confirmation, Findings
from sweep.stats import TermEffects


def claims(findings: Findings) -> tuple[Claim, ...]:
    """Says all that the scores of a grid carry, and what of it is provisional."""
    parts = (_of_configurations, _of_axes, _of_plans, _of_diverged)
    return tuple(claim for part in parts for claim in part(findings))


def confirmed_claims(confirmation: Confirmation) -> tuple[Claim, ...]:
    """Says which finalists the selected one is confirmed to beat."""
    if confirmation.cannot:
        return ()
    first, *others = confirmation.finalists
    level, doubt = confirmation.level, confirmation.provisional
    return tuple(
        Claim(kind="confirmed", subject=(first.name, other.name), level=level, provisional=doubt)
        for other in others
        if other.p_worse < confirmation.limit
    )


def spans(findings: Findings) -> list[TermEffects]:
    """Gives the axes by the largest difference between two of their levels, largest first."""
    terms = [(term.span.estimate, term) for term in findings.effects.effects if term.span is not None]
    return [term for _, term in sorted(terms, key=lambda item: -item[0])]


def _of_configurations(findings: Findings) -> Iterator[Claim]:
    comparisons, selected = findings.comparisons, findings.selected
    doubt = findings.unfinished or comparisons.provisional
    if not comparisons.cannot:
        for entry in findings.entries:
            if not entry.in_best_set:
                yield Claim(kind="worse", subject=(entry.name,), level=LEVEL, provisional=doubt)
        for entry in findings.entries:
            if entry.ranks and entry.ranks != (1, len(findings.entries)):
                low, high = map(float, entry.ranks)
                yield Claim(kind="rank", subject=(entry.name,), level=LEVEL, provisional=doubt, low=low, high=high)
    if selected and not selected.score.cannot:
        low, high = selected.score.low, selected.score.high
        yield Claim(kind="mean", subject=(selected.name,), level=LEVEL, provisional=doubt, low=low, high=high)
    if selected and findings.test and not findings.test.cannot:
        low, high = findings.test.low, findings.test.high
        yield Claim(kind="test", subject=(selected.name,), level=LEVEL, provisional=doubt, low=low, high=high)
    for pair in findings.pairs:
        if selected and pair.equal:
            subject = (selected.name, pair.entry.name)
            yield Claim(kind="equal", subject=subject, level=LEVEL, provisional=doubt)


def _of_axes(findings: Findings) -> Iterator[Claim]:
    effects = findings.effects
    if effects.cannot:
        return
    doubt = findings.unfinished or findings.comparisons.provisional
    doubts = {term.factors[0]: doubt or term.provisional for term in spans(findings)}
    known = [(term.factors[0], term.span) for term in spans(findings) if term.span]
    matter = [(axis, span) for axis, span in known if span.low > 0]
    for axis, span in matter:
        low, high = span.low, span.high
        yield Claim(kind="axis", subject=(axis,), level=LEVEL, provisional=doubts[axis], low=low, high=high)
    if matter and len(known) > 1:
        axis, span = matter[0]
        # Compared with every axis, also with those that are not shown to matter: they may.
        if all(other.high < span.low for name, other in known if name != axis):
            unsure = next(filter(None, doubts.values()), "")
            yield Claim(kind="most", subject=(axis,), level=LEVEL, provisional=unsure)
    # Each pair once, however many of their levels change places.
    for factor, other in dict.fromkeys((one.factor, one.other) for one in effects.crossings):
        yield Claim(kind="depends", subject=(factor, other), level=LEVEL, provisional=doubts[factor])
    for row in effects.table:
        if row.kind == "interaction" and row.p_value < 1 - effects.level:
            yield Claim(kind="combine", subject=row.factors, level=LEVEL, provisional=doubt)


def _of_plans(findings: Findings) -> Iterator[Claim]:
    for named in findings.named:
        if named.pair and named.pair.shown:
            subject = named.names if named.pair.difference > 0 else named.names[::-1]
            yield Claim(kind="named", subject=subject, level=LEVEL, provisional=findings.unfinished)
    if findings.baseline:
        doubt = findings.unfinished or findings.comparisons.provisional
        for name in findings.baseline.better:
            subject = (name, findings.baseline.name)
            yield Claim(kind="baseline", subject=subject, level=LEVEL, provisional=doubt)


def _of_diverged(findings: Findings) -> Iterator[Claim]:
    for one in findings.grid.diverged:
        if one.n > 1:
            share = one.share(LEVEL)
            yield Claim(kind="diverges", subject=(one.point.name,), level=LEVEL, low=share.low, high=share.high)
