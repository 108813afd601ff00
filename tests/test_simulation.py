"""How often the report claims what is false: a part simulated here, and the committed table of the whole.

Both the rates of false claims and the power are bounded, so that an analysis which never claims anything fails as well.
A bound that is met by chance alone fails once in a thousand runs; what is drawn is always the same.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats as scipy_stats

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from simulation.cases import cells
from simulation.page import fill, lower_bound
from simulation.rates import FOUND, Rate, measure, read, write

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "simulation"
RATES = read(REPORT / "rates.csv")
# Of a claim without "provisional", in any case: 5 % is promised for normal errors.
MOST = 0.07


def rate(rates: list[Rate], sentence: str, provisional: bool) -> Rate | None:
    return next((one for one in rates if (one.sentence, one.provisional) == (sentence, provisional)), None)


def count(rates: list[Rate], sentence: str, name: str = "n_false") -> int:
    return sum(getattr(one, name) for one in rates if one.sentence == sentence)


def at_most(share: float, n: int) -> float:
    """What a count of this chance exceeds once in a thousand simulations."""
    return float(scipy_stats.binom.ppf(0.999, n, share))


def at_least(share: float, n: int) -> float:
    return float(scipy_stats.binom.ppf(0.001, n, share))


def simulated(case: str, configurations: int, seeds: int, experiments: int) -> list[Rate]:
    (cell,) = [one for one in cells(case, configurations, seeds, experiments) if one.case.name == case]
    return measure(cell)


def committed(case: str, configurations: int, seeds: int) -> list[Rate]:
    found = [one for one in RATES if (one.case, one.configurations, one.seeds) == (case, configurations, seeds)]
    assert found, f"{case}, {configurations} x {seeds} is not in the table"
    return found


# A part, simulated here


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_claims_about_equal_configurations_are_false_in_five_percent_at_most(seeds: int) -> None:
    n = 300
    rates = simulated("equal", 18, seeds, n)
    for sentence in ("worse", "rank", "mean", "test", "axis", "combine", "depends"):
        assert count(rates, sentence) <= at_most(0.05, n), sentence
    # The intervals are there, and mostly without a proviso.
    for sentence in ("mean", "test"):
        certain = rate(rates, sentence, False)
        assert certain
        assert certain.n_said >= at_least(0.95, n)


@pytest.mark.slow
def test_configurations_that_are_clearly_worse_are_found() -> None:
    rates = simulated("one best", 18, 5, 100)
    certain, doubted = rate(rates, FOUND, False), rate(rates, FOUND, True)
    assert certain
    assert doubted
    assert certain.said + doubted.said >= 0.93
    assert certain.said >= 0.85
    assert count(rates, "worse") == 0
    assert count(rates, "rank") <= at_most(0.05, 100)


@pytest.mark.slow
def test_all_looks_together_are_false_in_five_percent_at_most() -> None:
    n = 100
    rates = simulated("extended", 2, 40, n)
    for sentence in ("worse", "named", "mean", "test"):
        assert count(rates, sentence) <= at_most(0.05, n), sentence


@pytest.mark.slow
def test_what_diverges_does_not_flatter() -> None:
    n = 150
    rates = simulated("diverged, a risky third", 18, 5, n)
    certain = [one for one in rates if not one.provisional]
    for sentence in ("worse", "rank", "mean", "test", "diverges"):
        assert count(certain, sentence) <= at_most(0.05, n), sentence
    assert count(rates, "diverges", "n_said") >= at_least(0.95, n)


@pytest.mark.slow
def test_fresh_seeds_cover_what_they_should() -> None:
    n = 200
    rates = simulated("confirmed", 18, 3, n)
    for sentence in ("mean (fresh)", "test (fresh)"):
        assert count(rates, sentence, "n_said") == n
        assert at_least(0.05, n) <= count(rates, sentence) <= at_most(0.05, n)
    assert count(rates, "confirmed") <= at_most(0.05, n)


def test_one_seed_claims_nothing() -> None:
    for case in ("equal", "one best", "diverged"):
        assert count(simulated(case, 18, 1, 20), "any", "n_said") == 0


def test_a_cell_gives_the_same_numbers_again_and_its_file_is_read_as_written(tmp_path: Path) -> None:
    first = simulated("third twice", 18, 3, 10)
    write(first, tmp_path / "rates.csv")
    write(simulated("third twice", 18, 3, 10), tmp_path / "again.csv")
    assert (tmp_path / "rates.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    again = read(tmp_path / "rates.csv")
    assert [(one.sentence, one.provisional, one.n_said) for one in again] == [
        (one.sentence, one.provisional, one.n_said) for one in first
    ]


def test_the_command_refuses_a_case_that_there_is_not(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "simulate.py"), "--csv", str(tmp_path / "rates.csv")]
    finished = subprocess.run([*command, "--case", "eqal"], capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "third twice" in finished.stderr
    assert not (tmp_path / "rates.csv").exists()


# The committed table


def test_the_table_has_every_cell_at_its_full_size() -> None:
    listed = {(cell.case.name, cell.configurations, cell.seeds): cell.experiments for cell in cells()}
    assert {(one.case, one.configurations, one.seeds): one.experiments for one in RATES} == listed


def test_no_claim_without_a_proviso_is_false_too_often() -> None:
    kinds = [one for one in RATES if one.sentence not in ("any", FOUND) and not one.provisional]
    over = [one for one in kinds if not one.case.startswith("control") and lower_bound(one) > MOST]
    assert over == []


def test_an_analysis_that_is_not_told_of_its_looks_is_caught() -> None:
    for configurations in (2, 18):
        told, not_told = (
            count(committed(case, configurations, 40), "worse") for case in ("extended", "control: extended, not told")
        )
        assert not_told > 2 * told
    assert any(lower_bound(one) > 0.05 for one in committed("control: extended, not told", 2, 40))


def test_two_that_are_tied_are_the_measure_of_all_others() -> None:
    found = [one.said for one in committed("two tied", 18, 5) if one.sentence == FOUND]
    assert sum(found) >= 0.97


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_clearly_worse_are_found_mostly_without_a_proviso(seeds: int) -> None:
    rates = committed("one best", 18, seeds)
    certain, doubted = rate(rates, FOUND, False), rate(rates, FOUND, True)
    assert certain
    assert doubted
    found = certain.said + doubted.said
    assert found >= 0.95
    assert certain.said >= 0.9 * found


def test_three_seeds_claim_without_a_proviso_where_spreads_are_even() -> None:
    certain, doubted = (rate(committed("one best", 18, 3), FOUND, provisional) for provisional in (False, True))
    assert certain
    assert doubted
    assert certain.said > 0.8 * (certain.said + doubted.said) > 0.5


@pytest.mark.parametrize(("configurations", "seeds"), [(18, 3), (18, 5), (18, 10), (200, 3), (200, 5)])
@pytest.mark.parametrize("sentence", ["mean", "test"])
def test_intervals_of_the_selected_one_cover_where_all_are_equal(
    configurations: int, seeds: int, sentence: str
) -> None:
    rates = committed("equal", configurations, seeds)
    assert count(rates, sentence, "n_said") == rates[0].experiments
    assert sum(one.false for one in rates if one.sentence == sentence) <= MOST


def test_one_seed_claimed_nothing() -> None:
    alone = [one for one in RATES if one.seeds == 1]
    assert {one.case for one in alone} >= {"equal", "one best", "diverged"}
    assert all(one.n_said == 0 for one in alone if one.sentence != FOUND)


def test_the_page_has_the_numbers_of_the_table() -> None:
    page = (REPORT / "README.md").read_text()
    assert fill(page, RATES) == page
