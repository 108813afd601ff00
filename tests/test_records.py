import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sweep.config import load_sweep
from sweep.datasets import Dataset
from sweep.errors import ExperimentError
from sweep.plan import make_manifest
from sweep.records import Experiment, Manifest, Predictions, list_experiments, open_experiment, read_records
from sweep.storage import LocalStorage


@pytest.fixture
def manifest(digits: Dataset) -> Manifest:
    return make_manifest(
        load_sweep("smoke"),
        digits,
        name="test",
        command="sweep run smoke",
        engine="stacked",
        fingerprint={"torch": "2.15.0", "cpu_capability": "AVX2", "num_threads": 1, "device": "cpu"},
    )


def test_a_manifest_is_read_as_it_was_written(experiment: Experiment, manifest: Manifest) -> None:
    experiment.write_manifest(manifest)
    assert experiment.read_manifest() == manifest


def test_parameters_are_counted_by_hand(manifest: Manifest) -> None:
    by_depth = {trial.depth: manifest.parameters(trial) for trial in manifest.trials}
    assert by_depth["shallow"] == 64 * 64 + 64 + 64 * 10 + 10
    assert by_depth["medium"] == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10


@pytest.mark.parametrize("damage", ["truncated", "edited", "not json", "empty"])
def test_a_damaged_manifest_is_refused_and_left_alone(experiment: Experiment, manifest: Manifest, damage: str) -> None:
    experiment.write_manifest(manifest)
    content = experiment.storage.read("manifest.json")
    changed = {
        "truncated": content[: len(content) // 2],
        "edited": content.replace(b'"epochs": 2', b'"epochs": 3', 1),
        "not json": b"\x00" * 100,
        "empty": b"",
    }[damage]
    experiment.storage.write("manifest.json", changed)
    with pytest.raises(ExperimentError, match=r"is damaged .* nothing was changed"):
        experiment.read_manifest()
    assert experiment.storage.read("manifest.json") == changed


def test_every_flipped_bit_of_a_manifest_is_found(experiment: Experiment, manifest: Manifest) -> None:
    experiment.write_manifest(dataclasses.replace(manifest, trials=manifest.trials[:1], fingerprint={"one": 0.1 + 0.2}))
    file = Path(str(experiment.storage), "manifest.json")
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(ExperimentError, match="is damaged"):
            experiment.read_manifest()


def test_the_last_two_checkpoints_are_kept(experiment: Experiment) -> None:
    for epoch in (1, 2, 3, 10, 11):
        experiment.write_checkpoint("a", epoch, f"content {epoch}".encode())
    names = experiment.storage.list("trials/a")
    assert [name.split("-")[1] for name in names] == ["000010", "000011"]
    assert experiment.checkpointed_epochs() == {"a": 11}
    checkpoint = experiment.read_checkpoint("a")
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.content) == (11, b"content 11")


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"X" + content[1:], lambda _: b""])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(experiment: Experiment, damage) -> None:
    experiment.write_checkpoint("a", 1, b"first")
    newest = experiment.write_checkpoint("a", 2, b"second")
    experiment.storage.write(f"trials/a/{newest.file}", damage(b"second"))
    checkpoint = experiment.read_checkpoint("a")
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.content) == (1, b"first")
    assert f"{newest.file}.corrupt" in experiment.storage.list("trials/a")
    assert [event["event"] for event in experiment.read_events()] == ["checkpoint_corrupt"]


def test_without_a_good_checkpoint_there_is_none(experiment: Experiment) -> None:
    assert experiment.read_checkpoint("a") is None
    only = experiment.write_checkpoint("a", 1, b"first")
    experiment.storage.write(f"trials/a/{only.file}", b"")
    assert experiment.read_checkpoint("a") is None


def test_predictions_are_read_as_they_were_written_and_their_file_is_always_the_same(experiment: Experiment) -> None:
    generator = np.random.default_rng(0)
    predictions = Predictions(
        test_logits=generator.normal(size=(2, 5, 3)).astype(np.float16),
        y_pred=generator.integers(3, size=(2, 5)),
        test_confusion=generator.integers(9, size=(2, 3, 3)),
        validation_confusion=np.zeros((2, 3, 3), dtype=np.int64),
    )
    assert experiment.write_predictions("a", predictions) == experiment.write_predictions("b", predictions)
    read = experiment.read_predictions("a")
    for name in ("test_logits", "y_pred", "test_confusion", "validation_confusion"):
        np.testing.assert_array_equal(getattr(read, name), getattr(predictions, name))


def test_a_torn_event_line_is_passed_over(experiment: Experiment) -> None:
    experiment.storage.write("events.jsonl", b'{"event": "run_star')
    experiment.storage.append("events.jsonl", "")
    experiment.log_event("run_started", pid=1)
    assert [event["event"] for event in experiment.read_events()] == ["run_started"]


def test_the_first_error_of_a_trial_is_kept(experiment: Experiment) -> None:
    experiment.write_error("a", "first")
    experiment.write_error("a", "second")
    assert experiment.read_error("a") == "first"
    experiment.clear_error("a")
    assert experiment.read_error("a") is None


def test_an_experiment_that_is_not_there_lists_those_that_are(tmp_path: Path, manifest: Manifest) -> None:
    storage = LocalStorage(tmp_path)
    (tmp_path / "a file").write_text("no experiment")
    with pytest.raises(ExperimentError, match="there are none yet"):
        open_experiment(storage, "mnist")
    Experiment(storage.folder("mnist")).write_manifest(manifest)
    assert list_experiments(storage) == ["mnist"]
    with pytest.raises(ExperimentError, match=r"choose from mnist \(did you mean 'mnist'\?\)"):
        open_experiment(storage, "minst")


def test_records_of_a_real_sweep_are_complete_and_plain_json(smoke_folder: Path) -> None:
    experiment = open_experiment(LocalStorage(smoke_folder / "experiments"), "smoke")
    records = read_records(experiment)
    assert records.complete
    assert list(records.done) == [trial.trial_id for trial in records.manifest.trials]
    assert records.failed == {}
    for trial_id, record in records.done.items():
        text = experiment.storage.read(f"trials/{trial_id}/done.json").decode()
        assert json.loads(text)["trial_id"] == trial_id
        assert "NaN" not in text
        predictions = experiment.read_predictions(trial_id)
        for replicate, confusion in zip(record.replicates, predictions.test_confusion, strict=True):
            assert replicate.test_accuracy == np.trace(confusion) / confusion.sum()
        assert all(record.bit_exact(records.manifest) for record in records.done.values())
