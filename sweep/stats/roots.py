"""Where an increasing function crosses zero.

`scipy.optimize.brentq` finds it as well, but importing `scipy.optimize` takes far longer than all roots of a report.
"""

from collections.abc import Callable

_MOST_STEPS = 200


def find_root(increasing: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """The zero of a smooth function that is negative at `low` and not negative at `high`, to within `tolerance`.

    Source: false position, Illinois variant; Dowell and Jarratt (1971), BIT 11.
    """
    at_low, at_high = increasing(low), increasing(high)
    middle, moved = low, ""
    for _ in range(_MOST_STEPS):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        at_middle = increasing(middle)
        # An end that stays twice counts half, or it would stay for ever where the function is bent.
        if at_middle < 0:
            at_high *= 0.5 if moved == "low" else 1.0
            low, at_low, moved = middle, at_middle, "low"
        else:
            at_low *= 0.5 if moved == "high" else 1.0
            high, at_high, moved = middle, at_middle, "high"
        if at_middle == 0 or high - low <= tolerance:
            break
    return middle
