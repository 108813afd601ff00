"""Tails and quantiles against those of scipy.stats, which take long to import."""

import math

import pytest
from scipy import stats as scipy_stats

from sweep.stats import distributions

SAME = {"rel": 1e-13, "abs": 0}


def test_values_match_those_of_printed_tables():
    assert distributions.t_quantile(0.975, 4) == pytest.approx(2.776, abs=5e-4)
    assert distributions.chi2_between(0.05, 9) == pytest.approx((3.325, 16.919), abs=5e-4)


@pytest.mark.parametrize("df", [1, 2, 4, 104, 100_000])
def test_quantiles_are_those_of_scipy_stats(df):
    for share in (1e-12, 1e-4, 0.025, 0.5, 0.9, 0.999):
        assert distributions.t_quantile(share, df) == pytest.approx(scipy_stats.t.ppf(share, df), **SAME)
    for tail in (1e-14, 0.05):
        expected = scipy_stats.chi2.ppf(tail, df), scipy_stats.chi2.isf(tail, df)
        assert distributions.chi2_between(tail, df) == pytest.approx(expected, **SAME)


@pytest.mark.parametrize("df", [1, 2, 4, 104, 5000])
def test_averages_over_the_scale_are_those_of_chi(df):
    scale, weights = distributions.scale_nodes(df)
    assert weights.sum() == pytest.approx(1, abs=1e-7)
    assert weights @ scale == pytest.approx(scipy_stats.chi.mean(df) / math.sqrt(df), rel=1e-7)
    assert weights @ scale**2 == pytest.approx(1, abs=1e-7)
