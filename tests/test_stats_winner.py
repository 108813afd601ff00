"""Two configurations, several p-values, twins, power, ranks and the Pareto front."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats import contingency_tables, multitest
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from sweep import stats

NAN = math.nan


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def at_most(share, runs):
    """The count that `runs` trials of this chance exceed once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.999, runs, share)


# Holm


def test_holms_p_values_match_those_worked_out_by_hand():
    # 0.01 x 3, then 0.03 x 2, then 0.04 x 1, which may not fall below the one before
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_missing_p_value_does_not_count_towards_the_family():
    adjusted = stats.holm([0.01, NAN, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])
    assert stats.holm([]).size == 0


def test_holms_p_values_match_statsmodels():
    p_values = np.random.default_rng(4).random(12) ** 4
    p_values[3] = p_values[7]
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert stats.holm(p_values) == pytest.approx(expected, rel=1e-14)


def test_number_that_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match="outside"):
        stats.holm([0.5, 1.5])


# Paired t and equivalence


def test_paired_t_matches_the_one_worked_out_by_hand():
    # differences 1, 2, 3: mean 2, s.e. 1 / sqrt(3), t = 3.4641 with 2 degrees of freedom, p = 0.0742
    test = stats.paired_t([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert test.difference.estimate == 2.0
    assert test.statistic == pytest.approx(2 * math.sqrt(3))
    assert test.df == 2
    assert test.p_value == pytest.approx(0.0742, abs=1e-4)


def test_paired_t_matches_scipy_and_leaves_out_incomplete_pairs():
    a, b = np.random.default_rng(0).normal(size=(2, 8))
    expected = scipy_stats.ttest_rel(a, b)
    a, b = np.append(a, [NAN, 1.0]), np.append(b, [1.0, NAN])
    test = stats.paired_t(a, b)
    assert (test.statistic, test.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert test.difference.low == pytest.approx(expected.confidence_interval(0.95).low)
    assert test.difference.n == 8


@pytest.mark.parametrize(("margin", "equivalent"), [(0.05, False), (0.2, True)])
def test_equivalence_matches_statsmodels(margin, equivalent):
    a, b = np.random.default_rng(1).normal(0, 0.1, size=(2, 9))
    expected, _, _ = ttost_paired(a, b, -margin, margin)
    found = stats.equivalence(a, b, margin)
    assert found.p_value == pytest.approx(expected)
    assert found.difference.level == 0.9
    assert found.equivalent == equivalent
    assert (max(-found.difference.low, found.difference.high) < margin) == equivalent


def test_equivalence_of_what_differs_by_more_than_the_margin_has_a_large_p_value():
    found = stats.equivalence([1.0, 1.1, 0.9], [0.0, 0.0, 0.0], 0.5)
    assert found.p_value > 0.95
    assert not found.equivalent


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([], [], "no pairs"),
        ([0.9], [0.8], "one pair"),
        ([0.9, NAN], [0.8, 0.7], "one pair"),
        ([0.9, 0.8], [0.9, 0.8], "identical in all 2 pairs"),
        ([98.0001, 97.0001, 50.0001], [98.0, 97.0, 50.0], "spread is unknown"),
    ],
)
def test_pairs_that_cannot_be_tested_say_why(a, b, reason):
    test, found = stats.paired_t(a, b), stats.equivalence(a, b, 0.01)
    assert reason in test.cannot
    assert reason in found.cannot
    assert math.isnan(test.p_value)
    assert math.isnan(found.p_value)
    assert not found.equivalent


def test_arguments_of_paired_tests_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="one length"):
        stats.paired_t([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="margin"):
        stats.equivalence([1.0, 2.0], [1.0, 3.0], 0.0)
    with pytest.raises(ValueError, match="level"):
        stats.equivalence([1.0, 2.0], [1.0, 3.0], 0.1, level=0.4)


def test_paired_tests_claim_wrongly_no_more_often_than_they_say():
    rng, runs = np.random.default_rng(2), 700
    differ = same = covered = 0
    for a, b in rng.normal(size=(runs, 2, 4)):
        test = stats.paired_t(a, b)
        differ += test.p_value < 0.05
        covered += test.difference.low <= 0 <= test.difference.high
        same += stats.equivalence(a + 3, b, 3.0).equivalent  # a true difference just at the margin
    assert 0 < differ <= at_most(0.05, runs)
    assert 0 < same <= at_most(0.05, runs)
    assert at_least(0.95, runs) <= covered < runs


# McNemar


def right_on(both, only_a, only_b, neither):
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


def test_mcnemar_matches_the_one_worked_out_by_hand():
    # 9 against 1: exact p = 2 (1 + 10) / 2^10
    found = stats.mcnemar(*right_on(80, 9, 1, 10))
    assert (found.both, found.only_a, found.only_b, found.neither) == (80, 9, 1, 10)
    assert found.exact
    assert found.p_value == pytest.approx(22 / 1024)
    # Bonett and Price: (10 - 2) / 102 +- 1.96 sqrt((12 / 102 - (8 / 102)^2) / 102)
    assert found.difference.estimate == pytest.approx(0.08)
    assert found.difference.low == pytest.approx(0.0137, abs=1e-4)
    assert found.difference.high == pytest.approx(0.1432, abs=1e-4)


def test_mcnemar_of_many_discordant_images_matches_the_published_approval_ratings():
    # Agresti: 794, 150, 86, 570; (|150 - 86| - 1)^2 / 236 = 16.82
    found = stats.mcnemar(*right_on(794, 150, 86, 570))
    assert not found.exact
    assert found.p_value == pytest.approx(scipy_stats.chi2.sf(63**2 / 236, 1))


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (4, 4), (3, 9), (24, 0), (12, 13), (25, 0), (40, 90)])
def test_mcnemar_matches_statsmodels(only_a, only_b):
    found = stats.mcnemar(*right_on(50, only_a, only_b, 10))
    expected = contingency_tables.mcnemar([[50, only_a], [only_b, 10]], exact=found.exact, correction=True)
    assert found.exact == (only_a + only_b < 25)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "reason", "n"),
    [
        (np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), "no images", 0),
        (np.array([True, False]), np.array([True, False]), "same 1 of 2 images", 2),
    ],
)
def test_mcnemar_without_discordant_images_says_why(a, b, reason, n):
    found = stats.mcnemar(a, b)
    assert reason in found.cannot
    assert math.isnan(found.p_value)
    assert found.difference.n == n
    assert math.isnan(found.difference.low) == (n == 0)


def test_mcnemar_of_different_images_is_refused():
    with pytest.raises(ValueError, match="one length"):
        stats.mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool))


def test_mcnemar_claims_wrongly_no_more_often_than_it_says_and_its_interval_covers():
    # 200 images; each model alone right on 8 % in the first case, on 10 and 5 % in the second.
    rng, runs = np.random.default_rng(3), 500
    wrong = covered = 0
    for _ in range(runs):
        both, only_a, only_b, neither = rng.multinomial(200, [0.8, 0.08, 0.08, 0.04])
        wrong += stats.mcnemar(*right_on(both, only_a, only_b, neither)).p_value < 0.05
        difference = stats.mcnemar(*right_on(*rng.multinomial(200, [0.8, 0.1, 0.05, 0.05]))).difference
        covered += difference.low <= 0.05 <= difference.high
    assert 0 < wrong <= at_most(0.05, runs)
    assert at_least(0.94, runs) <= covered < runs


# Twins


def test_twins_are_found_by_their_bits():
    rows = np.array([[1.0, NAN], [2.0, 1.0], [1.0, -NAN], [2.0, 1.0], [1.0, 1.0], [2.0, np.nextafter(1, 2)]])
    assert stats.twins(rows) == [(0, 2), (1, 3)]
    assert stats.representatives(rows).tolist() == [0, 1, 0, 1, 4, 5]


def test_rows_without_a_number_are_nobodys_twins():
    assert stats.twins(np.full((3, 2), NAN)) == []


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float16])
def test_twins_are_found_among_rows_of_any_shape_and_type(dtype):
    rows = np.arange(24).reshape(3, 2, 4).astype(dtype)
    rows[2] = rows[1]
    groups = stats.twins(rows)
    assert any({1, 2} <= set(group) for group in groups)
    assert (0 in {index for group in groups for index in group}) == (dtype is bool and bool(rows[0].all()))


def test_twins_of_a_single_number_are_refused():
    with pytest.raises(ValueError, match="single number"):
        stats.twins(np.array(1.0))


# Power


def test_seeds_for_half_a_standard_deviation_are_the_published_34():
    assert stats.seeds_to_resolve(0.5, 1.0, 2) == 34


@pytest.mark.parametrize(("difference", "power"), [(0.2, 0.8), (1.0, 0.9), (-1.0, 0.9), (2.5, 0.5)])
def test_seeds_to_resolve_match_statsmodels(difference, power):
    seeds = stats.seeds_to_resolve(difference, 1.0, 2, power=power)
    reached = [TTestPower().power(abs(difference), n, 0.05) for n in (seeds - 1, seeds)]
    assert reached[0] < power <= reached[1]


def test_power_line_matches_statsmodels_and_seeds_to_resolve():
    line = dict(stats.power_line(0.3, [1, 3, 5, 20]))
    assert math.isnan(line[1])
    for n in (3, 5, 20):
        assert TTestPower().power(line[n] / 0.3, n, 0.05) == pytest.approx(0.8, abs=1e-6)
        assert stats.seeds_to_resolve(line[n] * 1.001, 0.3, 2) == n
        assert stats.seeds_to_resolve(line[n] * 0.999, 0.3, 2) == n + 1


@pytest.mark.parametrize(
    ("difference", "spread", "n_now", "expected"),
    [
        (0.5, 1.0, 50, 50),  # there are enough already
        (0.5, 0.0, 0, 2),
        (0.0, 1.0, 5, None),
        (0.001, 1.0, 5, None),  # more than 10,000
        (NAN, 1.0, 5, None),
        (0.5, NAN, 5, None),
        (1000.0, 1.0, 1, 2),
        (0.5, 1.0, 20_000, 20_000),
    ],
)
def test_seeds_to_resolve_at_its_edges(difference, spread, n_now, expected):
    assert stats.seeds_to_resolve(difference, spread, n_now) == expected


def test_power_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="negative"):
        stats.seeds_to_resolve(0.1, -1.0, 5)
    with pytest.raises(ValueError, match="negative"):
        stats.power_line(-1.0, [5])
    with pytest.raises(ValueError, match="not in"):
        stats.power_line(1.0, [5], power=80)


def test_low_power_counts_claims_in_the_wrong_direction_too():
    ((_, detectable),) = stats.power_line(1.0, [4], power=0.08)
    assert TTestPower().power(detectable, 4, 0.05) == pytest.approx(0.08, abs=1e-7)


def test_power_no_higher_than_the_level_needs_no_difference():
    assert stats.power_line(1.0, [4], power=0.04) == ((4, 0.0),)


def test_seeds_to_resolve_resolve_as_often_as_promised():
    runs = 4000
    seeds = stats.seeds_to_resolve(0.8, 1.0, 2)
    samples = np.random.default_rng(4).normal(0.8, 1.0, size=(runs, seeds))
    found = (scipy_stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).sum()
    assert at_least(0.8, runs) <= found < 0.9 * runs


# The Pareto front


def test_pareto_front_matches_the_one_worked_out_by_hand():
    cost = np.array([1.0, 2.0, 3.0, 2.0, 4.0, 1.0, NAN, 0.5])
    score = np.array([0.8, 0.9, 0.85, 0.9, 0.95, 0.7, 0.99, NAN])
    assert stats.pareto_front(cost, score).tolist() == [True, True, False, True, True, False, False, False]


def test_pareto_front_is_what_no_other_beats():
    cost, score = np.random.default_rng(5).integers(0, 12, size=(2, 80)).astype(float)
    points = list(zip(cost, score, strict=True))
    beaten = [any(c <= own[0] and s >= own[1] and (c, s) != own for c, s in points) for own in points]
    assert 0 < sum(beaten) < 80
    assert stats.pareto_front(cost, score).tolist() == [not each for each in beaten]


def test_pareto_front_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="one length"):
        stats.pareto_front(np.zeros(2), np.zeros(3))


# Ranks over several data sets

# Demsar (2006), table 6: AUC of C4.5 with default and tuned parameters on 14 data sets. On the last but one
# it prints 0.975 twice, while the ranks it gives put the third before the fourth.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_critical_difference_matches_demsars_published_example():
    found = stats.critical_difference(DEMSAR)
    assert found.average_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=6e-4)
    assert found.difference == pytest.approx(1.25, abs=0.005)
    assert found.statistic == pytest.approx(scipy_stats.friedmanchisquare(*DEMSAR.T).statistic)
    assert found.groups == ((3, 1, 2, 0),)  # Nemenyi's test finds no difference, as the paper says
    assert found.n_blocks == 14


def test_groups_are_the_longest_runs_within_the_critical_difference():
    # 30 data sets that agree on the order: ranks 1 to 6, critical difference 7.54 / sqrt(30) = 1.377
    scores = np.tile(np.arange(6.0), (30, 1))
    found = stats.critical_difference(scores)
    assert found.difference == pytest.approx(1.377, abs=1e-3)
    assert found.groups == ((5, 4), (4, 3), (3, 2), (2, 1), (1, 0))
    assert stats.critical_difference(-scores, larger_is_better=False).groups == found.groups


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.zeros((0, 4)), "no complete blocks"),
        (DEMSAR[:4], "4 complete blocks"),
        (DEMSAR[:, :2], "2 configurations"),
        (np.ones((6, 3)), "tie in every block"),
    ],
)
def test_critical_difference_that_cannot_be_given_says_why(scores, reason):
    found = stats.critical_difference(scores)
    assert reason in found.cannot
    assert math.isnan(found.difference)
    assert found.groups == ()
    assert found.average_ranks.shape == (scores.shape[1],)


def test_block_with_a_missing_score_is_left_out():
    scores = DEMSAR.copy()
    scores[3, 2] = NAN
    found = stats.critical_difference(scores)
    without = stats.critical_difference(np.delete(DEMSAR, 3, axis=0))
    assert found.left_out_blocks == (3,)
    assert found.average_ranks == pytest.approx(without.average_ranks)
    assert found.difference == without.difference


def test_scores_of_blocks_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match="blocks, configurations"):
        stats.critical_difference(np.zeros(4))


def test_ranks_differ_wrongly_no_more_often_than_they_say():
    rng, runs = np.random.default_rng(6), 500
    friedman = pairs = 0
    for scores in rng.normal(size=(runs, 10, 4)):
        found = stats.critical_difference(scores)
        friedman += found.p_value < 0.05
        pairs += np.ptp(found.average_ranks) > found.difference
    assert 0 < friedman <= at_most(0.05, runs)
    assert 0 < pairs <= at_most(0.05, runs)
