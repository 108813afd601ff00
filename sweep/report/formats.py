"""Numbers and lists as a reader sees them; how values of a metric are written is said by `sweep.metrics.Metric`."""

import math
from collections.abc import Iterable, Sequence

from sweep.metrics import NONE, Metric

# Of what is counted here, not scored: grid points that diverged, variation that an axis explains.
SHARE = Metric(name="share", unit="%", digits=2)


def p_text(p_value: float) -> str:
    """Gives a p-value as "< 0.001" or "0.023"."""
    if not math.isfinite(p_value):
        return NONE
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def p_equals(p_value: float) -> str:
    """Gives a p-value for a sentence: "p < 0.001" or "p = 0.023"."""
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def significant(value: float) -> str:
    """Gives a number with three significant digits, without exponent."""
    if not math.isfinite(value):
        return NONE
    if abs(value) < 5e-7:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def numeral(value: float) -> str:
    """Gives an amount of evidence as "16", "0.32" or "over 1,000"."""
    if value > 1000:
        return "over 1,000"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Gives 3723 as "1 h 2 min", 62 as "1 min 2 s", 0.5 as "0.5 s"."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def several(count: int, noun: str) -> str:
    """Gives "1 seed", "5 seeds", "10,000 images"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Iterable[str], most: int = 4) -> str:
    """Gives "a, b and c", or "a, b and 7 more"."""
    every = list(names)
    shown = every if len(every) <= most else every[: most - 1]
    rest = [f"{len(every) - len(shown)} more"] if len(shown) < len(every) else []
    parts = shown + rest
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def numbered(values: Sequence[int]) -> str:
    """Gives seeds as "0 to 4" where they follow each other, else "0, 2, 5"."""
    if len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))
