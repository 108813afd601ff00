"""Intervals of one sample, and of seeds crossed with images."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from sweep import stats
from sweep.stats.intervals import counted


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def test_public_names_are_these():
    assert stats.__all__ == sorted(stats.__all__)
    assert {name for name in vars(stats) if name in stats.__all__} == set(stats.__all__)
    assert {
        "Interval",
        "compare",
        "critical_difference",
        "crossed_bootstrap",
        "factor_effects",
        "mean_interval",
        "named_pair",
        "pareto_front",
        "prediction_interval",
        "seeds_range",
        "selected",
        "share_interval",
        "simultaneous_intervals",
    } <= set(stats.__all__)


def test_mean_interval_of_three_values_matches_the_one_worked_out_by_hand():
    # mean 2, s 1, t(2) = 4.3027, half width 4.3027 / sqrt(3) = 2.4841
    interval = stats.mean_interval([1.0, 2.0, 3.0])
    assert interval.estimate == 2.0
    assert interval.low == pytest.approx(-0.4841, abs=1e-4)
    assert interval.high == pytest.approx(4.4841, abs=1e-4)
    assert (interval.level, interval.n, interval.cannot) == (0.95, 3, "")


def test_prediction_interval_of_three_values_is_twice_as_wide_as_that_of_the_mean():
    # sqrt(1 + 1/3) is twice sqrt(1/3)
    mean, single = stats.mean_interval([1.0, 2.0, 3.0]), stats.prediction_interval([1.0, 2.0, 3.0])
    assert single.high - single.low == pytest.approx(2 * (mean.high - mean.low))


def test_mean_interval_matches_scipy():
    values = np.random.default_rng(1).normal(0.97, 0.01, 7)
    expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    interval = stats.mean_interval(values, 0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("function", [stats.mean_interval, stats.prediction_interval])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "no values"),
        ([math.nan], "no values"),
        ([0.9], "one value"),
        ([0.9, math.nan, math.inf], "one value"),
        ([0.9, 0.9, 0.9], "identical"),
        ([0.1 + 0.2, 0.3], "identical"),
    ],
)
def test_interval_that_cannot_be_given_says_why(function, values, reason):
    interval = function(values)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert reason in interval.cannot


def test_missing_values_do_not_count():
    assert stats.mean_interval([1.0, math.nan, 3.0]) == stats.mean_interval([1.0, 3.0])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_that_is_no_proportion_is_refused(level):
    with pytest.raises(ValueError, match="not in"):
        stats.mean_interval([1.0, 2.0], level)


def test_counts_are_spelled_for_people():
    assert [counted(n, "seed") for n in (0, 1, 2)] == ["no seeds", "one seed", "2 seeds"]


@pytest.mark.parametrize("n", [2, 5])
def test_mean_and_prediction_intervals_cover_as_often_as_they_say(n):
    rng, runs = np.random.default_rng(n), 1000
    means = singles = 0
    for values, single in zip(rng.normal(size=(runs, n)), rng.normal(size=runs), strict=True):
        mean, prediction = stats.mean_interval(values), stats.prediction_interval(values)
        means += mean.low <= 0 <= mean.high
        singles += prediction.low <= single <= prediction.high
    assert at_least(0.95, runs) <= means < runs
    assert at_least(0.95, runs) <= singles < runs


def closed_form_half_width(correct, level=0.95):
    """What the crossed bootstrap tends to with ever more draws, from the two-way analysis of variance."""
    seeds, images = correct.shape
    by_seed, by_image = correct.mean(axis=1), correct.mean(axis=0)
    interaction = correct - by_seed[:, None] - by_image + correct.mean()
    of_seeds = by_seed.var(ddof=1) / seeds
    of_images = by_image.var(ddof=1) / images
    of_both = (interaction**2).sum() / ((seeds - 1) * (images - 1)) / (seeds * images)
    t_seeds, t_images = (scipy_stats.t.ppf((1 + level) / 2, n - 1) for n in (seeds, images))
    return math.sqrt(t_seeds**2 * of_seeds + t_images**2 * max(of_images - of_both, 0))


@pytest.mark.parametrize(("seeds", "images"), [(3, 200), (5, 2000), (9, 50)])
def test_crossed_bootstrap_tends_to_the_analysis_of_variance(seeds, images):
    rng = np.random.default_rng(seeds)
    correct = rng.random((seeds, images)) < rng.uniform(0.4, 0.95, images)
    interval = stats.crossed_bootstrap(correct, rng, draws=20_000)
    assert interval.estimate == correct.mean()
    assert interval.n == seeds
    assert (interval.high - interval.low) / 2 == pytest.approx(closed_form_half_width(correct), rel=0.03)


def test_crossed_bootstrap_depends_on_its_generator_only():
    correct = np.random.default_rng(0).random((4, 100)) < 0.9
    first, again, other = (stats.crossed_bootstrap(correct, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_crossed_bootstrap_stays_within_zero_and_one():
    correct = np.ones((3, 50), dtype=bool)
    correct[0, 0] = False
    assert stats.crossed_bootstrap(correct, np.random.default_rng(0)).high == 1.0
    assert stats.crossed_bootstrap(~correct, np.random.default_rng(0)).low == 0.0


@pytest.mark.parametrize(
    ("correct", "reason"),
    [
        (np.zeros((0, 5), dtype=bool), "no seeds"),
        (np.array([[True, False]]), "one seed"),
        (np.array([[True], [False]]), "one image"),
        (np.ones((3, 9), dtype=bool), "every prediction"),
        (np.zeros((3, 9), dtype=bool), "every prediction"),
    ],
)
def test_crossed_bootstrap_that_cannot_be_given_says_why(correct, reason):
    interval = stats.crossed_bootstrap(correct, np.random.default_rng(0))
    assert math.isnan(interval.low)
    assert reason in interval.cannot


def test_crossed_bootstrap_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="seeds, images"):
        stats.crossed_bootstrap(np.ones(5, dtype=bool), np.random.default_rng(0))
    with pytest.raises(ValueError, match="draws"):
        stats.crossed_bootstrap(np.ones((2, 5), dtype=bool), np.random.default_rng(0), draws=1)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("seed_spread", [0.0, 0.2])
def test_crossed_bootstrap_covers_the_accuracy_of_new_seeds_on_new_images(seeds, seed_spread):
    # An image is right when ability + seed + image + noise > 0, all normal, with spread 1 between images.
    rng, runs, ability = np.random.default_rng(seeds), 400, 1.5
    truth = scipy_stats.norm.cdf(ability / math.sqrt(2 + seed_spread**2))
    covered = 0
    for _ in range(runs):
        of_seeds, of_images = rng.normal(size=(seeds, 1)) * seed_spread, rng.normal(size=500)
        correct = ability + of_seeds + of_images + rng.normal(size=(seeds, 500)) > 0
        interval = stats.crossed_bootstrap(correct, rng, draws=400)
        covered += interval.low <= truth <= interval.high
    assert at_least(0.94, runs) <= covered < runs
