"""The seed-blocked factorial analysis of variance."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

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


def effects(frame, factors, level=0.95):
    """The analysis of a table with one row per grid point and seed."""
    given = list(frame[factors].itertuples(index=False, name=None))
    points = {point: k for k, point in enumerate(dict.fromkeys(given))}
    seeds = {seed: s for s, seed in enumerate(dict.fromkeys(frame["seed"]))}
    scores = np.full((len(points), len(seeds)), math.nan)
    scores[[points[point] for point in given], [seeds[seed] for seed in frame["seed"]]] = frame["y"]
    return stats.factor_effects(scores, list(points), factors, level)


def row(found, name):
    return next(each for each in found.table if each.name == name)


def test_effects_of_two_by_two_match_those_worked_out_by_hand():
    # a adds 4, b adds 2, both together 2 more; seeds 0 and 1, and +-0.5 that neither explains
    def score(a, b, seed):
        unexplained = 0.5 if a == b else -0.5
        return 4 * a + 2 * b + 2 * a * b + seed + unexplained * (2 * seed - 1)

    found = effects(grid((2, 2), 2, score), ["a", "b"])
    # cell means 0.5, 2.5, 4.5, 8.5; a: 1.5 and 6.5; b: 2.5 and 5.5; interaction +-0.5
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
    assert (found.df, found.cannot, found.notes) == (3, "", ())
    # one effect: sqrt(2 / 3 / 8) = 0.28868 by t(3) at 1 - 0.05 / 4 = 4.17653
    first = found.effects[0].levels[0].effect
    assert first.high - first.estimate == pytest.approx(4.17653 * 0.28868, abs=1e-4)
    # span of two levels: the t(3) interval at 1 - 0.05 / 2 axes, 4.17653 x 0.57735
    span = found.effects[0].span
    assert span.estimate == pytest.approx(5.0)
    assert span.high - span.estimate == pytest.approx(4.17653 * 0.57735, abs=1e-4)
    assert found.cell_means["a", "b"] == pytest.approx(np.array([[0.5, 2.5], [4.5, 8.5]]))
    assert found.crossings == ()
    assert found.effects[2].span is None


def test_one_axis_matches_the_published_vascular_grafts():
    found = stats.factor_effects(np.array(GRAFTS), [(p,) for p in range(4)], ["p"])
    assert row(found, "p").sum_sq == pytest.approx(178.17, abs=0.005)
    assert row(found, "seed").sum_sq == pytest.approx(192.25, abs=0.005)
    assert row(found, "residual").sum_sq == pytest.approx(109.89, abs=0.005)
    assert row(found, "p").f_value == pytest.approx(8.11, abs=0.005)
    assert row(found, "p").p_value == pytest.approx(0.0019, abs=5e-5)
    assert found.error_variance == pytest.approx(7.33, abs=0.005)


def order(found):
    return max(len(term.factors) for term in found.effects)


def own_error(frame, formula, interaction):
    """Mean square and degrees of freedom of an axis's interaction with the seeds, by statsmodels."""
    without = ols(formula, frame).fit()
    beside = ols(f"{formula} + {interaction}", frame).fit()
    df = without.df_resid - beside.df_resid
    return (without.ssr - beside.ssr) / df, df


@pytest.mark.parametrize("missing", [0, 9])
def test_table_matches_statsmodels_in_complete_and_incomplete_grids(missing):
    frame = noise(1, (3, 2, 2), 4)
    frame.loc[np.random.default_rng(3).choice(len(frame), missing, replace=False), "y"] = math.nan
    found = effects(frame, ["a", "b", "c"])
    formula = "y ~ C(a, Sum) * C(b, Sum) * C(c, Sum) + C(seed, Sum)"
    fit = ols(formula, frame.dropna()).fit()
    expected = anova_lm(fit, typ=2)
    assert len(found.table) == len(expected)
    # Of a (3 - 1)(4 - 1) = 6 degrees of freedom tell its own error, 3 those of b and c do not.
    assert [row(found, name).error_df for name in "abc"] == [6, fit.df_resid, fit.df_resid]
    variance, df = own_error(frame.dropna(), formula, "C(a, Sum):C(seed, Sum)")
    first = expected.loc["C(a, Sum)"]
    plain = [scipy_stats.f.sf(first["sum_sq"] / 2 / variance, 2, df)]
    plain += [expected.loc[f"C({name}, Sum)", "PR(>F)"] for name in "bc"]
    assert [row(found, name).p_value for name in "abc"] == pytest.approx(multipletests(plain, method="holm")[1])
    crossed = ["a × b", "a × c", "b × c", "a × b × c"]
    plain = [expected.loc[":".join(f"C({x}, Sum)" for x in name.split(" × ")), "PR(>F)"] for name in crossed]
    assert [row(found, name).p_value for name in crossed] == pytest.approx(multipletests(plain, method="holm")[1])
    for name in ("a", "b", "c", *crossed, "seed", "residual"):
        wanted = ":".join(f"C({part}, Sum)" for part in name.split(" × "))
        line = expected.loc["Residual" if name == "residual" else wanted]
        assert row(found, name).sum_sq == pytest.approx(line["sum_sq"])
        assert row(found, name).df == line["df"]
        if name == "seed":
            assert row(found, name).p_value == pytest.approx(line["PR(>F)"])
    assert any(f"{missing} of 48 rows have no score" in note for note in found.notes) == (missing > 0)
    assert any("missing" in note for note in found.notes) == (missing > 0)


def test_effects_of_an_incomplete_grid_are_those_of_the_models_predictions():
    frame = noise(2, (3, 2), 4)
    frame.loc[[0, 5, 13], "y"] = math.nan
    found = effects(frame, ["a", "b"])
    fit = ols("y ~ C(a) * C(b) + C(seed)", frame.dropna()).fit()
    complete = frame.assign(y=fit.predict(frame))
    expected = complete.groupby("a")["y"].mean() - complete["y"].mean()
    assert np.allclose([each.effect.estimate for each in found.effects[0].levels], expected)
    assert [each.effect.n for each in found.effects[0].levels] == [6, 7, 8]
    assert found.error_variance == pytest.approx(fit.mse_resid)


def test_errors_of_effects_in_an_incomplete_grid_match_statsmodels():
    frame = noise(2, (2, 2), 5)
    frame.loc[[0, 6, 7], "y"] = math.nan
    found = effects(frame, ["a", "b"])
    fit = ols("y ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)", frame.dropna()).fit()
    t = scipy_stats.t.isf(0.05 / 4, fit.df_resid)
    first = found.effects[0].levels[0].effect
    assert first.estimate == pytest.approx(fit.params["C(a, Sum)[S.0]"])
    assert first.high - first.estimate == pytest.approx(t * fit.bse["C(a, Sum)[S.0]"])


@pytest.mark.parametrize("missing", [0, 9])
def test_effects_and_their_errors_match_statsmodels_in_complete_and_incomplete_grids(missing):
    frame = noise(6, (3, 2, 2), 4)
    frame.loc[np.random.default_rng(3).choice(len(frame), missing, replace=False), "y"] = math.nan
    found = effects(frame, ["a", "b", "c"])
    formula = "y ~ C(a, Sum) * C(b, Sum) * C(c, Sum) + C(seed, Sum)"
    fit = ols(formula, frame.dropna()).fit()
    variance, df = own_error(frame.dropna(), formula, "C(a, Sum):C(seed, Sum)")
    for term in found.effects:
        own = term.factors == ("a",)
        t = scipy_stats.t.isf(0.05 / 2 / len(term.levels), df if own else fit.df_resid)
        t *= math.sqrt(variance / fit.mse_resid) if own else 1
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
    first = effects(plain, ["a", "b", "c"])
    second = effects(odd, names)
    assert [each.sum_sq for each in first.table] == pytest.approx([each.sum_sq for each in second.table])
    assert second.effects[1].factors == ("class",)
    assert second.effects[1].levels[1].levels == ((1, 2),)
    assert second.table[3].name == "learning rate × class"


def test_one_seed_gives_plain_differences_and_no_error_from_interactions():
    found = effects(noise(5, (3, 3), 1), ["a", "b"])
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
    found = effects(frame, ["a", "b"])
    assert order(found) == 1
    assert row(found, "other interactions").df == 3
    assert math.isnan(found.error_variance)
    assert math.isnan(found.effects[0].levels[0].effect.low)


def test_empty_cell_lowers_the_order_and_says_so_while_the_error_stays_between_seeds():
    frame = noise(6, (3, 3), 4)
    cell = (frame["a"] == 2) & (frame["b"] == 1)
    found = effects(frame[~cell], ["a", "b"])
    assert order(found) == 1
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
    found = effects(diagonal, ["a", "b"])
    assert "separate" in found.cannot
    assert found.table == ()
    assert found.effects == ()


def test_seeds_that_no_two_configurations_share_give_no_uncertainty():
    frame = noise(8, (4,), 2)
    frame = frame[(frame["a"] < 2) & (frame["seed"] == 0) | (frame["a"] >= 1) & (frame["seed"] == 1)]
    found = effects(frame, ["a"])
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
    found = effects(frame, factors)
    assert reason in found.cannot
    assert math.isnan(found.error_variance)
    assert all(math.isnan(each.effect.low) for term in found.effects for each in term.levels)
    assert all(math.isnan(each.p_value) for each in found.table)


def test_axis_with_one_level_is_named_and_left_out():
    found = effects(noise(10, (3, 1), 3), ["a", "b"])
    assert [term.factors for term in found.effects] == [("a",)]
    assert "b has one level and no effect to show" in found.notes


@pytest.mark.parametrize(
    ("sizes", "seeds", "provisional"),
    [((3, 2), 4, (False, True)), ((3, 2), 3, (True, True)), ((4, 3), 3, (False, True)), ((2, 2), 7, (False, False))],
)
def test_axis_is_provisional_where_its_seeds_are_too_few_to_tell_its_own_error(sizes, seeds, provisional):
    found = effects(noise(1, sizes, seeds), ["a", "b"])
    assert tuple(bool(term.provisional) for term in found.effects[:2]) == provisional
    assert found.effects[2].provisional == ""
    for name, own, size in zip("ab", provisional, sizes, strict=True):
        assert row(found, name).error_df == (found.df if own else (size - 1) * (seeds - 1))


def test_only_axis_is_tested_with_the_residual_and_not_provisional():
    found = effects(noise(2, (4,), 3), ["a"])
    assert found.effects[0].provisional == ""
    assert row(found, "a").error_df == found.df == 6


def test_spans_of_an_incomplete_grid_are_tukey_and_kramers():
    frame = noise(3, (4, 2), 5)
    frame.loc[[0, 1, 2, 11, 17], "y"] = math.nan
    found = effects(frame, ["a", "b"])
    formula = "y ~ C(a) * C(b, Sum) + C(seed)"
    fit = ols(formula, frame.dropna()).fit()
    variance, df = own_error(frame.dropna(), formula, "C(a):C(seed)")
    q = scipy_stats.studentized_range.isf(0.05 / 2, 4, df) / math.sqrt(2) * math.sqrt(variance / fit.mse_resid)
    lows, highs = [], []
    for one, other in itertools.permutations(range(4), 2):
        contrast = pd.Series(0.0, index=fit.params.index)
        for level, sign in ((one, 1), (other, -1)):
            if level:
                contrast[f"C(a)[T.{level}]"] = sign
        gap, error = float(contrast @ fit.params), math.sqrt(contrast @ fit.cov_params() @ contrast)
        lows.append(gap - q * error)
        highs.append(gap + q * error)
    span = found.effects[0].span
    assert (span.low, span.high) == pytest.approx((max(0.0, *lows), max(highs)), rel=1e-5)


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_large_common_offset_costs_no_digits(offset):
    # As NIST's SmLs07: the digits that differ are the last. Expected: of the numbers as they are stored.
    rng = np.random.default_rng(4)
    frame = grid((5, 3), 6, lambda *_: offset + 0.4 + 0.1 * int(rng.integers(0, 9)))
    found = effects(frame, ["a", "b"])
    exact = effects(frame.assign(y=frame["y"] - offset), ["a", "b"])
    assert found.cannot == ""
    for one, other in zip(found.table, exact.table, strict=True):
        assert one.sum_sq == pytest.approx(other.sum_sq, rel=1e-9)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9, nan_ok=True)
    assert found.error_variance == pytest.approx(exact.error_variance, rel=1e-9)
    assert found.effects[0].span.estimate == pytest.approx(exact.effects[0].span.estimate, rel=1e-9)
    assert found.cell_means["a", "b"] == pytest.approx(offset + exact.cell_means["a", "b"], abs=1e-3)


@pytest.mark.parametrize("missing", [0, 6])
def test_sums_of_squares_of_a_weak_axis_keep_their_digits_beside_a_strong_one(missing):
    # One level of b diverged: a million times the rest. Integers: what b adds is exact.
    rng = np.random.default_rng(5)
    frame = grid((3, 3), 5, lambda *_: float(rng.integers(-500, 500)))
    frame = frame.drop(index=rng.choice(len(frame), missing, replace=False))
    plain = effects(frame, ["a", "b"])
    strong = effects(frame.assign(y=frame["y"] + 1e9 * (frame["b"] == 2)), ["a", "b"])
    for name in ("a", "a × b", "seed", "residual"):
        assert row(strong, name).sum_sq == pytest.approx(row(plain, name).sum_sq, rel=1e-7)
        assert row(strong, name).f_value == pytest.approx(row(plain, name).f_value, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("change", [lambda y: y + 1e6, lambda y: y * 1e6, lambda y: y / 1e6, lambda y: -y])
@pytest.mark.parametrize("missing", [0, 7])
def test_offset_unit_and_direction_change_no_p_value(change, missing):
    frame = noise(6, (3, 2, 2), 4)
    frame["y"] += frame["a"] + 3 * (frame["b"] == frame["c"])
    frame = frame.drop(index=np.random.default_rng(6).choice(len(frame), missing, replace=False))
    before = effects(frame, ["a", "b", "c"])
    after = effects(frame.assign(y=change(frame["y"])), ["a", "b", "c"])
    p_values = [[each.p_value for each in found.table] for found in (before, after)]
    assert p_values[1] == pytest.approx(p_values[0], rel=1e-6, nan_ok=True)
    assert [bool(term.provisional) for term in before.effects] == [bool(term.provisional) for term in after.effects]
    assert len(after.crossings) == len(before.crossings)


def test_order_of_rows_axes_and_names_of_levels_do_not_matter():
    frame = noise(7, (3, 2), 4).drop(index=[3, 9])
    found = effects(frame, ["a", "b"])
    shuffled = frame.sample(frac=1, random_state=0).assign(a=frame["a"].map({0: "x", 1: None, 2: "z"}))
    moved = effects(shuffled, ["b", "a"])
    for name, other in (("a", "a"), ("b", "b"), ("a × b", "b × a"), ("seed", "seed"), ("residual", "residual")):
        assert row(moved, other).sum_sq == pytest.approx(row(found, name).sum_sq)
        assert row(moved, other).p_value == pytest.approx(row(found, name).p_value, nan_ok=True)
    spans = [{term.factors: term.span for term in each.effects if term.span} for each in (found, moved)]
    for name in "ab":
        one, other = spans[0][(name,)], spans[1][(name,)]
        assert (one.low, one.estimate, one.high) == pytest.approx((other.low, other.estimate, other.high))


# Levels that change places


def changing(rng, size, strong=0.0, sizes=(3, 2, 2), seeds=5):
    """Level 0 of a is best at level 0 of b, level 1 at level 1, each by `size`; c adds `strong`."""

    def score(a, b, c, seed):
        return size / 2 * (1 if a == b else -1 if a < 2 else -4) + strong * c + rng.normal()

    return grid(sizes, seeds, score)


def without_two_points(frame):
    """Two points of different a, b and c are left out, so plain means mix c into a and b."""
    points = list(zip(frame["a"], frame["b"], frame["c"], strict=True))
    return frame[[point not in ((0, 0, 1), (1, 1, 0)) for point in points]]


@pytest.mark.parametrize("incomplete", [False, True])
def test_cell_means_are_those_of_the_models_predictions(incomplete):
    frame = changing(np.random.default_rng(8), 1.0, strong=5.0)
    there = without_two_points(frame) if incomplete else frame
    found = effects(there, ["a", "b", "c"])
    interactions = "(C(a) + C(b) + C(c)) ** 2" if incomplete else "C(a) * C(b) * C(c)"
    fit = ols(f"y ~ {interactions} + C(seed)", there).fit()
    complete = frame.assign(y=fit.predict(frame))
    assert order(found) == (2 if incomplete else 3)
    assert set(found.cell_means) == {("a", "b"), ("a", "c"), ("b", "c")}
    for (one, other), means in found.cell_means.items():
        assert means == pytest.approx(complete.pivot_table("y", one, other).to_numpy())


def test_levels_that_change_places_are_named_with_their_leads():
    frame = changing(np.random.default_rng(9), 6.0)
    found = effects(frame, ["a", "b", "c"])
    means = found.cell_means["a", "b"]
    of_a = next(each for each in found.crossings if each.factor == "a")
    assert (of_a.other, of_a.at, of_a.other_at, of_a.better, of_a.worse) == ("b", 0, 1, 0, 1)
    assert of_a.lead == pytest.approx(means[0, 0] - means[1, 0])
    assert of_a.other_lead == pytest.approx(means[1, 1] - means[0, 1])
    of_b = next(each for each in found.crossings if each.factor == "b")
    assert (of_b.other, of_b.at, of_b.other_at, of_b.better, of_b.worse) == ("a", 0, 1, 0, 1)
    assert {(each.factor, each.other) for each in found.crossings} == {("a", "b"), ("b", "a")}


@pytest.mark.parametrize("luck", [0.0, 2.0])
def test_leads_are_tested_at_bonferronis_level_with_the_error_that_asks_for_more(luck):
    rng = np.random.default_rng(15)
    of_seeds = luck * rng.normal(size=(3, 4))
    frame = changing(rng, 16.0, sizes=(3, 2, 1), seeds=4).drop(columns="c")
    frame["y"] += of_seeds[frame["a"], frame["seed"]]
    means = effects(frame, ["a", "b"]).cell_means["a", "b"]
    assert means.argmax(axis=0).tolist() == [0, 1]
    lead = min(means[0, 0] - means[1, 0], means[1, 1] - means[0, 1])
    formula = "y ~ C(a, Sum) * C(b, Sum) + C(seed, Sum)"
    fit = ols(formula, frame).fit()
    errors = [own_error(frame, formula, "C(a, Sum):C(seed, Sum)"), (fit.mse_resid, fit.df_resid)]
    # Of a at each level of b 2 x 3 x 2 leads, of b at each of a 3 x 2 x 1; a lead is a difference of means of four.
    risk = 18 * max(scipy_stats.t.sf(lead / math.sqrt(variance * 2 / 4), df) for variance, df in errors)
    found = [
        any(each.factor == "a" for each in effects(frame, ["a", "b"], level=level).crossings)
        for level in (1 - 1.01 * risk, 1 - 0.99 * risk)
    ]
    assert found == [True, False]


def test_lead_that_changes_size_but_not_sign_is_no_change_of_places():
    rng = np.random.default_rng(10)
    frame = grid((2, 2), 7, lambda a, b, _: 5 * a + 20 * a * b + rng.normal())
    found = effects(frame, ["a", "b"])
    assert row(found, "a × b").p_value < 1e-6
    assert found.crossings == ()


@pytest.mark.parametrize("strong", [0.0, 30.0])
def test_levels_that_do_not_change_places_are_rarely_said_to(strong):
    # Plain means, of which points are left out, would say so in a third of all experiments.
    rng, runs, wrong = np.random.default_rng(11), 200, 0
    for _ in range(runs):
        frame = grid((3, 2, 2), 4, lambda a, b, c, _: strong * c + rng.normal())
        wrong += bool(effects(without_two_points(frame), ["a", "b", "c"]).crossings)
    assert wrong <= at_most(0.05, runs)


def test_levels_that_do_change_places_are_found_in_an_incomplete_grid():
    rng, runs, right = np.random.default_rng(12), 60, 0
    for _ in range(runs):
        frame = without_two_points(changing(rng, 6.0, strong=3.0))
        found = effects(frame, ["a", "b", "c"])
        right += any((each.factor, each.other) == ("a", "b") for each in found.crossings)
    assert right >= 0.9 * runs


def test_levels_are_not_said_to_change_places_because_seeds_favour_some():
    # A seed is lucky with one level of a, at both levels of b.
    rng, runs, wrong = np.random.default_rng(13), 200, 0
    for _ in range(runs):
        luck = rng.normal(size=(3, 4))
        frame = grid((3, 2), 4, lambda a, _, seed: 2 * luck[a, seed] + rng.normal())  # noqa: B023
        wrong += bool(effects(frame, ["a", "b"]).crossings)
    assert wrong <= at_most(0.05, runs)


# How often an axis that does not matter is said to


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [4, 5])
def test_axis_that_seeds_favour_by_level_is_rarely_said_to_matter(seeds):
    # Depth x seed has the residual's variance; with the residual alone as error it would "matter" in half of them.
    rng, runs, claimed, plain = np.random.default_rng(seeds), 250, 0, 0
    for _ in range(runs):
        luck, of_seeds = rng.normal(size=(3, seeds)), 3 * rng.normal(size=seeds)
        score = lambda a, b, c, seed: luck[a, seed] + of_seeds[seed] + rng.normal()  # noqa: B023, E731
        found = effects(grid((3, 3, 2), seeds, score), ["a", "b", "c"])
        depth = row(found, "a")
        assert found.effects[0].provisional == ""
        claimed += depth.p_value < 0.05 or found.effects[0].span.low > 0
        plain += scipy_stats.f.sf(depth.sum_sq / depth.df / found.error_variance, depth.df, found.df) < 0.05
    assert claimed <= at_most(0.05, runs)
    assert plain > at_most(0.15, runs)


@pytest.mark.slow
def test_none_of_five_axes_that_do_not_matter_is_said_to():
    rng, runs, spans, tests, plain = np.random.default_rng(14), 150, 0, 0, 0
    frame = grid((2,) * 5, 7, lambda *_: 0.0, names="abcde")
    for _ in range(runs):
        frame["y"] = rng.normal(size=len(frame))
        found = effects(frame, list("abcde"))
        factors = [each for each in found.table if each.kind == "factor"]
        spans += any(term.span.low > 0 for term in found.effects if term.span)
        tests += any(each.p_value < 0.05 for each in factors)
        plain += any(scipy_stats.f.sf(each.f_value, each.df, each.error_df) < 0.05 for each in factors)
    assert spans <= at_most(0.05, runs)
    assert tests <= at_most(0.05, runs)
    assert plain > at_most(0.09, runs)


def test_axis_with_thousands_of_levels_is_refused_with_a_reason():
    found = effects(noise(3, (2500,), 2), ["a"])
    assert "more than 2,000 levels" in found.cannot
    assert (found.table, found.effects) == ((), ())


def test_many_levels_pool_the_highest_interaction():
    found = effects(noise(12, (20, 22), 2), ["a", "b"])
    assert order(found) == 1
    assert row(found, "other interactions").df == 19 * 21
    assert sum(each.share for each in found.table) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "levels", "factors", "message"),
    [
        ((4, 2), list("wxyz"), [], "distinct"),
        ((4, 2), ["wx", "wy", "zx", "zy"], ["a", "a"], "distinct"),
        ((4, 2), ["wx", "wy", "zx", "zy"], ["a", "seed"], "distinct"),
        ((4, 2), ["wx", "wy", "zx", "w"], ["a", "b"], "levels of each factor"),
        ((4, 2), ["wx", "wy", "zx"], ["a", "b"], "levels of each factor"),
        ((4,), list("wxyz"), ["a"], "configurations, seeds"),
        ((4, 2), list("wxyx"), ["a"], r"two configurations with the levels \('x',\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(shape, levels, factors, message):
    with pytest.raises(ValueError, match=message):
        stats.factor_effects(np.zeros(shape), [tuple(each) for each in levels], factors)


def test_results_carry_the_very_objects_that_are_the_levels():
    class Level:
        pass

    one, other, third = Level(), Level(), Level()
    points = [(other, third), (other, one), (one, third), (one, one)]
    rng = np.random.default_rng(1)
    scores = np.array([9.0, 0.0, 0.0, 9.0])[:, None] + rng.normal(size=(4, 5))
    found = stats.factor_effects(scores, points, ["a", "b"])
    assert [level.levels for level in found.effects[0].levels] == [(other,), (one,)]
    assert [level.levels for level in found.effects[2].levels] == points
    crossing = next(each for each in found.crossings if each.factor == "a")
    assert (crossing.at, crossing.other_at, crossing.better, crossing.worse) == (third, one, other, one)


def test_intervals_of_effects_cover_all_levels_at_once_and_tests_keep_their_size():
    rng, runs = np.random.default_rng(14), 150
    truth_a, truth_b = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 0.0])
    frame = noise(0, (3, 2), 3)
    signal = truth_a[frame["a"]] + truth_b[frame["b"]]
    levels = spans = wrong = 0
    for _ in range(runs):
        frame["y"] = signal + 2 * rng.normal(size=3)[frame["seed"]] + rng.normal(size=len(frame))
        found = effects(frame, ["a", "b"])
        intervals = [each.effect for each in found.effects[0].levels]
        levels += all(each.low <= t <= each.high for each, t in zip(intervals, truth_a, strict=True))
        spans += found.effects[0].span.low <= 2.0 <= found.effects[0].span.high
        wrong += row(found, "b").p_value < 0.05
    assert at_least(0.95, runs) <= levels < runs
    assert at_least(0.95, runs) <= spans < runs
    assert 0 < wrong <= at_most(0.05, runs)
