"""Whoever reads only the verdict is not misled: every sentence is traced to numbers worked out here anew."""

import dataclasses
import hashlib
import math
import re

import numpy as np
import pandas as pd
import pytest
from made_up import made_up_sweep, write_experiment
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.power import TTestPower

from sweep.metrics import confusion_matrix
from sweep.records import Experiment, read_state
from sweep.report import write_report
from sweep.report.analysis import analyse
from sweep.report.detail import details
from sweep.report.document import Paragraph, Table
from sweep.report.formats import numeral, p_text, percent, points
from sweep.report.ranking import ranking_section
from sweep.report.verdict import verdict
from sweep.storage import LocalStorage
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
        self.analysis = analyse(read_state(experiment), np.random.default_rng(0))
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
        assert list(self.sentences) == ["selected", "others", "axes", "scope"]
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
        assert numbers["test"] == pytest.approx(test.mean() - numbers.get("optimism", 0), abs=1e-4)
        assert numbers["low"] < test.min()
        assert numbers["high"] > test.max()
        assert "test accuracy, looked at only after the choice" in self.text("selected")
        # Shrunken towards the mean of its rivals by the share of their differences that chance explains.
        table = self.scores.reshape(9, -1)
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        chance = (residuals**2).sum() / (8 * (table.shape[1] - 1)) / table.shape[1]
        rivals = np.array([entry.score.estimate for entry in self.analysis.entries if entry.in_best_set])
        k = len(rivals)
        kept = max(0, 1 - (k - 3) / (k - 1) * chance / rivals.var(ddof=1)) if k > 3 else 1
        assert numbers["expected"] == pytest.approx(rivals.mean() + kept * (self.means.max() - rivals.mean()))
        assert numbers["mean_low"] < numbers["expected"] < numbers["mean_high"]
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
        ends = [sd * math.sqrt(32 / stats.chi2.isf(tail, 32)) for tail in (0.05, 0.95)]
        needed = [TTestPower().solve_power(effect_size=0.001 / end, alpha=0.05, power=0.8) for end in ends]
        numbers = self.numbers("axes")
        assert needed[0] <= numbers["needed_low"] <= 1.1 * needed[0] + 1
        assert needed[1] <= numbers["needed_high"] <= 1.1 * needed[1] + 1

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
        known |= {numeral(value)}
    numerals = set(re.findall(r"−?\d[\d,.]*\d|\d", text))
    assert numerals <= known, (sentence.text, numerals - known)


def test_a_clear_winner_is_called_better_than_each_other(tmp_path):
    told = Told(tmp_path, clear_winner)
    told.check()
    assert told.numbers("others")["together"] == 0
    assert told.text("others").startswith("It is shown to be better than each of the other 8 (95 % confidence")
    assert told.numbers("others")["p_worse"] < 0.001
    assert "together" not in told.details


def test_an_average_that_hides_one_combination_says_so(tmp_path):
    told = Told(tmp_path, clear_winner)
    # Nine cells of which one is 5 points above: of the variation two eighths are depth's, two activation's, four both.
    assert "but depth and activation act in combination (50 % of the variation in this sample, " in told.text("axes")
    assert told.numbers("axes")["share_alone"] == pytest.approx(25, abs=1)


def test_axes_that_are_not_shown_to_differ_are_put_in_no_order(tmp_path):
    told = Told(tmp_path, clear_winner)
    numbers = told.numbers("axes")
    assert min(numbers["high_depth"], numbers["high_activation"]) > max(numbers["low_depth"], numbers["low_activation"])
    assert told.analysis.claimed("axis")
    assert not told.analysis.claimed("most")
    assert f"{bold('depth')} and {bold('activation')} are shown to matter (" in told.text("axes")
    assert "none of them most" in told.text("axes")


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
    assert {claim.subject[0] for claim in told.analysis.claimed("worse")} == {
        entry.name for entry in told.analysis.entries[2:]
    }
    # Ranks and the best set never contradict each other.
    assert [entry.ranks[0] == 1 for entry in told.analysis.entries] == [True, True] + [False] * 7
    assert told.details["together"].text == f"Not told apart from it, with points behind: {other} ({behind})."
    assert f"{bold('depth')} matters most" in told.text("axes")
    assert told.numbers("axes")["low_depth"] > told.numbers("axes")["high_activation"]


def test_the_only_factor_that_matters_is_named_alone(tmp_path):
    told = Told(tmp_path, one_factor)
    told.check()
    assert f"{bold('activation')} matters most" in told.text("axes")
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


def test_one_seed_claims_nothing(tmp_path):
    told = Told(tmp_path, clear_winner, seeds=1)
    told.check_numerals()
    assert list(told.sentences) == ["selected"]
    assert f"{bold('deep relu')} has the validation accuracy" in told.text("selected")
    assert "the largest of 9 single runs" in told.text("selected")
    assert told.analysis.claims == ()
    out = tmp_path / "out"
    write_report([read_state(Experiment(LocalStorage(tmp_path / "e")))], out)
    # Not on the whole page: no word that compares, no confidence, no interval, nobody shaded.
    text = (out / "README.md").read_text()
    for word in ("best", "better", "worse", "confidence", "interval", "matters", "p <", "p =", "95 %"):
        assert not re.search(rf"\b{re.escape(word)}", text.lower()), (word, text)
    assert 'class="marked"' not in (out / "report.html").read_text()


def test_two_seeds_are_provisional(tmp_path):
    told = Told(tmp_path, clear_winner, seeds=2)
    told.check_numerals()
    assert told.analysis.claimed("worse")
    assert all(claim.provisional for claim in told.analysis.claims)
    assert "provisional" in told.text("others")
    assert "95 % confidence" not in told.text("others")


def test_an_unfinished_experiment_claims_only_provisionally(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    written = {
        "rng": np.random.default_rng(0),
        "sweep": sweep,
        "missing": ["shallow-tanh-hinge"],
    }
    experiment = write_experiment(tmp_path / "e", clear_winner, **written)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    assert analysis.claimed("worse")
    assert all(claim.provisional for claim in analysis.claims)


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
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    first, selected = verdict(analysis)[:2]
    assert first.text.startswith(bold("INCOMPLETE 24/27: 1 failed and 2 not finished."))
    assert "the largest of 15 configurations that can be compared" in selected.text
    left_out = {sentence.topic: sentence for sentence in details(analysis)}["left_out"]
    assert left_out.text.startswith("Not compared are 3 of 27 grid points: shallow relu hinge (failed: RuntimeError")
    check_numerals(left_out)


def test_twins_are_named_together_and_counted_once(tmp_path):
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0))
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    assert verdict(analysis)[0].text.startswith(f"{bold('deep relu cross_entropy = sparse_cross_entropy')} is selected")
    assert "the largest of 18 configurations (" in verdict(analysis)[0].text
    assert details(analysis)[0].text.startswith("The 27 grid points are 18 configurations")


def test_scores_that_are_missing_by_accident_leave_all_others_in(tmp_path):
    """After `--extend` with more seeds for one depth only."""

    def added(point):
        return {"deep": (5, 6), "medium": (5,)}.get(point["depth"], ())

    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(tmp_path / "e", tie, rng=np.random.default_rng(0), sweep=sweep, added_seeds=added)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    assert analysis.grid.seeds == (0, 1, 2, 3, 4, 5, 6)
    assert [entry.score.n for entry in analysis.entries][:2] == [7, 7]
    assert analysis.grid.missing == 3 * 2 + 3
    sentence = {sentence.topic: sentence for sentence in details(analysis)}["missing"]
    assert sentence.numbers == {"missing": 9, "scores": 63}
    check_numerals(sentence)
    assert sentence.text in [block.text for block in ranking_section(analysis).blocks if isinstance(block, Paragraph)]
    # Least squares with a term for each configuration and seed.
    frame = pd.DataFrame(
        {"point": entry.name, "seed": seed, "score": score}
        for entry in analysis.entries
        for seed, score in zip(analysis.grid.seeds, entry.scores, strict=True)
        if np.isfinite(score)
    )
    fitted = ols("score ~ C(point) + C(seed)", frame).fit()
    for entry in analysis.entries:
        cells = pd.DataFrame({"point": entry.name, "seed": analysis.grid.seeds})
        assert entry.score.estimate == pytest.approx(fitted.predict(cells).mean())


def test_a_replicate_that_diverged_is_an_outcome_and_not_missing(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    lost = [("deep-relu-hinge", 1), ("deep-relu-hinge", 3), ("medium-tanh-hinge", 0)]
    written = {"rng": np.random.default_rng(0), "sweep": sweep, "diverged": lost}
    experiment = write_experiment(tmp_path / "e", clear_winner, **written)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    # The largest mean of all, if only the seeds that did not diverge counted.
    assert "deep relu" not in [entry.name for entry in analysis.entries]
    shares = {claim.subject[0]: (claim.low, claim.high) for claim in analysis.claimed("diverges")}
    assert shares.keys() == {"deep relu", "medium tanh"}
    assert shares["deep relu"] == pytest.approx(stats.binomtest(2, 5).proportion_ci(1 - 0.05 / 9), rel=1e-9)
    told = {sentence.topic: sentence for sentence in verdict(analysis)}
    assert "deep relu diverged in 2 of 5 seeds" in told["doubts"].text
    check_numerals(told["doubts"])
    # Means over what is left of a level would flatter it, so nothing is claimed about axes.
    assert not analysis.claimed("axis")
    assert "diverged" in told["axes"].text
    (table,) = [block for block in ranking_section(analysis).blocks if getattr(block, "name", "") == "diverged"]
    assert table.shown["diverged"].tolist() == ["1 of 5 seeds", "2 of 5 seeds"]


def test_a_level_that_diverges_everywhere_leaves_the_axes_of_the_rest(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    lost = [(f"{depth}-tanh-hinge", seed) for depth in DEPTHS for seed in range(5)]
    experiment = write_experiment(tmp_path / "e", one_factor, rng=np.random.default_rng(0), sweep=sweep, diverged=lost)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    assert [claim.subject for claim in analysis.claimed("axis")] == [("activation",)]
    assert len(analysis.grid.diverged) == 3


def test_looks_are_counted_and_paid_for(tmp_path):
    sweep = made_up_sweep(axes=AXES)

    def look(number):
        seeds = [(), (5, 6), (7,)][: number - 1]
        experiment = write_experiment(
            tmp_path / str(number),
            tie,
            rng=np.random.default_rng(0),
            sweep=sweep,
            added_seeds=lambda point: seeds[-1] if seeds else (),
        )
        return analyse(read_state(experiment), np.random.default_rng(0))

    first, second = look(1), look(3)
    assert (first.comparisons.looks, second.comparisons.looks) == (1, 2)
    assert second.comparisons.limit < first.comparisons.limit
    scope = {sentence.topic: sentence for sentence in verdict(second)}["scope"]
    assert scope.numbers["looks"] == 2
    assert "look 2" in scope.text
    check_numerals(scope)
    # Writing a report again is no look.
    assert look(1).comparisons.looks == 1


def planned(tmp_path, score, **keys):
    sweep = made_up_sweep(axes=AXES, **keys)
    experiment = write_experiment(tmp_path / "e", score, rng=np.random.default_rng(0), sweep=sweep)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    return analysis, {sentence.topic: sentence for sentence in verdict(analysis)}["plans"]


def test_pairs_named_beforehand_have_their_own_test(tmp_path):
    pairs = [["medium-relu", "medium-sigmoid"], ["deep-tanh", "deep-relu"]]
    analysis, told = planned(tmp_path, one_factor, compare=pairs, seeds=list(range(7)))
    check_numerals(told)
    assert [claim.subject for claim in analysis.claimed("named")] == [
        ("medium relu", "medium sigmoid"),
        ("deep relu", "deep tanh"),
    ]
    d = analysis.grid.goodness[3] - analysis.grid.goodness[4]
    n, t, v = len(d), d.sum(), (d**2).sum()
    assert analysis.named[0].pair.e_value == pytest.approx(
        (n + 1) ** -0.5 * ((n + 1) * v / ((n + 1) * v - t**2)) ** (n / 2)
    )
    assert analysis.named[0].pair.needed == pytest.approx(40)


def test_a_baseline_is_compared_with_all_others(tmp_path):
    analysis, told = planned(tmp_path, clear_winner, baseline={"depth": "shallow", "activation": "relu"})
    check_numerals(told)
    assert [claim.subject for claim in analysis.claimed("baseline")] == [("deep relu", "shallow relu")]
    assert len(analysis.baseline.p_better) == 8


def confirmed(tmp_path, score, finalists, **written):
    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(
        tmp_path / "e", score, rng=np.random.default_rng(0), sweep=sweep, finalists=finalists, **written
    )
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    told = {sentence.topic: sentence for sentence in verdict(analysis)}["confirmed"]
    check_numerals(told)
    return analysis, told


def test_fresh_seeds_alone_confirm_the_selected_one(tmp_path):
    names = ["deep-relu-hinge", "medium-relu-hinge", "shallow-tanh-hinge"]
    analysis, told = confirmed(tmp_path, clear_winner, names)
    assert [claim.subject for claim in analysis.claimed("confirmed")] == [
        ("deep relu", "medium relu"),
        ("deep relu", "shallow tanh"),
    ]
    fresh = [clear_winner({"depth": "deep", "activation": "relu"}, 2**62 + seed) for seed in range(5)]
    ends = stats.t.interval(0.95, 4, np.mean(fresh), stats.sem(fresh))
    assert told.numbers["mean"] == pytest.approx(np.mean(fresh))
    assert (told.numbers["mean_low"], told.numbers["mean_high"]) == pytest.approx(ends)
    # They take no part in the ranking, in looks, or in anything else.
    plain = write_experiment(
        tmp_path / "plain", clear_winner, rng=np.random.default_rng(0), sweep=made_up_sweep(axes=AXES)
    )
    without = analyse(read_state(plain), np.random.default_rng(0))
    assert [entry.score for entry in analysis.entries] == [entry.score for entry in without.entries]
    assert analysis.comparisons.looks == 1
    assert [claim for claim in analysis.claims if claim.kind != "confirmed"] == list(without.claims)


def test_what_fresh_seeds_do_not_show_is_not_confirmed(tmp_path):
    def lucky(point, seed):
        return (
            0.95
            + noise(point, seed)
            + (0.01 if (point["depth"], point["activation"], seed < 9) == ("deep", "relu", True) else 0)
        )

    analysis, told = confirmed(tmp_path, lucky, ["deep-relu-hinge", "medium-relu-hinge"])
    assert analysis.selected.name == "deep relu"
    assert analysis.claimed("worse")
    assert not analysis.claimed("confirmed")
    assert "not confirmed" in told.text


def test_a_confirmation_of_one_finalist_gives_its_number(tmp_path):
    analysis, told = confirmed(tmp_path, clear_winner, ["deep-relu-hinge"])
    assert not analysis.claimed("confirmed")
    assert told.numbers["mean_low"] < told.numbers["mean"] < told.numbers["mean_high"]


def test_two_fresh_seeds_confirm_provisionally(tmp_path):
    names = ["deep-relu-hinge", "medium-relu-hinge", "shallow-tanh-hinge"]
    analysis, _ = confirmed(tmp_path, clear_winner, names, fresh_seeds=2)
    assert analysis.claimed("confirmed")
    assert all(claim.provisional for claim in analysis.claimed("confirmed"))


def without_class(experiment, trial_id, seeds, label):
    """Lets the models of some seeds of a trial take one class for another."""
    predictions, y_true = experiment.read_predictions(trial_id), experiment.read_test_split()[1]
    y_pred = predictions.y_pred.copy()
    y_pred[seeds] = np.where(y_pred[seeds] == label, (label + 1) % 10, y_pred[seeds])
    confusion = np.stack([confusion_matrix(y_true, row, 10) for row in y_pred])
    experiment.write_predictions(trial_id, dataclasses.replace(predictions, y_pred=y_pred, test_confusion=confusion))


def test_classes_that_a_model_never_predicts_are_said(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0), sweep=sweep)
    ids = {(t.depth, t.activation): t.trial_id for t in experiment.read_manifest().trials}
    without_class(experiment, ids["deep", "relu"], [1, 4], 7)
    without_class(experiment, ids["deep", "tanh"], [0], 3)
    analysis = analyse(read_state(experiment), np.random.default_rng(0))
    told = {sentence.topic: sentence for sentence in verdict(analysis)}["doubts"]
    assert told.numbers == {"seeds": 5, "concerned": 2, "classes": "class 7"}
    assert "never predicts class 7 in 2 of 5 seeds" in told.text
    check_numerals(told)
    note = {sentence.topic: sentence for sentence in details(analysis)}["never_predicted"]
    assert note.numbers == {"others": 8, "concerned": 1}
    check_numerals(note)


def test_a_class_without_test_images_is_not_called_one_that_is_never_predicted(tmp_path):
    y_true = np.arange(400) % 9
    experiment = write_experiment(
        tmp_path / "e",
        clear_winner,
        rng=np.random.default_rng(0),
        sweep=made_up_sweep(axes=AXES),
        test_split=(np.zeros((400, 8, 8), dtype=np.uint8), y_true),
    )
    topics = [sentence.topic for sentence in verdict(analyse(read_state(experiment), np.random.default_rng(0)))]
    assert topics == ["selected", "others", "axes", "scope"]


def test_what_looks_wrong_in_the_data_is_said_in_the_verdict(tmp_path):
    experiment = write_experiment(tmp_path / "e", tie, rng=np.random.default_rng(0), sweep=made_up_sweep(axes=AXES))
    manifest = experiment.read_manifest()
    doubts = ("class 3 has no test images", "values look unscaled: the largest is 255")
    dataset = dataclasses.replace(manifest.dataset, doubts=doubts, values="float64 from 0 to 255")
    experiment.write_manifest(dataclasses.replace(manifest, dataset=dataset))
    told = verdict(analyse(read_state(experiment), np.random.default_rng(0)))[-1]
    assert told.topic == "doubts"
    assert all(doubt in told.text for doubt in doubts)
    check_numerals(told)


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
