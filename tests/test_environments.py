"""Other people's machines: real runs where little is as it is here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from elsewhere import AS_SOMEBODY, allowed

from sweep.datasets import cache_folder, load_dataset

ROOT = Path(__file__).parents[1]
FEW = ("run", "smoke", "depth=shallow", "activation=relu,tanh", "loss=hinge", "--quiet")
# What a script or a folder of a user's own may well be called; all of it is imported by a worker, or by Ray for it.
MODULES = ("sweep", "torch", "numpy", "ray", "json", "random", "psutil", "typing", "pandas", "google", "conftest")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files with a short path, which anybody may use."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def within_a_minute(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def numbers(experiment: Path) -> dict[str, list[str]]:
    """The hashes of the trained parameters, by trial."""
    records = [json.loads(file.read_bytes()) for file in experiment.glob("trials/*/done.json")]
    return {
        record["trial_id"]: [replicate["parameters_sha256"] for replicate in record["replicates"]] for record in records
    }


@pytest.mark.slow
@pytest.mark.skipif(not allowed(*AS_SOMEBODY), reason="only root can become somebody else")
def test_a_stranger_s_machine_gives_the_same_numbers(smoke_folder: Path, tmp_path: Path) -> None:
    """All at once, since each is independent of the others.

    No root, no name and no home; a locale of ASCII; a folder and a storage path that are not UTF-8, shared with a
    group; a long TMPDIR; variables of another Ray, of a proxy and of other threads; and files named like modules.
    """
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    long = folder / ("a" * 90)
    long.mkdir(parents=True)
    for place in (folder, long):
        os.chown(place, 12345, 12345)
        place.chmod(0o2775)
    for name in MODULES:
        (folder / f"{name}.py").write_text("raise RuntimeError('a file of the user has been imported')")
    (folder / "scipy").mkdir()
    (folder / "scipy" / "__init__.py").write_text("raise RuntimeError('a folder of the user has been imported')")
    before = set(folder.iterdir())
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "TMPDIR": str(long),
        "OMP_NUM_THREADS": "7",
        "RAY_ADDRESS": "192.0.2.1:6379",
        "http_proxy": "http://192.0.2.1:3128",
    }
    storage = os.fsdecode(b"exp\xe9")
    command = [*AS_SOMEBODY, sys.executable, "-P", "-m", "sweep"]  # -P: as the installed command imports itself
    options = {
        "cwd": folder,
        "env": variables,
        "capture_output": True,
        "text": True,
        "errors": "replace",
        "umask": 0o002,
    }

    doctor = subprocess.run([*command, "doctor", "smoke", "--storage", storage], **options)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    # The library is chosen anew where there is no cache folder, and may be another where two are nearly as fast.
    fingerprint = json.loads((smoke_folder / "experiments" / "smoke" / "manifest.json").read_bytes())["fingerprint"]
    same = f"products={fingerprint.get('products', 'torch')}"
    run = subprocess.run([*command, *FEW, same, "--storage", storage], **options)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert run.stdout.splitlines()[-1].startswith("report: ")

    found = numbers(folder / storage / "smoke")
    assert len(found) == 2
    assert found.items() <= numbers(smoke_folder / "experiments" / "smoke").items()
    written = [path for new in set(folder.iterdir()) - before for path in (new, *new.rglob("*"))]
    assert {(path.is_dir(), path.stat().st_mode & 0o7777) for path in written} == {(True, 0o2775), (False, 0o664)}
    assert list(long.iterdir()) == []


def test_files_of_the_user_named_like_modules_do_not_hinder_the_module_either(tmp_path: Path) -> None:
    for name in MODULES[1:]:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user has been imported')")
    run = subprocess.run(
        [sys.executable, "-m", "sweep", *FEW, "--dry-run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_a_source_that_is_not_installed_trains_by_itself_and_when_killed_leaves_nothing_of_ray(
    tmp_path: Path, short: Path
) -> None:
    without_data = shutil.ignore_patterns("__pycache__", "mnist")
    shutil.copytree(ROOT / "sweep", tmp_path / "sweep", ignore=without_data)
    (tmp_path / "sweep" / "__init__.py").write_text('__version__ = "9.9"\n')  # which workers compare with theirs
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"TMPDIR": str(short)}
    command = [sys.executable, "-m", "sweep", *FEW, "epochs=2000"]
    run = subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
    assert within_a_minute(lambda: run.poll() is not None or list(tmp_path.glob("experiments/smoke/trials/*/check*")))
    assert run.poll() is None, run.communicate()[1]
    (folder,) = short.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.glob("r/session_2*/sockets/raylet"))
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert within_a_minute(lambda: not list(short.iterdir()))


@pytest.mark.slow
def test_mnist_is_read_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load_dataset("mnist", validation_size=100)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    unkept = load_dataset("mnist", validation_size=100)
    assert unkept.sha256 == kept.sha256
    assert np.array_equal(unkept.train.images, kept.train.images)


@pytest.mark.skipif(not allowed(*AS_SOMEBODY), reason="only root can become somebody else")
def test_a_user_without_a_home_has_a_cache_folder_that_is_not_below_the_current_one(tmp_path: Path) -> None:
    code = "from sweep.datasets import cache_folder; print(cache_folder())"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [*AS_SOMEBODY, sys.executable, "-c", code]
    asked = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    folder = Path(asked.stdout.strip())
    assert folder.is_absolute()
    assert not folder.is_relative_to(tmp_path)
    assert folder != cache_folder()


@pytest.mark.parametrize("words", [("status", "x"), ("run", "smoke", "--storage", "/tmp/all"), ("doctor", "smoke")])
def test_a_current_folder_that_is_gone_is_said_in_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = ["sh", "-c", 'rmdir ../gone; exec "$@"', "sh", sys.executable, "-m", "sweep", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(leave, cwd=gone, env=environment, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "current folder" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        *((name, ("status", "x")) for name in ("", "x" * 300, "loop", "/dev/null", "caf\udce9")),
        *(("loop", verb) for verb in (("list",), ("resume", "x"), ("report", "x"), ("verify", "x"), ("run", "smoke"))),
    ],
)
def test_a_storage_path_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, name: str, verb: tuple[str, ...]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    command = [sys.executable, "-m", "sweep", *verb, "--storage", name]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert finished.returncode == 2, finished.stderr
    assert len((finished.stdout + finished.stderr).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
