"""An experiment that is whole verifies; anything changed in it is found."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored import SCORES, last

from sweep.config import load_sweep
from sweep.datasets import load_dataset
from sweep.doctor import Finding
from sweep.errors import ConfigError, ExperimentError
from sweep.launch import trials_left
from sweep.plan import make_manifest
from sweep.records import DoneRecord, Experiment, read_state
from sweep.storage import LocalStorage
from sweep.trial import describe_worker, run_trial
from sweep.verify import retrain, verify

_WORDS = ("depth=shallow", "activation=relu", "loss=cross_entropy,hinge", "epochs=2", "seeds=0,1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two trials of two replicates."""
    folder = tmp_path_factory.mktemp("finished")
    experiment = Experiment(LocalStorage(folder))
    sweep = load_sweep("smoke", _WORDS)
    dataset = load_dataset("digits", validation_size=200)
    manifest = make_manifest(
        sweep,
        dataset,
        name="smoke",
        command="",
        worker=describe_worker(),
    )
    experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
    experiment.write_manifest(manifest)
    for trial in manifest.trials:
        run_trial(trial, dataset, experiment)
    return folder


@pytest.fixture
def experiment(finished: Path, tmp_path: Path) -> Experiment:
    """A copy to damage."""
    return Experiment(LocalStorage(shutil.copytree(finished, tmp_path / "copy")))


def first_trial(experiment: Experiment) -> str:
    manifest = experiment.read_manifest()
    assert manifest
    return manifest.trials[0].trial_id


def bad(experiment: Experiment) -> list[Finding]:
    return [finding for finding in verify(experiment) if not finding.ok]


def record_changed(experiment: Experiment, change: Callable[[DoneRecord], DoneRecord]) -> None:
    record = experiment.read_done(first_trial(experiment))
    assert record
    experiment.write_done(change(record))


def elsewhere(record: DoneRecord) -> DoneRecord:
    """As if the trial had been trained by another build of torch."""
    where = {**record.fingerprints[0][1], "torch": "2.0.0"}
    return dataclasses.replace(record, fingerprints=((1, where),))


def test_whole_experiment_verifies_and_is_not_touched(experiment: Experiment) -> None:
    before = {file: file.stat().st_mtime_ns for file in experiment.storage.root.rglob("*")}
    findings = list(verify(experiment))
    assert [finding.check for finding in findings][:2] == ["manifest", "data set"]
    assert [finding.text for finding in findings][2:] == ["3 files whole, test scores of 2 models equal"] * 2
    assert all(finding.ok for finding in findings)
    assert before == {file: file.stat().st_mtime_ns for file in experiment.storage.root.rglob("*")}


@pytest.mark.parametrize("pattern", ["checkpoint-000002-*.pt", "predictions.npz"])
def test_damaged_and_missing_files_are_named(experiment: Experiment, pattern: str) -> None:
    (file,) = (experiment.storage.root / "trials" / first_trial(experiment)).glob(pattern)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [finding.text for finding in bad(experiment)] == [f"{file.name} is damaged"]
    file.unlink()
    assert [finding.text for finding in bad(experiment)] == [f"{file.name} is missing"]


def test_unfinished_trial_is_found(experiment: Experiment) -> None:
    experiment.storage.delete(f"trials/{first_trial(experiment)}/done.json")
    assert [finding.check for finding in bad(experiment)] == [first_trial(experiment)]


def with_values(record: DoneRecord, column: str, values: list[list[float]]) -> DoneRecord:
    """The record with other values of a score."""
    where = (SCORES[column].split, SCORES[column].metric.name)
    rows = {(one.split, one.metric): one for one in record.rows}
    rows[where] = dataclasses.replace(rows[where], values=values)
    return dataclasses.replace(record, rows=tuple(rows.values()))


def test_score_that_the_weights_do_not_give_is_found(experiment: Experiment) -> None:
    def better(record: DoneRecord) -> DoneRecord:
        _, *others = last(record, "test_accuracy")
        return with_values(record, "test_accuracy", [[0.999, *others]])

    record_changed(experiment, better)
    (finding,) = bad(experiment)
    assert "the recorded predictions do not give the recorded scores" in finding.text
    assert "the weights give other test scores than those recorded" in finding.text


def test_parameters_that_are_not_those_recorded_are_found(experiment: Experiment) -> None:
    def other(record: DoneRecord) -> DoneRecord:
        first, *others = record.replicates
        return dataclasses.replace(record, replicates=(dataclasses.replace(first, parameters_sha256="0"), *others))

    record_changed(experiment, other)
    assert [finding.text for finding in bad(experiment)] == ["the parameters of seed 0 are not those recorded"]


def test_manifest_without_a_trial_of_its_sweep_is_found(experiment: Experiment) -> None:
    manifest = experiment.read_manifest()
    assert manifest
    experiment.write_manifest(dataclasses.replace(manifest, trials=manifest.trials[1:]))
    assert [finding.text for finding in bad(experiment)] == ["the seeds of 1 grid points are not the sweep's"]


def test_trial_that_is_not_what_its_id_stands_for_is_found(experiment: Experiment) -> None:
    manifest = experiment.read_manifest()
    assert manifest
    other = dataclasses.replace(manifest.trials[0], epochs=3)
    experiment.write_manifest(dataclasses.replace(manifest, trials=(other, *manifest.trials[1:])))
    (finding,) = [finding for finding in bad(experiment) if finding.check == "manifest"]
    assert other.trial_id in finding.text


@pytest.mark.parametrize("change", [{"activation": "gelu"}, {"loss": "x"}, {"engine": "x"}, {"layers": (3,)}])
def test_trial_that_cannot_be_computed_again_is_found_and_hides_no_other(
    experiment: Experiment, change: dict[str, Any]
) -> None:
    manifest = experiment.read_manifest()
    assert manifest
    other = dataclasses.replace(manifest.trials[0], **change)
    experiment.write_manifest(dataclasses.replace(manifest, trials=(other, *manifest.trials[1:])))
    findings = {finding.check: finding for finding in verify(experiment)}
    assert not findings[other.trial_id].ok
    assert findings[manifest.trials[1].trial_id].ok


@pytest.mark.parametrize("change", [{"activation": "gelu"}, {"loss": "x"}, {"engine": "x"}])
def test_trial_of_a_version_that_knew_more_is_not_trained(experiment: Experiment, change: dict[str, Any]) -> None:
    manifest = experiment.read_manifest()
    assert manifest
    other = dataclasses.replace(manifest.trials[0], **change)
    experiment.write_manifest(dataclasses.replace(manifest, trials=(other, *manifest.trials[1:])))
    with pytest.raises(ConfigError, match="cannot train"):
        list(retrain(experiment, other.trial_id))
    experiment.storage.delete(f"trials/{other.trial_id}/done.json")
    with pytest.raises(ConfigError, match="cannot train"):
        trials_left(read_state(experiment))


def test_test_split_that_is_another_is_found(experiment: Experiment) -> None:
    images, y_true = experiment.read_test_split()
    experiment.write_test_split(images=images, y_true=np.roll(y_true, 1))
    assert [finding.text for finding in bad(experiment)] == ["test_split.npz is not the data set's test split"]
    experiment.storage.write("test_split.npz", b"PK")
    assert "test_split.npz cannot be read" in bad(experiment)[0].text


def test_experiment_on_other_data_is_found_and_files_are_checked_all_the_same(experiment: Experiment) -> None:
    manifest = experiment.read_manifest()
    assert manifest
    other = dataclasses.replace(manifest.dataset, sha256="0" * 64)
    experiment.write_manifest(dataclasses.replace(manifest, dataset=other))
    findings = list(verify(experiment))
    assert "restore the data" in findings[1].text
    assert [finding.text for finding in findings[2:]] == ["3 files whole"] * 2


def test_scores_from_another_machine_are_compared_with_a_tolerance(experiment: Experiment) -> None:
    record_changed(experiment, elsewhere)
    assert bad(experiment) == []
    texts = [finding.text for finding in verify(experiment)]
    assert any("torch 2.0.0 -> " in text and "differs by at most 0.0000" in text for text in texts)


def test_retrained_trial_is_equal_in_every_bit(experiment: Experiment) -> None:
    (finding,) = retrain(experiment, first_trial(experiment))
    assert finding.ok
    assert finding.text == "2 models x 2 epochs: parameters, predictions and history equal in every bit"


def test_retrained_trial_that_differs_is_found_with_its_drift(experiment: Experiment) -> None:
    def other(record: DoneRecord) -> DoneRecord:
        return with_values(record, "train_loss", [[0.0, 0.0]] * 2)

    record_changed(experiment, other)
    (finding,) = retrain(experiment, first_trial(experiment))
    assert not finding.ok
    assert finding.text.startswith("history not as recorded: parameters differ by at most 0,")


def test_retraining_elsewhere_reports_the_drift_instead(experiment: Experiment) -> None:
    record_changed(experiment, elsewhere)
    machine, drift = retrain(experiment, first_trial(experiment))
    assert machine.ok
    assert "torch 2.0.0 -> " in machine.text
    assert drift.text == "parameters differ by at most 0, test accuracy by +0.0000 to +0.0000"


def test_retraining_needs_a_finished_whole_trial(experiment: Experiment) -> None:
    trial_id = first_trial(experiment)
    with pytest.raises(ConfigError, match=f"did you mean '{trial_id}'"):
        list(retrain(experiment, trial_id[:-1]))
    experiment.storage.delete(f"trials/{trial_id}/predictions.npz")
    with pytest.raises(ExperimentError, match=r"predictions\.npz is missing; run the sweep again, which repairs it"):
        list(retrain(experiment, trial_id))
    experiment.storage.delete(f"trials/{trial_id}/done.json")
    with pytest.raises(ExperimentError, match="is not finished; go on with: sweep resume copy"):
        list(retrain(experiment, trial_id))


def test_averages_that_count_an_absent_class_as_0_as_sweep_0_1_0_did_are_no_damage(tmp_path: Path) -> None:
    file = tmp_path / "d.npz"
    labels = np.arange(60) % 3
    x = 9 * np.eye(3)[labels] + np.random.default_rng(0).normal(size=(60, 3))
    np.savez(file, x_train=x, y_train=labels, x_test=x[labels != 2], y_test=labels[labels != 2])
    sweep = load_sweep("smoke", [f"dataset={file}", *_WORDS[:2], "loss=hinge", "epochs=60", "validation_size=6"])
    dataset = load_dataset(str(file), validation_size=6)
    worker = describe_worker()
    manifest = make_manifest(sweep, dataset, name="e", command="", worker=worker)
    experiment = Experiment(LocalStorage(tmp_path / "e"))
    experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
    experiment.write_manifest(manifest)
    (trial,) = manifest.trials
    run_trial(trial, dataset, experiment)
    assert bad(experiment) == []
    done = experiment.read_done(trial.trial_id)
    assert done
    assert (last(done, "test_accuracy"), last(done, "recall")) == ([1], [1])
    for average in ("precision", "recall", "f1"):
        done = with_values(done, average, [[2 / 3]])
    experiment.write_done(done)
    assert bad(experiment) == []
