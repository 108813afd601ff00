"""What may be wrong, as claims: the page prints these and no other, and `scripts/simulate.py` counts them.

worse       the configuration is not the best one, nor as good as it
rank        the configuration's rank by true mean lies within
mean        the selected configuration's mean over new seeds lies within
test        the selected configuration's mean over new seeds on the test split lies within
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

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.report.findings import Findings

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something that the report says and that may be wrong.

    Attributes:
        kind: What is said.
        subject: Whom it is said of: names of configurations, axes or grid points.
        provisional: Why it cannot carry `LEVEL`, with which all claims of a kind are true at once; "" if it can.
        low: Lower end, of a claim that is an interval.
        high: Upper end likewise.
    """

    kind: str
    subject: tuple[str, ...]
    provisional: str = ""
    low: float = math.nan
    high: float = math.nan


def claims(found: "Findings") -> Iterator[Claim]:
    """Gives all that is claimed, and what of it is provisional."""
    for part in (_of_configurations, _of_axes, _of_plans, _of_diverged):
        yield from part(found)


def _of_configurations(found: "Findings") -> Iterator[Claim]:
    doubt, entries = found.doubt, found.entries
    if not found.comparisons.cannot:
        for entry in entries:
            if not entry.in_best_set:
                yield Claim(kind="worse", subject=(entry.name,), provisional=doubt)
        for entry in entries:
            if entry.ranks and entry.ranks != (1, len(entries)):
                low, high = map(float, entry.ranks)
                yield Claim(kind="rank", subject=(entry.name,), provisional=doubt, low=low, high=high)
    if not entries or not found.test:
        return
    name = entries[0].name
    for kind, interval in (("mean", entries[0].score), ("test", found.test)):
        if not interval.cannot:
            yield Claim(kind=kind, subject=(name,), provisional=doubt, low=interval.low, high=interval.high)
    for pair in found.pairs:
        if pair.equal:
            yield Claim(kind="equal", subject=(name, pair.entry.name), provisional=doubt)


def _of_axes(found: "Findings") -> Iterator[Claim]:
    effects, spans = found.effects, found.spans
    if effects.cannot:
        return
    doubts = {one.axis: found.doubt or one.provisional for one in spans}
    matter = [one for one in spans if one.span.low > 0]
    for one in matter:
        low, high = one.span.low, one.span.high
        yield Claim(kind="axis", subject=(one.axis,), provisional=doubts[one.axis], low=low, high=high)
    # Compared with every axis, also with those that are not shown to matter: they may.
    if matter and len(spans) > 1 and all(one.span.high < matter[0].span.low for one in spans if one is not matter[0]):
        unsure = next(filter(None, doubts.values()), "")
        yield Claim(kind="most", subject=(matter[0].axis,), provisional=unsure)
    # Each pair once, however many of their levels change places.
    for factor, other in dict.fromkeys((one.factor, one.other) for one in effects.crossings):
        yield Claim(kind="depends", subject=(factor, other), provisional=doubts[factor])
    for row in effects.table:
        if row.kind == "interaction" and row.p_value < 1 - effects.level:
            yield Claim(kind="combine", subject=row.factors, provisional=found.doubt)


def _of_plans(found: "Findings") -> Iterator[Claim]:
    for named in found.named:
        if named.pair and named.pair.shown:
            subject = named.names if named.pair.difference > 0 else named.names[::-1]
            yield Claim(kind="named", subject=subject, provisional=found.unfinished)
    if found.against:
        for name in found.against.better:
            yield Claim(kind="baseline", subject=(name, found.against.name), provisional=found.doubt)
    if found.confirmation:
        yield from found.confirmation.claims


def _of_diverged(found: "Findings") -> Iterator[Claim]:
    for one in found.grid.diverged:
        if one.n > 1:
            share = one.share(LEVEL)
            yield Claim(kind="diverges", subject=(one.point.name,), low=share.low, high=share.high)
