"""A few measured values in numbers."""

import statistics
from collections.abc import Sequence


def summary(values: Sequence[float]) -> dict[str, float]:
    """Gives the median, the smallest and the largest of values, and how many there are."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def shown(numbers: dict[str, float], digits: int = 0) -> str:
    """Gives `median (smallest to largest)`."""
    median, low, high = (f"{numbers[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({low} to {high})"
