"""The accuracy to expect from another seed on other images: both axes are samples.

Axis letters: S seeds, N images, P distinct patterns of right and wrong over the seeds, D bootstrap draws.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import t_quantile
from sweep.stats.intervals import Interval, check_level, counted

_DRAWS_AT_ONCE = 256


def crossed_bootstrap(
    correct: NDArray[np.bool_], rng: np.random.Generator, level: float = 0.95, draws: int = 2000
) -> Interval:
    """Interval for the mean accuracy over all seeds and all images, of which `correct` `[S, N]` is a sample.

    Seeds and images are drawn again independently of each other (the pigeonhole bootstrap), S - 1 of S and
    N - 1 of N with replacement, so that the variance over draws is not too small by (S - 1) / S. Of a draw's
    deviation one part comes from the seeds alone, one from the images alone, the rest from their interaction,
    and the plain bootstrap counts the interaction's variance three times: here it is counted once, within the
    seeds' part. Percentiles of the draws cover far too little at S = 3 or 5. The half width is therefore

        sqrt( t[S - 1]^2 V(seeds) + t[N - 1]^2 max(V(images) - V(interaction), 0) )

    so each part gets the quantile its own number of samples deserves. Simulated with 2,000 data sets each of
    S = 2, 3 and 5 and N = 1,000, it covers at least 94 % while the standard deviation between seeds is below
    two fifths of the error rate; beyond that accuracies are skewed, and at three fifths it covers 90 %. Where
    images dominate it covers 95 to 98 %. The ends are kept in [0, 1]; `n` is S.

    Assumes seeds independent of each other, images independent of each other.

    Raises:
        ValueError: if `correct` is not `[S, N]`, `level` not in (0, 1) or `draws` below 2.

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
        return Interval(estimate=estimate, low=math.nan, high=math.nan, level=level, n=seeds, cannot=cannot)

    # Images with one pattern are interchangeable: drawing how often each pattern occurs is drawing images.
    packed = np.ascontiguousarray(np.packbits(correct, axis=0).T)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    _, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    patterns = correct[:, firsts]
    per_seed, per_pattern = correct.mean(axis=1), patterns.mean(axis=0)
    parts = np.empty((3, draws))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        span = slice(start, min(start + _DRAWS_AT_ONCE, draws))
        size = span.stop - span.start
        of_seeds = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=size) / (seeds - 1)
        of_images = rng.multinomial(images - 1, counts / images, size=size) / (images - 1)
        by_seeds, by_images = of_seeds @ per_seed - estimate, of_images @ per_pattern - estimate
        both = np.einsum("dp,dp->d", of_seeds @ patterns, of_images) - estimate
        parts[:, span] = by_seeds, by_images, both - by_seeds - by_images
    by_seeds_var, by_images_var, interaction_var = parts.var(axis=1, ddof=1)
    t_seeds, t_images = (t_quantile((1 + level) / 2, samples - 1) for samples in (seeds, images))
    half = math.sqrt(t_seeds**2 * by_seeds_var + t_images**2 * max(by_images_var - interaction_var, 0))
    return Interval(
        estimate=estimate, low=max(estimate - half, 0.0), high=min(estimate + half, 1.0), level=level, n=seeds
    )
