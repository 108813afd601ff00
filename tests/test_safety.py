"""No secret is written down, nothing is open to others, and nothing that is read is executed."""

import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from command import SECRETS, run_command

from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ResourceError
from sweep.records import Experiment
from sweep.trial import TrialRun, load_checkpoint


def files_below(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file())


def test_no_secret_of_the_environment_is_in_experiment_report_or_output(smoke_folder: Path) -> None:
    files = list(files_below(smoke_folder))
    assert {path.name for path in files} >= {
        "manifest.json", "events.jsonl", "done.json", "predictions.npz", "report.html", "stdout.txt", "stderr.txt",
    }  # fmt: skip
    found = [
        f"{name} in {path}"
        for path in files
        for name, value in SECRETS.items()
        for secret in value.rpartition("=")[2:]
        if secret.encode() in path.read_bytes()
    ]
    assert found == []


def test_no_error_repeats_the_user_and_password_of_an_address() -> None:
    text = str(ResourceError("nothing answers at http://AKIA:hunter2@host:8265, nor at s3://b?e=https://u:hunter2@h/x"))
    assert text == "nothing answers at http://...@host:8265, nor at s3://b?e=https://...@h/x"


def test_nobody_else_can_read_an_experiment(smoke_folder: Path) -> None:
    experiments = smoke_folder / "experiments"
    open_to_others = [path for path in (experiments, *experiments.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []


class Touch:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (self._path,)


def test_a_checkpoint_that_would_run_code_is_refused(
    digits: Dataset, experiment: Experiment, make_trial: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    trial = make_trial(epochs=3)
    run = TrialRun(trial, digits, experiment)
    run.step()
    (good,) = (tmp_path / "experiments" / "test" / "trials" / trial.trial_id).glob("checkpoint-*")
    made = tmp_path / "made"
    hidden = torch.load(good, weights_only=True) | {"fingerprints": Touch(made)}
    torch.save(hidden, tmp_path / "hidden.pt")
    for content in (pickle.dumps(Touch(made), protocol=2), (tmp_path / "hidden.pt").read_bytes()):
        with pytest.raises(pickle.UnpicklingError):
            load_checkpoint(content)
        # As an attacker would place it: under the right name, with the right hash.
        name = f"checkpoint-000002-{hashlib.sha256(content).hexdigest()[:16]}.pt"
        (good.parent / name).write_bytes(content)
        with pytest.raises(pickle.UnpicklingError):
            TrialRun(trial, digits, experiment)
        (good.parent / name).unlink()
    assert not made.exists()
    # The payload is real: whoever trusts it runs it.
    torch.load(tmp_path / "hidden.pt", weights_only=False)
    assert made.exists()


def test_records_with_pickles_in_them_are_refused(experiment: Experiment, tmp_path: Path) -> None:
    import numpy as np

    made = tmp_path / "made"
    folder = tmp_path / "experiments" / "test"
    folder.mkdir(parents=True)
    np.savez(folder / "test_split.npz", images=np.array([Touch(made)], dtype=object), y_true=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        experiment.read_test_split()
    assert not made.exists()


def test_names_and_paths_never_reach_a_shell(tmp_path: Path, smoke_folder: Path) -> None:
    awkward = "a;$(touch made)`touch made`|touch made.toml"
    shutil.copytree(smoke_folder / "experiments", tmp_path / "$(touch made);all")
    (tmp_path / awkward).write_text((Path(__file__).parents[1] / "sweep" / "sweeps" / "smoke.toml").read_text())
    for words, code, message in (
        (["run", awkward, "--name", "a", "--dry-run"], 0, "27 grid points"),
        (["run", awkward], 2, "cannot be an experiment's name"),
        (["run", "smoke", "--name", "a;$(touch made)"], 2, "cannot be an experiment's name"),
        (["run", "smoke", "dataset=$(touch made).npz"], 2, "cannot read $(touch made).npz"),
        (["status", "smoke", "--storage", "$(touch made);all"], 0, "27/27 trials done"),
        (["run", "smoke", "--storage", "$(touch made);all", "--quiet"], 0, "report: "),
        (["submit", awkward, "--name", "a", "--storage", "/x;touch made", "--address", "http://h:1", "--dry-run"], 0,
         "sweep run './a;$(touch made)`touch made`|touch made.toml' --address auto --storage '/x;touch made' --name a"),
    ):  # fmt: skip
        finished = run_command(*words, cwd=tmp_path)
        assert (finished.returncode, message in finished.stdout + finished.stderr) == (code, True), finished
    assert [path for path in tmp_path.rglob("*") if path.name in ("made", "made.toml")] == []


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_refused_by_the_file_system(smoke_folder: Path) -> None:
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os._exit(1 if os.access(smoke_folder / "experiments" / "smoke" / "manifest.json", os.R_OK) else 0)
    assert os.waitpid(child, 0)[1] == 0
