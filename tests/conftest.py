"""What several test files share: small real data, and one real sweep through Ray."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import object_store
import pytest
import threadpoolctl
import torch
from command import run_command

from sweep.config import SweepConfig, TrialConfig, load_sweep
from sweep.datasets import Dataset, load_dataset
from sweep.records import Experiment
from sweep.storage import LocalStorage

# What a fixture starts decides how the tests that ask for it are marked; `scripts/test --quick` leaves these out.
_MARKS = {
    "smoke_folder": "slow",
    "s3_port": "cluster",
    "cluster": "cluster",
    "raylets": "cluster",
    "job_server": "cluster",
    "slurm": "cluster",
}


def pytest_configure() -> None:
    """A shell starts what it puts into the background with Ctrl-C ignored, and every command would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Marks the tests by what they start; those that kill and tear are all slow."""
    for item in items:
        for fixture in _MARKS.keys() & set(item.fixturenames):
            item.add_marker(_MARKS[fixture])
        if item.path.parent.name == "faults":
            item.add_marker("slow")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits", validation_size=200)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch and numpy with one thread, as a worker of one CPU has them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(LocalStorage(tmp_path / "experiments" / "test"))


@pytest.fixture
def make_trial(digits: Dataset) -> Callable[..., TrialConfig]:
    """Gives a trial on digits; the fields of `TrialConfig` can be chosen."""

    def make(**fields: object) -> TrialConfig:
        defaults = {
            "dataset": "digits",
            "dataset_sha256": digits.sha256,
            "validation_size": 200,
            "depth": "shallow",
            "layers": (64,),
            "activation": "relu",
            "loss": "cross_entropy",
            "learning_rate": 0.001,
            "batch_size": 64,
            "epochs": 2,
            "seeds": (0, 1),
            "engine": "stacked",
        }
        return TrialConfig(**{**defaults, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def smoke_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `sweep run smoke` was run, once for all tests; nobody may change it."""
    folder = tmp_path_factory.mktemp("smoke")
    finished = run_command("run", "smoke", cwd=folder)
    (folder / "stdout.txt").write_text(finished.stdout)
    (folder / "stderr.txt").write_text(finished.stderr)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of a real S3 server on the loopback."""
    with object_store.s3_server() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[object_store.Bucket]:
    """A new bucket, whose address and credentials are in the environment."""
    bucket = object_store.Bucket(s3_port)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    yield bucket
    bucket.close()


@pytest.fixture
def smoke_sweep() -> SweepConfig:
    return load_sweep("smoke")
