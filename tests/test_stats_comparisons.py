"""Which configurations differ and which may be the best, on the seed-blocked model."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sweep import stats
from sweep.stats.blocks import blocked_fit, uneven_p_value
from sweep.stats.distributions import spread_probability, spread_quantile

NAN = math.nan

# Montgomery, Design and Analysis of Experiments, vascular grafts: four pressures in six batches of resin.
GRAFTS = np.array(
    [
        [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    ]
)


def better_than(scores, reference, **options):
    found = stats.compare(scores, **options)
    return found.better_than(reference), found.limit


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def at_most(share, runs):
    """The count that `runs` trials of this chance exceed once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.999, runs, share)


def noisy(rng, means, seeds, spread=1.0):
    """Scores with seed effects larger than the error."""
    spread = np.broadcast_to(spread, len(means))
    errors = spread[:, None] * rng.normal(size=(len(means), seeds))
    return np.asarray(means)[:, None] + 3 * rng.normal(size=seeds) + errors


def with_holes(rng, scores, share=0.2):
    """The scores without a random share of them."""
    return np.where(rng.random(scores.shape) < share, NAN, scores)


def long_frame(scores):
    """One row per score that is there."""
    rows = [(k, s, scores[k, s]) for k, s in itertools.product(*map(range, scores.shape))]
    return pd.DataFrame(rows, columns=["k", "s", "y"]).dropna()


# The blocked model


def test_error_variance_of_two_by_two_matches_the_one_worked_out_by_hand():
    # means 1.5 and 4, seeds 2 and 3.5, all 2.75: residuals +-0.25, one degree of freedom
    fit = blocked_fit(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert fit.means.tolist() == [1.5, 4.0]
    assert fit.error_variance == pytest.approx(0.25)
    assert fit.df == 1
    # differences 2 and 3: s.e. sqrt(0.5 / 2) = 0.5, and sqrt(2 x 0.25 / 2) from the error variance
    assert fit.standard_errors == pytest.approx(np.array([[0, 0.5], [0.5, 0]]))


def test_missing_score_is_estimated_as_worked_out_by_hand():
    # The second configuration leads by 3 in the seed that both have: without the first's seed 1 it has 4 + 3 less.
    fit = blocked_fit(np.array([[1.0, NAN], [4.0, 6.0]]))
    assert fit.means.tolist() == pytest.approx([2.0, 5.0])
    assert fit.df == 0


def test_error_variance_matches_the_published_vascular_grafts():
    fit = blocked_fit(GRAFTS)
    assert fit.df == 15
    assert fit.error_variance * fit.df == pytest.approx(109.89, abs=0.005)


@pytest.mark.parametrize("missing", [0, 5])
def test_fit_and_standard_errors_match_statsmodels(missing):
    rng = np.random.default_rng(missing)
    scores = rng.normal(size=(6, 4)) * 10 + np.arange(6)[:, None]
    scores.ravel()[rng.choice(24, missing, replace=False)] = NAN
    long = long_frame(scores)
    expected, fit = ols("y ~ C(k) + C(s)", long).fit(), blocked_fit(scores)
    assert fit.error_variance == pytest.approx(anova_lm(expected)["mean_sq"]["Residual"])
    assert fit.df == expected.df_resid
    assert fit.errors[np.isfinite(scores)] == pytest.approx(expected.resid.to_numpy())
    complete = pd.DataFrame([(k, s) for k in range(6) for s in range(4)], columns=["k", "s"])
    assert fit.means == pytest.approx(complete.assign(y=expected.predict(complete)).groupby("k")["y"].mean().to_numpy())
    for a, b in itertools.combinations(range(6), 2):
        contrast = np.zeros(len(expected.params))
        for k, sign in ((a, 1), (b, -1)):
            if k:
                contrast[expected.params.index.get_loc(f"C(k)[T.{k}]")] = sign
        common = math.sqrt(contrast @ expected.cov_params().to_numpy() @ contrast)
        differences = (scores[a] - scores[b])[np.isfinite(scores[a] - scores[b])]
        own = scipy_stats.sem(differences) if len(differences) > 1 else 0.0
        assert fit.standard_errors[a, b] == pytest.approx(max(common, own))
        assert fit.standard_errors[b, a] == fit.standard_errors[a, b]


@pytest.mark.parametrize(
    ("missing", "used", "seeds"),
    [
        ([], [0, 1, 2, 3], 4),
        ([(0, 0), (0, 1), (0, 2), (0, 3)], [1, 2, 3], 4),  # nothing at all
        ([(0, 0), (0, 1), (0, 2)], [0, 1, 2, 3], 4),  # one seed is enough to be compared
        ([(0, 3), (1, 3), (2, 3)], [0, 1, 2, 3], 4),  # a seed that only one has
        ([(0, s) for s in range(3)] + [(k, 3) for k in range(1, 4)], [1, 2, 3], 3),  # a seed of its own: no bridge
        ([(0, 0), (1, 1), (2, 2), (3, 3)], [0, 1, 2, 3], 4),  # no seed is complete
    ],
)
def test_every_score_takes_part_that_others_can_be_compared_with(missing, used, seeds):
    scores = np.random.default_rng(0).normal(size=(4, 4))
    for place in missing:
        scores[place] = NAN
    fit = blocked_fit(scores)
    assert fit.configurations.tolist() == used
    assert fit.left_out.tolist() == [k for k in range(4) if k not in used]
    assert fit.table.shape == (len(used), seeds)
    assert fit.cannot == ""


def test_configurations_are_compared_by_way_of_others():
    # 0 and 2 share no seed, but each shares some with 1.
    scores = np.random.default_rng(0).normal(size=(3, 6))
    scores[0, 3:] = scores[2, :3] = NAN
    found = stats.compare(scores)
    assert np.isfinite(found.means).all()
    assert np.isfinite(found.standard_errors[0, 2])
    assert found.standard_errors[0, 2] > found.standard_errors[0, 1]


def test_pair_that_varies_more_is_judged_by_its_own_spread_and_one_that_varies_less_by_all():
    scores = noisy(np.random.default_rng(1), np.zeros(9), 5, [20.0] + [1.0] * 8)
    fit = blocked_fit(scores)
    own = scipy_stats.sem(scores[0] - scores[1])
    common = math.sqrt(2 * fit.error_variance / 5)
    assert own > common
    assert fit.standard_errors[0, 1] == pytest.approx(own)
    assert fit.standard_errors[1, 2] == pytest.approx(common)


def test_configurations_without_spread_do_not_lower_the_error():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(6, 4))
    saturated = np.vstack([scores, np.full((5, 4), 9.0)])
    alone, beside = blocked_fit(scores), blocked_fit(saturated)
    assert (beside.error_variance, beside.df) == pytest.approx((alone.error_variance, alone.df))
    assert beside.standard_errors[:6, :6] == pytest.approx(alone.standard_errors)
    found = stats.compare(saturated)
    assert found.in_best_set.tolist() == [False] * 6 + [True] * 5
    assert (found.p_worse[6:] == 1).all()


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e12])
def test_large_common_offset_costs_no_digits(offset):
    # As NIST's SmLs07: the digits that differ are the last. Expected: of the numbers as they are stored.
    rng = np.random.default_rng(3)
    scores = offset + rng.integers(1, 9, size=(5, 7)) / 8 + np.arange(5)[:, None] / 8
    exact = blocked_fit(scores - offset)
    fit = blocked_fit(scores)
    assert fit.cannot == ""
    assert fit.error_variance == pytest.approx(exact.error_variance, rel=1e-10)
    assert fit.standard_errors == pytest.approx(exact.standard_errors, rel=1e-10)
    assert fit.means - offset == pytest.approx(exact.means, abs=1e-15 * offset + 1e-12)


def test_uneven_p_value_is_bartletts_with_the_degrees_of_freedom_of_the_rows():
    # Rows that sum to zero: scipy's test of them has the same S - 1 degrees of freedom.
    rows = np.random.default_rng(4).normal(size=(5, 6)) * np.arange(1, 6)[:, None]
    rows -= rows.mean(axis=1, keepdims=True)
    assert uneven_p_value(rows) == pytest.approx(scipy_stats.bartlett(*rows).pvalue)


def test_spread_is_called_uneven_in_few_of_even_tables():
    rng, runs = np.random.default_rng(3), 500
    tables = [noisy(rng, np.zeros(8), 4) for _ in range(runs)]
    assert sum(uneven_p_value(blocked_fit(table).errors) < 0.05 for table in tables) <= at_most(0.05, runs)


# Critical values


@pytest.mark.parametrize(("count", "df"), [(2, 1), (3, 2), (9, 8), (27, 104), (200, 8), (5, math.inf)])
def test_gap_of_all_means_is_the_studentised_range(count, df):
    for level in (0.95, 0.98):
        expected = scipy_stats.studentized_range.ppf(level, count, df)
        assert spread_quantile(level, tied=count, count=count, df=df) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(
    ("df", "table"),
    [(5, [2.02, 2.44, 2.68, 2.85]), (10, [1.81, 2.15, 2.34, 2.47, 2.56]), (math.inf, [1.64, 1.92, 2.06])],
)
def test_gap_to_one_mean_gives_dunnetts_published_table(df, table):
    # One-sided, 5 %, for 1, 2, 3, ... comparisons with a control.
    gaps = [spread_quantile(0.95, tied=1, count=others + 1, df=df) for others in range(1, len(table) + 1)]
    assert np.allclose(np.array(gaps) / math.sqrt(2), table, atol=0.0051)


def test_gap_to_one_mean_matches_the_multivariate_t():
    d = spread_quantile(0.95, tied=1, count=6, df=12) / math.sqrt(2)
    correlation = 0.5 * np.eye(5) + 0.5
    reached = scipy_stats.multivariate_t(shape=correlation, df=12, seed=0).cdf(np.full(5, d), maxpts=200_000)
    assert reached == pytest.approx(0.95, abs=5e-4)


def test_gap_to_some_means_matches_simulation():
    rng, runs = np.random.default_rng(5), 40_000
    means, scale = rng.normal(size=(runs, 6)), np.sqrt(rng.chisquare(8, runs) / 8)
    gaps = (means.max(axis=1) - means[:, :3].min(axis=1)) / scale
    reached = spread_probability(3.5, tied=3, count=6, df=8)
    assert (gaps <= 3.5).mean() == pytest.approx(reached, abs=4 * math.sqrt(reached * (1 - reached) / runs))


# Which are worse than the best


@pytest.mark.parametrize(
    ("configurations", "seeds", "looks", "limit"),
    [
        (18, 3, 1, 0.02),
        (18, 9, 1, 0.02),
        (18, 10, 1, 0.025),
        (2, 3, 1, 0.025),
        (18, 5, 2, 0.05 / 6),
        (18, 5, 3, 0.05 / 12),
        (2, 30, 5, 0.05 / 30),
    ],
)
def test_limit_for_p_values_is_what_the_design_says(configurations, seeds, looks, limit):
    scores = np.random.default_rng(0).normal(size=(configurations, seeds))
    assert stats.compare(scores, looks=looks).limit == pytest.approx(limit)
    assert better_than(scores, 0, looks=looks)[1] == pytest.approx(limit)


@pytest.mark.parametrize("seeds", [3, 20])
def test_limits_of_all_looks_add_up_to_the_five_percent_at_most(seeds):
    scores = np.random.default_rng(0).normal(size=(4, seeds))
    limits = [stats.compare(scores, looks=look).limit for look in range(1, 200)]
    assert 0.04 < sum(limits) <= 0.05
    assert (np.diff(limits) < 0).all()


def test_three_configurations_match_those_worked_out_by_hand():
    # Means 1.5, 4, 9.5; the error's sum of squares is 1 with 2 degrees of freedom: s.e. sqrt(2 x 0.5 / 2) = 0.7071, own
    # ones of the differences (2, 3), (7, 9), (5, 6): 0.5, 1 and 0.5.
    found = stats.compare(np.array([[1.0, 2.0], [3.0, 5.0], [8.0, 11.0]]))
    assert found.best == 2
    assert found.error_variance == pytest.approx(0.5)
    assert found.df == 2
    root = math.sqrt(0.5)
    assert found.standard_errors == pytest.approx(np.array([[0, root, 1], [root, 0, root], [1, root, 0]]))
    # The first gap is 8 / 1, the second 5.5 / 0.7071, with two left; both in s.e. of a difference.
    first = scipy_stats.studentized_range.sf(8 * math.sqrt(2), 3, 2)
    assert found.p_worse[0] == pytest.approx(first, abs=1e-6)
    assert found.p_worse[1] == found.p_worse[0]  # no smaller than the one before
    assert found.p_worse[2] == 1


def test_two_configurations_are_a_paired_t_test():
    scores = np.random.default_rng(6).normal(size=(2, 5)) + np.array([[0.0], [1.0]])
    expected = scipy_stats.ttest_rel(*scores)
    found = stats.compare(scores)
    assert found.p_worse[0] == pytest.approx(expected.pvalue, rel=1e-6)
    interval, wanted = found.difference(0, 1), expected.confidence_interval(0.975)
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high), rel=1e-6)
    better, limit = better_than(scores, 0)
    assert better[1] == pytest.approx(expected.pvalue / 2, rel=1e-6)
    assert limit == found.limit


def test_all_pairs_of_the_published_grafts_agree_with_tukeys_test():
    # q(4 means, df 15), sqrt(7.326 / 6) = 1.105; own s.e. of three pairs are larger than 1.5627.
    found = stats.compare(GRAFTS)
    assert found.best == 0
    q = scipy_stats.studentized_range.isf(0.02, 4, 15)
    for a, b in itertools.permutations(range(4), 2):
        error = max(math.sqrt(2 * 109.886 / 15 / 6), scipy_stats.sem(GRAFTS[a] - GRAFTS[b]))
        assert found.reach[a, b] == pytest.approx(q / math.sqrt(2) * error, rel=1e-4)
        assert found.difference(a, b).estimate == pytest.approx(GRAFTS[a].mean() - GRAFTS[b].mean())
    assert np.argwhere(found.better).tolist() == [[0, 3], [1, 3]]
    assert found.in_best_set.tolist() == [True, True, True, False]
    assert found.ranks.tolist() == [[1, 3], [1, 3], [1, 4], [3, 4]]


def test_first_step_is_tukeys_range_and_the_steps_get_easier():
    scores = noisy(np.random.default_rng(7), [0, -1, -2, -3, -4], 4)
    found = stats.compare(scores)
    gaps = (found.means[found.best] - found.means) / np.where(np.eye(5)[found.best], 1, found.standard_errors[0])
    by_range = scipy_stats.studentized_range.sf(gaps * math.sqrt(2), 5, found.df)
    worst = int(np.argmax(gaps))
    assert found.p_behind[worst] == pytest.approx(by_range[worst], rel=1e-4)
    others = [k for k in range(5) if k not in (worst, found.best)]
    assert (found.p_worse[others] < by_range[others]).any()


def test_largest_lead_over_the_reference_is_dunnetts_and_the_steps_get_easier():
    scores = np.random.default_rng(8).normal(size=(5, 5))
    scores += np.array([0, 0.8, 1.2, 1.6, -9])[:, None] - scores.mean(axis=1, keepdims=True)
    p, _ = better_than(scores, 0)
    fit = blocked_fit(scores)
    leads = (fit.means - fit.means[0])[1:] / fit.standard_errors[1:, 0]
    correlation = 0.5 * np.eye(4) + 0.5
    order = np.argsort(-leads)
    for step, place in enumerate(order[:3]):
        left = 4 - step
        shared = scipy_stats.multivariate_t(shape=correlation[:left, :left], df=fit.df, seed=0)
        expected = 1 - shared.cdf(np.full(left, leads[place]), maxpts=100_000)
        assert p[1 + place] == pytest.approx(expected, abs=3e-4)
        assert 0.003 < p[1 + place] < 0.5
    assert np.isnan(p[0])
    assert p[4] == 1


def test_collapsed_configuration_does_not_hide_the_other_differences_forever():
    # One seed lost 1000 points: the common error is theirs, so nothing is claimed, and the doubt is named.
    scores = noisy(np.random.default_rng(9), [0.0] * 4 + [-9.0] * 5, 5)
    assert stats.compare(scores).in_best_set.tolist() == [True] * 4 + [False] * 5
    scores[8, 0] -= 1000
    after = stats.compare(scores)
    assert after.in_best_set.all()
    assert after.provisional == "the configurations' spread differs"


def test_left_out_configuration_is_not_compared_and_may_have_any_rank():
    scores = noisy(np.random.default_rng(10), [0, 0, -30], 4)
    scores[1] = NAN
    found = stats.compare(scores)
    assert np.isnan(found.means).tolist() == [False, True, False]
    assert found.in_best_set.tolist() == [True, False, False]
    assert np.isnan(found.p_worse[1])
    assert np.isnan(found.standard_errors[1]).all()
    assert not found.better[1].any()
    assert not found.better[:, 1].any()
    assert found.ranks.tolist() == [[1, 2], [1, 3], [2, 3]]
    assert np.isnan(better_than(scores, 0)[0][1])
    assert np.isnan(better_than(scores, 1)[0]).all()


@pytest.mark.parametrize(
    ("scores", "reason", "best", "in_best_set"),
    [
        (np.zeros((0, 3)), "no configuration", None, []),
        (np.full((2, 2), NAN), "no configuration", None, [False, False]),
        (np.array([[0.9, 0.8]]), "one configuration", 0, [True]),
        (np.array([[0.9], [0.8]]), "one common seed", 0, [True, True]),
        (np.array([[0.9, NAN], [NAN, 0.8]]), "one configuration", 0, [True, False]),
        (np.array([[0.9, 0.8], [0.7, 0.6], [0.1, 0.0]]), "no spread", 0, [True, True, True]),
        (np.full((3, 3), 0.5), "no spread", 0, [True, True, True]),
        (np.array([[0.9, NAN], [0.8, 0.7]]), "no spread", 0, [True, True]),
    ],
)
def test_what_cannot_be_compared_says_why_and_excludes_nothing(scores, reason, best, in_best_set):
    found = stats.compare(scores)
    assert reason in found.cannot
    assert found.best == best
    assert found.in_best_set.tolist() == in_best_set
    assert np.isnan(found.p_worse).all()
    assert not found.better.any()
    assert found.provisional == ""
    if len(scores):
        assert np.isnan(better_than(scores, 0)[0]).all()
        assert (found.ranks == [1, len(scores)]).all()
    if best is not None:
        assert math.isnan(found.difference(best, 0).low)
        assert reason in found.difference(best, 0).cannot


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="configurations, seeds"):
        stats.compare(np.zeros(3))
    with pytest.raises(ValueError, match="first look"):
        stats.compare(np.zeros((3, 3)), looks=0)
    with pytest.raises(ValueError, match="not in"):
        stats.compare(np.zeros((3, 3)), 95)


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [
        (noisy(np.random.default_rng(1), np.zeros(6), 2), "2 seeds cannot show"),
        (noisy(np.random.default_rng(1), np.zeros(6), 3), ""),
        (noisy(np.random.default_rng(1), np.zeros(2), 2), ""),  # the common error is the pair's own
        (noisy(np.random.default_rng(1), np.zeros(6), 8, [30, 1, 1, 1, 1, 1]), "spread differs"),
        (
            np.vstack([noisy(np.random.default_rng(1), np.zeros(5), 5), np.where(np.arange(5) < 1, 1.0, NAN)]),
            "one seed",
        ),
    ],
)
def test_claims_are_provisional_where_the_spread_differs_or_cannot_be_seen(scores, doubt):
    found = stats.compare(scores)
    assert doubt in found.provisional
    assert bool(found.provisional) == bool(doubt)


def test_a_thousand_configurations_with_three_seeds_are_handled():
    rng = np.random.default_rng(11)
    scores = noisy(rng, rng.normal(0, 1, 1000), 3, spread=0.2)
    found = stats.compare(scores)
    assert found.in_best_set[found.best]
    assert 1 <= found.in_best_set.sum() < 300
    assert found.ranks[found.best, 0] == 1


# What must not change a conclusion


def conclusions(scores):
    found = stats.compare(scores)
    return np.concatenate([found.p_worse, found.p_behind, better_than(scores, 0)[0]])


@pytest.mark.parametrize("change", [lambda x: x + 1e6, lambda x: x - 1e6, lambda x: x * 1e6, lambda x: x / 1e6])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_offset_and_unit_change_no_p_value(change, share):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        scores = with_holes(rng, noisy(rng, rng.normal(0, 2, 7), 5), share)
        before, after = conclusions(scores), conclusions(change(scores))
        assert after == pytest.approx(before, rel=1e-6, abs=1e-11, nan_ok=True)
        assert 0 < np.nanmin(before) < 0.5
        found, changed = stats.compare(scores), stats.compare(change(scores))
        assert (found.ranks == changed.ranks).all()
        one, other = change(scores)[0], change(scores)[1]
        assert stats.named_pair(one, other).e_value == pytest.approx(
            stats.named_pair(scores[0], scores[1]).e_value, rel=1e-6, nan_ok=True
        )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 12), st.sampled_from([0.0, 0.1, 0.3]))
def test_statements_of_one_comparison_never_contradict_each_other(seed, configurations, seeds, share):
    rng = np.random.default_rng(seed)
    means, spreads = 3 * rng.normal(size=configurations), np.exp(rng.normal(size=configurations))
    scores = with_holes(rng, noisy(rng, means, seeds, spreads), share)
    found = stats.compare(scores)
    compared = np.flatnonzero(np.isfinite(found.means))
    better, ranks, inside = found.better, found.ranks, found.in_best_set
    # Who may be the best may be first, and only they.
    assert ((ranks[compared, 0] == 1) == inside[compared]).all() or found.cannot
    assert (ranks[:, 0] <= ranks[:, 1]).all()
    assert not len(compared) or inside[found.best]
    # Better is an order: of no two in both directions, and along the means.
    assert not (better & better.T).any()
    assert (found.means[:, None] > found.means)[better].all()
    # Some order of all configurations gives every one a rank that it may have.
    order = np.argsort(-np.nan_to_num(found.means, nan=-1e9), kind="stable")
    place = np.empty(configurations, dtype=int)
    place[order] = np.arange(1, configurations + 1)
    assert ((ranks[compared, 0] <= place[compared]) & (place[compared] <= ranks[compared, 1])).all()
    if found.cannot:
        return
    assert found.p_worse[found.best] == 1
    assert found.p_behind[found.best] == 1
    assert (found.p_behind >= found.p_worse)[compared].all()
    if inside.sum() == 1 and len(compared) == configurations:
        assert ranks[found.best].tolist() == [1, 1]
    for one, other in itertools.permutations(compared, 2):
        interval, turned = found.difference(one, other), found.difference(other, one)
        assert (interval.low, interval.high) == pytest.approx((-turned.high, -turned.low))
        assert interval.low <= interval.estimate <= interval.high
        assert not better[one, other] or interval.low >= 0
        assert not better[one, other] or not inside[other]
        if one == found.best and found.p_behind[other] < found.limit:
            assert interval.low >= 0
        if one == found.best and interval.low >= 0 and interval.estimate > 0:
            assert not inside[other]
        if one == found.best and not inside[other] and interval.low < 0:
            # Not the best one, which varies too much, but another shows it.
            assert found.p_behind[other] >= found.limit


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.permutations(range(6)), st.permutations(range(5)))
def test_order_of_configurations_and_seeds_does_not_matter(seed, rows, columns):
    rng = np.random.default_rng(seed)
    scores = with_holes(rng, noisy(rng, rng.normal(0, 2, 6), 5, np.exp(rng.normal(size=6))), 0.1)
    found, moved = stats.compare(scores), stats.compare(scores[rows][:, columns])
    same = {"rel": 1e-8, "abs": 1e-11, "nan_ok": True}
    assert moved.p_worse == pytest.approx(found.p_worse[rows], **same)
    assert moved.means == pytest.approx(found.means[rows], **same)
    assert moved.standard_errors == pytest.approx(found.standard_errors[np.ix_(rows, rows)], **same)
    assert rows[moved.best] == found.best
    assert (moved.ranks == found.ranks[rows]).all()
    p, _ = better_than(scores, 0)
    assert better_than(scores[rows][:, columns], rows.index(0))[0] == pytest.approx(p[rows], **same)


# How often claims are wrong, and how often right ones are found


def spreads_of(rng, kind, count=18):
    if kind == "log-uniform":
        return np.exp(rng.uniform(math.log(0.45), math.log(2.2), count))
    spreads = np.ones(count)
    spreads[: {"third 2x": count // 3, "third 3x": count // 3, "one 3x": 1}.get(kind, 0)] = 3 if "3x" in kind else 2
    return spreads


def equal_ones(rng, kind, seeds, count=18):
    """Scores of configurations that are all as good."""
    errors = rng.standard_t(3, size=(count, seeds)) if kind == "t" else rng.normal(size=(count, seeds))
    return spreads_of(rng, kind, count)[:, None] * errors + 3 * rng.normal(size=seeds)


def any_worse(scores, limit):
    """Whether any is shown to be worse, as `compare` says in its first step; it takes ten times as long."""
    fit = blocked_fit(scores)
    count = len(fit.means)
    with np.errstate(invalid="ignore"):
        gaps = np.nan_to_num((fit.means[:, None] - fit.means) / fit.standard_errors)
    return gaps.max() * math.sqrt(2) > spread_quantile(1 - limit, tied=count, count=count, df=fit.df)


def provisional(scores):
    return uneven_p_value(blocked_fit(scores).errors) < 0.05


def test_shortcut_of_the_simulations_says_what_the_comparison_says():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        scores = equal_ones(rng, "third 3x", 3, 9)
        scores[0] += rng.choice([0, 6])
        found = stats.compare(scores)
        assert any_worse(scores, found.limit) == (not found.in_best_set.all())
        assert provisional(scores) == bool(found.provisional)
        seen.add(bool(found.in_best_set.all()))
    assert seen == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("kind", "most"),
    [("normal", 0.05), ("third 2x", 0.07), ("third 3x", 0.07), ("log-uniform", 0.07), ("one 3x", 0.07), ("t", 0.05)],
)
def test_claims_about_equal_ones_are_rarely_wrong_unless_provisional(kind, most, seeds):
    rng, runs = np.random.default_rng(seeds), 500
    limit = 0.02 if seeds < 10 else 0.025
    tables = [equal_ones(rng, kind, seeds) for _ in range(runs)]
    wrong = [table for table in tables if any_worse(table, limit)]
    assert sum(not provisional(table) for table in wrong) <= at_most(most, runs)
    # Even with the provisional ones; one pooled error would be wrong in .13 to .32.
    assert len(wrong) <= at_most(0.10, runs)


def test_error_common_to_all_would_be_wrong_far_too_often():
    # The simulation must be able to fail: without each pair's own error, a third with three times the spread.
    rng, runs, wrong = np.random.default_rng(1), 300, 0
    for _ in range(runs):
        fit = blocked_fit(equal_ones(rng, "third 3x", 5))
        gap = np.ptp(fit.means) / math.sqrt(fit.error_variance / 5)
        wrong += gap > spread_quantile(0.95, tied=18, count=18, df=fit.df)
    assert wrong > at_most(0.10, runs)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seeds"), [("normal", 3), ("normal", 10), ("third 3x", 3), ("log-uniform", 5)])
def test_claims_about_two_hundred_equal_ones_are_rarely_wrong(kind, seeds):
    rng, runs = np.random.default_rng(seeds), 100
    limit = 0.02 if seeds < 10 else 0.025
    tables = [equal_ones(rng, kind, seeds, 200) for _ in range(runs)]
    assert sum(any_worse(table, limit) and not provisional(table) for table in tables) <= at_most(0.05, runs)


def test_two_seeds_are_never_more_than_provisional():
    rng = np.random.default_rng(2)
    assert all(stats.compare(equal_ones(rng, "normal", 2, 5)).provisional for _ in range(50))


def test_worse_ones_are_found():
    # Three tied best, fifteen worse by six standard errors of a difference.
    rng, runs, found = np.random.default_rng(3), 40, 0
    means = np.where(np.arange(18) < 3, 0.0, -6 * math.sqrt(2 / 5))
    for _ in range(runs):
        found += (~stats.compare(noisy(rng, means, 5)).in_best_set[3:]).sum()
    assert found >= 0.95 * 15 * runs


def test_no_tied_best_is_dropped_when_others_are_far_worse():
    rng, runs, dropped = np.random.default_rng(13), 400, 0
    for _ in range(runs):
        dropped += not stats.compare(noisy(rng, [0, 0, -30, -30], 5)).in_best_set[:2].all()
    assert dropped <= at_most(0.05, runs)


@pytest.mark.slow
@pytest.mark.parametrize("configurations", [2, 18])
def test_looking_again_and_again_makes_no_more_wrong_claims(configurations):
    rng, runs, looks = np.random.default_rng(4), 300, (3, 5, 10, 20, 40)
    careful = naive = 0
    few = 0.02 if configurations > 2 else 0.05
    for _ in range(runs):
        scores = noisy(rng, np.zeros(configurations), 40)
        parts = [scores[:, :seeds] for seeds in looks]
        limits = [min(few if s < 10 else 0.05, 0.05 / (look * (look + 1))) for look, s in enumerate(looks, start=1)]
        careful += any(any_worse(part, limit) for part, limit in zip(parts, limits, strict=True))
        naive += any(any_worse(part, 0.05) for part in parts)
    assert careful <= at_most(0.05, runs)
    assert naive > at_most(0.05, runs)


@pytest.mark.parametrize("kind", ["normal", "one 3x"])
def test_scores_missing_at_random_make_no_wrong_claims(kind):
    rng, runs = np.random.default_rng(5), 400
    tables = [with_holes(rng, equal_ones(rng, kind, 5)) for _ in range(runs)]
    assert sum(any_worse(table, 0.02) and not provisional(table) for table in tables) <= at_most(0.05, runs)


def test_scores_missing_at_random_cost_less_than_leaving_out_their_seeds():
    rng, runs = np.random.default_rng(6), 60
    means = np.where(np.arange(6) < 1, 0.0, -6 * math.sqrt(2 / 10))
    all_scores = complete_seeds = 0
    for _ in range(runs):
        scores = with_holes(rng, noisy(rng, means, 10), 0.1)
        full = scores[:, np.isfinite(scores).all(axis=0)]
        all_scores += (~stats.compare(scores).in_best_set[1:]).sum()
        complete_seeds += (~stats.compare(full).in_best_set[1:]).sum()
    assert all_scores > 0.9 * 5 * runs
    assert complete_seeds < 0.8 * all_scores


@pytest.mark.parametrize(
    "means",
    [
        -0.5 * np.arange(10),
        np.zeros(6),
        np.repeat([0.0, -20.0], 4),
        np.linspace(0, -0.01, 6),
        np.array([0.7, 0.0, -0.001, -20, -20]),
    ],
    ids=["ladder", "equal", "two groups", "nearly equal", "near the best"],
)
def test_all_that_is_said_at_once_is_true_in_most_experiments(means):
    rng, runs, ranks, differences = np.random.default_rng(7), 200, 0, 0
    first, last = 1 + (means > means[:, None]).sum(axis=1), len(means) - (means < means[:, None]).sum(axis=1)
    for _ in range(runs):
        found = stats.compare(noisy(rng, means, 10))
        ranks += ((found.ranks[:, 0] <= first) & (last <= found.ranks[:, 1])).all()
        intervals = [(found.difference(found.best, k), means[found.best] - means[k]) for k in range(len(means))]
        differences += all(each.low <= truth <= each.high for each, truth in intervals)
    assert ranks >= at_least(0.95, runs)
    assert differences >= at_least(0.95, runs)


@pytest.mark.slow
def test_leader_that_varies_far_more_is_not_said_to_lead_what_another_one_beats():
    # The last but one is far behind the first, the last, noisy one slightly further; it often has the best mean.
    rng, led, said = np.random.default_rng(8), 0, 0
    means, spreads = np.array([0.0] * 28 + [-45.0, -46.0]), np.array([1.0] * 29 + [100.0])
    for _ in range(150):
        found = stats.compare(noisy(rng, means, 10, spreads))
        if found.best == 29 and not found.in_best_set[28]:  # not the best, that is right
            led += 1
            said += found.difference(29, 28).low >= 0  # behind this one, that would be wrong
    assert led > 3
    assert said == 0


@pytest.mark.parametrize(
    ("means", "spreads"),
    [
        (np.zeros(9), np.ones(9)),
        (np.array([0.0] + [-1.0] * 8), np.ones(9)),  # the reference is the best
        (np.array([0.0] * 5 + [30.0] * 4), np.ones(9)),  # others are better: the steps
        (np.zeros(9), np.array([0.3] + [1.0] * 8)),  # leads that are less alike than Dunnett's
        (np.array([0.0] * 5 + [30.0] * 4), np.array([0.3] + [1.0] * 8)),
        (np.zeros(9), np.array([2.0] + [1.0] * 8)),  # and more alike
    ],
    ids=["equal", "best", "steps", "quiet", "quiet steps", "noisy"],
)
def test_none_is_called_better_than_the_reference_that_is_not(means, spreads):
    rng, runs, wrong, right = np.random.default_rng(9), 300, 0, 0
    for _ in range(runs):
        p, limit = better_than(noisy(rng, means, 5, spreads), 0)
        wrong += (p[means <= 0] < limit).any()
        right += (p[means > 0] < limit).sum()
    assert wrong <= at_most(0.03, runs)  # the limit is 2 %
    assert right == runs * (means > 0).sum()
