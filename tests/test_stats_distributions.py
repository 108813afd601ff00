"""Tails and quantiles against those of scipy.stats, which take long to import."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from sweep.stats import distributions

SAME = {"rel": 1e-13, "abs": 0}


def test_values_match_those_of_printed_tables():
    assert distributions.t_quantile(0.975, 4) == pytest.approx(2.776, abs=5e-4)
    assert distributions.f_tail(4.26, 2, 9) == pytest.approx(0.05, abs=1e-4)
    assert distributions.chi2_tail(3.841, 1) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("df", [1, 2, 4, 104, 100_000])
def test_tails_and_quantiles_are_those_of_scipy_stats(df):
    for share in (1e-12, 1e-4, 0.025, 0.5, 0.9, 0.999):
        assert distributions.t_quantile(share, df) == pytest.approx(scipy_stats.t.ppf(share, df), **SAME)
    for value in (0.0, 0.01, 1.0, 7.3, 200.0):
        assert distributions.chi2_tail(value, df) == pytest.approx(scipy_stats.chi2.sf(value, df), **SAME)
        assert distributions.f_tail(value, 3, df) == pytest.approx(scipy_stats.f.sf(value, 3, df), **SAME)


@pytest.mark.parametrize("df", [1, 2, 4, 104, 5000])
def test_ends_and_density_of_chi_are_those_of_scipy_stats(df):
    expected = scipy_stats.chi2.ppf(1e-14, df), scipy_stats.chi2.isf(1e-14, df)
    assert distributions.chi2_between(1e-14, df) == pytest.approx(expected, **SAME)
    values = np.linspace(0.01, 2, 7) * math.sqrt(df)
    density = distributions.chi_density(values, df)
    assert np.allclose(density, scipy_stats.chi.pdf(values, df), rtol=1e-10, atol=1e-300)
