"""What a sentence of the report is: a text, and the numbers that justify it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sweep.axes import Level
from sweep.report.findings import LEVEL, Claim
from sweep.stats import TermEffects

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


def extremes(term: TermEffects) -> tuple[str, str]:
    """Gives the levels of an axis with the smallest and the largest mean."""
    ordered = sorted(term.levels, key=lambda level: level.effect.estimate)
    worst, best = (cast(Level, one.levels[0]).cell for one in (ordered[0], ordered[-1]))
    return worst, best


def carried(claims: Sequence[Claim], numbers: Numbers, *, together: str = "all comparisons together") -> str:
    """Gives what claims of one kind hold with, in words: a level, or why they are provisional."""
    numbers["level"] = LEVEL
    doubt = next((claim.provisional for claim in claims if claim.provisional), "")
    if doubt:
        numbers["provisional"] = doubt
        return f"provisional: {doubt}"
    return f"{100 * LEVEL:.0f} % confidence for {together}"
