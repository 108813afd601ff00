"""`sweep submit`: a real Ray head with a real job server, and the job that it runs."""

import importlib.metadata
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from own_data import write_npz
from packaging.requirements import Requirement

from sweep.errors import ConfigError, StorageError
from sweep.tuning.submit import make_job

ROOT = Path(__file__).resolve().parents[1]
RAY = Path(sys.executable).parent / "ray"
JOB_SERVER = Path(sys.prefix) / "ray-default"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
TINY = """
dataset = "digits"
epochs = 1
seeds = [0]
validation_size = 100
[axes]
depth = ["tiny"]
activation = ["relu", "tanh"]
loss = ["hinge"]
[layers]
tiny = [4]
"""

Submit = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def job_server() -> Iterator[str]:
    """The address of the job server of a Ray cluster of two CPUs that wants a token."""
    _install_job_server()
    address = f"127.0.0.1:{_free_port()}"
    ports = {
        "port": _free_port(),
        "dashboard-port": int(address.rpartition(":")[2]),
        "dashboard-agent-listen-port": _free_port(),
        "ray-client-server-port": _free_port(),
        "metrics-export-port": _free_port(),
    }
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short: sockets
        words = ["start", "--head", "--block", "--include-dashboard=true", "--num-cpus=2", f"--temp-dir={folder}"]
        words += ["--object-store-memory=200000000", "--disable-usage-stats"]
        head = subprocess.Popen(
            [RAY, *words, *(f"--{name}={port}" for name, port in ports.items())],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(TOKEN),
        )
        assert head.stdout
        log = []
        while "block forever" not in (line := head.stdout.readline()):
            log.append(line)
            assert line, "".join(log)
        yield f"http://{address}"
        head.terminate()
        head.communicate(timeout=60)


@pytest.fixture
def submit(job_server: str, tmp_path: Path) -> Iterator[Submit]:
    """Starts `sweep submit` in an own folder, where the results are kept too."""
    started = []

    def start(*words: str, address: str = job_server, more: Mapping[str, str] = TOKEN) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sweep", "submit", *words, "--address", address, "--storage", str(tmp_path / "all")],
            cwd=tmp_path,
            env=_environment(more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _install_job_server() -> None:
    """Installs what `ray[default]` adds to Ray beside the environment: in it, every other Ray would start slower."""
    if importlib.util.find_spec("aiohttp_cors") or JOB_SERVER.is_dir():
        return
    needs = map(Requirement, importlib.metadata.requires("ray") or ())
    names = [need.name for need in needs if need.marker and need.marker.evaluate({"extra": "default"})]
    constraints = ROOT / "scripts" / "constraints.txt"
    with tempfile.TemporaryDirectory(dir=JOB_SERVER.parent) as folder:
        words = ["install", "--quiet", "--target", f"{folder}/new", "--constraint", str(constraints), *names]
        pip = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
        if pip.returncode:
            pytest.skip(f"what Ray's job server needs cannot be installed: {pip.stderr.strip()[-200:]}")
        Path(folder, "new").rename(JOB_SERVER)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    modules = os.pathsep.join([str(ROOT), str(JOB_SERVER)])
    return kept | {"PATH": path, "PYTHONPATH": modules, "RAY_worker_niceness": "0", "COLUMNS": "200"} | dict(more)


def test_a_sweep_file_and_its_data_file_travel_and_the_log_comes_back(submit: Submit, tmp_path: Path) -> None:
    awkward = "a $(touch made) 'quoted'; touch made.toml"
    write_npz(tmp_path / "folder" / "data, 1" / "d #1.npz")
    own = TINY.replace('"digits"', '"data, 1/d #1.npz"').replace("validation_size = 100", "validation_size = 12")
    (tmp_path / "folder" / awkward).write_text(own)
    (tmp_path / "private.txt").write_text("stays here")
    out, error = (process := submit(f"folder/{awkward}", "seeds=0,1", "--name", "tiny")).communicate(timeout=200)
    assert process.returncode == 0, out + error
    assert "[2/2] tiny-" in out
    assert "private" not in out
    assert "submitted sweep-" in error
    assert "ray job stop sweep-" in error
    assert "warning" not in error
    manifest = json.loads((tmp_path / "all" / "tiny" / "manifest.json").read_text())
    assert manifest["sweep"]["seeds"] == [0, 1]
    assert len(list((tmp_path / "all" / "tiny" / "trials").glob("*/done.json"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "folder", "private.txt"]
    assert list(tmp_path.rglob("made")) == []


def test_ctrl_c_stops_following_and_the_job_goes_on(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    process = submit("tiny.toml")
    assert process.stderr
    assert "submitted sweep-" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "the job goes on; follow it with: ray job logs --follow sweep-" in error
    # Meanwhile another job, whose exit code is passed on.
    out, error = (process := submit("smoke", "num_cpus=512")).communicate(timeout=200)
    assert process.returncode == 3, out + error
    assert "lower num_cpus" in out
    deadline = time.monotonic() + 120
    while not (found := list((tmp_path / "all" / "tiny" / "trials").glob("*/done.json"))) or len(found) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_stopped_job_leaves_a_sweep_that_goes_on(submit: Submit, tmp_path: Path) -> None:
    process = submit("smoke", "depth=deep", "epochs=2000", "seeds=0")
    assert process.stdout
    assert process.stderr
    while "trials to train" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    stop = process.stderr.readline().split("stop it with: ray ")[-1].split()
    subprocess.run([RAY, *stop], env=_environment(TOKEN), capture_output=True, timeout=60, check=True)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 143, out + error
    assert "go on with: sweep resume smoke" in out
    assert "the job was stopped" in error
    events = [json.loads(line) for line in (tmp_path / "all" / "smoke" / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["event"].startswith("run_")] == ["run_started", "run_finished"]
    assert events[-1]["outcome"] == "interrupted"


def test_without_the_token_the_error_says_so(submit: Submit) -> None:
    for more in ({}, TOKEN | {"RAY_AUTH_TOKEN": "f" * 64}):
        out, error = (process := submit("smoke", more={"HOME": "/nowhere", **more})).communicate(timeout=60)
        assert process.returncode == 3, out + error
        assert "wants a token; set RAY_AUTH_MODE=token" in error.strip().splitlines()[-1]
        assert "Traceback" not in error


def test_a_data_file_beside_the_sweep_file_travels_and_one_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.npz").write_bytes(b"")
    (tmp_path / "mine.toml").write_text('dataset = "mine.npz"\n')
    job = make_job("mine.toml", [], storage="s3://bucket/prefix")
    assert set(job.files) == {"mine.toml", "mine.npz"}
    assert job.entrypoint == "sweep run ./mine.toml --address auto --storage s3://bucket/prefix"
    for dataset in ("../mine.npz", "missing.npz"):
        with pytest.raises(ConfigError, match="cannot travel with the job"):
            make_job("mine.toml", [f"dataset={dataset}"], storage="/shared")
    assert set(make_job("mine.toml", ["dataset=/data/mine.npz"], storage="/shared").files) == {"mine.toml"}


def test_a_data_file_travels_from_the_sweep_files_folder_to_the_same_place_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a, b"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "D 1.NPZ").write_bytes(b"")
    (folder / "x=1.TOML").write_text('name = "x"\ndataset = "data/D 1.NPZ"\n')
    job = make_job("a, b/x=1.TOML", [], storage="/shared")
    assert job.files == {"x=1.TOML": Path("a, b/x=1.TOML"), "data/D 1.NPZ": Path("a, b/data/D 1.NPZ")}
    assert job.words[:3] == ("sweep", "run", "./x=1.TOML")
    with pytest.raises(ConfigError, match="cannot travel with the job"):
        make_job("a, b/x=1.TOML", ["dataset=data/D 1.NPZ"], storage="/shared")  # it is not in the shell's folder
    # With --data-dir it is found where all nodes see it.
    assert set(make_job("a, b/x=1.TOML", [], storage="/shared", data_dir="/data").files) == {"x=1.TOML"}


@pytest.mark.parametrize("options", [{"storage": "experiments"}, {"storage": "/shared", "data_dir": "data"}])
def test_a_path_that_each_machine_reads_differently_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="an absolute path"):
        make_job("smoke", [], **options)  # type: ignore[arg-type]


def test_credentials_in_the_storage_path_are_refused_and_not_repeated() -> None:
    with pytest.raises(StorageError, match="has credentials in it") as refused:
        make_job("smoke", [], storage="s3://key:secret@bucket/prefix")
    assert "secret" not in str(refused.value)


def test_what_is_not_installed_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('not here', name='aiohttp')")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        words = ["submit", "smoke", "--address", address, "--storage", "/shared"]
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        finished = subprocess.run(
            [sys.executable, "-m", "sweep", *words], env=environment, capture_output=True, text=True, check=False
        )
    assert finished.returncode == 2
    line = "error: submitting needs Ray's job client (aiohttp is not installed): pip install 'ray[default]'\n"
    assert finished.stderr == line
