"""A finished experiment stands for the data it was made with; paths mean the same wherever a command is typed."""

import dataclasses
import io
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from command import run_command
from own_data import write_npz
from rich.console import Console

from sweep.config import SweepConfig, load_sweep
from sweep.datasets import load_dataset
from sweep.display import Lines
from sweep.errors import ExperimentError
from sweep.launch import Launch, resume_command, run_sweep
from sweep.plan import make_manifest
from sweep.records import Manifest
from sweep.storage import LocalStorage, open_storage
from sweep.trial import describe_worker, run_trial
from sweep.verify import verify

SWEEP_FILE = """
dataset = "{dataset}"
epochs = 1
seeds = [0]
validation_size = 12
[axes]
depth = ["tiny"]
activation = ["relu"]
loss = ["hinge"]
[layers]
tiny = [4]
"""


def write_sweep(file: Path, dataset: str = "d.npz") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SWEEP_FILE.format(dataset=dataset))
    return file


def finish(sweep: SweepConfig, launch: Launch, file: Path, *, known: bool = True) -> Manifest:
    """Makes the whole experiment in this process; `known` as today, else as sweep 0.1.0 did."""
    worker = describe_worker()
    dataset = dataclasses.replace(load_dataset(sweep.dataset, validation_size=12, file=str(file)))
    manifest = make_manifest(
        sweep,
        dataset,
        name=launch.name,
        command="",
        worker=worker,
    )
    if not known:
        old = {"values": "", "target_counts": {}, "doubts": (), "files": {}}
        manifest = dataclasses.replace(manifest, dataset=dataclasses.replace(manifest.dataset, **old))
    launch.experiment.write_test_split(images=dataset.test_pixels, y_true=dataset.test.labels)
    launch.experiment.write_manifest(manifest)
    for trial in manifest.trials:
        run_trial(trial, dataset, launch.experiment)
    return manifest


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(storage=LocalStorage(tmp_path / "all"), name="e", command="sweep run s.toml")


class Said(Lines):
    """Keeps what it shows."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        super().__init__(Console(file=self.stream))


@pytest.fixture
def display() -> Said:
    return Said()


@pytest.mark.parametrize("known", [True, False])
def test_a_finished_experiment_is_compared_with_the_data_there_are_now(
    tmp_path: Path, launch: Launch, display: Said, known: bool
) -> None:
    file = write_npz(tmp_path / "here" / "d.npz")
    sweep = load_sweep(str(write_sweep(tmp_path / "here" / "s.toml")))
    manifest = finish(sweep, launch, file, known=known)
    resumed = manifest.sweep if known else sweep
    for again in (sweep, resumed):
        assert run_sweep(again, launch, display).complete
    write_npz(file, seed=1)
    for again in (sweep, resumed):
        for options in ({}, {"extend": True}, {"only_failed": True}):
            with pytest.raises(ExperimentError, match="the experiment was made with"):
                run_sweep(again, dataclasses.replace(launch, **options), display)
    assert "warning" not in display.stream.getvalue()
    file.unlink()
    assert run_sweep(sweep, launch, display).complete
    assert "warning: the data are not compared" in display.stream.getvalue()
    assert f"there is no file at {file}" in display.stream.getvalue()


def test_an_experiment_goes_on_after_its_folder_has_moved_and_its_trials_keep_their_ids(
    tmp_path: Path, launch: Launch, display: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "old" / "data" / "d.npz")
    sweep = load_sweep(str(write_sweep(tmp_path / "old" / "s.toml", "data/d.npz")))
    manifest = finish(sweep, launch, tmp_path / "old" / "data" / "d.npz")
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = load_sweep(str(tmp_path / "new" / "s.toml"))
    assert run_sweep(moved, launch, display).complete
    assert "warning" not in display.stream.getvalue()
    assert moved.trials(dataset_sha256=manifest.dataset.sha256, engine=manifest.trials[0].engine) == list(
        manifest.trials
    )
    (bad,) = [finding for finding in verify(launch.experiment) if not finding.ok]
    assert str(tmp_path / "old" / "data" / "d.npz") in bad.text
    assert "--data-dir" in bad.text
    assert all(finding.ok for finding in verify(launch.experiment, data_dir=str(tmp_path / "new" / "data")))
    monkeypatch.chdir(tmp_path / "new")
    assert all(finding.ok for finding in verify(launch.experiment))


AWKWARD = "a [b] #1, ü 'q' \"z\" $x; &"


def test_the_command_to_go_on_with_means_the_same_to_a_shell(tmp_path: Path) -> None:
    words = {"--storage": f"{tmp_path}/{AWKWARD}", "--data-dir": f"./{AWKWARD}\nnext", "--address": "auto"}
    launch = Launch(
        storage=open_storage(words["--storage"]), name="e", command="", data_dir=words["--data-dir"], address="auto"
    )
    shell = 'sweep() { printf "%s\\0" "$@"; }\n' + resume_command(launch)
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, cwd=tmp_path)
    verb, name, *options = answer.stdout.split("\0")[:-1]
    assert (verb, name) == ("resume", "e")
    assert dict(zip(options[::2], options[1::2], strict=True)) == words


@pytest.mark.slow
def test_blanks_commas_and_other_characters_work_in_every_path(tmp_path: Path) -> None:
    shell, folder = tmp_path / "shell", tmp_path / f"data {AWKWARD}"
    write_npz(folder / f"d=1 {AWKWARD}.NPZ", separation=4)
    write_npz(shell / "d.npz", seed=1)  # what a path relative to the shell's folder would find
    text = json.dumps(f"d=1 {AWKWARD}.NPZ", ensure_ascii=False)[1:-1]
    file = write_sweep(folder / f"s=1 {AWKWARD}.TOML", text)
    storage = f"../experiments {AWKWARD}"
    run = run_command("run", f"../{folder.name}/{file.name}", "--storage", storage, "--name", "e", cwd=shell)
    assert run.returncode == 0, run.stderr
    manifest = json.loads((tmp_path / f"experiments {AWKWARD}" / "e" / "manifest.json").read_text())
    assert list(manifest["dataset"]["files"]) == [str(folder / f"d=1 {AWKWARD}.NPZ")]
    # What the report's provenance gives is what was typed; a shell makes the same words of it.
    assert shlex.split(manifest["commands"][0])[2:] == [
        f"../{folder.name}/{file.name}",
        *shlex.split(shlex.join(["--storage", storage, "--name", "e"])),
    ]
    for words in (("resume", "e"), ("verify", "e"), ("report", "e", "--out", f"out {AWKWARD}")):
        again = run_command(*words, "--storage", str(tmp_path / f"experiments {AWKWARD}"), cwd=tmp_path)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "warning" not in again.stderr
    assert (tmp_path / f"out {AWKWARD}" / "report.html").is_file()
