"""Files that are damaged between two runs; Ray adds nothing here, so trials run in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import NAME, WORDS, Case, Numbers, mismatches, numbers, planned

from sweep.launch import trials_left, without_damaged
from sweep.records import Experiment, State
from sweep.storage import LocalStorage
from sweep.tasks.classification import ARRAYS
from sweep.trial import TrialRun

Damage = Callable[[Path], object]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def remove(file: Path) -> None:
    file.unlink()


class OneTrial:
    """The first trial of the sweep, some epochs into it."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.manifest, self.dataset = planned(folder / NAME)
        self.experiment = Experiment(LocalStorage(folder / NAME))
        self.trial = self.manifest.trials[0]
        self.folder = folder / NAME / "trials" / self.trial.trial_id
        self.run_epochs(epochs)

    def run_epochs(self, count: int) -> int:
        """Trains in a new run, as after a crash; gives the epoch that it went on from."""
        run = TrialRun(self.trial, self.dataset, self.experiment, products=self.manifest.products)
        first = run.epoch
        for _ in range(count):
            if run.step():
                break
        return first

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.pt"))

    @property
    def left(self) -> list[str]:
        state = State(experiment=self.experiment, manifest=self.manifest).again(self.manifest)
        return [trial.trial_id for trial in trials_left(without_damaged(state))]

    def assert_same_as(self, truth: dict[str, Numbers]) -> None:
        trial_id = self.trial.trial_id
        assert trial_id not in self.left
        others = {other: value for other, value in truth.items() if other != trial_id}
        record = self.experiment.read_done(trial_id)
        assert record
        found = Numbers(record, self.experiment.read_predictions(trial_id, ARRAYS))
        assert mismatches({trial_id: found, **others}, truth) == []


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, remove])
def test_newest_checkpoint_damaged_costs_one_more_epoch(
    tmp_path: Path, truth: dict[str, Numbers], damage: Damage
) -> None:
    one = OneTrial(tmp_path, epochs=5)
    newest = one.checkpoints[-1]
    damage(newest)
    assert one.run_epochs(100) == 4
    one.assert_same_as(truth)
    if damage is not remove:
        assert newest.with_name(f"{newest.name}.corrupt").exists()
        events = [event for event in one.experiment.read_events() if event["event"] == "checkpoint_corrupt"]
        assert [event["file"] for event in events] == [newest.name]


def test_both_checkpoints_damaged_starts_from_scratch(tmp_path: Path, truth: dict[str, Numbers]) -> None:
    one = OneTrial(tmp_path, epochs=5)
    assert len(one.checkpoints) == 2
    truncate(one.checkpoints[0])
    flip_a_bit(one.checkpoints[1])
    assert one.run_epochs(100) == 0
    one.assert_same_as(truth)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, remove])
def test_done_record_damaged_is_written_again_without_an_epoch(
    tmp_path: Path, truth: dict[str, Numbers], damage: Damage
) -> None:
    one = OneTrial(tmp_path, epochs=100)
    damage(one.folder / "done.json")
    assert one.trial.trial_id in one.left
    assert one.run_epochs(100) == 12
    one.assert_same_as(truth)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, remove])
def test_predictions_damaged_are_written_again_without_an_epoch(
    tmp_path: Path, truth: dict[str, Numbers], damage: Damage
) -> None:
    one = OneTrial(tmp_path, epochs=100)
    damage(one.folder / "predictions.npz")
    assert one.trial.trial_id in one.left
    assert one.run_epochs(100) == 12
    one.assert_same_as(truth)


def test_two_writers_of_a_trial_agree_and_keep_the_newest_checkpoints(
    tmp_path: Path, truth: dict[str, Numbers]
) -> None:
    one = OneTrial(tmp_path, epochs=3)
    outlived = TrialRun(one.trial, one.dataset, one.experiment, products=one.manifest.products)
    one.run_epochs(4)
    outlived.step()
    kept = [int(file.name.split("-")[1]) for file in one.checkpoints]
    assert kept[-2:] == [6, 7]
    assert one.run_epochs(100) == 7
    while not outlived.step():
        pass
    one.assert_same_as(truth)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty])
def test_manifest_damaged_is_refused_and_not_overwritten(case: Case, damage: Damage) -> None:
    planned(case.storage / NAME)
    manifest = case.storage / NAME / "manifest.json"
    damage(manifest)
    before = manifest.read_bytes()
    verbs = (["run", *WORDS], ["resume", NAME], ["status", NAME], ["verify", NAME])
    for words in verbs if damage is truncate else verbs[:1]:
        refused = case.sweep(*words)
        assert refused.process.returncode == 2, refused.output
        assert len(refused.output.splitlines()) == 1
        assert "manifest.json is damaged" in refused.output
        assert "nothing was changed" in refused.output
    assert manifest.read_bytes() == before
    assert [file.name for file in (case.storage / NAME).iterdir()] == ["manifest.json"]


def test_sweep_extended_twice_gives_the_bits_of_one_go(case: Case, cluster: str, truth: dict[str, Numbers]) -> None:
    small = [word for word in WORDS if not word.startswith(("seeds", "loss"))]
    for more in (
        ["loss=hinge", "seeds=0"],
        ["loss=hinge", "seeds=0,1", "--extend"],
        ["loss=cross_entropy,hinge", "seeds=0,1", "--extend"],
    ):
        before = len(case.ledger.rows)
        run = case.sweep("run", *small, *more, address=cluster)
        assert run.process.returncode == 0, run.output
        assert len(case.ledger.rows) > before
    assert case.ledger.rerun == []
    assert case.ledger.repeated == 0
    assert len(numbers(case.experiment)) == 6  # the second seed of two points was a further trial of each
    assert _replicates(numbers(case.experiment)) == _replicates(truth)
    refused = case.sweep("run", *small, "loss=hinge", "seeds=0", "--extend")
    assert refused.process.returncode == 2
    assert "not remove or change" in refused.output


def _replicates(found: dict[str, Numbers]) -> dict[tuple[str, int], str]:
    """The parameters' hash of each grid point and seed."""
    return {
        (trial_id.rpartition("-")[0], replicate.seed): replicate.parameters_sha256
        for trial_id, one in found.items()
        for replicate in one.record.replicates
    }
