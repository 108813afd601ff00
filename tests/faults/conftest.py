"""Fixtures of the fault tests: a storage path with an awkward name, the true numbers, and a Ray cluster to join."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import TOKEN, Case, Numbers, environment, uninterrupted

_HEAD = """
import ray, sys
context = ray.init(address="local", num_cpus=2, object_store_memory=200_000_000, include_dashboard=False,
                   log_to_driver=False)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
ray.shutdown()
"""


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """A storage path with a space, quotes, a dollar sign and letters beyond ASCII."""
    case = Case(tmp_path, """Ana's "süße" $weeps ✓""")
    yield case
    case.end()


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Numbers]:
    """The numbers of the uninterrupted sweep."""
    return uninterrupted(tmp_path_factory.mktemp("uninterrupted"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two CPUs, which a driver joins in a second instead of starting its own."""
    head = subprocess.Popen(
        [sys.executable, "-c", _HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(**TOKEN),
    )
    assert head.stdin
    assert head.stdout
    yield head.stdout.readline().strip()
    head.stdin.close()
    head.wait(60)
    head.stdout.close()
    assert os.environ.get("RAY_ADDRESS") is None
