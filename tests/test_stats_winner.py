"""The selected configuration, comparisons named beforehand, shares, several p-values, power, ranks, Pareto front."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats import multitest
from statsmodels.stats.power import TTestPower

from sweep import stats
from sweep.stats.factors import holm
from sweep.stats.pairs import seeds_to_resolve

NAN = math.nan


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def at_most(share, runs):
    """The count that `runs` trials of this chance exceed once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.999, runs, share)


# The selected configuration


def validation_and_test(rng, means, seeds, r=0.73, seed_spread=0.0, other_seeds=0.0):
    """Scores on both splits: their errors correlate by r, the seeds' effects unless they are others'."""
    shape = (len(means), seeds)
    one, other = rng.normal(size=(2, *shape))
    of_seeds, of_others = seed_spread * rng.normal(size=seeds), other_seeds * rng.normal(size=seeds)
    scores = means[:, None] + one + of_seeds
    return scores, means[:, None] + r * one + math.sqrt(1 - r**2) * other + (of_others if other_seeds else of_seeds)


def test_selected_mean_is_shrunken_as_worked_out_by_hand():
    # Means 0 to 5 of two seeds; residuals +-0.5: their squares add up to 3, with five degrees of freedom 0.6, 0.3 of a
    # mean. The variance between means is 3.5: 3 / 5 x 0.3 / 3.5 of the lead of 2.5 is chance.
    scores = np.arange(6.0)[:, None] + np.array([[0.5, -0.5], [-0.5, 0.5]] * 3)
    winner = stats.selected(scores, scores, 5)
    assert winner.optimism == pytest.approx(0.6 * 0.3 / 3.5 * 2.5)
    assert winner.expected == pytest.approx(5 - winner.optimism)
    assert winner.test_optimism == pytest.approx(winner.optimism)  # below ten degrees of freedom r is 1


def test_three_configurations_or_fewer_are_not_shrunken():
    scores = np.random.default_rng(0).normal(size=(3, 6))
    winner = stats.selected(scores, scores, int(scores.mean(axis=1).argmax()))
    assert (winner.optimism, winner.test_optimism) == (0, 0)
    assert winner.expected == pytest.approx(scores.mean(axis=1).max())


def test_luck_decides_between_the_rivals_alone():
    rng = np.random.default_rng(4)
    scores = np.vstack([rng.normal(size=(6, 5)), rng.normal(-30, 1, size=(6, 5))])
    best = int(scores.mean(axis=1).argmax())
    rivals = stats.compare(scores).in_best_set
    assert rivals.tolist() == [True] * 6 + [False] * 6
    among_all, among_rivals = stats.selected(scores, scores, best), stats.selected(scores, scores, best, rivals)
    # The far ones make the spread of all means look real.
    assert among_all.optimism < 0.2 * among_rivals.optimism
    alone = np.arange(12) == best
    assert stats.selected(scores, scores, best, alone).optimism == 0


def test_share_of_the_test_score_is_the_regression_within_configurations_and_seeds():
    rng = np.random.default_rng(1)
    scores, test = validation_and_test(rng, np.zeros(8), 6, seed_spread=5.0, other_seeds=9.0)
    best = int(scores.mean(axis=1).argmax())
    winner = stats.selected(scores, test, best)
    one, other = (x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean() for x in (scores, test))
    slope = (one * other).sum() / (one**2).sum()
    assert winner.test_optimism == pytest.approx(slope * winner.optimism)
    # In another unit of the test score, by as much more; a test score that falls with the other shares nothing.
    assert stats.selected(scores, 100 * test, best).test_optimism == pytest.approx(100 * winner.test_optimism)
    assert stats.selected(scores, -scores, best).test_optimism == 0
    assert stats.selected(scores, np.full((8, 6), 0.5), best).test_optimism == 0


@pytest.mark.parametrize("scores", [np.arange(5.0)[:, None], np.arange(15.0).reshape(5, 3)])
def test_optimism_is_unknown_where_the_error_is(scores):
    winner = stats.selected(scores, scores, 4)
    assert math.isnan(winner.optimism)
    assert math.isnan(winner.expected)
    assert math.isnan(winner.test_optimism)


def test_optimism_on_test_scores_that_are_missing_is_unknown_and_the_rest_known():
    scores = np.random.default_rng(2).normal(size=(6, 4))
    winner = stats.selected(scores, np.full((6, 4), NAN), int(scores.mean(axis=1).argmax()))
    assert winner.optimism > 0
    assert math.isnan(winner.test_optimism)


def test_scores_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        stats.selected(np.zeros((3, 2)), np.zeros((3, 3)), 0)


def test_single_configuration_has_students_interval():
    values = np.random.default_rng(3).normal(size=7)
    (interval,) = stats.simultaneous_intervals(values[None])
    expected = stats.mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_simultaneous_intervals_match_those_worked_out_by_hand():
    # The variance of one score is seeds' mean square / 2 + error / 2, the row's own where that is larger.
    scores = np.array([[0.0, 2.0, 4.0], [1.0, 2.0, 6.0]])
    errors = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    error = (errors**2).sum() / 2
    seeds = 2 * scores.mean(axis=0).var(ddof=1)
    parts = seeds / 2, error / 2
    df = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 2)
    for row, interval in zip(scores, stats.simultaneous_intervals(scores), strict=True):
        half = scipy_stats.t.isf(0.05 / 4, df) * math.sqrt(max(sum(parts), row.var(ddof=1)) / 3)
        assert interval.estimate == pytest.approx(row.mean())
        assert interval.high - interval.estimate == pytest.approx(half)
        assert interval.estimate - interval.low == pytest.approx(half)
        assert interval.n == 3


@pytest.mark.parametrize(
    ("scores", "reasons"),
    [
        (np.array([[1.0], [2.0]]), ["one common seed", "one common seed"]),
        (np.array([[1.0, 2.0], [NAN, NAN]]), ["", "shares no seed"]),
        (np.array([[1.0, 1.0]]), ["identical"]),
        (np.array([[1.0, 2.0], [2.0, 3.0]]), ["no spread left", "no spread left"]),
        (np.array([[1.0]]), ["one seed"]),
    ],
)
def test_simultaneous_intervals_that_cannot_be_given_say_why(scores, reasons):
    found = stats.simultaneous_intervals(scores)
    for interval, reason in zip(found, reasons, strict=True):
        assert reason in interval.cannot
        assert math.isnan(interval.low) == bool(reason)


@pytest.mark.slow
@pytest.mark.parametrize(("configurations", "seeds", "runs"), [(18, 3, 300), (18, 5, 300), (200, 5, 60)])
def test_intervals_of_the_selected_cover_its_new_mean_and_its_test_score(configurations, seeds, runs):
    rng = np.random.default_rng(configurations + seeds)
    mean = student = test = unadjusted = 0
    bias = []
    for _ in range(runs):
        scores, tested = validation_and_test(rng, np.zeros(configurations), seeds)
        best = int(scores.mean(axis=1).argmax())
        interval, own = stats.simultaneous_intervals(scores)[best], stats.mean_interval(scores[best])
        winner, of_test = stats.selected(scores, tested, best), stats.mean_interval(tested[best])
        mean += interval.low <= 0 <= interval.high
        student += own.low <= 0 <= own.high
        unadjusted += of_test.low <= 0 <= of_test.high
        test += of_test.low - winner.test_optimism <= 0 <= of_test.high - winner.test_optimism
        bias.append((winner.expected * math.sqrt(seeds), interval.estimate * math.sqrt(seeds)))
    assert mean >= at_least(0.95, runs)
    assert test >= at_least(0.95, runs)
    assert student < at_least(0.93, runs)  # what the selected one's own seeds would say
    assert unadjusted < at_least(0.95, runs)
    expected, plain = np.mean(bias, axis=0)
    assert expected < 0.5 < 1.5 < plain


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("seed_spread", [0.0, 1.0, 3.0])
def test_simultaneous_intervals_hold_for_all_at_once(seed_spread, missing):
    rng, runs, held = np.random.default_rng(5), 200, 0
    means = 0.5 * np.arange(8)
    for _ in range(runs):
        scores, _ = validation_and_test(rng, means, 5, seed_spread=seed_spread)
        scores[rng.random(scores.shape) < missing] = NAN
        intervals = stats.simultaneous_intervals(scores)
        held += all(each.low <= mean <= each.high for each, mean in zip(intervals, means, strict=True))
    assert held >= at_least(0.95, runs)


def test_test_score_is_corrected_for_the_luck_of_the_choice_and_not_for_that_of_the_seeds():
    # All models of a seed share what it is lucky with, on the test split something else.
    rng, runs, corrected, plain = np.random.default_rng(6), 300, [], []
    for _ in range(runs):
        scores, tested = validation_and_test(rng, np.zeros(12), 6, seed_spread=3.0, other_seeds=3.0)
        best = int(scores.mean(axis=1).argmax())
        others = tested.mean()  # of all: the seeds' luck cancels in the difference
        plain.append(tested[best].mean() - others)
        corrected.append(plain[-1] - stats.selected(scores, tested, best).test_optimism)
    assert np.mean(plain) > 0.3
    assert abs(np.mean(corrected)) < 0.35 * np.mean(plain)


# One comparison named beforehand


def test_evidence_of_three_seeds_matches_the_one_worked_out_by_hand():
    # Differences 1, 2, 3: T = 6, V = 14; sqrt(1 / 4) x (4 x 14 / (4 x 14 - 36))^1.5 = 0.5 x 2.8^1.5
    pair = stats.named_pair([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert pair.e_value == pytest.approx(0.5 * 2.8**1.5)
    assert (pair.difference, pair.n, pair.cannot) == (2.0, 3, "")
    assert pair.needed == pytest.approx(20)
    assert not pair.shown


def test_evidence_is_the_likelihood_ratio_averaged_over_effect_sizes():
    # The e-value is that of a mixture over effect sizes N(0, 1), each a ratio of noncentral to central t densities.
    differences = np.random.default_rng(0).normal(1, 1, size=6)
    n, t = 6, scipy_stats.ttest_1samp(differences, 0).statistic
    effects = np.linspace(-8, 8, 4001)
    ratio = scipy_stats.nct.pdf(t, n - 1, effects * math.sqrt(n)) / scipy_stats.t.pdf(t, n - 1)
    mixed = np.nansum(ratio * scipy_stats.norm.pdf(effects)) * (effects[1] - effects[0])
    assert stats.named_pair(differences, np.zeros(6)).e_value == pytest.approx(mixed, rel=1e-3)


def test_several_named_pairs_need_more_evidence_each():
    one, other = np.random.default_rng(1).normal(size=(2, 8))
    assert stats.named_pair(one, other, pairs=3).needed == pytest.approx(60)
    assert stats.named_pair(one, other, 0.9, pairs=3).needed == pytest.approx(30)
    assert stats.named_pair(one, other, pairs=3).e_value == stats.named_pair(one, other).e_value


def test_order_of_the_two_changes_the_sign_only_and_missing_pairs_do_not_count():
    one, other = np.random.default_rng(2).normal(size=(2, 8))
    first, second = stats.named_pair(one, other), stats.named_pair(other, one)
    assert (first.difference, first.e_value) == pytest.approx((-second.difference, second.e_value))
    longer = stats.named_pair(np.append(one, [NAN, 1.0]), np.append(other, [1.0, NAN]))
    assert longer == first


@pytest.mark.parametrize(("pairs", "fewest"), [(1, 5), (3, 6)])
def test_fewest_seeds_of_a_claim_are_those_of_differences_that_are_nearly_the_same(pairs, fewest):
    def shown(n):
        return stats.named_pair(1 + 1e-9 * np.arange(n), np.zeros(n), pairs=pairs)

    assert shown(3).fewest == fewest
    assert not shown(fewest - 1).shown
    assert shown(fewest).shown


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ([], [], "no common seeds"),
        ([0.9], [0.8], "one common seed"),
        ([0.9, NAN], [0.8, 0.7], "one common seed"),
        ([0.9, 0.8], [0.9, 0.8], "identical"),
        ([98.0001, 97.0001, 50.0001], [98.0, 97.0, 50.0], "spread is unknown"),
    ],
)
def test_named_pair_that_cannot_be_judged_says_why_and_shows_nothing(one, other, reason):
    pair = stats.named_pair(one, other)
    assert reason in pair.cannot
    assert math.isnan(pair.e_value)
    assert not pair.shown


def test_named_pairs_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="one length"):
        stats.named_pair([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="level"):
        stats.named_pair([1.0], [1.0], 20)
    with pytest.raises(ValueError, match="pairs"):
        stats.named_pair([1.0, 2.0], [3.0, 5.0], pairs=0)


def first_claims(rng, effect, runs, most=100):
    """After how many seeds a pair is claimed to differ, looked at after each; infinite if never."""
    differences = effect + rng.normal(size=(runs, most))
    zero = np.zeros(most)
    claims = np.full(runs, math.inf)
    for run, values in enumerate(differences):
        claims[run] = next((n for n in range(2, most + 1) if stats.named_pair(values[:n], zero[:n]).shown), math.inf)
    return claims


@pytest.mark.slow
def test_equal_pair_is_rarely_claimed_though_looked_at_after_every_seed():
    runs = 400
    wrong = np.isfinite(first_claims(np.random.default_rng(3), 0.0, runs)).sum()
    assert 0 < wrong <= at_most(0.05, runs)


@pytest.mark.parametrize(("effect", "least", "most"), [(1.0, 10, 14), (2.0, 6, 8)])
def test_named_pair_is_claimed_after_the_seeds_that_are_promised(effect, least, most):
    assert least <= np.median(first_claims(np.random.default_rng(4), effect, 100)) <= most


# Shares


@pytest.mark.parametrize(("count", "n"), [(0, 5), (2, 5), (5, 5), (1, 1), (37, 400)])
def test_interval_of_a_share_is_clopper_and_pearsons(count, n):
    found = stats.share_interval(count, n, 0.9)
    expected = scipy_stats.binomtest(count, n).proportion_ci(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert (found.estimate, found.n, found.level, found.cannot) == (count / n, n, 0.9, "")


def test_interval_of_two_of_five_matches_the_published_one():
    found = stats.share_interval(2, 5)
    assert (found.low, found.high) == pytest.approx((0.0527, 0.8534), abs=1e-4)


@pytest.mark.parametrize(("share", "n"), [(0.02, 5), (0.3, 5), (0.5, 20), (0.95, 60)])
def test_interval_of_a_share_covers_whatever_the_share(share, n):
    counts = np.arange(n + 1)
    covered = [each.low <= share <= each.high for each in (stats.share_interval(int(c), n) for c in counts)]
    assert scipy_stats.binom.pmf(counts, n, share)[covered].sum() >= 0.95


def test_share_of_nothing_is_unknown_and_impossible_ones_are_refused():
    assert stats.share_interval(0, 0).cannot == "nothing was tried"
    for count in (-1, 6):
        with pytest.raises(ValueError, match="no share"):
            stats.share_interval(count, 5)


def test_chance_of_at_least_so_many_is_the_binomials():
    for count, n in itertools.product(range(8), (7, 30)):
        expected = scipy_stats.binom.sf(count - 1, n, 0.05)
        assert stats.chance_of_at_least(count, n, 0.05) == pytest.approx(expected, rel=1e-12)


# Holm


def test_holms_p_values_match_those_worked_out_by_hand():
    # 0.01 x 3, then 0.03 x 2, then 0.04 x 1, which may not fall below the one before
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_missing_p_value_does_not_count_towards_the_family():
    adjusted = holm([0.01, NAN, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])
    assert holm([]).size == 0


def test_holms_p_values_match_statsmodels():
    p_values = np.random.default_rng(4).random(12) ** 4
    p_values[3] = p_values[7]
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected, rel=1e-14)


# Power


def test_seeds_for_half_a_standard_deviation_are_the_published_34():
    assert seeds_to_resolve(0.5, 2) == 34


@pytest.mark.parametrize(("effect", "power"), [(0.2, 0.8), (1.0, 0.9), (2.5, 0.5)])
def test_seeds_to_resolve_match_statsmodels(effect, power):
    seeds = seeds_to_resolve(effect, 2, power=power)
    reached = [TTestPower().power(effect, n, 0.05) for n in (seeds - 1, seeds)]
    assert reached[0] < power <= reached[1]


@pytest.mark.parametrize("n", [3, 5, 20])
def test_detectable_difference_matches_statsmodels_and_seeds_to_resolve(n):
    found = stats.detectable(0.3, n)
    assert TTestPower().power(found / 0.3, n, 0.05) == pytest.approx(0.8, abs=1e-6)
    assert seeds_to_resolve(found * 1.001 / 0.3, 2) == n
    assert seeds_to_resolve(found * 0.999 / 0.3, 2) == n + 1


def test_detectable_difference_of_one_seed_is_unknown():
    assert math.isnan(stats.detectable(0.3, 1))


@pytest.mark.parametrize(
    ("effect", "n_now", "expected"),
    [
        (0.5, 50, 50),  # there are enough already
        (math.inf, 0, 2),
        (0.0, 5, None),
        (0.001, 5, None),  # more than 10,000
        (NAN, 5, None),
        (1000.0, 1, 2),
        (0.5, 20_000, 20_000),
    ],
)
def test_seeds_to_resolve_at_its_edges(effect, n_now, expected):
    assert seeds_to_resolve(effect, n_now) == expected


def test_power_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="not in"):
        seeds_to_resolve(0.1, 5, power=0)
    with pytest.raises(ValueError, match="negative"):
        stats.detectable(-1.0, 5)
    with pytest.raises(ValueError, match="not in"):
        stats.detectable(1.0, 5, power=80)


def test_low_power_counts_claims_in_the_wrong_direction_too():
    assert TTestPower().power(stats.detectable(1.0, 4, power=0.08), 4, 0.05) == pytest.approx(0.08, abs=1e-7)


def test_power_no_higher_than_the_level_needs_no_difference():
    assert stats.detectable(1.0, 4, power=0.04) == 0


def test_range_of_seeds_is_that_of_the_ends_of_the_error_variance_rounded_outwards():
    low, high = stats.seeds_range(0.2, 1.0, 20, 5)
    ends = [20 / scipy_stats.chi2.isf(tail, 20) for tail in (0.05, 0.95)]
    exact = [seeds_to_resolve(0.2 / math.sqrt(2 * end), 5) for end in ends]
    assert exact == [252, 726]
    assert (low, high) == (250, 730)


def test_range_of_seeds_is_never_below_those_there_are():
    assert stats.seeds_range(5.0, 1.0, 20, 105) == (105, 105)
    low, high = stats.seeds_range(0.2, 1.0, 20, 257)
    assert (low, high) == (257, 730)


@pytest.mark.parametrize(
    ("difference", "variance", "df"),
    [(0.2, 1.0, 9), (0.2, NAN, 20), (0.0, 1.0, 20), (0.001, 1.0, 20)],
    ids=["too few degrees of freedom", "no error", "no difference", "too many"],
)
def test_range_of_seeds_that_would_tell_nothing_is_none(difference, variance, df):
    assert stats.seeds_range(difference, variance, df, 5) is None


def test_range_of_seeds_holds_the_number_that_the_true_spread_would_ask_for():
    rng, runs, held = np.random.default_rng(7), 400, 0
    truth = seeds_to_resolve(0.5 / math.sqrt(2), 5)
    for estimate in rng.chisquare(20, runs) / 20:
        low, high = stats.seeds_range(0.5, float(estimate), 20, 5)
        held += low <= truth <= high
    assert held >= at_least(0.9, runs)


def test_seeds_to_resolve_resolve_as_often_as_promised():
    runs = 4000
    seeds = seeds_to_resolve(0.8, 2)
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
    assert found.p_value == pytest.approx(scipy_stats.friedmanchisquare(*DEMSAR.T).pvalue)
    assert found.groups == ((3, 1, 2, 0),)  # Nemenyi's test finds no difference, as the paper says
    assert found.n_blocks == 14


def test_groups_are_the_longest_runs_within_the_critical_difference():
    # 30 data sets that agree on the order: ranks 1 to 6, critical difference 7.54 / sqrt(30) = 1.377
    scores = np.tile(np.arange(6.0), (30, 1))
    found = stats.critical_difference(scores)
    assert found.difference == pytest.approx(1.377, abs=1e-3)
    assert found.groups == ((5, 4), (4, 3), (3, 2), (2, 1), (1, 0))


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
    assert found.n_blocks == 13
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
