"""What is claimed does not depend on the unit, the direction or the scale in which scores happen to be kept."""

import dataclasses
import hashlib
import itertools
import math
import re

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment

from sweep.axes import Axis, Level
from sweep.metrics import TRAIN_TIME, Metric, Score
from sweep.records import DoneRecord, ReplicateRecord, Rows, read_state
from sweep.report.analysis import analyse
from sweep.report.document import Drawing, Table
from sweep.report.findings import Findings
from sweep.report.ranking import find_finalists
from sweep.report.together import together
from sweep.report.verdict import details, verdict
from sweep.report.writing import document_of
from sweep.table import GridPoint, Replicate, make_grid
from sweep.tasks import TASKS

AXES = (
    Axis(name="depth", values=("shallow", "medium", "deep"), scale="nominal"),
    Axis(name="activation", values=("relu", "tanh"), scale="nominal"),
    Axis(name="learning_rate", values=(0.1, 0.01), scale="log"),
)
ACCURACY = next(metric for metric in TASKS["classification"].METRICS if metric.name == "accuracy")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def made_up_grid(scores, metric, test=None, axes=AXES):
    """A grid in memory whose replicates have the scores `[K, S]`, NaN where there is none."""
    test = scores if test is None else test
    points = []
    for k, values in enumerate(itertools.product(*(axis.values for axis in axes))):
        replicates = {
            seed: made_up_replicate(k, seed, metric, float(score), float(test[k, seed]))
            for seed, score in enumerate(scores[k])
            if not math.isnan(score)
        }
        levels = tuple(Level(axis=axis.name, values=(value,)) for axis, value in zip(axes, values, strict=True))
        points.append(GridPoint(levels=levels, parameters=100 + k, replicates=replicates))
    return make_grid(points, axes, Score(metric=metric, split="validation"))


def made_up_replicate(k, seed, metric, score, test):
    values = {("validation", metric.name): score, ("test", metric.name): test, ("train", TRAIN_TIME.name): 0.5}
    rows = [Rows(split=split, metric=name, epochs=(1,), values=[[value]]) for (split, name), value in values.items()]
    digest = hashlib.sha256(repr((k, seed)).encode()).hexdigest()
    record = DoneRecord(
        trial_id=f"trial-{k}",
        replicates=(ReplicateRecord(seed=seed, diverged=False, parameters_sha256=digest),),
        rows=tuple(rows),
        files={},
        fingerprints=((1, {}),),
        finished="",
    )
    return Replicate(record=record, row=0)


def scores_of(kind, rng):
    means = 0.9 + 0.01 * rng.normal(size=(12, 1)) + 0.005 * np.arange(12)[:, None]
    scores = means + 0.004 * rng.normal(size=(12, 5)) + 0.002 * rng.normal(size=5)
    if kind == "missing":
        scores[rng.random(scores.shape) < 0.2] = np.nan
        scores[:, 0] = (means + 0.004 * rng.normal(size=(12, 1)))[:, 0]
    if kind == "uneven":
        scores[::3] += 0.02 * rng.normal(size=(4, 5))
    return scores


def told(findings, sign=1.0, scale=1.0):
    """All that is found, with intervals turned into those of the original scores."""
    pairs = [(entry.name, entry.why) for entry in findings.entries]
    ranking = [(entry.rank, entry.name, entry.ranks, entry.in_best_set) for entry in findings.entries]
    kinds = [(claim.kind, claim.subject, claim.provisional) for claim in findings.claims]
    p_values = [entry.p_worse for entry in findings.entries] + [row.p_value for row in findings.effects.table]
    numbers = []
    for entry in findings.entries:
        ends = sorted((sign * entry.score.low / scale, sign * entry.score.high / scale))
        numbers += [sign * entry.score.estimate / scale, *ends, entry.behind.low / scale, entry.behind.high / scale]
    return (pairs, ranking, kinds), np.array(p_values), np.array(numbers)


PLANS = {
    "compare": ((("deep", "relu", 0.1), ("medium", "relu", 0.1)),),
    "baseline": ("shallow", "tanh", 0.01),
}


@pytest.mark.parametrize("kind", ["even", "missing", "uneven"])
@pytest.mark.parametrize("seed", range(5))
def test_turning_scores_and_direction_changes_nothing(kind, seed):
    scores = scores_of(kind, np.random.default_rng(seed))
    larger = Findings(grid=made_up_grid(scores, Metric(name="gain", margin=0.001)), **PLANS)
    smaller = Findings(grid=made_up_grid(-scores, Metric(name="loss", mode="min", margin=0.001)), **PLANS)
    ours, theirs = told(larger), told(smaller, sign=-1.0)
    assert ours[0] == theirs[0]
    assert any(claim.kind == "worse" for claim in larger.claims)
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-12)
    assert larger.against == smaller.against
    assert larger.named == smaller.named
    assert larger.winner == smaller.winner


@pytest.mark.parametrize("kind", ["even", "missing", "uneven"])
@pytest.mark.parametrize(("factor", "offset"), [(1e6, 0.0), (1.0, 1e6), (1e-6, 0.0)])
def test_unit_and_offset_change_no_p_value(kind, factor, offset):
    scores = scores_of(kind, np.random.default_rng(0))
    plain = Findings(grid=made_up_grid(scores, Metric(name="gain")), **PLANS)
    changed = Findings(grid=made_up_grid(factor * scores + offset, Metric(name="gain"), test=scores), **PLANS)
    ours, theirs = told(plain), told(changed)
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)
    np.testing.assert_allclose(list(changed.against.p_better.values()), list(plain.against.p_better.values()), 1e-6)
    assert changed.named[0].pair.e_value == pytest.approx(plain.named[0].pair.e_value, rel=1e-6)


def test_a_transform_keeps_intervals_inside_the_range():
    rng = np.random.default_rng(1)
    shares = np.clip(0.97 + 0.03 * rng.normal(size=(12, 3)), 0, 1)
    metric = Metric(name="accuracy", transform="logit", count=400, low=0.0, high=1.0)
    for entry in Findings(grid=made_up_grid(shares, metric)).entries:
        assert 0 < entry.score.low < entry.score.estimate < entry.score.high <= 1
    times = np.exp(rng.normal(size=(12, 3)))
    metric = Metric(name="loss", mode="min", transform="log", low=0.0)
    found = Findings(grid=made_up_grid(times, metric))
    assert found.entries[0].score.estimate == pytest.approx(np.exp(np.log(times).mean(axis=1)).min())
    for entry in found.entries:
        assert 0 < entry.score.low < entry.score.estimate < entry.score.high


def test_an_accuracy_ends_where_accuracies_end():
    scores = np.array([[0.02, 0.98, 0.5]] * 12) + 1e-3 * np.random.default_rng(0).normal(size=(12, 3))
    for entry in Findings(grid=made_up_grid(scores, ACCURACY)).entries:
        assert (entry.score.low, entry.score.high) == (0.0, 1.0)


def test_one_pair_has_one_p_value():
    found = Findings(grid=made_up_grid(scores_of("even", np.random.default_rng(2)), ACCURACY))
    for entry in found.entries:
        shown_worse = ("worse", (entry.name,)) in {(claim.kind, claim.subject) for claim in found.claims}
        assert shown_worse == (entry.p_worse < found.comparisons.limit)
        assert not shown_worse or entry.behind.low >= 0


def test_twins_are_one_by_the_seeds_that_both_have():
    scores = scores_of("even", np.random.default_rng(3))
    grid = made_up_grid(scores, ACCURACY)
    first, second, third = grid.points[:3]
    # Of the second only some seeds are there, all the same as the first's; of the third one differs.
    copied = {seed: first.replicates[seed] for seed in (1, 2)}
    almost = {**first.replicates, 4: third.replicates[4]}
    points = [first, dataclasses.replace(second, replicates=copied), dataclasses.replace(third, replicates=almost)]
    merged = make_grid([*points, *grid.points[3:]], AXES, grid.criterion)
    assert [len(configuration.points) for configuration in merged.configurations][:2] == [2, 1]
    assert len(merged.configurations) == 11
    assert merged.missing == 0


def test_experiments_of_one_data_set_or_of_other_epochs_are_no_blocks_of_one_test(tmp_path, rng):
    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu"], "loss": ["hinge"]}
    analyses = {}
    for number in range(5):
        sweep = made_up_sweep(axes=axes, epochs=4 if number == 4 else 3)
        experiment = write_experiment(
            tmp_path / f"e{number}",
            lambda point, seed: 0.9 + 0.01 * len(point["depth"]) + 0.001 * seed,
            rng=rng,
            sweep=sweep,
            dataset_sha256=f"{number}" * 64,
        )
        analyses[experiment.name] = analyse(read_state(experiment))
    assert not any(isinstance(block, Drawing) for block in together(analyses).blocks)
    assert "numbers of epochs" in str(together(analyses).sections[-1])


def test_finalists_are_those_of_the_ranking(tmp_path, rng):
    def score(point, seed):
        return 0.9 + {"deep": 0.05, "medium": 0.049}.get(point["depth"], 0) + 0.001 * rng.normal()

    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=made_up_sweep(axes=axes))
    analysis = analyse(read_state(experiment))
    found = find_finalists(read_state(experiment), 3)
    assert [point[0] for point in found.points] == [
        entry.configuration.points[0].values[0] for entry in analysis.entries[:3]
    ]


def test_a_loss_is_told_as_the_accuracy_that_it_mirrors(tmp_path):
    def score(point, seed):
        level = {"deep": 0.94, "medium": 0.92}.get(point["depth"], 0.9) + {"relu": 0.004}.get(point["activation"], 0)
        return level + 0.001 * np.random.default_rng([seed, *map(ord, str(point))]).normal()

    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}
    plans = {"compare": [["deep-relu", "shallow-relu"]], "baseline": "shallow-tanh"}
    found = {}
    for selection in ("validation_accuracy", "validation_loss"):
        sweep = made_up_sweep(axes=axes, selection=selection, **plans)
        experiment = write_experiment(tmp_path / selection, score, rng=np.random.default_rng(0), sweep=sweep)
        found[selection] = analyse(read_state(experiment))
    accuracy, loss = found.values()
    claims = [[(one.kind, one.subject, one.provisional) for one in analysis.claims if one.kind != "equal"]
              for analysis in (accuracy, loss)]  # fmt: skip
    assert claims[0] == claims[1]
    assert {"worse", "axis", "named", "baseline"} <= {kind for kind, _, _ in claims[0]}
    first, mirrored = accuracy.entries[0], loss.entries[0]
    assert [mirrored.score.low, mirrored.score.high] == pytest.approx([1 - first.score.high, 1 - first.score.low])
    assert mirrored.behind.estimate == first.behind.estimate == 0
    assert loss.entries[1].behind.low == pytest.approx(accuracy.entries[1].behind.low)
    assert loss.test.estimate == pytest.approx(1 - accuracy.test.estimate, abs=1e-4)
    said = " ".join([*verdict(loss).values(), *details(loss).values()])
    assert f"its validation loss, mean over 5 seeds, is {mirrored.score.estimate:.4f}, the smallest of 6" in said
    assert not re.search("accuracy|points? |largest of", said)
    columns = {column for block in document_of(loss).blocks if isinstance(block, Table) for column in block.shown}
    assert {"validation loss", "test loss", "behind the first", "each seed", "difference"} <= columns
    assert not any("points" in column for column in columns)
    # The level that raises the loss is drawn on the right, the pair's difference is one of losses.
    (pairs,) = [block.shown for block in document_of(loss).blocks if getattr(block, "name", "") == "named"]
    assert pairs["difference"].tolist() == [f"−{abs(loss.named[0].pair.difference):.4f}"]
