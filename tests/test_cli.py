"""The command as a user types it: what it prints, what it writes, how it exits."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sealed
from command import run_command

from sweep.cli import execute
from sweep.records import open_experiment
from sweep.storage import LocalStorage

Run = Callable[..., tuple[int, str, str]]
WRITTEN = Path(__file__).parent / "experiments_of_0_1_0"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process and folder; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweep", *words])
        with pytest.raises(SystemExit) as exited:
            execute()
        code = exited.value.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "minst"], 2, "did you mean 'mnist'?"),
        (["run", "mnist", "epoch=3"], 2, "did you mean 'epochs'?"),
        (["run", "mnist", "activation=rleu"], 2, "did you mean 'relu'?"),
        (["run", "mnist", "dataset=mnits"], 2, "did you mean 'mnist'?"),
        (["run", "mnist", "seeds="], 2, "seeds= has an empty value"),
        (["run", "mnist", "seeds=1,1"], 2, "seeds repeats a value"),
        (["run", "mnist", "epochs=0"], 2, "at least 1"),
        (["run", "mnist", "epochs=many"], 2, "must be a whole number"),
        (["run", "mnist", "validation_size=-1"], 2, "at least 0"),
        (["run", "smoke", "validation_size=5000"], 2, "such as 1427"),
        (["run", "smoke", "--name", "a/b"], 2, "cannot be an experiment's name"),
        (["run", "smoke", "--name", ".."], 2, "cannot be an experiment's name"),
        (["run", "smoke", "num_gpus=1"], 3, "0 GPUs"),
        (["run", "smoke", "num_cpus=4096"], 3, "lower num_cpus"),
        (["run", "smoke", "--address", "127.0.0.1:1"], 3, "nothing answers at 127.0.0.1:1"),
        (["run", "smoke", "--address", "ray://127.0.0.1:1"], 3, "is not supported"),
        (["run", "smoke", "--address", "nonsense"], 3, "is no Ray address"),
        (["run", "smoke", "dataset=missing.npz"], 2, "cannot read missing.npz"),
        (["resume", "mnist"], 2, "there are none yet"),
        (["report", "mnist"], 2, "there are none yet"),
        (["status", "mnist"], 2, "there are none yet"),
    ],
)
def test_a_mistake_is_one_line_without_traceback_and_writes_nothing(
    sweep: Run, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    exit_code, _, error = sweep(*words)
    last_line = error.strip().splitlines()[-1]
    assert exit_code == code
    assert last_line.startswith("error: ")
    assert message in last_line
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_storage_path_that_is_a_file_is_one_line(sweep: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, error = sweep("run", "smoke", "--storage", "file")
    assert code == 2
    assert "a part of the path is a file; choose another place with --storage" in error.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_dry_run_prints_the_plan_and_writes_nothing(sweep: Run, tmp_path: Path) -> None:
    code, out, _ = sweep("run", "smoke", "seeds=0..3", "--dry-run")
    assert code == 0
    assert "27 grid points x 4 seeds = 108 models, 2 epochs each" in out
    assert "digits: 1,237 training, 200 validation, 360 test images" in out
    assert "GB on disk" in out
    assert out.count("58,442") == 9  # parameters of the deep ones
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_exit_codes(sweep: Run) -> None:
    for words in (["--help"], ["run", "--help"], ["resume", "--help"]):
        code, out, _ = sweep(*words)
        assert code == 0
        assert "130 / 143" in " ".join(out.split())


def test_a_whole_sweep_prints_a_line_for_each_trial_and_writes_the_report(smoke_folder: Path) -> None:
    lines = (smoke_folder / "stderr.txt").read_text().splitlines()
    assert sum(line.startswith("[") for line in lines) == 27
    assert any(line.startswith("[27/27] ") for line in lines)
    assert "report: experiments/smoke/report/report.html" in (smoke_folder / "stdout.txt").read_text()
    # The largest models come first, so that no long trial is left for the end.
    assert all("deep-" in line for line in lines if line.startswith(("[1/", "[2/", "[3/")))
    with (smoke_folder / "experiments" / "smoke" / "report" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "trial_id", "depth", "activation", "loss", "learning_rate", "batch_size", "seed", "train_accuracy",
        "validation_accuracy",
        "test_accuracy", "precision", "recall", "f1", "train_time_s",
    ]  # fmt: skip
    assert len(rows) == 27
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows)
    with (smoke_folder / "experiments" / "smoke" / "report" / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert list(history[0]) == [
        "trial_id", "depth", "activation", "loss", "learning_rate", "batch_size", "seed", "epoch", "train_loss",
        "train_accuracy",
        "validation_loss", "validation_accuracy",
    ]  # fmt: skip
    assert len(history) == 27 * 2


def test_ray_says_nothing_and_leaves_nothing_in_the_folder(smoke_folder: Path) -> None:
    ours = r"python 3\.|starting Ray$|\d+ trials at a time|smoke: 27 of 27 trials to train|\[\d+/27\] "
    lines = (smoke_folder / "stderr.txt").read_text().splitlines()
    assert [line for line in lines if not re.match(ours, line)] == []
    # All of it is in a folder that a clone of this repository ignores, so that a run leaves it clean.
    assert sorted(path.name for path in smoke_folder.iterdir()) == ["experiments", "stderr.txt", "stdout.txt"]
    assert "experiments/" in (Path(__file__).parents[1] / ".gitignore").read_text().split()


def test_cross_entropy_and_sparse_cross_entropy_give_identical_rows(smoke_folder: Path) -> None:
    experiment = open_experiment(LocalStorage(smoke_folder / "experiments"), "smoke")
    manifest = experiment.read_manifest()
    assert manifest is not None
    parameters = {}
    for trial in manifest.trials:
        record = experiment.read_done(trial.trial_id)
        assert record is not None
        parameters[trial.depth, trial.activation, trial.loss] = record.replicates[0].parameters_sha256
    for depth, activation, loss in parameters:
        same = parameters[depth, activation, "cross_entropy"] == parameters[depth, activation, loss]
        assert same == (loss != "hinge")


def test_a_complete_sweep_is_not_trained_again(smoke_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(smoke_folder, folder)
    before = (folder / "experiments" / "smoke" / "events.jsonl").read_text()
    finished = run_command("run", "smoke", cwd=folder)
    assert finished.returncode == 0
    assert "starting Ray" not in finished.stderr
    assert (folder / "experiments" / "smoke" / "events.jsonl").read_text() == before


def test_another_sweep_of_the_same_name_is_refused_with_the_differences(smoke_folder: Path) -> None:
    finished = run_command("run", "smoke", "epochs=3", "depth=deep", cwd=smoke_folder)
    assert finished.returncode == 2
    assert "epochs: 2 in the experiment, 3 asked for; depth: shallow,medium,deep in the experiment" in finished.stderr
    assert "--name" in finished.stderr


def test_status_and_list_read_the_files(sweep: Run, smoke_folder: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    shutil.copytree(smoke_folder / "experiments", storage)
    done = sorted((storage / "smoke" / "trials").glob("*/done.json"))
    done[0].unlink()
    done[1].write_text(done[1].read_text()[:-20])
    (done[2].parent / "error.txt").write_text("Traceback ...\nValueError: no")
    done[2].unlink()
    code, out, _ = sweep("status", "smoke", "--storage", str(storage))
    assert code == 0
    assert out.startswith("smoke: 24/27 trials done, 1 failed, 2 left")
    assert "ValueError: no" in out
    code, out, _ = sweep("status", "smoke", "--storage", str(storage), "--json")
    answer = json.loads(out)
    assert (answer["done"], answer["failed"], answer["left"], answer["complete"]) == (24, 1, 2, False)
    assert [row["epoch"] for row in answer["trials"] if row["state"] == "left"] == [2, 2]
    code, out, _ = sweep("list", "--storage", str(storage), "--json")
    assert json.loads(out)[0] | {"created": ""} == {
        "name": "smoke", "done": 24, "failed": 1, "trials": 27, "created": "", "problem": "",
    }  # fmt: skip
    code, out, _ = sweep("resume", "smok", "--storage", str(storage))
    assert code == 2


def test_a_report_needs_neither_ray_nor_torch(smoke_folder: Path, tmp_path: Path) -> None:
    for name in ("ray", "torch", "torchvision"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not on this machine')")
    storage = str(smoke_folder / "experiments")
    code = (
        "import sys; from sweep.cli import main; "
        f"sys.argv = ['sweep', 'report', 'smoke', '--storage', {storage!r}, '--out', 'out']; main()"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out" / "report.html").exists()


# Makes the import of the report's modules take longer, and says what Ray was like at its end.
_SLOW_IMPORT = """
import importlib, pathlib, sys, time

import_module = importlib.import_module

def import_slowly(name, package=None):
    module = import_module(name, package)
    if name == "sweep.report.writing":
        time.sleep(2)
        pathlib.Path("imported").write_text("with Ray" if sys.modules["ray"].is_initialized() else "without Ray")
    return module

importlib.import_module = import_slowly
"""


@pytest.mark.slow
def test_ray_is_left_only_after_the_reports_modules_are_imported(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SLOW_IMPORT)
    folder = tmp_path / "run"
    folder.mkdir()
    words = ("run", "smoke", "depth=shallow", "activation=relu", "loss=hinge,cross_entropy", "seeds=0")
    finished = run_command(*words, cwd=folder, variables={"PYTHONPATH": str(tmp_path)})
    assert finished.returncode == 0, finished.stderr
    assert (folder / "imported").read_text() == "with Ray"


@pytest.mark.slow
def test_the_users_own_grid_runs_on_their_own_data(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    np.savez(tmp_path / "mine.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    (tmp_path / "grid.toml").write_text(
        'dataset = "mine.npz"\nepochs = 4\nseeds = [0, 1]\nvalidation_size = 50\n'
        '[axes]\ndepth = ["none", "tiny"]\nactivation = ["tanh"]\nloss = ["hinge"]\nlearning_rate = [0.01, 0.1]\n'
        "[layers]\nnone = []\ntiny = [8]\n"
    )
    finished = run_command("run", "grid.toml", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "experiments" / "grid" / "report" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["depth"], row["learning_rate"]) for row in rows} == {
        (depth, rate) for depth in ("none", "tiny") for rate in ("0.01", "0.1")
    }
    assert max(float(row["test_accuracy"]) for row in rows) > 0.9


# ---- values, names and records, as a user meets them


@pytest.mark.slow
def test_values_that_are_close_are_trained_extended_reported_and_verified(tmp_path: Path) -> None:
    words = ("run", "smoke", "depth=shallow", "activation=relu", "loss=hinge", "epochs=1", "--quiet")
    first = run_command(*words, "learning_rate=0.1,0.1000000001", "seeds=0,1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    more = run_command(
        *words, "learning_rate=0.1,0.1000000001,0.10000000010000001", "seeds=0..2", "--extend", cwd=tmp_path
    )
    assert more.returncode == 0, more.stderr
    manifest = open_experiment(LocalStorage(tmp_path / "experiments"), "smoke").read_manifest()
    assert manifest
    assert [(trial.learning_rate, trial.seeds) for trial in manifest.trials] == [
        (0.1, (0, 1)), (0.1000000001, (0, 1)), (0.1, (2,)), (0.1000000001, (2,)), (0.10000000010000001, (0, 1, 2)),
    ]  # fmt: skip
    assert "0.10000000010000001" in more.stdout
    verified = run_command("verify", "smoke", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    again = run_command(*words, "learning_rate=1e-1,0.1000000001,0.10000000010000001", "seeds=0..2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("words", [[], ["mnist"]])
@pytest.mark.parametrize("verb", [["run", "--dry-run"], ["doctor"], ["submit", "--address", "http://h:1", "--dry-run"]])
def test_overrides_alone_change_the_default_sweep_of_every_verb(sweep: Run, verb: list[str], words: list[str]) -> None:
    code, out, err = sweep(*verb, *words, "epochs=3", "depth=shallow", "--storage", "/proc/nowhere")
    assert code == (verb == ["doctor"]), err  # which finds that nothing can be written there
    assert "mnist" in out


@pytest.mark.parametrize("words", [["--storage=~/sweeps"], ["--storage", "~/sweeps"], ["--storage", "~"]])
def test_a_tilde_is_the_home_folder_in_every_path_of_a_command(
    sweep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    shutil.copytree(WRITTEN / "finished", home / words[-1].rpartition("~")[2].strip("/") / "finished")
    (home / "mine.toml").write_text("dataset = 'digits'\nvalidation_size = 99\n")
    assert sweep("status", "finished", *words)[0] == 0
    assert sweep("report", "finished", *words, "--out=~/page")[0] == 0
    assert (home / "page" / "report.html").exists()
    code, out, _ = sweep("run", "~/mine.toml", "--dry-run", "--data-dir=~/data", *words)
    assert (code, "99 validation" in out) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "words", [["list", "--storage=~nobody-of-that-name/x"], ["run", "~nobody-of-that-name/s.toml"]]
)
def test_the_home_of_nobody_is_refused(sweep: Run, tmp_path: Path, words: list[str]) -> None:
    code, _, error = sweep(*words)
    assert code == 2
    assert "no home folder" in error
    assert list(tmp_path.iterdir()) == []


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda folder: os.truncate(folder / "manifest.json", 99),
    "empty": lambda folder: os.truncate(folder / "manifest.json", 0),
    "later": lambda folder: sealed.change(folder / "manifest.json", lambda body: body.update(format=99)),
    "unsafe": lambda folder: sealed.change(
        folder / "manifest.json", lambda body: body["trials"][0].update(trial_id="../../x")
    ),
    "no_folder": lambda folder: ((folder / "trials").rename(folder / "moved"), (folder / "trials").touch()),
}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage path with two whole experiments, one of each damage, and folders that are none."""
    for name in ("a", "z", *DAMAGES):
        shutil.copytree(WRITTEN / "finished", tmp_path / name)
    for name, damage in DAMAGES.items():
        damage(tmp_path / name)
    for name in ("lost+found", "a b\nc", "reports", ".hidden", "\udcff"):
        (tmp_path / name).mkdir()
    (tmp_path / "a file").write_text("no experiment")
    (tmp_path / "odd" / "manifest.json").mkdir(parents=True)
    return tmp_path


def test_experiments_that_cannot_be_read_are_named_and_hide_no_other(sweep: Run, storage: Path) -> None:
    code, out, _ = sweep("list", "--storage", str(storage))
    assert code == 0
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert lines.keys() == {"a", "z", *DAMAGES}
    assert {name for name in lines if lines[name].startswith("4/4 trials done")} == {"a", "z"}
    code, out, _ = sweep("list", "--storage", str(storage), "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows.keys() == lines.keys()
    assert {name for name, row in rows.items() if not row["problem"]} == {"a", "z"}
    assert {rows[name]["done"] for name in DAMAGES} == {None}


@pytest.mark.parametrize("verb", ["status", "report", "resume", "verify"])
def test_an_experiment_that_cannot_be_read_is_one_line_of_every_verb(sweep: Run, storage: Path, verb: str) -> None:
    for name in DAMAGES:
        code, _, error = sweep(verb, name, "--storage", str(storage))
        assert code == 2
        assert len(error.splitlines()) == 1
        assert error.startswith("error: ")


def test_an_experiment_is_opened_under_the_name_that_its_folder_has(sweep: Run, tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "finished", tmp_path / "experiments" / "finished (copy)")
    assert sweep("list")[1].startswith("finished (copy): 4/4")
    assert sweep("status", "finished (copy)")[1].startswith("finished (copy): 4/4")
    for name in ("../experiments/finished (copy)", "a/b", ".."):
        assert sweep("status", name)[0] == 2


def test_what_a_record_says_cannot_steer_the_terminal(sweep: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(WRITTEN / "failed", tmp_path / "experiments" / "failed")
    sealed.change(folder / "manifest.json", lambda body: body.update(created="\x1b[2J\nnow"))
    (error,) = folder.glob("trials/*/error.txt")
    error.write_text("Traceback\nValueError: \x1b]0;title\x07 \u202e")
    for words in (["list"], ["status", "failed"], ["verify", "failed"]):
        out = sweep(*words)[1]
        assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert len(sweep("list")[1].splitlines()) == 1


def test_versions_are_told_without_importing_what_is_slow(sweep: Run) -> None:
    code, out, _ = sweep("--version")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["sweep", "Python", "torch", "ray"]
    assert all(re.fullmatch(r"\S+ \d+\.\d+\S*", line) for line in out.splitlines())
    script = (
        "import sys, contextlib; from sweep.cli import execute; sys.argv = ['sweep', '--version']\n"
        "with contextlib.suppress(SystemExit): execute()\n"
        "assert not {'torch', 'ray', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_help_shows_commands_that_are_understood(sweep: Run) -> None:
    out = sweep("run", "--help")[1]
    examples = re.findall(r"^ +(sweep run.*?)  ", out, re.MULTILINE)
    assert 4 <= len(examples) <= 6
    assert max(map(len, out.splitlines())) <= 80
    for example in examples:
        words = shlex.split(example)[1:]
        if "mine.toml" not in words:
            assert sweep(*words, *(["--dry-run"] * ("--dry-run" not in words)))[0] == 0


def test_a_refused_name_of_a_sweep_file_says_how_to_give_another(sweep: Run, tmp_path: Path) -> None:
    (tmp_path / "my sweep.toml").write_text("dataset = 'digits'\nvalidation_size = 99\n")
    code, _, error = sweep("run", "my sweep.toml", "--dry-run")
    assert (code, "--name my-sweep" in error) == (2, True)
    assert sweep("run", "my sweep.toml", "--dry-run", "--name", "my-sweep")[0] == 0


@pytest.mark.parametrize("columns", ["72", "80", "200"])
def test_a_dry_run_never_cuts_a_number(
    sweep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    depth = "a_rather_descriptive_name_of_a_depth_01"
    (tmp_path / "s.toml").write_text(
        "dataset = 'digits'\nvalidation_size = 99\n[axes]\nlearning_rate = [0.001, 0.00012345678901234]\n"
        f"batch_size = [16, 1024]\ndepth = ['{depth}', 'deep']\n[layers]\n{depth} = {[64] * 20}\n"
    )
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = sweep("run", "s.toml", "--dry-run")
    assert code == 0
    table = out.splitlines()[: -len(out.partition(" grid points")[2].splitlines())]
    rows = [line for line in table if re.search(r" 0\.00012345678901234 +(16|1024) .* \d+,\d\d\d *$", line)]
    assert len(rows) == 36
    assert "…" not in out
    assert max(map(len, table)) <= int(columns)
