"""What a private Ray needs of this machine is found out before it starts, and said in one line."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from elsewhere import allowed

from sweep.errors import ResourceError, one_line
from sweep.tuning import private

LONG = "a" * 90


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No place but those that a test names."""
    for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(private, "_PLACES", ())
    return monkeypatch


def test_the_folder_is_where_temporary_files_go_and_nobody_else_can_enter(places: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        places.setenv("TMPDIR", place)
        folder = private.make_folder()
        assert folder.parent == Path(place)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert private.check_private_ray().endswith(place)
        assert [*folder.iterdir()] == []
        assert [*Path(place).iterdir()] == [folder]


@pytest.mark.parametrize("unfit", [LONG, "with a blank", "ünïcode", "\udce9", "missing/folder", "file"])
def test_a_place_that_is_unfit_is_left_for_the_next_one_or_named(
    places: pytest.MonkeyPatch, tmp_path: Path, unfit: str
) -> None:
    given = tmp_path / unfit
    if unfit == "file":
        given.write_text("")
    elif "missing" not in unfit:
        given.mkdir()
    places.setenv("TMPDIR", str(given))
    with pytest.raises(ResourceError) as error:
        private.make_folder()
    assert one_line(str(given)) in str(error.value)
    assert "set TMPDIR" in str(error.value)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        places.setattr(private, "_PLACES", (place,))
        assert private.make_folder().parent == Path(place)
    assert not given.is_dir() or os.listdir(given) == []


@pytest.mark.parametrize(
    "log",
    [
        "[2026-11-28 03:01:01,002 F 15936 15936] (gcs_server) gcs.cc:12: Check failed: no space\n",
        "[2026-11-28 03:01:01,002 E 15936 15936] (gcs_server) gcs.cc:12: Check failed: no space\n",
        "E1128 03:01:01.002096151   15936 thread_manager.cc:44]       Check failed: no space\n",
        "terminate called after throwing an instance of 'std::system_error'\n  what():  Check failed: no space\n",
    ],
)
def test_what_the_logs_say_of_the_end_is_told(tmp_path: Path, log: str) -> None:
    file = tmp_path / "r" / "session_2026" / "logs" / "gcs_server.err"
    file.parent.mkdir(parents=True)
    stack = "[2026-11-28 03:01:01,002 E 15936 15936] (gcs_server) logging.cc:474:     @     0x7f16c8c5a050  (unknown)\n"
    file.write_text(f"[2026-11-28 03:01:00,993 I 15936 15936] logging.cc:303: all is well\n{stack}{log}{stack}")
    told = str(private.not_started(RuntimeError("Timed out\nat last"), tmp_path))
    assert "(gcs_server: Check failed: no space)" in told
    assert "\n" not in told
    file.unlink()
    assert "(Timed out at last)" in str(private.not_started(RuntimeError("Timed out\nat last"), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("within", "says"),
    [
        (["unshare", "--net"], "cannot reach itself at 127.0.0.1"),
        (["sh", "-c", 'ulimit -v 6000000 && "$@"', "sh"], "ulimit -v"),
    ],
)
def test_what_ray_would_die_of_is_said_by_run_and_doctor(tmp_path: Path, within: list[str], says: str) -> None:
    if not allowed(*within):
        pytest.skip(f"{within[0]} is not allowed here")
    words = ["smoke", "--storage", str(tmp_path / "all")]
    command = [*within, sys.executable, "-m", "sweep"]
    doctor = subprocess.run([*command, "doctor", *words], cwd=tmp_path, capture_output=True, text=True)
    assert doctor.returncode == 1, doctor.stderr
    (line,) = (line for line in doctor.stdout.splitlines() if line.split()[1] == "Ray")
    assert line.startswith("BAD")
    assert says in line
    run = subprocess.run([*command, "run", *words, "--quiet"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (3, "")
    assert says in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
