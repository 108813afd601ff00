"""Whoever reads only the verdict is not misled: every sentence is traced to numbers worked out here anew."""

import hashlib
import math
import re

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment
from statsmodels.stats.power import TTestPower

from sweep.records import read_records
from sweep.report.analysis import analyse
from sweep.report.detail import details
from sweep.report.document import Paragraph, Table
from sweep.report.formats import p_text, percent, points
from sweep.report.ranking import ranking_section
from sweep.report.verdict import verdict
from sweep.tables import bold

DEPTHS, ACTIVATIONS = ("shallow", "medium", "deep"), ("relu", "sigmoid", "tanh")
AXES = {"depth": list(DEPTHS), "activation": list(ACTIVATIONS), "loss": ["hinge"]}


def noise(point, seed):
    digest = hashlib.sha256(f"{point['depth']} {point['activation']} {seed}".encode()).digest()
    return 0.001 * np.random.default_rng(list(digest)).normal()


def clear_winner(point, seed):
    return (0.95 if (point["depth"], point["activation"]) == ("deep", "relu") else 0.90) + noise(point, seed)


def tie(point, seed):
    return (0.95 if point["depth"] == "deep" and point["activation"] != "tanh" else 0.90) + noise(point, seed)


def one_factor(point, seed):
    return {"relu": 0.94, "sigmoid": 0.90, "tanh": 0.92}[point["activation"]] + noise(point, seed)


def interaction(point, seed):
    # relu is best when shallow, tanh when deep; on average there is nothing between them.
    slope = {"relu": -0.01, "sigmoid": 0.0, "tanh": 0.01}[point["activation"]]
    return 0.93 + slope * (DEPTHS.index(point["depth"]) - 1) + noise(point, seed)


class Told:
    """The verdict on a made-up experiment, and its scores `[depth, activation, seed]` to check it with."""

    def __init__(self, folder, score, seeds=5, **tables):
        sweep = made_up_sweep(axes=AXES, seeds=list(range(seeds)), **tables)
        experiment = write_experiment(folder / "e", score, rng=np.random.default_rng(0), sweep=sweep)
        self.analysis = analyse(read_records(experiment), np.random.default_rng(0))
        self.sentences = {sentence.topic: sentence for sentence in verdict(self.analysis)}
        self.details = {sentence.topic: sentence for sentence in details(self.analysis)}
        self.scores = np.array(
            [
                [[score({"depth": d, "activation": a, "loss": "hinge"}, s) for s in range(seeds)] for a in ACTIVATIONS]
                for d in DEPTHS
            ]
        )
        self.means = self.scores.mean(axis=2)

    def numbers(self, topic):
        return self.sentences[topic].numbers

    def text(self, topic):
        return self.sentences[topic].text

    def check(self):
        """What holds for every complete experiment of several seeds."""
        assert list(self.sentences) == ["selected", "others", "axes"]
        self.check_selection()
        self.check_test_accuracy()
        self.check_factors()
        self.check_more()
        self.check_numerals()

    def check_selection(self):
        depth, activation = np.unravel_index(self.means.argmax(), self.means.shape)
        name = f"{DEPTHS[depth]} {ACTIVATIONS[activation]}"
        numbers = self.numbers("selected")
        assert numbers["name"] == name
        assert self.text("selected").startswith(f"{bold(name)} is selected: its validation accuracy")
        assert numbers["mean"] == pytest.approx(self.means.max())
        assert numbers["seeds"] == self.scores.shape[2]
        assert numbers["configurations"] == 9
        gap = np.diff(np.sort(self.means.ravel())[-2:])[0]
        assert self.numbers("others")["gap"] == pytest.approx(gap)

    def check_test_accuracy(self):
        numbers = self.numbers("selected")
        test = self.analysis.selected.configuration.scores("test_accuracy")
        assert numbers["test"] == pytest.approx(test.mean())
        assert numbers["low"] < test.min()
        assert numbers["high"] > test.max()
        assert "test accuracy, looked at only after the choice, is" in self.text("selected")
        assert self.details["test"].numbers == {"seeds": len(test), "images": 400}

    def check_factors(self):
        total = ((self.scores - self.scores.mean()) ** 2).sum()
        numbers = self.details["factors"].numbers
        for axis, names, averaged in (("depth", DEPTHS, (1, 2)), ("activation", ACTIVATIONS, (0, 2))):
            levels = self.scores.mean(axis=averaged)
            assert numbers[f"span_{axis}"] == pytest.approx(np.ptp(levels))
            assert (numbers[f"worst_{axis}"], numbers[f"best_{axis}"]) == (
                names[levels.argmin()],
                names[levels.argmax()],
            )
            share = 3 * self.scores.shape[2] * ((levels - levels.mean()) ** 2).sum() / total
            assert numbers[f"share_{axis}"] == pytest.approx(share)
            for bound in ("span", "worst", "best", "low", "high"):
                assert (
                    self.numbers("axes").get(f"{bound}_{axis}", numbers[f"{bound}_{axis}"])
                    == (numbers[f"{bound}_{axis}"])
                )

    def check_more(self):
        table = self.scores.reshape(9, -1)
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        sd = math.sqrt(2 * (residuals**2).sum() / (8 * (table.shape[1] - 1)))
        needed = TTestPower().solve_power(effect_size=0.001 / sd, alpha=0.05, power=0.8)
        assert self.numbers("axes")["needed"] == math.ceil(needed)
        assert self.numbers("axes")["more"] == math.ceil(needed) - table.shape[1]
        assert self.details["more"].numbers["needed"] == math.ceil(needed)

    def check_numerals(self):
        """Every numeral of a sentence is one of its numbers."""
        for sentence in [*self.sentences.values(), *self.details.values()]:
            check_numerals(sentence)


def check_numerals(sentence):
    text = sentence.text.replace("under 1 %", "").replace("p < 0.001", "")
    known = set()
    for value in sorted(sentence.numbers.values(), key=lambda value: -len(str(value))):
        if isinstance(value, str):
            text = text.replace(value, "")
            continue
        known |= {percent(value), points(value), p_text(value).lstrip("< "), f"{value:,}", f"{100 * value:.0f}"}
    numerals = set(re.findall(r"−?\d[\d,.]*\d|\d", text))
    assert numerals <= known, (sentence.text, numerals - known)


def test_a_clear_winner_is_called_better_than_each_other(tmp_path):
    told = Told(tmp_path, clear_winner)
    told.check()
    assert told.numbers("others")["together"] == 0
    assert told.text("others").startswith("It is better than each of the other 8 (95 % confidence")
    assert told.numbers("others")["p_worse"] < 0.001
    assert "together" not in told.details


def test_an_average_that_hides_one_combination_says_so(tmp_path):
    told = Told(tmp_path, clear_winner)
    # Nine cells of which one is 5 points above: of the variation two eighths are depth's, two activation's, four both.
    assert "but depth and activation act in combination (50 % of all variation, " in told.text("axes")
    assert told.numbers("axes")["share_alone"] == pytest.approx(25, abs=1)


def test_axes_that_are_not_shown_to_differ_are_put_in_no_order(tmp_path):
    told = Told(tmp_path, clear_winner)
    numbers = told.numbers("axes")
    assert min(numbers["high_depth"], numbers["high_activation"]) > max(numbers["low_depth"], numbers["low_activation"])
    assert f"{bold('depth')} and {bold('activation')} matter most" in told.text("axes")
    assert "in which order is not shown" in told.text("axes")


def test_a_tie_is_called_one(tmp_path):
    told = Told(tmp_path, tie)
    told.check()
    numbers = told.numbers("others")
    assert (numbers["others"], numbers["together"], numbers["worse"]) == (8, 1, 7)
    other = {"deep relu": "deep sigmoid", "deep sigmoid": "deep relu"}[told.numbers("selected")["name"]]
    behind = points(numbers["farthest"])
    assert numbers["farthest"] == numbers["gap"]
    assert told.text("others").startswith(f"It cannot be told apart from 1 of the other 8 ({other}; {behind} points")
    assert "better than" not in told.text("others")
    assert told.details["together"].text == f"Not told apart from it, with points behind: {other} ({behind})."
    assert f"{bold('depth')} matters most" in told.text("axes")
    assert told.numbers("axes")["low_depth"] > told.numbers("axes")["high_activation"]


def test_the_only_factor_that_matters_is_named_alone(tmp_path):
    told = Told(tmp_path, one_factor)
    told.check()
    assert f"only {bold('activation')} is shown to matter" in told.text("axes")
    assert "depth is not shown to matter" in told.details["factors"].text
    numbers = told.numbers("axes")
    assert (numbers["worst_activation"], numbers["best_activation"]) == ("sigmoid", "relu")
    assert numbers["low_activation"] < 0.04 < numbers["high_activation"]
    assert numbers["low_depth"] == 0
    assert "interaction" not in told.details
    assert "in combination" not in told.text("axes")


def test_an_interaction_is_told_so_that_averages_do_not_mislead(tmp_path):
    told = Told(tmp_path, interaction)
    told.check()
    assert "none is shown to matter on average, but which activation is best depends on depth" in told.text("axes")
    numbers = told.details["interaction"].numbers
    at, other_at = DEPTHS.index(numbers["at"]), DEPTHS.index(numbers["other_at"])
    better, worse = ACTIVATIONS.index(numbers["better"]), ACTIVATIONS.index(numbers["worse"])
    assert (numbers["factor"], numbers["other"]) == ("activation", "depth")
    assert {numbers["better"], numbers["worse"]} == {"relu", "tanh"}
    assert numbers["lead"] == pytest.approx(told.means[at, better] - told.means[at, worse])
    assert numbers["other_lead"] == pytest.approx(told.means[other_at, worse] - told.means[other_at, better])
    assert min(numbers["lead"], numbers["other_lead"]) > 0.015
    assert "matters most" not in told.text("axes")


def test_one_seed_claims_nothing_about_differences(tmp_path):
    told = Told(tmp_path, clear_winner, seeds=1)
    told.check_selection()
    told.check_numerals()
    assert "mean" not in told.text("selected")
    assert "without an interval" in told.text("selected")
    assert told.text("others").startswith("Whether it is better than the others cannot be said (one common seed")
    assert told.text("axes").startswith("Which axis matters most cannot be said (one seed")
    assert "not tested (one seed" in told.details["factors"].text
    assert told.details["more"].text == "How many more seeds would resolve 0.10 points cannot be said: " + (
        "the spread between seeds is unknown."
    )
    whole = " ".join(sentence.text for sentence in [*told.sentences.values(), *told.details.values()])
    for claim in ("interval 9", "is better than each", "matter most", "shown to", "worse ("):
        assert claim not in whole


def test_training_accuracy_is_called_what_it_is(tmp_path):
    told = Told(tmp_path, clear_winner, selection="train_accuracy", validation_size=0)
    assert "training accuracy (on the very images it was trained with)" in told.text("selected")


def test_an_unfinished_experiment_says_so_before_anything_else(tmp_path):
    experiment = write_experiment(
        tmp_path / "e",
        clear_winner,
        rng=np.random.default_rng(0),
        missing=["deep-relu-hinge", "deep-tanh-hinge"],
        failed=["shallow-relu-hinge"],
    )
    analysis = analyse(read_records(experiment), np.random.default_rng(0))
    first, selected = verdict(analysis)[:2]
    assert first.text.startswith(bold("INCOMPLETE 24/27: 1 failed and 2 not finished."))
    assert "the largest of 15 configurations that can be compared" in selected.text
    left_out = {sentence.topic: sentence for sentence in details(analysis)}["left_out"]
    assert left_out.text.startswith("Not compared are 3 of 27 grid points: shallow relu hinge (failed: RuntimeError")
    check_numerals(left_out)


def test_twins_are_named_together_and_counted_once(tmp_path):
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0))
    analysis = analyse(read_records(experiment), np.random.default_rng(0))
    assert verdict(analysis)[0].text.startswith(f"{bold('deep relu cross_entropy = sparse_cross_entropy')} is selected")
    assert "the largest of 18 configurations, and" in verdict(analysis)[0].text
    assert details(analysis)[0].text.startswith("The 27 grid points are 18 configurations")


def test_seeds_that_only_some_grid_points_have_are_named_and_not_used(tmp_path):
    """After `--extend` with more seeds for one depth only."""

    def added(point):
        return {"deep": (5, 6), "medium": (5,)}.get(point["depth"], ())

    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(tmp_path / "e", tie, rng=np.random.default_rng(0), sweep=sweep, added_seeds=added)
    analysis = analyse(read_records(experiment), np.random.default_rng(0))
    assert analysis.grid.seeds == (0, 1, 2, 3, 4)
    assert analysis.grid.unused_seeds == {5: 6, 6: 3}
    sentence = {sentence.topic: sentence for sentence in details(analysis)}["seeds"]
    assert sentence.text == (
        "Not used are seed 5 (in 6 of 9 grid points) and seed 6 (in 3 of 9 grid points): only seeds that all share are "
        "compared."
    )
    check_numerals(sentence)
    assert sentence.text in [block.text for block in ranking_section(analysis).blocks if isinstance(block, Paragraph)]
    # The same numbers as without them.
    plain = write_experiment(tmp_path / "plain", tie, rng=np.random.default_rng(0), sweep=sweep)
    without = analyse(read_records(plain), np.random.default_rng(0))
    assert [entry.scores for entry in analysis.entries] == [entry.scores for entry in without.entries]


@pytest.mark.parametrize(("tied", "place"), [(9, "the same for all 9 configurations"), (3, "the largest of 9 configu")])
def test_equal_scores_are_called_equal_and_who_decided_is_said(tmp_path, tied, place):
    def score(point, seed):
        return 0.9 if tied == 9 or point["depth"] == "deep" else 0.8

    told = Told(tmp_path, score)
    told.check_numerals()
    assert told.numbers("selected")["tied"] == tied
    text = told.text("selected")
    assert f"is selected as the first of {tied} with the same score, in the order of the grid: its valid" in text
    assert place in text
    expected = [1] * tied + [tied + 1] * (9 - tied)
    assert [entry.rank for entry in told.analysis.entries] == expected
    (table, *_) = [block for block in ranking_section(told.analysis).blocks if isinstance(block, Table)]
    assert table.shown["rank"].tolist() == [str(rank) for rank in expected]
    assert table.exact["rank"].tolist() == expected
    # Whoever is named to be compared with is another one, though of the same rank.
    assert all(pair.entry is not told.analysis.selected for pair in told.analysis.pairs)
    assert told.analysis.pairs[0].why == "second in the ranking"
    assert told.analysis.pairs[0].entry is told.analysis.entries[1]


def test_only_the_selected_may_be_without_equals(tmp_path):
    told = Told(tmp_path, clear_winner)
    assert told.numbers("selected")["tied"] == 1
    assert "first of" not in told.text("selected")
