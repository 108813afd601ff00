"""Two configurations: which is better, are they as good as equal, and do they fail on the same images.

Axis letters: S seeds, N images. Values are paired: entry i of `a` and of `b` come from the same seed, or
image.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.stats.distributions import chi2_tail, fair_coin_at_most, normal_quantile, t_tail
from sweep.stats.intervals import ROUNDING, Interval, check_level, counted, mean_interval

_EXACT_BELOW = 25


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Student's paired test; `difference` is mean of a minus b with its interval.

    `statistic`, `p_value` (two-sided) are NaN when `cannot` says why.
    """

    difference: Interval
    statistic: float
    df: int
    p_value: float
    cannot: str


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of |a - b| < margin.

    `difference` has the interval at 2 x level - 1 (90 % for level 0.95); `equivalent` is whether it lies
    within the margin, which is the same as `p_value` < 1 - level.
    """

    difference: Interval
    margin: float
    p_value: float
    equivalent: bool
    cannot: str


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Two classifiers on the same images: counts of images, the difference in accuracy a - b, and the test.

    `difference` is for these two trained models on other images; the spread between seeds is not in it.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Interval
    exact: bool
    p_value: float
    cannot: str


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values, in the order given: those below 0.05 hold with a family-wise error of 5 %.

    A missing p-value (NaN) stays missing and does not count towards the family.

    Raises:
        ValueError: if a value lies outside [0, 1].

    Source: Holm (1979), as in `statsmodels.stats.multitest.multipletests`.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise ValueError("a p-value lies outside [0, 1]")
    adjusted = np.full(p.shape, math.nan)
    if known.any():
        adjusted[known] = _holm(p[known])
    return adjusted


def paired_t(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> PairedTest:
    """Whether the means behind `a` and `b`, each `[S]`, differ.

    Pairs with a missing value are left out. Assumes differences that are independent and near enough to
    normal.

    Raises:
        ValueError: if the two differ in length or `level` is not in (0, 1).

    Source: Student (1908), as in `scipy.stats.ttest_rel`.
    """
    differences = _differences(a, b)
    difference = mean_interval(differences, level)
    df = max(difference.n - 1, 0)
    if difference.cannot:
        cannot = _about_differences(difference)
        return PairedTest(difference=difference, statistic=math.nan, df=df, p_value=math.nan, cannot=cannot)
    statistic = difference.estimate / _standard_error(differences)
    p_value = 2 * t_tail(abs(statistic), df)
    return PairedTest(difference=difference, statistic=statistic, df=df, p_value=p_value, cannot="")


def equivalence(a: ArrayLike, b: ArrayLike, margin: float, level: float = 0.95) -> Equivalence:
    """Whether the means behind `a` and `b`, each `[S]`, are shown to differ by less than `margin`.

    The margin is in the unit of the values and chosen before looking. "Not equivalent" means not shown, and
    is the usual answer for few seeds. Pairs and assumptions as in `paired_t`.

    Raises:
        ValueError: if the two differ in length, `margin` is not positive or `level` not in (0.5, 1).

    Source: Schuirmann (1987), two one-sided tests, as in `statsmodels.stats.weightstats.ttost_paired`.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin} is not positive; give the largest difference that does not matter")
    if not 0.5 < level < 1:
        raise ValueError(f"level {level} is not in (0.5, 1); give 0.95 for 5 % false claims")
    differences = _differences(a, b)
    difference = mean_interval(differences, round(2 * level - 1, 12))
    if difference.cannot:
        cannot = _about_differences(difference)
        p_value = math.nan
    else:
        cannot = ""
        statistic = (margin - abs(difference.estimate)) / _standard_error(differences)
        p_value = t_tail(statistic, difference.n - 1)
    shown = p_value < 1 - level
    return Equivalence(difference=difference, margin=margin, p_value=p_value, equivalent=shown, cannot=cannot)


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_], level: float = 0.95) -> McNemar:
    """Whether two classifiers are right equally often on the images behind the N seen by both.

    Exact (binomial) below 25 images on which they disagree, else chi-squared with continuity correction.
    Assumes independent images; says nothing about other seeds.

    Raises:
        ValueError: if the two are not `[N]` of one length or `level` is not in (0, 1).

    Source: McNemar (1947), as in `statsmodels.stats.contingency_tables.mcnemar`; interval: Bonett and Price
    (2012), "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data".
    """
    check_level(level)
    a, b = np.asarray(correct_a, dtype=np.bool_), np.asarray(correct_b, dtype=np.bool_)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape}; give two [images] of one length")
    n = int(a.size)
    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())
    neither, discordant = n - both - only_a - only_b, only_a + only_b
    exact = discordant < _EXACT_BELOW
    p_value, cannot = math.nan, ""
    if not n:
        cannot = "no images"
    elif not discordant:
        cannot = f"both are right on the same {both} of {n} images: there is nothing to test"
    else:
        p_value = _mcnemar_p_value(only_a, only_b, exact)
    difference = _difference_in_accuracy(only_a, only_b, n, level)
    return McNemar(
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=neither,
        difference=difference,
        exact=exact,
        p_value=p_value,
        cannot=cannot,
    )


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _mcnemar_p_value(only_a: int, only_b: int, exact: bool) -> float:
    discordant = only_a + only_b
    if exact:
        return min(2 * fair_coin_at_most(min(only_a, only_b), discordant), 1.0)
    return chi2_tail((abs(only_a - only_b) - 1) ** 2 / discordant, 1)


def _difference_in_accuracy(only_a: int, only_b: int, n: int, level: float) -> Interval:
    if not n:
        nan = math.nan
        return Interval(estimate=nan, low=nan, high=nan, level=level, n=n, cannot="no images")
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    centre = share_a - share_b
    z = normal_quantile((1 + level) / 2)
    half = z * math.sqrt((share_a + share_b - centre**2) / (n + 2))
    low, high = max(centre - half, -1.0), min(centre + half, 1.0)
    return Interval(estimate=(only_a - only_b) / n, low=low, high=high, level=level, n=n)


def _differences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}; give two [seeds] of one length")
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = first[finite], second[finite]
    differences = first - second
    if differences.size:
        # What subtraction rounds off must not pass for a spread: 0.9801 - 0.98 is not quite 0.5001 - 0.5.
        rounding = ROUNDING * max(np.abs(first).max(), np.abs(second).max())
        if np.ptp(differences) <= rounding:
            differences[:] = differences[0] if abs(differences[0]) > rounding else 0.0
    return differences


def _about_differences(difference: Interval) -> str:
    if difference.n < 2:
        return f"{counted(difference.n, 'pair')}: a paired test needs two or more"
    if difference.estimate == 0:
        return f"the two are identical in all {difference.n} pairs: there is nothing to test"
    return f"all {difference.n} differences are identical: their spread is unknown"


def _standard_error(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1)) / math.sqrt(differences.size)
