"""The best set, all pairs and their letters, on the seed-blocked model."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sweep import stats
from sweep.stats.blocks import blocked_fit
from sweep.stats.spread import spread_probability, spread_quantile
from sweep.stats.steadiness import residuals, set_aside, uneven_p_value

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


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def at_most(share, runs):
    """The count that `runs` trials of this chance exceed once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.999, runs, share)


def noisy(rng, means, seeds, spread=1.0):
    """Scores with seed effects larger than the error."""
    errors = spread * rng.normal(size=(len(means), seeds))
    return np.asarray(means)[:, None] + 3 * rng.normal(size=seeds) + errors


# The blocked model


def test_error_variance_of_two_by_two_matches_the_one_worked_out_by_hand():
    # means 1.5 and 4, seeds 2 and 3.5, all 2.75: residuals +-0.25, one degree of freedom
    fit = blocked_fit(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert fit.means.tolist() == [1.5, 4.0]
    assert fit.error_variance == pytest.approx(0.25)
    assert fit.df == 1


def test_error_variance_matches_the_published_vascular_grafts():
    fit = blocked_fit(GRAFTS)
    assert fit.df == 15
    assert fit.error_variance * fit.df == pytest.approx(109.89, abs=0.005)


def test_error_variance_matches_statsmodels():
    scores = np.random.default_rng(0).normal(size=(6, 4))
    long = pd.DataFrame([(k, s, scores[k, s]) for k in range(6) for s in range(4)], columns=["k", "s", "y"])
    fit = ols("y ~ C(k) + C(s)", long).fit()
    assert blocked_fit(scores).error_variance == pytest.approx(anova_lm(fit)["mean_sq"]["Residual"])


@pytest.mark.parametrize(
    ("missing", "configurations", "seeds"),
    [
        ([], (0, 1, 2, 3), (0, 1, 2, 3)),
        ([(0, 0), (0, 1), (0, 2), (0, 3)], (1, 2, 3), (0, 1, 2, 3)),  # nothing at all
        ([(0, 0), (0, 1), (0, 2)], (1, 2, 3), (0, 1, 2, 3)),  # less than half of the usual number
        ([(0, 0), (0, 1)], (0, 1, 2, 3), (2, 3)),  # half: the configuration stays, the seeds go
        ([(0, 3), (1, 3), (2, 3)], (0, 1, 2, 3), (0, 1, 2)),  # a seed added for one configuration only
        ([(0, 0), (1, 1), (2, 2)], (3,), (0, 1, 2, 3)),  # no seed is complete but one: too few
    ],
)
def test_missing_scores_leave_out_what_the_rule_says(missing, configurations, seeds):
    scores = np.arange(16.0).reshape(4, 4)
    for place in missing:
        scores[place] = NAN
    fit = blocked_fit(scores)
    assert (fit.configurations, fit.seeds) == (configurations, seeds)
    assert set(fit.configurations) | set(fit.left_out_configurations) == {0, 1, 2, 3}
    assert set(fit.seeds) | set(fit.left_out_seeds) == {0, 1, 2, 3}


def test_one_collapsed_seed_is_set_aside_and_not_pooled():
    scores = noisy(np.random.default_rng(1), np.zeros(9), 5)
    scores[4, 2] -= 500
    assert np.flatnonzero(set_aside(scores)).tolist() == [4]
    without = blocked_fit(np.delete(scores, 4, axis=0))
    assert blocked_fit(scores).error_variance == pytest.approx(without.error_variance)
    assert stats.best_set(scores).unsteady == (4,)


def test_no_configuration_is_set_aside_when_many_would_be():
    spreads = np.array([1e6, 1e4, 1e2, 1, 1, 1, 1, 1, 1])
    scores = np.random.default_rng(2).normal(size=(9, 5)) * spreads[:, None]
    assert set_aside(scores[1:]).tolist() == [True, True, False, False, False, False, False, False]
    assert not set_aside(scores).any()
    assert stats.best_set(scores).uneven_p < 1e-6


def test_spread_is_called_uneven_in_few_of_even_tables():
    rng, runs = np.random.default_rng(3), 500
    tables = [noisy(rng, np.zeros(8), 4) for _ in range(runs)]
    assert sum(uneven_p_value(residuals(table)) < 0.05 for table in tables) <= at_most(0.05, runs)
    assert sum(set_aside(table).any() for table in tables) <= at_most(0.01, runs)


def test_uneven_p_value_is_bartletts_with_the_degrees_of_freedom_of_the_rows():
    # Rows that sum to zero: scipy's test of them has the same S - 1 degrees of freedom.
    rows = np.random.default_rng(4).normal(size=(5, 6)) * np.arange(1, 6)[:, None]
    rows -= rows.mean(axis=1, keepdims=True)
    assert uneven_p_value(rows) == pytest.approx(scipy_stats.bartlett(*rows).pvalue)


# Critical values


@pytest.mark.parametrize(("count", "df"), [(2, 1), (3, 2), (9, 8), (27, 104), (200, 8), (5, math.inf)])
def test_gap_of_all_means_is_the_studentised_range(count, df):
    expected = scipy_stats.studentized_range.ppf(0.95, count, df)
    assert spread_quantile(0.95, tied=count, count=count, df=df) == pytest.approx(expected, rel=2e-6)


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


# The best set


def test_hsus_intervals_of_three_configurations_match_those_worked_out_by_hand():
    # Means 1.5, 4, 8; seeds 4, 5: the error's sum of squares is 1 with 2 degrees of freedom.
    # s.e. of a difference sqrt(2 x 0.5 / 2) = 0.7071; d(2 comparisons, df 2) = 3.8045; reach 2.690.
    found = stats.best_set(np.array([[1.0, 2.0], [3.0, 5.0], [8.0, 8.0]]))
    assert found.best == 2
    assert found.error_variance == pytest.approx(0.5)
    assert found.critical_value == pytest.approx(3.8045, abs=1e-4)
    assert found.standard_error == pytest.approx(math.sqrt(0.5))
    expected = [[-6.5 - 2.690, 0], [-4 - 2.690, 0], [0, 4 + 2.690]]
    assert np.allclose(found.intervals, expected, atol=1e-3)


def test_two_configurations_are_a_paired_t_test():
    scores = np.random.default_rng(6).normal(size=(2, 5)) + np.array([[0.0], [1.0]])
    expected = scipy_stats.ttest_rel(*scores).pvalue
    assert stats.best_set(scores).p_worse[0] == pytest.approx(expected, rel=1e-6)


def test_best_set_of_the_published_grafts_agrees_with_tukeys_test():
    # q(4 means, df 15) = 4.076, sqrt(7.326 / 6) = 1.105: means further apart than 4.504 differ.
    assert stats.tukey_difference(GRAFTS) == pytest.approx(4.504, abs=2e-3)
    assert np.argwhere(np.triu(stats.all_pairs(GRAFTS))).tolist() == [[0, 3], [1, 3]]
    found = stats.best_set(GRAFTS)
    assert found.best == 0
    assert found.in_best_set.tolist() == [True, True, True, False]


def test_first_step_of_the_best_set_is_tukeys_range_and_the_steps_get_easier():
    scores = noisy(np.random.default_rng(7), [0, -1, -2, -3, -4], 4)
    found = stats.best_set(scores)
    gaps = (found.means.max() - found.means) / math.sqrt(found.error_variance / 4)
    by_range = scipy_stats.studentized_range.sf(gaps, 5, found.df)
    worst = int(np.argmin(found.means))
    assert found.p_worse[worst] == pytest.approx(by_range[worst], rel=1e-4)
    others = [k for k in range(5) if k not in (worst, found.best)]
    assert (found.p_worse[others] < by_range[others]).any()
    assert (np.diff(found.p_worse[np.argsort(found.means)]) >= 0).all()


def test_order_and_direction_of_the_scores_do_not_matter():
    scores = noisy(np.random.default_rng(8), [0, -1, -3, -6], 4)
    found, lower = stats.best_set(scores), stats.best_set(-scores, larger_is_better=False)
    assert np.array_equal(found.in_best_set, lower.in_best_set)
    assert np.allclose(found.intervals, lower.intervals)
    turned = stats.best_set(scores[::-1])
    assert np.array_equal(found.in_best_set, turned.in_best_set[::-1])
    assert np.allclose(found.p_worse, turned.p_worse[::-1])


def test_one_collapsed_seed_does_not_hide_the_other_differences():
    scores = noisy(np.random.default_rng(9), [0.0] * 4 + [-9.0] * 5, 5)
    before = stats.best_set(scores)
    scores[8, 0] -= 1000
    after = stats.best_set(scores)
    assert before.in_best_set.tolist() == [True] * 4 + [False] * 5
    assert after.in_best_set[:8].tolist() == before.in_best_set[:8].tolist()
    assert after.in_best_set[8]  # its own five differences say nothing
    assert stats.all_pairs(scores)[:4, 4:8].all()
    assert not stats.all_pairs(scores)[8].any()


def test_left_out_configuration_is_neither_in_the_set_nor_compared():
    scores = noisy(np.random.default_rng(10), [0, 0, -9], 4)
    scores[1] = NAN
    found = stats.best_set(scores)
    assert found.left_out_configurations == (1,)
    assert found.in_best_set.tolist() == [True, False, False]
    assert np.isnan(found.p_worse[1])
    assert np.isnan(found.intervals[1]).all()
    assert not stats.all_pairs(scores)[1].any()


@pytest.mark.parametrize(
    ("scores", "reason", "best", "in_best_set"),
    [
        (np.zeros((0, 3)), "no configuration", None, []),
        (np.full((2, 2), NAN), "no configuration", None, [False, False]),
        (np.array([[0.9, 0.8]]), "one configuration", 0, [True]),
        (np.array([[0.9], [0.8]]), "one common seed", 0, [True, True]),
        (np.array([[0.9, NAN], [NAN, 0.8]]), "no common seeds", None, [True, True]),
        (np.array([[0.9, 0.8], [0.7, 0.6], [0.1, 0.0]]), "no spread", 0, [True, True, True]),
        (np.full((3, 3), 0.5), "no spread", 0, [True, True, True]),
    ],
)
def test_best_set_that_cannot_be_found_says_why_and_excludes_nothing(scores, reason, best, in_best_set):
    found = stats.best_set(scores)
    assert reason in found.cannot
    assert found.best == best
    assert found.in_best_set.tolist() == in_best_set
    assert math.isnan(found.critical_value)
    assert not stats.all_pairs(scores).any()
    assert math.isnan(stats.tukey_difference(scores))


def test_scores_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match="configurations, seeds"):
        stats.best_set(np.zeros(3))


def test_a_thousand_configurations_with_three_seeds_are_handled():
    rng = np.random.default_rng(11)
    scores = noisy(rng, rng.normal(0, 1, 1000), 3, spread=0.5)
    found = stats.best_set(scores)
    assert found.in_best_set[found.best]
    assert 1 < found.in_best_set.sum() < 300
    different = stats.all_pairs(scores)
    letters = stats.compact_letters(different, np.argsort(-found.means).tolist())
    shared = [set(re.findall(r"[a-z]\d*", text)) for text in letters]
    for a, b in rng.integers(0, 1000, size=(2000, 2)):
        assert different[a, b] == (not shared[a] & shared[b])


def test_without_differences_false_claims_stay_within_five_percent():
    # The bound is exceeded by a procedure of exactly 5 % once in a thousand such simulations.
    rng, runs = np.random.default_rng(12), 300
    excluded = pairs = 0
    for _ in range(runs):
        scores = noisy(rng, np.zeros(4), 3)
        excluded += not stats.best_set(scores).in_best_set.all()
        pairs += stats.all_pairs(scores).any()
    assert 0 < excluded <= at_most(0.05, runs)
    assert 0 < pairs <= at_most(0.05, runs)


def test_no_tied_best_is_dropped_when_others_are_far_worse():
    # Hsu's own set drops one of the two in about twice as many experiments.
    rng, runs = np.random.default_rng(13), 300
    dropped = 0
    for _ in range(runs):
        dropped += not stats.best_set(noisy(rng, [0, 0, -20, -20], 3)).in_best_set[:2].all()
    assert 0 < dropped <= at_most(0.05, runs)


def test_hsus_intervals_cover_all_at_once_and_the_set_holds_the_true_best():
    rng, runs, means = np.random.default_rng(14), 300, np.array([0.0, -0.3, -2.0, -4.0])
    truth = np.array([0.3, -0.3, -2.0, -4.0])
    covered = held = 0
    for _ in range(runs):
        found = stats.best_set(noisy(rng, means, 4))
        covered += ((found.intervals[:, 0] <= truth) & (truth <= found.intervals[:, 1])).all()
        held += found.in_best_set[0]
    assert at_least(0.95, runs) <= covered < runs
    assert held >= at_least(0.95, runs)


# Letters


def different_from(k, pairs):
    different = np.zeros((k, k), dtype=bool)
    for a, b in pairs:
        different[a, b] = different[b, a] = True
    return different


def letters_of(texts):
    return [set(re.findall(r"[a-z]\d*", text)) for text in texts]


def shares_as_it_should(different, texts):
    groups = letters_of(texts)
    pairs = itertools.combinations(range(len(groups)), 2)
    return all(different[a, b] == (not groups[a] & groups[b]) for a, b in pairs)


@pytest.mark.parametrize(
    ("k", "pairs", "letters"),
    [
        (0, [], []),
        (1, [], ["a"]),
        (3, [], ["a", "a", "a"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (3, [(0, 1)], ["a", "b", "ab"]),  # not a run along the order
        (4, [(0, 2), (1, 3)], ["ab", "ac", "cd", "bd"]),  # a ring of four
    ],
)
def test_letters_of_few_configurations_match_those_worked_out_by_hand(k, pairs, letters):
    assert stats.compact_letters(different_from(k, pairs), range(k)) == letters


def test_letters_follow_the_order_given_and_leave_out_what_it_leaves_out():
    different = different_from(4, [(0, 2), (0, 3)])
    assert stats.compact_letters(different, [2, 1, 0]) == ["b", "ab", "a", ""]


def test_letter_that_adds_nothing_is_swept_out():
    # Three triangles around a middle one (0, 1, 2): the middle one's pairs are all in the others.
    friends = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (1, 4), (2, 4), (0, 5), (2, 5)]
    apart = [pair for pair in itertools.combinations(range(6), 2) if pair not in friends]
    letters = stats.compact_letters(different_from(6, apart), range(6))
    assert letters_of(letters) == [{"a", "b"}, {"a", "c"}, {"b", "c"}, {"a"}, {"c"}, {"b"}]


def test_letters_beyond_z_are_numbered():
    letters = stats.compact_letters(~np.eye(60, dtype=bool), range(60))
    assert letters[25:28] == ["z", "a2", "b2"]
    assert letters[52] == "a3"
    assert len(set(letters)) == 60


def test_letters_stay_right_when_there_are_too_many_sets_to_list():
    # Eight threes that differ within: 3^8 = 6561 largest sets of one from each.
    within = [(0, 1), (0, 2), (1, 2)]
    different = different_from(24, [(3 * three + a, 3 * three + b) for three in range(8) for a, b in within])
    letters = stats.compact_letters(different, range(24))
    assert shares_as_it_should(different, letters)
    assert len(set().union(*letters_of(letters))) < 576


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.data())
def test_letters_are_shared_exactly_by_those_that_do_not_differ(k, data):
    places = list(itertools.combinations(range(k), 2))
    pairs = data.draw(st.lists(st.sampled_from(places), unique=True))
    different = different_from(k, pairs)
    order = data.draw(st.permutations(range(k)))
    assert shares_as_it_should(different, stats.compact_letters(different, order))


@pytest.mark.parametrize(
    ("different", "order"),
    [
        (np.ones((2, 3), dtype=bool), [0, 1]),
        (np.ones((2, 2), dtype=bool), [0, 1]),
        (np.array([[False, True], [False, False]]), [0, 1]),
        (np.zeros((2, 2), dtype=bool), [0, 0]),
        (np.zeros((2, 2), dtype=bool), [0, 2]),
    ],
)
def test_letters_of_what_is_no_table_of_differences_are_refused(different, order):
    with pytest.raises(ValueError, match=r"must list|symmetric"):
        stats.compact_letters(different, order)
