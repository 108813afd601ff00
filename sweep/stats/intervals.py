"""Intervals around a mean of independent values: for the mean itself, and for one more value.

Axis letters: n values. Both assume values that are independent and near enough to normal; with few seeds that
cannot be checked from the data.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.stats.distributions import t_quantile

ROUNDING = 1e-14
"""Spread relative to the size of the values below which float64 arithmetic alone may have made it."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and its interval, in the unit of the values given.

    Attributes:
        estimate: the point estimate; NaN without values.
        low: lower end; NaN when it cannot be given.
        high: upper end; NaN when it cannot be given.
        level: coverage aimed at, in (0, 1).
        n: how many independent values it rests on.
        cannot: why there is no interval; empty when there is one.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    cannot: str = ""


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval for the mean of the population that the values `[n]` come from.

    Missing values are left out. Identical values give no interval: their spread is unknown, not zero.

    Raises:
        ValueError: if `level` is not in (0, 1).

    Source: Student (1908); mean +- t s / sqrt(n) with n - 1 degrees of freedom.
    """
    return _student(values, level, extra=0.0)


def prediction_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval that contains one further, independent value from the population of the values `[n]`.

    Missing values are left out. Identical values give no interval. More exposed than `mean_interval` to
    values that are not normal, for a single value is not averaged.

    Raises:
        ValueError: if `level` is not in (0, 1).

    Source: Hahn and Meeker (1991), chapter 4; mean +- t s sqrt(1 + 1 / n).
    """
    return _student(values, level, extra=1.0)


def present(values: ArrayLike) -> NDArray[np.float64]:
    """The finite values, flat, as float64."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    return numbers[np.isfinite(numbers)]


def no_spread(values: NDArray[np.float64]) -> bool:
    """Whether the values differ by no more than the rounding of float64 arithmetic."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def counted(n: int, noun: str) -> str:
    """A number with its noun: "no seeds", "one seed", "2 seeds"."""
    return f"{'one' if n == 1 else n or 'no'} {noun}{'' if n == 1 else 's'}"


def check_level(level: float) -> None:
    """Refuses a level that is not a proportion.

    Raises:
        ValueError: if `level` is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1); give 0.95 for 95 %")


def _student(values: ArrayLike, level: float, extra: float) -> Interval:
    check_level(level)
    numbers = present(values)
    n = numbers.size
    estimate = float(numbers.mean()) if n else math.nan
    cannot = ""
    if n < 2:
        cannot = f"{counted(n, 'value')}: an interval needs two or more"
    elif no_spread(numbers):
        cannot = f"all {n} values are identical: their spread is unknown"
    if cannot:
        return Interval(estimate=estimate, low=math.nan, high=math.nan, level=level, n=n, cannot=cannot)
    t = t_quantile((1 + level) / 2, n - 1)
    half = t * float(numbers.std(ddof=1)) * math.sqrt(extra + 1 / n)
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half, level=level, n=n)
