"""The seed-blocked factorial analysis of variance."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from sweep import stats

GRAFTS = [
    [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
    [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
    [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
    [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
]


def at_least(share, runs):
    """The count that `runs` trials of this chance reach but once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.001, runs, share)


def at_most(share, runs):
    """The count that `runs` trials of this chance exceed once in a thousand simulations."""
    return scipy_stats.binom.ppf(0.999, runs, share)


def grid(sizes, seeds, score, names="abc"):
    """One row per grid point and seed; `score` takes the levels by number and the seed."""
    points = itertools.product(*(range(size) for size in sizes), range(seeds))
    columns = [*list(names)[: len(sizes)], "seed"]
    return pd.DataFrame([(*point, score(*point)) for point in points], columns=[*columns, "y"])


def noise(seed, sizes, seeds, names="abc"):
    rng = np.random.default_rng(seed)
    return grid(sizes, seeds, lambda *_: rng.normal(), names)


def row(found, name):
    return next(each for each in found.table if each.name == name)


def test_effects_of_two_by_two_match_those_worked_out_by_hand():
    # a adds 4, b adds 2, both together 2 more; seeds 0 and 1, and +-0.5 that neither explains
    def score(a, b, seed):
        unexplained = 0.5 if a == b else -0.5
        return 4 * a + 2 * b + 2 * a * b + seed + unexplained * (2 * seed - 1)

    found = stats.factor_effects(grid((2, 2), 2, score), ["a", "b"], "y")
    # cell means 0.5, 2.5, 4.5, 8.5; a: 1.5 and 6.5; b: 2.5 and 5.5; interaction +-0.5
    assert found.grand_mean == pytest.approx(4.0)
    estimates = [[each.effect.estimate for each in term.levels] for term in found.effects]
    assert np.allclose(estimates[0], [-2.5, 2.5])
    assert np.allclose(estimates[1], [-1.5, 1.5])
    assert np.allclose(estimates[2], [0.5, -0.5, -0.5, 0.5])
    assert [term.levels[-1].levels for term in found.effects] == [(1,), (1,), (1, 1)]
    # sums of squares 8 x effect^2; residual +-0.5 in 8 rows with 3 degrees of freedom
    sums = {each.name: each.sum_sq for each in found.table}
    expected = {"a": 50.0, "b": 18.0, "a × b": 2.0, "seed": 2.0, "residual": 2.0}
    assert sums == pytest.approx(expected)
    assert row(found, "a").share == pytest.approx(50 / 74)
    assert row(found, "a").f_value == pytest.approx(75.0)
    assert (found.df, found.n, found.n_blocks, found.order, found.cannot) == (3, 8, 2, 2, "")
    # one effect: sqrt(2 / 3 / 8) = 0.28868 by t(3) at 1 - 0.05 / 4 = 4.17653
    first = found.effects[0].levels[0].effect
    assert first.high - first.estimate == pytest.approx(4.17653 * 0.28868, abs=1e-4)
    # span of two levels: the plain t(3) interval, 3.18245 x 0.57735
    span = found.effects[0].span
    assert span.estimate == pytest.approx(5.0)
    assert span.high - span.estimate == pytest.approx(3.18245 * 0.57735, abs=1e-4)
    assert found.effects[2].span is None


def test_one_axis_matches_the_published_vascular_grafts():
    rows = [(p, b, GRAFTS[p][b]) for p in range(4) for b in range(6)]
    frame = pd.DataFrame(rows, columns=["p", "batch", "y"])
    found = stats.factor_effects(frame, ["p"], "y", block="batch")
    assert row(found, "p").sum_sq == pytest.approx(178.17, abs=0.005)
    assert row(found, "batch").sum_sq == pytest.approx(192.25, abs=0.005)
    assert row(found, "residual").sum_sq == pytest.approx(109.89, abs=0.005)
    assert row(found, "p").f_value == pytest.approx(8.11, abs=0.005)
    assert row(found, "p").p_value == pytest.approx(0.0019, abs=5e-5)
    assert found.error_variance == pytest.approx(7.33, abs=0.005)


@pytest.mark.parametrize("missing", [0, 9])
def test_table_matches_statsmodels_in_complete_and_incomplete_grids(missing):
    frame = noise(1, (3, 2, 2), 4)
    frame.loc[np.random.default_rng(3).choice(len(frame), missing, replace=False), "y"] = math.nan
    found = stats.factor_effects(frame, ["a", "b", "c"], "y")
    fit = ols("y ~ C(a, Sum) * C(b, Sum) * C(c, Sum) + C(seed, Sum)", frame.dropna()).fit()
    expected = anova_lm(fit, typ=2)
    assert len(found.table) == len(expected)
    for name in ("a", "b", "c", "a × b", "a × c", "b × c", "a × b × c", "seed", "residual"):
        wanted = ":".join(f"C({part}, Sum)" for part in name.split(" × "))
        line = expected.loc["Residual" if name == "residual" else wanted]
        assert row(found, name).sum_sq == pytest.approx(line["sum_sq"])
        assert row(found, name).df == line["df"]
        if name != "residual":
            assert row(found, name).p_value == pytest.approx(line["PR(>F)"])
    assert found.n_missing == missing
    assert any("missing" in note for note in found.notes) == (missing > 0)


def test_effects_of_an_incomplete_grid_are_those_of_the_models_predictions():
    frame = noise(2, (3, 2), 4)
    frame.loc[[0, 5, 13], "y"] = math.nan
    found = stats.factor_effects(frame, ["a", "b"], "y")
    fit = ols("y ~ C(a) * C(b) + C(seed)", frame.dropna()).fit()
    complete = frame.assign(y=fit.predict(frame))
    expected = complete.groupby("a")["y"].mean() - complete["y"].mean()
    assert np.allclose([each.effect.estimate for each in found.effects[0].levels], expected)
    assert [each.effect.n for each in found.effects[0].levels] == [6, 7, 8]
    assert found.error_variance == pytest.approx(fit.mse_resid)


def test_errors_of_effects_in_an_incomplete_grid_match_statsmodels():
    frame = noise(2, (2, 2), 5)
    frame.loc[[0, 6, 7], "y"] = math.nan
    found = stats.factor_effects(frame, ["a", "b"], "y")
    fit = ols("y ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)", frame.dropna()).fit()
    t = scipy_stats.t.isf(0.05 / 4, fit.df_resid)
    first = found.effects[0].levels[0].effect
    assert first.estimate == pytest.approx(fit.params["C(a, Sum)[S.0]"])
    assert first.high - first.estimate == pytest.approx(t * fit.bse["C(a, Sum)[S.0]"])


@pytest.mark.parametrize("missing", [0, 9])
def test_effects_and_their_errors_match_statsmodels_in_complete_and_incomplete_grids(missing):
    frame = noise(6, (3, 2, 2), 4)
    frame.loc[np.random.default_rng(3).choice(len(frame), missing, replace=False), "y"] = math.nan
    found = stats.factor_effects(frame, ["a", "b", "c"], "y")
    fit = ols("y ~ C(a, Sum) * C(b, Sum) * C(c, Sum) + C(seed, Sum)", frame.dropna()).fit()
    assert found.grand_mean == pytest.approx(fit.params["Intercept"])
    for term in found.effects:
        t = scipy_stats.t.isf(0.05 / 2 / len(term.levels), fit.df_resid)
        for level in term.levels:
            pairs = list(zip(term.factors, level.levels, strict=True))
            name = ":".join(f"C({factor}, Sum)[S.{value}]" for factor, value in pairs)
            if name in fit.params:
                assert level.effect.estimate == pytest.approx(fit.params[name])
                assert level.effect.high - level.effect.estimate == pytest.approx(t * fit.bse[name])


def test_names_and_levels_may_be_anything():
    names = ["learning rate", "class", 'it\'s "x" + 1']
    plain = noise(4, (2, 2, 2), 3)
    odd = plain.rename(columns=dict(zip("abc", names, strict=True)))
    odd["class"] = odd["class"].map({0: None, 1: (1, 2)})
    first = stats.factor_effects(plain, ["a", "b", "c"], "y")
    second = stats.factor_effects(odd, names, "y")
    assert [each.sum_sq for each in first.table] == pytest.approx([each.sum_sq for each in second.table])
    assert second.effects[1].factors == ("class",)
    assert second.effects[1].levels[1].levels == ((1, 2),)
    assert second.table[3].name == "learning rate × class"


def test_one_seed_gives_plain_differences_and_no_error_from_interactions():
    found = stats.factor_effects(noise(5, (3, 3), 1), ["a", "b"], "y")
    assert "one seed" in found.cannot
    assert [each.name for each in found.table] == ["a", "b", "a × b", "residual"]
    assert (found.table[-1].df, found.table[-1].sum_sq) == (0, 0.0)
    assert all(math.isnan(each.p_value) for each in found.table)
    assert sum(each.share for each in found.table) == pytest.approx(1.0)
    span = found.effects[0].span
    assert span.estimate > 0
    assert math.isnan(span.low)
    assert "one seed" in span.cannot


def test_one_seed_with_an_empty_cell_still_claims_no_error():
    frame = noise(5, (3, 3), 1).iloc[1:]
    found = stats.factor_effects(frame, ["a", "b"], "y")
    assert found.order == 1
    assert row(found, "other interactions").df == 3
    assert math.isnan(found.error_variance)
    assert math.isnan(found.effects[0].levels[0].effect.low)


def test_empty_cell_lowers_the_order_and_says_so_while_the_error_stays_between_seeds():
    frame = noise(6, (3, 3), 4)
    cell = (frame["a"] == 2) & (frame["b"] == 1)
    found = stats.factor_effects(frame[~cell], ["a", "b"], "y")
    assert found.order == 1
    assert any("1 of 9 grid points have no score" in note for note in found.notes)
    assert any("more than 1 factors" in note for note in found.notes)
    cells = ols("y ~ C(point) + C(seed)", frame[~cell].assign(point=3 * frame["a"] + frame["b"])).fit()
    assert found.error_variance == pytest.approx(cells.ssr / (8 * 4 - 8 - 3))
    assert found.df == 8 * 4 - 8 - 3
    additive = ols("y ~ C(a) + C(b) + C(seed)", frame[~cell]).fit()
    assert row(found, "other interactions").sum_sq == pytest.approx(additive.ssr - cells.ssr)


def test_factors_that_cannot_be_separated_are_refused_with_a_reason():
    frame = noise(7, (2, 2), 3)
    diagonal = frame[frame["a"] == frame["b"]]
    found = stats.factor_effects(diagonal, ["a", "b"], "y")
    assert "separate" in found.cannot
    assert found.table == ()
    assert found.effects == ()


def test_seeds_that_no_two_configurations_share_give_no_uncertainty():
    frame = noise(8, (4,), 2)
    frame = frame[(frame["a"] < 2) & (frame["seed"] == 0) | (frame["a"] >= 1) & (frame["seed"] == 1)]
    found = stats.factor_effects(frame, ["a"], "y")
    assert found.df == 0
    assert "share" in found.cannot
    assert math.isnan(found.error_variance)


@pytest.mark.parametrize(
    ("frame", "factors", "reason"),
    [
        (noise(9, (2, 2), 2).assign(y=math.nan), ["a", "b"], "no row"),
        (noise(9, (1, 1), 3), ["a", "b"], "one level"),
        (grid((2, 2), 3, lambda a, b, s: 0.1 * a + 0.3 * b + 0.7 * s), ["a", "b"], "no spread"),
        (grid((2, 2), 3, lambda a, b, s: 0.0), ["a", "b"], "no spread"),
    ],
)
def test_effects_that_cannot_be_tested_say_why(frame, factors, reason):
    found = stats.factor_effects(frame, factors, "y")
    assert reason in found.cannot
    assert math.isnan(found.error_variance)
    assert all(math.isnan(each.effect.low) for term in found.effects for each in term.levels)
    assert all(math.isnan(each.p_value) for each in found.table)


def test_axis_with_one_level_is_named_and_left_out():
    found = stats.factor_effects(noise(10, (3, 1), 3), ["a", "b"], "y")
    assert [term.factors for term in found.effects] == [("a",)]
    assert "b has one level and no effect to show" in found.notes


def test_unsteady_configuration_is_named():
    frame = noise(11, (3, 3), 5)
    frame.loc[(frame["a"] == 1) & (frame["b"] == 2) & (frame["seed"] == 0), "y"] -= 1000
    found = stats.factor_effects(frame, ["a", "b"], "y")
    assert any(note.startswith("1, 2 varies far more") for note in found.notes)


def test_axis_with_thousands_of_levels_is_refused_with_a_reason():
    found = stats.factor_effects(noise(3, (2500,), 2), ["a"], "y")
    assert "more than 2,000 levels" in found.cannot
    assert (found.table, found.effects) == ((), ())


def test_many_levels_pool_the_highest_interaction():
    found = stats.factor_effects(noise(12, (20, 22), 2), ["a", "b"], "y")
    assert found.order == 1
    assert row(found, "other interactions").df == 19 * 21
    assert sum(each.share for each in found.table) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("factors", "score", "message"),
    [
        ([], "y", "distinct"),
        (["a", "a"], "y", "distinct"),
        (["a", "seed"], "y", "distinct"),
        (["a", "z"], "y", "no column 'z'"),
        (["a"], "y", "two scores"),
    ],
)
def test_frame_that_makes_no_sense_is_refused(factors, score, message):
    with pytest.raises(ValueError, match=message):
        stats.factor_effects(noise(13, (2, 2), 2), factors, score)


def test_intervals_of_effects_cover_all_levels_at_once_and_tests_keep_their_size():
    rng, runs = np.random.default_rng(14), 150
    truth_a, truth_b = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 0.0])
    frame = noise(0, (3, 2), 3)
    signal = truth_a[frame["a"]] + truth_b[frame["b"]]
    levels = spans = wrong = 0
    for _ in range(runs):
        frame["y"] = signal + 2 * rng.normal(size=3)[frame["seed"]] + rng.normal(size=len(frame))
        found = stats.factor_effects(frame, ["a", "b"], "y")
        intervals = [each.effect for each in found.effects[0].levels]
        levels += all(each.low <= t <= each.high for each, t in zip(intervals, truth_a, strict=True))
        spans += found.effects[0].span.low <= 2.0 <= found.effects[0].span.high
        wrong += row(found, "b").p_value < 0.05
    assert at_least(0.95, runs) <= levels < runs
    assert at_least(0.95, runs) <= spans < runs
    assert 0 < wrong <= at_most(0.05, runs)
