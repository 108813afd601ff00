"""A command reads an experiment once: each record is decoded at most once, whatever asks for it."""

import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import sweep.launch
import sweep.tuning
from sweep.cli import execute
from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.records import Experiment
from sweep.records import experiment as files
from sweep.storage import LocalStorage
from sweep.trial import run_trial

WORDS = ("smoke", "depth=shallow,deep", "activation=relu,tanh", "loss=hinge", "epochs=1", "seeds=0,1")
Command = Callable[..., Counter[str]]


class NoRay:
    """Stands for a cluster; the trials are trained in this process."""

    warning = ""

    def __init__(self, address: str | None, **options: Any) -> None:
        self.nodes = [sweep.tuning.local_node(gpus=False)]

    def __enter__(self) -> "NoRay":
        return self

    def __exit__(self, *ending: object) -> None:
        pass


def train_here(
    trials: Sequence[TrialConfig],
    *,
    dataset: Dataset,
    experiment: Experiment,
    listener: Callable[[Mapping[str, Any]], None],
    stop: threading.Event,
    **options: Any,
) -> None:
    for trial in trials:
        run_trial(trial, dataset, Experiment(experiment.storage))
        metrics = {"epoch": trial.epochs, "train_accuracy": 0.5, "validation_accuracy": 0.5, "train_time_s": 1.0}
        listener({"trial_id": trial.trial_id, "outcome": "done", **metrics})


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process; gives how often each content was decoded."""
    monkeypatch.setattr(sweep.tuning, "Cluster", NoRay)
    monkeypatch.setattr("sweep.tuning.trials.run_trials", train_here)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, exit_code: int = 0) -> Counter[str]:
        decoded: Counter[str] = Counter()
        with monkeypatch.context() as patch:
            decode = files.decode

            def counting(kind: type, content: bytes, of_format_2: Callable[[Any], Any]) -> Any:
                decoded[f"{kind.__name__} {content!r}"] += 1
                return decode(kind, content, of_format_2)

            patch.setattr(files, "decode", counting)
            patch.setattr(sys, "argv", ["sweep", *words])
            with pytest.raises(SystemExit) as ending:
                execute()
        assert ending.value.code == exit_code
        assert all(count == 1 for count in decoded.values())
        return Counter(key.partition(" ")[0] for key in decoded)

    return run


def test_every_command_decodes_each_record_once(command: Command, tmp_path: Path) -> None:
    new = command("run", *WORDS)
    assert new["DoneRecord"] == 4
    assert new["Manifest"] <= 1
    for words in (
        ("run", *WORDS),
        ("resume", "smoke"),
        ("resume", "smoke", "--failed"),
        ("report", "smoke"),
        ("status", "smoke"),
        ("list",),
        ("verify", "smoke"),
    ):
        assert command(*words) == {"DoneRecord": 4, "Manifest": 1}, words
    assert command("doctor", *WORDS) == {"DoneRecord": 4, "Manifest": 1}
    folder = tmp_path / "experiments" / "smoke"
    for done in sorted((folder / "trials").glob("*/done.json"))[:2]:
        shutil.rmtree(done.parent)
    assert command("resume", "smoke") == {"DoneRecord": 4, "Manifest": 1}
    larger = [word if word != "seeds=0,1" else "seeds=0..2" for word in WORDS]
    assert command("run", *larger, "--extend") == {"DoneRecord": 8, "Manifest": 1}
    assert command("confirm", "smoke", "--count", "2") == {"DoneRecord": 10, "Manifest": 1}
    assert command("confirm", "smoke") == {"DoneRecord": 10, "Manifest": 1}


def test_what_another_driver_did_before_the_lock_is_seen(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("run", *WORDS)
    storage = LocalStorage(tmp_path / "experiments" / "smoke")
    experiment = Experiment(storage)
    manifest = experiment.read_manifest()
    assert manifest
    first, second, *_ = [trial.trial_id for trial in manifest.trials]
    content = storage.read(f"trials/{first}/done.json")
    storage.delete(f"trials/{first}/done.json")
    trained: list[str] = []

    class OtherDriver(sweep.launch.Lock):  # type: ignore[name-defined, misc]
        """Finishes one trial, and loses another, before the lock is ours."""

        def __enter__(self) -> Any:
            storage.write(f"trials/{first}/done.json", content)
            shutil.rmtree(storage.root / "trials" / second)
            return super().__enter__()

    def train(trials: Sequence[TrialConfig], **options: Any) -> None:
        trained.extend(trial.trial_id for trial in trials)
        train_here(trials, **options)

    monkeypatch.setattr("sweep.launch.Lock", OtherDriver)
    monkeypatch.setattr("sweep.tuning.trials.run_trials", train)
    command("resume", "smoke")
    assert trained == [second]
