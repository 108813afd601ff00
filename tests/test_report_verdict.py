"""Whoever reads only the verdict is not misled: what it rests on is worked out here anew."""

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

from sweep.records import Experiment, read_state
from sweep.report import write_report
from sweep.report.analysis import analyse
from sweep.report.document import Paragraph, Table
from sweep.report.ranking import ranking_section
from sweep.report.text import bold
from sweep.report.verdict import details, seeds_needed, verdict
from sweep.storage import LocalStorage
from sweep.tasks import TASKS
from sweep.tasks.classification import confusion_matrix

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
        self.analysis = analyse(read_state(experiment))
        self.verdict, self.details = verdict(self.analysis), details(self.analysis)
        self.scores = np.array(
            [
                [[score({"depth": d, "activation": a, "loss": "hinge"}, s) for s in range(seeds)] for a in ACTIVATIONS]
                for d in DEPTHS
            ]
        )
        self.means = self.scores.mean(axis=2)

    @property
    def spans(self):
        """What every axis does by its name."""
        return {one.axis: one for one in self.analysis.spans}

    def check(self):
        """What holds for every complete experiment of several seeds."""
        assert list(self.verdict) == ["selected", "others", "axes", "scope"]
        self.check_selection()
        self.check_test_accuracy()
        self.check_factors()
        self.check_more()

    def check_selection(self):
        selected, second = self.analysis.entries[:2]
        depth, activation = np.unravel_index(self.means.argmax(), self.means.shape)
        name, text = f"{DEPTHS[depth]} {ACTIVATIONS[activation]}", self.verdict["selected"]
        assert selected.name == name
        assert selected.score.estimate == pytest.approx(self.means.max())
        assert text.startswith(
            f"{bold(name)} is selected: its validation accuracy, mean over {self.scores.shape[2]} seeds"
        )
        assert f"is {100 * self.means.max():.2f} %, the largest of 9 configurations" in text
        gap = np.diff(np.sort(self.means.ravel())[-2:])[0]
        assert second.behind.estimate == pytest.approx(gap)
        together = [entry.behind.estimate for entry in self.analysis.entries[1:] if entry.in_best_set]
        assert f"{100 * max(together or [gap]):.2f} points behind" in self.verdict["others"]

    def check_test_accuracy(self):
        analysis, text = self.analysis, self.verdict["selected"]
        selected, test, winner = analysis.entries[0], analysis.test, analysis.winner
        tested = selected.configuration.scores(analysis.grid.tested)
        assert test.estimate == pytest.approx(tested.mean() - winner.test_optimism, abs=1e-4)
        assert test.low < tested.min()
        assert test.high > tested.max()
        assert "test accuracy, looked at only after the choice" in text
        assert f"is {100 * test.estimate:.2f} % (95 % interval {100 * test.low:.2f} to {100 * test.high:.2f} %)" in text
        # Shrunken towards the mean of its rivals by the share of their differences that chance explains.
        table = self.scores.reshape(9, -1)
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        chance = (residuals**2).sum() / (8 * (table.shape[1] - 1)) / table.shape[1]
        rivals = np.array([entry.score.estimate for entry in analysis.entries if entry.in_best_set])
        k = len(rivals)
        kept = max(0, 1 - (k - 3) / (k - 1) * chance / rivals.var(ddof=1)) if k > 3 else 1
        assert winner.expected == pytest.approx(rivals.mean() + kept * (self.means.max() - rivals.mean()))
        assert selected.score.low < winner.expected < selected.score.high
        assert f"{100 * winner.expected:.2f} % to be expected with new seeds" in text
        assert f"over {len(tested)} seeds and 400 samples" in self.details["test"]

    def check_factors(self):
        total = ((self.scores - self.scores.mean()) ** 2).sum()
        for axis, names, averaged in (("depth", DEPTHS, (1, 2)), ("activation", ACTIVATIONS, (0, 2))):
            levels, one = self.scores.mean(axis=averaged), self.spans[axis]
            assert one.span.estimate == pytest.approx(np.ptp(levels))
            assert [level.cell for level in one.ends] == [names[levels.argmin()], names[levels.argmax()]]
            assert one.share == pytest.approx(3 * self.scores.shape[2] * ((levels - levels.mean()) ** 2).sum() / total)
            change = (
                f"{axis} {100 * np.ptp(levels):.2f} points from {one.ends[0].cell} to {one.ends[1].cell} (95 % inter"
            )
            assert (change in self.details["factors"]) == (one.span.low > 0)

    def check_more(self):
        table = self.scores.reshape(9, -1)
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        sd = math.sqrt(2 * (residuals**2).sum() / (8 * (table.shape[1] - 1)))
        ends = [sd * math.sqrt(32 / stats.chi2.isf(tail, 32)) for tail in (0.05, 0.95)]
        needed = [TTestPower().solve_power(effect_size=0.001 / end, alpha=0.05, power=0.8) for end in ends]
        (low, high), _ = seeds_needed(self.analysis)
        assert needed[0] <= low <= 1.1 * needed[0] + 1
        assert needed[1] <= high <= 1.1 * needed[1] + 1
        assert f"about {low} to {high} seeds in all would resolve 0.10 points" in self.verdict["axes"]


def test_a_clear_winner_is_called_better_than_each_other(tmp_path):
    told = Told(tmp_path, clear_winner)
    told.check()
    assert told.verdict["others"].startswith("It is shown to be better than each of the other 8 (95 % confidence")
    assert told.analysis.entries[1].p_worse < 0.001
    assert "together" not in told.details


def test_an_average_that_hides_one_combination_says_so(tmp_path):
    told = Told(tmp_path, clear_winner)
    # Nine cells of which one is 5 points above: of the variation two eighths are depth's, two activation's, four both.
    assert "but depth and activation act in combination (50 % of the variation in this sample, " in told.verdict["axes"]
    assert [one.share for one in told.analysis.spans] == pytest.approx([0.25, 0.25], abs=0.01)


def test_axes_that_are_not_shown_to_differ_are_put_in_no_order(tmp_path):
    told = Told(tmp_path, clear_winner)
    spans = [one.span for one in told.analysis.spans]
    assert min(span.high for span in spans) > max(span.low for span in spans)
    assert told.analysis.claimed("axis")
    assert not told.analysis.claimed("most")
    assert f"{bold('depth')} and {bold('activation')} are shown to matter (" in told.verdict["axes"]
    assert "none of them most" in told.verdict["axes"]


def test_a_tie_is_called_one(tmp_path):
    told = Told(tmp_path, tie)
    told.check()
    first, second, *_ = told.analysis.entries
    assert {first.name, second.name} == {"deep relu", "deep sigmoid"}
    other, behind = second.name, told.analysis.metric.difference(second.behind.estimate)
    assert told.verdict["others"].startswith(f"It cannot be told apart from 1 of the other 8 ({other}; {behind} points")
    assert "better than" not in told.verdict["others"]
    assert {claim.subject[0] for claim in told.analysis.claimed("worse")} == {
        entry.name for entry in told.analysis.entries[2:]
    }
    # Ranks and the best set never contradict each other.
    assert [entry.ranks[0] == 1 for entry in told.analysis.entries] == [True, True] + [False] * 7
    assert told.details["together"] == f"Not told apart from it, with points behind: {other} ({behind})."
    assert f"{bold('depth')} matters most" in told.verdict["axes"]
    assert told.spans["depth"].span.low > told.spans["activation"].span.high


def test_the_only_factor_that_matters_is_named_alone(tmp_path):
    told = Told(tmp_path, one_factor)
    told.check()
    assert f"{bold('activation')} matters most" in told.verdict["axes"]
    assert "depth is not shown to matter" in told.details["factors"]
    activation = told.spans["activation"]
    assert [level.cell for level in activation.ends] == ["sigmoid", "relu"]
    assert activation.span.low < 0.04 < activation.span.high
    assert told.spans["depth"].span.low == 0
    assert "interaction" not in told.details
    assert "in combination" not in told.verdict["axes"]


def test_an_interaction_is_told_so_that_averages_do_not_mislead(tmp_path):
    told = Told(tmp_path, interaction)
    told.check()
    assert "none is shown to matter on average, but which activation is best depends on depth" in told.verdict["axes"]
    (found,) = [one for one in told.analysis.effects.crossings if one.factor == "activation"]
    at, other_at = DEPTHS.index(str(found.at)), DEPTHS.index(str(found.other_at))
    better, worse = ACTIVATIONS.index(str(found.better)), ACTIVATIONS.index(str(found.worse))
    assert found.other == "depth"
    assert {str(found.better), str(found.worse)} == {"relu", "tanh"}
    assert found.lead == pytest.approx(told.means[at, better] - told.means[at, worse])
    assert found.other_lead == pytest.approx(told.means[other_at, worse] - told.means[other_at, better])
    assert min(found.lead, found.other_lead) > 0.015
    assert f"by {100 * found.lead:.2f} points; with" in told.details["interaction"]
    assert f"by {100 * found.other_lead:.2f}." in told.details["interaction"]
    assert "matters most" not in told.verdict["axes"]


def test_one_seed_claims_nothing(tmp_path):
    told = Told(tmp_path, clear_winner, seeds=1)
    assert list(told.verdict) == ["selected"]
    assert f"{bold('deep relu')} has the validation accuracy" in told.verdict["selected"]
    assert "the largest of 9 single runs" in told.verdict["selected"]
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
    assert told.analysis.claimed("worse")
    assert all(claim.provisional for claim in told.analysis.claims)
    assert "provisional" in told.verdict["others"]
    assert "95 % confidence" not in told.verdict["others"]


def test_an_unfinished_experiment_claims_only_provisionally(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    written = {
        "rng": np.random.default_rng(0),
        "sweep": sweep,
        "missing": ["shallow-tanh-hinge"],
    }
    experiment = write_experiment(tmp_path / "e", clear_winner, **written)
    analysis = analyse(read_state(experiment))
    assert analysis.claimed("worse")
    assert all(claim.provisional for claim in analysis.claims)


def test_training_accuracy_is_called_what_it_is(tmp_path):
    told = Told(tmp_path, clear_winner, selection="train_accuracy", validation_size=0)
    assert "training accuracy (on the very samples it was trained with)" in told.verdict["selected"]


def test_an_unfinished_experiment_says_so_before_anything_else(tmp_path):
    experiment = write_experiment(
        tmp_path / "e",
        clear_winner,
        rng=np.random.default_rng(0),
        missing=["deep-relu-hinge", "deep-tanh-hinge"],
        failed=["shallow-relu-hinge"],
    )
    analysis = analyse(read_state(experiment))
    first, selected = list(verdict(analysis).values())[:2]
    assert first.startswith(bold("INCOMPLETE 24/27: 1 failed and 2 not finished."))
    assert "the largest of 15 configurations that can be compared" in selected
    left_out = details(analysis)["left_out"]
    assert left_out.startswith("Not compared are 3 of 27 grid points: shallow relu hinge (failed: RuntimeError")


def test_twins_are_named_together_and_counted_once(tmp_path):
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0))
    analysis = analyse(read_state(experiment))
    assert verdict(analysis)["selected"].startswith(
        f"{bold('deep relu cross_entropy = sparse_cross_entropy')} is selected"
    )
    assert "the largest of 18 configurations (" in verdict(analysis)["selected"]
    assert details(analysis)["configurations"].startswith("The 27 grid points are 18 configurations")


def test_scores_that_are_missing_by_accident_leave_all_others_in(tmp_path):
    """After `--extend` with more seeds for one depth only."""

    def added(point):
        return {"deep": (5, 6), "medium": (5,)}.get(point["depth"], ())

    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(tmp_path / "e", tie, rng=np.random.default_rng(0), sweep=sweep, added_seeds=added)
    analysis = analyse(read_state(experiment))
    assert analysis.grid.seeds == (0, 1, 2, 3, 4, 5, 6)
    assert [entry.score.n for entry in analysis.entries][:2] == [7, 7]
    assert analysis.grid.missing == 3 * 2 + 3
    sentence = details(analysis)["missing"]
    assert sentence.startswith("Of the 63 scores of all configurations and seeds, 9 are missing")
    assert sentence in [block.text for block in ranking_section(analysis).blocks if isinstance(block, Paragraph)]
    # Least squares with a term for each configuration and seed.
    frame = pd.DataFrame(
        {"point": entry.name, "seed": seed, "score": score}
        for entry in analysis.entries
        for seed, score in zip(analysis.grid.seeds, entry.configuration.scores(analysis.criterion), strict=True)
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
    analysis = analyse(read_state(experiment))
    # The largest mean of all, if only the seeds that did not diverge counted.
    assert "deep relu" not in [entry.name for entry in analysis.entries]
    shares = {claim.subject[0]: (claim.low, claim.high) for claim in analysis.claimed("diverges")}
    assert shares.keys() == {"deep relu", "medium tanh"}
    assert shares["deep relu"] == pytest.approx(stats.binomtest(2, 5).proportion_ci(1 - 0.05 / 9), rel=1e-9)
    told = verdict(analysis)
    assert "deep relu diverged in 2 of 5 seeds" in told["doubts"]
    # Means over what is left of a level would flatter it, so nothing is claimed about axes.
    assert not analysis.claimed("axis")
    assert "diverged" in told["axes"]
    (table,) = [block for block in ranking_section(analysis).blocks if getattr(block, "name", "") == "diverged"]
    assert table.shown["diverged"].tolist() == ["1 of 5 seeds", "2 of 5 seeds"]


def test_a_level_that_diverges_everywhere_leaves_the_axes_of_the_rest(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    lost = [(f"{depth}-tanh-hinge", seed) for depth in DEPTHS for seed in range(5)]
    experiment = write_experiment(tmp_path / "e", one_factor, rng=np.random.default_rng(0), sweep=sweep, diverged=lost)
    analysis = analyse(read_state(experiment))
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
        return analyse(read_state(experiment))

    first, second = look(1), look(3)
    assert (first.comparisons.looks, second.comparisons.looks) == (1, 2)
    assert second.comparisons.limit < first.comparisons.limit
    scope = verdict(second)["scope"]
    assert "look 2" in scope
    # Writing a report again is no look.
    assert look(1).comparisons.looks == 1


def planned(tmp_path, score, **keys):
    sweep = made_up_sweep(axes=AXES, **keys)
    experiment = write_experiment(tmp_path / "e", score, rng=np.random.default_rng(0), sweep=sweep)
    analysis = analyse(read_state(experiment))
    return analysis, verdict(analysis)["plans"]


def test_pairs_named_beforehand_have_their_own_test(tmp_path):
    pairs = [["medium-relu", "medium-sigmoid"], ["deep-tanh", "deep-relu"]]
    analysis, told = planned(tmp_path, one_factor, compare=pairs, seeds=list(range(7)))
    assert [claim.subject for claim in analysis.claimed("named")] == [
        ("medium relu", "medium sigmoid"),
        ("deep relu", "deep tanh"),
    ]
    for one, other in (("medium relu", "medium sigmoid"), ("deep relu", "deep tanh")):
        assert f"{bold(one)} is shown to be better than {other} by" in told
    d = analysis.grid.goodness[3] - analysis.grid.goodness[4]
    n, t, v = len(d), d.sum(), (d**2).sum()
    assert analysis.named[0].pair.e_value == pytest.approx(
        (n + 1) ** -0.5 * ((n + 1) * v / ((n + 1) * v - t**2)) ** (n / 2)
    )
    assert analysis.named[0].pair.needed == pytest.approx(40)


def test_a_baseline_is_compared_with_all_others(tmp_path):
    analysis, told = planned(tmp_path, clear_winner, baseline={"depth": "shallow", "activation": "relu"})
    assert [claim.subject for claim in analysis.claimed("baseline")] == [("deep relu", "shallow relu")]
    assert len(analysis.against.p_better) == 8
    assert "deep relu is shown to be better than the baseline shallow relu (95 % confidence" in told


def confirmed(tmp_path, score, finalists, **written):
    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(
        tmp_path / "e", score, rng=np.random.default_rng(0), sweep=sweep, finalists=finalists, **written
    )
    analysis = analyse(read_state(experiment))
    told = verdict(analysis)["confirmed"]
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
    found = analysis.confirmation.finalists[0].score
    assert [found.low, found.estimate, found.high] == pytest.approx([ends[0], np.mean(fresh), ends[1]])
    assert f"{100 * np.mean(fresh):.2f} % (95 % interval {100 * ends[0]:.2f} to {100 * ends[1]:.2f} %)" in told
    # They take no part in the ranking, in looks, or in anything else.
    plain = write_experiment(
        tmp_path / "plain", clear_winner, rng=np.random.default_rng(0), sweep=made_up_sweep(axes=AXES)
    )
    without = analyse(read_state(plain))
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
    assert analysis.entries[0].name == "deep relu"
    assert analysis.claimed("worse")
    assert not analysis.claimed("confirmed")
    assert "not confirmed" in told


def test_a_confirmation_of_one_finalist_gives_its_number(tmp_path):
    analysis, told = confirmed(tmp_path, clear_winner, ["deep-relu-hinge"])
    assert not analysis.claimed("confirmed")
    (first,) = analysis.confirmation.finalists
    assert first.score.low < first.score.estimate < first.score.high
    assert analysis.metric.range(first.score.low, first.score.high) in told


def test_two_fresh_seeds_confirm_provisionally(tmp_path):
    names = ["deep-relu-hinge", "medium-relu-hinge", "shallow-tanh-hinge"]
    analysis, _ = confirmed(tmp_path, clear_winner, names, fresh_seeds=2)
    assert analysis.claimed("confirmed")
    assert all(claim.provisional for claim in analysis.claimed("confirmed"))


def without_class(experiment, trial_id, seeds, label):
    """Lets the models of some seeds of a trial take one class for another."""
    predictions = experiment.read_predictions(trial_id, TASKS["classification"].ARRAYS)
    y_pred, y_true = predictions["y_pred"].copy(), experiment.read_test_split()[1]
    y_pred[seeds] = np.where(y_pred[seeds] == label, (label + 1) % 10, y_pred[seeds])
    confusion = np.stack([confusion_matrix(y_true, row, 10) for row in y_pred])
    experiment.write_predictions(trial_id, predictions | {"y_pred": y_pred, "test_confusion": confusion})


def test_classes_that_a_model_never_predicts_are_said(tmp_path):
    sweep = made_up_sweep(axes=AXES)
    experiment = write_experiment(tmp_path / "e", clear_winner, rng=np.random.default_rng(0), sweep=sweep)
    ids = {(t.depth, t.activation): t.trial_id for t in experiment.read_manifest().trials}
    without_class(experiment, ids["deep", "relu"], [1, 4], 7)
    without_class(experiment, ids["deep", "tanh"], [0], 3)
    analysis = analyse(read_state(experiment))
    told = verdict(analysis)["doubts"]
    assert "never predicts class 7 in 2 of 5 seeds" in told
    note = details(analysis)["never_predicted"]
    assert note.startswith("Of 8 other configurations, 1 never predicts some class")


def test_a_class_without_test_images_is_not_called_one_that_is_never_predicted(tmp_path):
    y_true = np.arange(400) % 9
    experiment = write_experiment(
        tmp_path / "e",
        clear_winner,
        rng=np.random.default_rng(0),
        sweep=made_up_sweep(axes=AXES),
        test_split=(np.zeros((400, 8, 8), dtype=np.uint8), y_true),
    )
    topics = list(verdict(analyse(read_state(experiment))))
    assert topics == ["selected", "others", "axes", "scope"]


def test_what_looks_wrong_in_the_data_is_said_in_the_verdict(tmp_path):
    experiment = write_experiment(tmp_path / "e", tie, rng=np.random.default_rng(0), sweep=made_up_sweep(axes=AXES))
    manifest = experiment.read_manifest()
    doubts = ("class 3 has no test images", "values look unscaled: the largest is 255")
    dataset = dataclasses.replace(manifest.dataset, doubts=doubts, values="float64 from 0 to 255")
    experiment.write_manifest(dataclasses.replace(manifest, dataset=dataset))
    told = verdict(analyse(read_state(experiment)))
    assert list(told)[-1] == "doubts"
    assert all(doubt in told["doubts"] for doubt in doubts)


@pytest.mark.parametrize(("tied", "place"), [(9, "the same for all 9 configurations"), (3, "the largest of 9 configu")])
def test_equal_scores_are_called_equal_and_who_decided_is_said(tmp_path, tied, place):
    def score(point, seed):
        return 0.9 if tied == 9 or point["depth"] == "deep" else 0.8

    told = Told(tmp_path, score)
    text = told.verdict["selected"]
    assert f"is selected as the first of {tied} with the same score, in the order of the grid: its valid" in text
    assert place in text
    expected = [1] * tied + [tied + 1] * (9 - tied)
    assert [entry.rank for entry in told.analysis.entries] == expected
    (table, *_) = [block for block in ranking_section(told.analysis).blocks if isinstance(block, Table)]
    assert table.shown["rank"].tolist() == [str(rank) for rank in expected]
    assert table.exact["rank"].tolist() == expected
    # Whoever is named to be compared with is another one, though of the same rank.
    assert [entry.why for entry in told.analysis.entries[:2]] == ["", "second in the ranking"]


def test_only_the_selected_may_be_without_equals(tmp_path):
    told = Told(tmp_path, clear_winner)
    assert "first of" not in told.verdict["selected"]
