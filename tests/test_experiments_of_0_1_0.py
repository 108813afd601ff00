"""Experiments that 0.1.0 wrote are read, verified, reported and finished; `experiments_of_0_1_0/` says what each is."""

import json
import shutil
from pathlib import Path

import pytest
from command import run_command
from scored import last

from sweep.records import Experiment, read_state
from sweep.storage import LocalStorage
from sweep.verify import verify

FIXTURE = Path(__file__).parent / "experiments_of_0_1_0"
NAMES = ["extended", "failed", "finished", "half_done", "no_validation", "own_data"]
# Trials done, failed, left.
STATES = {
    "extended": (6, 0, 0),
    "failed": (1, 1, 0),
    "finished": (4, 0, 0),
    "half_done": (1, 0, 3),
    "no_validation": (2, 0, 0),
    "own_data": (2, 0, 0),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it was left, with the experiments in `experiments`."""
    for file in ("choices.toml", "own.toml", "own data.npz"):
        shutil.copy(FIXTURE / file, tmp_path / file)
    for name in NAMES:
        shutil.copytree(FIXTURE / name, tmp_path / "experiments" / name)
    return tmp_path


def experiment(folder: Path, name: str) -> Experiment:
    return Experiment(LocalStorage(folder / "experiments" / name))


def scores(folder: Path, name: str) -> dict[str, list[dict[str, object]]]:
    """What `uninterrupted.json` holds, of the trials that are finished."""
    return {
        trial_id: [
            {"seed": replicate.seed, "test_accuracy": value, "parameters_sha256": replicate.parameters_sha256}
            for replicate, value in zip(record.replicates, last(record, "test_accuracy"), strict=True)
        ]
        for trial_id, record in read_state(experiment(folder, name)).done.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_is_finished_failed_and_left_is_read(folder: Path, name: str) -> None:
    records = read_state(experiment(folder, name))
    left = len(records.manifest.trials) - len(records.done) - len(records.failed)
    assert (len(records.done), len(records.failed), left) == STATES[name]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_whole_and_scores_are_those_of_the_weights(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # 0.1.0 took a data file relative to the current folder
    findings = list(verify(experiment(folder, name)))
    bad = {finding.check for finding in findings if not finding.ok}
    done = read_state(experiment(folder, name)).done
    assert not bad & set(done)
    assert len(bad) == sum(STATES[name][1:])  # a trial that is not finished is said to be so


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_named_or_confirmed_and_trials_of_added_seeds_are_looks(folder: Path, name: str) -> None:
    manifest = read_state(experiment(folder, name)).manifest
    assert manifest.compared == manifest.trials
    assert (manifest.sweep.compare, manifest.sweep.baseline, manifest.confirmations) == ((), (), ())
    assert manifest.looks == (2 if name == "extended" else 1)


@pytest.mark.slow
def test_what_0_1_0_finished_is_confirmed(folder: Path) -> None:
    before = scores(folder, "extended")
    finished = run_command("confirm", "extended", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    records = read_state(experiment(folder, "extended"))
    assert len(records.manifest.confirmations) >= 2
    assert all(trial.trial_id in records.done for trial in records.manifest.confirmations)
    after = scores(folder, "extended")
    assert {trial_id: after[trial_id] for trial_id in before} == before


@pytest.mark.slow
def test_one_report_and_all_side_by_side_are_written(folder: Path) -> None:
    finished = run_command("report", *NAMES, "--out", "side by side", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert (folder / "side by side" / "report.html").stat().st_size > 10_000
    for name in NAMES:
        page = (folder / "side by side" / name / "report.html").read_text()
        for trial_scores in scores(folder, name).values():
            mean = 100 * sum(float(str(one["test_accuracy"])) for one in trial_scores) / len(trial_scores)
            assert len(trial_scores) == 1 or f"{mean:.2f}" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half_done", "failed"])
def test_what_was_left_is_finished_with_the_numbers_of_an_uninterrupted_run(folder: Path, name: str) -> None:
    before = scores(folder, name)
    finished = run_command("resume", name, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    after = scores(folder, name)
    assert len(after) == sum(STATES[name])
    assert {trial_id: after[trial_id] for trial_id in before} == before
    expected = json.loads((FIXTURE / "uninterrupted.json").read_text())
    records = read_state(experiment(folder, name))
    for trial_id, record in records.done.items():
        for found, wanted in zip(after[trial_id], expected[trial_id], strict=True):
            if record.bit_exact(records.manifest):
                assert found == wanted
            else:  # another processor or torch rounds otherwise
                assert found["test_accuracy"] == pytest.approx(wanted["test_accuracy"], abs=0.02)


@pytest.mark.slow
def test_seeds_are_added_and_nothing_is_trained_again(folder: Path) -> None:
    before = scores(folder, "extended")
    words = ("choices.toml", "learning_rate=0.01,0.003", "depth=narrow", "activation=relu", "seeds=0..2")
    finished = run_command("run", *words, "--name", "extended", "--extend", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    after = scores(folder, "extended")
    assert {trial_id: after[trial_id] for trial_id in before} == before
    added = [one["seed"] for trial_id in set(after) - set(before) for one in after[trial_id]]
    assert added == [2, 2, 2, 2]
