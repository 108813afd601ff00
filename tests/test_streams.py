"""The end of a run, wherever its output goes: the report is written, and the exit code says how the sweep ended."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parent / "experiments_of_0_1_0"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage with a complete experiment."""
    shutil.copytree(FIXTURE / "finished", tmp_path / "all" / "finished")
    return tmp_path / "all"


def shell(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a line of bash in which `sweep` is the command."""
    sweep = f'sweep() {{ "{sys.executable}" -m sweep "$@"; }}; '
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **variables}
    return subprocess.run(["bash", "-c", sweep + line], cwd=cwd, env=environment, capture_output=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    "leads_to",
    [
        ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "> /dev/full 2>&1", "2>&1 | true; exit ${PIPESTATUS[0]}",
        "| head -1; exit ${PIPESTATUS[0]}",
    ],
)  # fmt: skip
def test_a_complete_sweep_has_its_report_and_its_exit_code_wherever_its_output_goes(
    storage: Path, leads_to: str
) -> None:
    finished = shell(f"sweep resume finished --storage . {leads_to}", storage)
    assert finished.returncode == 0, finished.stderr
    assert (storage / "finished" / "report" / "report.html").exists()
    assert b"Traceback" not in finished.stdout + finished.stderr
    # Nothing was written into a file that took the number of a closed stream.
    assert sorted(path.name for path in storage.iterdir()) == ["finished"]
    assert shell("sweep verify finished --storage .", storage).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_output_cannot_show_is_shown_in_ascii(storage: Path, encoding: str) -> None:
    finished = shell("sweep resume finished --storage .", storage, PYTHONIOENCODING=encoding)
    assert finished.returncode == 0, finished.stderr
    shown = finished.stdout.decode(encoding)
    assert ("66.50 +- 6.36" if encoding == "ascii" else "66.50 ± 6.36") in shown
    assert "finished/report/report.html" in shown


def test_every_letter_that_we_print_has_its_ascii(tmp_path: Path) -> None:
    code = (
        "from sweep.streams import prepare_streams; import sys; prepare_streams(); "
        "print('1 ± 2 × 3 – 4 − 5 … → größe 漢 \\udcff'); print('é', file=sys.stderr)"
    )
    answers = {}
    for encoding in ("ascii", "latin-1", "utf-8"):
        finished = shell(f'"{sys.executable}" -c "{code}"', tmp_path, PYTHONIOENCODING=encoding)
        assert finished.returncode == 0, finished.stderr
        answers[encoding] = finished.stdout
    assert answers["ascii"] == b"1 +- 2 x 3 - 4 - 5 ... -> gr??e ? \xff\n"
    assert answers["latin-1"] == b"1 \xb1 2 \xd7 3 - 4 - 5 ... -> gr\xf6\xdfe ? \xff\n"
    # The bytes of a file's name go out as they came.
    assert answers["utf-8"] == "1 ± 2 × 3 – 4 − 5 … → größe 漢 ".encode() + b"\xff\n"


@pytest.mark.parametrize("verb", ["list", "status finished", "status finished --json", "report finished", "--help"])
def test_no_verb_ends_in_a_traceback_when_its_output_cannot_be_written(storage: Path, verb: str) -> None:
    line = f"sweep {verb}" if verb == "--help" else f"sweep {verb} --storage ."
    gone = shell(f"{line} | true; exit ${{PIPESTATUS[0]}}", storage)
    full = shell(f"{line} > /dev/full", storage)
    assert b"Traceback" not in gone.stderr + full.stderr
    # Whoever closes a pipe has what it wanted; an answer that got lost is a failure, a written report none.
    assert (gone.returncode, full.returncode) == (0, 0 if verb.startswith("report") else 1)
    assert full.stderr.count(b"\n") == 1
    assert b"No space left" in full.stderr


_LIVE = r"""
import os, sys
from sweep.streams import prepare_streams
prepare_streams()
from sweep.display import LiveTable, make_display
from sweep.records import Experiment
from sweep.storage import LocalStorage
display = make_display(quiet=False)
assert isinstance(display, LiveTable)
manifest = Experiment(LocalStorage(sys.argv[1])).read_manifest()
trials = list(manifest.trials)
display.begin(manifest, trials)
os.write(1, b"begun\n")  # what is printed meanwhile appears above the table
sys.stdin.readline()
for trial in trials:
    told = {"trial_id": trial.trial_id}
    display.show({**told, "outcome": "started"})
    display.show({**told, "outcome": "epoch", "epoch": 1, "train_accuracy": 0.5, "validation_accuracy": 0.5})
    display.show({**told, "outcome": "failed", "reason": "no"})
    display.say("a line")
display._live.refresh()
display.end()
print("ended")
"""


def test_a_live_table_outlives_its_terminal(storage: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _LIVE, str(storage / "finished")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal, text=True,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    os.close(terminal)
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    os.close(controller)  # the terminal is gone: from now on, writing to it is an input/output error
    answer, _ = process.communicate("go on\n", timeout=60)
    assert (answer, process.returncode) == ("ended\n", 0)
