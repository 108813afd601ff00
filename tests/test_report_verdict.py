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
from sweep.report.formats import p_text, percent, points
from sweep.report.verdict import verdict

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

    def check_selection(self):
        depth, activation = np.unravel_index(self.means.argmax(), self.means.shape)
        name = f"{DEPTHS[depth]} {ACTIVATIONS[activation]}"
        numbers = self.numbers("selected")
        assert numbers["name"] == name
        assert self.text("selected").startswith(f"**{name}** is selected")
        assert numbers["mean"] == pytest.approx(self.means.max())
        assert numbers["configurations"] == 9
        gap = np.diff(np.sort(self.means.ravel())[-2:])[0]
        assert self.numbers("others")["gap"] == pytest.approx(gap)

    def check_test_accuracy(self):
        numbers = self.numbers("test")
        test = self.analysis.selected.configuration.scores("test_accuracy")
        assert numbers["mean"] == pytest.approx(test.mean())
        assert numbers["low"] < test.min()
        assert numbers["high"] > test.max()
        assert "looked at only after the choice" in self.text("test")

    def check_factors(self):
        total = ((self.scores - self.scores.mean()) ** 2).sum()
        for axis, averaged in (("depth", (1, 2)), ("activation", (0, 2))):
            levels = self.scores.mean(axis=averaged)
            assert self.numbers("factors")[f"span_{axis}"] == pytest.approx(np.ptp(levels))
            share = 3 * self.scores.shape[2] * ((levels - levels.mean()) ** 2).sum() / total
            assert self.numbers("factors")[f"share_{axis}"] == pytest.approx(share)

    def check_more(self):
        table = self.scores.reshape(9, -1)
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        sd = math.sqrt(2 * (residuals**2).sum() / (8 * (table.shape[1] - 1)))
        needed = TTestPower().solve_power(effect_size=0.001 / sd, alpha=0.05, power=0.8)
        assert self.numbers("more")["needed"] == math.ceil(needed)
        assert self.numbers("more")["more"] == math.ceil(needed) - table.shape[1]

    def check_numerals(self):
        """Every numeral of a sentence is one of its numbers."""
        for sentence in self.sentences.values():
            text = sentence.text.replace("under 1 %", "").replace("p < 0.001", "")
            known = set()
            for value in sentence.numbers.values():
                if isinstance(value, str):
                    text = text.replace(value, "")
                    continue
                known |= {percent(value), points(value), p_text(value).lstrip("< "), f"{value:,}", f"{100 * value:.0f}"}
            numerals = set(re.findall(r"−?\d[\d,.]*\d|\d", text))
            assert numerals <= known, (sentence.text, numerals - known)


def test_a_clear_winner_is_called_better_than_each_other(tmp_path):
    told = Told(tmp_path, clear_winner)
    told.check_selection()
    told.check_test_accuracy()
    told.check_factors()
    told.check_more()
    told.check_numerals()
    assert told.numbers("others")["together"] == 0
    assert told.text("others").startswith("It is better than each of the other 8 (95 % confidence")
    assert told.numbers("others")["p_worse"] < 0.001


def test_a_tie_is_called_one(tmp_path):
    told = Told(tmp_path, tie)
    told.check_selection()
    told.check_test_accuracy()
    told.check_factors()
    told.check_more()
    told.check_numerals()
    assert told.numbers("others")["together"] == 1
    assert told.numbers("others")["worse"] == 7
    other = {"deep relu": "deep sigmoid", "deep sigmoid": "deep relu"}[told.numbers("selected")["name"]]
    assert told.text("others").startswith(f"It cannot be told apart from 1 other: {other} (")
    assert "better than" not in told.text("others")


def test_the_only_factor_that_matters_is_named_alone(tmp_path):
    told = Told(tmp_path, one_factor)
    told.check_selection()
    told.check_factors()
    told.check_more()
    told.check_numerals()
    assert "only **activation** is shown to matter" in told.text("factors")
    assert "depth is not shown to matter" in told.text("factors")
    assert (told.numbers("factors")["worst_activation"], told.numbers("factors")["best_activation"]) == (
        "sigmoid",
        "relu",
    )
    assert told.numbers("factors")["low_activation"] < 0.04 < told.numbers("factors")["high_activation"]
    assert "interaction" not in told.sentences


def test_an_interaction_is_told_so_that_averages_do_not_mislead(tmp_path):
    told = Told(tmp_path, interaction)
    told.check_selection()
    told.check_factors()
    told.check_more()
    told.check_numerals()
    numbers = told.numbers("interaction")
    at, other_at = DEPTHS.index(numbers["at"]), DEPTHS.index(numbers["other_at"])
    better, worse = ACTIVATIONS.index(numbers["better"]), ACTIVATIONS.index(numbers["worse"])
    assert (numbers["factor"], numbers["other"]) == ("activation", "depth")
    assert {numbers["better"], numbers["worse"]} == {"relu", "tanh"}
    assert numbers["lead"] == pytest.approx(told.means[at, better] - told.means[at, worse])
    assert numbers["other_lead"] == pytest.approx(told.means[other_at, worse] - told.means[other_at, better])
    assert min(numbers["lead"], numbers["other_lead"]) > 0.015
    assert "matters most" not in told.text("factors")


def test_one_seed_claims_nothing_about_differences(tmp_path):
    told = Told(tmp_path, clear_winner, seeds=1)
    told.check_selection()
    told.check_numerals()
    assert "mean" not in told.text("selected")
    assert "without an interval" in told.text("test")
    assert told.text("others").startswith("Whether it is better than the others cannot be said (one common seed")
    assert "which is not tested (one seed" in told.text("factors")
    assert told.text("more") == "How many more seeds would resolve 0.10 points cannot be said: " + (
        "the spread between seeds is unknown."
    )
    whole = " ".join(sentence.text for sentence in told.sentences.values())
    for claim in ("interval 9", "is better than each", "matters", "shown to", "worse ("):
        assert claim not in whole


def test_training_accuracy_is_called_what_it_is(tmp_path):
    told = Told(tmp_path, clear_winner, selection="train_accuracy", validation_size=0)
    assert "accuracy on the images it was trained with" in told.text("selected")


def test_an_unfinished_experiment_says_so_before_anything_else(tmp_path):
    experiment = write_experiment(
        tmp_path / "e",
        clear_winner,
        rng=np.random.default_rng(0),
        missing=["deep-relu-hinge", "deep-tanh-hinge"],
        failed=["shallow-relu-hinge"],
    )
    first = verdict(analyse(read_records(experiment), np.random.default_rng(0)))[0]
    assert first.text.startswith("**INCOMPLETE 24/27: 1 failed and 2 not finished.**")


def test_twins_are_named_together_and_counted_once(tmp_path):
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0))
    sentences = verdict(analyse(read_records(experiment), np.random.default_rng(0)))
    assert "**deep relu cross_entropy = sparse_cross_entropy** is selected" in sentences[0].text
    assert "the largest of 18 configurations (27 grid points, twins counted once)" in sentences[0].text
