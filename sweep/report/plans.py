"""The verdict on what was fixed beforehand: pairs and a baseline of the sweep file, and finalists with fresh seeds."""

from collections.abc import Sequence

from sweep.report.findings import LEVEL, Analysis, Baseline
from sweep.report.formats import listed, numeral, percent, percent_range, points, several
from sweep.report.sentences import Numbers, Sentence, carried
from sweep.stats import Interval
from sweep.tables import bold


def planned_sentence(analysis: Analysis) -> Sentence | None:
    """What the sweep file named beforehand: pairs, and a baseline."""
    numbers: Numbers = {}
    parts = [_pair(analysis, number, numbers) for number in range(len(analysis.named))]
    if analysis.baseline:
        parts.append(_baseline(analysis, analysis.baseline, numbers))
    if not parts:
        return None
    return Sentence(topic="plans", text=f"As named beforehand: {'; '.join(parts)}.", numbers=numbers)


def _pair(analysis: Analysis, number: int, numbers: Numbers) -> str:
    named = analysis.named[number]
    first, second = named.names
    numbers |= {f"first_{number}": first, f"second_{number}": second}
    if named.pair is None or named.cannot:
        numbers[f"cannot_{number}"] = named.cannot
        return f"{first} and {second} cannot be told apart ({named.cannot})"
    pair = named.pair
    gap = abs(pair.difference)
    numbers |= {f"difference_{number}": gap, f"e_{number}": pair.e_value, f"needed_{number}": pair.needed}
    evidence = f"e = {numeral(pair.e_value)}, {numeral(pair.needed)} needed"
    if pair.n < pair.fewest:
        numbers[f"fewest_{number}"] = pair.fewest
        evidence += f", for which {several(pair.fewest, 'seed')} are the fewest"
    for claim in analysis.claimed("named"):
        if set(claim.subject) == {first, second}:
            confidence = carried([claim], numbers, together="all named pairs and looks together")
            ahead, behind = claim.subject
            text = f"{bold(ahead)} is shown to be better than {behind} by {points(gap)} points"
            return f"{text} ({evidence}; {confidence})"
    own = "by their own test, though among all pairs they are" if named.anyway else ""
    return f"{first} and {second} are not shown to differ {own}".rstrip() + f" ({points(gap)} points; {evidence})"


def _baseline(analysis: Analysis, baseline: Baseline, numbers: Numbers) -> str:
    better = [claim.subject[0] for claim in analysis.claimed("baseline")]
    numbers |= {"baseline": baseline.name, "better": len(better), "of": len(baseline.p_better)}
    numbers |= {f"better_{number}": name for number, name in enumerate(better)} | {"more": len(better) - 2}
    if baseline.cannot:
        numbers["cannot_baseline"] = baseline.cannot
        return f"nothing can be said against the baseline {baseline.name} ({baseline.cannot})"
    if not better:
        return f"nothing is shown to be better than the baseline {baseline.name}"
    confidence = carried(analysis.claimed("baseline"), numbers, together="all of them together")
    which = f"{listed(better, most=3)} {'is' if len(better) == 1 else 'are'}"
    return f"{which} shown to be better than the baseline {baseline.name} ({confidence})"


def confirmed_sentence(analysis: Analysis) -> Sentence | None:
    """What fresh seeds say of the finalists, by themselves."""
    confirmed = analysis.confirmation
    if not confirmed:
        return None
    numbers: Numbers = {"seeds": confirmed.seeds, "level": confirmed.level}
    if confirmed.cannot:
        text = f"Fresh seeds of the finalists say nothing yet ({confirmed.cannot})."
        return Sentence(topic="confirmed", text=text, numbers=numbers | {"cannot": confirmed.cannot})
    first, *others = confirmed.finalists
    numbers |= {"name": first.name, "mean": first.score.estimate, "test": first.test.estimate}
    text = (
        f"With {several(confirmed.seeds, 'fresh seed')}, {bold(first.name)} has the {analysis.criterion} "
        f"{_fresh(first.score, 'mean', numbers)} and the test accuracy {_fresh(first.test, 'test', numbers)}"
    )
    if others:
        text += f"; {_against(analysis, [other.name for other in others], numbers)}"
    return Sentence(topic="confirmed", text=f"{text}.", numbers=numbers)


def _fresh(interval: Interval, name: str, numbers: Numbers) -> str:
    text = f"{percent(interval.estimate)} %"
    if interval.cannot:
        return text
    numbers |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return f"{text} ({100 * LEVEL:.0f} % interval {percent_range(interval)} %)"


def _against(analysis: Analysis, others: Sequence[str], numbers: Numbers) -> str:
    """Whom of the other finalists the selected one is confirmed to beat."""
    claimed = analysis.claimed("confirmed")
    better = [claim.subject[1] for claim in claimed]
    rest = len(others) - len(better)
    numbers |= {f"finalist_{number}": name for number, name in enumerate(others)}
    numbers |= {"others": len(others), "better": len(better), "rest": rest}
    if not better:
        numbers["more"] = len(others) - 2
        return f"it is not confirmed to be better than {listed(others, most=3)}"
    numbers["more"] = len(better) - 2
    confidence = carried(claimed, numbers, together="all finalists together")
    others_left = "the other finalist" if rest == 1 else f"the other {rest} finalists"
    tail = f", not than {others_left}" if rest else ""
    return f"it is confirmed to be better than {listed(better, most=3)}{tail} ({confidence})"
