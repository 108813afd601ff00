"""Clusters of several nodes: found, compared, lost, joined, replaced."""

import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import (
    NAME,
    SOURCE,
    TOKEN,
    WORDS,
    Case,
    Numbers,
    check_promise,
    environment,
    mismatches,
    numbers,
    resume_command,
    uninterrupted,
)
from raylets import Raylets

from sweep.verify import damaged_files

_SLOW = {"slow_epoch_s": 0.3}
_MANY_TRIALS = f"""
dataset = "digits"
epochs = 1
seeds = [0]
validation_size = 100
[axes]
depth = ["tiny"]
activation = ["relu"]
loss = ["hinge"]
learning_rate = {[0.001 * (1 + number / 1000) for number in range(500)]}
[layers]
tiny = [4]
"""


@pytest.fixture(scope="module")
def clusters() -> Iterator[list[Raylets]]:
    """The clusters that were started; the last is in use."""
    started: list[Raylets] = []
    yield started
    for raylets in started:
        raylets.end()


@pytest.fixture
def raylets(clusters: list[Raylets]) -> Raylets:
    """A cluster of a head and two nodes, whatever earlier tests have done to it."""
    if not clusters or not clusters[-1].head.processes():
        clusters.append(Raylets(2))
    raylets = clusters[-1]
    for node in raylets.nodes[2:]:
        raylets.kill(node)
    for node in [raylets.start() for _ in range(2 - len(raylets.nodes))]:
        node.until_started()
    return raylets


def test_trials_of_a_lost_node_go_on_elsewhere_and_a_node_that_joins_gets_work(
    case: Case, raylets: Raylets, truth: dict[str, Numbers]
) -> None:
    case.set_faults({"slow_epoch_s": 2})
    run = case.start("run", *WORDS, "max_retries=1", address=raylets.address)
    lost = raylets.nodes[0]
    run.until(lambda: len({pid for _, pid, _, _ in run.new_rows}) == 2)
    assert "3 nodes have this driver's versions and share " in run.output
    joins = raylets.start()
    raylets.kill(lost)
    begun = time.monotonic()
    joins.until_started()
    run.until(lambda: any(joins.has(pid) for pid in {pid for _, pid, _, _ in run.new_rows}))
    assert time.monotonic() - begun < 60
    case.set_faults()
    assert run.wait() == 0, run.output
    assert run.output.count("retrying") == run.output.count("its node was lost") == 1
    assert "(raylet)" not in run.output
    check_promise(case, truth)


def test_five_hundred_trials_are_spread_over_three_nodes(case: Case, raylets: Raylets, tmp_path: Path) -> None:
    (tmp_path / "many.toml").write_text(_MANY_TRIALS)
    raylets.start().until_started()
    case.set_faults({"slow_epoch_s": 0.5})  # until each node has a worker, which takes some longer than others
    run = case.start("run", "many.toml", "--name", NAME, address=raylets.address)
    workers: dict[int, str] = {}

    def every_node_trains() -> bool:
        for pid in {pid for _, pid, _, _ in run.new_rows} - workers.keys():
            workers[pid] = next(node.name for node in raylets.nodes if node.has(pid))
        return len(set(workers.values())) == 3

    run.until(every_node_trains)
    case.set_faults()
    assert run.wait() == 0, run.output
    trained = Counter(workers[pid] for _, pid, _, what in case.ledger.rows if what == "done")
    assert trained.total() == 500
    assert min(trained.values()) > 50
    assert case.ledger.repeated == 0
    found = numbers(case.experiment)
    assert len(found) == 500
    assert [trial_id for trial_id, one in found.items() if damaged_files(case.experiment, one.record)] == []
    sample = uninterrupted(tmp_path / "alone", [str(tmp_path / "many.toml")], every=50)
    assert mismatches({trial_id: found[trial_id] for trial_id in sample}, sample) == []


def test_killed_driver_of_a_cluster_is_followed_by_one_elsewhere(
    case: Case, raylets: Raylets, truth: dict[str, Numbers]
) -> None:
    case.set_faults(_SLOW)
    run = case.start("run", *WORDS, address=raylets.address)
    run.until_epochs(6)
    run.kill()
    case.set_faults()
    again = case.sweep("resume", NAME, address=raylets.address)
    assert again.process.returncode == 0, again.output
    assert case.ledger.repeated <= 4
    check_promise(case, truth)


def test_lost_head_ends_the_run_and_a_new_cluster_goes_on(
    case: Case, raylets: Raylets, clusters: list[Raylets], truth: dict[str, Numbers]
) -> None:
    case.set_faults(_SLOW)
    run = case.start("run", *WORDS, address=raylets.address)
    run.until_epochs(6)
    (gcs_server,) = [process for process in raylets.head.processes() if process.name() == "gcs_server"]
    gcs_server.kill()
    assert run.wait(30) == 1, run.output
    assert "error: the head of the Ray cluster at " in run.last_line
    assert "has not answered for 5 s" in run.last_line
    words = ["sweep", "resume", NAME, "--storage", str(case.storage), "--address", raylets.address]
    assert shlex.split(resume_command(run.last_line)) == words
    raylets.end()
    case.set_faults()
    clusters.append(Raylets(2))
    again = case.sweep("resume", NAME, address=clusters[-1].address)
    assert again.process.returncode == 0, again.output
    check_promise(case, truth)


def test_storage_that_a_node_does_not_share_is_found_before_training(case: Case, raylets: Raylets) -> None:
    apart = raylets.start(within=_another_disk(case.storage)).until_started()
    refused = case.sweep("run", *WORDS, address=raylets.address)
    assert refused.process.returncode == 2, refused.output
    assert f"node {apart.name} does not see what this driver writes to {case.storage}" in refused.last_line
    assert "s3://" in refused.last_line
    assert case.ledger.rows == ()
    assert list(case.storage.iterdir()) == []


def test_node_with_another_version_or_a_file_of_that_name_is_named(
    case: Case, raylets: Raylets, tmp_path: Path
) -> None:
    outdated = raylets.start(PYTHONPATH=_older_package(tmp_path)).until_started()
    refused = case.sweep("run", *WORDS, address=raylets.address)
    assert refused.process.returncode == 3, refused.output
    assert f"node {outdated.name} has sweep 0.0.9, this driver has sweep " in refused.last_line
    assert not case.storage.exists()
    doctor = case.sweep("doctor", *WORDS, address=raylets.address)
    assert doctor.process.returncode == 1
    assert f"BAD  nodes      node {outdated.name} has sweep 0.0.9" in doctor.output
    assert not case.storage.exists()

    raylets.kill(outdated)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sweep.py").write_text("")
    shadowed = raylets.start(PYTHONPATH=str(tmp_path / "own")).until_started()
    refused = case.sweep("run", *WORDS, address=raylets.address)
    assert refused.process.returncode == 3, refused.output
    assert f"node {shadowed.name} has sweep <module 'sweep' from '{tmp_path}/own/sweep.py'>" in refused.last_line


def test_node_that_joins_and_cannot_be_used_ends_the_run_before_it_trains(
    case: Case, raylets: Raylets, tmp_path: Path
) -> None:
    case.set_faults({"slow_epoch_s": 2})
    run = case.start("run", *WORDS, "max_retries=0", address=raylets.address)
    run.until_epochs(2)
    joined = raylets.start(PYTHONPATH=_older_package(tmp_path)).until_started()
    assert run.wait() == 1, run.output
    assert f"error: node {joined.name} has sweep 0.0.9, this driver has" in run.output
    assert "INCOMPLETE 0/4; go on with" in run.last_line
    assert len({pid for _, pid, _, _ in run.new_rows}) == 2


def test_cluster_with_another_token_or_without_ours_is_refused(raylets: Raylets, tmp_path: Path) -> None:
    assert "ours is missing; set RAY_AUTH_MODE=token" in _refused(raylets.address, tmp_path, {})
    assert "ours is wrong" in _refused(raylets.address, tmp_path, {**TOKEN, "RAY_AUTH_TOKEN": "0" * 64})


def test_cluster_without_tokens_is_joined_with_a_warning(case: Case) -> None:
    open_to_all = Raylets(1, {"RAY_AUTH_MODE": "disabled"})
    try:
        run = case.sweep("run", *WORDS, "epochs=1", "--quiet", address=open_to_all.address)
        assert run.process.returncode == 0, run.output
        assert run.output.count("warning: this Ray cluster runs without token authentication") == 1
        assert "start every node with RAY_AUTH_MODE=token" in run.output
    finally:
        open_to_all.end()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_server_that_is_no_ray_head_is_refused_at_once(tmp_path: Path, answer: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server, answer), daemon=True).start()
        refused = _refused(f"127.0.0.1:{server.getsockname()[1]}", tmp_path, {})
    assert "is not the head of a Ray cluster; give the port of `ray start --head --port`" in refused


def _older_package(folder: Path) -> str:
    """A folder for PYTHONPATH with another version of this package."""
    older = folder / "older"
    shutil.copytree(SOURCE / "sweep", older / "sweep", ignore=shutil.ignore_patterns("__pycache__", "data"))
    (older / "sweep" / "__init__.py").write_text('__version__ = "0.0.9"\n')
    return str(older)


def _another_disk(storage: Path) -> tuple[str, ...]:
    """A command that runs another, which sees an empty folder where others see the storage path."""
    storage.mkdir()
    mount = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(storage))
    allowed = subprocess.run([*mount, "true"], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"mounting is not allowed here: {allowed.stderr.strip()}")
    return mount


def _answer(server: socket.socket, answer: bytes | None) -> None:
    """Accepts and sends something, or says nothing and keeps the connection."""
    connection, _ = server.accept()
    if answer is None:
        connection.recv(1 << 16)
        connection.recv(1 << 16)
    else:
        connection.sendall(answer)
    connection.close()


def _refused(address: str, folder: Path, variables: dict[str, str]) -> str:
    """Runs a sweep as somebody with no Ray files in the home folder; gives the only line it prints."""
    here = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "sweep", "run", *WORDS, "--storage", str(folder / "new"), "--address", address]
    finished = subprocess.run(
        command, cwd=folder, env={**here, "HOME": str(folder), **variables}, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 3, finished
    assert not (folder / "new").exists()
    return finished.stderr.strip().splitlines()[-1]
