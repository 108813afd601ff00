"""Where the report of a run goes: beside the experiment, or where the user says; known before anything is trained."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import run_command

from sweep.cli import execute
from sweep.launch import Launch, resume_command
from sweep.storage import LocalStorage

FIXTURE = Path(__file__).parent / "experiments_of_0_1_0"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage with complete experiments of the same sweep under two names, and another one."""
    for name, copied in (("finished", "finished"), ("copy", "extended"), ("other", "own_data")):
        shutil.copytree(FIXTURE / copied, tmp_path / "all" / name)
    return tmp_path / "all"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process and folder; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweep", *words])
        with pytest.raises(SystemExit) as exited:
            execute()
        captured = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code, captured.out, captured.err

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [["run", "smoke"], ["resume", "half_done"], ["report", "half_done"]])
@pytest.mark.parametrize("out", ["mine", "mine/README.md", "/proc/report", "s3://bucket/report"])
def test_a_place_that_cannot_be_used_is_one_line_before_anything_is_trained(
    sweep: Run, tmp_path: Path, words: list[str], out: str
) -> None:
    shutil.copytree(FIXTURE / "half_done", tmp_path / "experiments" / "half_done")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my project")
    before = files(tmp_path)
    code, shown, error = sweep(*words, "--out", out)
    assert (code, shown) == (2, "")
    assert len(error.splitlines()) == 1
    assert "--out" in error
    assert files(tmp_path) == before
    assert not (tmp_path / "experiments" / "smoke").exists()
    if out == "mine":
        proposed = shlex.split(error)[-1]
        assert proposed == str(Path("mine") / words[1])
        assert sweep("report", "half_done", "--out", proposed)[0] == 0


@pytest.mark.slow
def test_the_report_is_beside_the_experiment_which_stays_one(sweep: Run, storage: Path) -> None:
    code, shown, _ = sweep("resume", "finished", "--storage", "all")
    assert (code, shown.splitlines()[-1]) == (0, "report: all/finished/report/report.html")
    first = files(storage / "finished")
    # Once more: the same report again, known as ours.
    assert sweep("report", "finished", "--storage", "all")[0] == 0
    assert files(storage / "finished") == first
    assert sweep("verify", "finished", "--storage", "all")[0] == 0
    assert sweep("report", "finished", "other", "--storage", "all")[1] == (
        "report: all/reports/finished+other/report.html\n"
    )
    _, shown, _ = sweep("list", "--storage", "all", "--json")
    assert sorted(row["name"] for row in json.loads(shown)) == ["copy", "finished", "other"]
    assert sweep("status", "reports", "--storage", "all")[0] == 2


@pytest.mark.parametrize("verb", ["resume", "report"])
def test_the_user_may_say_where(sweep: Run, tmp_path: Path, storage: Path, verb: str) -> None:
    code, shown, _ = sweep(verb, "finished", "--storage", "all", "--out", "new/place")
    assert (code, shown.splitlines()[-1]) == (0, "report: new/place/report.html")
    assert (tmp_path / "new" / "place" / "README.md").exists()
    assert not (storage / "finished" / "report").exists()


@pytest.mark.slow
def test_a_run_may_start_where_nothing_can_be_written(storage: Path) -> None:
    finished = run_command("resume", "finished", "--storage", str(storage), cwd=Path("/proc"))
    assert finished.returncode == 0, finished.stderr
    assert f"report: {storage}/finished/report/report.html" in finished.stdout


@pytest.mark.slow
def test_a_report_that_cannot_be_written_after_all_is_one_line_with_the_command_that_writes_it(storage: Path) -> None:
    # Files of this process may have 64 KiB, which is enough to try the place and not for the page.
    limited = f'ulimit -f 64; exec "{sys.executable}" -m sweep resume finished --storage . --out "a place"'
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin", "HOME": str(storage)}
    finished = subprocess.run(
        ["bash", "-c", limited], cwd=storage, env=environment, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 1, finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert "File too large" in finished.stderr
    words = shlex.split(finished.stderr[finished.stderr.index("sweep report ") :])
    assert words == ["sweep", "report", "finished", "--storage", str(storage), "--out", str(storage / "a place")]
    # What was written before it failed is known as ours, and the command does it.
    again = run_command(*words[1:], cwd=storage)
    assert again.returncode == 0, again.stderr
    assert (storage / "a place" / "report.html").exists()


def test_the_command_that_goes_on_says_where_the_report_is_to_be() -> None:
    launch = Launch(storage=LocalStorage("/x"), name="e", command="", out="/a place")
    assert shlex.split(resume_command(launch))[-2:] == ["--out", "/a place"]


def test_an_experiment_is_what_its_folder_is_called(sweep: Run, tmp_path: Path, storage: Path) -> None:
    """Copies of experiments that were made under one name, as on two machines."""
    made_as = {json.loads((storage / name / "manifest.json").read_text())["name"] for name in ("finished", "other")}
    assert made_as == {"finished", "own_data"}
    (storage / "finished").rename(storage / "first")
    shutil.copytree(storage / "first", storage / "second")
    done = sorted((storage / "second" / "trials").glob("*/done.json"))
    done[0].unlink()
    assert sweep("report", "first", "second", "--storage", "all", "--out", "out")[0] == 0
    with (tmp_path / "out" / "tables" / "side-by-side.csv").open() as rows:
        columns = next(iter(csv.DictReader(rows))).keys()
    assert {"first_rank", "second_rank"} <= columns
    assert not any("finished" in column for column in columns)
    for name in ("first", "second"):
        readme = (tmp_path / "out" / name / "README.md").read_text()
        assert re.search(rf"^# {name}: ", readme, re.MULTILINE)
        assert f"sweep verify {name} --retrain" in readme
    assert (tmp_path / "out" / "second" / "README.md").read_text().startswith("**INCOMPLETE")
    assert "second: INCOMPLETE" in (tmp_path / "out" / "README.md").read_text()


def test_an_experiment_named_twice_is_reported_once(sweep: Run, tmp_path: Path, storage: Path) -> None:
    assert sweep("report", "finished", "finished", "--storage", "all", "--out", "out")[0] == 0
    assert (tmp_path / "out" / "results.csv").exists()
    assert not (tmp_path / "out" / "finished").exists()
