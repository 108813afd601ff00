"""Intervals: of a mean, of one more value, of a share, and of a mean over seeds and images.

Axis letters: n values, S seeds, N images, D bootstrap draws. Those of means and values assume values that are
independent and near enough to normal; with few seeds that cannot be checked from the data.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweep.stats.distributions import Floats, t_quantile

ROUNDING = 1e-14
"""Spread relative to the size of the values below which float64 arithmetic alone may have made it."""
_DRAWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and its interval, in the unit of the values given; NaN where `cannot` says why.

    `level` is the coverage aimed at, in (0, 1), `n` how many independent values it rests on.
    """

    estimate: float
    low: float = math.nan
    high: float = math.nan
    level: float
    n: int
    cannot: str = ""


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval for the mean of the population that the values `[n]` come from.

    Identical values give no interval: their spread is unknown, not zero.

    Source: Student (1908); mean +- t s / sqrt(n) with n - 1 degrees of freedom.
    """
    return _student(values, level, extra=0.0)


def prediction_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval that contains one further, independent value from the population of the values `[n]`.

    More exposed than `mean_interval` to values that are not normal, for a single value is not averaged.

    Source: Hahn and Meeker (1991), chapter 4; mean +- t s sqrt(1 + 1 / n).
    """
    return _student(values, level, extra=1.0)


def _student(values: ArrayLike, level: float, extra: float) -> Interval:
    check_level(level)
    numbers = np.asarray(values, dtype=np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)]
    n = numbers.size
    cannot, half = "", math.nan
    if n < 2:
        cannot = f"{counted(n, 'value')}: an interval needs two or more"
    elif no_spread(numbers):
        cannot = f"all {n} values are identical: their spread is unknown"
    else:
        half = t_quantile((1 + level) / 2, n - 1) * float(numbers.std(ddof=1)) * math.sqrt(extra + 1 / n)
    mean = float(numbers.mean()) if n else math.nan
    return Interval(estimate=mean, low=mean - half, high=mean + half, level=level, n=n, cannot=cannot)


def share_interval(count: int, n: int, level: float = 0.95) -> Interval:
    """The share `count` of `n` independent trials, with an interval that covers at least `level` however rare it is.

    Source: Clopper and Pearson (1934), as in `scipy.stats.binomtest(...).proportion_ci()`.
    """
    check_level(level)
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no share")
    if not n:
        return Interval(estimate=math.nan, level=level, n=0, cannot="nothing was tried")
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return Interval(estimate=count / n, low=low, high=high, level=level, n=n)


def chance_of_at_least(count: int, n: int, probability: float) -> float:
    """Probability that `count` or more of `n` independent trials happen, as `scipy.stats.binom.sf(count - 1, ...)`."""
    return float(special.bdtrc(count - 1, n, probability)) if count > 0 else 1.0


def crossed_bootstrap(
    correct: NDArray[np.bool_], rng: np.random.Generator, level: float = 0.95, draws: int = 2000
) -> Interval:
    """Interval for the share of right predictions over all seeds and images, of which `correct` `[S, N]` is a sample.

    Seeds and images are drawn again independently of each other, S - 1 of S and N - 1 of N with replacement, so that
    the variance over draws is not too small by (S - 1) / S. A draw deviates by its seeds, its images and their
    interaction, which the plain bootstrap counts three times and the half width once, as
    sqrt(t[S - 1]^2 V(seeds) + t[N - 1]^2 max(V(images) - V(interaction), 0)); percentiles cover far too little at S = 3
    or 5. Simulated with S = 2, 3 and 5 and N = 1,000, it covers at least 94 % while the standard deviation between
    seeds is below two fifths of the error rate, at three fifths 90 %. The ends are kept in [0, 1]; `n` is S.

    Source: Owen (2007), "The pigeonhole bootstrap", Annals of Applied Statistics 1; draws of n - 1: Rao and
    Wu (1988); adding squared half widths: Howe (1974).
    """
    check_level(level)
    if correct.ndim != 2:
        raise ValueError(f"correct has shape {correct.shape}; give [seeds, images]")
    if draws < 2:
        raise ValueError(f"draws is {draws}; give 2 or more")
    seeds, images = correct.shape
    estimate = float(correct.mean()) if correct.size else math.nan
    cannot = ""
    if seeds < 2:
        cannot = f"{counted(seeds, 'seed')}: the spread between seeds is unknown"
    elif images < 2:
        cannot = f"{counted(images, 'image')}: the spread between images is unknown"
    elif correct.all() or not correct.any():
        cannot = "every prediction is right, or every one wrong: there is no spread to draw from"
    if cannot:
        return Interval(estimate=estimate, level=level, n=seeds, cannot=cannot)

    # Images with one pattern are interchangeable: drawing how often each pattern occurs is drawing images.
    packed = np.ascontiguousarray(np.packbits(correct, axis=0).T)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    _, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    patterns = correct[:, firsts]
    per_seed, per_pattern = correct.mean(axis=1), patterns.mean(axis=0)
    parts = np.empty((3, draws))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - start)
        of_seeds = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=size) / (seeds - 1)
        of_images = rng.multinomial(images - 1, counts / images, size=size) / (images - 1)
        by_seeds, by_images = of_seeds @ per_seed - estimate, of_images @ per_pattern - estimate
        both = np.einsum("dp,dp->d", of_seeds @ patterns, of_images) - estimate
        parts[:, start : start + size] = by_seeds, by_images, both - by_seeds - by_images
    seeds_var, images_var, interaction_var = parts.var(axis=1, ddof=1)
    t_seeds, t_images = (t_quantile((1 + level) / 2, samples - 1) for samples in (seeds, images))
    half = math.sqrt(t_seeds**2 * seeds_var + t_images**2 * max(images_var - interaction_var, 0))
    low, high = max(estimate - half, 0.0), min(estimate + half, 1.0)
    return Interval(estimate=estimate, low=low, high=high, level=level, n=seeds)


def no_spread(values: Floats) -> bool:
    """Whether the values differ by no more than the rounding of float64 arithmetic."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def counted(n: int, noun: str) -> str:
    """A number with its noun: "no seeds", "one seed", "2 seeds"."""
    return f"{'one' if n == 1 else n or 'no'} {noun}{'' if n == 1 else 's'}"


def check_level(level: float) -> None:
    """Refuses a level that is not a proportion."""
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1); give 0.95 for 95 %")
