import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scored import history, last

from sweep.config import CONFIRMATION, TrialConfig
from sweep.datasets import Dataset, load_dataset
from sweep.errors import ConfigError, ResourceError
from sweep.plan import Worker
from sweep.records import DoneRecord, Experiment
from sweep.storage import LocalStorage
from sweep.tasks import classification
from sweep.trial import TrialRun, describe_worker, run_trial

MakeTrial = Callable[..., TrialConfig]


def finished(experiment: Experiment, trial: TrialConfig) -> DoneRecord:
    record = experiment.read_done(trial.trial_id)
    assert record is not None
    return record


def numbers(record: DoneRecord) -> list[tuple]:
    """All of each replicate but measured times."""
    rows = [rows for rows in record.rows if rows.metric != "train_time_s"]
    return [
        (replicate, *((rows.split, rows.metric, *(values[index] for values in rows.values)) for rows in rows))
        for index, replicate in enumerate(record.replicates)
    ]


@pytest.mark.parametrize("engine", ["reference", "stacked"])
def test_a_trial_learns_and_leaves_a_record_that_adds_up(
    experiment: Experiment, digits: Dataset, make_trial: MakeTrial, engine: str
) -> None:
    trial = make_trial(epochs=12, engine=engine, learning_rate=0.003)
    run_trial(trial, digits, experiment)
    record = finished(experiment, trial)
    predictions = experiment.read_predictions(trial.trial_id, classification.ARRAYS)
    assert [replicate.seed for replicate in record.replicates] == [0, 1]
    for index, replicate in enumerate(record.replicates):
        assert last(record, "validation_accuracy")[index] > 0.9
        assert last(record, "test_accuracy")[index] == np.mean(predictions["y_pred"][index] == digits.test.labels)
        confusion = predictions["validation_confusion"][index]
        assert confusion.sum() == len(digits.validation.labels)
        assert last(record, "validation_accuracy")[index] == classification.accuracy(confusion)
        assert not replicate.diverged
    assert {len(rows.values) for rows in record.rows if rows.split == "validation"} == {12}
    assert {rows.epochs for rows in record.rows if rows.split == "test"} == {(12,)}
    assert history(record, "train_loss")[0] > history(record, "train_loss")[-1]
    assert set(record.files) == {"predictions.npz", experiment.storage.list(f"trials/{trial.trial_id}")[1]}


@pytest.mark.parametrize("engine", ["reference", "stacked"])
@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_a_resumed_trial_matches_an_uninterrupted_one(
    tmp_path: Path, digits: Dataset, make_trial: MakeTrial, engine: str, interrupted_after: int
) -> None:
    trial = make_trial(epochs=4, engine=engine, layers=(32, 16), activation="tanh")
    whole, parts = (Experiment(LocalStorage(tmp_path / name)) for name in ("whole", "parts"))
    run_trial(trial, digits, whole)
    run = TrialRun(trial, digits, parts)
    for _ in range(interrupted_after):
        run.step()
    resumed = TrialRun(trial, digits, parts)
    assert resumed.epoch == interrupted_after
    while not resumed.step():
        pass
    assert numbers(finished(parts, trial)) == numbers(finished(whole, trial))
    assert len(finished(parts, trial).fingerprints) == 1


@pytest.mark.parametrize("engine", ["reference", "stacked"])
def test_seeds_of_the_reserved_range_are_seeds_like_any_other(
    tmp_path: Path, digits: Dataset, make_trial: MakeTrial, engine: str
) -> None:
    seeds = (2**62, 2**62 + 1, 2**63 - 1)
    trial = make_trial(epochs=2, engine=engine, seeds=seeds, role=CONFIRMATION)
    whole, parts = (Experiment(LocalStorage(tmp_path / name)) for name in ("whole", "parts"))
    run_trial(trial, digits, whole)
    TrialRun(trial, digits, parts).step()
    run_trial(trial, digits, parts)
    assert numbers(finished(parts, trial)) == numbers(finished(whole, trial))
    replicates = finished(whole, trial).replicates
    assert tuple(replicate.seed for replicate in replicates) == seeds
    # As floats they would be one number.
    assert len({replicate.parameters_sha256 for replicate in replicates}) == len(seeds)


def test_a_replicate_has_the_same_numbers_whichever_are_beside_it(
    experiment: Experiment, digits: Dataset, make_trial: MakeTrial
) -> None:
    together, alone = make_trial(seeds=(5, 0, 3)), make_trial(seeds=(3,))
    for trial in (together, alone):
        run_trial(trial, digits, experiment)
    assert numbers(finished(experiment, together))[2] == numbers(finished(experiment, alone))[0]


@pytest.mark.parametrize("engine", ["reference", "stacked"])
def test_cross_entropy_and_sparse_cross_entropy_are_one_function(
    experiment: Experiment, digits: Dataset, make_trial: MakeTrial, engine: str
) -> None:
    trials = [make_trial(loss=loss, engine=engine) for loss in ("cross_entropy", "sparse_cross_entropy")]
    for trial in trials:
        run_trial(trial, digits, experiment)
    one, other = (numbers(finished(experiment, trial)) for trial in trials)
    assert one == other


def test_checkpoints_may_be_rarer_and_change_no_number(tmp_path: Path, digits: Dataset, make_trial: MakeTrial) -> None:
    trial = make_trial(epochs=5)
    every, rare = (Experiment(LocalStorage(tmp_path / name)) for name in ("every", "rare"))
    run_trial(trial, digits, every)
    run_trial(trial, digits, rare, checkpoint_every=3)
    assert [name[:17] for name in rare.storage.list(f"trials/{trial.trial_id}") if name.startswith("check")] == [
        "checkpoint-000003",
        "checkpoint-000005",
    ]
    assert numbers(finished(rare, trial)) == numbers(finished(every, trial))


def test_divergence_is_a_finished_result(experiment: Experiment, digits: Dataset, make_trial: MakeTrial) -> None:
    trial = make_trial(learning_rate=1e30, epochs=3)
    run_trial(trial, digits, experiment)
    record = finished(experiment, trial)
    assert all(replicate.diverged for replicate in record.replicates)
    assert not math.isfinite(last(record, "train_loss")[0])


def test_without_validation_images_there_is_no_validation_score(experiment: Experiment, make_trial: MakeTrial) -> None:
    dataset = load_dataset("digits")
    trial = make_trial(validation_size=0)
    run_trial(trial, dataset, experiment)
    record = finished(experiment, trial)
    assert math.isnan(last(record, "validation_accuracy")[0])
    assert math.isnan(last(record, "validation_loss")[0])
    assert last(record, "test_accuracy")[0] > 0.5


def test_a_trial_that_moved_says_where_it_was_trained(
    experiment: Experiment, digits: Dataset, make_trial: MakeTrial
) -> None:
    trial = make_trial(epochs=3)
    TrialRun(trial, digits, experiment, num_threads=1).step()
    run_trial(trial, digits, experiment, num_threads=2)
    torch.set_num_threads(1)
    first, second = finished(experiment, trial).fingerprints
    assert (first[0], first[1]["num_threads"]) == (1, 1)
    assert (second[0], second[1]["num_threads"]) == (2, 2)


def test_auto_is_the_stacked_engine_here(make_trial: MakeTrial) -> None:
    here, trial = describe_worker(), make_trial()
    assert here.assign("auto", trial).engine == "stacked"
    assert here.assign("reference", trial).engine == "reference"


def test_auto_is_the_reference_engine_where_the_stacked_one_cannot_be_used(make_trial: MakeTrial) -> None:
    elsewhere, trial = Worker(fingerprint={}, unfit={"stacked": "torch 1.0 lacks everything"}), make_trial()
    assert elsewhere.assign("auto", trial).engine == "reference"
    with pytest.raises(ConfigError, match=r"engine=stacked cannot be used: torch 1\.0 lacks everything; use"):
        elsewhere.assign("stacked", trial)


def test_the_stacked_engine_refuses_what_it_has_no_step_for_and_says_so(
    experiment: Experiment, digits: Dataset, make_trial: MakeTrial
) -> None:
    anywhere, trial = Worker(fingerprint={}), make_trial(activation="elu")
    assert anywhere.assign("auto", trial).engine == "reference"
    with pytest.raises(ConfigError, match=r"engine=stacked cannot be used: .* activation elu; use"):
        anywhere.assign("stacked", trial)
    with pytest.raises(ResourceError, match="activation elu"):
        TrialRun(trial, digits, experiment)
    for loss in ("focal", "Hinge"):
        assert anywhere.refuses("stacked", make_trial(loss=loss)) == f"it has no step written out for the loss {loss}"
        assert anywhere.refuses("reference", make_trial(loss=loss)) == ""
